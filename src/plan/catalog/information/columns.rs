//! columns: every column that the role may see, with its type taken apart.

use datafusion::arrow::array::RecordBatch;

use super::{sees, yes_or_no};
use crate::error::Result;
use crate::history::{ColumnDef, SequenceDef, TableDef};
use crate::plan::StatementContext;
use crate::plan::catalog::deparse;
use crate::plan::catalog::rows::{Cell, Rows};
use crate::plan::catalog::spec::{self, Spec};
use crate::plan::catalog::state::{Catalogue, shown_name};
use crate::plan::catalog::updatable::{UpdatableView, updatable};
use crate::types::{Identity, PgType, Qualified, TypeName};

const COLUMNS: &[&str] = &[
    "table_schema",
    "table_name",
    "column_name",
    "ordinal_position",
    "column_default",
    "is_nullable",
    "data_type",
    "character_maximum_length",
    "character_octet_length",
    "numeric_precision",
    "numeric_precision_radix",
    "numeric_scale",
    "datetime_precision",
    "udt_schema",
    "udt_name",
    "domain_catalog",
    "domain_schema",
    "domain_name",
    "dtd_identifier",
    "is_identity",
    "identity_generation",
    "identity_start",
    "identity_increment",
    "identity_maximum",
    "identity_minimum",
    "identity_cycle",
    "is_generated",
    "is_updatable",
    "collation_catalog",
    "collation_schema",
    "collation_name",
    "generation_expression",
];

/// What the standard wants to know of a type: lengths, digits, the base of the digits.
#[derive(Debug, Default)]
pub struct Measures {
    pub characters: Option<i32>,
    pub octets: Option<i32>,
    pub precision: Option<i32>,
    pub radix: Option<i32>,
    pub scale: Option<i32>,
    pub datetime: Option<i32>,
}

pub fn measures(ty: PgType) -> Measures {
    if ty.array {
        return Measures::default();
    }
    let binary = |bits: i32, scale: Option<i32>| Measures { precision: Some(bits), radix: Some(2), scale, ..Measures::default() };
    let datetime = |digits: i32| Measures { datetime: Some(digits), ..Measures::default() };
    match ty.name {
        TypeName::Int2 => binary(16, Some(0)),
        TypeName::Int4 => binary(32, Some(0)),
        TypeName::Int8 => binary(64, Some(0)),
        TypeName::Float4 => binary(24, None),
        TypeName::Float8 => binary(53, None),
        TypeName::Numeric => {
            let digits = ty.numeric_digits();
            let (precision, scale) = (digits.map(|(p, _)| p), digits.map(|(_, s)| s));
            Measures { precision, radix: Some(10), scale, ..Measures::default() }
        }
        TypeName::Text => Measures { octets: Some(1 << 30), ..Measures::default() },
        TypeName::Varchar | TypeName::Bpchar => {
            let characters = ty.max_chars().and_then(|n| i32::try_from(n).ok());
            let octets = characters.map_or(Some(1 << 30), |n| n.checked_mul(4));
            Measures { characters, octets, ..Measures::default() }
        }
        TypeName::Date => datetime(0),
        TypeName::Time | TypeName::Timestamp | TypeName::Timestamptz | TypeName::Interval => {
            datetime(ty.time_precision().map_or(6, |p| p as i32))
        }
        _ => Measures::default(),
    }
}

/// One column on its way into a row.
struct Column<'a> {
    schema: &'a str,
    table: &'a str,
    name: &'a str,
    number: i64,
    default: Option<String>,
    nullable: bool,
    ty: PgType,
    domain: Option<&'a Qualified>,
    identity: Option<(Identity, Option<&'a SequenceDef>)>,
    updatable: bool,
    generation: Option<String>,
}

