//! routines, parameters, triggers.

use datafusion::arrow::array::RecordBatch;

use super::{sees, yes_or_no};
use crate::error::Result;
use crate::history::{BodyForm, Language, RoutineDef, RoutineType};
use crate::plan::StatementContext;
use crate::plan::catalog::routine as text;
use crate::plan::catalog::rows::{Cell, Rows};
use crate::plan::catalog::spec::Spec;
use crate::plan::catalog::state::Catalogue;
use crate::types::{ArgumentMode, TriggerTiming, Volatility};

/// A routine's name together with its number, which no other has.
fn specific(def: &RoutineDef) -> String {
    format!("{}_{}", def.name.name, def.id)
}

fn type_label(ty: RoutineType) -> &'static str {
    match ty {
        RoutineType::Plain(ty) if ty.array => "ARRAY",
        RoutineType::Plain(ty) if ty.name.user().is_some() => "USER-DEFINED",
        RoutineType::Rows(_) => "USER-DEFINED",
        _ => "",
    }
}

fn data_type(ty: RoutineType) -> String {
    let label = type_label(ty);
    match ty {
        _ if !label.is_empty() => label.to_owned(),
        RoutineType::Plain(ty) => ty.with_modifier(-1).sql_name(),
        RoutineType::Record | RoutineType::Rows(_) => "record".to_owned(),
        RoutineType::Void => "void".to_owned(),
        RoutineType::Trigger => "trigger".to_owned(),
    }
}

fn udt_name(ty: RoutineType) -> String {
    match ty {
        RoutineType::Plain(ty) => ty.internal_name(),
        other => data_type(other),
    }
}

pub fn routines(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "specific_schema",
        "specific_name",
        "routine_schema",
        "routine_name",
        "routine_type",
        "data_type",
        "type_udt_schema",
        "type_udt_name",
        "routine_body",
        "routine_definition",
        "external_language",
        "is_deterministic",
        "is_null_call",
        "security_type",
    ];
    let mut rows = Rows::new(spec, &columns)
        .always("specific_catalog", state.database.clone())
        .always("routine_catalog", state.database.clone())
        .always("type_udt_catalog", state.database.clone())
        .always("parameter_style", "GENERAL")
        .always("sql_data_access", "MODIFIES")
        .always("is_user_defined_cast", "NO")
        .always("is_udt_dependent", "NO")
        .always("schema_level_routine", "YES")
        .always("max_dynamic_result_sets", 0)
        .always("is_implicitly_invocable", "NO")
        .always("dtd_identifier", "0");
    let authority = ctx.authority();
    for def in state.catalog.routines.values() {
        let own = authority.owns(&def.owner);
        let body = (own && def.form == BodyForm::Text).then_some(def.body.as_str());
        let result = |text: String| if def.procedure { Cell::Null } else { Cell::from(text) };
        rows.push(&[
            (&def.name.schema).into(),
            specific(def).into(),
            (&def.name.schema).into(),
            (&def.name.name).into(),
            if def.procedure { "PROCEDURE" } else { "FUNCTION" }.into(),
            result(data_type(def.returns)),
            if def.procedure { Cell::Null } else { "pg_catalog".into() },
            result(udt_name(def.returns)),
            if def.language == Language::Sql { "SQL" } else { "EXTERNAL" }.into(),
            body.into(),
            if def.language == Language::Sql { "SQL" } else { "PLPGSQL" }.into(),
            yes_or_no(def.volatility == Volatility::Immutable).into(),
            if def.procedure { Cell::Null } else { yes_or_no(def.strict).into() },
            if def.security_definer { "DEFINER" } else { "INVOKER" }.into(),
        ]);
    }
    rows.finish()
}

pub fn parameters(_: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "specific_schema",
        "specific_name",
        "ordinal_position",
        "parameter_mode",
        "parameter_name",
        "data_type",
        "udt_schema",
        "udt_name",
        "dtd_identifier",
        "parameter_default",
    ];
    let mut rows = Rows::new(spec, &columns)
        .always("specific_catalog", state.database.clone())
        .always("udt_catalog", state.database.clone())
        .always("is_result", "NO")
        .always("as_locator", "NO");
    for def in state.catalog.routines.values() {
        for (at, argument) in (1i64..).zip(&def.arguments) {
            let mode = match argument.mode {
                ArgumentMode::In | ArgumentMode::Variadic => "IN",
                ArgumentMode::Out | ArgumentMode::Table => "OUT",
                ArgumentMode::InOut => "INOUT",
            };
            rows.push(&[
                (&def.name.schema).into(),
                specific(def).into(),
                at.into(),
                mode.into(),
                argument.name.as_deref().into(),
                data_type(argument.ty).into(),
                "pg_catalog".into(),
                udt_name(argument.ty).into(),
                at.to_string().into(),
                argument.default.as_deref().into(),
            ]);
        }
    }
    rows.finish()
}

pub fn triggers(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "trigger_schema",
        "trigger_name",
        "event_manipulation",
        "event_object_schema",
        "event_object_table",
        "action_order",
        "action_condition",
        "action_statement",
        "action_orientation",
        "action_timing",
    ];
    let mut rows = Rows::new(spec, &columns)
        .always("trigger_catalog", state.database.clone())
        .always("event_object_catalog", state.database.clone());
    let authority = ctx.authority();
    let path = ctx.effective_path();
    for table in state.catalog.tables.values().filter(|def| sees(&authority, &def.owner, &def.grants)) {
        for (order, trigger) in (1i64..).zip(&table.triggers) {
            let shown = text::trigger(state, &path, table, trigger, true);
            let statement = shown.find("EXECUTE FUNCTION").map(|at| shown[at..].to_owned());
            let events = [(trigger.insert, "INSERT"), (trigger.delete, "DELETE"), (trigger.update, "UPDATE")];
            for (_, event) in events.into_iter().filter(|(runs, _)| *runs) {
                rows.push(&[
                    (&table.name.schema).into(),
                    (&trigger.name).into(),
                    event.into(),
                    (&table.name.schema).into(),
                    (&table.name.name).into(),
                    order.into(),
                    trigger.when.as_deref().into(),
                    statement.clone().into(),
                    if trigger.row { "ROW" } else { "STATEMENT" }.into(),
                    if trigger.timing == TriggerTiming::Before { "BEFORE" } else { "AFTER" }.into(),
                ]);
            }
        }
    }
    rows.finish()
}
