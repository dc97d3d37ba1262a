//! A subquery inside an expression, as a function of the outer columns it names.
//!
//! Being a function, it stands wherever an expression may, and runs only for the rows it is asked for: a branch
//! of CASE that is not taken runs nothing. Answers are kept by their outer values for the rest of the batch, and
//! from batch to batch up to a bound.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_empty_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::nested::Nested;
use super::run::{Correlated, Prepared, Runner};
use crate::error::{SqlError, SqlState};
use crate::plan::functions::define::scalar_at;
use crate::plan::functions::typed_arrays::array_of_all;
use crate::plan::scan::external;
use crate::types::PgType;
use crate::types::nested::item_of;

/// Answers that are kept from batch to batch, and the bytes they may have.
const MOST_ANSWERS: usize = 16_384;
const MOST_BYTES: usize = 16 << 20;

/// What is asked of the subquery's rows.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Its one value; NULL without rows, 21000 with several.
    Value(FieldRef),
    /// All its values.
    Array(FieldRef),
    Exists,
    /// Whether the first argument is among its values. Values of this type are equal where their bytes are.
    Member,
    /// The subquery gives for each row whether it compares; true where any does.
    Any,
    /// As `Any`; true where all do.
    All,
}

/// The call that stands for the subquery. `args` are the first argument, where there is one, and the outer columns.
pub fn call(subquery: Correlated, asked: Asked, args: Vec<Expr>) -> Expr {
    let signature = match args.len() {
        0 => Signature::nullary(Volatility::Volatile),
        n => Signature::any(n, Volatility::Volatile),
    };
    let call = SubqueryCall { subquery, asked, signature, kept: Mutex::default() };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(call)), args))
}

/// Whether the expression has such a call in it.
pub fn has_call(expr: &Expr) -> bool {
    let is = |e: &Expr| match e {
        Expr::ScalarFunction(call) => (call.func.inner().as_ref() as &dyn std::any::Any).is::<SubqueryCall>(),
        _ => false,
    };
    expr.exists(|e| Ok(is(e))).unwrap_or(true)
}

/// Volatile, so that it is neither folded while planning nor evaluated where its rows are not yet chosen.
#[derive(Debug)]
struct SubqueryCall {
    subquery: Correlated,
    asked: Asked,
    signature: Signature,
    kept: Mutex<Option<Kept>>,
}

/// Answers of one run of the statement.
#[derive(Debug)]
struct Kept {
    prepared: Arc<Prepared>,
    answers: HashMap<Box<[u8]>, Answer>,
    bytes: usize,
}

#[derive(Clone, Debug)]
enum Answer {
    Value(ScalarValue),
    Truth(Option<bool>),
    Members(Arc<Members>),
}

#[derive(Debug, Default)]
struct Members {
    values: HashSet<Box<[u8]>>,
    null: bool,
}

impl Answer {
    fn bytes(&self) -> usize {
        match self {
            Answer::Value(value) => value.size(),
            Answer::Truth(_) => 2,
            Answer::Members(members) => members.values.iter().map(|v| v.len() + 32).sum(),
        }
    }
}

impl PartialEq for SubqueryCall {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for SubqueryCall {}

impl Hash for SubqueryCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self).hash(state);
    }
}

impl ScalarUDFImpl for SubqueryCall {
    fn name(&self) -> &str {
        "subquery"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match &self.asked {
            Asked::Value(field) | Asked::Array(field) => field.data_type().clone(),
            Asked::Exists | Asked::Member | Asked::Any | Asked::All => DataType::Boolean,
        })
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(match &self.asked {
            Asked::Value(field) | Asked::Array(field) => Arc::new(field.as_ref().clone().with_nullable(true)),
            Asked::Exists | Asked::Member | Asked::Any | Asked::All => Arc::new(Field::new("subquery", DataType::Boolean, true)),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let nested = Nested::of(&args.config_options)?;
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let work = self.answers(&nested, &arrays, rows);
        let answers = blocking(async {
            tokio::select! {
                biased;
                () = nested.ctx().cancel.cancelled() => Err(external(nested.ctx().cancel.error())),
                answers = work => answers,
            }
        })?;
        Ok(ColumnarValue::Array(self.array(answers)?))
    }
}

/// Waits for work on the thread of a plan, whose other tasks move to another.
pub fn blocking<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(|| handle.block_on(work))
        }
        _ => internal_err!("a subquery ran outside the plans' runtime"),
    }
}

impl SubqueryCall {
    /// An answer per row.
    async fn answers(&self, nested: &Nested, arrays: &[ArrayRef], rows: usize) -> Result<Vec<Answer>> {
        let mut kept = self.take_kept(nested)?;
        let mut runner = kept.prepared.runner();
        let first = usize::from(matches!(self.asked, Asked::Member));
        let outer = &arrays[first..];
        let keys = bytes_of(outer, rows)?;
        let wanted = if first == 1 { Some(bytes_of(&arrays[..1], rows)?) } else { None };
        let mut answers = Vec::with_capacity(rows);
        for (row, key) in keys.into_iter().enumerate() {
            let answer = match kept.answers.get(&key) {
                Some(answer) => answer.clone(),
                None => {
                    let values = outer.iter().map(|a| scalar_at(a, row)).collect::<Result<Vec<_>>>()?;
                    let answer = self.run(&mut runner, values).await?;
                    kept.add(key, answer.clone());
                    answer
                }
            };
            answers.push(match (answer, &wanted) {
                (Answer::Members(members), Some(wanted)) => Answer::Truth(members.truth(&arrays[0], row, &wanted[row])),
                (answer, _) => answer,
            });
        }
        drop(runner);
        *self.kept.lock() = Some(kept);
        Ok(answers)
    }

