//! The catalogue of one database at one state of its definitions and of the server's roles: look-ups and the
//! batches made so far, shared by all statements that see the same.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use parking_lot::Mutex;

use super::comment::{self, Comments};
use super::objects::{Objects, Relation};
use super::roles;
use super::spec::{self, Spec};
use crate::error::Result;
use crate::history::{Catalog, RoleDef};
use crate::plan::StatementContext;
use crate::types::{Oid, Qualified};

/// States kept: a few databases and transactions that define things.
const KEPT: usize = 8;

/// States of catalogues that were asked for lately. Cheap to clone; one per server.
#[derive(Clone, Debug, Default)]
pub struct CatalogueCache(Arc<Mutex<Vec<Arc<Catalogue>>>>);

impl CatalogueCache {
    fn get(&self, database: &str, catalog: &Arc<Catalog>, roles: Vec<Arc<RoleDef>>) -> Arc<Catalogue> {
        let mut kept = self.0.lock();
        if let Some(at) = kept.iter().position(|state| state.is_of(catalog, &roles)) {
            let state = kept.remove(at);
            kept.push(Arc::clone(&state));
            return state;
        }
        let state = Arc::new(Catalogue::new(database, Arc::clone(catalog), roles));
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Arc::clone(&state));
        state
    }
}

#[derive(Debug)]
pub struct Catalogue {
    pub database: String,
    pub catalog: Arc<Catalog>,
    pub roles: Vec<Arc<RoleDef>>,
    objects: OnceLock<Objects>,
    comments: OnceLock<Comments>,
    batches: Mutex<HashMap<Oid, RecordBatch>>,
}

impl Catalogue {
    pub fn new(database: &str, catalog: Arc<Catalog>, roles: Vec<Arc<RoleDef>>) -> Self {
        Self {
            database: database.to_owned(),
            catalog,
            roles,
            objects: OnceLock::new(),
            comments: OnceLock::new(),
            batches: Mutex::default(),
        }
    }

    fn is_of(&self, catalog: &Arc<Catalog>, roles: &[Arc<RoleDef>]) -> bool {
        let same = |(a, b): (&Arc<RoleDef>, &Arc<RoleDef>)| Arc::ptr_eq(a, b);
        Arc::ptr_eq(&self.catalog, catalog) && self.roles.len() == roles.len() && self.roles.iter().zip(roles).all(same)
    }

    /// The rows of a relation that depends on definitions and roles only, made once.
    pub fn batch(&self, spec: &'static Spec, make: impl FnOnce() -> Result<RecordBatch>) -> Result<RecordBatch> {
        if let Some(batch) = self.batches.lock().get(&spec.oid) {
            return Ok(batch.clone());
        }
        let batch = make()?;
        self.batches.lock().insert(spec.oid, batch.clone());
        Ok(batch)
    }

    pub fn objects(&self) -> &Objects {
        self.objects.get_or_init(|| Objects::of(&self.catalog))
    }

    /// What was said of this database's own objects.
    pub fn comments(&self) -> &Comments {
        self.comments.get_or_init(|| comment::comments(&self.catalog))
    }

    pub fn relation(&self, oid: Oid) -> Option<Relation> {
        self.objects().relation(oid)
    }

    /// The first relation of the name in these schemas.
    pub fn relation_named(&self, schemas: &[String], name: &str) -> Option<Relation> {
        schemas.iter().find_map(|schema| self.objects().relation_named(schema, name))
    }

    /// Schemas with their OIDs, owners' names: the system's first.
    pub fn namespace_oid(&self, name: &str) -> Option<Oid> {
        let system = SYSTEM_NAMESPACES.iter().find(|(system, _)| *system == name).map(|(_, oid)| oid());
        system.or_else(|| self.catalog.schemas.get(name).map(|def| def.id))
    }

