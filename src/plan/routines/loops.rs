//! Loops.

use datafusion::arrow::array::Array;
use datafusion::common::ScalarValue;

use super::interpret::{Flow, Interpreter};
use super::variables::{Field, Row, Value};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::diagnose;
use crate::plan::functions::define::scalar_at;
use crate::sql::procedural::{Expression, LoopKind, Path, RowSource, Step};
use crate::types::PgType;
use crate::types::nested::{Parts, items_within};
use crate::types::text::array_of;

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
            LoopKind::Elements { targets, slice, array } => {
                let parts = self.parts(targets, *slice, array).await?;
                self.each(label, targets, parts, body).await
            }
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

    /// What FOREACH goes through: elements, or arrays of the last `slice` dimensions, each as a row of one column.
    async fn parts(&mut self, targets: &[Path], slice: i64, array: &Expression) -> Result<Vec<Row>> {
        let value = self.value(array).await?;
        if value.scalar.is_null() {
            return Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "FOREACH expression must not be null"));
        }
        let given = value.scalar.to_array().map_err(diagnose)?;
        let Some(parts) = Parts::of(given.as_ref()) else {
            let message = format!("FOREACH expression must yield an array, not type {}", value.ty.sql_name());
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        };
        let bounds = parts.bounds(0).unwrap_or_default();
        let Some(outer) = usize::try_from(slice).ok().and_then(|slice| bounds.len().checked_sub(slice)) else {
            let message = format!("slice dimension ({slice}) is out of the valid range 0..{}", bounds.len());
            return Err(SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
        };
        self.check_loop_variable(targets, slice > 0)?;
        let (elements, inner) = (parts.lists.value(0), &bounds[outer..]);
        let size = if slice == 0 { 1 } else { items_within(inner)?.max(1) };
        let ty = if slice == 0 { value.ty.element() } else { value.ty };
        let part = |n: usize| {
            let scalar = match slice {
                0 => scalar_at(&elements, n).map_err(diagnose)?,
                _ => {
                    let items = (n * size..(n + 1) * size).map(|at| scalar_at(&elements, at).map_err(diagnose));
                    array_of(ty, items.collect::<Result<_>>()?, inner.to_vec())?
                }
            };
            Ok(vec![Field { name: String::new(), value: Value { ty, scalar } }])
        };
        (0..elements.len() / size).map(part).collect()
    }

    /// 42804 where the variable of FOREACH is an array and should be none, or the other way round.
    fn check_loop_variable(&self, targets: &[Path], array: bool) -> Result<()> {
        let [target] = targets else { return Ok(()) };
        let message = match self.variables.type_of(target) {
            Some(ty) if ty.array && !array => "FOREACH loop variable must not be of an array type",
            Some(ty) if !ty.array && array => "FOREACH ... SLICE loop variable must be of an array type",
            _ => return Ok(()),
        };
        Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message))
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
