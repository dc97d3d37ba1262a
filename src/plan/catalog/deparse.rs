//! Expressions of definitions as PostgreSQL prints them: casts that it implies are written out, operators are in
//! parentheses, literals carry their types.
//!
//! Prints what it understands; an expression with a form that it does not know is shown as it was written.

mod layout;
mod overload;
mod print;
pub mod typing;

use datafusion::sql::sqlparser::ast::{self, Expr};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::history::{ColumnDef, ColumnId, DomainDef, TableDef};
use crate::types::{PgType, TypeName};

pub use layout::definition;
pub use print::{Style, Visible};
use typing::Columns;

/// Types of the usual schema go without it.
fn usual(schema: &str, _: &str) -> bool {
    schema == "public"
}

fn fully(expr: &Expr) -> Option<String> {
    print::print(expr, Style::Full, &usual)
}

/// A column's default as `pg_get_expr` shows it.
pub fn default(table: &TableDef, column: &ColumnDef, text: &str) -> String {
    let columns: Vec<ColumnDef> = table.live_columns().cloned().collect();
    assigned(&columns, column, text)
}

fn assigned(columns: &[ColumnDef], column: &ColumnDef, text: &str) -> String {
    let Some(expr) = parse(text) else { return text.to_owned() };
    let typed = typing::assigned(expr, column.ty, &Columns(columns));
    typed.and_then(|e| fully(&e)).unwrap_or_else(|| text.to_owned())
}

/// A domain's default.
pub fn domain_default(domain: &DomainDef, text: &str) -> String {
    let typed = parse(text).and_then(|expr| typing::assigned(expr, domain.base, &Columns(&[])));
    typed.and_then(|e| fully(&e)).unwrap_or_else(|| text.to_owned())
}

/// A condition of a domain, VALUE being the value.
pub fn domain_check(domain: &DomainDef, text: &str) -> String {
    let column = ColumnDef::plain(ColumnId(1), "value", domain.base);
    let typed = parse(text).and_then(|expr| typing::condition(expr, &Columns(std::slice::from_ref(&column))));
    let shown = typed.and_then(|e| fully(&e)).unwrap_or_else(|| text.to_owned());
    crate::sql::rename::rename_column(&shown, "value", "VALUE").map_or(shown, |text| text.replace("\"VALUE\"", "VALUE"))
}

/// The condition of a CHECK as `pg_get_expr` shows it.
pub fn check(table: &TableDef, text: &str) -> String {
    let Some(expr) = parse(text) else { return text.to_owned() };
    let columns: Vec<ColumnDef> = table.live_columns().cloned().collect();
    let typed = typing::condition(expr, &Columns(&columns));
    typed.and_then(|e| fully(&e)).unwrap_or_else(|| text.to_owned())
}

/// The type of an expression over a table's columns, as far as it is known.
pub fn type_of(table: &TableDef, text: &str) -> Option<PgType> {
    let columns: Vec<ColumnDef> = table.live_columns().cloned().collect();
    typing::type_of(parse(text)?, &Columns(&columns)).filter(|ty| ty.name != TypeName::Unknown)
}

/// An expression of an index as it shows it: a call as it is, everything else in parentheses.
pub fn index_part(table: &TableDef, text: &str, style: Style) -> String {
    let columns: Vec<ColumnDef> = table.live_columns().cloned().collect();
    let plain = parse(text).and_then(|expr| typing::plain(expr, &Columns(&columns)));
    let Some((expr, _)) = plain else { return format!("({text})") };
    let Some(shown) = print::print(&expr, style, &usual) else { return format!("({text})") };
    if matches!(expr, Expr::Function(_)) { shown } else { format!("({shown})") }
}

/// A text that [`default`] or [`check`] gave, in another style and with names of relations shown by `name`.
pub fn restyled(text: &str, style: Style, name: impl Fn(&str) -> Option<String>) -> String {
    let Some(mut expr) = parse(text) else { return text.to_owned() };
    rename(&mut expr, &name);
    print::print(&expr, style, &usual).unwrap_or_else(|| text.to_owned())
}

/// Gives the constants of type regclass the name that is visible.
fn rename(expr: &mut Expr, name: &impl Fn(&str) -> Option<String>) {
    let _: std::ops::ControlFlow<()> = ast::visit_expressions_mut(expr, |e| {
        if let Expr::Cast { expr: inner, data_type: ast::DataType::Regclass, .. } = e
            && let Expr::Value(value) = inner.as_mut()
            && let ast::Value::SingleQuotedString(text) = &mut value.value
            && let Some(shown) = name(text)
        {
            *text = shown;
        }
        std::ops::ControlFlow::Continue(())
    });
}