    pub fn namespace_name(&self, oid: Oid) -> Option<&str> {
        let system = SYSTEM_NAMESPACES.iter().find(|(_, system)| system() == oid).map(|(name, _)| *name);
        system.or_else(|| self.catalog.schemas.values().find(|def| def.id == oid).map(|def| def.name.as_str()))
    }

    /// 0 for a role that is not there.
    pub fn role_oid(&self, name: &str) -> Oid {
        let own = || self.roles.iter().find(|role| role.name == name).map(|role| role.id);
        roles::predefined_oid(name).or_else(own).unwrap_or(0)
    }

    pub fn role_name(&self, oid: Oid) -> Option<&str> {
        roles::predefined_name(oid).or_else(|| self.role(oid).map(|role| role.name.as_str()))
    }

    pub fn role(&self, oid: Oid) -> Option<&Arc<RoleDef>> {
        self.roles.iter().find(|role| role.id == oid)
    }

    /// The role that the system's own objects belong to.
    pub fn bootstrap_role(&self) -> &str {
        self.role(spec::BOOTSTRAP_ROLE).map_or("", |role| role.name.as_str())
    }
}

/// Schemas that are always there.
pub const SYSTEM_NAMESPACES: &[(&str, fn() -> Oid)] =
    &[("pg_catalog", || spec::PG_CATALOG), ("information_schema", spec::information_schema), ("chronogate", || CHRONOGATE)];

/// The OID of our own schema, one that PostgreSQL gives to nothing.
const CHRONOGATE: Oid = 9900;

impl StatementContext {
    /// The catalogue as the statement sees it.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        let catalog = Arc::clone(&self.transaction.lock().catalog);
        self.catalogues.get(self.database.name(), &catalog, self.server.roles())
    }

    /// Schemas in which an unqualified name is looked for, `pg_catalog` first unless the path names it.
    pub fn effective_path(&self) -> Vec<String> {
        let implicit = (!self.search_path.iter().any(|s| s == "pg_catalog")).then(|| "pg_catalog".to_owned());
        implicit.into_iter().chain(self.search_path.iter().cloned()).collect()
    }
}

/// Schema and name of an object's name as it is written in a text, unquoted parts folded; 42602 when it is none.
pub fn parse_name(text: &str) -> Option<(Option<String>, String)> {
    let mut parts = Vec::new();
    let mut chars = text.trim().chars().peekable();
    loop {
        let mut part = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => part.push('"'),
                    '"' => break,
                    c => part.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != '.' && *c != '"' && !c.is_whitespace()) {
                part.extend(c.to_lowercase());
            }
        }
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match chars.next() {
            None => break,
            Some('.') => {}
            Some(_) => return None,
        }
    }
    let name = parts.pop()?;
    match parts.len() {
        0 => Some((None, name)),
        // A database's name before the schema's is of no use.
        1 | 2 => Some((parts.pop(), name)),
        _ => None,
    }
}

/// A relation's name, with its schema unless the path leads to it.
pub fn shown_name(catalogue: &Catalogue, path: &[String], relation: &Relation) -> String {
    use crate::plan::functions::session::quote_ident;
    let Qualified { schema, name } = relation.name();
    let visible = catalogue.relation_named(path, &name).is_some_and(|found| found.oid() == relation.oid());
    if visible { quote_ident(&name) } else { format!("{}.{}", quote_ident(&schema), quote_ident(&name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_unless_quoted() {
        let check = |text: &str, expected: Option<(Option<&str>, &str)>| {
            let expected = expected.map(|(schema, name)| (schema.map(str::to_owned), name.to_owned()));
            assert_eq!(parse_name(text), expected, "{text}");
        };
        check("T", Some((None, "t")));
        check("public.\"A b\"", Some((Some("public"), "A b")));
        check("\"x\"\"y\"", Some((None, "x\"y")));
        check("db.s.t", Some((Some("s"), "t")));
        check("a b", None);
        check("", None);
        check("a.", None);
    }
}
