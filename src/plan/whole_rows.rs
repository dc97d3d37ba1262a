//! A relation's name where a value is wanted: its whole row.
//!
//! `row_to_json(t)`, `to_jsonb(t)`, `json_agg(t)`, `count(t)` and `(t).a` are written out by the relation's columns, and `t`
//! by itself as a record of them. What is not known of a relation leaves the name as it is, to be refused as a column that
//! there is not. A record says nothing of the relation's own row type.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, JoinOperator, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, Value, VisitMut, VisitorMut,
};

use super::catalog::CatalogueRelation;
use super::expand::{fold, quoted, split};
use super::functions::ROW_JSON;
use super::names::{Planning, Relation};

use super::set_returning;
use crate::sql::call::call;
use crate::sql::columns::item_name;

/// Calls that take a row.
const TAKERS: [&str; 6] = ["row_to_json", "to_json", "to_jsonb", "json_agg", "jsonb_agg", "count"];

/// Whether there may be anything to write out.
pub fn any(query: &mut Query) -> bool {
    let mut wanted = Wanted::default();
    let _ = query.visit(&mut wanted);
    wanted.any()
}

/// Writes out whole rows in every query inside.
pub fn rewrite(planning: &Planning, query: &mut Query) {
    let _ = query.visit(&mut WholeRows { planning, ctes: Vec::new() });
}

struct WholeRows<'a> {
    planning: &'a Planning,
    ctes: Vec<(String, Option<Vec<String>>)>,
}

impl VisitorMut for WholeRows<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let columns = renamed(self.columns_of(&cte.query), Some(&cte.alias));
                self.ctes.push((fold(&cte.alias.name), columns));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut wanted = Wanted::default();
        let _ = select.projection.visit(&mut wanted);
        let _ = select.selection.visit(&mut wanted);
        let _ = select.group_by.visit(&mut wanted);
        let _ = select.having.visit(&mut wanted);
        let _ = select.from.visit(&mut wanted);
        if wanted.any()
            && let Some(parts) = self.parts(select)
        {
            let mut write = Write { parts: &parts, inside: 0, names: HashSet::new() };
            select.projection.iter_mut().for_each(|item| write.item(item));
            let _ = select.selection.visit(&mut write);
            let _ = select.group_by.visit(&mut write);
            let _ = select.having.visit(&mut write);
        }
        ControlFlow::Continue(())
    }
}

/// One relation of a FROM list.
struct Part {
    name: String,
    columns: Vec<String>,
    /// Whether a join may leave it without a row.
    optional: bool,
    /// A column that is NULL only then.
    sure: Option<String>,
    function: bool,
}

impl Part {
    /// Whether its rows are plain values: those of a function that gives no records.
    fn is_value(&self) -> bool {
        self.function && self.columns.len() == 1
    }
}

