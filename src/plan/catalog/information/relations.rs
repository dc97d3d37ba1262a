//! tables, views, schemata, sequences.

use datafusion::arrow::array::RecordBatch;

use super::{sees, yes_or_no};
use crate::error::Result;
use crate::history::CheckOption;
use crate::plan::StatementContext;
use crate::plan::catalog::deparse::Style;
use crate::plan::catalog::rows::Rows;
use crate::plan::catalog::spec::{self, Spec};
use crate::plan::catalog::state::{Catalogue, SYSTEM_NAMESPACES};
use crate::plan::catalog::updatable::updatable;
use crate::plan::catalog::{depend, view};
use crate::types::TypeName;

pub fn tables(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["table_schema", "table_name", "table_type", "is_insertable_into"];
    let mut rows = Rows::new(spec, &columns).always("table_catalog", state.database.clone()).always("is_typed", "NO");
    let authority = ctx.authority();
    for system in spec::all() {
        let (kind, insertable) = if system.kind == "v" { ("VIEW", "NO") } else { ("BASE TABLE", "YES") };
        rows.push(&[system.schema_name.into(), system.name.into(), kind.into(), insertable.into()]);
    }
    for def in state.catalog.base_tables().filter(|def| sees(&authority, &def.owner, &def.grants)) {
        let kind = if def.is_temporary() { "LOCAL TEMPORARY" } else { "BASE TABLE" };
        rows.push(&[(&def.name.schema).into(), (&def.name.name).into(), kind.into(), "YES".into()]);
    }
    for def in state.catalog.views.values().filter(|def| sees(&authority, &def.owner, &def.grants)) {
        let insertable = if updatable(&state.catalog, def).is_ok() { "YES" } else { "NO" };
        rows.push(&[(&def.name.schema).into(), (&def.name.name).into(), "VIEW".into(), insertable.into()]);
    }
    rows.finish()
}

pub fn views(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["table_schema", "table_name", "view_definition", "check_option", "is_updatable", "is_insertable_into"];
    let mut rows = Rows::new(spec, &columns).always("table_catalog", state.database.clone());
    for column in ["is_trigger_updatable", "is_trigger_deletable", "is_trigger_insertable_into"] {
        rows = rows.always(column, "NO");
    }
    let authority = ctx.authority();
    for system in spec::all().iter().filter(|system| system.kind == "v") {
        let no = || "NO".into();
        rows.push(&[system.schema_name.into(), system.name.into(), None::<&str>.into(), "NONE".into(), no(), no()]);
    }
    for def in state.catalog.views.values().filter(|def| sees(&authority, &def.owner, &def.grants)) {
        let text = authority.owns(&def.owner).then(|| view::definition(state, &ctx.effective_path(), def, Style::Full));
        let check = match def.check_option {
            None => "NONE",
            Some(CheckOption::Local) => "LOCAL",
            Some(CheckOption::Cascaded) => "CASCADED",
        };
        let written = if updatable(&state.catalog, def).is_ok() { "YES" } else { "NO" };
        let (schema, name) = ((&def.name.schema).into(), (&def.name.name).into());
        rows.push(&[schema, name, text.into(), check.into(), written.into(), written.into()]);
    }
    rows.finish()
}

/// Schemas that the role owns or may do something in.
pub fn schemata(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["schema_name", "schema_owner"]).always("catalog_name", state.database.clone());
    let authority = ctx.authority();
    for (name, _) in SYSTEM_NAMESPACES {
        rows.push(&[(*name).into(), state.bootstrap_role().into()]);
    }
    for def in state.catalog.schemas.values().filter(|def| sees(&authority, &def.owner, &def.grants)) {
        rows.push(&[(&def.name).into(), (&def.owner).into()]);
    }
    rows.finish()
}

pub fn sequences(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "sequence_schema",
        "sequence_name",
        "data_type",
        "numeric_precision",
        "start_value",
        "minimum_value",
        "maximum_value",
        "increment",
        "cycle_option",
    ];
    let mut rows = Rows::new(spec, &columns)
        .always("sequence_catalog", state.database.clone())
        .always("numeric_precision_radix", 2)
        .always("numeric_scale", 0);
    let authority = ctx.authority();
    for s in state.catalog.sequences.values().filter(|s| sees(&authority, &s.owner, &s.grants)) {
        // The sequences of identity columns are part of those.
        let identity = s.owned_by.and_then(|(table, column)| state.catalog.table_by_id(table)?.column_by_id(column));
        if identity.is_some_and(|column| column.identity.is_some()) {
            continue;
        }
        let ty = depend::sequence_type(state, s);
        let bits = match ty.name {
            TypeName::Int2 => 16,
            TypeName::Int4 => 32,
            _ => 64,
        };
        rows.push(&[
            (&s.name.schema).into(),
            (&s.name.name).into(),
            ty.sql_name().into(),
            bits.into(),
            s.start.to_string().into(),
            s.min.to_string().into(),
            s.max.to_string().into(),
            s.increment.to_string().into(),
            yes_or_no(s.cycle).into(),
        ]);
    }
    rows.finish()
}

pub fn catalog_name(_: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["catalog_name"]);
    rows.push(&[state.database.clone().into()]);
    rows.finish()
}

pub fn character_sets(_: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["character_set_name", "character_repertoire", "form_of_use", "default_collate_catalog"];
    let mut rows = Rows::new(spec, &columns);
    rows.push(&["UTF8".into(), "UCS".into(), "UTF8".into(), state.database.clone().into()]);
    rows.finish()
}

pub fn view_table_usage(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["view_schema", "view_name", "table_schema", "table_name"])
        .always("view_catalog", state.database.clone())
        .always("table_catalog", state.database.clone());
    let authority = ctx.authority();
    for def in state.catalog.views.values().filter(|def| authority.owns(&def.owner)) {
        for relation in view::relations(state, def) {
            let name = relation.name();
            rows.push(&[(&def.name.schema).into(), (&def.name.name).into(), name.schema.into(), name.name.into()]);
        }
    }
    rows.finish()
}
