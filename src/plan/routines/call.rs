//! A call of a routine in a plan, as a function of its arguments.
//!
//! Its body runs once for every row, in order, one call of a statement after the other.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ListArray, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility as Changes,
};
use parking_lot::Mutex;

use super::interpret::Learnt;
use super::kinds::{Kind, Names};
use super::routine::{Routine, row_scalar};
use super::run::Within;
use super::variables::{Value, cast};
use crate::error::{SqlError, SqlState};
use crate::history::RoutineDef;
use crate::plan::correlated::{Nested, blocking};
use crate::plan::engine::Run;
use crate::plan::functions::define::scalar_at;
use crate::plan::scan::external;
use crate::types::{PgType, TypeName, Volatility};

/// What a call gives to the expression around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Its value.
    Value,
    /// A list of its values.
    Values,
    /// A list of its rows, each with all columns.
    Rows,
}

/// How the planner's name for a call begins.
const PREFIX: &str = "\u{1}routine";

/// The name by which [`function`] finds the routines of these numbers again.
pub fn call_name(form: Form, routines: &[Arc<RoutineDef>]) -> String {
    let form = match form {
        Form::Value => 'v',
        Form::Values => 'l',
        Form::Rows => 'r',
    };
    let numbers: Vec<String> = routines.iter().map(|def| def.id.to_string()).collect();
    format!("{PREFIX}:{form}:{}", numbers.join(","))
}

