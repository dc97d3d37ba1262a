//! The body of DO: the part of PL/pgSQL that tools send, as a tree.
//!
//! Owns the tree and what its names mean in the SQL within it. Loops over conditions, cursors, labels and transaction
//! control are no part of it: `parse` refuses them by name.

mod conditions;
mod parse;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Value, visit_expressions_mut};

pub use conditions::Condition;
pub use parse::{inline_code, may_stand_in_a_block, statement};

use super::query::folded;
use super::statement::{Parsed, Statement};
use crate::types::PgType;

/// `[DECLARE …] BEGIN … [EXCEPTION …] END`
#[derive(Clone, Debug)]
pub struct CodeBlock {
    pub variables: Vec<Variable>,
    pub body: Vec<Step>,
    /// The first whose conditions are met takes an error of the body, which is undone then.
    pub handlers: Vec<Handler>,
}

#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    /// `None` is RECORD.
    pub ty: Option<PgType>,
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
        variable: String,
        value: Expression,
    },
    If {
        branches: Vec<(Expression, Vec<Step>)>,
        otherwise: Vec<Step>,
    },
    ForEachRow {
        variable: String,
        source: RowSource,
        body: Vec<Step>,
    },
    Raise(Box<Raise>),
    /// RAISE alone: the error that is being handled, once more.
    RaiseAgain,
    Return,
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
    pub variables: Vec<String>,
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

/// Puts `$n` in the place of every expression that is a name (`x`, or `r.field`) for which `parameter` gives `n`.
pub fn bind(statement: &mut Statement, mut parameter: impl FnMut(&[String]) -> Option<usize>) {
    let mut put = |expression: &mut Expr| {
        let path: Vec<String> = match &*expression {
            Expr::Identifier(name) => vec![folded(name)],
            Expr::CompoundIdentifier(names) => names.iter().map(folded).collect(),
            _ => return ControlFlow::Continue(()),
        };
        if let Some(n) = parameter(&path) {
            *expression = Expr::Value(Value::Placeholder(format!("${n}")).with_empty_span());
        }
        ControlFlow::Continue(())
    };
    put_in(statement, &mut put);
}

fn put_in(statement: &mut Statement, put: &mut impl FnMut(&mut Expr) -> ControlFlow<()>) {
    // Nothing in it breaks off.
    let _ = match statement {
        Statement::Query(query) => visit_expressions_mut(query.as_mut() as &mut ast::Query, put),
        Statement::Insert(insert) => visit_expressions_mut(insert.as_mut() as &mut ast::Insert, put),
        Statement::Update(update) => visit_expressions_mut(update.as_mut() as &mut ast::Update, put),
        Statement::Delete(delete) => visit_expressions_mut(delete.as_mut() as &mut ast::Delete, put),
        Statement::With { writes, main } => {
            writes.iter_mut().for_each(|write| put_in(&mut write.statement, put));
            return put_in(main, put);
        }
        // MERGE is planned with what it names itself: a variable in it is a column that there is not.
        _ => return,
    };
}
