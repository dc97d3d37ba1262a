//! pg_proc and pg_trigger, and functions and triggers as SQL text in PostgreSQL's form.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;

use super::objects;
use super::relation::namespace;
use super::rows::{Cell, Rows};
use super::spec::Spec;
use super::state::Catalogue;
use super::types;
use crate::error::{Result, SqlError};
use crate::history::{ArgumentDef, BodyForm, Language, RoutineDef, RoutineType, TableDef, TriggerDef};
use crate::plan::functions::session::quote_ident;
use crate::types::{ArgumentMode, Oid, TriggerTiming, Volatility};

/// PostgreSQL's number of a type.
pub fn type_oid(ty: RoutineType) -> Oid {
    match ty {
        RoutineType::Plain(ty) => ty.oid(),
        RoutineType::Rows(relation) => objects::row_type(relation),
        RoutineType::Record => 2249,
        RoutineType::Void => 2278,
        RoutineType::Trigger => 2279,
    }
}

/// A type by the name that the path leaves of it.
fn type_name(state: &Catalogue, path: &[String], ty: RoutineType) -> String {
    types::display(state, path, type_oid(ty), -1).unwrap_or_else(|| "record".to_owned())
}

fn language(language: Language) -> (Oid, &'static str) {
    match language {
        Language::Sql => (14, "sql"),
        Language::Plpgsql => (13563, "plpgsql"),
    }
}

fn mode(mode: ArgumentMode) -> &'static str {
    match mode {
        ArgumentMode::In => "i",
        ArgumentMode::Out => "o",
        ArgumentMode::InOut => "b",
        ArgumentMode::Variadic => "v",
        ArgumentMode::Table => "t",
    }
}

/// What `prosrc` has: nothing for a body that is no text.
fn source(def: &RoutineDef) -> &str {
    if def.form == BodyForm::Text { &def.body } else { "" }
}

pub fn procedures(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "oid",
        "proname",
        "pronamespace",
        "proowner",
        "prolang",
        "procost",
        "prorows",
        "prokind",
        "prosecdef",
        "proleakproof",
        "proisstrict",
        "proretset",
        "provolatile",
        "proparallel",
        "pronargs",
        "pronargdefaults",
        "prorettype",
        "proargtypes",
        "proallargtypes",
        "proargmodes",
        "proargnames",
        "prosrc",
        "proconfig",
    ];
    let mut rows = Rows::new(spec, &columns);
    for def in state.catalog.routines.values() {
        let plain = def.arguments.iter().all(|argument| argument.mode == ArgumentMode::In);
        let named = def.arguments.iter().any(|argument| argument.name.is_some());
        let input: Vec<i64> = def.inputs().map(|argument| i64::from(type_oid(argument.ty))).collect();
        let all: Vec<i64> = def.arguments.iter().map(|argument| i64::from(type_oid(argument.ty))).collect();
        let modes: Vec<String> = def.arguments.iter().map(|argument| mode(argument.mode).to_owned()).collect();
        let names: Vec<String> = def.arguments.iter().map(|argument| argument.name.clone().unwrap_or_default()).collect();
        let defaults = def.inputs().filter(|argument| argument.default.is_some()).count();
        rows.push(&[
            def.id.into(),
            (&def.name.name).into(),
            namespace(state, &def.name.schema).into(),
            state.role_oid(&def.owner).into(),
            language(def.language).0.into(),
            def.cost.unwrap_or(100.0).into(),
            def.rows.unwrap_or(if def.set { 1000.0 } else { 0.0 }).into(),
            if def.procedure { "p" } else { "f" }.into(),
            def.security_definer.into(),
            def.leakproof.into(),
            def.strict.into(),
            def.set.into(),
            match def.volatility {
                Volatility::Immutable => "i",
                Volatility::Stable => "s",
                Volatility::Volatile => "v",
            }
            .into(),
            match def.parallel.as_deref() {
                Some("safe") => "s",
                Some("restricted") => "r",
                _ => "u",
            }
            .into(),
            i64::try_from(input.len()).unwrap_or_default().into(),
            i64::try_from(defaults).unwrap_or_default().into(),
            type_oid(def.returns).into(),
            input.into(),
            (!plain).then_some(all).into(),
            (!plain).then_some(modes).into(),
            named.then_some(names).into(),
            source(def).into(),
            def.search_path.as_ref().map(|path| vec![format!("search_path={}", listed(path))]).into(),
        ]);
    }
    let own = rows.finish()?;
    let fixed = spec.fixed_rows().unwrap_or_else(|| RecordBatch::new_empty(spec.schema.clone()));
    concat_batches(&spec.schema, [&fixed, &own]).map_err(|_| SqlError::internal("functions do not fit together"))
}

fn listed(path: &[String]) -> String {
    match path.is_empty() {
        true => "\"\"".to_owned(),
        false => path.iter().map(|schema| quote_ident(schema)).collect::<Vec<_>>().join(", "),
    }
}