/// Columns that an expression names, in the order of their first appearance.
pub fn columns_of(table: &TableDef, text: &str) -> Vec<ColumnId> {
    let Some(mut expr) = parse(text) else { return Vec::new() };
    let mut found: Vec<ColumnId> = Vec::new();
    let _: std::ops::ControlFlow<()> = ast::visit_expressions_mut(&mut expr, |e| {
        let ident = match e {
            Expr::Identifier(ident) => Some(&*ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(column) = ident.and_then(|ident| table.column(&crate::plan::expand::fold(ident)))
            && !found.contains(&column.id)
        {
            found.push(column.id);
        }
        std::ops::ControlFlow::Continue(())
    });
    found
}

fn parse(text: &str) -> Option<Expr> {
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?;
    let expr = parser.parse_expr().ok()?;
    parser.peek_token().token.eq(&datafusion::sql::sqlparser::tokenizer::Token::EOF).then_some(expr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, ty: PgType) -> ColumnDef {
        ColumnDef::plain(ColumnId(1), name, ty)
    }

    /// Expected texts are PostgreSQL 15's.
    #[test]
    fn defaults_are_shown_as_postgresql_shows_them() {
        let plain = PgType::new;
        for (ty, text, expected) in [
            (plain(TypeName::Int4), "0", "0"),
            (plain(TypeName::Int4), "-1", "'-1'::integer"),
            (plain(TypeName::Numeric), "-1.5", "'-1.5'::numeric"),
            (plain(TypeName::Numeric), "1.5", "1.5"),
            (PgType::TEXT, "'a'", "'a'::text"),
            (plain(TypeName::Varchar).with_modifier(34), "'a'", "'a'::character varying"),
            (plain(TypeName::Bpchar).with_modifier(7), "'a'", "'a'::bpchar"),
            (PgType::BOOL, "true", "true"),
            (PgType::TIMESTAMPTZ, "now()", "now()"),
            (PgType::TIMESTAMPTZ, "current_timestamp", "CURRENT_TIMESTAMP"),
            (PgType::JSONB, "'{}'", "'{}'::jsonb"),
            (PgType::JSONB, "'{}'::jsonb", "'{}'::jsonb"),
            (PgType::TEXT.array_of(), "'{}'", "'{}'::text[]"),
            (plain(TypeName::Uuid), "gen_random_uuid()", "gen_random_uuid()"),
            (PgType::INT8, "nextval('public.s')", "nextval('public.s'::regclass)"),
            (PgType::INT4, "1 + 2", "(1 + 2)"),
            (PgType::TEXT, "NULL", "NULL::text"),
            (plain(TypeName::Date), "current_date", "CURRENT_DATE"),
            (PgType::TEXT, "lower('A')", "lower('A'::text)"),
        ] {
            assert_eq!(assigned(&[], &column("c", ty), text), expected, "{text}");
        }
    }

    #[test]
    fn conditions_are_shown_as_postgresql_shows_them() {
        let columns = vec![
            column("a", PgType::INT4),
            column("n", PgType::new(TypeName::Numeric)),
            column("v", PgType::new(TypeName::Varchar)),
            column("t", PgType::TEXT),
            column("f", PgType::new(TypeName::Float8)),
            column("d", PgType::new(TypeName::Date)),
        ];
        for (text, full, pretty) in [
            ("a > 0", "(a > 0)", "a > 0"),
            ("n >= 0", "(n >= (0)::numeric)", "n >= 0::numeric"),
            ("a > 0 AND a < 10", "((a > 0) AND (a < 10))", "a > 0 AND a < 10"),
            ("a BETWEEN 1 AND 5", "((a >= 1) AND (a <= 5))", "a >= 1 AND a <= 5"),
            ("t <> ''", "(t <> ''::text)", "t <> ''::text"),
            ("v = 'x'", "((v)::text = 'x'::text)", "v::text = 'x'::text"),
            ("t IN ('a', 'b')", "(t = ANY (ARRAY['a'::text, 'b'::text]))", "t = ANY (ARRAY['a'::text, 'b'::text])"),
            (
                "v IN ('a', 'b')",
                "((v)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
                "v::text = ANY (ARRAY['a'::character varying, 'b'::character varying]::text[])",
            ),
            ("a IS NOT NULL", "(a IS NOT NULL)", "a IS NOT NULL"),
            ("length(t) > 3", "(length(t) > 3)", "length(t) > 3"),
            ("length(v) > 3", "(length((v)::text) > 3)", "length(v::text) > 3"),
            ("NOT a = 1", "(NOT (a = 1))", "NOT a = 1"),
            ("t LIKE 'a%'", "(t ~~ 'a%'::text)", "t ~~ 'a%'::text"),
            ("f > 1", "(f > (1)::double precision)", "f > 1::double precision"),
            ("d > '2020-01-01'", "(d > '2020-01-01'::date)", "d > '2020-01-01'::date"),
            ("a % 2 = 0 OR a > 5", "(((a % 2) = 0) OR (a > 5))", "(a % 2) = 0 OR a > 5"),
            ("a * 2 + 1 > 3", "(((a * 2) + 1) > 3)", "(a * 2 + 1) > 3"),
        ] {
            let typed = typing::condition(parse(text).unwrap(), &Columns(&columns)).unwrap();
            let shown = fully(&typed).unwrap();
            assert_eq!(shown, full, "{text}");
            assert_eq!(restyled(&shown, Style::Pretty, |_| None), pretty, "{text}");
        }
    }
}
