//! pg_constraint and pg_index: keys, checks and what enforces them.

use datafusion::arrow::array::RecordBatch;

use super::objects::{self, Index};
use super::relation::namespace;
use super::rows::{Cell, Rows};
use super::spec::Spec;
use super::state::Catalogue;
use super::types;
use crate::error::Result;
use crate::history::{CheckDef, ColumnId, DomainDef, ForeignKeyDef, IndexPart, ReferentialAction, TableDef, TypeDef};
use crate::types::{Oid, PgType};

pub fn indexes(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    const COLUMNS: &[&str] = &[
        "indexrelid",
        "indrelid",
        "indnatts",
        "indnkeyatts",
        "indisunique",
        "indisprimary",
        "indkey",
        "indcollation",
        "indclass",
        "indoption",
        "indimmediate",
        "indexprs",
        "indpred",
    ];
    let mut rows = Rows::new(spec, COLUMNS).always("indisvalid", true).always("indisready", true).always("indislive", true);
    for table in state.catalog.tables.values() {
        for index in objects::indexes(table) {
            index_row(&mut rows, state, table, &index);
        }
    }
    rows.finish()
}

fn index_row(rows: &mut Rows, state: &Catalogue, table: &TableDef, index: &Index) {
    let part_type = |part: &IndexPart| match part {
        IndexPart::Column(id) => table.column_by_id(*id).map(|c| c.ty),
        IndexPart::Expression(text) => super::deparse::type_of(table, text),
    };
    let types: Vec<Oid> = index.parts.iter().map(|part| part_type(part).unwrap_or(PgType::TEXT).oid()).collect();
    let key = |part: &IndexPart| match part {
        IndexPart::Column(id) => i64::from(id.0),
        IndexPart::Expression(_) => 0,
    };
    let keys: Vec<i64> = index.parts.iter().map(key).chain(index.include.iter().map(|id| i64::from(id.0))).collect();
    let option = |at: usize| index.orders.get(at).map_or(0, |o| i64::from(o.descending) | i64::from(o.nulls_first) << 1);
    let expressions: Vec<String> = index
        .parts
        .iter()
        .filter_map(|part| match part {
            IndexPart::Expression(text) => Some(text.clone()),
            IndexPart::Column(_) => None,
        })
        .collect();
    let predicate = index.predicate.as_ref().map(|text| super::deparse::check(table, text));
    let count = |n: usize| Cell::Int(i64::try_from(n).unwrap_or_default());
    rows.push(&[
        index.oid.into(),
        table.id.0.into(),
        count(index.width()),
        count(index.parts.len()),
        index.unique.into(),
        index.primary.into(),
        keys.into(),
        types.iter().map(|oid| i64::from(types::facts(state, *oid).collation)).collect::<Vec<_>>().into(),
        types.iter().enumerate().map(|(at, oid)| operator_class(state, index, at, *oid)).collect::<Vec<_>>().into(),
        (0..types.len()).map(option).collect::<Vec<_>>().into(),
        (!index.deferrable).into(),
        (!expressions.is_empty()).then(|| expressions.join(", ")).into(),
        predicate.into(),
    ]);
}

fn numbers(columns: &[ColumnId]) -> Vec<i64> {
    columns.iter().map(|id| i64::from(id.0)).collect()
}

/// The operator class of one part of an index.
fn operator_class(state: &Catalogue, index: &Index, at: usize, type_oid: Oid) -> i64 {
    let named = index.orders.get(at).and_then(|order| order.operator_class.as_deref());
    let facts = types::facts(state, type_oid);
    let class = index.method().and_then(|method| method.class(named, type_oid, &facts.category));
    class.map_or(0, |class| i64::from(class.oid))
}

const CONSTRAINT: &[&str] = &[
    "oid",
    "conname",
    "connamespace",
    "contype",
    "conrelid",
    "conindid",
    "connoinherit",
    "conkey",
    "conbin",
    "condeferrable",
    "condeferred",
    "convalidated",
    "confrelid",
    "confupdtype",
    "confdeltype",
    "confmatchtype",
    "confkey",
    "confdelsetcols",
    "contypid",
];