/// The arguments as CREATE FUNCTION has them; `identity` leaves defaults out.
pub fn arguments(state: &Catalogue, path: &[String], def: &RoutineDef, identity: bool) -> String {
    let shown = |argument: &&ArgumentDef| !matches!(argument.mode, ArgumentMode::Table);
    let text = |argument: &ArgumentDef| {
        let mut text = match argument.mode {
            ArgumentMode::In if def.procedure => "IN ".to_owned(),
            ArgumentMode::In | ArgumentMode::Table => String::new(),
            ArgumentMode::Out => "OUT ".to_owned(),
            ArgumentMode::InOut => "INOUT ".to_owned(),
            ArgumentMode::Variadic => "VARIADIC ".to_owned(),
        };
        if let Some(name) = &argument.name {
            text.push_str(&quote_ident(name));
            text.push(' ');
        }
        text.push_str(&type_name(state, path, argument.ty));
        if let (Some(default), false) = (&argument.default, identity) {
            text.push_str(" DEFAULT ");
            text.push_str(&default_text(default, argument.ty));
        }
        text
    };
    def.arguments.iter().filter(shown).map(text).collect::<Vec<_>>().join(", ")
}

/// A default with the cast that PostgreSQL shows for a literal in quotes.
fn default_text(text: &str, ty: RoutineType) -> String {
    let bare = text.starts_with('\'') && text.ends_with('\'') && text.len() > 1 && !text[1..text.len() - 1].contains('\'');
    match (ty, bare || text.eq_ignore_ascii_case("null")) {
        (RoutineType::Plain(ty), true) => format!("{}::{}", text.replace("null", "NULL"), ty.with_modifier(-1).sql_name()),
        _ => text.to_owned(),
    }
}

/// What stands behind RETURNS; `None` for procedures.
pub fn result(state: &Catalogue, path: &[String], def: &RoutineDef) -> Option<String> {
    if def.procedure {
        return None;
    }
    let table: Vec<&ArgumentDef> = def.arguments.iter().filter(|argument| argument.mode == ArgumentMode::Table).collect();
    if !table.is_empty() {
        let columns = table.iter().map(|column| {
            let name = column.name.as_deref().map(quote_ident).unwrap_or_default();
            format!("{name} {}", type_name(state, path, column.ty))
        });
        return Some(format!("TABLE({})", columns.collect::<Vec<_>>().join(", ")));
    }
    let name = type_name(state, path, def.returns);
    Some(if def.set { format!("SETOF {name}") } else { name })
}

/// A body that is no text, as CREATE FUNCTION has it.
pub fn sql_body(def: &RoutineDef) -> Option<String> {
    match def.form {
        BodyForm::Text => None,
        BodyForm::Return => Some(format!("RETURN {}", def.body.strip_prefix("SELECT ").unwrap_or(&def.body))),
        BodyForm::Atomic => {
            let parsed = crate::sql::parse(&def.body).unwrap_or_default();
            let statements = parsed.iter().map(|parsed| format!(" {};\n", parsed.text.trim()));
            Some(format!("BEGIN ATOMIC\n{}END", statements.collect::<String>()))
        }
    }
}

/// A text between dollars that it has not.
fn dollars(body: &str, word: &str) -> String {
    let mut tag = format!("${word}");
    while body.contains(&tag) {
        tag.push('x');
    }
    format!("{tag}${body}{tag}$")
}

/// CREATE OR REPLACE FUNCTION …
pub fn definition(state: &Catalogue, path: &[String], def: &RoutineDef) -> String {
    let word = if def.procedure { "PROCEDURE" } else { "FUNCTION" };
    let name = format!("{}.{}", quote_ident(&def.name.schema), quote_ident(&def.name.name));
    let mut text = format!("CREATE OR REPLACE {word} {name}({})\n", arguments(state, path, def, false));
    if let Some(result) = result(state, path, def) {
        text.push_str(&format!(" RETURNS {result}\n"));
    }
    text.push_str(&format!(" LANGUAGE {}\n", language(def.language).1));
    let mut options = String::new();
    options.push_str(match def.volatility {
        Volatility::Immutable => " IMMUTABLE",
        Volatility::Stable => " STABLE",
        Volatility::Volatile => "",
    });
    match def.parallel.as_deref() {
        Some("safe") => options.push_str(" PARALLEL SAFE"),
        Some("restricted") => options.push_str(" PARALLEL RESTRICTED"),
        _ => {}
    }
    for (holds, word) in [(def.strict, " STRICT"), (def.security_definer, " SECURITY DEFINER"), (def.leakproof, " LEAKPROOF")] {
        options.push_str(if holds { word } else { "" });
    }
    if let Some(cost) = def.cost.filter(|cost| *cost != 100.0) {
        options.push_str(&format!(" COST {cost}"));
    }
    if let Some(rows) = def.rows.filter(|rows| *rows != 1000.0) {
        options.push_str(&format!(" ROWS {rows}"));
    }
    if !options.is_empty() {
        text.push_str(&options);
        text.push('\n');
    }
    if let Some(path) = &def.search_path {
        let schemas: Vec<String> = path.iter().map(|schema| format!("'{}'", schema.replace('\'', "''"))).collect();
        let schemas = if schemas.is_empty() { "''".to_owned() } else { schemas.join(", ") };
        text.push_str(&format!(" SET search_path TO {schemas}\n"));
    }
    match sql_body(def) {
        Some(body) => text.push_str(&body),
        None => text.push_str(&format!("AS {}", dollars(&def.body, &word.to_lowercase()))),
    }
    text.push('\n');
    text
}

