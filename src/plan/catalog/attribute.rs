//! pg_attribute and pg_attrdef: columns of whatever has columns, and their defaults.

use datafusion::arrow::array::RecordBatch;

use super::objects::{self, Index};
use super::rows::{Cell, Rows};
use super::spec::{self, Spec};
use super::state::Catalogue;
use super::types::{self, Facts};
use crate::error::Result;
use crate::history::{ColumnDef, IndexPart, TableDef};
use crate::plan::system::SystemTable;
use crate::types::{Identity, Oid, PgType};

const COLUMNS: &[&str] = &[
    "attrelid",
    "attname",
    "atttypid",
    "attlen",
    "attnum",
    "attndims",
    "atttypmod",
    "attbyval",
    "attalign",
    "attstorage",
    "attnotnull",
    "atthasdef",
    "attidentity",
    "attgenerated",
    "attisdropped",
    "attcollation",
    "attstattarget",
    "atthasmissing",
];

struct Attribute<'a> {
    relation: Oid,
    name: &'a str,
    type_oid: Oid,
    number: i64,
    modifier: i32,
    array: bool,
    not_null: bool,
    default: bool,
    identity: &'static str,
    generated: &'static str,
    dropped: bool,
    missing: bool,
}

impl<'a> Attribute<'a> {
    fn of_type(relation: Oid, name: &'a str, number: i64, ty: PgType) -> Self {
        Self { array: ty.array, modifier: ty.modifier, ..Self::plain(relation, name, number, ty.oid()) }
    }

    fn plain(relation: Oid, name: &'a str, number: i64, type_oid: Oid) -> Self {
        Self {
            relation,
            name,
            type_oid,
            number,
            modifier: -1,
            array: false,
            not_null: false,
            default: false,
            identity: "",
            generated: "",
            dropped: false,
            missing: false,
        }
    }

    fn push(self, state: &Catalogue, rows: &mut Rows) {
        let facts = types::facts(state, self.type_oid);
        let Facts { length, by_value, align, storage, collation, .. } = facts;
        rows.push(&[
            self.relation.into(),
            Cell::Text(self.name.into()),
            // A dropped column has no type any more.
            if self.dropped { 0 } else { self.type_oid }.into(),
            length.into(),
            Cell::Int(self.number),
            i32::from(self.array).into(),
            self.modifier.into(),
            by_value.into(),
            align.into(),
            storage.into(),
            (self.not_null && !self.dropped).into(),
            (self.default && !self.dropped).into(),
            self.identity.into(),
            self.generated.into(),
            self.dropped.into(),
            collation.into(),
            if self.dropped { 0 } else { -1 }.into(),
            self.missing.into(),
        ]);
    }
}

pub fn attributes(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, COLUMNS).always("attcacheoff", -1).always("attislocal", true);
    for system in spec::all() {
        for (number, column) in (1..).zip(&system.columns) {
            let attribute = Attribute::plain(system.oid, column.name, number, column.type_oid);
            Attribute { not_null: column.not_null, array: column.ty.array, ..attribute }.push(state, &mut rows);
        }
    }
    for ours in SystemTable::ALL {
        for (number, (name, ty)) in (1..).zip(ours.columns()) {
            Attribute::of_type(ours.oid(), name, number, ty).push(state, &mut rows);
        }
    }
    for table in state.catalog.tables.values() {
        for column in &table.columns {
            let name = objects::attribute_name(column);
            column_attribute(table, column, &name).push(state, &mut rows);
        }
        for index in objects::indexes(table) {
            index_attributes(&mut rows, state, table, &index);
        }
    }
    for composite in state.catalog.live_types().filter_map(|def| def.composite()) {
        for (number, (name, ty)) in (1..).zip(&composite.fields) {
            Attribute::of_type(composite.relation, name, number, *ty).push(state, &mut rows);
        }
    }
    for view in state.catalog.views.values() {
        for (number, (name, ty)) in (1..).zip(&view.columns) {
            Attribute::of_type(view.id, name, number, *ty).push(state, &mut rows);
        }
    }
    for sequence in state.catalog.sequences.values() {
        let columns = [("last_value", PgType::INT8), ("log_cnt", PgType::INT8), ("is_called", PgType::BOOL)];
        for (number, (name, ty)) in (1..).zip(columns) {
            Attribute { not_null: true, ..Attribute::of_type(sequence.id, name, number, ty) }.push(state, &mut rows);
        }
    }
    rows.finish()
}

fn column_attribute<'a>(table: &TableDef, column: &ColumnDef, name: &'a str) -> Attribute<'a> {
    let attribute = Attribute::of_type(table.id.0, name, i64::from(column.id.0), column.ty);
    let identity = match column.identity {
        _ if column.dropped => "",
        Some(Identity::Always) => "a",
        Some(Identity::ByDefault) => "d",
        None => "",
    };
    Attribute {
        type_oid: column.domain.unwrap_or(attribute.type_oid),
        // What a domain's base has for a modifier is the domain's own.
        modifier: if column.domain.is_some() { -1 } else { attribute.modifier },
        not_null: column.not_null,
        default: column.default.is_some() || column.generated.is_some(),
        generated: if column.generated.is_some() && !column.dropped { "s" } else { "" },
        identity,
        dropped: column.dropped,
        missing: column.missing.is_some() && !column.dropped,
        ..attribute
    }
}

fn index_attributes(rows: &mut Rows, state: &Catalogue, table: &TableDef, index: &Index) {
    for (at, number) in (0..index.width()).zip(1..) {
        let Some(name) = objects::index_column_name(table, index, at) else { continue };
        let ty = match index.parts.get(at) {
            Some(IndexPart::Expression(text)) => super::deparse::type_of(table, text),
            _ => table.column(&name).map(|c| c.ty),
        };
        Attribute::of_type(index.oid, &name, number, ty.unwrap_or(PgType::TEXT)).push(state, rows);
    }
}

pub fn defaults(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["oid", "adrelid", "adnum", "adbin"]);
    for table in state.catalog.tables.values() {
        for column in table.live_columns() {
            let Some(text) = column.generated.as_ref().or(column.default.as_ref()) else { continue };
            let oid = objects::column_default(table.id.0, column.id);
            rows.push(&[oid.into(), table.id.0.into(), column.id.0.into(), super::deparse::default(table, column, text).into()]);
        }
    }
    rows.finish()
}