impl Column<'_> {
    fn push(self, rows: &mut Rows, database: &str) {
        let m = measures(self.ty);
        let sequence = self.identity.and_then(|(_, sequence)| sequence);
        let user = self.ty.name.user();
        let data_type = match user {
            _ if self.ty.array => "ARRAY".to_owned(),
            Some(_) => "USER-DEFINED".to_owned(),
            None => self.ty.with_modifier(-1).sql_name(),
        };
        let generation = self.identity.map(|(kind, _)| match kind {
            Identity::Always => "ALWAYS",
            Identity::ByDefault => "BY DEFAULT",
        });
        let text = |value: Option<i64>| -> Cell<'static> { value.map(|n| n.to_string()).into() };
        // Names are ordered by their bytes whatever the database's collation is.
        let collated = self.ty.name == TypeName::Name && !self.ty.array;
        rows.push(&[
            self.schema.into(),
            self.table.into(),
            self.name.into(),
            self.number.into(),
            self.default.into(),
            yes_or_no(self.nullable).into(),
            data_type.into(),
            m.characters.into(),
            m.octets.into(),
            m.precision.into(),
            m.radix.into(),
            m.scale.into(),
            m.datetime.into(),
            user.map_or("pg_catalog", |user| user.name().schema.as_str()).into(),
            self.ty.internal_name().into(),
            self.domain.map(|_| database).into(),
            self.domain.map(|domain| domain.schema.as_str()).into(),
            self.domain.map(|domain| domain.name.as_str()).into(),
            self.number.to_string().into(),
            yes_or_no(self.identity.is_some()).into(),
            generation.into(),
            text(sequence.map(|s| s.start)),
            text(sequence.map(|s| s.increment)),
            text(sequence.map(|s| s.max)),
            text(sequence.map(|s| s.min)),
            yes_or_no(sequence.is_some_and(|s| s.cycle)).into(),
            if self.generation.is_some() { "ALWAYS" } else { "NEVER" }.into(),
            yes_or_no(self.updatable).into(),
            Cell::Null,
            collated.then_some("pg_catalog").into(),
            collated.then_some("C").into(),
            self.generation.into(),
        ]);
    }
}

pub fn columns(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, COLUMNS)
        .always("table_catalog", state.database.clone())
        .always("udt_catalog", state.database.clone())
        .always("is_self_referencing", "NO");
    let authority = ctx.authority();
    for system in spec::all() {
        for (number, column) in (1..).zip(&system.columns) {
            let nullable = !column.not_null;
            let (schema, table) = (system.schema_name, system.name);
            let updatable = system.kind == "r";
            let (name, ty) = (column.name, column.ty);
            let (default, identity, generation) = (None, None, None);
            Column { schema, table, name, number, default, nullable, ty, domain: None, identity, updatable, generation }
                .push(&mut rows, &state.database);
        }
    }
    let path = ctx.effective_path();
    for table in state.catalog.base_tables().filter(|def| sees(&authority, &def.owner, &def.grants)) {
        for column in table.live_columns() {
            let default = authority.owns(&table.owner).then(|| default_text(state, &path, table, column)).flatten();
            of_table(state, table, column, default).push(&mut rows, &state.database);
        }
    }
    for view in state.catalog.views.values().filter(|def| sees(&authority, &def.owner, &def.grants)) {
        let through = updatable(&state.catalog, view).ok();
        for (number, (name, ty)) in (1..).zip(&view.columns) {
            let (schema, table) = (view.name.schema.as_str(), view.name.name.as_str());
            let written = |through: &UpdatableView| through.column(name).is_some_and(|column| column.base.is_some());
            let (default, nullable, ty, identity) = (None, true, *ty, None);
            let updatable = through.as_ref().is_some_and(written);
            Column { schema, table, name, number, default, nullable, ty, domain: None, identity, updatable, generation: None }
                .push(&mut rows, &state.database);
        }
    }
    rows.finish()
}

/// A default as the statement's search path shows it.
fn default_text(state: &Catalogue, path: &[String], table: &TableDef, column: &ColumnDef) -> Option<String> {
    let text = deparse::default(table, column, column.default.as_deref()?);
    let shown = |name: &str| {
        let (schema, name) = crate::plan::catalog::state::parse_name(name)?;
        let relation = state.objects().relation_named(schema.as_deref()?, &name)?;
        Some(shown_name(state, path, &relation))
    };
    Some(deparse::restyled(&text, deparse::Style::Full, shown))
}

fn of_table<'a>(state: &'a Catalogue, table: &'a TableDef, column: &'a ColumnDef, default: Option<String>) -> Column<'a> {
    let sequence = || state.catalog.sequences.values().find(|s| s.owned_by == Some((table.id, column.id))).map(AsRef::as_ref);
    let domain = column.domain.and_then(|id| state.catalog.type_by_id(id));
    Column {
        schema: &table.name.schema,
        table: &table.name.name,
        name: &column.name,
        number: i64::from(column.id.0),
        default,
        nullable: !column.not_null && !domain.is_some_and(|def| def.domain().is_some_and(|domain| domain.not_null)),
        ty: column.ty,
        domain: domain.map(|def| &def.name),
        identity: column.identity.map(|kind| (kind, sequence())),
        updatable: true,
        generation: column.generated.as_ref().map(|text| deparse::default(table, column, text)),
    }
}
