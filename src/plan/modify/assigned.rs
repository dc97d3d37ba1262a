//! A SET list over rows that are at hand: planned once, applied to the rows that a condition left.

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::DFSchemaRef;
use datafusion::sql::sqlparser::ast;

use super::parameters::Parameters;
use super::program::{RowProgram, type_placeholder};
use super::set::{self, AssignedValue, Assignment, Incoming};
use super::target::Target;
use super::{Queries, Run};
use crate::error::{Result, SqlError};
use crate::types::PgType;

/// Assignments to a table's columns, with what they are made of.
#[derive(Clone, Debug)]
pub struct Assigned {
    assignments: Vec<Assignment>,
    incoming: Vec<Incoming>,
    program: RowProgram,
}

impl Assigned {
    /// Places of the columns that are set.
    pub fn positions(&self) -> impl Iterator<Item = usize> {
        self.assignments.iter().map(|assignment| assignment.position)
    }

    /// Those of them that are not set to their default.
    pub fn expressed(&self) -> impl Iterator<Item = usize> {
        let expressed = |assignment: &&Assignment| matches!(assignment.value, AssignedValue::Expression(_));
        self.assignments.iter().filter(expressed).map(|assignment| assignment.position)
    }

    /// Of a SET list; `place` names the clause in errors.
    pub fn plan(
        queries: &dyn Queries,
        target: &Target,
        list: &[ast::Assignment],
        schema: &DFSchemaRef,
        parameters: &mut Parameters,
        place: &str,
    ) -> Result<Self> {
        let (assignments, expressions) = set::take_apart(target, list)?;
        Self::of(queries, target, (assignments, &expressions), schema, parameters, place)
    }

    /// Of a list that has been taken apart.
    pub fn of(
        queries: &dyn Queries,
        target: &Target,
        (assignments, expressions): (Vec<Assignment>, &[ast::Expr]),
        schema: &DFSchemaRef,
        parameters: &mut Parameters,
        place: &str,
    ) -> Result<Self> {
        let planned = RowProgram::plan(queries, expressions, schema.clone(), parameters, place)?;
        let mut typed = Vec::with_capacity(expressions.len());
        for n in 0..expressions.len() {
            let expr = planned.expression(n).cloned().ok_or_else(|| SqlError::internal("an assignment was lost"))?;
            let to = assignments.iter().find(|a| matches!(a.value, AssignedValue::Expression(at) if at == n));
            typed.push(match to {
                Some(assignment) => type_placeholder(expr, target.column(assignment.position)?.ty, parameters),
                None => expr,
            });
        }
        let program = RowProgram::of(queries, typed, schema.clone())?;
        let types = program.types();
        let mut incoming = vec![Incoming::Typed(PgType::TEXT); expressions.len()];
        for assignment in &assignments {
            let AssignedValue::Expression(n) = assignment.value else { continue };
            let ty = types.get(n).copied().unwrap_or(PgType::TEXT);
            if let Some(place) = incoming.get_mut(n) {
                *place = set::incoming(target, assignment.position, program.expression(n), ty)?;
            }
        }
        parameters.of_plan(queries, program.logical_plan())?;
        Ok(Self { assignments, incoming, program })
    }

    /// Whether its expressions could be compiled for good.
    pub fn compile(&mut self, queries: &dyn Queries, parameters: &[PgType]) -> Result<bool> {
        self.program.compile(queries, parameters)
    }

    /// The rows after the assignments: `rows` are of the schema planned with, `old` the layout's columns beside them.
    pub async fn apply(&self, run: Run<'_>, target: &Target, rows: &RecordBatch, old: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let results = self.program.run(run, rows)?;
        set::apply(run, target, &self.assignments, &self.incoming, old, &results, rows.num_rows()).await
    }
}
