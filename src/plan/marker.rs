//! The filter by which a plan says what part of history a scan reads.
//!
//! A relation with a clause is `Filter(__system_time(_system_from, clause, kind, instant …))` over a scan of all
//! states: an expression like any other, so that parameters reach it, and folded or moved by no rule, since it
//! names a column. ALL is a filter too, so that no rule takes the scan for one of the present. The scan takes it in exactly; run as a filter it fails, so that it can never be lost.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit};

const NAME: &str = "__system_time";

static MARKER: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(Marker { signature: Signature::variadic_any(Volatility::Immutable) })));

/// What kind of clause, see `sql::temporal::ScopeClause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClauseKind {
    AsOf,
    Pinned,
    FromTo,
    Between,
    ContainedIn,
    All,
}

/// What an instant's value means, see `sql::temporal::InstantExpr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstantKind {
    pub names: Names,
    /// The state just before.
    pub before: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Time,
    Commit,
    /// The value decides.
    Either,
}

/// One clause with its instants, each an expression without columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    pub kind: ClauseKind,
    pub instants: Vec<(InstantKind, Expr)>,
}

const CLAUSES: [(ClauseKind, &str); 6] = [
    (ClauseKind::AsOf, "as of"),
    (ClauseKind::Pinned, "pinned"),
    (ClauseKind::FromTo, "from to"),
    (ClauseKind::Between, "between"),
    (ClauseKind::ContainedIn, "contained in"),
    (ClauseKind::All, "all"),
];
const NAMES: [(Names, &str); 3] = [(Names::Time, "time"), (Names::Commit, "commit"), (Names::Either, "either")];

impl Clause {
    /// The filter over a scan whose `_system_from` is `column`.
    pub fn filter(self, column: Expr) -> Expr {
        let word = CLAUSES.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, word)| word);
        let mut args = vec![column, lit(word)];
        for (kind, value) in self.instants {
            let names = NAMES.iter().find(|(names, _)| *names == kind.names).map_or("", |(_, word)| word);
            args.extend([lit(names), lit(kind.before), value]);
        }
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&MARKER), args))
    }

    /// The inverse of [`Self::filter`]; `None` for any other expression.
    pub fn of_filter(filter: &Expr) -> Option<Self> {
        let Expr::ScalarFunction(call) = filter else { return None };
        if call.func.name() != NAME {
            return None;
        }
        let [_, word, rest @ ..] = &call.args[..] else { return None };
        let kind = CLAUSES.iter().find(|(_, w)| Some(*w) == text(word)).map(|(kind, _)| *kind)?;
        let (instants, []) = rest.as_chunks::<3>() else { return None };
        let instants = instants.iter().map(|[names, before, value]| {
            let names = NAMES.iter().find(|(_, w)| Some(*w) == text(names)).map(|(names, _)| *names)?;
            let before = matches!(before, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
            Some((InstantKind { names, before }, value.clone()))
        });
        Some(Self { kind, instants: instants.collect::<Option<_>>()? })
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    signature: Signature,
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a clause about system time did not reach its scan")
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::col;

    use super::*;

    #[test]
    fn a_clause_comes_back_from_its_filter() {
        let time = InstantKind { names: Names::Time, before: false };
        let before = InstantKind { names: Names::Commit, before: true };
        for clause in [
            Clause { kind: ClauseKind::AsOf, instants: vec![(before, lit(3_i64))] },
            Clause { kind: ClauseKind::Between, instants: vec![(time, lit("a")), (time, lit("b"))] },
        ] {
            assert_eq!(Clause::of_filter(&clause.clone().filter(col("_system_from"))), Some(clause));
        }
        assert_eq!(Clause::of_filter(&lit(true)), None);
    }
}
