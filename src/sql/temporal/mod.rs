//! The past in a query: every accepted spelling read into one typed clause, and the one form it takes in the tree.
//!
//! [`spelling`] reads a clause from tokens, [`instant`] decides what an instant may be, [`canonical`] finds the
//! clauses of a statement and takes them out of the token stream, [`placement`] puts them onto the relations
//! they belong to and holds that none is lost. Nothing here evaluates an expression or looks a name up.

mod canonical;
mod instant;
mod oracle;
mod placement;
mod relative;
mod spell;
mod spelling;

pub use canonical::{Canonical, canonicalise};
pub use oracle::name_pseudocolumns;
pub use placement::place;
pub use spell::spelled;
pub use spelling::transaction_as_of;

use datafusion::sql::sqlparser::ast::{self, Expr};

use crate::error::{Result, SqlError};
use crate::sql::call::{as_call, call};

/// The part of history that one relation reads.
#[derive(Clone, Debug, PartialEq)]
pub enum ScopeClause {
    /// The state at an instant; one in the future is the present.
    AsOf(InstantExpr),
    /// The state at an instant that must have come, as a whole statement or transaction is pinned to it.
    Pinned(InstantExpr),
    /// Every state visible at some instant of `[from, to)`.
    FromTo { from: InstantExpr, to: InstantExpr },
    /// Every state visible at some instant of `[from, to]`: one that begins at `to` belongs to it.
    Between { from: InstantExpr, to: InstantExpr },
    /// Every state that began at or after `from` and had ended by `to`.
    ContainedIn { from: InstantExpr, to: InstantExpr },
    /// Every state.
    All,
}

/// An instant as written. Expressions hold literals, parameters, casts and stable functions of those, never a
/// column, a subquery or a volatile function.
#[derive(Clone, Debug, PartialEq)]
pub enum InstantExpr {
    /// A timestamptz, or what converts to one; a text without zone is in the session's zone.
    Time(Expr),
    /// The state just before: instants strictly earlier than this timestamptz.
    Before(Expr),
    /// A commit number.
    Commit(Expr),
    /// The state just before a commit: the commit one less than this number.
    BeforeCommit(Expr),
    /// A parameter or text whose value decides: `vN` or an integer is a commit, anything else a timestamptz.
    Either(Expr),
    /// The state before what [`Self::Either`] says.
    BeforeEither(Expr),
}

const AS_OF: &str = "__scope_as_of";
const PINNED: &str = "__scope_pinned";
const FROM_TO: &str = "__scope_from_to";
const BETWEEN: &str = "__scope_between";
const CONTAINED_IN: &str = "__scope_contained_in";
const ALL: &str = "__scope_all";

const TIME: &str = "__instant_time";
const BEFORE: &str = "__instant_before";
const COMMIT: &str = "__instant_commit";
const BEFORE_COMMIT: &str = "__instant_before_commit";
const EITHER: &str = "__instant_either";
const BEFORE_EITHER: &str = "__instant_before_either";

/// The one form in which a clause stands in a parsed tree: `FOR SYSTEM_TIME AS OF` a call that only
/// [`scope_of`] understands.
pub fn version_of(scope: &ScopeClause) -> ast::TableVersion {
    let (name, instants) = match scope {
        ScopeClause::AsOf(at) => (AS_OF, vec![at]),
        ScopeClause::Pinned(at) => (PINNED, vec![at]),
        ScopeClause::FromTo { from, to } => (FROM_TO, vec![from, to]),
        ScopeClause::Between { from, to } => (BETWEEN, vec![from, to]),
        ScopeClause::ContainedIn { from, to } => (CONTAINED_IN, vec![from, to]),
        ScopeClause::All => (ALL, vec![]),
    };
    ast::TableVersion::ForSystemTimeAsOf(call(name, instants.into_iter().map(encode_instant)))
}

/// The clause that a relation of a parsed statement carries. Fails (XX000) for a version that this module did
/// not put there.
pub fn scope_of(version: &ast::TableVersion) -> Result<ScopeClause> {
    let ast::TableVersion::ForSystemTimeAsOf(expr) = version else { return Err(foreign(version)) };
    let (name, arguments) = as_call(expr).ok_or_else(|| foreign(version))?;
    let instants = arguments.into_iter().map(decode_instant).collect::<Option<Vec<_>>>().ok_or_else(|| foreign(version))?;
    let mut instants = instants.into_iter();
    let scope = match (name, instants.next(), instants.next()) {
        (AS_OF, Some(at), None) => ScopeClause::AsOf(at),
        (PINNED, Some(at), None) => ScopeClause::Pinned(at),
        (FROM_TO, Some(from), Some(to)) => ScopeClause::FromTo { from, to },
        (BETWEEN, Some(from), Some(to)) => ScopeClause::Between { from, to },
        (CONTAINED_IN, Some(from), Some(to)) => ScopeClause::ContainedIn { from, to },
        (ALL, None, None) => ScopeClause::All,
        _ => return Err(foreign(version)),
    };
    Ok(scope)
}

fn foreign(version: &ast::TableVersion) -> SqlError {
    SqlError::internal(format!("unexpected version clause: {version}"))
}

fn encode_instant(at: &InstantExpr) -> Expr {
    let (name, expr) = match at {
        InstantExpr::Time(e) => (TIME, e),
        InstantExpr::Before(e) => (BEFORE, e),
        InstantExpr::Commit(e) => (COMMIT, e),
        InstantExpr::BeforeCommit(e) => (BEFORE_COMMIT, e),
        InstantExpr::Either(e) => (EITHER, e),
        InstantExpr::BeforeEither(e) => (BEFORE_EITHER, e),
    };
    call(name, vec![expr.clone()])
}

fn decode_instant(expr: &Expr) -> Option<InstantExpr> {
    let (name, arguments) = as_call(expr)?;
    let [argument] = arguments[..] else { return None };
    let argument = argument.clone();
    match name {
        TIME => Some(InstantExpr::Time(argument)),
        BEFORE => Some(InstantExpr::Before(argument)),
        COMMIT => Some(InstantExpr::Commit(argument)),
        BEFORE_COMMIT => Some(InstantExpr::BeforeCommit(argument)),
        EITHER => Some(InstantExpr::Either(argument)),
        BEFORE_EITHER => Some(InstantExpr::BeforeEither(argument)),
        _ => None,
    }
}

impl InstantExpr {
    /// The state just before this one.
    fn before(self) -> Self {
        match self {
            Self::Time(e) | Self::Before(e) => Self::Before(e),
            Self::Commit(e) | Self::BeforeCommit(e) => Self::BeforeCommit(e),
            Self::Either(e) | Self::BeforeEither(e) => Self::BeforeEither(e),
        }
    }
}
