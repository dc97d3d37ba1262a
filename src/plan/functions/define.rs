//! How the functions of this folder are written down: a name, what each argument is wanted as, the result's
//! type, and a body over whole columns.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::ambient::{external, zone};
use super::mixed::is_mixed;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::types::nested::{Bounds, Parts};
use crate::types::numeric::column::{ARROW, is_exact};
use crate::types::{PgType, TypeName, Zone, json, nested};

/// What an argument is cast to before the body sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// As it comes; text for an untyped NULL.
    Any,
    Type(TypeName),
    /// `text[]`.
    Texts,
    /// `integer[]`.
    Integers,
    /// An array; all arrays and elements of one call meet in one element type.
    Array,
    /// A value of the element type of the call's arrays.
    Element,
}

pub const TEXT: Want = Want::Type(TypeName::Text);
pub const INT4: Want = Want::Type(TypeName::Int4);
pub const INT8: Want = Want::Type(TypeName::Int8);
/// jsonb or json; plain text is taken for either and checked.
pub const JSON: Want = Want::Type(TypeName::Jsonb);

#[derive(Clone, Copy)]
pub enum Returns {
    Fixed(PgType),
    /// From the arguments' types and, where they are constant, their values.
    Computed(fn(&[PgType], &[Option<&ScalarValue>]) -> Result<PgType>),
    /// An Arrow type that the arguments' Arrow types decide.
    Arrow(fn(&[DataType]) -> Result<DataType>),
    /// A whole field.
    Field(FieldOf),
}

impl Returns {
    pub const fn of(name: TypeName) -> Self {
        Self::Fixed(PgType::new(name))
    }
}

/// A result's field from the arguments' types, their Arrow types and, where they are constant, their values.
pub type FieldOf = fn(&[PgType], &[DataType], &[Option<&ScalarValue>]) -> Result<Field>;

pub type Body = fn(&Call<'_>) -> Result<ArrayRef>;

/// One function.
#[derive(Clone)]
pub struct Function {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub wants: &'static [Want],
    /// Arguments at the end of `wants` that may be left out.
    pub optional: usize,
    /// The last of `wants` may be repeated.
    pub variadic: bool,
    pub returns: Returns,
    pub volatility: Volatility,
    /// Arrays may have several dimensions, or begin elsewhere than at 1: the body looks at [`Call::bounds`].
    pub dimensional: bool,
    /// What it gives is a list to be unnested, no array.
    pub lists: bool,
    /// No argument is an array, whatever else it may be.
    pub scalar: bool,
    pub body: Body,
}

impl Function {
    pub const fn new(name: &'static str, wants: &'static [Want], returns: Returns, body: Body) -> Self {
        let volatility = Volatility::Immutable;
        let (optional, variadic, dimensional, lists, scalar) = (0, false, false, false, false);
        Self { name, aliases: &[], wants, optional, variadic, returns, volatility, dimensional, lists, scalar, body }
    }

    /// Depends on the statement: session settings, zone, time.
    pub const fn stable(mut self) -> Self {
        self.volatility = Volatility::Stable;
        self
    }

    /// Evaluated once for every row.
    pub const fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    pub const fn dimensional(mut self) -> Self {
        self.dimensional = true;
        self
    }

    pub const fn scalar(mut self) -> Self {
        self.scalar = true;
        self
    }

    pub const fn lists(mut self) -> Self {
        self.lists = true;
        self
    }

    pub const fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    pub const fn variadic(mut self) -> Self {
        self.variadic = true;
        self
    }

    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Defined::new(self)))
    }
}

/// A call of a function on one batch. Arguments are arrays of one length; those that are wanted as arrays are lists, and
/// so is a result that is an array, unless it is one already.
pub struct Call<'a> {
    pub args: Vec<ArrayRef>,
    pub types: Vec<PgType>,
    pub rows: usize,
    pub returns: FieldRef,
    pub options: &'a ConfigOptions,
    /// By argument, of the arrays that are not plain.
    pub bounds: Vec<Option<Vec<Option<Bounds>>>>,
}

