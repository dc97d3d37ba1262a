//! A query with every name settled: relations under their full names, columns under their relation, `*` written out,
//! each result column with its name.
//!
//! To be kept, a query stays what it was otherwise ([`Purpose::Store`]): its meaning no longer hangs on a search path.
//! To be shown, it gets PostgreSQL's casts and labels as well ([`Purpose::Show`]). `None` throughout means that a form is
//! not known well enough, and that the query is to be left as it is.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, NamedWindowExpr, ObjectName, OrderByKind, Query,
    Select, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
};

use super::scope::{Merged, Output, Scope, Source};
use crate::plan::catalog::deparse::typing::{self, Env, Typed, UNKNOWN, of};
use crate::plan::expand::{fold, quoted, split};
use crate::sql::columns::item_name;
use crate::sql::temporal::spelled;
use crate::types::{PgType, Qualified};

/// Where relations come from.
pub trait Relations {
    /// A relation by the name that is written, with its columns in order; `past` where a clause about system time
    /// stands on it.
    fn relation(&self, schema: Option<&str>, name: &str, past: bool) -> Option<(Qualified, Vec<Output>)>;

    /// What a call in FROM like `t__as_of(…)` reads.
    fn past_of(&self, schema: Option<&str>, name: &str) -> Option<(Qualified, Vec<Output>)>;

    /// The full name of a user's type, and the type where a cast to it says the same; a domain has none.
    fn own_type(&self, schema: Option<&str>, name: &str) -> Option<(Qualified, Option<PgType>)>;

    /// The full name of a user's function.
    fn function(&self, _schema: Option<&str>, _name: &str) -> Option<Qualified> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Store,
    Show,
}

pub struct Binder<'a> {
    pub relations: &'a dyn Relations,
    pub purpose: Purpose,
    /// A table's column that the text is to call otherwise.
    pub renamed: Option<(&'a Qualified, &'a str, &'a str)>,
}

/// WITH queries in reach, the innermost last.
type Ctes = Vec<(String, Vec<Output>)>;

/// How a query's result columns are called.
#[derive(Clone, Copy)]
struct Naming<'a> {
    /// By whoever uses the query; else by the query itself.
    given: Option<&'a [String]>,
    /// Whether a column without a name shows that.
    visible: bool,
}

