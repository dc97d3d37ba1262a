//! A session's settings: what each is now, what it goes back to, and what a transaction's end undoes.
//!
//! Owns the layers (built in, role, database name, startup; then SET, then SET LOCAL) and their transactional
//! rules. What a value means to a statement is decided where it is used.

pub mod table;
pub mod value;
pub mod zone;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::as_of::AsOf;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::{SchemaAt, SettingsAccess};
use table::{Access, Definition};

/// One row of SHOW ALL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub name: String,
    pub value: String,
    pub description: &'static str,
}

/// What statements need of the settings, parsed once per change.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Grows with every change that can alter how a statement is planned.
    pub planning: u64,
    pub search_path: Vec<String>,
    pub time_zone: String,
    pub as_of: Option<AsOf>,
    pub schema_at: SchemaAt,
    /// now() follows the pinned time.
    pub clock_follows: bool,
    pub statement_timeout: Option<Duration>,
    pub lock_timeout: Option<Duration>,
    pub idle_in_transaction: Option<Duration>,
    pub idle_session: Option<Duration>,
    pub default_read_only: bool,
    pub notice_floor: NoticeFloor,
    pub actor: Option<String>,
    pub reason: Option<String>,
    pub context: Option<String>,
    pub application_name: String,
    /// Of SET ROLE; `None` is the session's user.
    pub role: Option<String>,
    /// Who was authenticated, or of SET SESSION AUTHORIZATION.
    pub session_user: String,
}

/// `client_min_messages`, as far as it concerns what we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeFloor {
    Debug,
    Log,
    Notice,
    Warning,
    Error,
}

#[derive(Debug, Default)]
struct Layers {
    /// What RESET goes back to where it is not the built-in default: role, database name, startup.
    start: BTreeMap<String, String>,
    session: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
    /// `session` as it was when the transaction first changed it.
    before: Option<BTreeMap<String, String>>,
    /// Values that the session itself keeps (role, transaction_isolation …); no layer beats them.
    fixed: BTreeMap<String, String>,
    effective: Option<Arc<Effective>>,
    planning: u64,
    /// What the client was last told.
    reported: HashMap<&'static str, String>,
    changed: bool,
}

/// Settings as they were at a savepoint.
#[derive(Clone, Debug)]
pub struct SettingsMark {
    session: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
    before: Option<BTreeMap<String, String>>,
}

/// Shared with the statements that run, for `current_setting` and `set_config`.
#[derive(Debug)]
pub struct Settings {
    layers: Mutex<Layers>,
    checks: Arc<dyn Checks>,
    /// The commit that the transaction reads; 0 before its first statement.
    snapshot: AtomicU64,
}

/// What a setting's check needs to know of the world.
pub trait Checks: Send + Sync + std::fmt::Debug {
    /// A pinned time in canonical form; 22007 when it does not parse, 22023 when it lies in the future.
    fn pinned_time(&self, value: &str, time_zone: &str) -> Result<String>;
    /// Whether `user` may act as `role`: 22023 when there is none, 42501 when not.
    fn role(&self, user: &str, role: &str) -> Result<()>;
    /// Whether who has been authenticated may be `role` to the session: 22023 and 42501 likewise.
    fn session_role(&self, role: &str) -> Result<()>;
    /// The newest commit.
    fn newest_commit(&self) -> u64;
    fn superuser(&self, role: &str) -> bool;
}

/// Where a value comes from, which decides what it may be and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Role, database name, startup packet: becomes what RESET goes back to.
    Start,
    Session,
    Local,
}

impl Settings {
    pub fn new(checks: Arc<dyn Checks>) -> Self {
        Self { layers: Mutex::new(Layers { changed: true, ..Layers::default() }), checks, snapshot: AtomicU64::new(0) }
    }

    /// Checks and sets. 42704 for a name nobody knows, 22023 for a value it cannot have, 55P02 for one that
    /// cannot be changed. Returns the value as it will be shown.
    pub fn assign(&self, name: &str, value: &str, source: Source) -> Result<String> {
        let Some(definition) = table::find(name) else {
            custom_name(name)?;
            self.store(name.to_ascii_lowercase(), value.to_owned(), source, false);
            return Ok(value.to_owned());
        };
        self.permit(definition, source)?;
        let value = self.check(definition, value)?;
        self.store(definition.key(), value.clone(), source, definition.planning);
        Ok(value)
    }

