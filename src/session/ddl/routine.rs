//! CREATE, ALTER, DROP and COMMENT of functions and procedures.

use std::sync::Arc;

use super::{Change, too_long};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ArgumentDef, BodyForm, Language, RoutineDef, RoutineType, TEMPORARY, TableDef, ViewDef};
use crate::plan::routines::{Names, Routine, type_text};
use crate::sql::procedural::{Returning, routine_code};
use crate::sql::{AlterRoutine, ArgumentMode, CreateRoutine, RoutineBody, RoutineKind, RoutineName};
use crate::types::Qualified;

fn bad(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_FUNCTION_DEFINITION, message)
}

impl Change {
    /// Schemas that types are looked for in, the session's own among them.
    fn type_names(&self) -> Names<'_> {
        Names { catalog: &self.catalog, path: &self.ctx.search_path }
    }

    pub(super) async fn create_routine(&mut self, create: &CreateRoutine) -> Result<()> {
        let name = self.new_name(&create.name)?;
        self.prepare_schema(&name)?;
        let mut def = self.routine_def(create, name)?;
        let existing = self.catalog.routine_taking(&def.name, &def.input_types()).cloned();
        match existing {
            Some(old) if create.or_replace => {
                self.require_owner(old.kind(), &old.name.name, &old.owner)?;
                self.check_replacement(&old, &def)?;
                def.id = old.id;
                def.owner.clone_from(&old.owner);
                def.grants.clone_from(&old.grants);
                def.comment.clone_from(&old.comment);
                self.check_body(&def).await?;
                Ok(self.catalog.replace_routine(def)?)
            }
            _ => {
                self.check_body(&def).await?;
                Ok(self.catalog.create_routine(def)?)
            }
        }
    }

    fn routine_def(&self, create: &CreateRoutine, name: Qualified) -> Result<RoutineDef> {
        let kind = if create.procedure { "procedure" } else { "function" };
        let arguments = self.arguments_of(create, &name)?;
        let language = match create.language.as_deref() {
            Some("sql") => Language::Sql,
            Some("plpgsql") => Language::Plpgsql,
            None if matches!(create.body, Some(RoutineBody::Return(_) | RoutineBody::Atomic(_))) => Language::Sql,
            None => return Err(bad("no language specified")),
            Some(language @ ("c" | "internal")) => {
                let message = format!("functions in language {language} are not supported");
                return Err(SqlError::unsupported(message, "Write the function in SQL or PL/pgSQL."));
            }
            Some(language) => {
                let message = format!("language \"{language}\" does not exist");
                return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message).hint("Functions are written in sql or plpgsql."));
            }
        };
        let (body, form) = match &create.body {
            None => return Err(bad(format!("no {kind} body specified").replace("procedure", "function"))),
            Some(RoutineBody::Text(text)) => (text.clone(), BodyForm::Text),
            Some(_) if language != Language::Sql => {
                return Err(bad("inline SQL function body only valid for language SQL"));
            }
            Some(RoutineBody::Return(value)) => (format!("SELECT {value}"), BodyForm::Return),
            Some(RoutineBody::Atomic(statements)) => (statements.join(";\n"), BodyForm::Atomic),
        };
        let returns = self.returned_type(create, &arguments)?;
        if returns == RoutineType::Trigger {
            if !arguments.is_empty() {
                let error = bad("trigger functions cannot have declared arguments");
                return Err(error.hint("The arguments of the trigger can be accessed through TG_NARGS and TG_ARGV instead."));
            }
            if language == Language::Sql {
                return Err(bad("SQL functions cannot return type trigger"));
            }
        }
        if create.procedure && (create.security_definer || !create.settings.is_empty()) {
            let message = "SECURITY DEFINER and SET of a procedure are not supported";
            return Err(SqlError::unsupported(message, "Write a function."));
        }
        if create.procedure && create.strict {
            return Err(bad("invalid attribute in procedure definition"));
        }
        Ok(RoutineDef {
            id: self.catalog.ids.next(),
            name,
            owner: self.ctx.current_user.clone(),
            procedure: create.procedure,
            arguments,
            returns,
            set: create.set,
            language,
            body,
            form,
            strict: create.strict,
            volatility: create.volatility.unwrap_or_default(),
            security_definer: create.security_definer,
            leakproof: create.leakproof,
            parallel: create.parallel.clone().filter(|level| level != "unsafe"),
            cost: create.cost,
            rows: create.rows,
            search_path: create.settings.last().map(|(_, path)| path.clone()),
            comment: None,
            grants: Default::default(),
        })
    }

    fn arguments_of(&self, create: &CreateRoutine, name: &Qualified) -> Result<Vec<ArgumentDef>> {
        let mut arguments: Vec<ArgumentDef> = Vec::with_capacity(create.arguments.len());
        let mut defaulted = false;
        for spec in &create.arguments {
            let ty = self.type_names().routine_type(&spec.ty)?;
            let input = spec.mode.is_input();
            match ty {
                RoutineType::Void | RoutineType::Trigger => {
                    let message = format!("{} cannot accept type {}", function_word(create), spec.ty.to_lowercase());
                    return Err(bad(message
                        .replace("function cannot", "functions cannot")
                        .replace("procedure cannot", "procedures cannot")));
                }
                RoutineType::Record | RoutineType::Rows(_) if input => {
                    let message = format!("rows as arguments of {name} are not supported");
                    return Err(SqlError::unsupported(message, "Take the columns, or a jsonb."));
                }
                RoutineType::Record => {
                    return Err(SqlError::unsupported(
                        "OUT parameters of type record are not supported",
                        "Give each column a parameter.",
                    ));
                }
                RoutineType::Plain(_) | RoutineType::Rows(_) => {}
            }
            if let RoutineType::Plain(ty) = ty
                && input
                && matches!(ty.name, crate::types::TypeName::Composite(_))
            {
                let message = format!("rows as arguments of {name} are not supported");
                return Err(SqlError::unsupported(message, "Take the columns, or a jsonb."));
            }
            if input && spec.default.is_none() && defaulted {
                return Err(bad("input parameters after one with a default value must also have defaults"));
            }
            if spec.default.is_some() && !input {
                return Err(bad("only input parameters can have default values"));
            }
            defaulted |= spec.default.is_some();
            if let Some(text) = &spec.default {
                crate::plan::modify::parse_expression(text)
                    .map_err(|_| SqlError::syntax(format!("syntax error in default \"{text}\"")))?;
            }
            let clash = |other: &ArgumentDef| {
                other.name == spec.name && (other.mode.is_input() == input || spec.mode != ArgumentMode::Table)
            };
            if let Some(given) = &spec.name
                && arguments.iter().any(clash)
            {
                return Err(bad(format!("parameter name \"{given}\" used more than once")));
            }
            arguments.push(ArgumentDef { name: spec.name.clone(), mode: spec.mode, ty, default: spec.default.clone() });
        }
        Ok(arguments)
    }

    fn returned_type(&self, create: &CreateRoutine, arguments: &[ArgumentDef]) -> Result<RoutineType> {
        let outputs: Vec<&ArgumentDef> = arguments.iter().filter(|argument| argument.mode.is_output()).collect();
        if create.procedure {
            if create.returns.is_some() {
                return Err(SqlError::syntax("syntax error at or near \"RETURNS\""));
            }
            return Ok(if outputs.is_empty() { RoutineType::Void } else { RoutineType::Record });
        }
        let implied = match &outputs[..] {
            [] => None,
            [one] => Some(one.ty),
            _ => Some(RoutineType::Record),
        };
        let table = arguments.iter().any(|argument| argument.mode == ArgumentMode::Table);
        let written = match &create.returns {
            Some(_) if table => return Ok(implied.unwrap_or(RoutineType::Record)),
            Some(text) => Some(self.type_names().routine_type(text)?),
            None => None,
        };
        match (written, implied) {
            (None, None) => Err(bad("function result type must be specified")),
            (None, Some(implied)) => Ok(implied),
            (Some(written), None) => Ok(written),
            (Some(written), Some(implied)) if written == implied => Ok(written),
            (Some(_), Some(implied)) => {
                let shown = match implied {
                    RoutineType::Record => "record".to_owned(),
                    other => type_text(self.type_names(), other),
                };
                Err(bad(format!("function result type must be {shown} because of OUT parameters")))
            }
        }
    }

    /// 42809 and 42P13 for what a replacement may not change.
    fn check_replacement(&self, old: &RoutineDef, new: &RoutineDef) -> Result<()> {
        if old.procedure != new.procedure {
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, "cannot change routine kind").detail(format!(
                "\"{}\" is a {}.",
                old.name.name,
                old.kind()
            )));
        }
        let hint = format!("Use DROP {} {} first.", old.kind().to_uppercase(), self.signature(old));
        let outputs = |def: &RoutineDef| def.outputs().map(|o| (o.name.clone(), o.ty)).collect::<Vec<_>>();
        if old.returns != new.returns || old.set != new.set {
            return Err(bad("cannot change return type of existing function").hint(hint));
        }
        if outputs(old) != outputs(new) {
            let error = bad("cannot change return type of existing function");
            return Err(error.detail("Row type defined by OUT parameters is different.").hint(hint));
        }
        for (old, new) in old.inputs().zip(new.inputs()) {
            if let Some(name) = &old.name
                && old.name != new.name
            {
                return Err(bad(format!("cannot change name of input parameter \"{name}\"")).hint(hint));
            }
            if old.default.is_some() && new.default.is_none() {
                return Err(bad("cannot remove parameter defaults from existing function").hint(hint));
            }
        }
        Ok(())
    }

    /// What is wrong with a body, as far as that can be told before it runs.
    async fn check_body(&self, def: &RoutineDef) -> Result<()> {
        if def.returns == RoutineType::Trigger {
            return routine_code(&def.body, Returning::Value).map(drop);
        }
        let def = Arc::new(def.clone());
        let routine = Routine::new(Arc::clone(&def), self.type_names())?;
        if def.language == Language::Sql {
            self.engine.check_routine(&self.ctx, routine).await?;
        }
        Ok(())
    }

    /// `f(integer,text)`, as messages name it.
    pub(super) fn signature(&self, def: &RoutineDef) -> String {
        let types: Vec<String> = def.inputs().map(|argument| type_text(self.type_names(), argument.ty)).collect();
        format!("{}({})", def.name.name, types.join(","))
    }

    /// The routine of this name and of these types. 42725, 42809 for one of another kind; `None` when there is none.
    fn find_routine(&self, kind: RoutineKind, wanted: &RoutineName) -> Result<Option<Arc<RoutineDef>>> {
        let temporary = self.temporary_schema();
        let schemas: Vec<&str> = match wanted.name.schema.as_deref() {
            Some(TEMPORARY) => vec![temporary.as_str()],
            Some(schema) => vec![schema],
            None => self.ctx.search_path.iter().map(String::as_str).filter(|schema| **schema != *temporary).collect(),
        };
        let types = match &wanted.arguments {
            None => None,
            Some(texts) => {
                let types = texts.iter().map(|text| self.type_names().routine_type(text)).collect::<Result<Vec<_>>>()?;
                Some(types)
            }
        };
        for schema in schemas {
            let name = Qualified::new(schema, wanted.name.name.as_str());
            let mut found: Vec<&Arc<RoutineDef>> = match &types {
                Some(types) => self.catalog.routine_taking(&name, types).into_iter().collect(),
                None => self.catalog.routines_named(&name.schema, &name.name).collect(),
            };
            if types.is_none() && found.len() > 1 {
                found.retain(|def| kind == RoutineKind::Routine || def.procedure == (kind == RoutineKind::Procedure));
            }
            if let [_, _, ..] = &found[..] {
                let message = format!("{} name \"{}\" is not unique", kind.word(), wanted.name);
                return Err(SqlError::new(SqlState::AMBIGUOUS_FUNCTION, message)
                    .hint(format!("Specify the argument list to select the {} unambiguously.", kind.word())));
            }
            if let [def] = &found[..] {
                if kind != RoutineKind::Routine && def.procedure != (kind == RoutineKind::Procedure) {
                    let message = format!("{} is not a {}", self.signature(def), kind.word());
                    return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                return Ok(Some(Arc::clone(def)));
            }
        }
        Ok(None)
    }

    fn own_routine(&self, kind: RoutineKind, wanted: &RoutineName) -> Result<RoutineDef> {
        let def = self.find_routine(kind, wanted)?.ok_or_else(|| no_routine(kind, wanted))?;
        self.require_owner(def.kind(), &def.name.name, &def.owner)?;
        Ok(RoutineDef::clone(&def))
    }

    pub(super) fn drop_routines(&mut self, kind: RoutineKind, all: &[RoutineName], if_exists: bool, cascade: bool) -> Result<()> {
        for wanted in all {
            let found = match self.find_routine(kind, wanted) {
                // A type that is not there is a routine that is not there.
                Err(error) if if_exists && error.code() == SqlState::UNDEFINED_OBJECT => None,
                found => found?,
            };
            match found {
                Some(def) => {
                    self.require_owner(def.kind(), &def.name.name, &def.owner)?;
                    self.drop_routine(&def, cascade)?;
                }
                None if if_exists => {
                    let types = wanted.arguments.clone().unwrap_or_default().join(",");
                    self.notice(format!("{} {}({types}) does not exist, skipping", kind.word(), wanted.name));
                }
                None => return Err(no_routine(kind, wanted)),
            }
        }
        Ok(())
    }

    /// Drops it with the triggers, views and defaults that need it, or says that they do.
    pub(super) fn drop_routine(&mut self, def: &RoutineDef, cascade: bool) -> Result<()> {
        let of = format!("{} {}", def.kind(), self.signature(def));
        let triggers: Vec<(Qualified, String)> = self
            .catalog
            .triggers_calling(def.id)
            .into_iter()
            .map(|(table, trigger)| (table.name.clone(), trigger.name.clone()))
            .collect();
        let views = self.views_calling(def);
        let defaults = self.defaults_calling_routine(def);
        let mut dropped: Vec<String> =
            triggers.iter().map(|(table, trigger)| format!("trigger {trigger} on table {}", table.name)).collect();
        dropped.extend(views.iter().map(|view| format!("view {}", view.name.name)));
        dropped.extend(
            defaults.iter().map(|(table, column)| format!("default value for column {column} of table {}", table.name.name)),
        );
        let lines = dropped.iter().map(|what| format!("{what} depends on {of}")).collect();
        self.cascade(&of, lines, dropped, cascade)?;
        for (table, trigger) in triggers {
            self.remove_trigger(&table, &trigger)?;
        }
        for view in views {
            if self.catalog.has_relation(&view.name) {
                self.catalog.drop_view(&view.name)?;
            }
        }
        for (table, column) in defaults {
            let mut changed = TableDef::clone(&*self.table_now(table.id)?);
            changed.columns.iter_mut().filter(|c| c.name == column && !c.dropped).for_each(|c| c.default = None);
            self.catalog.replace_table(changed)?;
        }
        self.catalog.drop_routine(def.id);
        Ok(())
    }

    /// Functions whose arguments or results are rows of a relation that goes: 2BP01, or with CASCADE they go along.
    pub(super) fn drop_routines_of_rows(&mut self, relation: &Qualified, id: u32, cascade: bool) -> Result<()> {
        let rows = RoutineType::Rows(id);
        let uses = |def: &&Arc<RoutineDef>| def.returns == rows || def.arguments.iter().any(|argument| argument.ty == rows);
        let found: Vec<Arc<RoutineDef>> = self.catalog.routines.values().filter(uses).cloned().collect();
        let dropped: Vec<String> = found.iter().map(|def| format!("{} {}", def.kind(), self.signature(def))).collect();
        let lines = dropped.iter().map(|what| format!("{what} depends on type {}", relation.name)).collect();
        self.cascade(&format!("table {}", relation.name), lines, dropped, cascade)?;
        found.iter().try_for_each(|def| self.drop_routine(def, true))
    }

    /// Routines of a schema that goes, with what calls them elsewhere.
    pub(super) fn drop_routines_inside(&mut self, schema: &str) -> Result<()> {
        let inside: Vec<Arc<RoutineDef>> =
            self.catalog.routines.values().filter(|def| def.name.schema == schema).cloned().collect();
        inside.iter().try_for_each(|def| self.drop_routine(def, true))
    }

    fn views_calling(&self, def: &RoutineDef) -> Vec<Arc<ViewDef>> {
        let first = self.catalog.queries().filter(|view| calls(&view.query, def));
        let mut found: Vec<Arc<ViewDef>> = Vec::new();
        for view in first {
            for view in std::iter::once(Arc::clone(&view)).chain(self.dependents_of(&view.name)) {
                if !found.iter().any(|known| known.id == view.id) {
                    found.push(view);
                }
            }
        }
        found
    }

    fn defaults_calling_routine(&self, def: &RoutineDef) -> Vec<(Arc<TableDef>, String)> {
        let mut found = Vec::new();
        for table in self.catalog.tables.values() {
            for column in table.live_columns() {
                if column.default.as_deref().is_some_and(|text| calls(text, def)) {
                    found.push((Arc::clone(table), column.name.clone()));
                }
            }
        }
        found
    }

    pub(super) fn alter_routine(&mut self, kind: RoutineKind, wanted: &RoutineName, action: &AlterRoutine) -> Result<()> {
        let mut def = self.own_routine(kind, wanted)?;
        match action {
            AlterRoutine::OwnerTo(role) => {
                self.require_membership(role)?;
                def.owner.clone_from(role);
            }
            AlterRoutine::Rename(to) => {
                if to.len() > 63 {
                    return Err(too_long(to));
                }
                self.refuse_renaming(&def)?;
                def.name = Qualified::new(def.name.schema.as_str(), to.as_str());
            }
            AlterRoutine::SetSchema(schema) => {
                let to = self.new_name(&crate::sql::Name::qualified(schema.as_str(), def.name.name.as_str()))?;
                super::refuse_move(&def.name, schema)?;
                self.refuse_renaming(&def)?;
                def.name = to;
            }
        }
        Ok(self.catalog.replace_routine(def)?)
    }

    /// 0A000 while texts of definitions name it.
    fn refuse_renaming(&self, def: &RoutineDef) -> Result<()> {
        let user = self.views_calling(def).first().map(|view| format!("view \"{}\"", view.name.name));
        let default = || self.defaults_calling_routine(def).first().map(|(table, _)| format!("table \"{}\"", table.name.name));
        match user.or_else(default) {
            None => Ok(()),
            Some(user) => {
                let message = format!("{} \"{}\" cannot be renamed while {user} calls it", def.kind(), def.name.name);
                Err(SqlError::unsupported(message, "Drop the one that calls it first, and make it again afterwards."))
            }
        }
    }

    pub(super) fn comment_routine(&mut self, kind: RoutineKind, wanted: &RoutineName, comment: Option<String>) -> Result<()> {
        let def = self.own_routine(kind, wanted)?;
        Ok(self.catalog.replace_routine(RoutineDef { comment, ..def })?)
    }
}

fn function_word(create: &CreateRoutine) -> &'static str {
    if create.procedure { "procedure" } else { "function" }
}

/// Whether an SQL text calls a function of this name.
fn calls(text: &str, def: &RoutineDef) -> bool {
    let name = def.name.name.to_lowercase();
    let lower = text.to_lowercase();
    lower.match_indices(&name).any(|(at, _)| {
        let before = lower[..at].chars().next_back();
        let after = lower[at + name.len()..].trim_start_matches('"').trim_start().chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_') && after == Some('(')
    })
}

fn no_routine(kind: RoutineKind, wanted: &RoutineName) -> SqlError {
    let message = match &wanted.arguments {
        None => format!("could not find a {} named \"{}\"", kind.word(), wanted.name),
        Some(types) => format!("{} {}({}) does not exist", kind.word(), wanted.name, types.join(", ")),
    };
    SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
}