impl WholeRows<'_> {
    /// `None` where a relation's columns are not known: any name might be one of them.
    fn parts(&self, select: &Select) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        for from in &select.from {
            let first = parts.len();
            parts.push(self.part(&from.relation)?);
            for join in &from.joins {
                let mut part = self.part(&join.relation)?;
                match &join.join_operator {
                    JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => part.optional = true,
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) => optional(&mut parts, first),
                    JoinOperator::FullOuter(_) => {
                        part.optional = true;
                        optional(&mut parts, first);
                    }
                    JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {}
                    _ => return None,
                }
                parts.push(part);
            }
        }
        Some(parts)
    }

    fn part(&self, factor: &TableFactor) -> Option<Part> {
        let (name, columns, sure) = match factor {
            TableFactor::Table { name, alias, args: None, version: None, .. } => {
                let (schema, table) = split(name)?;
                let shown = alias.as_ref().map_or_else(|| table.clone(), |alias| fold(&alias.name));
                let (columns, sure) = self.table(schema.as_deref(), &table)?;
                (
                    shown,
                    renamed(Some(columns), alias.as_ref())?,
                    sure.filter(|_| alias.as_ref().is_none_or(|a| a.columns.is_empty())),
                )
            }
            TableFactor::Derived { subquery, alias: Some(alias), .. } => {
                (fold(&alias.name), renamed(self.columns_of(subquery), Some(alias))?, None)
            }
            TableFactor::Table { name, alias: Some(alias), args: Some(_), .. }
            | TableFactor::Function { name, alias: Some(alias), .. } => (fold(&alias.name), function_columns(name, alias), None),
            TableFactor::UNNEST { alias: Some(alias), array_exprs, with_ordinality: false, .. } => {
                let named = alias.columns.iter().map(|column| fold(&column.name)).collect::<Vec<_>>();
                let all = if named.is_empty() && array_exprs.len() == 1 { vec![fold(&alias.name)] } else { named };
                (fold(&alias.name), Some(all).filter(|all| all.len() == array_exprs.len())?, None)
            }
            _ => return None,
        };
        let function = matches!(
            factor,
            TableFactor::Table { args: Some(_), .. } | TableFactor::Function { .. } | TableFactor::UNNEST { .. }
        );
        Some(Part { name, columns, optional: false, sure, function })
    }

    /// The columns of a relation, and one of them that is never NULL.
    fn table(&self, schema: Option<&str>, name: &str) -> Option<(Vec<String>, Option<String>)> {
        if schema.is_none()
            && let Some((_, columns)) = self.ctes.iter().rev().find(|(cte, _)| cte == name)
        {
            return Some((columns.clone()?, None));
        }
        match self.planning.relation(schema, name).ok()? {
            Relation::Table(def) if self.planning.ctx.default_scope.is_none() => {
                let sure = def.live_columns().find(|c| c.not_null).map(|c| c.name.clone());
                Some((def.live_columns().map(|c| c.name.clone()).collect(), sure))
            }
            Relation::Catalogue(relation) => Some((catalogue_columns(relation), None)),
            _ => None,
        }
    }

    fn columns_of(&self, query: &Query) -> Option<Vec<String>> {
        // What a WITH of its own names is not looked for here.
        if query.with.is_some() {
            return None;
        }
        self.body_columns(&query.body)
    }

    fn body_columns(&self, body: &SetExpr) -> Option<Vec<String>> {
        match body {
            SetExpr::Select(select) => {
                let mut columns = Vec::new();
                for item in &select.projection {
                    match item {
                        SelectItem::Wildcard(_) => {
                            columns.extend(self.parts(select)?.into_iter().flat_map(|part| part.columns));
                        }
                        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                            let (_, table) = split(name)?;
                            let part = self.parts(select)?.into_iter().find(|part| part.name == table)?;
                            columns.extend(part.columns);
                        }
                        item => columns.push(item_name(item)?),
                    }
                }
                Some(columns)
            }
            SetExpr::Query(query) => self.columns_of(query),
            SetExpr::SetOperation { left, .. } => self.body_columns(left),
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                Some((1..=width).map(|n| format!("column{n}")).collect())
            }
            _ => None,
        }
    }
}

fn optional(parts: &mut [Part], first: usize) {
    parts.iter_mut().skip(first).for_each(|part| part.optional = true);
}

fn catalogue_columns(relation: CatalogueRelation) -> Vec<String> {
    relation.provider().schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn function_columns(name: &ast::ObjectName, alias: &ast::TableAlias) -> Vec<String> {
    if !alias.columns.is_empty() {
        return alias.columns.iter().map(|column| fold(&column.name)).collect();
    }
    match split(name).and_then(|(_, name)| set_returning::columns_of(&name)) {
        Some(columns) if columns.len() > 1 => columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
        _ => vec![fold(&alias.name)],
    }
}

/// The columns under the names that an alias gives to the first of them.
fn renamed(columns: Option<Vec<String>>, alias: Option<&ast::TableAlias>) -> Option<Vec<String>> {
    let mut columns = columns?;
    for (column, given) in columns.iter_mut().zip(alias.map_or(&[][..], |alias| &alias.columns)) {
        *column = fold(&given.name);
    }
    Some(columns)
}

/// Whether anything looks like a whole row.
#[derive(Default)]
struct Wanted {
    sure: bool,
    names: HashSet<String>,
    relations: HashSet<String>,
}

impl Wanted {
    fn any(&self) -> bool {
        self.sure || !self.names.is_disjoint(&self.relations)
    }
}

impl VisitorMut for Wanted {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let name = match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. } => Some(fold(&alias.name)),
            TableFactor::Table { name, alias: None, .. } => split(name).map(|(_, table)| table),
            _ => None,
        };
        self.relations.extend(name);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.sure |= taken(function).is_some() || spread_rows(function).is_some(),
            Expr::CompoundFieldAccess { root, .. } => {
                self.sure |= matches!(root.as_ref(), Expr::Nested(inner) if matches!(**inner, Expr::Identifier(_)));
            }
            Expr::Identifier(name) => {
                self.names.insert(fold(name));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The call's name and the name that it is given.
fn taken(function: &ast::Function) -> Option<(String, String)> {
    let (_, name) = split(&function.name)?;
    let FunctionArguments::List(list) = &function.args else { return None };
    let row = match &list.args[..] {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(row)))] => fold(row),
        [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(row))] => split(row)?.1,
        _ => return None,
    };
    TAKERS.contains(&name.as_str()).then_some((name, row))
}

