//! Definitions as SQL text: what `pg_get_indexdef` and `pg_get_constraintdef` print.

use super::deparse::{self, Style};
use super::objects::Index;
use crate::history::{CheckDef, ColumnId, TableDef};
use crate::plan::functions::session::quote_ident;

/// Names of columns, quoted where they must be, with commas between them.
pub fn column_list(table: &TableDef, columns: &[ColumnId]) -> String {
    let names = columns.iter().filter_map(|id| table.column_by_id(*id)).map(|c| quote_ident(&c.name));
    names.collect::<Vec<_>>().join(", ")
}

/// CREATE INDEX; the table's name with its schema where one is given.
pub fn index(table: &TableDef, index: &Index, schema: Option<&str>) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let schema = schema.map(|schema| quote_ident(schema) + ".").unwrap_or_default();
    let (name, of, columns) = (quote_ident(&index.name), quote_ident(&table.name.name), column_list(table, &index.columns));
    format!("CREATE {unique}INDEX {name} ON {schema}{of} USING btree ({columns})")
}

/// `PRIMARY KEY (id)`, `UNIQUE (a, b)`.
pub fn key(table: &TableDef, index: &Index) -> String {
    let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
    format!("{kind} ({})", column_list(table, &index.columns))
}

/// `CHECK ((n > 0))`.
pub fn check(table: &TableDef, check: &CheckDef, style: Style) -> String {
    let condition = deparse::check(table, &check.expression);
    let condition = if style == Style::Full { condition } else { deparse::restyled(&condition, style, |_| None) };
    format!("CHECK ({condition})")
}
