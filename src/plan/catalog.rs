//! The catalogue as relations and functions: `pg_catalog` and `information_schema`, of the statement's own view.
//!
//! Always of the present of the transaction's snapshot: a clause about system time is refused on these relations, and
//! a session's own time does not reach them. Nothing here is ever written to.

mod acl;
mod attribute;
mod comment;
mod constraint;
mod definition;
pub mod deparse;
mod depend;
pub mod extension;
pub mod functions;
mod information;
mod listing;
pub mod names;
mod objects;
pub mod operator_class;
mod provider;
mod relation;
mod roles;
mod routine;
mod rows;
mod server;
mod spec;
mod state;
pub mod tableoid;
mod types;
pub mod updatable;
pub mod view;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;

use crate::error::Result;
use crate::plan::StatementContext;
use crate::types::Oid;
use spec::Spec;
use state::Catalogue;

pub use state::CatalogueCache;

/// A relation of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueRelation(&'static Spec);

impl CatalogueRelation {
    pub fn of_name(schema: &str, name: &str) -> Option<Self> {
        spec::find(schema, name).map(Self)
    }

    pub fn oid(self) -> Oid {
        self.0.oid
    }

    pub fn provider(self) -> Arc<dyn TableProvider> {
        Arc::new(provider::CatalogueTable { spec: self.0 })
    }
}

/// The OID of a relation that a plan scans, if it is the catalogue's, for descriptions of results.
pub fn relation_oid(provider: &dyn TableProvider) -> Option<Oid> {
    provider.downcast_ref::<provider::CatalogueTable>().map(|table| table.spec.oid)
}

type Defined = fn(&Catalogue, &'static Spec) -> Result<RecordBatch>;
type Live = fn(&StatementContext, &Catalogue, &'static Spec) -> Result<RecordBatch>;

/// Where a relation's rows come from.
enum Source {
    /// Definitions and roles alone.
    Defined(Defined),
    /// More than that: made anew for every statement.
    Live(Live),
    /// A file, or nowhere.
    Fixed,
}

fn source(spec: &Spec) -> Source {
    use Source::{Defined, Live};
    if spec.schema_name == "information_schema" {
        return information::source(spec.name);
    }
    match spec.name {
        "pg_namespace" => Defined(relation::namespaces),
        "pg_class" => Defined(relation::classes),
        "pg_attribute" => Defined(attribute::attributes),
        "pg_attrdef" => Defined(attribute::defaults),
        "pg_type" => Defined(types::types),
        "pg_enum" => Defined(types::enum_values),
        "pg_description" => Defined(comment::descriptions),
        "pg_index" => Defined(constraint::indexes),
        "pg_constraint" => Defined(constraint::constraints),
        "pg_proc" => Defined(routine::procedures),
        "pg_trigger" => Defined(routine::triggers),
        "pg_depend" => Defined(depend::dependencies),
        "pg_rewrite" => Defined(depend::rules),
        "pg_sequence" => Defined(depend::sequences),
        "pg_extension" => Defined(extension::extensions),
        "pg_available_extensions" => Defined(extension::available_extensions),
        "pg_available_extension_versions" => Defined(extension::available_versions),
        "pg_tables" => Defined(listing::tables),
        "pg_views" => Defined(listing::views),
        "pg_matviews" => Defined(listing::materialized_views),
        "pg_indexes" => Defined(listing::indexes),
        "pg_sequences" => Defined(listing::sequences),
        "pg_authid" | "pg_roles" => Defined(roles::roles),
        "pg_user" | "pg_shadow" => Defined(roles::users),
        "pg_group" => Defined(roles::groups),
        "pg_auth_members" => Defined(roles::members),
        "pg_db_role_setting" => Defined(roles::role_settings),
        "pg_database" => Live(server::databases),
        "pg_settings" => Live(server::settings),
        "pg_stat_activity" => Live(server::activity),
        "pg_prepared_statements" => Live(server::prepared_statements),
        "pg_cursors" => Live(server::cursors),
        "pg_locks" => Live(server::locks),
        "pg_stat_user_tables" | "pg_stat_all_tables" | "pg_statio_user_tables" | "pg_statio_all_tables" => {
            Live(server::table_statistics)
        }
        "pg_stat_user_indexes" | "pg_stat_all_indexes" => Live(server::index_statistics),
        "pg_stat_database" => Live(server::database_statistics),
        "pg_stat_progress_create_index" => Live(server::index_builds),
        _ => Source::Fixed,
    }
}

/// All rows of a relation, as the statement sees them.
fn rows_of(ctx: &StatementContext, spec: &'static Spec) -> Result<RecordBatch> {
    let catalogue = ctx.catalogue();
    match source(spec) {
        Source::Defined(make) => catalogue.batch(spec, || make(&catalogue, spec)),
        Source::Live(make) => make(ctx, &catalogue, spec),
        Source::Fixed => Ok(spec.fixed_rows().unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&spec.schema)))),
    }
}
