//! How a session begins: the database, the time its name may carry, the role's settings, the startup packet's.
//!
//! Whatever is wrong here is FATAL. Authentication has happened; what it proved is the user's name.

use std::sync::Arc;

use super::activity::Place;
use super::as_of::AsOf;
use super::locking::Advisory;
use super::notify::Mailbox;
use super::roles::Roles;
use super::server_view::Seen;
use super::settings::{Checks, Settings, Source};
use super::temporary::Kept;
use super::{Session, SessionStart, Shared, Timer};
use crate::error::{Result, Severity, SqlError, SqlState};
use crate::history::{Database, RoleDef};
use crate::plan::{Notices, SessionFacts};
use crate::runtime::Cancel;
use crate::tenancy::Tenancy;
use crate::types::zone::Zone;

pub(super) async fn open(shared: Shared, start: SessionStart) -> Result<Session> {
    begin(shared, start).await.map_err(fatal)
}

async fn begin(shared: Shared, start: SessionStart) -> Result<Session> {
    let role = role_of(&shared.tenancy, &start.user)?;
    let (database, pinned) = database_of(&shared.tenancy, &start.database).await?;
    let checks = World { database: Arc::clone(&database), tenancy: Arc::clone(&shared.tenancy), user: start.user.clone() };
    let settings = Arc::new(Settings::new(Arc::new(checks)));
    settings.authenticated(&start.user);
    let mailbox = Mailbox::new(Arc::clone(&shared.channels), database.name());
    let facts = SessionFacts {
        pid: start.backend_pid,
        database: database.name().to_owned(),
        user: start.user.clone(),
        application_name: String::new(),
        client_address: Some(start.client_address.clone()).filter(|address| !address.is_empty()),
        started: database.now(),
        transaction_started: None,
        query_started: None,
        state_changed: None,
        state: "idle",
        query: String::new(),
    };
    let place = Place::new(&shared.activity, facts);
    let locks = Arc::new(shared.locks.owner(database.name(), start.backend_pid));
    let temporary = Arc::new(Kept::new(&database, shared.engine.hold("temporary tables")));
    let authorities = Arc::new(Roles { tenancy: Arc::clone(&shared.tenancy), database: Arc::clone(&database) });
    let server = Arc::new(Seen {
        tenancy: Arc::clone(&shared.tenancy),
        settings: Arc::clone(&settings),
        activity: Arc::clone(&shared.activity),
        locks: Arc::clone(&shared.locks),
        snapshots: Arc::clone(&shared.snapshots),
    });
    let session = Session {
        place,
        authorities,
        server,
        shared,
        database,
        user: start.user,
        client_address: start.client_address,
        backend_pid: start.backend_pid,
        settings,
        notices: Notices::default(),
        sequences: Default::default(),
        cancel: Cancel::new(),
        timer: Timer::default(),
        transaction: Default::default(),
        statements: Default::default(),
        portals: Default::default(),
        recall: Default::default(),
        cursors: Default::default(),
        born: 0,
        born_before: 0,
        messages: Default::default(),
        mailbox,
        advisory: Arc::new(Advisory::new(Arc::clone(&locks))),
        locks,
        temporary,
        objects: Default::default(),
    };
    session.apply(&role, pinned.as_deref(), &startup_settings(&start.parameters)?)?;
    Ok(session)
}

impl Session {
    /// The server's defaults, role, database name, startup packet: later ones win. The pinned time comes last of all, since how it is
    /// read depends on TimeZone.
    fn apply(&self, role: &RoleDef, pinned: Option<&str>, startup: &[(String, String)]) -> Result<()> {
        let is_time =
            |name: &str| name.eq_ignore_ascii_case("chronogate.as_of") || name.eq_ignore_ascii_case("system_versioning_asof");
        for (name, value) in self.shared.defaults.iter() {
            self.settings.assign(name, value, Source::Start)?;
        }
        for (name, value) in role.settings.iter().filter(|(name, _)| !is_time(name)) {
            if let Err(error) = self.settings.assign(name, value, Source::Start) {
                self.warn(error.code(), error.message());
            }
        }
        for (name, value) in startup.iter().filter(|(name, _)| !is_time(name)) {
            self.settings.assign(name, value, Source::Start)?;
        }
        let of_role = role.settings.iter().find(|(name, _)| is_time(name)).map(|(_, value)| value.as_str());
        let of_startup = startup.iter().rev().find(|(name, _)| is_time(name)).map(|(_, value)| value.as_str());
        if let Some(value) = of_startup.or(pinned).or(of_role) {
            let shown = self.settings.assign("chronogate.as_of", value, Source::Start)?;
            if !shown.is_empty() {
                self.notice(format!("reading the past as of {shown}"));
            }
        }
        self.show_role();
        Ok(())
    }
}