    /// What is kept of this run of the statement; another partition that comes meanwhile begins its own.
    fn take_kept(&self, nested: &Nested) -> Result<Kept> {
        if let Some(kept) = self.kept.lock().take().filter(|kept| kept.prepared.nested().is(nested)) {
            return Ok(kept);
        }
        Ok(Kept { prepared: self.subquery.prepare(nested)?, answers: HashMap::new(), bytes: 0 })
    }

    async fn run(&self, runner: &mut Runner, values: Vec<ScalarValue>) -> Result<Answer> {
        let mut rows = runner.run(values).await?;
        match &self.asked {
            Asked::Exists => {
                while let Some(batch) = rows.try_next().await? {
                    if batch.num_rows() > 0 {
                        return Ok(Answer::Truth(Some(true)));
                    }
                }
                Ok(Answer::Truth(Some(false)))
            }
            Asked::Value(field) => {
                let mut found = None;
                while let Some(batch) = rows.try_next().await? {
                    if batch.num_rows() > 1 || (batch.num_rows() == 1 && found.is_some()) {
                        let message = "more than one row returned by a subquery used as an expression";
                        return Err(external(SqlError::new(SqlState::CARDINALITY_VIOLATION, message)));
                    }
                    if batch.num_rows() == 1 {
                        found = Some(scalar_at(batch.column(0), 0)?);
                    }
                }
                found.map_or_else(|| ScalarValue::try_from(field.data_type()), Ok).map(Answer::Value)
            }
            Asked::Array(field) => list(field, &rows.try_collect::<Vec<_>>().await?).map(Answer::Value),
            Asked::Member => {
                let mut members = Members::default();
                while let Some(batch) = rows.try_next().await? {
                    members.add(batch.column(0))?;
                }
                Ok(Answer::Members(Arc::new(members)))
            }
            Asked::Any | Asked::All => {
                // What decides at once; any NULL among the rest leaves it open.
                let decisive = matches!(self.asked, Asked::Any);
                let mut open = false;
                while let Some(batch) = rows.try_next().await? {
                    let truths = batch.column(0).as_boolean();
                    if truths.iter().any(|t| t == Some(decisive)) {
                        return Ok(Answer::Truth(Some(decisive)));
                    }
                    open |= truths.null_count() > 0;
                }
                Ok(Answer::Truth(if open { None } else { Some(!decisive) }))
            }
        }
    }

    fn array(&self, answers: Vec<Answer>) -> Result<ArrayRef> {
        match &self.asked {
            Asked::Value(field) | Asked::Array(field) => {
                let values = answers.into_iter().filter_map(|a| if let Answer::Value(v) = a { Some(v) } else { None });
                let mut values = values.peekable();
                if values.peek().is_none() {
                    return Ok(new_empty_array(field.data_type()));
                }
                ScalarValue::iter_to_array(values)
            }
            Asked::Exists | Asked::Member | Asked::Any | Asked::All => {
                let truths = answers.into_iter().map(|a| if let Answer::Truth(t) = a { t } else { None });
                Ok(Arc::new(truths.collect::<datafusion::arrow::array::BooleanArray>()))
            }
        }
    }
}

impl Kept {
    fn add(&mut self, key: Box<[u8]>, answer: Answer) {
        if self.answers.len() >= MOST_ANSWERS || self.bytes > MOST_BYTES {
            self.answers.clear();
            self.bytes = 0;
        }
        self.bytes += key.len() + answer.bytes();
        self.answers.insert(key, answer);
    }
}

impl Members {
    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        for (row, bytes) in bytes_of(std::slice::from_ref(values), values.len())?.into_iter().enumerate() {
            if values.is_null(row) {
                self.null = true;
            } else {
                self.values.insert(bytes);
            }
        }
        Ok(())
    }

    /// `wanted IN (…)`: NULL where nothing is equal but a NULL might be.
    fn truth(&self, wanted: &ArrayRef, row: usize, bytes: &[u8]) -> Option<bool> {
        if self.values.is_empty() && !self.null {
            return Some(false);
        }
        if wanted.is_null(row) {
            return None;
        }
        match (self.values.contains(bytes), self.null) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        }
    }
}

/// Bytes per row by which equal values are recognised.
fn bytes_of(arrays: &[ArrayRef], rows: usize) -> Result<Vec<Box<[u8]>>> {
    if arrays.is_empty() {
        return Ok(vec![Box::default(); rows]);
    }
    let fields = arrays.iter().map(|a| SortField::new(a.data_type().clone())).collect();
    let converted = RowConverter::new(fields)?.convert_columns(arrays)?;
    Ok(converted.iter().map(|row| row.as_ref().into()).collect())
}

/// Whether values of this type are equal exactly where their bytes are.
pub fn is_plain(field: &Field) -> bool {
    let ty = PgType::of_field(field);
    use crate::types::TypeName::*;
    let plain = [Bool, Int2, Int4, Int8, Numeric, Text, Varchar, Name, Uuid, Date, Time, Timestamp, Timestamptz, Bytea, Oid];
    !ty.array && plain.contains(&ty.name) && *field.data_type() != DataType::LargeBinary
}

fn list(field: &FieldRef, batches: &[RecordBatch]) -> Result<ScalarValue> {
    let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(0).as_ref()).collect();
    let Some(item) = item_of(field.data_type()) else { return internal_err!("an array that is none") };
    let values = if parts.is_empty() { new_empty_array(item.data_type()) } else { concat(&parts)? };
    scalar_at(&array_of_all(values, field).map_err(external)?, 0)
}
