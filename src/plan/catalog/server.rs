//! What changes without any definition: databases, settings, sessions, prepared statements, time zones.

use datafusion::arrow::array::RecordBatch;

use super::rows::{Cell, Rows};
use super::spec::Spec;
use super::state::Catalogue;
use crate::error::Result;
use crate::plan::{AdvisoryKey, LockedThing, StatementContext};
use crate::versions::Timestamp;

pub fn databases(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    const UTF8: i32 = 6;
    let columns = ["oid", "datname", "datdba", "datlocprovider"];
    let mut rows = Rows::new(spec, &columns)
        .always("encoding", UTF8)
        .always("datistemplate", false)
        .always("datallowconn", true)
        .always("datconnlimit", -1)
        .always("dattablespace", 1663)
        .always("datcollate", "C")
        .always("datctype", "C.UTF-8");
    for database in ctx.server.databases() {
        let owner = state.role_oid(&database.owner);
        rows.push(&[database.oid.into(), (&database.name).into(), owner.into(), "c".into()]);
    }
    rows.finish()
}

pub fn settings(ctx: &StatementContext, _: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "name",
        "setting",
        "unit",
        "category",
        "short_desc",
        "context",
        "vartype",
        "source",
        "min_val",
        "max_val",
        "enumvals",
        "boot_val",
        "reset_val",
        "pending_restart",
    ];
    let mut rows = Rows::new(spec, &columns);
    for s in ctx.server.settings() {
        let source = if s.value == s.boot { "default" } else { "session" };
        let choices = (!s.choices.is_empty()).then(|| s.choices.clone());
        let category = if s.context == "internal" { "Preset Options" } else { "Client Connection Defaults" };
        rows.push(&[
            (&s.name).into(),
            (&s.value).into(),
            s.unit.into(),
            category.into(),
            (&s.description).into(),
            s.context.into(),
            s.kind.into(),
            source.into(),
            s.least.as_deref().into(),
            s.greatest.as_deref().into(),
            choices.into(),
            (&s.boot).into(),
            (&s.reset).into(),
            false.into(),
        ]);
    }
    rows.finish()
}

pub fn activity(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "datid",
        "datname",
        "pid",
        "usesysid",
        "usename",
        "application_name",
        "client_addr",
        "backend_start",
        "xact_start",
        "query_start",
        "state_change",
        "state",
        "query",
        "backend_type",
    ];
    let mut rows = Rows::new(spec, &columns);
    let databases = ctx.server.databases();
    let authority = ctx.authority();
    let micros = |time: Option<Timestamp>| time.map(Timestamp::micros);
    for s in ctx.server.sessions() {
        let database = databases.iter().find(|d| d.name == s.database).map(|d| d.oid);
        // What others do is shown to those who may act as them.
        let seen = authority.owns(&s.user);
        let query = if seen { s.query.as_str() } else { "<insufficient privilege>" };
        let hidden = |cell: Cell<'static>| if seen { cell } else { Cell::Null };
        rows.push(&[
            database.into(),
            (&s.database).into(),
            s.pid.into(),
            state.role_oid(&s.user).into(),
            (&s.user).into(),
            (&s.application_name).into(),
            hidden(s.client_address.clone().into()),
            hidden(s.started.micros().into()),
            hidden(micros(s.transaction_started).into()),
            hidden(micros(s.query_started).into()),
            hidden(micros(s.state_changed).into()),
            hidden(s.state.into()),
            query.into(),
            hidden("client backend".into()),
        ]);
    }
    rows.finish()
}

pub fn prepared_statements(ctx: &StatementContext, _: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["name", "statement", "prepare_time", "parameter_types", "from_sql", "generic_plans", "custom_plans"];
    let mut rows = Rows::new(spec, &columns);
    for (name, s) in &ctx.objects.lock().prepared {
        let types: Vec<i64> = s.parameters.iter().map(|ty| i64::from(ty.oid())).collect();
        rows.push(&[
            name.into(),
            (&s.statement).into(),
            s.prepared_at.micros().into(),
            types.into(),
            s.from_sql.into(),
            0.into(),
            0.into(),
        ]);
    }
    rows.finish()
}