impl Binder<'_> {
    /// Settles a view's query, whose columns have these names.
    pub fn view(&self, query: &mut Query, columns: &[String]) -> Option<()> {
        let naming = Naming { given: Some(columns), visible: true };
        self.query(query, None, &Ctes::new(), naming).map(drop)
    }

    fn query(&self, query: &mut Query, outer: Option<&Scope<'_>>, ctes: &Ctes, naming: Naming<'_>) -> Option<Vec<Output>> {
        let mut ctes = ctes.clone();
        if let Some(with) = &mut query.with {
            let around = Scope { taken: self.names_in(&query.body, outer), ..Scope::inside(outer) };
            for cte in &mut with.cte_tables {
                self.cte(cte, with.recursive, &around, &mut ctes)?;
            }
        }
        let mut order = match &mut query.order_by {
            None => &mut [][..],
            Some(ast::OrderBy { kind: OrderByKind::Expressions(items), .. }) => items.as_mut_slice(),
            Some(_) => return None,
        };
        let outputs = match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, std::mem::take(&mut order), outer, &ctes, naming)?,
            other => self.body(other, outer, &ctes, naming)?,
        };
        for item in order {
            self.order_of_set(&mut item.expr, &outputs)?;
        }
        Some(outputs)
    }

    /// The order of a set operation's rows: by a result column.
    fn order_of_set(&self, expr: &mut Expr, outputs: &[Output]) -> Option<()> {
        let Expr::Identifier(ident) = expr else { return Some(()) };
        let name = fold(ident);
        let place = outputs.iter().position(|output| output.name == name)?;
        *expr = Expr::value(Value::Number((place + 1).to_string(), false));
        Some(())
    }

    fn cte(&self, cte: &mut ast::Cte, recursive: bool, around: &Scope<'_>, ctes: &mut Ctes) -> Option<()> {
        let name = fold(&cte.alias.name);
        let naming = Naming { given: None, visible: true };
        let called = |outputs: Vec<Output>| -> Vec<Output> { renamed(outputs, &cte.alias.columns) };
        if recursive && let SetExpr::SetOperation { left, .. } = cte.query.body.as_ref() {
            let first = self.body(&mut left.clone(), Some(around), ctes, naming)?;
            ctes.push((name, called(first)));
            return self.query(&mut cte.query, Some(around), ctes, naming).map(drop);
        }
        let outputs = self.query(&mut cte.query, Some(around), ctes, naming)?;
        ctes.push((name, called(outputs)));
        Some(())
    }

    fn body(&self, body: &mut SetExpr, outer: Option<&Scope<'_>>, ctes: &Ctes, naming: Naming<'_>) -> Option<Vec<Output>> {
        match body {
            SetExpr::Select(select) => self.select(select, &mut [], outer, ctes, naming),
            SetExpr::Query(query) => self.query(query, outer, ctes, naming),
            SetExpr::SetOperation { left, right, .. } => {
                let outputs = self.body(left, outer, ctes, naming)?;
                self.body(right, outer, ctes, Naming { visible: false, ..naming })?;
                Some(outputs)
            }
            SetExpr::Values(values) => {
                let scope = Scope::inside(outer);
                let mut types = Vec::new();
                for row in &mut values.rows {
                    types = row.content.iter_mut().map(|value| self.expr(value, &scope, ctes)).collect::<Option<Vec<_>>>()?;
                }
                let named = |(n, ty): (usize, PgType)| {
                    let given = naming.given.and_then(|names| names.get(n).cloned());
                    Output { name: given.unwrap_or_else(|| format!("column{}", n + 1)), ty }
                };
                Some(types.into_iter().enumerate().map(named).collect())
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => None,
        }
    }

    fn select(
        &self,
        select: &mut Select,
        order: &mut [ast::OrderByExpr],
        outer: Option<&Scope<'_>>,
        ctes: &Ctes,
        naming: Naming<'_>,
    ) -> Option<Vec<Output>> {
        let mut scope = Scope { taken: self.names_of(&select.from, outer), ..Scope::inside(outer) };
        for tree in &mut select.from {
            self.tree(tree, &mut scope, ctes)?;
        }
        let outputs = self.projection(&mut select.projection, &scope, ctes, naming)?;
        if let Some(condition) = &mut select.selection {
            self.expr(condition, &scope, ctes)?;
        }
        let results = Results { outputs: &outputs, items: &select.projection };
        if let GroupByExpr::Expressions(items, _) = &mut select.group_by {
            for item in items {
                self.grouped(item, &scope, ctes, &results)?;
            }
        } else {
            return None;
        }
        if let Some(condition) = &mut select.having {
            self.expr(condition, &scope, ctes)?;
        }
        for ast::NamedWindowDefinition(_, window) in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = window {
                self.window(spec, &scope, ctes)?;
            }
        }
        if let Some(Distinct::On(items)) = &mut select.distinct {
            for item in items {
                self.ordered(item, &scope, ctes, &results)?;
            }
        }
        for item in order {
            self.ordered(&mut item.expr, &scope, ctes, &results)?;
        }
        Some(outputs)
    }

    fn window(&self, spec: &mut ast::WindowSpec, scope: &Scope<'_>, ctes: &Ctes) -> Option<()> {
        for part in &mut spec.partition_by {
            self.expr(part, scope, ctes)?;
        }
        for item in &mut spec.order_by {
            self.expr(&mut item.expr, scope, ctes)?;
        }
        Some(())
    }

    fn projection(
        &self,
        projection: &mut Vec<SelectItem>,
        scope: &Scope<'_>,
        ctes: &Ctes,
        naming: Naming<'_>,
    ) -> Option<Vec<Output>> {
        let mut items: Vec<(Expr, Output)> = Vec::with_capacity(projection.len());
        for item in projection.drain(..) {
            let name = item_name(&item);
            match item {
                SelectItem::UnnamedExpr(mut expr) | SelectItem::ExprWithAlias { mut expr, .. } => {
                    let ty = self.expr(&mut expr, scope, ctes)?;
                    items.push((expr, Output { name: name?, ty }));
                }
                SelectItem::Wildcard(options) if options == ast::WildcardAdditionalOptions::default() => {
                    items.extend(scope.all()?);
                }
                SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), options)
                    if options == ast::WildcardAdditionalOptions::default() =>
                {
                    items.extend(scope.all_of(&split(&name)?.1)?);
                }
                _ => return None,
            }
        }
        if let Some(names) = naming.given {
            if names.len() != items.len() {
                return None;
            }
            items.iter_mut().zip(names).for_each(|((_, output), name)| output.name.clone_from(name));
        }
        let outputs = items.iter().map(|(_, output)| output.clone()).collect();
        projection.extend(items.into_iter().map(|(expr, output)| self.item(expr, output.name, naming.visible)));
        Some(outputs)
    }

    fn item(&self, expr: Expr, name: String, visible: bool) -> SelectItem {
        let says_it = match &expr {
            Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|column| fold(column) == name),
            _ => !visible && name == crate::sql::columns::UNNAMED,
        };
        if self.purpose == Purpose::Show && says_it {
            return SelectItem::UnnamedExpr(expr);
        }
        SelectItem::ExprWithAlias { expr, alias: quoted(&name) }
    }

    /// An item of ORDER BY: a result column by name or number, else an expression.
    fn ordered(&self, expr: &mut Expr, scope: &Scope<'_>, ctes: &Ctes, results: &Results<'_>) -> Option<()> {
        let result = match &*expr {
            Expr::Identifier(ident) => results.named(&fold(ident)),
            other => results.numbered(other),
        };
        match (result, self.purpose) {
            (Some(_), Purpose::Store) => Some(()),
            (Some(result), Purpose::Show) => {
                *expr = result.clone();
                Some(())
            }
            (None, _) => self.expr(expr, scope, ctes).map(drop),
        }
    }

    /// An item of GROUP BY, where a column of the relations goes before a result column.
    fn grouped(&self, expr: &mut Expr, scope: &Scope<'_>, ctes: &Ctes, results: &Results<'_>) -> Option<()> {
        match expr {
            Expr::Identifier(ident) if scope.find(std::slice::from_ref(ident)).is_none() => {
                self.ordered(expr, scope, ctes, results)
            }
            Expr::Value(_) => self.ordered(expr, scope, ctes, results),
            Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
                sets.iter_mut().flatten().try_for_each(|item| self.grouped(item, scope, ctes, results))
            }
            other => self.expr(other, scope, ctes).map(drop),
        }
    }

    /// Settles an expression; its type, where that is known.
    fn expr(&self, expr: &mut Expr, scope: &Scope<'_>, ctes: &Ctes) -> Option<PgType> {
        let around = Surroundings { binder: self, scope, ctes };
        if self.purpose == Purpose::Show
            && let Some((typed, ty)) = typing::plain(expr.clone(), &around)
        {
            *expr = typed;
            return Some(ty);
        }
        self.names(expr, scope, ctes)?;
        Some(UNKNOWN)
    }

    fn names(&self, expr: &mut Expr, scope: &Scope<'_>, ctes: &Ctes) -> Option<()> {
        let mut settling = Settling { binder: self, scope, ctes, depth: 0 };
        match expr.visit(&mut settling) {
            ControlFlow::Continue(()) => Some(()),
            ControlFlow::Break(()) => None,
        }
    }

    fn tree(&self, tree: &mut TableWithJoins, scope: &mut Scope<'_>, ctes: &Ctes) -> Option<()> {
        let start = scope.sources.len();
        self.factor(&mut tree.relation, scope, ctes)?;
        for join in &mut tree.joins {
            let right = scope.sources.len();
            self.factor(&mut join.relation, scope, ctes)?;
            self.constraint(&mut join.join_operator, scope, ctes, start, right)?;
        }
        Some(())
    }

    fn constraint(
        &self,
        operator: &mut JoinOperator,
        scope: &mut Scope<'_>,
        ctes: &Ctes,
        start: usize,
        right: usize,
    ) -> Option<()> {
        #[derive(PartialEq)]
        enum Kept {
            Left,
            Right,
            Neither,
        }
        let (kept, constraint) = match operator {
            JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => {
                (Kept::Left, c)
            }
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (Kept::Right, c),
            JoinOperator::FullOuter(c) => (Kept::Neither, c),
            JoinOperator::CrossJoin(c) => (Kept::Left, c),
            _ => return None,
        };
        if *constraint == JoinConstraint::Natural {
            let left: Vec<&str> = scope.sources.get(start..right)?.iter().flat_map(names_in_source).collect();
            let both = scope.sources.get(right..)?.iter().flat_map(names_in_source).filter(|name| left.contains(name));
            *constraint = JoinConstraint::Using(both.map(|name| ObjectName::from(vec![quoted(name)])).collect());
        }
        match constraint {
            JoinConstraint::On(condition) => self.expr(condition, scope, ctes).map(drop),
            JoinConstraint::Using(columns) => {
                for name in columns {
                    let column = split(name)?.1;
                    let has = |source: &Source| source.columns.iter().any(|c| c.name == column);
                    let known = scope.merged.iter().position(|merged| merged.column == column);
                    let left = match known.and_then(|at| scope.merged.get(at)) {
                        Some(merged) => merged.source,
                        None => Some(start + scope.sources.get(start..right)?.iter().position(has)?),
                    };
                    let from_right = right + scope.sources.get(right..)?.iter().position(has)?;
                    let is_renamed = |source: &Source| {
                        source.renamed.as_ref().is_some_and(|(at, _)| source.columns.get(*at).is_some_and(|c| c.name == column))
                    };
                    if scope.sources.get(start..)?.iter().any(is_renamed) {
                        return None;
                    }
                    let source = match kept {
                        Kept::Left => left,
                        Kept::Right => Some(from_right),
                        Kept::Neither => None,
                    };
                    match known.and_then(|at| scope.merged.get_mut(at)) {
                        Some(merged) => merged.source = source,
                        None => scope.merged.push(Merged { column, source }),
                    }
                }
                Some(())
            }
            JoinConstraint::Natural | JoinConstraint::None => Some(()),
        }
    }

    fn factor(&self, factor: &mut TableFactor, scope: &mut Scope<'_>, ctes: &Ctes) -> Option<()> {
        match factor {
            TableFactor::Table { name, alias, args: None, version, sample: None, .. } => {
                let (schema, relation) = split(name)?;
                let cte = ctes.iter().rev().find(|(cte, _)| schema.is_none() && *cte == relation);
                let (full, columns) = match cte {
                    Some((_, columns)) => (None, columns.clone()),
                    None => {
                        let (full, columns) = self.relations.relation(schema.as_deref(), &relation, version.is_some())?;
                        *name = ObjectName::from(vec![quoted(&full.schema), quoted(&full.name)]);
                        (Some(full), columns)
                    }
                };
                if let Some(clause) = version {
                    *clause = spelled(clause)?;
                }
                let of_table = |(table, from, to): (&Qualified, &str, &str)| {
                    let place = columns.iter().position(|c| c.name == from).filter(|_| full.as_ref() == Some(table))?;
                    Some((place, to.to_owned()))
                };
                let renamed = self.renamed.and_then(of_table);
                let source = self.source(alias, &relation, columns, scope);
                // A column that the alias names keeps that name.
                let named = alias.as_ref().map_or(0, |alias| alias.columns.len());
                let renamed = renamed.filter(|(place, _)| *place >= named);
                scope.sources.push(Source { relation: full, renamed, ..source });
                Some(())
            }
            TableFactor::Table { name, alias, args: Some(args), version: None, .. } => {
                self.call(name, &mut args.args, alias, scope, ctes)
            }
            TableFactor::Function { name, args, alias, .. } => self.call(name, args, alias, scope, ctes),
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                let naming = Naming { given: None, visible: true };
                let outputs = if *lateral {
                    self.query(subquery, Some(scope), ctes, naming)?
                } else {
                    let around = Scope { taken: scope.taken.clone(), ..Scope::inside(scope.outer) };
                    self.query(subquery, Some(&around), ctes, naming)?
                };
                let name = fold(&alias.as_ref()?.name);
                let source = self.source(alias, &name, outputs, scope);
                scope.sources.push(source);
                Some(())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.tree(table_with_joins, scope, ctes),
            _ => None,
        }
    }

    /// A function in FROM: its one column, where it has one, goes by the alias.
    fn call(
        &self,
        name: &mut ObjectName,
        args: &mut [ast::FunctionArg],
        alias: &mut Option<TableAlias>,
        scope: &mut Scope<'_>,
        ctes: &Ctes,
    ) -> Option<()> {
        let mut types = Vec::new();
        for arg in args {
            let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) = arg else { return None };
            types.push(self.expr(expr, scope, ctes)?);
        }
        let (schema, function) = split(name)?;
        let columns = match self.relations.past_of(schema.as_deref(), &function) {
            Some((full, columns)) => {
                *name = ObjectName::from(vec![quoted(&full.schema), quoted(&full.name)]);
                columns
            }
            None => {
                if let Some(full) = self.relations.function(schema.as_deref(), &function) {
                    *name = ObjectName::from(vec![quoted(&full.schema), quoted(&full.name)]);
                }
                let called = alias.as_ref().map_or_else(|| function.clone(), |alias| fold(&alias.name));
                let column = alias.as_ref().and_then(|alias| alias.columns.first()).map(|column| fold(&column.name));
                let result = typing::result_of(&function, &types);
                let one = Output { name: column.unwrap_or(called), ty: result.unwrap_or(UNKNOWN) };
                let scalar = result.is_some() || matches!(function.as_str(), "generate_series" | "unnest");
                if scalar { vec![one] } else { Vec::new() }
            }
        };
        let bare = alias.as_ref().is_none_or(|alias| alias.columns.is_empty());
        let source = self.source(alias, &function, columns, scope);
        if let (Purpose::Show, [only], true, Some(alias)) = (self.purpose, source.columns.as_slice(), bare, alias.as_mut()) {
            alias.columns.push(TableAliasColumnDef { name: quoted(&only.name), data_type: None });
        }
        scope.sources.push(source);
        Some(())
    }

    /// The source that a factor is, which gets an alias: its own, or the one under which it is printed.
    fn source(&self, alias: &mut Option<TableAlias>, name: &str, columns: Vec<Output>, scope: &Scope<'_>) -> Source {
        let alias = alias.get_or_insert_with(|| TableAlias { explicit: true, name: quoted(name), columns: vec![], at: None });
        let name = fold(&alias.name);
        let shown = self.free_name(&name, scope.outer);
        alias.name = quoted(&shown);
        Source { name, shown, columns: renamed(columns, &alias.columns), renamed: None, relation: None }
    }

    /// The name, or that with a number where a query around prints a relation under it.
    fn free_name(&self, name: &str, outer: Option<&Scope<'_>>) -> String {
        let taken = |name: &str| outer.is_some_and(|outer| outer.is_taken(name));
        if self.purpose == Purpose::Store || !taken(name) {
            return name.to_owned();
        }
        (1u32..).map(|n| format!("{name}_{n}")).find(|name| !taken(name)).unwrap_or_default()
    }

    fn names_in(&self, body: &SetExpr, outer: Option<&Scope<'_>>) -> Vec<String> {
        match body {
            SetExpr::Select(select) => self.names_of(&select.from, outer),
            _ => Vec::new(),
        }
    }

    /// The names that relations in FROM are printed under.
    fn names_of(&self, from: &[TableWithJoins], outer: Option<&Scope<'_>>) -> Vec<String> {
        let mut names = Vec::new();
        let mut waiting: Vec<&TableFactor> = Vec::new();
        for tree in from {
            waiting.push(&tree.relation);
            waiting.extend(tree.joins.iter().map(|join| &join.relation));
        }
        while let Some(factor) = waiting.pop() {
            let (alias, own) = match factor {
                TableFactor::Table { name, alias, .. } | TableFactor::Function { name, alias, .. } => (alias, split(name)),
                TableFactor::Derived { alias, .. } => (alias, None),
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    waiting.push(&table_with_joins.relation);
                    waiting.extend(table_with_joins.joins.iter().map(|join| &join.relation));
                    continue;
                }
                _ => continue,
            };
            let name = alias.as_ref().map(|alias| fold(&alias.name)).or(own.map(|(_, name)| name));
            names.extend(name.map(|name| self.free_name(&name, outer)));
        }
        names
    }
}

