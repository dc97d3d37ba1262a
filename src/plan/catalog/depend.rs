//! pg_depend, pg_rewrite and pg_description: what belongs to what, and what is said of it.

use datafusion::arrow::array::RecordBatch;

use super::extension;
use super::objects;
use super::relation::namespace;
use super::rows::{Cell, Rows};
use super::spec::Spec;
use super::state::Catalogue;
use crate::error::Result;
use crate::history::TableDef;
use crate::types::{Oid, PgType};

pub const PG_CLASS: Oid = 1259;
const PG_ATTRDEF: Oid = 2604;
pub const PG_CONSTRAINT: Oid = 2606;
pub const PG_NAMESPACE: Oid = 2615;
pub const PG_TYPE: Oid = 1247;
const PG_REWRITE: Oid = 2618;
pub const PG_EXTENSION: Oid = 3079;

/// Something that depends or is depended on: its catalogue, its OID and its column, 0 for the whole.
type Place = (Oid, Oid, i64);

struct Dependencies {
    rows: Rows,
}

impl Dependencies {
    /// `kind`: `n` normal, `a` dropped along, `i` part of it, `e` part of an extension.
    fn add(&mut self, (class, object, column): Place, (to_class, to, to_column): Place, kind: &'static str) {
        self.rows.push(&[
            class.into(),
            object.into(),
            Cell::Int(column),
            to_class.into(),
            to.into(),
            Cell::Int(to_column),
            kind.into(),
        ]);
    }
}

pub fn dependencies(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["classid", "objid", "objsubid", "refclassid", "refobjid", "refobjsubid", "deptype"];
    let mut all = Dependencies { rows: Rows::new(spec, &columns) };
    for (class, member) in extension::PLPGSQL_MEMBERS {
        all.add((class, member, 0), (PG_EXTENSION, extension::PLPGSQL, 0), "e");
    }
    for def in state.catalog.live_types() {
        let own = (PG_TYPE, def.id, 0);
        all.add(own, (PG_NAMESPACE, namespace(state, &def.name.schema), 0), "n");
        all.add((PG_TYPE, def.array_id, 0), own, "i");
        if let Some(composite) = def.composite() {
            all.add((PG_CLASS, composite.relation, 0), own, "i");
            let users = composite.fields.iter().filter_map(|(_, ty)| ty.name.user());
            users.into_iter().for_each(|user| all.add((PG_CLASS, composite.relation, 0), (PG_TYPE, user.oid(), 0), "n"));
        }
        let Some(domain) = def.domain() else { continue };
        if let Some(base) = domain.over.or(domain.base.name.user().map(|user| user.oid())) {
            all.add(own, (PG_TYPE, base, 0), "n");
        }
        domain.checks.iter().for_each(|check| all.add((PG_CONSTRAINT, check.id, 0), own, "a"));
    }
    for table in state.catalog.tables.values() {
        of_table(&mut all, state, table);
    }
    for view in state.catalog.queries() {
        let rule = (PG_REWRITE, objects::view_rule(view.id), 0);
        if state.catalog.views.contains_key(&view.name) {
            all.add((PG_CLASS, view.id, 0), (PG_NAMESPACE, namespace(state, &view.name.schema), 0), "n");
        }
        all.add(rule, (PG_CLASS, view.id, 0), "i");
        all.add(rule, (PG_CLASS, view.id, 0), "n");
        for relation in super::view::relations(state, &view) {
            all.add(rule, (PG_CLASS, relation.oid(), 0), "n");
        }
    }
    for sequence in state.catalog.sequences.values() {
        let own = (PG_CLASS, sequence.id, 0);
        all.add(own, (PG_NAMESPACE, namespace(state, &sequence.name.schema), 0), "n");
        let Some((table, column)) = sequence.owned_by else { continue };
        let identity =
            state.catalog.table_by_id(table).and_then(|t| t.column_by_id(column)).is_some_and(|c| c.identity.is_some());
        all.add(own, (PG_CLASS, table.0, i64::from(column.0)), if identity { "i" } else { "a" });
    }
    all.rows.finish()
}

fn of_table(all: &mut Dependencies, state: &Catalogue, table: &TableDef) {
    let column = |id: crate::history::ColumnId| (PG_CLASS, table.id.0, i64::from(id.0));
    all.add((PG_CLASS, table.id.0, 0), (PG_NAMESPACE, namespace(state, &table.name.schema), 0), "n");
    for def in table.live_columns() {
        if let Some(ty) = def.domain.or(def.ty.name.user().map(|_| def.ty.oid())) {
            all.add(column(def.id), (PG_TYPE, ty, 0), "n");
        }
        let Some(text) = &def.default else { continue };
        let default = (PG_ATTRDEF, objects::column_default(table.id.0, def.id), 0);
        all.add(default, column(def.id), "a");
        let sequences = state.catalog.sequences.values();
        // A serial column's default names its sequence in full.
        for sequence in sequences.filter(|s| text.starts_with("nextval(") && text.contains(&s.name.to_string())) {
            all.add(default, (PG_CLASS, sequence.id, 0), "n");
        }
    }
    for index in objects::indexes(table) {
        let own = (PG_CLASS, index.oid, 0);
        if index.constraint {
            let constraint = (PG_CONSTRAINT, objects::index_constraint(index.oid), 0);
            index.columns().iter().for_each(|id| all.add(constraint, column(*id), "a"));
            all.add(own, constraint, "i");
        } else {
            index.columns().iter().for_each(|id| all.add(own, column(*id), "a"));
        }
    }
    for key in &table.foreign_keys {
        let constraint = (PG_CONSTRAINT, key.id.0, 0);
        key.columns.iter().for_each(|id| all.add(constraint, column(*id), "a"));
        key.referenced.iter().for_each(|id| all.add(constraint, (PG_CLASS, key.table.0, i64::from(id.0)), "n"));
        if let Some(target) = state.catalog.table_by_id(key.table) {
            all.add(constraint, (PG_CLASS, objects::referenced_index(key, target), 0), "n");
        }
    }
    for check in &table.checks {
        let constraint = (PG_CONSTRAINT, check.id, 0);
        for id in super::deparse::columns_of(table, &check.expression) {
            all.add(constraint, column(id), "a");
        }
    }
}

pub fn rules(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["oid", "rulename", "ev_class", "ev_action"];
    let rows = Rows::new(spec, &columns).always("ev_type", "1").always("ev_enabled", "O").always("is_instead", true);
    let mut rows = rows.always("ev_qual", "<>");
    for view in state.catalog.queries() {
        rows.push(&[objects::view_rule(view.id).into(), "_RETURN".into(), view.id.into(), view.query.clone().into()]);
    }
    rows.finish()
}

pub fn sequences(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["seqrelid", "seqtypid", "seqstart", "seqincrement", "seqmax", "seqmin", "seqcycle"];
    let mut rows = Rows::new(spec, &columns).always("seqcache", 1);
    for s in state.catalog.sequences.values() {
        rows.push(&[
            s.id.into(),
            sequence_type(state, s).oid().into(),
            s.start.into(),
            s.increment.into(),
            s.max.into(),
            s.min.into(),
            s.cycle.into(),
        ]);
    }
    rows.finish()
}

/// A sequence's type: that of the column it belongs to.
pub fn sequence_type(state: &Catalogue, sequence: &crate::history::SequenceDef) -> PgType {
    let column =
        sequence.owned_by.and_then(|(table, column)| state.catalog.table_by_id(table)?.column_by_id(column).map(|c| c.ty));
    column.unwrap_or(PgType::INT8)
}