impl Call<'_> {
    /// The bounds of an array argument; `None` for NULL.
    pub fn bounds(&self, arg: usize, row: usize) -> Option<Bounds> {
        let lists = self.args.get(arg)?.as_list_opt::<i32>().filter(|lists| lists.is_valid(row))?;
        if let Some(own) = self.bounds.get(arg)?.as_ref().and_then(|all| all.get(row)?.clone()) {
            return Some(own);
        }
        let length = lists.value_length(row);
        Some(if length == 0 { Vec::new() } else { vec![(self.first_subscript(arg), length)] })
    }

    /// The subscript of a plain array's first element: PostgreSQL counts the catalogue's vectors from 0.
    pub fn first_subscript(&self, arg: usize) -> i32 {
        let vector = self.types.get(arg).is_some_and(|ty| !ty.array && ty.name.vector_of().is_some());
        if vector { 0 } else { 1 }
    }

    pub fn zone(&self) -> Zone {
        zone(self.options)
    }

    /// Text of an argument; `None` for NULL and for an argument that is not there.
    pub fn text(&self, arg: usize, row: usize) -> Option<&str> {
        let array = self.args.get(arg)?.as_string_opt::<i32>()?;
        array.is_valid(row).then(|| array.value(row))
    }

    pub fn int8(&self, arg: usize, row: usize) -> Option<i64> {
        let array = self.args.get(arg)?.as_primitive_opt::<datafusion::arrow::datatypes::Int64Type>()?;
        array.is_valid(row).then(|| array.value(row))
    }

    pub fn int4(&self, arg: usize, row: usize) -> Option<i32> {
        let array = self.args.get(arg)?.as_primitive_opt::<datafusion::arrow::datatypes::Int32Type>()?;
        array.is_valid(row).then(|| array.value(row))
    }

    pub fn float8(&self, arg: usize, row: usize) -> Option<f64> {
        let array = self.args.get(arg)?.as_primitive_opt::<datafusion::arrow::datatypes::Float64Type>()?;
        array.is_valid(row).then(|| array.value(row))
    }

    pub fn bool(&self, arg: usize, row: usize) -> Option<bool> {
        let array = self.args.get(arg)?.as_boolean_opt()?;
        array.is_valid(row).then(|| array.value(row))
    }

    /// An argument's JSON: as it is when its type says it is JSON, else read and brought to normal form.
    pub fn json(&self, arg: usize, row: usize) -> Result<Option<std::borrow::Cow<'_, str>>> {
        let Some(text) = self.text(arg, row) else { return Ok(None) };
        match self.types.get(arg).map(|t| t.name) {
            Some(TypeName::Jsonb | TypeName::Json) => Ok(Some(text.into())),
            _ => json::normalise(text).map(|t| Some(t.into())),
        }
    }

    /// Texts, one row at a time.
    pub fn map_text<'t, S: AsRef<str> + 't>(&'t self, row: impl Fn(usize) -> Result<Option<S>>) -> Result<ArrayRef> {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 16);
        for i in 0..self.rows {
            out.append_option(row(i)?);
        }
        Ok(Arc::new(out.finish()))
    }

    /// Values of a primitive or boolean array, one row at a time.
    pub fn map<T, A: FromIterator<Option<T>> + Array + 'static>(
        &self,
        row: impl FnMut(usize) -> Result<Option<T>>,
    ) -> Result<ArrayRef> {
        let values = (0..self.rows).map(row).collect::<Result<Vec<Option<T>>>>()?;
        Ok(Arc::new(values.into_iter().collect::<A>()))
    }
}

struct Defined {
    function: Function,
    aliases: Vec<String>,
    signature: Signature,
}

impl Defined {
    fn new(function: Function) -> Self {
        let kind = if function.wants.is_empty() { TypeSignature::Nullary } else { TypeSignature::UserDefined };
        let signature = Signature::new(kind, function.volatility);
        let aliases = function.aliases.iter().map(|a| (*a).to_owned()).collect();
        Self { function, aliases, signature }
    }