fn names_in_source(source: &Source) -> impl Iterator<Item = &str> {
    source.columns.iter().map(|column| column.name.as_str())
}

/// Columns under the names that an alias gives them.
fn renamed(mut outputs: Vec<Output>, names: &[TableAliasColumnDef]) -> Vec<Output> {
    outputs.iter_mut().zip(names).for_each(|(output, column)| output.name = fold(&column.name));
    outputs
}

/// The result columns of a SELECT.
struct Results<'a> {
    outputs: &'a [Output],
    items: &'a [SelectItem],
}

impl Results<'_> {
    fn at(&self, place: usize) -> Option<&Expr> {
        match self.items.get(place)? {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
            _ => None,
        }
    }

    fn named(&self, name: &str) -> Option<&Expr> {
        self.at(self.outputs.iter().position(|output| output.name == name)?)
    }

    fn numbered(&self, expr: &Expr) -> Option<&Expr> {
        let Expr::Value(value) = expr else { return None };
        let Value::Number(digits, _) = &value.value else { return None };
        self.at(digits.parse::<usize>().ok()?.checked_sub(1)?)
    }
}

/// What an expression of a query finds around it.
struct Surroundings<'a> {
    binder: &'a Binder<'a>,
    scope: &'a Scope<'a>,
    ctes: &'a Ctes,
}

