//! Settings without a session: kinds, layers, what a transaction's end undoes.

use super::*;

#[derive(Debug)]
struct Nobody;

impl Checks for Nobody {
    fn pinned_time(&self, value: &str, _: &str) -> Result<String> {
        Ok(value.to_owned())
    }

    fn role(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    fn newest_commit(&self) -> u64 {
        7
    }

    fn session_role(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn superuser(&self, _: &str) -> bool {
        false
    }
}

fn settings() -> Settings {
    Settings::new(Arc::new(Nobody))
}

#[track_caller]
fn shows(settings: &Settings, name: &str, expected: &str) {
    assert_eq!(settings.show(name).unwrap().1, expected, "{name}");
}

#[track_caller]
fn check(name: &str, value: &str, expected: Result<&str, SqlState>) {
    let assigned = settings().assign(name, value, Source::Session);
    assert_eq!(assigned.map_err(|e| e.code()), expected.map(str::to_owned), "{name} = {value}");
}

#[test]
fn every_default_is_a_value_of_its_kind() {
    for definition in
        table::ALL.iter().filter(|d| d.access != Access::Nobody && !matches!(d.name, "role" | "session_authorization"))
    {
        let checked = value::check(definition, definition.default);
        assert_eq!(checked.map_err(|e| e.to_string()), Ok(definition.default.to_owned()), "{}", definition.name);
    }
}

#[test]
fn names_are_listed_in_order_and_once() {
    let names: Vec<String> = table::ALL.iter().map(|d| d.key().replace('_', " ")).collect();
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(names, sorted);
}

#[test]
fn values_are_checked_and_shown_as_postgresql_does() {
    check("enable_sort", "f", Ok("off"));
    check("enable_sort", "maybe", Err(SqlState::INVALID_PARAMETER_VALUE));
    check("statement_timeout", "30000", Ok("30s"));
    check("statement_timeout", "1.5s", Ok("1500ms"));
    check("statement_timeout", "-1", Err(SqlState::INVALID_PARAMETER_VALUE));
    check("statement_timeout", "5 parsecs", Err(SqlState::INVALID_PARAMETER_VALUE));
    check("work_mem", "8192", Ok("8MB"));
    check("client_min_messages", "WARNING", Ok("warning"));
    check("client_min_messages", "loud", Err(SqlState::INVALID_PARAMETER_VALUE));
    check("datestyle", "iso", Ok("ISO, MDY"));
    check("datestyle", "german", Err(SqlState::FEATURE_NOT_SUPPORTED));
    check("bytea_output", "escape", Err(SqlState::FEATURE_NOT_SUPPORTED));
    check("client_encoding", "utf-8", Ok("UTF8"));
    check("client_encoding", "latin1", Err(SqlState::FEATURE_NOT_SUPPORTED));
    check("client_encoding", "klingon", Err(SqlState::INVALID_PARAMETER_VALUE));
    check("search_path", "a, \"B c\"", Ok("a, \"B c\""));
    check("chronogate.context", "{\"ticket\": 7}", Ok("{\"ticket\": 7}"));
    check("chronogate.context", "[1]", Err(SqlState::INVALID_PARAMETER_VALUE));
    check("server_version", "16", Err(SqlState::CANT_CHANGE_RUNTIME_PARAM));
    check("session_replication_role", "origin", Err(SqlState::INSUFFICIENT_PRIVILEGE));
    check("no_such", "1", Err(SqlState::UNDEFINED_OBJECT));
    check("myapp.user", "ann", Ok("ann"));
    check("my app.user", "ann", Err(SqlState::INVALID_NAME));
    check("chronogate.nothing", "1", Err(SqlState::INVALID_NAME));
}

#[test]
fn zones_are_names_hours_east_or_posix_strings() {
    check("timezone", "europe/berlin", Ok("Europe/Berlin"));
    check("TimeZone", "-7", Ok("<-07>+07"));
    check("TimeZone", "5.5", Ok("<+05:30>-05:30"));
    check("TimeZone", "UTC+3", Ok("UTC+3"));
    check("TimeZone", "Middle/Earth", Err(SqlState::INVALID_PARAMETER_VALUE));
    let settings = settings();
    settings.assign("TimeZone", "UTC+3", Source::Session).unwrap();
    assert_eq!(settings.effective().time_zone, "<-03>+03");
}

#[test]
fn local_beats_session_beats_start_and_reset_goes_back_to_start() {
    let settings = settings();
    settings.assign("application_name", "start", Source::Start).unwrap();
    settings.assign("application_name", "session", Source::Session).unwrap();
    settings.assign("application_name", "local", Source::Local).unwrap();
    shows(&settings, "application_name", "local");
    settings.end_transaction(true);
    shows(&settings, "application_name", "session");
    settings.reset("application_name").unwrap();
    shows(&settings, "application_name", "start");
}

#[test]
fn a_rollback_undoes_set_and_a_commit_keeps_it() {
    let settings = settings();
    settings.assign("work_mem", "8MB", Source::Session).unwrap();
    settings.end_transaction(true);
    settings.assign("work_mem", "16MB", Source::Session).unwrap();
    settings.reset("enable_sort").unwrap();
    settings.end_transaction(false);
    shows(&settings, "work_mem", "8MB");
}

#[test]
fn only_what_changed_is_reported() {
    let settings = settings();
    assert!(settings.changed_reports().iter().any(|(name, value)| name == "TimeZone" && value == "UTC"));
    assert!(settings.changed_reports().is_empty());
    settings.assign("timezone", "Asia/Tokyo", Source::Session).unwrap();
    settings.assign("work_mem", "8MB", Source::Session).unwrap();
    assert_eq!(settings.changed_reports(), [("TimeZone".to_owned(), "Asia/Tokyo".to_owned())]);
}

#[test]
fn planning_depends_on_few_settings() {
    let settings = settings();
    let planning = || settings.effective().planning;
    let before = planning();
    settings.assign("application_name", "x", Source::Session).unwrap();
    settings.assign("myapp.user", "x", Source::Session).unwrap();
    assert_eq!(planning(), before);
    settings.assign("search_path", "x", Source::Session).unwrap();
    assert!(planning() > before);
}

#[test]
fn the_snapshot_is_shown_and_never_set() {
    let settings = settings();
    shows(&settings, "chronogate.snapshot", "v7");
    settings.snapshot_is(5);
    shows(&settings, "chronogate.snapshot", "v5");
    assert_eq!(
        settings.assign("chronogate.snapshot", "v1", Source::Session).unwrap_err().code(),
        SqlState::CANT_CHANGE_RUNTIME_PARAM
    );
}
