//! PL/pgSQL, as far as it is run: the bodies of DO, functions, procedures and triggers, as a tree.
//!
//! Owns the tree and what its names mean in the SQL within it (`bind`). Cursors and transaction control are no part of
//! it: `parse` refuses them by name.

mod bind;
mod conditions;
mod parse;
mod steps;

pub use bind::{Meaning, bind};
pub use conditions::Condition;
pub use parse::{Returning, condition, inline_code, may_stand_in_a_block, routine_code, statement};

use super::statement::Parsed;

/// `[<<label>>] [DECLARE …] BEGIN … [EXCEPTION …] END`
#[derive(Clone, Debug)]
pub struct CodeBlock {
    pub label: Option<String>,
    pub variables: Vec<Variable>,
    pub body: Vec<Step>,
    /// The first whose conditions are met takes an error of the body, which is undone then.
    pub handlers: Vec<Handler>,
}

#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    /// The type as written: `int`, `record`, `t.c%TYPE`, `t%ROWTYPE`.
    pub ty: String,
    pub constant: bool,
    pub not_null: bool,
    pub initial: Option<Expression>,
}

#[derive(Clone, Debug)]
pub struct Handler {
    pub conditions: Vec<Condition>,
    pub body: Vec<Step>,
}

/// An expression, as the SELECT that gives its value.
pub type Expression = Box<Parsed>;

/// A variable, or a field of one.
pub type Path = Vec<String>;

#[derive(Clone, Debug)]
pub enum Step {
    Nothing,
    Block(Box<CodeBlock>),
    Sql {
        statement: Box<Parsed>,
        into: Option<Into>,
    },
    /// PERFORM: a query whose rows nobody wants.
    Perform(Box<Parsed>),
    Execute {
        text: Expression,
        into: Option<Into>,
        using: Vec<Expression>,
    },
    Assign {
        target: Path,
        value: Expression,
    },
    If {
        branches: Vec<(Expression, Vec<Step>)>,
        otherwise: Vec<Step>,
    },
    /// The ELSE of a CASE that has none.
    NoCase,
    Loop {
        label: Option<String>,
        kind: LoopKind,
        body: Vec<Step>,
    },
    /// EXIT, or CONTINUE where it goes on with the next round.
    Leave {
        label: Option<String>,
        again: bool,
        when: Option<Expression>,
    },
    Raise(Box<Raise>),
    /// RAISE alone: the error that is being handled, once more.
    RaiseAgain,
    Assert {
        condition: Expression,
        message: Option<Expression>,
    },
    Return(Option<Expression>),
    ReturnNext(Option<Expression>),
    ReturnQuery(RowSource),
    /// GET [STACKED] DIAGNOSTICS.
    Diagnostics {
        stacked: bool,
        items: Vec<(Path, String)>,
    },
}

#[derive(Clone, Debug)]
pub enum LoopKind {
    Forever,
    While(Expression),
    Range {
        variable: String,
        from: Expression,
        to: Expression,
        by: Option<Expression>,
        reverse: bool,
    },
    Rows {
        targets: Vec<Path>,
        source: RowSource,
    },
    /// FOREACH … SLICE … IN ARRAY.
    Elements {
        targets: Vec<Path>,
        /// The dimensions of a part; 0 for the elements themselves.
        slice: i64,
        array: Expression,
    },
}

#[derive(Clone, Debug)]
pub enum RowSource {
    Query(Box<Parsed>),
    Execute { text: Expression, using: Vec<Expression> },
}

/// Where the columns of a row go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Into {
    /// Exactly one row, or it is an error.
    pub strict: bool,
    pub targets: Vec<Path>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaiseLevel {
    Debug,
    Log,
    Info,
    Notice,
    Warning,
    Exception,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaiseOption {
    Errcode,
    Message,
    Detail,
    Hint,
    Column,
    Constraint,
    Datatype,
    Table,
    Schema,
}

#[derive(Clone, Debug)]
pub struct Raise {
    pub level: RaiseLevel,
    /// The condition and the name it was given by.
    pub condition: Option<(Condition, String)>,
    /// A `%` for each argument, `%%` for a sign.
    pub format: Option<String>,
    pub arguments: Vec<Expression>,
    pub options: Vec<(RaiseOption, Expression)>,
}