impl Env for Surroundings<'_> {
    fn column(&self, parts: Vec<Ident>) -> Typed {
        match self.scope.find(&parts) {
            Some(found) => of(found.qualified(), found.ty().map_or(UNKNOWN, |ty| ty.with_modifier(-1))),
            None if parts.len() == 1 => of(Expr::Identifier(parts.into_iter().next().unwrap_or_else(|| Ident::new(""))), UNKNOWN),
            None => of(Expr::CompoundIdentifier(parts), UNKNOWN),
        }
    }

    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType> {
        self.binder.relations.own_type(schema, name)?.1
    }

    fn query(&self, mut query: Query) -> Option<(Query, PgType)> {
        let naming = Naming { given: None, visible: false };
        let outputs = self.binder.query(&mut query, Some(self.scope), self.ctes, naming)?;
        Some((query, outputs.first().map_or(UNKNOWN, |output| output.ty)))
    }

    fn other(&self, mut expr: Expr) -> Option<Expr> {
        self.binder.names(&mut expr, self.scope, self.ctes)?;
        Some(expr)
    }
}

/// Settles the names of an expression and leaves the rest as it is.
struct Settling<'a> {
    binder: &'a Binder<'a>,
    scope: &'a Scope<'a>,
    ctes: &'a Ctes,
    /// Queries around that are settled as a whole.
    depth: usize,
}

