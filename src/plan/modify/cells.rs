//! The rows of a VALUES list: literals are read once, parameters are taken as they come, all other expressions
//! are one SELECT.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;

use super::assign::{assign, assignable, not_assignable};
use super::parameters::{Parameters, number};
use super::program::RowProgram;
use super::select::{named, outputs, plan_typed, select};
use super::set::{self, Incoming, is_default};
use super::target::{Target, repeat};
use super::values::read_literal;
use super::{Queries, Run};
use crate::error::{Result, SqlError};
use crate::plan::rows::batch_of;
use crate::plan::select_forms::has_subquery;
use crate::types::{PgType, text};

/// One value of a VALUES list.
#[derive(Clone, Debug)]
pub enum Cell {
    Default,
    /// A value of the column already.
    Constant(ScalarValue),
    /// `$n`, and its type.
    Parameter(usize, PgType),
    /// The n-th of the expressions.
    Expression(usize, Incoming),
}

/// A VALUES list over the columns it gives.
#[derive(Clone, Debug)]
pub struct Cells {
    rows: Vec<Vec<Cell>>,
    /// All that are neither literals nor parameters.
    expressions: Expressions,
}

#[derive(Clone, Debug)]
enum Expressions {
    None,
    Program(RowProgram),
    /// One row, from a SELECT: expressions that look into tables.
    Plan(LogicalPlan),
}

impl Expressions {
    fn nth(&self, n: usize) -> (Option<&Expr>, PgType) {
        match self {
            Self::None => (None, PgType::TEXT),
            Self::Program(program) => (program.expression(n), program.types().get(n).copied().unwrap_or(PgType::TEXT)),
            Self::Plan(plan) => {
                let field = plan.schema().fields().get(n);
                (outputs(plan).get(n), field.map_or(PgType::TEXT, |field| PgType::of_field(field)))
            }
        }
    }
}

impl Cells {
    /// `given` are the columns that each value goes to.
    pub async fn plan(
        queries: &dyn Queries,
        target: &Target,
        given: &[usize],
        rows: &[&[ast::Expr]],
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let mut others: Vec<(ast::Expr, usize)> = Vec::new();
        let mut cells = Vec::with_capacity(rows.len());
        for row in rows {
            let mut line = Vec::with_capacity(given.len());
            for (expr, position) in row.iter().zip(given) {
                let column = target.column(*position)?;
                line.push(match simple(expr, target, *position)? {
                    Some(Cell::Parameter(n, _)) => {
                        parameters.wants(n, column.ty);
                        Cell::Parameter(n, PgType::TEXT)
                    }
                    Some(cell) => cell,
                    None => {
                        others.push((expr.clone(), *position));
                        Cell::Expression(others.len() - 1, Incoming::Typed(PgType::TEXT))
                    }
                });
            }
            cells.push(line);
        }
        let expressions = plan_expressions(queries, target, others.clone(), parameters).await?;
        for (line, position) in cells.iter_mut().flat_map(|line| line.iter_mut().zip(given)) {
            match line {
                Cell::Parameter(n, ty) => {
                    let column = target.column(*position)?;
                    *ty = parameters.get(*n).unwrap_or(PgType::TEXT);
                    if !assignable(*ty, column.ty) {
                        return Err(not_assignable(&column.name, *ty, column.ty));
                    }
                }
                Cell::Expression(n, incoming) => {
                    let (expr, ty) = expressions.nth(*n);
                    *incoming = set::incoming(target, *position, expr, ty)?;
                }
                Cell::Default | Cell::Constant(_) => {}
            }
        }
        Ok(Self { rows: cells, expressions })
    }

    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The SELECT of the expressions, where there are any.
    pub fn source(&self) -> Option<&LogicalPlan> {
        match &self.expressions {
            Expressions::Plan(plan) => Some(plan),
            Expressions::None | Expressions::Program(_) => None,
        }
    }

    /// Compiles what it can; whether it needs no planner then.
    pub fn compile(&mut self, queries: &dyn Queries, parameters: &[PgType]) -> Result<bool> {
        match &mut self.expressions {
            Expressions::None => Ok(true),
            Expressions::Program(program) => program.compile(queries, parameters),
            Expressions::Plan(_) => Ok(false),
        }
    }

    /// The columns given, for all rows.
    pub async fn columns(&self, run: Run<'_>, target: &Target, given: &[usize]) -> Result<Vec<ArrayRef>> {
        let results = match &self.expressions {
            Expressions::None => Vec::new(),
            Expressions::Program(program) => {
                let row = batch_of(Arc::new(Schema::empty()), Vec::new(), 1)?;
                program.run(run, &row)?
            }
            Expressions::Plan(plan) => {
                let batches = run.collect(plan).await?;
                let row = batches.into_iter().find(|b| b.num_rows() == 1);
                row.ok_or_else(|| SqlError::internal("the expressions of a VALUES list gave no row"))?.columns().to_vec()
            }
        };
        let mut columns = Vec::with_capacity(given.len());
        for (n, position) in given.iter().enumerate() {
            let defaults = self.rows.iter().filter(|row| matches!(row.get(n), Some(Cell::Default))).count();
            let defaults = target.default_values(run, *position, defaults).await?;
            columns.push(self.column(target, n, *position, &defaults, &results, run.parameters)?);
        }
        Ok(columns)
    }