fn role_of(tenancy: &Tenancy, user: &str) -> Result<Arc<RoleDef>> {
    let refuse = |message: String| Err(SqlError::new(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message));
    match tenancy.role(user) {
        None => refuse(format!("role \"{user}\" does not exist")),
        Some(role) if !role.login => refuse(format!("role \"{user}\" is not permitted to log in")),
        Some(role) => Ok(role),
    }
}

/// A database of the whole name, else of what stands before the last `@`, with the time after it.
async fn database_of(tenancy: &Tenancy, name: &str) -> Result<(Arc<Database>, Option<String>)> {
    let known = |name: &str| tenancy.databases().iter().any(|(_, database)| database == name);
    match name.rsplit_once('@') {
        Some((base, time)) if !known(name) => Ok((tenancy.database(base).await?, Some(time.to_owned()))),
        _ => Ok((tenancy.database(name).await?, None)),
    }
}

/// Startup parameters as settings, `options` taken apart; `replication` and protocol extensions are not settings.
fn startup_settings(parameters: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    for (name, value) in parameters {
        match name.as_str() {
            "user" | "database" | "session_authorization" => {}
            "options" => settings.extend(options(value)?),
            "replication" if super::settings::value::boolean(value) == Some(false) => {}
            "replication" => {
                return Err(SqlError::unsupported(
                    "replication connections are not supported",
                    "Follow changes by reading chronogate.changes.",
                ));
            }
            name if name.starts_with("_pq_.") => {}
            name => settings.push((name.to_owned(), value.clone())),
        }
    }
    Ok(settings)
}

/// `-c name=value`, `-cname=value` and `--name=value`, separated by white space that no backslash precedes.
fn options(text: &str) -> Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next()
        } else if let Some(long) = word.strip_prefix("--") {
            Some(long.to_owned())
        } else {
            word.strip_prefix("-c").map(str::to_owned)
        };
        let Some(assignment) = assignment else {
            let message = format!("invalid command-line argument for server process: {word}");
            return Err(SqlError::syntax(message).hint("Options are given as -c name=value or --name=value."));
        };
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(SqlError::syntax(format!("-c {assignment} requires a value")));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn fatal(mut error: SqlError) -> SqlError {
    error.fields_mut().severity = Severity::Fatal;
    error
}

/// What checks of settings ask.
#[derive(Debug)]
struct World {
    database: Arc<Database>,
    tenancy: Arc<Tenancy>,
    user: String,
}

impl Checks for World {
    fn pinned_time(&self, value: &str, time_zone: &str) -> Result<String> {
        let as_of = AsOf::parse(value, Zone::parse(time_zone)?)?;
        as_of.check(self.database.now(), self.database.snapshot().commit).map(|as_of| as_of.canonical(value))
    }

    fn role(&self, user: &str, role: &str) -> Result<()> {
        if self.tenancy.role(role).is_none() {
            return Err(no_such_role(role));
        }
        if self.superuser(user) || super::roles::is_member(&self.tenancy, user, role) {
            return Ok(());
        }
        Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied to set role \"{role}\"")))
    }

    fn session_role(&self, role: &str) -> Result<()> {
        if self.tenancy.role(role).is_none() {
            return Err(no_such_role(role));
        }
        if role == self.user || self.superuser(&self.user) {
            return Ok(());
        }
        Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, "permission denied to set session authorization"))
    }

    fn newest_commit(&self) -> u64 {
        self.database.snapshot().commit.0
    }

    fn superuser(&self, role: &str) -> bool {
        self.tenancy.role(role).is_some_and(|role| role.superuser)
    }
}

fn no_such_role(role: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("role \"{role}\" does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_at_white_space_that_no_backslash_precedes() {
        let parsed = options(r"-c search_path=a,\ b --statement-timeout=5s -cgeqo=off -c x.y=\\").unwrap();
        let expected = [("search_path", "a, b"), ("statement_timeout", "5s"), ("geqo", "off"), ("x.y", "\\")];
        assert_eq!(parsed, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn options_that_set_nothing_are_refused() {
        for text in ["-F", "-c", "-c name", "word"] {
            assert_eq!(options(text).unwrap_err().code(), SqlState::SYNTAX_ERROR, "{text}");
        }
    }
}
