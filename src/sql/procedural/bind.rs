//! Variables in SQL: names that are a variable's become parameters.
//!
//! A whole row is written out by its fields, since no parameter is a row.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Value, VisitMut, VisitorMut,
};

use crate::sql::call::call;
use crate::sql::query::folded;
use crate::sql::statement::{MergeAction, Statement};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The parameter of this number, from 1.
    Parameter(usize),
    /// A row: its fields' names and parameters.
    Row(Vec<(String, usize)>),
}

/// Puts parameters in the place of every expression that is a name (`x`, `r.field`, `$1`) which `meaning` knows.
pub fn bind(statement: &mut Statement, meaning: impl FnMut(&[String]) -> Option<Meaning>) {
    visit(statement, &mut Binder { meaning });
    visit(statement, &mut Numbered);
}

fn visit(statement: &mut Statement, visitor: &mut impl VisitorMut<Break = ()>) {
    // Nothing in it breaks off.
    let _ = match statement {
        Statement::Query(query) => query.visit(visitor),
        Statement::Insert(insert) => insert.visit(visitor),
        Statement::Update(update) => update.visit(visitor),
        Statement::Delete(delete) => delete.visit(visitor),
        Statement::Call(call) => call.visit(visitor),
        Statement::With { writes, main } => {
            writes.iter_mut().for_each(|write| visit(&mut write.statement, visitor));
            return visit(main, visitor);
        }
        Statement::Merge(merge) => {
            let _ = merge.source.visit(visitor);
            for clause in &mut merge.clauses {
                let _ = clause.condition.visit(visitor);
                let _ = match &mut clause.action {
                    MergeAction::Update(assignments) => assignments.visit(visitor),
                    MergeAction::Insert { values, .. } => values.visit(visitor),
                    MergeAction::Nothing | MergeAction::Delete => ControlFlow::Continue(()),
                };
            }
            merge.on.visit(visitor)
        }
        _ => return,
    };
}

/// The function that `row_to_json` of names and values is planned as.
const ROW_JSON: &str = "__row_json";

/// What a parameter is called until all names have been looked at, so that none is taken for an argument's `$1`.
const NEW: &str = "\u{1}";

struct Numbered;

impl VisitorMut for Numbered {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &mut value.value
            && let Some(number) = name.strip_prefix(NEW)
        {
            *name = format!("${number}");
        }
        ControlFlow::Continue(())
    }
}

struct Binder<F> {
    meaning: F,
}

fn parameter(number: usize) -> Expr {
    Expr::Value(Value::Placeholder(format!("{NEW}{number}")).with_empty_span())
}

fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

/// The name that an expression is.
fn path_of(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Identifier(name) => Some(vec![folded(name)]),
        Expr::CompoundIdentifier(names) => Some(names.iter().map(folded).collect()),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(vec![name.clone()]),
            _ => None,
        },
        // The arguments of a trigger are counted from 0: they are fields of a row.
        Expr::CompoundFieldAccess { root, access_chain } if matches!(root.as_ref(), Expr::Identifier(name) if folded(name) == "tg_argv") =>
        {
            let [AccessExpr::Subscript(ast::Subscript::Index { index: Expr::Value(index) })] = &access_chain[..] else {
                return None;
            };
            match &index.value {
                Value::Number(digits, _) => Some(vec!["tg_argv".to_owned(), digits.clone()]),
                _ => None,
            }
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let (Expr::Nested(inner), [AccessExpr::Dot(Expr::Identifier(field))]) = (root.as_ref(), &access_chain[..]) else {
                return None;
            };
            let mut path = path_of(inner)?;
            path.push(folded(field));
            Some(path)
        }
        _ => None,
    }
}

impl<F: FnMut(&[String]) -> Option<Meaning>> Binder<F> {
    fn row(&mut self, path: &[String]) -> Option<Vec<(String, usize)>> {
        match (self.meaning)(path)? {
            Meaning::Row(fields) => Some(fields),
            Meaning::Parameter(_) => None,
        }
    }

    /// Forms around a whole row that want more than the record of its values.
    fn around_row(&mut self, expr: &Expr) -> Option<Expr> {
        match expr {
            Expr::IsNull(row) | Expr::IsNotNull(row) => {
                let row = match row.as_ref() {
                    Expr::Nested(inner) => path_of(inner)?,
                    row => path_of(row)?,
                };
                let fields = self.row(&row)?;
                let test = |value: Expr| match expr {
                    Expr::IsNull(_) => Expr::IsNull(Box::new(value)),
                    _ => Expr::IsNotNull(Box::new(value)),
                };
                let and = |a, b| Expr::BinaryOp { left: Box::new(a), op: BinaryOperator::And, right: Box::new(b) };
                let all = fields.iter().map(|(_, number)| test(parameter(*number))).reduce(and)?;
                Some(Expr::Nested(Box::new(all)))
            }
            Expr::Function(function) => {
                let name = function.name.0.last()?.as_ident().map(folded)?;
                let FunctionArguments::List(list) = &function.args else { return None };
                let fields = match &list.args[..] {
                    [FunctionArg::Unnamed(FunctionArgExpr::Expr(row))] => self.row(&path_of(row)?)?,
                    [FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(row))] => self.row(&names_of(row)?)?,
                    _ => return None,
                };
                let members = || fields.iter().flat_map(|(name, number)| [text(name), parameter(*number)]);
                match name.as_str() {
                    "to_jsonb" => Some(call("jsonb_build_object", members())),
                    "row_to_json" | "to_json" => Some(call(ROW_JSON, members())),
                    "row" => Some(call("row", fields.iter().map(|(_, number)| parameter(*number)))),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

fn names_of(name: &ast::ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|part| part.as_ident().map(folded)).collect()
}

impl<F: FnMut(&[String]) -> Option<Meaning>> VisitorMut for Binder<F> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let SetExpr::Values(values) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        for row in &mut values.rows {
            let cells = std::mem::take(&mut row.content);
            for cell in cells {
                let spread = match &cell {
                    Expr::QualifiedWildcard(name, _) => names_of(name).and_then(|path| self.row(&path)),
                    _ => None,
                };
                match spread {
                    Some(fields) => row.content.extend(fields.iter().map(|(_, number)| parameter(*number))),
                    None => row.content.push(cell),
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in std::mem::take(&mut select.projection) {
            let spread = match &item {
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    names_of(name).and_then(|path| self.row(&path))
                }
                _ => None,
            };
            match spread {
                Some(fields) => select.projection.extend(fields.into_iter().map(|(name, number)| SelectItem::ExprWithAlias {
                    expr: parameter(number),
                    alias: Ident::with_quote('"', name),
                })),
                None => select.projection.push(item),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(written) = self.around_row(expr) {
            *expr = written;
        } else if let Expr::CompoundFieldAccess { .. } = expr
            && let Some(path) = path_of(expr)
            && let Some(Meaning::Parameter(number)) = (self.meaning)(&path)
        {
            *expr = parameter(number);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let path = match &*expr {
            Expr::CompoundFieldAccess { .. } => None,
            expr => path_of(expr),
        };
        if let Some(path) = path
            && !path.iter().any(|name| name.starts_with(NEW))
        {
            match (self.meaning)(&path) {
                Some(Meaning::Parameter(number)) => *expr = parameter(number),
                Some(Meaning::Row(fields)) => {
                    *expr = call("row", fields.iter().map(|(_, number)| parameter(*number)));
                }
                None => {}
            }
        }
        ControlFlow::Continue(())
    }
}
