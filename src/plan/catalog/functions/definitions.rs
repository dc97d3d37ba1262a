//! `pg_get_…def`: objects as SQL text.

use super::{View, nulls, number, texts};
use crate::error::{Result, SqlError, SqlState};
use crate::history::ViewDef;
use crate::plan::catalog::deparse::{self, Style};
use crate::plan::catalog::names::FUNCTIONS as ROUTINES;
use crate::plan::catalog::objects::{self, Relation};
use crate::plan::catalog::view as view_text;
use crate::plan::catalog::{definition, routine, types};
use crate::plan::functions::define::{Call, Function, INT4, INT8, Returns, TEXT, Want};
use crate::plan::functions::session::quote_ident;
use crate::types::{Oid, PgType, TypeName};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;

const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const BOOL: Want = Want::Type(TypeName::Bool);

pub const FUNCTIONS: &[Function] = &[
    Function::new("pg_get_expr", &[TEXT, INT8, BOOL], TEXT_RESULT, expression).optional(1).stable(),
    Function::new("pg_get_constraintdef", &[INT8, BOOL], TEXT_RESULT, constraint).optional(1).stable(),
    Function::new("pg_get_indexdef", &[INT8, INT4, BOOL], TEXT_RESULT, index).optional(2).stable(),
    Function::new("pg_get_viewdef", &[Want::Any, Want::Any], TEXT_RESULT, view_definition).optional(1).stable(),
    Function::new("pg_get_serial_sequence", &[TEXT, TEXT], TEXT_RESULT, serial_sequence).stable(),
    Function::new("pg_get_ruledef", &[INT8, BOOL], TEXT_RESULT, rule).optional(1).stable(),
    Function::new("pg_get_triggerdef", &[INT8, BOOL], TEXT_RESULT, trigger).optional(1).stable(),
    Function::new("pg_get_partkeydef", &[INT8], TEXT_RESULT, nulls).stable(),
    Function::new("pg_get_partition_constraintdef", &[INT8], TEXT_RESULT, nulls).stable(),
    Function::new("pg_get_statisticsobjdef", &[INT8], TEXT_RESULT, nulls).stable(),
    Function::new("pg_get_statisticsobjdef_columns", &[INT8], TEXT_RESULT, nulls).stable(),
    Function::new("pg_get_functiondef", &[Want::Any], TEXT_RESULT, function).stable(),
    Function::new("pg_get_function_sqlbody", &[INT8], TEXT_RESULT, sql_body).stable(),
    Function::new("pg_get_function_arguments", &[INT8], TEXT_RESULT, arguments).stable(),
    Function::new("pg_get_function_identity_arguments", &[INT8], TEXT_RESULT, identity_arguments).stable(),
    Function::new("pg_get_function_result", &[INT8], TEXT_RESULT, result).stable(),
];

fn style(call: &Call<'_>, arg: usize, row: usize) -> Style {
    if call.bool(arg, row) == Some(true) { Style::Pretty } else { Style::Full }
}

fn expression(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let (Some(text), Some(_)) = (call.text(0, row), number(call, 1, row)) else { return Ok(None) };
        let shown = |name: &str| {
            let oid = view.names().find(TypeName::Regclass, name).ok().flatten()?;
            Some(view.names().print(TypeName::Regclass, i64::from(oid)))
        };
        Ok(Some(deparse::restyled(text, style(call, 2, row), shown)))
    })
}

fn constraint(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| Ok(number(call, 0, row).and_then(|oid| constraint_text(&view, oid, style(call, 1, row)))))
}

fn constraint_text(view: &View<'_>, oid: Oid, style: Style) -> Option<String> {
    for table in view.catalogue.catalog.tables.values() {
        let indexes = objects::indexes(table);
        if let Some(index) = indexes.iter().find(|i| i.constraint && objects::index_constraint(i.oid) == oid) {
            return Some(definition::key(table, index));
        }
        if let Some(key) = table.foreign_keys.iter().find(|key| key.id.0 == oid) {
            let target = view.names().print(TypeName::Regclass, i64::from(key.table.0));
            let referenced = view.catalogue.catalog.table_by_id(key.table)?;
            return Some(definition::foreign_key(table, key, referenced, &target));
        }
        if let Some(check) = table.checks.iter().find(|check| check.id == oid) {
            return Some(definition::check(table, check, style));
        }
    }
    view.catalogue.catalog.live_types().find_map(|def| {
        let domain = def.domain()?;
        let check = domain.checks.iter().find(|check| check.id == oid)?;
        let shown = deparse::restyled(&deparse::domain_check(domain, &check.expression), style, |_| None);
        // VALUE is a word of the language, not a name.
        let shown = shown.replace("\"VALUE\"", "VALUE").replace("\"value\"", "VALUE");
        Some(format!("CHECK ({})", crate::sql::rename::with_value(&shown, "VALUE").unwrap_or(shown)))
    })
}

