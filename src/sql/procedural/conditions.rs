//! Names of error conditions, as handlers and RAISE give them.

use crate::error::{Result, SqlError, SqlState};

/// `code name` per line, as PostgreSQL 15 names its errors.
const NAMES: &str = include_str!("../../../data/conditions.txt");

/// What a handler is for, or RAISE raises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// OTHERS: every error but a cancelled statement and a failed assertion.
    Others,
    /// One of these states; one that ends in `000` is its whole class.
    States(Vec<SqlState>),
}

impl Condition {
    /// The condition of this name; 42704 when there is none.
    pub fn named(name: &str) -> Result<Self> {
        if name == "others" {
            return Ok(Self::Others);
        }
        let states: Vec<SqlState> = NAMES
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(_, known)| *known == name)
            .filter_map(|(code, _)| SqlState::from_code(code))
            .collect();
        if states.is_empty() {
            let message = format!("unrecognized exception condition \"{name}\"");
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        }
        Ok(Self::States(states))
    }

    /// `SQLSTATE 'code'`; 42601 for what is no code.
    pub fn of_code(code: &str) -> Result<Self> {
        let state = SqlState::from_code(code).ok_or_else(|| SqlError::syntax("invalid SQLSTATE code"))?;
        Ok(Self::States(vec![state]))
    }

    pub fn is_met_by(&self, state: SqlState) -> bool {
        let meets = |wanted: &SqlState| {
            let class = wanted.code().strip_suffix("000");
            *wanted == state || class.is_some_and(|class| state.code().starts_with(class))
        };
        match self {
            Self::Others => !matches!(state, SqlState::QUERY_CANCELED | SqlState::ASSERT_FAILURE),
            Self::States(states) => states.iter().any(meets),
        }
    }

    /// The state that RAISE of the condition gives.
    pub fn state(&self) -> Option<SqlState> {
        match self {
            Self::Others => None,
            Self::States(states) => states.first().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_met_by_its_members_and_a_state_by_itself_only() {
        let met = |name: &str, state: SqlState| Condition::named(name).unwrap().is_met_by(state);
        assert!(met("integrity_constraint_violation", SqlState::UNIQUE_VIOLATION));
        assert!(met("unique_violation", SqlState::UNIQUE_VIOLATION));
        assert!(!met("unique_violation", SqlState::CHECK_VIOLATION));
        assert!(met("others", SqlState::UNIQUE_VIOLATION));
        assert!(!met("others", SqlState::QUERY_CANCELED));
        assert!(Condition::named("no_such_condition").is_err());
    }

    #[test]
    fn every_line_names_a_state() {
        for line in NAMES.lines() {
            let (code, name) = line.split_once(' ').unwrap();
            assert!(Condition::named(name).unwrap().is_met_by(SqlState::from_code(code).unwrap()), "{line}");
        }
    }
}
