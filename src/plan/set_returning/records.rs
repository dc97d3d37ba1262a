//! `jsonb_to_record(x) AS r(a int, …)`, `jsonb_populate_record(NULL::t, x)` and their kin, written as the subquery that says
//! the same: each column is the object's member of that name, cast to the type that the alias or the row has for it.
//!
//! Refuses to fill a row that is not NULL with 0A000, and knows these functions in FROM only.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, TableAlias, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Result, SqlError, SqlState};
use crate::plan::expand::split;
use crate::plan::functions::json_arrays::ARRAY_TEXT;
use crate::plan::names::Planning;
use crate::plan::routines::kinds::{Kind, Names};
use crate::types::TypeName;

/// Rewrites every such call in FROM. 42601 for one without a list of columns.
pub fn rewrite(planning: &Planning, query: &mut Query) -> Result<()> {
    match query.visit(&mut Records { planning }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Records<'a> {
    planning: &'a Planning,
}

impl VisitorMut for Records<'_> {
    type Break = SqlError;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let (name, args, alias) = match factor {
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, &args.args, alias),
            TableFactor::Function { name, args, alias, .. } => (name, &*args, alias),
            _ => return ControlFlow::Continue(()),
        };
        let Some(function) = Function::named(name) else { return ControlFlow::Continue(()) };
        match self.subquery(function, args, alias.as_ref()) {
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
    name: &'static str,
    /// `json` or `jsonb`.
    kind: &'static str,
    /// One row for each element of an array.
    set: bool,
    /// The columns are those of a row that is the first argument.
    of_row: bool,
}

const FUNCTIONS: [Function; 8] = [
    Function { name: "json_to_record", kind: "json", set: false, of_row: false },
    Function { name: "jsonb_to_record", kind: "jsonb", set: false, of_row: false },
    Function { name: "json_to_recordset", kind: "json", set: true, of_row: false },
    Function { name: "jsonb_to_recordset", kind: "jsonb", set: true, of_row: false },
    Function { name: "json_populate_record", kind: "json", set: false, of_row: true },
    Function { name: "jsonb_populate_record", kind: "jsonb", set: false, of_row: true },
    Function { name: "json_populate_recordset", kind: "json", set: true, of_row: true },
    Function { name: "jsonb_populate_recordset", kind: "jsonb", set: true, of_row: true },
];

impl Function {
    fn named(name: &ObjectName) -> Option<Self> {
        let (schema, name) = split(name)?;
        if schema.is_some_and(|schema| schema != "pg_catalog") {
            return None;
        }
        FUNCTIONS.into_iter().find(|function| function.name == name)
    }
}

/// A column: the member's name and its type as SQL.
struct Column {
    name: String,
    ty: String,
    array: bool,
    /// The value, or the element of an array, is json or jsonb.
    json: bool,
}

impl Records<'_> {
    fn subquery(&self, function: Function, args: &[FunctionArg], alias: Option<&TableAlias>) -> Result<TableFactor> {
        let given = args.iter().map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
            _ => None,
        });
        let given = given.collect::<Option<Vec<_>>>().unwrap_or_default();
        let (value, columns) = match (&given[..], function.of_row) {
            ([value], false) => (*value, listed(alias)?),
            ([row, value], true) => (*value, self.of_row(function, row)?),
            _ => {
                let message = format!("function {} of {} arguments does not exist", function.name, args.len());
                return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message));
            }
        };
        let columns = columns.iter().map(|column| format!("{} AS {}", column.member(), quoted(&column.name)));
        let (columns, kind) = (columns.collect::<Vec<_>>().join(", "), function.kind);
        let source =
            if function.set { format!("{kind}_array_elements(argument::{kind})") } else { format!("(SELECT argument::{kind})") };
        let text = format!("SELECT {columns} FROM {source} AS item(value)");
        let mut query = Parser::new(&PostgreSqlDialect {})
            .try_with_sql(&text)
            .and_then(|mut parser| parser.parse_query())
            .map_err(|_| SqlError::internal("a record's columns cannot be written as a query"))?;
        let _ = query.visit(&mut Argument { value });
        let alias = match alias {
            // Their types are in the query.
            Some(alias) if !function.of_row => TableAlias { columns: vec![], ..alias.clone() },
            Some(alias) => alias.clone(),
            None => TableAlias { explicit: true, name: ast::Ident::new(function.name), columns: vec![], at: None },
        };
        Ok(TableFactor::Derived { lateral: true, subquery: query, alias: Some(alias), sample: None })
    }

    /// The columns of `NULL::t`.
    fn of_row(&self, function: Function, row: &Expr) -> Result<Vec<Column>> {
        let Expr::Cast { expr, data_type, .. } = unwrapped(row) else { return Err(not_null(function)) };
        if !matches!(unwrapped(expr), Expr::Value(value) if value.value == ast::Value::Null) {
            return Err(not_null(function));
        }
        let catalog = std::sync::Arc::clone(&self.planning.ctx.transaction.lock().catalog);
        let names = Names { catalog: &catalog, path: &self.planning.ctx.search_path };
        let Kind::Rows(columns) = names.variable(&data_type.to_string())? else {
            let message = format!("first argument of {} must be a row type", function.name);
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        };
        let column = |(name, ty): (String, crate::types::PgType)| Column {
            name,
            ty: ty.full_name(),
            array: ty.array,
            json: matches!(ty.name, TypeName::Json | TypeName::Jsonb),
        };
        Ok(columns.into_iter().map(column).collect())
    }
}

fn not_null(function: Function) -> SqlError {
    let message = format!("{} of a row that is not a NULL with its type is not supported", function.name);
    SqlError::unsupported(message, "Write NULL::type, and coalesce the columns.")
}

fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unwrapped(inner),
        other => other,
    }
}

/// The columns that an alias lists.
fn listed(alias: Option<&TableAlias>) -> Result<Vec<Column>> {
    let without = || {
        let message = "a column definition list is required for functions returning \"record\"";
        SqlError::new(SqlState::SYNTAX_ERROR, message)
    };
    let alias = alias.filter(|alias| !alias.columns.is_empty()).ok_or_else(without)?;
    let column = |column: &ast::TableAliasColumnDef| {
        let ty = column.data_type.as_ref().ok_or_else(without)?;
        let (element, array) = element_of(ty);
        let json = matches!(element, DataType::JSON | DataType::JSONB);
        Ok(Column { name: folded(&column.name), ty: ty.to_string(), array, json })
    };
    alias.columns.iter().map(column).collect()
}

/// The type of an array's elements, whatever its dimensions, and whether there is an array.
fn element_of(ty: &DataType) -> (&DataType, bool) {
    match ty {
        DataType::Array(
            ast::ArrayElemTypeDef::SquareBracket(element, _)
            | ast::ArrayElemTypeDef::AngleBracket(element)
            | ast::ArrayElemTypeDef::Parenthesis(element),
        ) => (element_of(element).0, true),
        other => (other, false),
    }
}

impl Column {
    /// The member of this name as a value of the type; NULL where it is not there or is JSON's null.
    fn member(&self) -> String {
        let Self { name, ty, array, json } = self;
        let key = format!("'{}'", name.replace('\'', "''"));
        let text = format!("(item.value ->> {key})");
        match (array, json) {
            (true, json) => format!("{ARRAY_TEXT}(item.value -> {key}, {json})::{ty}"),
            (false, true) => format!("CASE WHEN {text} IS NULL THEN NULL ELSE (item.value -> {key})::{ty} END"),
            (false, false) => format!("{text}::{ty}"),
        }
    }
}

fn folded(name: &ast::Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
