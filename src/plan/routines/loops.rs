//! Loops.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::common::ScalarValue;

use super::interpret::{Flow, Interpreter};
use super::variables::{Field, Row, Value};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::diagnose;
use crate::sql::procedural::{Expression, LoopKind, Path, RowSource, Step};
use crate::types::PgType;

impl Interpreter<'_> {
    pub(super) async fn repeat(&mut self, label: Option<&String>, kind: &LoopKind, body: &[Step]) -> Result<Flow> {
        match kind {
            LoopKind::Forever => loop {
                if let Some(flow) = self.round(label, body).await? {
                    return Ok(flow);
                }
            },
            LoopKind::While(condition) => {
                while self.holds(condition).await? {
                    if let Some(flow) = self.round(label, body).await? {
                        return Ok(flow);
                    }
                }
                Ok(Flow::On)
            }
            LoopKind::Range { variable, from, to, by, reverse } => {
                let bounds = (self.bound_of(from, "lower bound").await?, self.bound_of(to, "upper bound").await?);
                let by = match by {
                    Some(by) => self.bound_of(by, "BY value").await?,
                    None => 1,
                };
                if by <= 0 {
                    let message = "BY value of FOR loop must be greater than zero";
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                }
                let depth = self.variables.depth();
                self.variables.open(label.map(String::as_str));
                let done = self.count(label, variable, bounds, if *reverse { -by } else { by }, body).await;
                self.variables.close_to(depth);
                done
            }
            LoopKind::Rows { targets, source } => self.each_row(label, targets, source, body).await,
            LoopKind::Elements { targets, array } => self.each_element(label, targets, array, body).await,
        }
    }

    /// One round; where the loop ends with it, how the body goes on.
    async fn round(&mut self, label: Option<&String>, body: &[Step]) -> Result<Option<Flow>> {
        self.host.interrupted()?;
        let ours = |name: &Option<String>| name.is_none() || name.as_ref() == label;
        Ok(match self.steps(body).await? {
            Flow::On => None,
            Flow::Continue(name) if ours(&name) => None,
            Flow::Exit(name) if ours(&name) => Some(Flow::On),
            flow => Some(flow),
        })
    }

    async fn bound_of(&mut self, expression: &Expression, what: &str) -> Result<i64> {
        let value = self.value(expression).await?;
        match self.variables.cast(value, PgType::INT4)? {
            ScalarValue::Int32(Some(n)) => Ok(i64::from(n)),
            _ => {
                let message = format!("{what} of FOR loop cannot be null");
                Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, message))
            }
        }
    }

    async fn count(
        &mut self,
        label: Option<&String>,
        variable: &str,
        (from, to): (i64, i64),
        by: i64,
        body: &[Step],
    ) -> Result<Flow> {
        let mut at = from;
        let mut found = false;
        while (by > 0 && at <= to) || (by < 0 && at >= to) {
            found = true;
            let number = i32::try_from(at).unwrap_or(i32::MAX);
            self.variables.set(variable, Value { ty: PgType::INT4, scalar: ScalarValue::Int32(Some(number)) });
            if let Some(flow) = self.round(label, body).await? {
                self.variables.found(true);
                return Ok(flow);
            }
            at += by;
        }
        self.variables.found(found);
        Ok(Flow::On)
    }

    async fn each_row(&mut self, label: Option<&String>, targets: &[Path], source: &RowSource, body: &[Step]) -> Result<Flow> {
        let outcome = self.source(source).await?;
        let rows = outcome.rows.ok_or_else(|| SqlError::syntax("cannot open a query that gives no rows"))?;
        if rows.is_empty() {
            self.variables.assign_row(targets, outcome.columns)?;
        }
        self.each(label, targets, rows, body).await
    }

    async fn each_element(
        &mut self,
        label: Option<&String>,
        targets: &[Path],
        array: &Expression,
        body: &[Step],
    ) -> Result<Flow> {
        let value = self.value(array).await?;
        let null = || SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "FOREACH expression must not be null");
        if value.scalar.is_null() {
            return Err(null());
        }
        let list = value.scalar.to_array().map_err(diagnose)?;
        let Some(list) = list.as_list_opt::<i32>() else {
            let message = format!("FOREACH expression must yield an array, not type {}", value.ty.sql_name());
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        };
        let elements = list.value(0);
        let ty = value.ty.element();
        let element = |n: usize| {
            let scalar = ScalarValue::try_from_array(&elements, n).map_err(diagnose)?;
            Ok(vec![Field { name: String::new(), value: Value { ty, scalar } }])
        };
        let rows = (0..elements.len()).map(element).collect::<Result<Vec<Row>>>()?;
        self.each(label, targets, rows, body).await
    }

    async fn each(&mut self, label: Option<&String>, targets: &[Path], rows: Vec<Row>, body: &[Step]) -> Result<Flow> {
        let found = !rows.is_empty();
        for row in rows {
            self.variables.assign_row(targets, row)?;
            if let Some(flow) = self.round(label, body).await? {
                self.variables.found(true);
                return Ok(flow);
            }
        }
        self.variables.found(found);
        Ok(Flow::On)
    }
}