fn index(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let Some(Relation::Index(table, index)) = number(call, 0, row).and_then(|oid| view.relation(oid)) else {
            return Ok(None);
        };
        let column = if call.args.len() > 1 { call.int4(1, row) } else { Some(0) };
        let Some(column) = column else { return Ok(None) };
        if column != 0 {
            let at = usize::try_from(column - 1).unwrap_or(usize::MAX);
            let shown = (at < index.width()).then(|| definition::index_part(&table, &index, at, style(call, 2, row)));
            return Ok(Some(shown.unwrap_or_default()));
        }
        // In the pretty form the schema is left out where the path leads to the table.
        let visible = view.catalogue.relation_named(&view.path, &table.name.name).is_some_and(|r| r.oid() == table.id.0);
        let bare = style(call, 2, row) == Style::Pretty && visible;
        let schema = (!bare).then_some(table.name.schema.as_str());
        Ok(Some(definition::index(&table, &index, schema, style(call, 2, row))))
    })
}

fn view_definition(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let Some(oid) = view.oid(call, 0, row, TypeName::Regclass)? else { return Ok(None) };
        Ok(match view.relation(oid) {
            Some(relation @ (Relation::View(_) | Relation::Table(_))) => {
                let def = match relation {
                    Relation::View(def) => Some(ViewDef::clone(&def)),
                    Relation::Table(table) => table.as_view(),
                    _ => None,
                };
                let Some(def) = def else { return Ok(Some("Not a view".to_owned())) };
                // A number is a width to break lines at, of the pretty form.
                let wide = call.args.get(1).is_some_and(|arg| *arg.data_type() != DataType::Boolean);
                let style = if wide { Style::Pretty } else { style(call, 1, row) };
                Some(view_text::definition(&view.catalogue, &view.path, &def, style))
            }
            Some(Relation::System(spec)) if spec.kind == "v" => Some(String::new()),
            Some(_) => Some("Not a view".to_owned()),
            None => None,
        })
    })
}

fn rule(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let Some(oid) = number(call, 0, row) else { return Ok(None) };
        let found = view.catalogue.catalog.queries().find(|def| objects::view_rule(def.id) == oid);
        Ok(found.map(|def| {
            let name = format!("{}.{}", quote_ident(&def.name.schema), quote_ident(&def.name.name));
            format!(
                "CREATE RULE \"_RETURN\" AS\n    ON SELECT TO {name} DO INSTEAD {}",
                view_text::definition(&view.catalogue, &view.path, &def, style(call, 1, row))
            )
        }))
    })
}

fn serial_sequence(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let (Some(name), Some(column)) = (call.text(0, row), call.text(1, row)) else { return Ok(None) };
        let oid = view.names().read(TypeName::Regclass, name)?;
        let Some(Relation::Table(table)) = view.relation(oid) else { return Ok(None) };
        let Some(def) = table.column(column) else {
            let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name.name);
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        };
        let sequence = view.catalogue.catalog.sequences.values().find(|s| s.owned_by == Some((table.id, def.id)));
        Ok(sequence.map(|s| format!("{}.{}", quote_ident(&s.name.schema), quote_ident(&s.name.name))))
    })
}

fn trigger(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let Some(oid) = number(call, 0, row) else { return Ok(None) };
        let pretty = style(call, 1, row) == Style::Pretty;
        let found = view.catalogue.catalog.tables.values().find_map(|table| {
            let trigger = table.triggers.iter().find(|trigger| trigger.id == oid)?;
            Some(routine::trigger(&view.catalogue, &view.path, table, trigger, pretty))
        });
        Ok(found)
    })
}

fn function(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let Some(oid) = view.oid(call, 0, row, TypeName::Regproc)? else { return Ok(None) };
        Ok(view.catalogue.catalog.routine(oid).map(|def| routine::definition(&view.catalogue, &view.path, def)))
    })
}

fn sql_body(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let def = number(call, 0, row).and_then(|oid| view.catalogue.catalog.routine(oid));
        Ok(def.and_then(|def| routine::sql_body(def)))
    })
}

fn arguments(call: &Call<'_>) -> Result<ArrayRef> {
    shown_arguments(call, false)
}

fn identity_arguments(call: &Call<'_>) -> Result<ArrayRef> {
    shown_arguments(call, true)
}

fn shown_arguments(call: &Call<'_>, identity: bool) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        if let Some(def) = number(call, 0, row).and_then(|oid| view.catalogue.catalog.routine(oid)) {
            return Ok(Some(routine::arguments(&view.catalogue, &view.path, def, identity)));
        }
        let Some(routine) = number(call, 0, row).and_then(|oid| ROUTINES.by_oid.get(&oid)) else { return Ok(None) };
        let types = routine.arguments.iter().filter_map(|ty| types::display(&view.catalogue, &view.path, *ty, -1));
        Ok(Some(types.collect::<Vec<_>>().join(", ")))
    })
}

fn result(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        if let Some(def) = number(call, 0, row).and_then(|oid| view.catalogue.catalog.routine(oid)) {
            return Ok(routine::result(&view.catalogue, &view.path, def));
        }
        let Some(routine) = number(call, 0, row).and_then(|oid| ROUTINES.by_oid.get(&oid)) else { return Ok(None) };
        let name = types::display(&view.catalogue, &view.path, routine.result, -1);
        Ok(name.map(|name| if routine.set { format!("SETOF {name}") } else { name }))
    })
}
