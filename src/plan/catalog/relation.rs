//! pg_namespace and pg_class: schemas, and everything that has a name in one.

use datafusion::arrow::array::RecordBatch;

use super::acl;
use super::objects;
use super::rows::{Cell, Rows};
use super::spec::{self, BOOTSTRAP_ROLE, Spec};
use super::state::{Catalogue, SYSTEM_NAMESPACES};
use crate::error::Result;
use crate::history::{CheckOption, SequenceDef, TableDef, ViewDef, is_temporary_schema};
use crate::plan::system::SystemTable;
use crate::types::Oid;

/// The access method of tables.
const HEAP: Oid = 2;

pub fn namespaces(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["oid", "nspname", "nspowner", "nspacl"]);
    for (name, oid) in SYSTEM_NAMESPACES {
        let bootstrap = state.bootstrap_role();
        let acl = vec![format!("{bootstrap}=UC/{bootstrap}"), format!("=U/{bootstrap}")];
        rows.push(&[oid().into(), (*name).into(), BOOTSTRAP_ROLE.into(), acl.into()]);
    }
    for def in state.catalog.schemas.values() {
        let acl = acl::items(&def.owner, &def.grants, acl::SCHEMA);
        rows.push(&[def.id.into(), (&def.name).into(), state.role_oid(&def.owner).into(), acl.into()]);
    }
    rows.finish()
}

const CLASS: &[&str] = &[
    "oid",
    "relname",
    "relnamespace",
    "reltype",
    "relowner",
    "relam",
    "relfilenode",
    "relhasindex",
    "relkind",
    "relnatts",
    "relchecks",
    "relhasrules",
    "relreplident",
    "relacl",
    "relhastriggers",
    "reltuples",
    "relpages",
    "relpersistence",
    "relispopulated",
    "reloptions",
];

/// What differs between relations in pg_class.
struct Class<'a> {
    oid: Oid,
    name: &'a str,
    namespace: Oid,
    row_type: Oid,
    owner: Oid,
    method: Oid,
    stored: bool,
    has_index: bool,
    kind: &'static str,
    columns: usize,
    checks: usize,
    rules: bool,
    identity: char,
    acl: Option<Vec<String>>,
    triggers: bool,
    /// -1: nobody has counted.
    tuples: f64,
    pages: i32,
    temporary: bool,
    populated: bool,
    options: Option<Vec<String>>,
}

impl Class<'_> {
    fn push(self, rows: &mut Rows) {
        let width = i64::try_from(self.columns).unwrap_or(i64::MAX);
        rows.push(&[
            self.oid.into(),
            Cell::Text(self.name.into()),
            self.namespace.into(),
            self.row_type.into(),
            self.owner.into(),
            self.method.into(),
            if self.stored { self.oid } else { 0 }.into(),
            self.has_index.into(),
            self.kind.into(),
            Cell::Int(width),
            Cell::Int(i64::try_from(self.checks).unwrap_or(i64::MAX)),
            self.rules.into(),
            self.identity.into(),
            self.acl.into(),
            self.triggers.into(),
            self.tuples.into(),
            self.pages.into(),
            if self.temporary { "t" } else { "p" }.into(),
            self.populated.into(),
            self.options.into(),
        ]);
    }
}

