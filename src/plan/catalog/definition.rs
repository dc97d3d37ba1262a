//! Definitions as SQL text: what `pg_get_indexdef` and `pg_get_constraintdef` print.

use super::deparse::{self, Style};
use super::objects::{self, Index};
use crate::history::{CheckDef, ColumnId, ForeignKeyDef, IndexPart, ReferentialAction, TableDef};
use crate::plan::functions::session::quote_ident;

/// Names of columns, quoted where they must be, with commas between them.
pub fn column_list(table: &TableDef, columns: &[ColumnId]) -> String {
    let names = columns.iter().filter_map(|id| table.column_by_id(*id)).map(|c| quote_ident(&c.name));
    names.collect::<Vec<_>>().join(", ")
}

/// CREATE INDEX; the table's name with its schema where one is given.
pub fn index(table: &TableDef, index: &Index, schema: Option<&str>, style: Style) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let schema = schema.map(|schema| quote_ident(schema) + ".").unwrap_or_default();
    let parts: Vec<String> = (0..index.parts.len()).map(|at| ordered_part(table, index, at, style)).collect();
    let (name, of, parts) = (quote_ident(&index.name), quote_ident(&table.name.name), parts.join(", "));
    let include = included(table, index);
    let predicate = index.predicate.as_ref().map(|text| format!(" WHERE {}", condition(table, text, style)));
    let (method, predicate) = (index.method_name(), predicate.unwrap_or_default());
    format!("CREATE {unique}INDEX {name} ON {schema}{of} USING {method} ({parts}){include}{predicate}")
}

/// One part by itself.
pub fn index_part(table: &TableDef, index: &Index, at: usize, style: Style) -> String {
    match index.parts.get(at) {
        Some(IndexPart::Expression(text)) => deparse::index_part(table, text, style),
        _ => objects::index_column_name(table, index, at).map(|name| quote_ident(&name)).unwrap_or_default(),
    }
}

fn ordered_part(table: &TableDef, index: &Index, at: usize, style: Style) -> String {
    let part = index_part(table, index, at, style);
    let Some(order) = index.orders.get(at) else { return part };
    let class = order.operator_class.as_ref().map(|class| format!(" {class}")).unwrap_or_default();
    let direction = match (order.descending, order.nulls_first) {
        (false, false) => "",
        (false, true) => " NULLS FIRST",
        (true, true) => " DESC",
        (true, false) => " DESC NULLS LAST",
    };
    format!("{part}{class}{direction}")
}

fn included(table: &TableDef, index: &Index) -> String {
    if index.include.is_empty() { String::new() } else { format!(" INCLUDE ({})", column_list(table, &index.include)) }
}

/// `PRIMARY KEY (id)`, `UNIQUE (a, b) DEFERRABLE`.
pub fn key(table: &TableDef, index: &Index) -> String {
    let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
    let columns = column_list(table, &index.columns());
    format!("{kind} ({columns}){}{}", included(table, index), deferral(index.deferrable, index.deferred))
}

fn deferral(deferrable: bool, deferred: bool) -> &'static str {
    match (deferrable, deferred) {
        (false, _) => "",
        (true, false) => " DEFERRABLE",
        (true, true) => " DEFERRABLE INITIALLY DEFERRED",
    }
}

/// `FOREIGN KEY (a) REFERENCES t(b) ON DELETE CASCADE`; `target` is how the other table's name is shown.
pub fn foreign_key(table: &TableDef, key: &ForeignKeyDef, referenced: &TableDef, target: &str) -> String {
    let (own, other) = (column_list(table, &key.columns), column_list(referenced, &key.referenced));
    let mut text = format!("FOREIGN KEY ({own}) REFERENCES {target}({other})");
    if key.full {
        text.push_str(" MATCH FULL");
    }
    text.push_str(&action("UPDATE", key.on_update));
    text.push_str(&action("DELETE", key.on_delete));
    if !key.set_columns.is_empty() {
        text.push_str(&format!(" ({})", column_list(table, &key.set_columns)));
    }
    text.push_str(deferral(key.deferrable, key.deferred));
    if !key.validated {
        text.push_str(" NOT VALID");
    }
    text
}

fn action(event: &str, action: ReferentialAction) -> String {
    match action {
        ReferentialAction::NoAction => String::new(),
        action => format!(" ON {event} {}", action_name(action)),
    }
}

/// As the standard names it.
pub fn action_name(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::NoAction => "NO ACTION",
        ReferentialAction::Restrict => "RESTRICT",
        ReferentialAction::Cascade => "CASCADE",
        ReferentialAction::SetNull => "SET NULL",
        ReferentialAction::SetDefault => "SET DEFAULT",
    }
}

fn condition(table: &TableDef, text: &str, style: Style) -> String {
    let shown = deparse::check(table, text);
    if style == Style::Full { shown } else { deparse::restyled(&shown, style, |_| None) }
}

/// `CHECK ((n > 0))`.
pub fn check(table: &TableDef, check: &CheckDef, style: Style) -> String {
    format!("CHECK ({})", condition(table, &check.expression, style))
}