/// `f(integer,text)`, with its schema where the path does not lead to it.
pub fn signature(state: &Catalogue, path: &[String], def: &RoutineDef) -> String {
    let types: Vec<String> = def.inputs().map(|argument| type_name(state, path, argument.ty)).collect();
    format!("{}({})", shown_name(path, def), types.join(","))
}

pub fn shown_name(path: &[String], def: &RoutineDef) -> String {
    let name = quote_ident(&def.name.name);
    if path.contains(&def.name.schema) { name } else { format!("{}.{name}", quote_ident(&def.name.schema)) }
}

/// The functions and procedures that a name may mean.
pub fn named<'a>(state: &'a Catalogue, path: &[String], schema: Option<&str>, name: &str) -> Vec<&'a RoutineDef> {
    let in_schema = |schema: &str| {
        state
            .catalog
            .routines
            .values()
            .filter(|def| def.name.schema == schema && def.name.name == name)
            .map(AsRef::as_ref)
            .collect()
    };
    match schema {
        Some(schema) => in_schema(schema),
        None => {
            path.iter().map(|schema| in_schema(schema)).find(|found: &Vec<&RoutineDef>| !found.is_empty()).unwrap_or_default()
        }
    }
}

pub fn triggers(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["oid", "tgrelid", "tgname", "tgfoid", "tgtype", "tgenabled", "tgnargs", "tgattr", "tgqual"];
    let mut rows = Rows::new(spec, &columns);
    for table in state.catalog.tables.values() {
        for trigger in &table.triggers {
            let columns: Vec<i64> = trigger.columns.iter().map(|column| i64::from(column.0)).collect();
            rows.push(&[
                trigger.id.into(),
                table.id.0.into(),
                (&trigger.name).into(),
                trigger.function.into(),
                type_bits(trigger).into(),
                if trigger.disabled { "D" } else { "O" }.into(),
                i64::try_from(trigger.arguments.len()).unwrap_or_default().into(),
                columns.into(),
                trigger.when.as_deref().map_or(Cell::Null, Cell::from),
            ]);
        }
    }
    rows.finish()
}

/// `tgtype`.
fn type_bits(trigger: &TriggerDef) -> i64 {
    let bits = [
        (trigger.row, 1),
        (trigger.timing == TriggerTiming::Before, 2),
        (trigger.insert, 4),
        (trigger.delete, 8),
        (trigger.update, 16),
    ];
    bits.into_iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()
}

/// CREATE TRIGGER …; the pretty form leaves out schemas that the path leads to.
pub fn trigger(state: &Catalogue, path: &[String], table: &TableDef, trigger: &TriggerDef, pretty: bool) -> String {
    let mut events = Vec::new();
    if trigger.insert {
        events.push("INSERT".to_owned());
    }
    if trigger.delete {
        events.push("DELETE".to_owned());
    }
    if trigger.update {
        let columns = trigger.columns.iter().filter_map(|id| table.column_by_id(*id)).map(|c| quote_ident(&c.name));
        let columns = columns.collect::<Vec<_>>().join(", ");
        events.push(if columns.is_empty() { "UPDATE".to_owned() } else { format!("UPDATE OF {columns}") });
    }
    let timing = if trigger.timing == TriggerTiming::Before { "BEFORE" } else { "AFTER" };
    let visible = pretty && path.contains(&table.name.schema);
    let relation = match visible {
        true => quote_ident(&table.name.name),
        false => format!("{}.{}", quote_ident(&table.name.schema), quote_ident(&table.name.name)),
    };
    let each = if trigger.row { "ROW" } else { "STATEMENT" };
    let when = trigger.when.as_ref().map(|when| format!("WHEN ({}) ", when_text(when))).unwrap_or_default();
    let function = state.catalog.routine(trigger.function);
    let function = function.map(|def| shown_name(path, def));
    let arguments: Vec<String> = trigger.arguments.iter().map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
    format!(
        "CREATE TRIGGER {} {timing} {} ON {relation} FOR EACH {each} {when}EXECUTE FUNCTION {}({})",
        quote_ident(&trigger.name),
        events.join(" OR "),
        function.unwrap_or_default(),
        arguments.join(", ")
    )
}

/// A condition as it was written, its rows in the small letters that PostgreSQL shows.
fn when_text(when: &str) -> String {
    let parsed = crate::plan::modify::parse_expression(when).map(|expr| expr.to_string());
    let text = parsed.unwrap_or_else(|_| when.to_owned());
    let text = text.replace("OLD.", "old.").replace("NEW.", "new.");
    if text.contains(" AND ") || text.contains(" OR ") || text.contains(['=', '<', '>', ' ']) {
        format!("({text})")
    } else {
        text
    }
}