    fn column(
        &self,
        target: &Target,
        n: usize,
        position: usize,
        defaults: &ArrayRef,
        results: &[ArrayRef],
        parameters: &[ScalarValue],
    ) -> Result<ArrayRef> {
        let mut next_default = 0;
        let mut values = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            values.push(match row.get(n) {
                None => return Err(SqlError::internal("a row of a VALUES list is short")),
                Some(Cell::Constant(value)) => value.clone(),
                Some(Cell::Default) => {
                    next_default += 1;
                    scalar(defaults, next_default - 1)?
                }
                Some(Cell::Parameter(number, ty)) => {
                    let value = number.checked_sub(1).and_then(|at| parameters.get(at));
                    let value = value.ok_or_else(|| SqlError::internal(format!("there is no parameter ${number}")))?;
                    let column = target.column(position)?;
                    match column.ty == *ty && value.data_type() == column.ty.arrow() {
                        true => value.clone(),
                        false => scalar(&assign(&repeat(value, 1)?, *ty, column.ty, target.zone)?, 0)?,
                    }
                }
                Some(Cell::Expression(at, incoming)) => {
                    let values = results.get(*at).ok_or_else(|| SqlError::internal("a VALUES list lost an expression"))?;
                    scalar(&incoming.bring(target, position, values)?, 0)?
                }
            });
        }
        if let [value] = values.as_slice() {
            return repeat(value, 1);
        }
        ScalarValue::iter_to_array(values).map_err(|e| SqlError::internal(format!("values do not make a column: {e}")))
    }
}

fn scalar(array: &ArrayRef, row: usize) -> Result<ScalarValue> {
    ScalarValue::try_from_array(array, row).map_err(|e| SqlError::internal(format!("a value cannot be read: {e}")))
}

/// A cell that needs no plan: DEFAULT, a literal, a parameter. Parameters come without their type.
pub fn simple(expr: &ast::Expr, target: &Target, position: usize) -> Result<Option<Cell>> {
    if is_default(expr) {
        return Ok(Some(Cell::Default));
    }
    let column = target.column(position)?;
    let (value, negative) = match expr {
        ast::Expr::Value(value) => (&value.value, false),
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => match expr.as_ref() {
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Number(..)) => (&value.value, true),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(match value {
        ast::Value::Null => Some(Cell::Constant(text::null_of(column.ty)?)),
        ast::Value::SingleQuotedString(literal) | ast::Value::EscapedStringLiteral(literal) => {
            Some(Cell::Constant(read_literal(literal, column.ty, target.zone)?))
        }
        ast::Value::DollarQuotedString(literal) => Some(Cell::Constant(read_literal(&literal.value, column.ty, target.zone)?)),
        ast::Value::Number(digits, _) => number_literal(digits, negative, column.ty, target)?.map(Cell::Constant),
        ast::Value::Boolean(b) if column.ty == PgType::BOOL => Some(Cell::Constant(ScalarValue::Boolean(Some(*b)))),
        ast::Value::Placeholder(id) => number(id).map(|n| Cell::Parameter(n, PgType::TEXT)),
        _ => None,
    })
}

/// A number literal for a numeric column or an integer one; the rest is left to casts.
fn number_literal(digits: &str, negative: bool, ty: PgType, target: &Target) -> Result<Option<ScalarValue>> {
    use crate::types::TypeName::{Float4, Float8, Int2, Int4, Int8, Numeric};
    let whole = digits.bytes().all(|b| b.is_ascii_digit());
    let direct = match ty.name {
        Int2 | Int4 | Int8 => whole,
        Float4 | Float8 => digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'),
        Numeric => digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'),
        _ => false,
    };
    if !direct || ty.array {
        return Ok(None);
    }
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    let value = read_literal(&signed, ty, target.zone);
    if matches!(ty.name, Int2 | Int4 | Int8) {
        let name = ty.sql_name();
        return value.map(Some).map_err(|_| crate::types::complaint::out_of_range(&name));
    }
    value.map(Some)
}

async fn plan_expressions(
    queries: &dyn Queries,
    target: &Target,
    others: Vec<(ast::Expr, usize)>,
    parameters: &mut Parameters,
) -> Result<Expressions> {
    if others.is_empty() {
        return Ok(Expressions::None);
    }
    let (expressions, positions): (Vec<_>, Vec<_>) = others.into_iter().unzip();
    let wanted = positions.iter().map(|p| Ok(target.column(*p)?.ty)).collect::<Result<Vec<_>>>()?;
    if !expressions.iter().any(has_subquery) {
        let program = RowProgram::plan(queries, &expressions, Arc::new(DFSchema::empty()), parameters, "VALUES")?;
        parameters.of_plan(queries, program.logical_plan())?;
        return Ok(Expressions::Program(program));
    }
    let items = expressions.into_iter().enumerate().map(|(n, e)| named(e, &format!("__{n}"))).collect();
    let wanted: Vec<(usize, PgType)> = wanted.into_iter().enumerate().collect();
    let plan = plan_typed(queries, select(items, Vec::new(), None)?, parameters, |_| Ok(wanted.clone())).await?;
    Ok(Expressions::Plan(plan))
}
