//! The server as the statements of one session see it: roles, databases, settings.

use std::sync::Arc;

use super::activity::Activity;
use super::locks::LockTables;
use super::settings::table::{self, Access, Definition, Kind, Unit};
use super::settings::{Settings, value};
use super::snapshots::ExportedSnapshots;
use crate::error::Result;
use crate::history::{RoleDef, Transaction};
use crate::plan::{DatabaseFacts, LockFacts, ServerView, SessionFacts, SettingFacts};
use crate::tenancy::Tenancy;
use crate::versions::Timestamp;

#[derive(Debug)]
pub(super) struct Seen {
    pub tenancy: Arc<Tenancy>,
    pub settings: Arc<Settings>,
    pub activity: Arc<Activity>,
    pub locks: Arc<LockTables>,
    pub snapshots: Arc<ExportedSnapshots>,
}

impl ServerView for Seen {
    fn roles(&self) -> Vec<Arc<RoleDef>> {
        self.tenancy.roles()
    }

    fn databases(&self) -> Vec<DatabaseFacts> {
        let facts = |(oid, name): (u32, String)| {
            let owner = self.tenancy.database_def(&name).map(|def| def.owner.clone()).unwrap_or_default();
            DatabaseFacts { oid, name, owner }
        };
        self.tenancy.databases().into_iter().map(facts).collect()
    }

    fn settings(&self) -> Vec<SettingFacts> {
        table::ALL.iter().filter(|d| !d.hidden).map(|d| self.setting(d)).collect()
    }

    fn sessions(&self) -> Vec<SessionFacts> {
        self.activity.sessions()
    }

    fn started(&self) -> Timestamp {
        self.activity.started()
    }

    fn cancel(&self, pid: i32) -> bool {
        self.activity.cancel(pid)
    }

    fn terminate(&self, pid: i32) -> bool {
        self.activity.terminate(pid)
    }

    fn locks(&self) -> Vec<LockFacts> {
        self.locks.facts()
    }

    fn export_snapshot(&self, database: &str, transaction: &Transaction) -> Result<String> {
        Ok(self.snapshots.export(database, transaction))
    }
}

impl Seen {
    fn setting(&self, definition: &Definition) -> SettingFacts {
        let (value, reset) = self.settings.present_and_reset(definition);
        let plain = |text: &str| in_base_unit(definition.kind, text);
        let (least, greatest) = bounds(definition.kind);
        SettingFacts {
            name: definition.name.to_owned(),
            value: plain(&value),
            description: definition.description.to_owned(),
            reset: plain(&reset),
            boot: plain(definition.default),
            kind: kind(definition),
            context: match definition.access {
                Access::Nobody => "internal",
                Access::Superuser => "superuser",
                Access::Anyone | Access::Transaction => "user",
            },
            unit: unit(definition.kind),
            least,
            greatest,
            choices: match definition.kind {
                Kind::Enum(choices) | Kind::Only(choices) => choices.iter().map(|c| (*c).to_owned()).collect(),
                _ => Vec::new(),
            },
        }
    }
}

/// pg_settings shows numbers without a unit, in the setting's own.
fn in_base_unit(kind: Kind, text: &str) -> String {
    let Kind::Int(_, _, unit) = kind else { return text.to_owned() };
    value::parse_integer(text, unit).map_or_else(|| text.to_owned(), |n| n.to_string())
}

fn kind(definition: &Definition) -> &'static str {
    match definition.kind {
        Kind::Bool => "bool",
        Kind::Int(..) => "integer",
        Kind::Real(..) => "real",
        Kind::Enum(_) => "enum",
        Kind::Only(_) if matches!(definition.default, "on" | "off") => "bool",
        Kind::Only(_) => "enum",
        Kind::Text if definition.access == Access::Nobody && definition.default.parse::<i64>().is_ok() => "integer",
        Kind::Text | Kind::TimeZone | Kind::DateStyle | Kind::Encoding | Kind::List | Kind::JsonObject => "string",
    }
}

fn unit(kind: Kind) -> Option<&'static str> {
    let Kind::Int(_, _, unit) = kind else { return None };
    match unit {
        Unit::None => None,
        Unit::Milliseconds => Some("ms"),
        Unit::Seconds => Some("s"),
        Unit::Minutes => Some("min"),
        Unit::Kilobytes => Some("kB"),
        Unit::Blocks => Some("8kB"),
    }
}

fn bounds(kind: Kind) -> (Option<String>, Option<String>) {
    match kind {
        Kind::Int(least, greatest, _) => (Some(least.to_string()), Some(greatest.to_string())),
        Kind::Real(least, greatest) => (Some(least.to_string()), Some(greatest.to_string())),
        _ => (None, None),
    }
}
