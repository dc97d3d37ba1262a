//! pg_constraint and pg_index: keys, checks and what enforces them.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;

use super::objects::{self, Index};
use super::relation::{BTREE, namespace};
use super::rows::{Cell, Rows};
use super::spec::{self, Spec};
use super::state::Catalogue;
use super::types;
use crate::error::Result;
use crate::history::{ColumnId, TableDef};
use crate::types::Oid;

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
    ];
    let mut rows = Rows::new(spec, COLUMNS)
        .always("indimmediate", true)
        .always("indisvalid", true)
        .always("indisready", true)
        .always("indislive", true);
    for table in state.catalog.tables.values() {
        for index in objects::indexes(table) {
            let width = i64::try_from(index.columns.len()).unwrap_or_default();
            let types: Vec<Oid> = index.columns.iter().filter_map(|id| table.column_by_id(*id)).map(|c| c.ty.oid()).collect();
            rows.push(&[
                index.oid.into(),
                table.id.0.into(),
                Cell::Int(width),
                Cell::Int(width),
                index.unique.into(),
                index.primary.into(),
                numbers(&index.columns).into(),
                types.iter().map(|oid| i64::from(types::facts(*oid).collation)).collect::<Vec<_>>().into(),
                types.iter().map(|oid| i64::from(operator_class(*oid))).collect::<Vec<_>>().into(),
                vec![0i64; index.columns.len()].into(),
            ]);
        }
    }
    rows.finish()
}

fn numbers(columns: &[ColumnId]) -> Vec<i64> {
    columns.iter().map(|id| i64::from(id.0)).collect()
}

/// The operator class that a btree over a type takes by default.
fn operator_class(type_oid: Oid) -> Oid {
    static DEFAULTS: LazyLock<HashMap<i64, Oid>> = LazyLock::new(|| {
        let Some(batch) = spec::find("pg_catalog", "pg_opclass").and_then(Spec::fixed_rows) else { return HashMap::new() };
        let column = |name: &str| batch.column_by_name(name).map(|c| c.as_primitive::<Int64Type>().values().to_vec());
        let (Some(oids), Some(methods), Some(inputs)) = (column("oid"), column("opcmethod"), column("opcintype")) else {
            return HashMap::new();
        };
        let Some(defaults) = batch.column_by_name("opcdefault").map(|c| c.as_boolean()) else { return HashMap::new() };
        let chosen = (0..oids.len()).filter(|row| methods[*row] == i64::from(BTREE) && defaults.value(*row));
        chosen.map(|row| (inputs[row], Oid::try_from(oids[row]).unwrap_or_default())).collect()
    });
    const TEXT: i64 = 25;
    const VARCHAR: Oid = 1043;
    const ANYARRAY: i64 = 2277;
    let own = if type_oid == VARCHAR { TEXT } else { i64::from(type_oid) };
    let wanted = if types::facts(type_oid).category == "A" { ANYARRAY } else { own };
    DEFAULTS.get(&wanted).copied().unwrap_or_default()
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
    "confrelid",
    "confupdtype",
    "confdeltype",
    "confmatchtype",
    "condeferrable",
    "condeferred",
    "confkey",
];

pub fn constraints(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, CONSTRAINT).always("convalidated", true).always("conislocal", true);
    for table in state.catalog.tables.values() {
        let schema = namespace(state, &table.name.schema);
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            key_constraint(&mut rows, table, schema, index);
        }
        for check in &table.checks {
            let columns = super::deparse::columns_of(table, &check.expression);
            let condition = super::deparse::check(table, &check.expression);
            let mut row = head(check.id, &check.name, schema, "c", table, 0, false);
            row.extend([Cell::Ints(numbers(&columns)), condition.into()]);
            row.extend(no_reference());
            rows.push(&row);
        }
    }
    rows.finish()
}

fn head<'a>(oid: Oid, name: &'a str, schema: Oid, kind: &'a str, table: &TableDef, index: Oid, alone: bool) -> Vec<Cell<'a>> {
    vec![oid.into(), name.into(), schema.into(), kind.into(), table.id.0.into(), index.into(), alone.into()]
}

fn no_reference() -> [Cell<'static>; 7] {
    [0.into(), " ".into(), " ".into(), " ".into(), false.into(), false.into(), Cell::Null]
}

fn key_constraint(rows: &mut Rows, table: &TableDef, schema: Oid, index: &Index) {
    let kind = if index.primary { "p" } else { "u" };
    let oid = objects::index_constraint(index.oid);
    let mut row = head(oid, &index.name, schema, kind, table, index.oid, true);
    row.extend([Cell::Ints(numbers(&index.columns)), Cell::Null]);
    row.extend(no_reference());
    rows.push(&row);
}
