//! Functions, procedures and triggers as statements say them.

use super::Name;
pub use crate::types::{ArgumentMode, TriggerTiming, Volatility};

/// CREATE FUNCTION or PROCEDURE. Types are as written.
#[derive(Clone, Debug)]
pub struct CreateRoutine {
    pub name: Name,
    pub or_replace: bool,
    pub procedure: bool,
    pub arguments: Vec<ArgumentSpec>,
    /// SETOF, or TABLE.
    pub set: bool,
    pub returns: Option<String>,
    pub language: Option<String>,
    pub body: Option<RoutineBody>,
    pub strict: bool,
    pub volatility: Option<Volatility>,
    pub security_definer: bool,
    pub leakproof: bool,
    /// `safe`, `restricted`, `unsafe`.
    pub parallel: Option<String>,
    pub cost: Option<f64>,
    pub rows: Option<f64>,
    /// Settings for the time of a call: `search_path` with its schemas.
    pub settings: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutineBody {
    /// AS 'text'.
    Text(String),
    /// RETURN expression.
    Return(String),
    /// BEGIN ATOMIC statements END.
    Atomic(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentSpec {
    pub mode: ArgumentMode,
    pub name: Option<String>,
    pub ty: String,
    /// SQL text.
    pub default: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutineKind {
    Function,
    Procedure,
    /// Either.
    Routine,
}

impl RoutineKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Procedure => "procedure",
            Self::Routine => "routine",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutineName {
    pub name: Name,
    /// Types of its input arguments, as written; `None` where none were.
    pub arguments: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterRoutine {
    Rename(String),
    SetSchema(String),
    OwnerTo(String),
}

#[derive(Clone, Debug)]
pub struct CreateTrigger {
    pub name: String,
    pub or_replace: bool,
    pub table: Name,
    pub timing: TriggerTiming,
    pub insert: bool,
    /// The columns of UPDATE OF, none for all.
    pub update: Option<Vec<String>>,
    pub delete: bool,
    /// FOR EACH ROW.
    pub row: bool,
    /// SQL text.
    pub when: Option<String>,
    pub function: Name,
    pub arguments: Vec<String>,
}