    /// What the arguments are brought to, arrays being lists.
    fn wanted(&self, args: &[DataType]) -> Vec<DataType> {
        let wants = self.function.wants;
        let element = common_element(wants, args);
        let brought = with_numerics(wants, args);
        let wanted = |(i, have): (usize, &DataType)| match wants.get(i).or(wants.last()) {
            // Brought to the type when the function is called: Arrow has no such cast.
            Some(Want::Type(name)) if takes_numbers(*name, have) => have.clone(),
            Some(Want::Array | Want::Element) if brought.is_some() => have.clone(),
            Some(Want::Type(name)) => PgType::new(*name).arrow(),
            Some(Want::Texts) => nested::listed(&PgType::TEXT.array_of().arrow()),
            Some(Want::Integers) => nested::listed(&PgType::INT4.array_of().arrow()),
            Some(Want::Array) => match &element {
                Some(element) if element.data_type() != &item_type(have) => DataType::List(Arc::clone(element)),
                _ => have.clone(),
            },
            Some(Want::Element) => element.as_ref().map_or_else(|| have.clone(), |e| e.data_type().clone()),
            _ if *have == DataType::Null => DataType::Utf8,
            _ => have.clone(),
        };
        args.iter().enumerate().map(wanted).collect()
    }

    /// Texts among the arguments that are wanted as arrays, read as such.
    fn read_arrays(&self, arrays: &mut [ArrayRef], zone: Zone) -> Result<()> {
        let types: Vec<DataType> = arrays.iter().enumerate().map(|(at, a)| self.listed((at, a.data_type()))).collect();
        let wanted = self.wanted(&types);
        for (at, array) in arrays.iter_mut().enumerate() {
            if self.takes_list(at) && *array.data_type() == DataType::Utf8 {
                *array = cast_array(array, PgType::TEXT, PgType::of_arrow(&wanted[at]), zone)?;
            }
        }
        Ok(())
    }

    fn want(&self, at: usize) -> Option<Want> {
        self.function.wants.get(at).or(self.function.wants.last()).copied()
    }

    fn takes_list(&self, at: usize) -> bool {
        matches!(self.want(at), Some(Want::Array | Want::Texts | Want::Integers))
    }

    /// The type of an argument as the body sees it: an array is a list.
    fn listed(&self, (at, arrow): (usize, &DataType)) -> DataType {
        if self.takes_list(at) { nested::listed(arrow) } else { arrow.clone() }
    }

    /// The field of a result, whose arrays are lists so far.
    fn carried(&self, field: Field) -> Field {
        let arrow = nested::carried(field.data_type());
        if self.function.lists || !PgType::of_field(&field).array { field } else { field.with_data_type(arrow) }
    }

    /// Arrays as lists and the bounds of those that are not plain. 0A000 where the function knows no such arrays.
    fn taken_apart(&self, arrays: &mut [ArrayRef]) -> Result<Vec<Option<Vec<Option<Bounds>>>>> {
        let mut bounds = vec![None; arrays.len()];
        for (at, array) in arrays.iter_mut().enumerate().filter(|(at, _)| self.takes_list(*at)) {
            let Some(parts) = Parts::of(array) else { continue };
            if parts.bounds.is_some() && !self.function.dimensional {
                let message = format!("{} of arrays of several dimensions is not supported", self.function.name);
                return Err(SqlError::unsupported(message, "Use an array of one dimension whose subscripts begin at 1."));
            }
            *array = Arc::new(parts.lists);
            bounds[at] = parts.bounds;
        }
        Ok(bounds)
    }

    /// Arguments in the numeric types that Arrow has no casts to.
    fn brought(&self, arrays: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        let wants = self.function.wants;
        let types: Vec<DataType> = arrays.iter().map(|a| a.data_type().clone()).collect();
        let lists = with_numerics(wants, &types);
        let brought = |(i, array): (usize, ArrayRef)| match wants.get(i).or(wants.last()) {
            Some(Want::Type(name)) if takes_numbers(*name, array.data_type()) => {
                cast_array(&array, PgType::of_arrow(array.data_type()), PgType::new(*name), Zone::UTC)
            }
            Some(Want::Array | Want::Element) => match lists.as_ref().and_then(|lists| lists.get(i)) {
                Some(ty) if ty != array.data_type() => {
                    let (from, to) = (PgType::of_arrow(array.data_type()), PgType::of_arrow(ty));
                    let cast = cast_array(&array, from, to, Zone::UTC)?;
                    Ok(if to.array { Parts::of(&cast).map_or(cast, |parts| Arc::new(parts.lists)) } else { cast })
                }
                _ => Ok(array),
            },
            _ => Ok(array),
        };
        arrays.into_iter().enumerate().map(brought).collect()
    }

