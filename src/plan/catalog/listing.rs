//! pg_tables, pg_views, pg_indexes and their like: definitions once more, by name.

use datafusion::arrow::array::RecordBatch;

use super::deparse::Style;
use super::objects;
use super::rows::{Cell, Rows};
use super::spec::{self, Spec};
use super::state::Catalogue;
use super::{definition, depend, view};
use crate::error::Result;

pub fn tables(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["schemaname", "tablename", "tableowner", "hasindexes"];
    let mut rows = Rows::new(spec, &columns).always("hasrules", false).always("hastriggers", false).always("rowsecurity", false);
    for system in spec::all().iter().filter(|s| s.kind == "r") {
        rows.push(&[system.schema_name.into(), system.name.into(), state.bootstrap_role().into(), false.into()]);
    }
    for table in state.catalog.base_tables() {
        let indexed = !objects::indexes(table).is_empty();
        rows.push(&[(&table.name.schema).into(), (&table.name.name).into(), (&table.owner).into(), indexed.into()]);
    }
    rows.finish()
}

pub fn views(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["schemaname", "viewname", "viewowner", "definition"]);
    for system in spec::all().iter().filter(|s| s.kind == "v") {
        rows.push(&[system.schema_name.into(), system.name.into(), state.bootstrap_role().into(), Cell::Null]);
    }
    let usual = ["pg_catalog".to_owned(), "public".to_owned()];
    for def in state.catalog.views.values() {
        let text = view::definition(state, &usual, def, Style::Full);
        rows.push(&[(&def.name.schema).into(), (&def.name.name).into(), (&def.owner).into(), text.into()]);
    }
    rows.finish()
}

pub fn materialized_views(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["schemaname", "matviewname", "matviewowner", "hasindexes", "ispopulated", "definition"];
    let mut rows = Rows::new(spec, &columns);
    let usual = ["pg_catalog".to_owned(), "public".to_owned()];
    for table in state.catalog.tables.values() {
        let (Some(def), Some(materialized)) = (table.as_view(), &table.materialized) else { continue };
        rows.push(&[
            (&table.name.schema).into(),
            (&table.name.name).into(),
            (&table.owner).into(),
            (!objects::indexes(table).is_empty()).into(),
            materialized.populated.into(),
            view::definition(state, &usual, &def, Style::Full).into(),
        ]);
    }
    rows.finish()
}

pub fn indexes(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["schemaname", "tablename", "indexname", "indexdef"]);
    for table in state.catalog.tables.values() {
        for index in objects::indexes(table) {
            let text = definition::index(table, &index, Some(&table.name.schema), Style::Full);
            rows.push(&[(&table.name.schema).into(), (&table.name.name).into(), (&index.name).into(), text.into()]);
        }
    }
    rows.finish()
}

pub fn sequences(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "schemaname",
        "sequencename",
        "sequenceowner",
        "data_type",
        "start_value",
        "min_value",
        "max_value",
        "increment_by",
        "cycle",
    ];
    let mut rows = Rows::new(spec, &columns).always("cache_size", 1);
    for s in state.catalog.sequences.values() {
        rows.push(&[
            (&s.name.schema).into(),
            (&s.name.name).into(),
            (&s.owner).into(),
            depend::sequence_type(state, s).oid().into(),
            s.start.into(),
            s.min.into(),
            s.max.into(),
            s.increment.into(),
            s.cycle.into(),
        ]);
    }
    rows.finish()
}