/// The arguments of `ROW(t.*, …)`.
fn spread_rows(function: &ast::Function) -> Option<&[FunctionArg]> {
    let (None, name) = split(&function.name)? else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let whole = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(_)));
    (name == "row" && list.args.iter().any(whole)).then_some(&list.args[..])
}

struct Write<'a> {
    parts: &'a [Part],
    /// Queries around, within the one whose relations these are.
    inside: usize,
    /// Where names stand that are parts of longer ones, as in `t.a[1]` and `(f(x)).n`, until they are passed.
    names: HashSet<usize>,
}

fn place(expr: &Expr) -> usize {
    std::ptr::from_ref(expr).addr()
}

impl VisitorMut for Write<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.names.remove(&place(expr)) {
            return ControlFlow::Continue(());
        }
        if self.inside == 0
            && let Some(written) = self.written(expr)
        {
            *expr = written;
        }
        if let Expr::CompoundFieldAccess { root, access_chain } = &*expr {
            let fields =
                access_chain.iter().filter_map(|access| if let AccessExpr::Dot(field) = access { Some(field) } else { None });
            self.names.extend(std::iter::once(root.as_ref()).filter(|root| matches!(root, Expr::Identifier(_))).map(place));
            self.names.extend(fields.map(place));
        }
        ControlFlow::Continue(())
    }
}

impl Write<'_> {
    /// The relation of this name, unless a column has it.
    fn part(&self, name: &str) -> Option<&Part> {
        let is_column = self.parts.iter().any(|part| part.columns.iter().any(|column| column == name));
        self.parts.iter().find(|part| part.name == name).filter(|_| !is_column)
    }

    /// An item that is a whole row keeps its name.
    fn item(&mut self, item: &mut SelectItem) {
        let name = item_name(item);
        let before = item.clone();
        let _ = item.visit(self);
        let changed = *item != before;
        if let (SelectItem::UnnamedExpr(expr), Some(name), true) = (&mut *item, name, changed) {
            let expr = std::mem::replace(expr, Expr::value(Value::Null));
            *item = SelectItem::ExprWithAlias { expr, alias: quoted(&name) };
        }
    }

    fn written(&self, expr: &Expr) -> Option<Expr> {
        match expr {
            Expr::Identifier(row) => self.part(&fold(row)).and_then(record_of),
            Expr::IsNull(row) => self.each(row, |value| Expr::IsNull(Box::new(value))),
            Expr::IsNotNull(row) => self.each(row, |value| Expr::IsNotNull(Box::new(value))),
            Expr::CompoundFieldAccess { root, access_chain } => {
                let (Expr::Nested(inner), [AccessExpr::Dot(Expr::Identifier(field))]) = (root.as_ref(), &access_chain[..]) else {
                    return None;
                };
                let Expr::Identifier(row) = inner.as_ref() else { return None };
                self.part(&fold(row))?;
                Some(Expr::CompoundIdentifier(vec![row.clone(), field.clone()]))
            }
            Expr::Function(function) if spread_rows(function).is_some() => {
                let mut values = Vec::new();
                for argument in spread_rows(function)? {
                    match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => values.push(value.clone()),
                        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(row)) => {
                            let part = self.part(&split(row)?.1)?;
                            values.extend(part.columns.iter().map(|name| column(part, name)));
                        }
                        _ => return None,
                    }
                }
                Some(call("row", values))
            }
            Expr::Function(function) => {
                let (name, row) = taken(function)?;
                let part = self.part(&row)?;
                match name.as_str() {
                    "count" if is_distinct(function) => None,
                    "count" if !part.optional => Some(with_argument(function, None)),
                    "count" => {
                        let sure = part.sure.as_ref()?;
                        Some(with_argument(function, Some(column(part, sure))))
                    }
                    "to_jsonb" => row_of(part, "jsonb_build_object"),
                    "jsonb_agg" => Some(with_argument(function, Some(row_of(part, "jsonb_build_object")?))),
                    "json_agg" => lines(function, row_of(part, ROW_JSON)?),
                    _ => row_of(part, ROW_JSON),
                }
            }
            _ => None,
        }
    }
}

