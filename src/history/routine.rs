//! Functions, procedures and triggers as definitions.
//!
//! Bodies are text here; what one means, and whether it can be run, is for `plan` to know.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::{Catalog, CatalogError, ColumnId, TableDef};
use crate::types::{ArgumentMode, PgType, Qualified, TriggerTiming, Volatility};

/// The type of an argument or a result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutineType {
    Plain(PgType),
    /// The rows of a table or view, by its number.
    Rows(u32),
    Record,
    Void,
    Trigger,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArgumentDef {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default)]
    pub mode: ArgumentMode,
    #[serde(rename = "type")]
    pub ty: RoutineType,
    /// SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    Sql,
    Plpgsql,
}

/// How a body was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyForm {
    #[default]
    Text,
    /// RETURN: the body is that of a SELECT of the expression.
    Return,
    /// BEGIN ATOMIC.
    Atomic,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutineDef {
    pub id: u32,
    pub name: Qualified,
    pub owner: String,
    #[serde(default)]
    pub procedure: bool,
    pub arguments: Vec<ArgumentDef>,
    pub returns: RoutineType,
    #[serde(default)]
    pub set: bool,
    pub language: Language,
    pub body: String,
    #[serde(default)]
    pub form: BodyForm,
    #[serde(default)]
    pub strict: bool,
    #[serde(default)]
    pub volatility: Volatility,
    #[serde(default)]
    pub security_definer: bool,
    #[serde(default)]
    pub leakproof: bool,
    /// `safe`, `restricted`; `None` is `unsafe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<f64>,
    /// The search path for the time of a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_path: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grants: BTreeMap<String, Vec<String>>,
}

impl RoutineDef {
    pub fn inputs(&self) -> impl Iterator<Item = &ArgumentDef> {
        self.arguments.iter().filter(|argument| argument.mode.is_input())
    }

    pub fn outputs(&self) -> impl Iterator<Item = &ArgumentDef> {
        self.arguments.iter().filter(|argument| argument.mode.is_output())
    }

    pub fn input_types(&self) -> Vec<RoutineType> {
        self.inputs().map(|argument| argument.ty).collect()
    }

    /// What messages call it.
    pub fn kind(&self) -> &'static str {
        if self.procedure { "procedure" } else { "function" }
    }
}

/// A trigger of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerDef {
    pub id: u32,
    pub name: String,
    pub timing: TriggerTiming,
    #[serde(default)]
    pub insert: bool,
    #[serde(default)]
    pub update: bool,
    #[serde(default)]
    pub delete: bool,
    /// UPDATE OF these only; none for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnId>,
    /// FOR EACH ROW.
    pub row: bool,
    /// SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The function's number.
    pub function: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Catalog {
    pub fn routine(&self, id: u32) -> Option<&Arc<RoutineDef>> {
        self.routines.get(&id)
    }

    /// All routines of this name in a schema.
    pub fn routines_named<'a, 'n>(
        &'a self,
        schema: &'n str,
        name: &'n str,
    ) -> impl Iterator<Item = &'a Arc<RoutineDef>> + use<'a, 'n> {
        self.routines.values().filter(move |def| def.name.schema == schema && def.name.name == name)
    }

    /// The routine of this name that takes these types.
    pub fn routine_taking(&self, name: &Qualified, types: &[RoutineType]) -> Option<&Arc<RoutineDef>> {
        self.routines_named(&name.schema, &name.name).find(|def| same_types(&def.input_types(), types))
    }

    /// 42723 where the name and the types of its arguments are taken.
    pub fn create_routine(&mut self, def: RoutineDef) -> Result<(), CatalogError> {
        if self.routine_taking(&def.name, &def.input_types()).is_some() {
            return Err(CatalogError::RoutineExists { kind: def.kind(), name: def.name.name });
        }
        self.put(Definition::Routine(Arc::new(def)));
        Ok(())
    }

    /// Gives the routine with the definition's number this definition.
    pub fn replace_routine(&mut self, def: RoutineDef) -> Result<(), CatalogError> {
        let other = self.routine_taking(&def.name, &def.input_types());
        if other.is_some_and(|other| other.id != def.id) {
            return Err(CatalogError::RoutineExists { kind: def.kind(), name: def.name.name });
        }
        self.put(Definition::Routine(Arc::new(def)));
        Ok(())
    }

    /// What needs it is for the caller to have seen to.
    pub fn drop_routine(&mut self, id: u32) {
        if let Some(def) = self.routines.get(&id).cloned() {
            self.take(&Definition::Routine(def));
        }
    }

    /// Triggers that call this function, with their tables.
    pub fn triggers_calling(&self, function: u32) -> Vec<(&Arc<TableDef>, &TriggerDef)> {
        let triggers = self.tables.values().flat_map(|table| table.triggers.iter().map(move |trigger| (table, trigger)));
        triggers.filter(|(_, trigger)| trigger.function == function).collect()
    }
}

/// Modifiers are none of a routine's.
fn same_types(a: &[RoutineType], b: &[RoutineType]) -> bool {
    let plain = |ty: &RoutineType| match ty {
        RoutineType::Plain(ty) => RoutineType::Plain(PgType { modifier: -1, ..*ty }),
        other => *other,
    };
    a.iter().map(plain).eq(b.iter().map(plain))
}