impl VisitorMut for Settling<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        let naming = Naming { given: None, visible: false };
        if self.depth == 1 && self.binder.query(query, Some(self.scope), self.ctes, naming).is_none() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        typing::join_names(expr);
        match expr {
            Expr::Identifier(ident) => {
                if let Some(found) = self.scope.find(std::slice::from_ref(ident)) {
                    *expr = found.qualified();
                }
            }
            Expr::CompoundIdentifier(parts) => {
                if let Some(found) = self.scope.find(parts) {
                    *expr = found.qualified();
                }
            }
            Expr::Cast { data_type, .. } => self.type_name(data_type),
            Expr::TypedString(typed) => self.type_name(&mut typed.data_type),
            Expr::Function(function) => {
                if let Some((schema, name)) = split(&function.name)
                    && let Some(full) = self.binder.relations.function(schema.as_deref(), &name)
                {
                    function.name = ObjectName::from(vec![quoted(&full.schema), quoted(&full.name)]);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Settling<'_> {
    fn type_name(&self, ty: &mut ast::DataType) {
        if let Some((schema, name)) = crate::sql::rename::own_name(ty)
            && let Some((full, _)) = self.binder.relations.own_type(schema.as_deref(), &name)
        {
            crate::sql::rename::set_name(ty, &full);
        }
    }
}