impl Write<'_> {
    /// A row is NULL, or not, when each of its values is.
    fn each(&self, row: &Expr, test: impl Fn(Expr) -> Expr) -> Option<Expr> {
        let Expr::Identifier(row) = row else { return None };
        let part = self.part(&fold(row)).filter(|part| !part.is_value())?;
        let tests = part.columns.iter().map(|name| test(column(part, name)));
        let and = |a, b| Expr::BinaryOp { left: Box::new(a), op: BinaryOperator::And, right: Box::new(b) };
        tests.reduce(and).map(|all| Expr::Nested(Box::new(all)))
    }
}

/// The row as a record; NULL where a join has left none.
fn record_of(part: &Part) -> Option<Expr> {
    if part.is_value() {
        return Some(column(part, part.columns.first()?));
    }
    let row = call("row", part.columns.iter().map(|name| column(part, name)));
    when_there(part, row)
}

fn column(part: &Part, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![quoted(&part.name), quoted(name)])
}

/// The row as JSON; NULL where a join has left none.
fn row_of(part: &Part, maker: &str) -> Option<Expr> {
    let text = |text: &str| Expr::value(Value::SingleQuotedString(text.to_owned()));
    let members = part.columns.iter().flat_map(|name| [text(name), column(part, name)]);
    let row = call(maker, members);
    when_there(part, row)
}

/// The row, or NULL where a join has left none; `None` where that cannot be told.
fn when_there(part: &Part, row: Expr) -> Option<Expr> {
    if !part.optional {
        return Some(row);
    }
    let sure = column(part, part.sure.as_ref()?);
    Some(Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![ast::CaseWhen { condition: Expr::IsNotNull(Box::new(sure)), result: row }],
        else_result: None,
    })
}

fn is_distinct(function: &ast::Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment.is_some())
}

/// The call with this argument, or `*`.
fn with_argument(function: &ast::Function, argument: Option<Expr>) -> Expr {
    let mut function = function.clone();
    if let FunctionArguments::List(list) = &mut function.args {
        let argument = argument.map_or(FunctionArgExpr::Wildcard, FunctionArgExpr::Expr);
        list.args = vec![FunctionArg::Unnamed(argument)];
    }
    Expr::Function(function)
}

/// `json_agg` of rows, which puts each on a line of its own.
fn lines(function: &ast::Function, row: Expr) -> Option<Expr> {
    let cast = |expr: Expr, data_type| Expr::Cast {
        kind: ast::CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    };
    let text = |text: &str| Expr::value(Value::SingleQuotedString(text.to_owned()));
    let row = call("coalesce", vec![cast(row, ast::DataType::Text), text("null")]);
    let mut function = function.clone();
    function.name = ast::ObjectName::from(vec![ast::Ident::new("string_agg")]);
    let FunctionArguments::List(list) = &mut function.args else { return None };
    list.args = [row, text(", \n ")].into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    let concat = |left: Expr, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::StringConcat,
        right: Box::new(right),
    };
    let list = concat(concat(text("["), Expr::Function(function)), text("]"));
    Some(cast(Expr::Nested(Box::new(list)), ast::DataType::JSON))
}
