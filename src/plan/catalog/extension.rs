//! pg_extension and pg_available_extensions: what of PostgreSQL's extensions is built in.

use datafusion::arrow::array::RecordBatch;

use super::relation::namespace;
use super::rows::{Cell, Rows};
use super::spec::{BOOTSTRAP_ROLE, Spec};
use super::state::Catalogue;
use crate::error::Result;
use crate::types::Oid;

/// An extension that CREATE EXTENSION may name.
#[derive(Debug)]
pub struct Available {
    pub name: &'static str,
    pub version: &'static str,
    /// It is there without being created.
    pub built_in: bool,
    pub comment: &'static str,
}

pub const AVAILABLE: &[Available] = &[
    Available { name: "pgcrypto", version: "1.3", built_in: false, comment: "digests, keyed digests and random bytes" },
    Available { name: "plpgsql", version: "1.0", built_in: true, comment: "PL/pgSQL procedural language" },
    Available { name: "uuid-ossp", version: "1.1", built_in: false, comment: "generate universally unique identifiers (UUIDs)" },
];

pub const PLPGSQL: Oid = 13559;

/// What it consists of, each with its catalogue: three functions and the language.
pub const PLPGSQL_MEMBERS: [(Oid, Oid); 4] = [(1255, 13560), (1255, 13561), (1255, 13562), (2612, 13563)];

pub fn available(name: &str) -> Option<&'static Available> {
    AVAILABLE.iter().find(|extension| extension.name == name)
}

pub fn extensions(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["oid", "extname", "extowner", "extnamespace", "extrelocatable", "extversion"]);
    for built_in in AVAILABLE.iter().filter(|extension| extension.built_in) {
        let schema = namespace(state, "pg_catalog");
        rows.push(&[
            PLPGSQL.into(),
            built_in.name.into(),
            BOOTSTRAP_ROLE.into(),
            schema.into(),
            false.into(),
            built_in.version.into(),
        ]);
    }
    for def in state.catalog.extensions.values() {
        rows.push(&[
            def.id.into(),
            (&def.name).into(),
            state.role_oid(&def.owner).into(),
            namespace(state, &def.schema).into(),
            true.into(),
            (&def.version).into(),
        ]);
    }
    rows.finish()
}

pub fn available_extensions(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["name", "default_version", "installed_version", "comment"]);
    for extension in AVAILABLE {
        let installed = extension.built_in || state.catalog.extensions.contains_key(extension.name);
        let version = if installed { extension.version.into() } else { Cell::Null };
        rows.push(&[extension.name.into(), extension.version.into(), version, extension.comment.into()]);
    }
    rows.finish()
}

pub fn available_versions(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["name", "version", "installed", "superuser", "trusted", "relocatable", "comment"]);
    for extension in AVAILABLE {
        let installed = extension.built_in || state.catalog.extensions.contains_key(extension.name);
        let relocatable = !extension.built_in;
        rows.push(&[
            extension.name.into(),
            extension.version.into(),
            installed.into(),
            true.into(),
            extension.built_in.into(),
            relocatable.into(),
            extension.comment.into(),
        ]);
    }
    rows.finish()
}
