//! A clause as text again: one that is read back as the same clause.

use datafusion::sql::sqlparser::ast::{Expr, Ident, TableVersion};

use super::instant::{Expected, instant};
use super::{InstantExpr, ScopeClause, scope_of};

/// The clause of a parsed relation in a form that prints as SQL. A pinned one becomes a plain AS OF. `None` for what no
/// spelling has.
pub fn spelled(version: &TableVersion) -> Option<TableVersion> {
    let text = match scope_of(version).ok()? {
        ScopeClause::AsOf(at) | ScopeClause::Pinned(at) => as_of(&at)?,
        ScopeClause::FromTo { from, to } => format!("FOR SYSTEM_TIME FROM {} TO {}", plain(&from)?, plain(&to)?),
        ScopeClause::Between { from, to } => between(&from, &to)?,
        ScopeClause::ContainedIn { from, to } => format!("FOR SYSTEM_TIME CONTAINED IN ({}, {})", plain(&from)?, plain(&to)?),
        ScopeClause::All => "FOR SYSTEM_TIME ALL".to_owned(),
    };
    Some(TableVersion::Function(Expr::Identifier(Ident::new(text))))
}

fn as_of(at: &InstantExpr) -> Option<String> {
    if let Some(text) = plain(at) {
        return Some(format!("FOR SYSTEM_TIME AS OF {text}"));
    }
    Some(match at {
        InstantExpr::Time(expr) => format!("FOR TIMESTAMP AS OF {expr}"),
        InstantExpr::Commit(expr) => format!("FOR VERSION AS OF {expr}"),
        InstantExpr::Before(expr) => format!("BEFORE (TIMESTAMP => {expr})"),
        InstantExpr::BeforeCommit(expr) => format!("BEFORE (VERSION => {expr})"),
        InstantExpr::Either(_) | InstantExpr::BeforeEither(_) => return None,
    })
}

fn between(from: &InstantExpr, to: &InstantExpr) -> Option<String> {
    if let (Some(from), Some(to)) = (plain(from), plain(to)) {
        return Some(format!("FOR SYSTEM_TIME BETWEEN {from} AND {to}"));
    }
    match (from, to) {
        (InstantExpr::Time(from), InstantExpr::Time(to)) => Some(format!("VERSIONS BETWEEN TIMESTAMP ({from}) AND ({to})")),
        (InstantExpr::Commit(from), InstantExpr::Commit(to)) => Some(format!("VERSIONS BETWEEN SCN ({from}) AND ({to})")),
        _ => None,
    }
}

/// The instant's expression, where it means the same instant without a word about what it is.
fn plain(at: &InstantExpr) -> Option<String> {
    let (InstantExpr::Time(expr) | InstantExpr::Commit(expr) | InstantExpr::Either(expr)) = at else { return None };
    let again = instant(expr.clone(), Expected::Any).ok()?;
    (again == *at).then(|| expr.to_string())
}
