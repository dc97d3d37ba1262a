//! domains, domain_constraints and column_domain_usage: domains of users, and columns that have them.

use datafusion::arrow::array::RecordBatch;

use super::columns::{Measures, measures};
use super::sees;
use crate::error::Result;
use crate::plan::StatementContext;
use crate::plan::catalog::deparse;
use crate::plan::catalog::rows::Rows;
use crate::plan::catalog::spec::Spec;
use crate::plan::catalog::state::Catalogue;

const COLUMNS: &[&str] = &[
    "domain_schema",
    "domain_name",
    "data_type",
    "character_maximum_length",
    "character_octet_length",
    "numeric_precision",
    "numeric_precision_radix",
    "numeric_scale",
    "datetime_precision",
    "domain_default",
    "udt_schema",
    "udt_name",
];

pub fn domains(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, COLUMNS)
        .always("domain_catalog", state.database.clone())
        .always("udt_catalog", state.database.clone())
        .always("dtd_identifier", "1");
    let authority = ctx.authority();
    for def in state.catalog.live_types().filter(|def| sees(&authority, &def.owner, &def.grants)) {
        let Some(domain) = def.domain() else { continue };
        let ty = domain.base;
        let user = ty.name.user();
        let data_type = match user {
            _ if ty.array => "ARRAY".to_owned(),
            Some(_) => "USER-DEFINED".to_owned(),
            None => ty.with_modifier(-1).sql_name(),
        };
        let Measures { characters, octets, precision, radix, scale, datetime } = measures(ty);
        rows.push(&[
            (&def.name.schema).into(),
            (&def.name.name).into(),
            data_type.into(),
            characters.into(),
            octets.into(),
            precision.into(),
            radix.into(),
            scale.into(),
            datetime.into(),
            domain.default.as_deref().map(|text| deparse::domain_default(domain, text)).into(),
            user.map_or("pg_catalog", |user| user.name().schema.as_str()).into(),
            ty.internal_name().into(),
        ]);
    }
    rows.finish()
}

pub fn constraints(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["constraint_schema", "constraint_name", "domain_schema", "domain_name"];
    let mut rows = Rows::new(spec, &columns)
        .always("constraint_catalog", state.database.clone())
        .always("domain_catalog", state.database.clone())
        .always("is_deferrable", "NO")
        .always("initially_deferred", "NO");
    let authority = ctx.authority();
    for def in state.catalog.live_types().filter(|def| authority.owns(&def.owner)) {
        for check in def.domain().iter().flat_map(|domain| &domain.checks) {
            let (schema, name) = (&def.name.schema, &def.name.name);
            rows.push(&[schema.into(), (&check.name).into(), schema.into(), name.into()]);
        }
    }
    rows.finish()
}

pub fn column_usage(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["domain_schema", "domain_name", "table_schema", "table_name", "column_name"];
    let mut rows = Rows::new(spec, &columns)
        .always("domain_catalog", state.database.clone())
        .always("table_catalog", state.database.clone());
    let authority = ctx.authority();
    for table in state.catalog.tables.values() {
        for column in table.live_columns() {
            let Some(def) = column.domain.and_then(|id| state.catalog.type_by_id(id)) else { continue };
            if authority.owns(&def.owner) {
                let (domain, of) = (&def.name, &table.name);
                let (schema, name) = (&domain.schema, &domain.name);
                rows.push(&[schema.into(), name.into(), (&of.schema).into(), (&of.name).into(), (&column.name).into()]);
            }
        }
    }
    rows.finish()
}
