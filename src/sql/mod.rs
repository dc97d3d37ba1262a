//! Text to statement: comment cutting, the token-level canonicaliser for AS OF, the dialect, DDL and
//! utility forms as plain values. Pure and synchronous: no IO, no catalogue, no plan.

pub mod call;
pub mod columns;
pub mod shape;
pub mod statement;
pub mod temporal;
pub mod type_name;

mod access;
mod classify;
mod compat;
mod context_comment;
mod copy;
mod cursor;
mod ddl;
pub mod element_assignments;
mod fetch;
mod hoist;
pub mod inference;
mod lex;
mod locate;
mod lock_table;
mod locking;
mod merge;
mod precedence;
pub mod procedural;
mod query;
pub mod rename;
mod scan;
mod settings;
pub mod token_forms;
mod transaction;
mod upkeep;
mod utility;
mod writes;

#[cfg(test)]
mod tests;

pub use lex::CARRIED;
pub use locate::{Sought, place_of};
pub use locking::{LockedTable, locked_tables};
pub use query::insert_from;
pub use statement::*;
pub use writes::RETURNED;

use crate::error::Result;
use context_comment::Cut;
use lex::Slice;

/// Splits a query text into its statements and parses each. Empty statements vanish. A text that is nothing
/// but a context comment is `SET LOCAL chronogate.context`.
///
/// Errors are 42601 with a position in `text`, or 0A000 with a hint for a form that is known and refused.
pub fn parse(text: &str) -> Result<Vec<Parsed>> {
    let cut = context_comment::cut(text);
    let lexed = lex::lex(&cut.text)?;
    let statements = lexed.statements();
    if statements.is_empty() {
        return Ok(context_alone(&cut));
    }
    let mut parsed = statements.iter().map(|slice| parse_one(*slice)).collect::<Result<Vec<_>>>()?;
    for (at, json) in &cut.contexts {
        if let Some(statement) = parsed.iter_mut().rev().find(|p| p.offset < *at) {
            statement.context = Some(json.clone());
        }
    }
    if let Some(last) = parsed.last_mut() {
        last.notices.extend(cut.notices);
    }
    Ok(parsed)
}

fn parse_one(slice: Slice<'_>) -> Result<Parsed> {
    let context = slice.trailing_comment().and_then(context_comment::sqlcommenter);
    Ok(Parsed { context, ..classify::parsed(slice)? })
}

fn context_alone(cut: &Cut<'_>) -> Vec<Parsed> {
    let set = |(at, json): &(usize, String)| Parsed {
        text: String::new(),
        offset: *at,
        statement: Statement::Set(SetStatement { local: true, name: "chronogate.context".to_owned(), value: Some(json.clone()) }),
        context: None,
        notices: Vec::new(),
    };
    cut.contexts.last().map(set).into_iter().collect()
}