    /// The field of an argument as the body sees it.
    fn brought_field(&self, field: &FieldRef, all: &[FieldRef]) -> FieldRef {
        let wants = self.function.wants;
        let Some(at) = all.iter().position(|f| Arc::ptr_eq(f, field)) else { return Arc::clone(field) };
        let types: Vec<DataType> = all.iter().enumerate().map(|(at, f)| self.listed((at, f.data_type()))).collect();
        // Documents and other values carried as text are no arrays.
        let text = matches!(PgType::of_field(field).name, TypeName::Text | TypeName::Varchar | TypeName::Unknown);
        let list = || match types[at] == DataType::Utf8 && text && self.takes_list(at) {
            true => {
                let wanted = self.wanted(&types).swap_remove(at);
                Arc::new(PgType::of_arrow(&wanted).field(field.name(), true).with_data_type(wanted))
            }
            false => Arc::new(field.as_ref().clone().with_data_type(types[at].clone())),
        };
        match wants.get(at).or(wants.last()) {
            Some(Want::Type(name)) if takes_numbers(*name, field.data_type()) => {
                Arc::new(PgType::new(*name).field(field.name(), true))
            }
            Some(Want::Array | Want::Element) => match with_numerics(wants, &types).and_then(|types| types.get(at).cloned()) {
                Some(ty) if ty != types[at] => Arc::new(PgType::of_arrow(&ty).field(field.name(), true).with_data_type(ty)),
                _ => list(),
            },
            Some(Want::Texts | Want::Integers) => list(),
            _ => Arc::clone(field),
        }
    }

    fn undefined(&self, args: &[DataType]) -> SqlError {
        let types: Vec<String> = args.iter().map(|t| PgType::of_arrow(t).sql_name()).collect();
        SqlError::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("function {}({}) does not exist", self.function.name, types.join(", ")),
        )
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
    }
}

