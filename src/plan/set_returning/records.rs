//! `jsonb_to_record(x) AS r(a int, …)` and its kin, written as the subquery that says the same: each column is the
//! object's member of that name, cast to the type that the alias gives it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, TableAlias, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Result, SqlError, SqlState};
use crate::plan::expand::split;

/// Rewrites every such call in FROM. 42601 for one without a list of columns.
pub fn rewrite(query: &mut Query) -> Result<()> {
    match query.visit(&mut Records) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Records;

impl VisitorMut for Records {
    type Break = SqlError;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let (name, args, alias) = match factor {
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, &args.args, alias),
            TableFactor::Function { name, args, alias, .. } => (name, &*args, alias),
            _ => return ControlFlow::Continue(()),
        };
        let Some(function) = Function::named(name) else { return ControlFlow::Continue(()) };
        match subquery(function, args, alias.as_ref()) {
            Ok(subquery) => {
                *factor = subquery;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

#[derive(Clone, Copy)]
struct Function {
    /// `json` or `jsonb`.
    kind: &'static str,
    /// One row for each element of an array.
    set: bool,
}

impl Function {
    fn named(name: &ObjectName) -> Option<Self> {
        let (schema, name) = split(name)?;
        if schema.is_some_and(|schema| schema != "pg_catalog") {
            return None;
        }
        match name.as_str() {
            "json_to_record" => Some(Self { kind: "json", set: false }),
            "jsonb_to_record" => Some(Self { kind: "jsonb", set: false }),
            "json_to_recordset" => Some(Self { kind: "json", set: true }),
            "jsonb_to_recordset" => Some(Self { kind: "jsonb", set: true }),
            _ => None,
        }
    }
}

fn subquery(function: Function, args: &[FunctionArg], alias: Option<&TableAlias>) -> Result<TableFactor> {
    let without = || {
        let message = "a column definition list is required for functions returning \"record\"";
        SqlError::new(SqlState::SYNTAX_ERROR, message)
    };
    let alias = alias.filter(|alias| !alias.columns.is_empty()).ok_or_else(without)?;
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = args else {
        return Err(SqlError::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("function {}_to_record needs one argument", function.kind),
        ));
    };
    let columns = alias.columns.iter().map(|column| {
        let ty = column.data_type.as_ref().ok_or_else(without)?;
        Ok(format!("{} AS {}", member(&column.name, ty, function), quoted(&column.name)))
    });
    let columns = columns.collect::<Result<Vec<String>>>()?.join(", ");
    let kind = function.kind;
    let source =
        if function.set { format!("{kind}_array_elements(argument::{kind})") } else { format!("(SELECT argument::{kind})") };
    let text = format!("SELECT {columns} FROM {source} AS item(value)");
    let mut query = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(&text)
        .and_then(|mut parser| parser.parse_query())
        .map_err(|_| SqlError::internal("a record's columns cannot be written as a query"))?;
    let _ = query.visit(&mut Argument { value });
    let alias = TableAlias { explicit: alias.explicit, name: alias.name.clone(), columns: vec![], at: None };
    Ok(TableFactor::Derived { lateral: true, subquery: query, alias: Some(alias), sample: None })
}

/// The member of this name as a value of the type; NULL where it is not there or is JSON's null.
fn member(name: &ast::Ident, ty: &DataType, function: Function) -> String {
    let key = format!("'{}'", folded(name).replace('\'', "''"));
    let text = format!("(item.value ->> {key})");
    match ty {
        DataType::JSON | DataType::JSONB => {
            format!("CASE WHEN {text} IS NULL THEN NULL ELSE (item.value -> {key})::{ty} END")
        }
        DataType::Array(_) => {
            let elements = format!("{}_array_elements_text(item.value -> {key})", function.kind);
            let array = format!("ARRAY(SELECT element.value FROM {elements} AS element(value))");
            format!("CASE WHEN {text} IS NULL THEN NULL ELSE {array}::{ty} END")
        }
        _ => format!("{text}::{ty}"),
    }
}

fn folded(name: &ast::Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn quoted(name: &ast::Ident) -> String {
    format!("\"{}\"", folded(name).replace('"', "\"\""))
}

/// Puts the call's argument where the template names it.
struct Argument<'a> {
    value: &'a Expr,
}

impl VisitorMut for Argument<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(ident) if ident.value == "argument" && ident.quote_style.is_none()) {
            *expr = Expr::Nested(Box::new(self.value.clone()));
        }
        ControlFlow::Continue(())
    }
}