pub fn cursors(ctx: &StatementContext, _: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["name", "statement", "is_holdable", "is_binary", "is_scrollable", "creation_time"];
    let mut rows = Rows::new(spec, &columns);
    for (name, c) in &ctx.objects.lock().cursors {
        rows.push(&[
            name.into(),
            (&c.statement).into(),
            c.holdable.into(),
            c.binary.into(),
            c.scrollable.into(),
            c.created_at.micros().into(),
        ]);
    }
    rows.finish()
}

/// Counters that nobody keeps are zero, times that never came NULL.
pub fn table_statistics(_: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["relid", "schemaname", "relname"]);
    for table in state.catalog.tables.values() {
        rows.push(&[table.id.0.into(), (&table.name.schema).into(), (&table.name.name).into()]);
    }
    rows.finish()
}

pub fn index_statistics(_: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["relid", "indexrelid", "schemaname", "relname", "indexrelname"]);
    for table in state.catalog.tables.values() {
        for index in super::objects::indexes(table) {
            rows.push(&[
                table.id.0.into(),
                index.oid.into(),
                (&table.name.schema).into(),
                (&table.name.name).into(),
                (&index.name).into(),
            ]);
        }
    }
    rows.finish()
}

pub fn database_statistics(ctx: &StatementContext, _: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["datid", "datname", "numbackends"]);
    let sessions = ctx.server.sessions();
    for database in ctx.server.databases() {
        let backends = sessions.iter().filter(|s| s.database == database.name).count();
        rows.push(&[database.oid.into(), (&database.name).into(), i32::try_from(backends).unwrap_or(i32::MAX).into()]);
    }
    rows.finish()
}

/// Indexes of this database that are being built, rows done for tuples.
pub fn index_builds(ctx: &StatementContext, _: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "pid",
        "datid",
        "datname",
        "relid",
        "index_relid",
        "command",
        "phase",
        "tuples_total",
        "tuples_done",
        "lockers_total",
        "lockers_done",
        "current_locker_pid",
        "blocks_total",
        "blocks_done",
        "partitions_total",
        "partitions_done",
    ];
    let mut rows = Rows::new(spec, &columns);
    let name = ctx.database.name();
    let database = ctx.server.databases().iter().find(|d| d.name == name).map(|d| d.oid);
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    for build in ctx.database.being_built() {
        let (total, done) = build.progress.get();
        let mut row: Vec<Cell<'_>> = vec![
            build.pid.into(),
            database.into(),
            name.into(),
            build.table.0.into(),
            build.index.0.into(),
            "CREATE INDEX".into(),
            "building index: scanning table".into(),
            count(total).into(),
            count(done).into(),
        ];
        row.resize_with(columns.len(), || 0_i64.into());
        rows.push(&row);
    }
    rows.finish()
}

/// What is held is shown: reads hold nothing, and a commit's locks last no longer than it.
pub fn locks(ctx: &StatementContext, _: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns =
        ["locktype", "database", "relation", "classid", "objid", "objsubid", "pid", "mode", "granted", "virtualtransaction"];
    let mut rows = Rows::new(spec, &columns).always("fastpath", false);
    let databases = ctx.server.databases();
    for lock in ctx.server.locks() {
        let database = databases.iter().find(|d| d.name == lock.database).map(|d| d.oid);
        let (kind, relation, key) = match lock.thing {
            LockedThing::Table(oid) => ("relation", Some(oid), None),
            LockedThing::Row(oid) => ("tuple", Some(oid), None),
            LockedThing::Advisory(AdvisoryKey::One(key)) => {
                let key = key.cast_unsigned();
                ("advisory", None, Some(((key >> 32) as u32, key as u32, 1_i16)))
            }
            LockedThing::Advisory(AdvisoryKey::Two(a, b)) => ("advisory", None, Some((a.cast_unsigned(), b.cast_unsigned(), 2))),
        };
        rows.push(&[
            kind.into(),
            database.into(),
            relation.into(),
            key.map(|(class, ..)| class).into(),
            key.map(|(_, object, _)| object).into(),
            key.map(|(.., part)| i32::from(part)).into(),
            lock.pid.into(),
            lock.mode.into(),
            lock.granted.into(),
            format!("{}/1", lock.pid).into(),
        ]);
    }
    rows.finish()
}