/// The function of a name that [`call_name`] made.
pub fn function(name: &str, names: Names<'_>) -> Option<Arc<ScalarUDF>> {
    let (form, numbers) = name.strip_prefix(PREFIX)?.strip_prefix(':')?.split_once(':')?;
    let form = match form {
        "v" => Form::Value,
        "l" => Form::Values,
        _ => Form::Rows,
    };
    let numbers = numbers.split(',').filter_map(|number| number.parse().ok());
    let defs: Vec<Arc<RoutineDef>> = numbers.filter_map(|number: u32| names.catalog.routine(number).cloned()).collect();
    let first = defs.first()?;
    let shown = first.name.name.clone();
    let changes = match first.volatility {
        Volatility::Volatile => Changes::Volatile,
        // A body reads tables: what is worked out once holds for one statement only.
        Volatility::Immutable | Volatility::Stable => Changes::Stable,
    };
    let routines = defs.into_iter().map(|def| Routine::new(def, names)).collect::<Result<Vec<_>, _>>();
    let signature = Signature::one_of(
        vec![datafusion::logical_expr::TypeSignature::VariadicAny, datafusion::logical_expr::TypeSignature::Nullary],
        changes,
    );
    let (routines, failed) = match routines {
        Ok(routines) => (routines, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let call = RoutineCall { shown, routines, failed, form, signature, kept: Mutex::default() };
    Some(Arc::new(ScalarUDF::from(call)))
}

#[derive(Debug)]
struct RoutineCall {
    shown: String,
    /// Those of the name; the arguments' types pick one.
    routines: Vec<Routine>,
    failed: Option<SqlError>,
    form: Form,
    signature: Signature,
    kept: Mutex<Option<Kept>>,
}

/// What is known of the body in one run of the statement.
struct Kept {
    nested: Nested,
    within: Within,
    learnt: Learnt,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl RoutineCall {
    fn numbers(&self) -> impl Iterator<Item = u32> {
        self.routines.iter().map(|routine| routine.def.id)
    }
}

impl PartialEq for RoutineCall {
    fn eq(&self, other: &Self) -> bool {
        self.form == other.form && self.numbers().eq(other.numbers())
    }
}

impl Eq for RoutineCall {}

impl Hash for RoutineCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.form.hash(state);
        self.numbers().for_each(|number| number.hash(state));
    }
}

/// An argument's type; a literal that nobody has given one is of none.
fn argument_type(field: &Field, scalar: Option<&ScalarValue>) -> PgType {
    match scalar {
        Some(ScalarValue::Null) => PgType::new(TypeName::Unknown),
        Some(ScalarValue::Utf8(_)) if field.metadata().is_empty() => PgType::new(TypeName::Unknown),
        _ if matches!(field.data_type(), DataType::Null) => PgType::new(TypeName::Unknown),
        _ => PgType::of_field(field),
    }
}

/// How near a type is to the one that is wanted: less is nearer, `None` for one that is not taken.
fn distance(from: PgType, to: PgType) -> Option<u32> {
    use TypeName::{Date, Float4, Float8, Int2, Int4, Int8, Numeric, Text, Timestamp, Timestamptz, Varchar};
    if from.name == TypeName::Unknown {
        return Some(if to.name == Text { 0 } else { 1 });
    }
    if from.array != to.array {
        return None;
    }
    if from.name == to.name {
        return Some(0);
    }
    let steps = |ladder: &[TypeName]| {
        let place = |name| ladder.iter().position(|known| *known == name);
        let (from, to) = (place(from.name)?, place(to.name)?);
        (from < to).then(|| (to - from) as u32)
    };
    let text = |name| matches!(name, Text | Varchar | TypeName::Bpchar | TypeName::Name);
    if from.array {
        return (text(from.name) && text(to.name)).then_some(2);
    }
    steps(&[Int2, Int4, Int8, Numeric, Float4, Float8])
        .or_else(|| steps(&[Date, Timestamp, Timestamptz]))
        .or_else(|| (text(from.name) && text(to.name)).then_some(1))
}

impl RoutineCall {
    /// The routine that takes arguments of these types. 42883, or 42725 where several are as near.
    fn chosen(&self, types: &[PgType]) -> Result<&Routine> {
        if let Some(error) = &self.failed {
            return Err(external(error.clone()));
        }
        let mut best: Vec<(u32, &Routine)> = Vec::new();
        for routine in &self.routines {
            if routine.inputs.len() != types.len() {
                continue;
            }
            let far = routine.inputs.iter().zip(types).map(|((_, kind), ty)| match kind {
                Kind::Plain(wanted) => distance(*ty, *wanted),
                _ => None,
            });
            if let Some(far) = far.sum::<Option<u32>>() {
                best.push((far, routine));
            }
        }
        let least = best.iter().map(|(far, _)| *far).min();
        let mut nearest = best.into_iter().filter(|(far, _)| Some(*far) == least);
        match (nearest.next(), nearest.next()) {
            (Some((_, routine)), None) => Ok(routine),
            (None, _) => Err(external(no_such_function(&self.shown, types))),
            (Some(_), Some(_)) => {
                let message = format!("function {} is not unique", signature_text(&self.shown, types));
                Err(external(
                    SqlError::new(SqlState::AMBIGUOUS_FUNCTION, message)
                        .hint("Could not choose a best candidate function. You might need to add explicit type casts."),
                ))
            }
        }
    }
}

fn signature_text(name: &str, types: &[PgType]) -> String {
    let types: Vec<String> = types.iter().map(|ty| ty.with_modifier(-1).sql_name()).collect();
    format!("{name}({})", types.join(", "))
}

/// 42883.
pub fn no_such_function(name: &str, types: &[PgType]) -> SqlError {
    let message = format!("function {} does not exist", signature_text(name, types));
    SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

impl ScalarUDFImpl for RoutineCall {
    fn name(&self) -> &str {
        &self.shown
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("a routine's type depends on the types of its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<PgType> =
            args.arg_fields.iter().zip(args.scalar_arguments).map(|(field, scalar)| argument_type(field, *scalar)).collect();
        let routine = self.chosen(&types)?;
        Ok(Arc::new(self.field(routine)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let nested = Nested::of(&args.config_options)?;
        let types: Vec<PgType> = args
            .arg_fields
            .iter()
            .zip(&args.args)
            .map(|(field, value)| match value {
                ColumnarValue::Scalar(scalar) => argument_type(field, Some(scalar)),
                ColumnarValue::Array(_) => argument_type(field, None),
            })
            .collect();
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let routine = self.chosen(&types)?;
        let work = self.values(routine, &nested, &types, &arrays, rows);
        let values = blocking(async {
            tokio::select! {
                biased;
                () = nested.ctx().cancel.cancelled() => Err(external(nested.ctx().cancel.error())),
                values = work => values,
            }
        })?;
        Ok(ColumnarValue::Array(values))
    }
}

impl RoutineCall {
    fn field(&self, routine: &Routine) -> Field {
        let shape = &routine.shape;
        match self.form {
            Form::Value => shape.value_field(&self.shown),
            Form::Values => list_field(&self.shown, shape.value_field("item")),
            Form::Rows => list_field(&self.shown, shape.row_field("item")),
        }
    }

    async fn values(
        &self,
        routine: &Routine,
        nested: &Nested,
        types: &[PgType],
        arrays: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef> {
        let turn = Arc::clone(&nested.ctx().calls);
        let _turn = turn.lock().await;
        let mut kept = self.take_kept(routine, nested)?;
        let field = self.field(routine);
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let value = self.value(routine, &mut kept, &field, types, arrays, row).await;
            values.push(value.map_err(external)?);
        }
        *self.kept.lock() = Some(kept);
        if values.is_empty() {
            return Ok(new_empty_array(field.data_type()));
        }
        match field.data_type() {
            DataType::Null => Ok(Arc::new(datafusion::arrow::array::NullArray::new(rows))),
            _ => ScalarValue::iter_to_array(values),
        }
    }

    fn take_kept(&self, routine: &Routine, nested: &Nested) -> Result<Kept> {
        if let Some(kept) = self.kept.lock().take().filter(|kept| kept.nested.is(nested)) {
            return Ok(kept);
        }
        let within = Within::new(&Run::nested(nested), &routine.def).map_err(external)?;
        Ok(Kept { nested: nested.clone(), within, learnt: Learnt::default() })
    }

    async fn value(
        &self,
        routine: &Routine,
        kept: &mut Kept,
        field: &Field,
        types: &[PgType],
        arrays: &[ArrayRef],
        row: usize,
    ) -> Result<ScalarValue, SqlError> {
        let broken = |error: datafusion::common::DataFusionError| crate::plan::diagnose(error);
        let zone = super::host::Host::zone(&kept.within)?;
        let mut arguments = Vec::with_capacity(arrays.len());
        for ((array, ty), (_, kind)) in arrays.iter().zip(types).zip(&routine.inputs) {
            let Kind::Plain(wanted) = kind else { return Err(SqlError::internal("an argument that is no value")) };
            let scalar = scalar_at(array, row).map_err(broken)?;
            arguments.push(cast(Value { ty: *ty, scalar }, *wanted, zone)?);
        }
        let shape = &routine.shape;
        let given = match routine.def.strict && arguments.iter().any(ScalarValue::is_null) {
            true => Vec::new(),
            false => routine.call(&mut kept.within, &mut kept.learnt, arguments).await?,
        };
        let null = || ScalarValue::try_from(field.data_type()).map_err(broken);
        let value = |row: Vec<ScalarValue>| match shape.row {
            true => row_scalar(shape.value_field("").data_type(), &row),
            false => Ok(row.into_iter().next().unwrap_or(ScalarValue::Null)),
        };
        match self.form {
            Form::Value => match given.into_iter().next() {
                Some(row) => value(row),
                None => null(),
            },
            Form::Values => list(field, given.into_iter().map(value).collect::<Result<_, _>>()?),
            Form::Rows => {
                let item = shape.row_field("");
                let mut rows = given;
                if rows.is_empty() && !shape.set {
                    let nulls = shape
                        .columns
                        .iter()
                        .map(|(_, kind)| ScalarValue::try_from(super::routine::field_of(kind, "").data_type()).map_err(broken));
                    rows.push(nulls.collect::<Result<_, _>>()?);
                }
                let rows = rows.iter().map(|row| row_scalar(item.data_type(), row)).collect::<Result<_, _>>()?;
                list(field, rows)
            }
        }
    }
}

fn list_field(name: &str, item: Field) -> Field {
    Field::new(name, DataType::List(Arc::new(item)), true)
}

fn list(field: &Field, values: Vec<ScalarValue>) -> Result<ScalarValue, SqlError> {
    let DataType::List(item) = field.data_type() else { return Err(SqlError::internal("a list that is none")) };
    let unfit = |_| SqlError::internal("values of a function do not fit its type");
    let values = match values.is_empty() {
        true => new_empty_array(item.data_type()),
        false => ScalarValue::iter_to_array(values).map_err(unfit)?,
    };
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    let list = ListArray::try_new(Arc::clone(item), offsets, values, None);
    Ok(ScalarValue::List(Arc::new(list.map_err(|_| SqlError::internal("values of a function do not fit its type"))?)))
}
