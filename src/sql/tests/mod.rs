//! The language by example: what each spelling becomes, and what each refused form answers.

mod past;
mod random;
mod refusals;
mod statements;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use std::ops::ControlFlow;

use super::*;
use crate::error::SqlError;

fn one(text: &str) -> Parsed {
    let mut parsed = parse(text).unwrap_or_else(|e| panic!("{text}: {e} {:?}", e.fields().hint));
    assert_eq!(parsed.len(), 1, "{text}");
    parsed.remove(0)
}

fn error(text: &str) -> SqlError {
    match parse(text) {
        Ok(parsed) => panic!("{text}: {:?}", parsed.into_iter().map(|p| p.statement).collect::<Vec<_>>()),
        Err(error) => error,
    }
}

/// The tree of a query or write.
fn tree(statement: &Statement) -> ast::Statement {
    match statement {
        Statement::Query(query) => ast::Statement::Query(query.clone()),
        Statement::Insert(insert) => ast::Statement::Insert((**insert).clone()),
        Statement::Update(update) => ast::Statement::Update((**update).clone()),
        Statement::Delete(delete) => ast::Statement::Delete((**delete).clone()),
        other => panic!("{other:?}"),
    }
}

/// Every relation of a statement in order, as `name[ alias]: clause`.
fn relations(text: &str) -> Vec<String> {
    struct Relations(Vec<String>);
    impl Visitor for Relations {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
            if let ast::TableFactor::Table { name, alias, version, .. } = factor {
                let alias = alias.as_ref().map(|a| format!(" {}", a.name)).unwrap_or_default();
                let clause =
                    version.as_ref().map(|v| format!(": {}", shown(&temporal::scope_of(v).unwrap()))).unwrap_or_default();
                self.0.push(format!("{name}{alias}{clause}"));
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = Relations(Vec::new());
    let _ = tree(&one(text).statement).visit(&mut found);
    found.0
}

fn shown(scope: &temporal::ScopeClause) -> String {
    use temporal::ScopeClause as S;
    match scope {
        S::AsOf(at) => format!("as of {}", instant(at)),
        S::Pinned(at) => format!("pinned to {}", instant(at)),
        S::FromTo { from, to } => format!("from {} to {}", instant(from), instant(to)),
        S::Between { from, to } => format!("between {} and {}", instant(from), instant(to)),
        S::ContainedIn { from, to } => format!("contained in {}, {}", instant(from), instant(to)),
        S::All => "all".to_owned(),
    }
}

fn instant(at: &temporal::InstantExpr) -> String {
    use temporal::InstantExpr as I;
    match at {
        I::Time(e) => format!("time {e}"),
        I::Before(e) => format!("before {e}"),
        I::Commit(e) => format!("commit {e}"),
        I::BeforeCommit(e) => format!("before commit {e}"),
        I::Either(e) => format!("either {e}"),
        I::BeforeEither(e) => format!("before either {e}"),
    }
}
