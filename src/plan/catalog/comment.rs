//! What COMMENT ON said, and what PostgreSQL says of its own objects: pg_description.

use std::collections::BTreeMap;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;

use super::depend::{PG_CLASS, PG_CONSTRAINT, PG_EXTENSION, PG_NAMESPACE, PG_TYPE};
use super::objects;
use super::rows::{Cell, Rows};
use super::spec::Spec;
use super::state::Catalogue;
use crate::error::{Result, SqlError};
use crate::history::{Catalog, TableDef};
use crate::types::Oid;

const PG_PROC: Oid = 1255;
const PG_TRIGGER: Oid = 2620;

/// By catalogue, object and column, 0 for the whole.
pub type Comments = BTreeMap<(Oid, Oid, i64), String>;

/// What was said of this database's objects.
pub fn comments(catalog: &Catalog) -> Comments {
    let mut all = Comments::new();
    let mut add = |class: Oid, object: Oid, part: i64, text: &Option<String>| {
        if let Some(text) = text {
            all.insert((class, object, part), text.clone());
        }
    };
    for def in catalog.schemas.values() {
        add(PG_NAMESPACE, def.id, 0, &def.comment);
    }
    for def in catalog.live_types() {
        add(PG_TYPE, def.id, 0, &def.comment);
    }
    for def in catalog.routines.values() {
        add(PG_PROC, def.id, 0, &def.comment);
    }
    for trigger in catalog.tables.values().flat_map(|table| &table.triggers) {
        add(PG_TRIGGER, trigger.id, 0, &trigger.comment);
    }
    for def in catalog.extensions.values() {
        add(PG_EXTENSION, def.id, 0, &def.comment);
    }
    for def in catalog.sequences.values() {
        add(PG_CLASS, def.id, 0, &def.comment);
    }
    for def in catalog.views.values() {
        add(PG_CLASS, def.id, 0, &def.comment);
        def.column_comments.iter().for_each(|(column, text)| add(PG_CLASS, def.id, i64::from(*column), &Some(text.clone())));
    }
    catalog.tables.values().for_each(|table| of_table(&mut all, table));
    all
}

fn of_table(all: &mut Comments, table: &TableDef) {
    let comments = &table.comments;
    let mut add = |class: Oid, object: Oid, part: i64, text: &String| drop(all.insert((class, object, part), text.clone()));
    comments.table.iter().for_each(|text| add(PG_CLASS, table.id.0, 0, text));
    comments.columns.iter().for_each(|(column, text)| add(PG_CLASS, table.id.0, i64::from(column.0), text));
    for index in objects::indexes(table) {
        comments.indexes.get(&index.name).into_iter().for_each(|text| add(PG_CLASS, index.oid, 0, text));
        if index.constraint {
            let constraint = objects::index_constraint(index.oid);
            comments.constraints.get(&index.name).into_iter().for_each(|text| add(PG_CONSTRAINT, constraint, 0, text));
        }
    }
    for check in &table.checks {
        comments.constraints.get(&check.name).into_iter().for_each(|text| add(PG_CONSTRAINT, check.id, 0, text));
    }
    for key in &table.foreign_keys {
        comments.constraints.get(&key.name).into_iter().for_each(|text| add(PG_CONSTRAINT, key.id.0, 0, text));
    }
}

pub fn descriptions(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["objoid", "classoid", "objsubid", "description"]);
    for ((class, object, part), text) in state.comments() {
        rows.push(&[(*object).into(), (*class).into(), Cell::Int(*part), text.into()]);
    }
    let own = rows.finish()?;
    let fixed = spec.fixed_rows().unwrap_or_else(|| RecordBatch::new_empty(spec.schema.clone()));
    concat_batches(&spec.schema, [&fixed, &own]).map_err(|_| SqlError::internal("descriptions do not fit together"))
}