    fn is_superuser(&self) -> bool {
        let effective = self.effective();
        self.checks.superuser(effective.role.as_ref().unwrap_or(&effective.session_user))
    }

    fn permit(&self, definition: &Definition, source: Source) -> Result<()> {
        match definition.access {
            Access::Anyone => Ok(()),
            Access::Superuser if self.is_superuser() => Ok(()),
            Access::Superuser => Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied to set parameter \"{}\"", definition.name),
            )),
            // Startup may name a transaction setting; it has no transaction to apply it to.
            Access::Transaction if source == Source::Start => Err(cannot_be_changed(definition.name)),
            Access::Transaction => Err(SqlError::unsupported(
                format!("parameter \"{}\" cannot be set here", definition.name),
                "Use SET TRANSACTION.",
            )),
            Access::Nobody => Err(cannot_be_changed(definition.name)),
        }
    }

    fn check(&self, definition: &Definition, value: &str) -> Result<String> {
        match definition.key().as_str() {
            "chronogate.as_of" if !value.trim().is_empty() => {
                let zone = self.effective().time_zone.clone();
                self.checks.pinned_time(value.trim(), &zone)
            }
            "chronogate.as_of" => Ok(String::new()),
            "role" if value == "none" => Ok(value.to_owned()),
            "role" => self.checks.role(&self.effective().session_user, value).map(|()| value.to_owned()),
            "session_authorization" => self.checks.session_role(value).map(|()| value.to_owned()),
            _ => value::check(definition, value),
        }
    }

    fn store(&self, key: String, value: String, source: Source, planning: bool) {
        let mut layers = self.layers.lock();
        match source {
            Source::Start => {
                layers.start.insert(key, value);
            }
            Source::Session => {
                layers.remember();
                layers.local.remove(&key);
                layers.session.insert(key, value);
            }
            Source::Local => {
                layers.local.insert(key, value);
            }
        }
        layers.touched(planning);
    }

    /// RESET name: back to what the session started with.
    pub fn reset(&self, name: &str) -> Result<()> {
        let (key, planning) = match table::find(name) {
            Some(definition) => {
                self.permit(definition, Source::Session)?;
                (definition.key(), definition.planning)
            }
            None => {
                let key = name.to_ascii_lowercase();
                if !key.contains('.') {
                    return Err(unrecognized(name));
                }
                (key, false)
            }
        };
        let mut layers = self.layers.lock();
        layers.remember();
        layers.session.remove(&key);
        layers.local.remove(&key);
        layers.touched(planning);
        Ok(())
    }

    /// SET LOCAL name TO DEFAULT: what the session started with, until the transaction ends.
    pub fn reset_local(&self, name: &str) -> Result<()> {
        let Some(definition) = table::find(name) else {
            return if name.contains('.') { self.reset(name) } else { Err(unrecognized(name)) };
        };
        self.permit(definition, Source::Local)?;
        let key = definition.key();
        let value = self.layers.lock().start.get(&key).cloned().unwrap_or_else(|| definition.default.to_owned());
        self.store(key, value, Source::Local, definition.planning);
        Ok(())
    }

    /// RESET ALL: everything but who the session is and what its transaction was begun with.
    pub fn reset_all(&self) {
        let mut layers = self.layers.lock();
        layers.remember();
        let kept = |key: &String, _: &mut String| matches!(key.as_str(), "role" | "session_authorization");
        layers.session.retain(kept);
        layers.local.retain(kept);
        layers.touched(true);
    }

    /// Tells who was authenticated, once: what SET SESSION AUTHORIZATION goes back to.
    pub fn authenticated(&self, user: &str) {
        self.store("session_authorization".to_owned(), user.to_owned(), Source::Start, true);
    }

    /// Sets a value that the session keeps itself.
    pub fn fix(&self, name: &str, value: &str) {
        let mut layers = self.layers.lock();
        if layers.fixed.get(name).is_none_or(|old| old != value) {
            layers.fixed.insert(name.to_owned(), value.to_owned());
            layers.touched(matches!(name, "role" | "session_authorization" | "is_superuser"));
        }
    }

    /// The transaction ended: SET LOCAL is over, and after a rollback SET has never been.
    pub fn end_transaction(&self, committed: bool) {
        self.snapshot.store(0, Ordering::SeqCst);
        let mut layers = self.layers.lock();
        let before = layers.before.take();
        let undone = if committed { None } else { before };
        if layers.local.is_empty() && undone.is_none() {
            return;
        }
        layers.local.clear();
        if let Some(before) = undone {
            layers.session = before;
        }
        layers.touched(true);
    }

    /// What a savepoint is to go back to.
    pub fn mark(&self) -> SettingsMark {
        let layers = self.layers.lock();
        SettingsMark { session: layers.session.clone(), local: layers.local.clone(), before: layers.before.clone() }
    }

    /// Undoes what was set since the mark.
    pub fn return_to(&self, mark: &SettingsMark) {
        let mut layers = self.layers.lock();
        if layers.session == mark.session && layers.local == mark.local {
            return;
        }
        layers.session.clone_from(&mark.session);
        layers.local.clone_from(&mark.local);
        layers.before.clone_from(&mark.before);
        layers.touched(true);
    }

    /// Told by the transaction: which commit it reads; 0 when none yet.
    pub fn snapshot_is(&self, commit: u64) {
        self.snapshot.store(commit, Ordering::SeqCst);
    }

    /// As SHOW has it, with the canonical name: 42704 when there is no such setting.
    pub fn show(&self, name: &str) -> Result<(String, String)> {
        match table::find(name) {
            Some(definition) => Ok((definition.name.to_owned(), self.value_of(definition))),
            None => {
                let key = name.to_ascii_lowercase();
                let value = self.layers.lock().get(&key).cloned();
                value.map(|value| (key, value)).ok_or_else(|| unrecognized(name))
            }
        }
    }

    pub fn show_all(&self) -> Vec<Shown> {
        let all = table::ALL.iter().filter(|d| !d.hidden);
        all.map(|d| Shown { name: d.name.to_owned(), value: self.value_of(d), description: d.description }).collect()
    }

    /// A setting's value now, and the one that RESET goes back to.
    pub fn present_and_reset(&self, definition: &Definition) -> (String, String) {
        let start = self.layers.lock().start.get(&definition.key()).cloned();
        (self.value_of(definition), start.unwrap_or_else(|| definition.default.to_owned()))
    }

    fn value_of(&self, definition: &Definition) -> String {
        let key = definition.key();
        if key == "chronogate.snapshot" {
            return match self.snapshot.load(Ordering::SeqCst) {
                0 => format!("v{}", self.checks.newest_commit()),
                commit => format!("v{commit}"),
            };
        }
        self.layers.lock().get(&key).cloned().unwrap_or_else(|| definition.default.to_owned())
    }

    /// What clients are told about and has changed since the last call.
    pub fn changed_reports(&self) -> Vec<(String, String)> {
        let mut layers = self.layers.lock();
        if !std::mem::take(&mut layers.changed) {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for definition in table::ALL.iter().filter(|d| d.reported) {
            let value = layers.get(&definition.key()).cloned().unwrap_or_else(|| definition.default.to_owned());
            if layers.reported.get(definition.name) != Some(&value) {
                layers.reported.insert(definition.name, value.clone());
                changed.push((definition.name.to_owned(), value));
            }
        }
        changed
    }

    pub fn effective(&self) -> Arc<Effective> {
        let mut layers = self.layers.lock();
        if let Some(effective) = &layers.effective {
            return Arc::clone(effective);
        }
        let effective = Arc::new(Effective::of(&layers));
        layers.effective = Some(Arc::clone(&effective));
        effective
    }

    /// Values that SET or startup gave a name, for a role's stored settings to be checked against.
    pub fn check_only(&self, name: &str, value: &str) -> Result<String> {
        match table::find(name) {
            Some(definition) => {
                self.permit(definition, Source::Session)?;
                // A relative or future time may be right by the time the role connects.
                if definition.key() == "chronogate.as_of" { Ok(value.to_owned()) } else { value::check(definition, value) }
            }
            None => custom_name(name).map(|()| value.to_owned()),
        }
    }
}