pub fn constraints(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, CONSTRAINT).always("conislocal", true);
    for table in state.catalog.tables.values() {
        let schema = namespace(state, &table.name.schema);
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            key_constraint(&mut rows, table, schema, index);
        }
        for check in &table.checks {
            check_constraint(&mut rows, table, schema, check);
        }
        for key in &table.foreign_keys {
            foreign_key(&mut rows, state, table, schema, key);
        }
    }
    for def in state.catalog.live_types() {
        let Some(domain) = def.domain() else { continue };
        for check in &domain.checks {
            domain_constraint(&mut rows, def, namespace(state, &def.name.schema), check, domain);
        }
    }
    rows.finish()
}

/// What every constraint that refers to nothing says of references.
fn no_reference() -> [Cell<'static>; 7] {
    [0.into(), " ".into(), " ".into(), " ".into(), Cell::Null, Cell::Null, 0.into()]
}

fn key_constraint(rows: &mut Rows, table: &TableDef, schema: Oid, index: &Index) {
    let mut row: Vec<Cell<'_>> = vec![
        objects::index_constraint(index.oid).into(),
        (&index.name).into(),
        schema.into(),
        if index.primary { "p" } else { "u" }.into(),
        table.id.0.into(),
        index.oid.into(),
        true.into(),
        numbers(&index.columns()).into(),
        Cell::Null,
        index.deferrable.into(),
        index.deferred.into(),
        true.into(),
    ];
    row.extend(no_reference());
    rows.push(&row);
}

fn check_constraint(rows: &mut Rows, table: &TableDef, schema: Oid, check: &CheckDef) {
    let columns = super::deparse::columns_of(table, &check.expression);
    let mut row: Vec<Cell<'_>> = vec![
        check.id.into(),
        (&check.name).into(),
        schema.into(),
        "c".into(),
        table.id.0.into(),
        0.into(),
        false.into(),
        numbers(&columns).into(),
        super::deparse::check(table, &check.expression).into(),
        false.into(),
        false.into(),
        true.into(),
    ];
    row.extend(no_reference());
    rows.push(&row);
}

fn domain_constraint(rows: &mut Rows, def: &TypeDef, schema: Oid, check: &CheckDef, domain: &DomainDef) {
    let mut row: Vec<Cell<'_>> = vec![
        check.id.into(),
        (&check.name).into(),
        schema.into(),
        "c".into(),
        0.into(),
        0.into(),
        false.into(),
        Cell::Null,
        super::deparse::domain_check(domain, &check.expression).into(),
        false.into(),
        false.into(),
        true.into(),
    ];
    row.extend(no_reference());
    row.pop();
    row.push(def.id.into());
    rows.push(&row);
}

fn foreign_key(rows: &mut Rows, state: &Catalogue, table: &TableDef, schema: Oid, key: &ForeignKeyDef) {
    let index = state.catalog.table_by_id(key.table).map_or(0, |target| objects::referenced_index(key, target));
    let set = (!key.set_columns.is_empty()).then(|| numbers(&key.set_columns));
    rows.push(&[
        key.id.0.into(),
        (&key.name).into(),
        schema.into(),
        "f".into(),
        table.id.0.into(),
        index.into(),
        true.into(),
        numbers(&key.columns).into(),
        Cell::Null,
        key.deferrable.into(),
        key.deferred.into(),
        key.validated.into(),
        key.table.0.into(),
        action(key.on_update).into(),
        action(key.on_delete).into(),
        if key.full { "f" } else { "s" }.into(),
        numbers(&key.referenced).into(),
        set.into(),
        0.into(),
    ]);
}

fn action(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::NoAction => "a",
        ReferentialAction::Restrict => "r",
        ReferentialAction::Cascade => "c",
        ReferentialAction::SetNull => "n",
        ReferentialAction::SetDefault => "d",
    }
}