pub fn classes(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, CLASS);
    for system in spec::all() {
        let view = system.kind == "v";
        let acl = vec![format!("{0}=arwdDxt/{0}", state.bootstrap_role()), format!("=r/{}", state.bootstrap_role())];
        let class = Class {
            method: if view { 0 } else { HEAP },
            stored: !view,
            rules: view,
            identity: 'n',
            acl: Some(acl),
            ..class(system.oid, system.name, system.namespace, BOOTSTRAP_ROLE, system.kind, system.columns.len())
        };
        Class { row_type: system.row_type, ..class }.push(&mut rows);
    }
    for ours in SystemTable::ALL {
        let namespace = namespace(state, "chronogate");
        let class = class(ours.oid(), ours.name(), namespace, BOOTSTRAP_ROLE, "v", ours.columns().len());
        let acl = vec![format!("{0}=arwdDxt/{0}", state.bootstrap_role()), format!("=r/{}", state.bootstrap_role())];
        Class { rules: true, identity: 'n', acl: Some(acl), ..class }.push(&mut rows);
    }
    for table in state.catalog.tables.values() {
        table_class(state, table).push(&mut rows);
        for index in objects::indexes(table) {
            let (namespace, owner) = (namespace(state, &table.name.schema), state.role_oid(&table.owner));
            let class = class(index.oid, &index.name, namespace, owner, "i", index.width());
            let temporary = table.is_temporary();
            let method = index.method().map_or(0, |method| method.oid);
            Class { row_type: 0, method, stored: true, identity: 'n', tuples: 0.0, pages: 1, temporary, ..class }.push(&mut rows);
        }
    }
    for def in state.catalog.live_types() {
        let Some(composite) = def.composite() else { continue };
        let (namespace, owner) = (namespace(state, &def.name.schema), state.role_oid(&def.owner));
        let class = class(composite.relation, &def.name.name, namespace, owner, "c", composite.fields.len());
        Class { row_type: def.id, identity: 'n', tuples: 0.0, ..class }.push(&mut rows);
    }
    for view in state.catalog.views.values() {
        view_class(state, view).push(&mut rows);
    }
    for sequence in state.catalog.sequences.values() {
        sequence_class(state, sequence).push(&mut rows);
    }
    rows.finish()
}

fn class<'a>(oid: Oid, name: &'a str, namespace: Oid, owner: Oid, kind: &'static str, columns: usize) -> Class<'a> {
    Class {
        oid,
        name,
        namespace,
        row_type: objects::row_type(oid),
        owner,
        method: 0,
        stored: false,
        has_index: false,
        kind,
        columns,
        checks: 0,
        rules: false,
        identity: 'd',
        acl: None,
        triggers: false,
        tuples: -1.0,
        pages: 0,
        temporary: false,
        populated: true,
        options: None,
    }
}

/// The OID of a schema; 0 for one that is not there.
pub fn namespace(state: &Catalogue, name: &str) -> Oid {
    state.namespace_oid(name).unwrap_or_default()
}

fn table_class<'a>(state: &Catalogue, table: &'a TableDef) -> Class<'a> {
    let owner = state.role_oid(&table.owner);
    let kind = if table.materialized.is_some() { "m" } else { "r" };
    let class = class(table.id.0, &table.name.name, namespace(state, &table.name.schema), owner, kind, table.columns.len());
    Class {
        rules: table.materialized.is_some(),
        populated: table.materialized.as_ref().is_none_or(|materialized| materialized.populated),
        method: HEAP,
        stored: true,
        has_index: !objects::indexes(table).is_empty(),
        checks: table.checks.len(),
        triggers: !table.triggers.is_empty() || !table.foreign_keys.is_empty() || state.catalog.is_referenced(table.id),
        acl: acl::items(&table.owner, &table.grants, acl::TABLE),
        temporary: table.is_temporary(),
        ..class
    }
}

fn view_class<'a>(state: &Catalogue, view: &'a ViewDef) -> Class<'a> {
    let owner = state.role_oid(&view.owner);
    let class = class(view.id, &view.name.name, namespace(state, &view.name.schema), owner, "v", view.columns.len());
    let temporary = is_temporary_schema(&view.name.schema);
    let option = |option| if option == CheckOption::Local { "check_option=local" } else { "check_option=cascaded" };
    let options = view.check_option.map(|chosen| vec![option(chosen).to_owned()]);
    let acl = acl::items(&view.owner, &view.grants, acl::TABLE);
    Class { rules: true, identity: 'n', acl, temporary, options, ..class }
}

fn sequence_class<'a>(state: &Catalogue, sequence: &'a SequenceDef) -> Class<'a> {
    let owner = state.role_oid(&sequence.owner);
    let namespace = namespace(state, &sequence.name.schema);
    let class = class(sequence.id, &sequence.name.name, namespace, owner, "S", 3);
    let acl = acl::items(&sequence.owner, &sequence.grants, acl::SEQUENCE);
    let temporary = is_temporary_schema(&sequence.name.schema);
    Class { row_type: 0, stored: true, identity: 'n', acl, tuples: 1.0, pages: 1, temporary, ..class }
}