impl Layers {
    fn get(&self, key: &str) -> Option<&String> {
        self.fixed.get(key).or_else(|| self.local.get(key)).or_else(|| self.session.get(key)).or_else(|| self.start.get(key))
    }

    fn text(&self, key: &str) -> String {
        let default = || table::find(key).map(|d| d.default.to_owned()).unwrap_or_default();
        self.get(key).cloned().unwrap_or_else(default)
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        let millis = value::parse_integer(&self.text(key), table::Unit::Milliseconds).unwrap_or(0);
        u64::try_from(millis).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    fn remember(&mut self) {
        if self.before.is_none() {
            self.before = Some(self.session.clone());
        }
    }

    fn touched(&mut self, planning: bool) {
        self.effective = None;
        self.changed = true;
        if planning {
            self.planning += 1;
        }
    }
}

impl Effective {
    fn of(layers: &Layers) -> Self {
        let some = |key: &str| Some(layers.text(key)).filter(|v| !v.is_empty());
        let schema_at = match layers.text("chronogate.schema_at").as_str() {
            "then" => SchemaAt::Then,
            "now" => SchemaAt::Now,
            _ => SchemaAt::Union,
        };
        let notice_floor = match layers.text("client_min_messages").as_str() {
            "error" => NoticeFloor::Error,
            "warning" => NoticeFloor::Warning,
            "log" => NoticeFloor::Log,
            level if level.starts_with("debug") => NoticeFloor::Debug,
            _ => NoticeFloor::Notice,
        };
        Self {
            planning: layers.planning,
            search_path: value::split_list(&layers.text("search_path")).unwrap_or_default(),
            time_zone: zone::for_statements(&layers.text("timezone")),
            as_of: some("chronogate.as_of").and_then(|v| AsOf::from_canonical(&v)),
            schema_at,
            clock_follows: layers.text("chronogate.clock") == "as_of",
            statement_timeout: layers.duration("statement_timeout"),
            lock_timeout: layers.duration("lock_timeout"),
            idle_in_transaction: layers.duration("idle_in_transaction_session_timeout"),
            idle_session: layers.duration("idle_session_timeout"),
            default_read_only: layers.text("default_transaction_read_only") == "on",
            notice_floor,
            actor: some("chronogate.actor"),
            reason: some("chronogate.reason"),
            context: some("chronogate.context"),
            application_name: layers.text("application_name"),
            role: some("role").filter(|role| role != "none"),
            session_user: layers.text("session_authorization"),
        }
    }
}

impl SettingsAccess for Settings {
    fn get(&self, name: &str) -> Option<String> {
        self.show(name).ok().map(|(_, value)| value)
    }

    /// `local` outside a block lasts for the statement, which is its own transaction.
    fn set(&self, name: &str, value: &str, local: bool) -> Result<()> {
        let source = if local { Source::Local } else { Source::Session };
        self.assign(name, value, source).map(drop)
    }
}

pub fn unrecognized(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

fn cannot_be_changed(name: &str) -> SqlError {
    SqlError::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, format!("parameter \"{name}\" cannot be changed"))
}

/// `myapp.user` is anybody's to make up; a name without a dot, or one of ours that does not exist, is not.
fn custom_name(name: &str) -> Result<()> {
    if !name.contains('.') {
        return Err(unrecognized(name));
    }
    let invalid = |detail: &str| {
        Err(SqlError::new(SqlState::INVALID_NAME, format!("invalid configuration parameter name \"{name}\"")).detail(detail))
    };
    if name.to_ascii_lowercase().starts_with("chronogate.") {
        return invalid("\"chronogate\" is a reserved prefix.");
    }
    let identifier = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '$')
    };
    if name.split('.').all(identifier) {
        return Ok(());
    }
    invalid("Custom parameter names must be two or more simple identifiers separated by dots.")
}

#[cfg(test)]
mod tests;