impl std::fmt::Debug for Defined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for Defined {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Defined {}

impl Hash for Defined {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Defined {
    fn name(&self) -> &str {
        self.function.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> datafusion::common::Result<Vec<DataType>> {
        let wants = self.function.wants;
        let least = wants.len() - self.function.optional;
        if args.len() < least || (args.len() > wants.len() && !self.function.variadic) {
            return Err(external(self.undefined(args)));
        }
        let given = args;
        let args = &args.iter().enumerate().map(|arg| self.listed(arg)).collect::<Vec<_>>()[..];
        let coerced = self.wanted(args);
        if self.function.scalar && given.iter().any(|ty| nested::item_of(ty).is_some()) {
            return Err(external(self.undefined(given)));
        }
        if !args.iter().zip(&coerced).all(|(from, to)| implicit(from, to)) {
            return Err(external(self.undefined(given)));
        }
        // Lists are the body's affair, and texts are read as arrays when the function is called: Arrow has no such cast.
        let whole = |(at, wanted): (usize, DataType)| match &args[at] {
            have if *have == wanted => given[at].clone(),
            DataType::Utf8 | DataType::Null if self.takes_list(at) => DataType::Utf8,
            _ if self.takes_list(at) => nested::carried(&wanted),
            _ => wanted,
        };
        Ok(coerced.into_iter().enumerate().map(whole).collect())
    }

    fn return_type(&self, args: &[DataType]) -> datafusion::common::Result<DataType> {
        match self.function.returns {
            Returns::Fixed(ty) => Ok(ty.arrow()),
            Returns::Arrow(arrow) => {
                let args: Vec<DataType> = args.iter().enumerate().map(|arg| self.listed(arg)).collect();
                let result = arrow(&args).map_err(external)?;
                Ok(if self.function.lists { result } else { nested::carried(&result) })
            }
            Returns::Computed(_) | Returns::Field(_) => {
                Err(DataFusionError::Internal("the result's type depends on the arguments' fields".into()))
            }
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> datafusion::common::Result<FieldRef> {
        let fields: Vec<FieldRef> = args.arg_fields.iter().map(|f| self.brought_field(f, args.arg_fields)).collect();
        let args = ReturnFieldArgs { arg_fields: &fields, ..args };
        let field = match self.function.returns {
            Returns::Fixed(ty) => ty.field(self.function.name, true),
            Returns::Computed(compute) => {
                let types: Vec<PgType> = args.arg_fields.iter().map(|f| PgType::of_field(f)).collect();
                compute(&types, args.scalar_arguments).map_err(external)?.field(self.function.name, true)
            }
            Returns::Arrow(arrow) => {
                let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
                Field::new(self.function.name, arrow(&types).map_err(external)?, true)
            }
            Returns::Field(compute) => {
                let types: Vec<PgType> = args.arg_fields.iter().map(|f| PgType::of_field(f)).collect();
                let arrow: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
                compute(&types, &arrow, args.scalar_arguments).map_err(external)?
            }
        };
        Ok(Arc::new(self.carried(field)))
    }

    /// Without bounds, but of the result's type: a function around this one that compares its bounds with zero
    /// (`abs`) fails on the default, an interval of no type, and with it the order it is sorted by.
    fn evaluate_bounds(&self, inputs: &[&Interval]) -> datafusion::common::Result<Interval> {
        let arrow: Vec<DataType> = inputs.iter().map(|input| input.data_type()).collect();
        let arrow: Vec<DataType> = arrow.iter().enumerate().map(|arg| self.listed(arg)).collect();
        let types: Vec<PgType> = arrow.iter().map(PgType::of_arrow).collect();
        let constants = vec![None; types.len()];
        let result = match self.function.returns {
            Returns::Fixed(ty) => Ok(ty.arrow()),
            Returns::Arrow(of) => of(&arrow),
            Returns::Computed(of) => of(&types, &constants).map(PgType::arrow),
            Returns::Field(of) => of(&types, &arrow, &constants).map(|field| field.data_type().clone()),
        };
        let result = result.map(|arrow| if self.function.lists { arrow } else { nested::carried(&arrow) });
        Interval::make_unbounded(&result.unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let volatile = self.function.volatility == Volatility::Volatile;
        let constant = !volatile && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>, _>>()?;
        self.read_arrays(&mut arrays, zone(&args.config_options)).map_err(external)?;
        let bounds = self.taken_apart(&mut arrays).map_err(external)?;
        let arrays = self.brought(arrays).map_err(external)?;
        let types = args.arg_fields.iter().map(|f| PgType::of_field(&self.brought_field(f, &args.arg_fields))).collect();
        let carried = !self.function.lists && nested::item_of(args.return_field.data_type()).is_some();
        let listed = || args.return_field.as_ref().clone().with_data_type(nested::listed(args.return_field.data_type()));
        let returns = if carried { Arc::new(listed()) } else { Arc::clone(&args.return_field) };
        let call = Call { args: arrays, types, rows, returns, options: &args.config_options, bounds };
        let mut result = (self.function.body)(&call).map_err(external)?;
        if carried {
            result = nested::carrying(result).map_err(external)?;
        }
        if constant {
            return Ok(ColumnarValue::Scalar(scalar_at(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// Whether a number of this type is brought to one of that name by us and not by Arrow.
fn takes_numbers(name: TypeName, have: &DataType) -> bool {
    match name {
        TypeName::Numeric => is_exact(have) && *have != ARROW,
        TypeName::Float4 | TypeName::Float8 => *have == ARROW,
        _ => false,
    }
}

/// The types of a call's arrays and elements where one of them is of numerics that show their own digits, and so all
/// numbers among them become such.
fn with_numerics(wants: &[Want], args: &[DataType]) -> Option<Vec<DataType>> {
    let involved = |i: usize| matches!(wants.get(i).or(wants.last()), Some(Want::Array | Want::Element));
    let element = |ty: &DataType| if let DataType::List(item) = ty { item.data_type().clone() } else { ty.clone() };
    let mut parts = args.iter().enumerate().filter(|(i, _)| involved(*i));
    let mixed = is_mixed(parts.clone().map(|(_, ty)| element(ty)).collect::<Vec<_>>().iter());
    if !(mixed || parts.clone().any(|(_, ty)| element(ty) == ARROW)) || !parts.all(|(_, ty)| is_exact(&element(ty))) {
        return None;
    }
    let numeric = PgType::new(TypeName::Numeric);
    let brought = |(i, ty): (usize, &DataType)| match ty {
        DataType::List(_) if involved(i) => nested::listed(&numeric.array_of().arrow()),
        _ if involved(i) => numeric.arrow(),
        _ => ty.clone(),
    };
    Some(args.iter().enumerate().map(brought).collect())
}

fn item_type(list: &DataType) -> DataType {
    match list {
        DataType::List(item) => item.data_type().clone(),
        _ => DataType::Null,
    }
}

/// The element that a call's arrays and elements have in common: of the arrays' element types and the values' types
/// the widest.
fn common_element(wants: &[Want], args: &[DataType]) -> Option<FieldRef> {
    let mut common: Option<FieldRef> = None;
    let mut wider = |field: &FieldRef| {
        let better = match &common {
            None => true,
            Some(have) => {
                have.data_type().is_null()
                    || (have.data_type() != field.data_type()
                        && *field.data_type() != DataType::Utf8
                        && (*have.data_type() == DataType::Utf8 || implicit(have.data_type(), field.data_type())))
            }
        };
        if better && !field.data_type().is_null() {
            common = Some(Arc::clone(field));
        }
    };
    for (want, arg) in wants.iter().zip(args) {
        match (want, arg) {
            (Want::Array, DataType::List(item)) => wider(item),
            (Want::Element, arg) if !matches!(arg, DataType::Utf8 | DataType::Null | DataType::LargeList(_)) => {
                wider(&Arc::new(PgType::of_arrow(arg).field("item", true).with_data_type(arg.clone())));
            }
            _ => {}
        }
    }
    common.or_else(|| Some(Arc::new(PgType::TEXT.field("item", true))))
}

/// A value of an array. A list keeps the type that its elements say they have, which DataFusion's own way drops.
pub fn scalar_at(array: &ArrayRef, row: usize) -> datafusion::common::Result<ScalarValue> {
    if let Some(lists) = array.as_list_opt::<i32>() {
        return Ok(ScalarValue::List(Arc::new(lists.slice(row, 1))));
    }
    match array.as_list_opt::<i64>() {
        Some(arrays) => Ok(ScalarValue::LargeList(Arc::new(arrays.slice(row, 1)))),
        None => ScalarValue::try_from_array(array, row),
    }
}

/// Whether PostgreSQL would cast an argument so by itself: text literals to anything, numbers upwards.
fn implicit(from: &DataType, to: &DataType) -> bool {
    let rank = |t: &DataType| match t {
        DataType::Int16 => Some(1),
        DataType::Int32 => Some(2),
        DataType::Int64 => Some(3),
        DataType::Decimal128(..) | DataType::LargeBinary => Some(4),
        DataType::Float32 => Some(5),
        DataType::Float64 => Some(6),
        _ => None,
    };
    if from == to || matches!(from, DataType::Null | DataType::Utf8) {
        return true;
    }
    match (from, to) {
        // Literals come as int8 where the planner had no better idea; the cast checks the range.
        (DataType::Int64, DataType::Int32) => true,
        (DataType::Date32, DataType::Timestamp(..)) | (DataType::Timestamp(..), DataType::Timestamp(..)) => true,
        (DataType::List(from), DataType::List(to)) => {
            let (from, to) = (from.data_type(), to.data_type());
            from == to || from.is_null() || (*from != DataType::Utf8 && implicit(from, to))
        }
        (from, to) => matches!((rank(from), rank(to)), (Some(a), Some(b)) if a <= b),
    }
}
