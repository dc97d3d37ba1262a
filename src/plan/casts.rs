//! Casts that mean in PostgreSQL what Arrow does not do: text read and printed by PostgreSQL's rules, values
//! rounded and refused as it does, zones taken from the session.
//!
//! An analyzer rule, run after type coercion, replaces such casts, written or implied, by a call of `pg_cast`;
//! what Arrow does alike stays a plain cast, so that filters are still pushed down.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Cast, InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF, lit};
use datafusion::optimizer::AnalyzerRule;

use super::catalog::names::Names;
use super::domains::domain_call;
use super::functions::ambient::{external, statement};
use super::functions::define::{Call, Function, Returns, Want};
use super::type_planner::DOMAIN;
use crate::error::{Result, SqlError, SqlState};
use crate::types::calendar::{MICROS_PER_DAY, day_of, is_infinite, midnight, split};
use crate::types::complaint::{bad_syntax, out_of_range};
use crate::types::encode::Column;
use crate::types::nested::Parts;
use crate::types::numeric::Numeric;
use crate::types::numeric::column::Numbers;
use crate::types::plain::{Fit, fit_text};
use crate::types::precision::rounded_column;
use crate::types::text::{null_of, scalar_from_text_as};
use crate::types::{PgType, TypeName, UserType, Written, Zone, json, numeric, written};

/// The name of the function that casts are replaced by.
pub const PG_CAST: &str = "pg_cast";

/// `pg_cast(value, type's tag, modifier)`.
pub fn function() -> Function {
    const WANTS: &[Want] = &[Want::Any, Want::Any, Want::Any];
    // Stable: text of timestamptz depends on the session's zone.
    Function::new(PG_CAST, WANTS, Returns::Field(result), run).stable()
}

fn result(types: &[PgType], _: &[DataType], values: &[Option<&ScalarValue>]) -> Result<Field> {
    let to = target(types, values)?;
    Ok(to.field(PG_CAST, true))
}

fn target(_: &[PgType], values: &[Option<&ScalarValue>]) -> Result<PgType> {
    match values {
        [_, Some(ScalarValue::Utf8(Some(name))), Some(ScalarValue::Int32(Some(modifier)))] => {
            let ty = PgType::from_tag(name).ok_or_else(|| SqlError::internal("a cast to an unknown type"))?;
            Ok(ty.with_modifier(*modifier))
        }
        _ => Err(SqlError::internal("a cast without its type")),
    }
}

fn run(call: &Call<'_>) -> Result<ArrayRef> {
    let (array, from, to) = (&call.args[0], call.types[0], PgType::of_field(&call.returns));
    // A vector of the catalogue is an array when it is made something else.
    if let (Some(element), true) = (from.name.vector_of(), to != from && !is_text(to)) {
        let cast = cast_array(array, PgType::new(element).array_of(), to, call.zone())?;
        let Some(parts) = Parts::of(&cast) else { return Ok(cast) };
        let bounds = (0..call.rows).map(|row| Some(vec![(0, parts.lists.value_length(row))])).collect();
        return Parts { lists: parts.lists, bounds: Some(bounds) }.put_together();
    }
    if from.name.is_reg() && is_text(to.element()) {
        let ctx = statement(call.options)?;
        let (catalogue, path) = (ctx.catalogue(), ctx.effective_path());
        let named = Names { catalogue: &catalogue, path: &path }.with_names(from.name, array);
        return through_text(&named, from, to, call.zone());
    }
    if to.name.is_reg() && !to.array && is_text(from) {
        let ctx = statement(call.options)?;
        let (catalogue, path) = (ctx.catalogue(), ctx.effective_path());
        let names = Names { catalogue: &catalogue, path: &path };
        return call
            .map::<i64, Int64Array>(|row| call.text(0, row).map(|text| names.read(to.name, text).map(i64::from)).transpose());
    }
    cast_array(array, from, to, call.zone())
}

/// Casts in the plan are made PostgreSQL's: those that were written and, run once more, those that coercion adds.
#[derive(Debug)]
pub struct PostgresCasts {
    cast: Arc<ScalarUDF>,
}

impl Default for PostgresCasts {
    fn default() -> Self {
        Self { cast: function().udf() }
    }
}

impl AnalyzerRule for PostgresCasts {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> datafusion::common::Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.rewrite_node(plan)).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "postgres_casts"
    }
}

impl PostgresCasts {
    fn rewrite_node(&self, plan: LogicalPlan) -> datafusion::common::Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
        }
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|e| self.rewrite_expr(e, &schema))?.update_data(|e| name.restore(e)))
        })?;
        if rewritten.transformed { rewritten.map_data(|plan| plan.recompute_schema()) } else { Ok(rewritten) }
    }

    fn rewrite_expr(&self, expr: Expr, schema: &DFSchema) -> datafusion::common::Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(cast) => self.rewrite_cast(cast, schema),
            Expr::InList(list) => Ok(self.rewrite_list(list, schema)),
            other => Ok(Transformed::no(other)),
        }
    }

    fn rewrite_cast(&self, cast: Cast, schema: &DFSchema) -> datafusion::common::Result<Transformed<Expr>> {
        let to = PgType::of_field(&cast.field);
        if let Some(domain) = cast.field.metadata().get(DOMAIN).and_then(|id| id.parse().ok()) {
            let plain = Cast::new_from_field(cast.expr, Arc::new(to.field("", true)));
            let value = self.rewrite_cast(plain, schema)?.data;
            return Ok(Transformed::yes(domain_call(value, domain)));
        }
        // Outer columns and untyped parameters have no type here; a later pass over the bound plan sees them.
        let Ok((_, field)) = cast.expr.to_field(schema) else { return Ok(Transformed::no(Expr::Cast(cast))) };
        let from = PgType::of_field(&field);
        let unsigned = *field.data_type() == DataType::UInt64;
        // A numeric keeps its digits only where it has the form that is wanted.
        let digits = to.name == TypeName::Numeric && *field.data_type() != to.arrow();
        if to.arrow() != *cast.field.data_type() || (is_arrows(from, to) && !unsigned && !digits) {
            return Ok(Transformed::no(Expr::Cast(cast)));
        }
        if let (Expr::Literal(ScalarValue::Utf8(Some(text)), None), true) = (cast.expr.as_ref(), is_text(from) && is_constant(to))
        {
            let value = scalar_from_text_as(to, text, Zone::UTC, Fit::Cast).map_err(external)?;
            let metadata = FieldMetadata::from(to.field("", true).metadata().clone());
            return Ok(Transformed::yes(Expr::Literal(value, Some(metadata))));
        }
        Ok(Transformed::yes(self.call(*cast.expr, to)))
    }

    /// In `uuid_column IN ('A0…')` the texts are uuids, which coercion cannot know; and times and floats meet as the
    /// operators have it.
    fn rewrite_list(&self, mut list: InList, schema: &DFSchema) -> Transformed<Expr> {
        let is_text = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Utf8(Some(_)), None));
        let own = |e: &Expr| e.to_field(schema).ok().filter(|_| !is_text(e)).map(|(_, f)| PgType::of_field(&f));
        let Some(ty) = own(&list.expr).filter(|ty| !ty.array) else { return Transformed::no(Expr::InList(list)) };
        let others: Vec<PgType> = list.list.iter().filter_map(own).collect();
        let Some(to) = compared_in_list(ty, &others) else { return Transformed::no(Expr::InList(list)) };
        let mut changed = false;
        let all = std::iter::once(list.expr.as_mut()).chain(&mut list.list);
        for item in all {
            let is_other = own(item).is_some_and(|ty| ty.name != to.name && ty.name != TypeName::Void);
            if is_text(item) || is_other {
                *item = self.call(std::mem::take(item), to);
                changed = true;
            }
        }
        Transformed::new_transformed(Expr::InList(list), changed)
    }

    fn call(&self, value: Expr, to: PgType) -> Expr {
        let args = vec![value, lit(to.tag()), lit(to.modifier)];
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&self.cast), args))
    }
}

/// What a value of this type and the items of a list of these are compared as, where coercion would not do.
fn compared_in_list(ty: PgType, others: &[PgType]) -> Option<PgType> {
    use TypeName::{Date, Float4, Float8, Interval, Jsonb, Numeric, Time, Timestamp, Timestamptz, Uuid};
    let all = || std::iter::once(&ty).chain(others).filter(|ty| ty.name != TypeName::Void);
    if all().all(|ty| !ty.array && matches!(ty.name, Date | Timestamp | Timestamptz)) {
        let widest = [Timestamptz, Timestamp, Date].into_iter().find(|name| all().any(|ty| ty.name == *name));
        return widest.map(PgType::new);
    }
    let has_numeric = others.iter().any(|ty| ty.name == Numeric);
    if has_numeric && all().all(|ty| !ty.array && matches!(ty.name, Float4 | Float8 | Numeric)) && ty.name != Numeric {
        return Some(PgType::new(Float8));
    }
    matches!(ty.name, Uuid | Jsonb | Time | Interval)
        .then(|| ty.with_modifier(-1))
        .filter(|_| others.iter().all(|o| o.name == ty.name))
}

/// A call of `pg_cast`.
pub(super) fn cast_call(value: Expr, to: PgType) -> Expr {
    PostgresCasts::default().call(value, to)
}

/// Whether a text means the same value of the type in every session.
fn is_constant(to: PgType) -> bool {
    let in_zone = to.name.written().is_some_and(Written::depends_on_zone);
    !to.name.is_reg() && to.name != TypeName::Timestamptz && !in_zone
}

fn is_text(ty: PgType) -> bool {
    !ty.array && matches!(ty.name, TypeName::Text | TypeName::Varchar | TypeName::Name | TypeName::Unknown | TypeName::Bpchar)
}

/// Whether Arrow's cast is what PostgreSQL would do.
fn is_arrows(from: PgType, to: PgType) -> bool {
    use TypeName::{Bool, Float4, Float8, Int2, Int4, Int8, Interval, Oid, Void};
    if from.name == Void {
        return true;
    }
    if from.array || to.array {
        // An array is another only where its items are.
        return from.array && to.array && from.arrow() == to.arrow();
    }
    if is_text(to) && to.modifier == -1 && matches!(to.name, TypeName::Text | TypeName::Varchar | TypeName::Unknown) {
        // The others would keep their own type under Arrow's cast, which has nothing to do.
        return matches!(from.name, TypeName::Text | TypeName::Varchar | TypeName::Unknown) && !from.array;
    }
    if from.name == to.name {
        let decimals = to.numeric_precision().is_some() && from.arrow() == to.arrow();
        return to.modifier == -1 || to.modifier == from.modifier || decimals;
    }
    matches!(
        (from.name, to.name),
        (Int2, Int4 | Int8 | Float4 | Float8 | Oid)
            | (Int4, Int8 | Float4 | Float8 | Bool)
            | (Int8, Float4 | Float8 | Oid)
            | (Float4, Float8)
            | (Bool, Int4)
            | (Interval, Interval)
    ) || (from.name.is_reg() && matches!(to.name, Oid | Int8))
        || (to.name.is_reg() && from.name == Oid)
        || (from.name.is_reg() && to.name.is_reg())
}

/// Every value of the array as `to`, by PostgreSQL's rules for an explicit cast. 42846 where there is none.
pub fn cast_array(array: &ArrayRef, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    use TypeName::{Date, Float4, Float8, Int2, Int4, Int8, Json, Jsonb, Numeric, Time, Timestamp, Timestamptz};
    if to.time_precision().is_some() && !to.array {
        let plain = if from.with_modifier(-1) == to.with_modifier(-1) {
            Arc::clone(array)
        } else {
            cast_array(array, from, to.with_modifier(-1), zone)?
        };
        return Ok(rounded_column(to, &plain));
    }
    if *array.data_type() == DataType::UInt64 {
        let wide = datafusion::arrow::compute::cast(array, &DataType::Decimal128(20, 0)).map_err(|_| out_of_range("bigint"))?;
        return cast_array(&wide, PgType::new(TypeName::Numeric), to, zone);
    }
    let as_text = to == PgType::TEXT && matches!(from.name, TypeName::Name | TypeName::Uuid | TypeName::Json | TypeName::Jsonb);
    if as_text && !from.array {
        return Ok(Arc::clone(array));
    }
    if from.name == TypeName::Void || array.null_count() == array.len() {
        return Ok(new_null_array(&to.arrow(), array.len()));
    }
    if let (TypeName::Enum(_), false, true) = (from.name, from.array, to == PgType::TEXT) {
        return Ok(Arc::clone(array));
    }
    if from.array && to.array {
        let parts = Parts::of(array).ok_or_else(|| no_cast(from, to))?;
        return each_element(parts, from, to, zone);
    }
    if is_text(from) || is_text(to) {
        return through_text(array, from, to, zone);
    }
    if from.array || to.array {
        return Err(no_cast(from, to));
    }
    if let (TypeName::Record | TypeName::Composite(_), TypeName::Composite(user)) = (from.name, to.name) {
        return rows(array, from, to, user, zone);
    }
    if from.name.written().is_some() || to.name.written().is_some() {
        return written_cast(array, from, to, zone);
    }
    let beyond = || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    match (from.name, to.name) {
        // An oid is kept as the integer that it is; only the type is another.
        (TypeName::Oid, Int8) => Ok(Arc::clone(array)),
        (Float4 | Float8, Int2 | Int4 | Int8) => float_to_int(array, from, to),
        (Numeric, Int2 | Int4 | Int8) => {
            let values = Numbers::new(array)?;
            let name = PgType::new(to.name).sql_name();
            let whole = values.iter().map(|n| n.map(|n| n.to_integer(&name)).transpose()).collect::<Result<Vec<_>>>()?;
            integers(array, to, |i| whole.get(i).copied().flatten())
        }
        (Int2 | Int4 | Int8, Int2 | Int4 | Int8) => narrow(array, to),
        (Int2 | Int4 | Int8 | Float4 | Float8 | Numeric, Numeric) => numeric::cast::to_numeric(array, to),
        (Numeric, Float4 | Float8) => numeric::cast::to_float(array, to),
        (Float8, Float4) => {
            let narrow = |x: f64| {
                let narrow = x as f32;
                if narrow.is_infinite() && x.is_finite() {
                    return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
                }
                if narrow == 0.0 && x != 0.0 {
                    return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow"));
                }
                Ok(narrow)
            };
            let values = array.as_primitive::<Float64Type>();
            let narrowed = values.iter().map(|x| x.map(narrow).transpose()).collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(narrowed.into_iter().collect::<datafusion::arrow::array::Float32Array>()))
        }
        (Timestamptz, Timestamp) => timestamps(array, None, |t| zone.local(t)),
        (Timestamp, Timestamptz) => timestamps(array, Some("UTC"), |t| zone.instant(t)),
        (Date, Timestamptz) => {
            let days = array.as_primitive::<Date32Type>();
            let one = |d| midnight(d).and_then(|t| zone.instant(t)).ok_or_else(beyond);
            let instants = days.iter().map(|d| d.map(one).transpose()).collect::<Result<TimestampMicrosecondArray>>()?;
            Ok(Arc::new(instants.with_timezone("UTC")))
        }
        (Date, Timestamp) => {
            let days = array.as_primitive::<Date32Type>();
            let times = days.iter().map(|d| d.map(|d| midnight(d).ok_or_else(beyond)).transpose());
            Ok(Arc::new(times.collect::<Result<TimestampMicrosecondArray>>()?))
        }
        (Timestamp | Timestamptz, Date) => {
            let zone = if from.name == Timestamp { Zone::UTC } else { zone };
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let days = times.iter().map(|t| t.and_then(|t| zone.local(t)).map(day_of));
            Ok(Arc::new(days.collect::<Date32Array>()))
        }
        (Timestamp | Timestamptz, Time) => {
            let zone = if from.name == Timestamp { Zone::UTC } else { zone };
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let times = times.iter().map(|t| t.filter(|t| !is_infinite(*t)).and_then(|t| zone.local(t)).map(|t| split(t).1));
            Ok(Arc::new(times.collect::<datafusion::arrow::array::Time64MicrosecondArray>()))
        }
        (Jsonb, TypeName::Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric) => from_jsonb(array, to, zone),
        (Json | Jsonb, Json | Jsonb) => through_text(array, from, to, zone),
        (a, b) if a == b => through_text(array, from, to, zone),
        (a, b) if (a.is_oid() || b.is_oid()) && from.arrow().is_integer() && to.arrow().is_integer() => narrow(array, to),
        (Time, TypeName::Interval) => {
            let times = array.as_primitive::<Time64MicrosecondType>();
            let spans = times.iter().map(|t| t.map(|t| IntervalMonthDayNano::new(0, 0, t * 1000)));
            Ok(Arc::new(spans.collect::<IntervalMonthDayNanoArray>()))
        }
        (TypeName::Interval, Time) => {
            let spans = array.as_primitive::<IntervalMonthDayNanoType>();
            let times = spans.iter().map(|i| i.map(|i| (i.nanoseconds / 1000).rem_euclid(MICROS_PER_DAY)));
            Ok(Arc::new(times.collect::<datafusion::arrow::array::Time64MicrosecondArray>()))
        }
        (TypeName::Bool, Int4) | (Int4, TypeName::Bool) => {
            datafusion::arrow::compute::cast(array, &to.arrow()).map_err(|_| no_cast(from, to))
        }
        _ if is_arrows(from, to) => datafusion::arrow::compute::cast(array, &to.arrow()).map_err(|_| no_cast(from, to)),
        _ => Err(no_cast(from, to)),
    }
}

/// Casts from and to types that are carried as their text.
fn written_cast(array: &ArrayRef, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    use TypeName::{Int2, Int4, Int8, Numeric, Time, Timestamptz};
    use Written::{Bit, Box, Cidr, Circle, Inet, Lseg, Macaddr, Macaddr8, Money, Path, Point, Polygon, Timetz, Varbit};
    let column = Column::new(from, array, zone)?;
    let texts = |one: &dyn Fn(&str) -> Result<Option<String>>| -> Result<ArrayRef> {
        let mut out = datafusion::arrow::array::StringBuilder::new();
        let mut text = String::new();
        for row in 0..array.len() {
            text.clear();
            if column.is_null(row) {
                out.append_null();
                continue;
            }
            column.write_text(row, &mut text);
            out.append_option(one(&text)?);
        }
        Ok(Arc::new(out.finish()))
    };
    let in_zone = |t: i64| Zone::Fixed(zone.offset_at(t));
    match (from.name, to.name) {
        (a, b) if a == b && from.modifier == to.modifier => Ok(Arc::clone(array)),
        (TypeName::Written(Inet), TypeName::Written(Cidr)) => {
            texts(&|text| Ok(Some(written::network::Net::parse(text)?.network().full())))
        }
        (TypeName::Written(Cidr), TypeName::Written(Inet))
        | (TypeName::Written(Bit | Varbit), TypeName::Written(Bit | Varbit))
        | (TypeName::Written(Macaddr), TypeName::Written(Macaddr8)) => through_text(array, from, to, zone),
        (TypeName::Written(Money), Numeric) => {
            let numbers = texts(&|text| {
                let cents = written::money::parse(text)?;
                Ok(Some(numeric::Numeric::of_i128(cents.into(), 2).to_string()))
            })?;
            through_text(&numbers, PgType::TEXT, to, zone)
        }
        (Int2 | Int4 | Int8 | Numeric, TypeName::Written(Money)) => {
            texts(&|text| written::money::parse(text).map(|cents| Some(written::money::write(cents))))
        }
        (Int4 | Int8, TypeName::Written(Bit)) => {
            let width = usize::try_from(to.modifier).unwrap_or(1);
            let sign = if from.name == Int4 { 32 } else { 64 };
            texts(&|text| {
                let n: i64 = text.parse().map_err(|_| out_of_range("bigint"))?;
                let bit = |at: usize| if n >> at.min(sign - 1) & 1 == 1 { '1' } else { '0' };
                Ok(Some((0..width).rev().map(bit).collect()))
            })
        }
        (TypeName::Written(Bit), Int4 | Int8) => {
            let most = if to.name == Int4 { 32 } else { 64 };
            let numbers = texts(&|text| {
                if text.len() > most {
                    return Err(out_of_range(&PgType::new(to.name).sql_name()));
                }
                let n = u64::from_str_radix(text, 2).unwrap_or_default();
                Ok(Some(if most == 32 { (n as u32 as i32).to_string() } else { (n as i64).to_string() }))
            })?;
            through_text(&numbers, PgType::TEXT, to, zone)
        }
        (TypeName::Written(Timetz), Time) => {
            let times = array.as_string::<i32>().iter();
            let micros = times.map(|t| t.map(|t| Ok(written::clock::Clock::parse(t)?.micros)).transpose());
            Ok(Arc::new(micros.collect::<Result<datafusion::arrow::array::Time64MicrosecondArray>>()?))
        }
        (Time, TypeName::Written(Timetz)) => texts(&|text| written::clock::read(text, zone).map(Some)),
        (Timestamptz, TypeName::Written(Timetz)) => {
            let times = array.as_primitive::<TimestampMicrosecondType>().iter();
            let clock = |t: i64| {
                let Zone::Fixed(east) = in_zone(t) else { return None };
                let micros = split(zone.local(t)?).1;
                (!is_infinite(t)).then(|| written::clock::Clock { micros, east }.write())
            };
            Ok(Arc::new(times.map(|t| t.and_then(clock)).collect::<datafusion::arrow::array::StringArray>()))
        }
        (TypeName::Written(Lseg | Path | Box | Polygon | Circle | Point), TypeName::Written(_)) => {
            let hint = "Make the other shape from its parts.";
            Err(SqlError::unsupported(format!("{} is not supported", no_cast(from, to).message()), hint))
        }
        _ => Err(no_cast(from, to)),
    }
}

fn no_cast(from: PgType, to: PgType) -> SqlError {
    let message = format!("cannot cast type {} to {}", from.sql_name(), to.with_modifier(-1).sql_name());
    SqlError::new(SqlState::CANNOT_COERCE, message)
}

/// Rows as those of a user's type, field by field.
fn rows(array: &ArrayRef, from: PgType, to: PgType, user: UserType, zone: Zone) -> Result<ArrayRef> {
    let (Some(rows), DataType::Struct(wanted)) = (array.as_struct_opt(), to.arrow()) else { return Err(no_cast(from, to)) };
    let fields = user.fields();
    if rows.columns().len() != fields.len() {
        let detail =
            if rows.columns().len() < fields.len() { "Input has too few columns." } else { "Input has too many columns." };
        return Err(no_cast(from, to).detail(detail));
    }
    let values = rows.fields().iter().zip(rows.columns()).zip(fields);
    let values = values.map(|((field, values), (_, ty))| {
        let have = PgType::of_field(field);
        if have == *ty && *values.data_type() == ty.arrow() {
            Ok(Arc::clone(values))
        } else {
            cast_array(values, have, *ty, zone)
        }
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    let rows = StructArray::try_new(wanted, values, rows.nulls().cloned());
    rows.map(|rows| Arc::new(rows) as ArrayRef).map_err(|_| SqlError::internal("values do not fit the fields of their type"))
}

/// Arrays by their elements; the bounds stay.
fn each_element(parts: Parts, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    let Parts { lists, bounds } = parts;
    let offsets = lists.offsets();
    let first = usize::try_from(offsets[0]).unwrap_or_default();
    let values = lists.values().slice(first, offsets.lengths().sum());
    let (of, element) = (from.element(), to.element());
    let carried_so = *values.data_type() == element.arrow();
    let same = carried_so && of.name == element.name && (element.modifier == -1 || of.modifier == element.modifier);
    let values = match same {
        true => values,
        false if is_arrows(of, element) && !carried_so => {
            datafusion::arrow::compute::cast(&values, &element.arrow()).map_err(|_| no_cast(from, to))?
        }
        false if is_arrows(of, element) => values,
        false => cast_array(&values, of, element, zone)
            .map_err(|e| if e.code() == SqlState::CANNOT_COERCE { no_cast(from, to) } else { e })?,
    };
    let item = Arc::new(element.field("item", true));
    let cast = ListArray::try_new(item, OffsetBuffer::from_lengths(offsets.lengths()), values, lists.nulls().cloned());
    let lists = cast.map_err(|_| SqlError::internal("elements do not fit their array"))?;
    Parts { lists, bounds }.put_together()
}

/// Prints each value and reads it again as the other type.
fn through_text(array: &ArrayRef, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    let column = Column::new(from, array, zone)?;
    let plain_text = is_text(to) && !to.array;
    let mut text = String::new();
    let mut texts = datafusion::arrow::array::StringBuilder::new();
    let mut values = Vec::new();
    for row in 0..array.len() {
        let null = column.is_null(row);
        text.clear();
        if !null {
            column.write_text(row, &mut text);
            if from.name == TypeName::Bool && !from.array && plain_text {
                text = if text == "t" { "true".to_owned() } else { "false".to_owned() };
            }
            // An address as text has its prefix in any case.
            if from == PgType::new(TypeName::Written(Written::Inet)) && plain_text && !text.contains('/') {
                text.push_str(if text.contains(':') { "/128" } else { "/32" });
            }
            if from.name == TypeName::Bpchar && !from.array && to.name != TypeName::Bpchar {
                text.truncate(text.trim_end_matches(' ').len());
            }
        }
        match (plain_text, null) {
            (true, true) => texts.append_null(),
            (true, false) => texts.append_value(fit_text(to, &text, Fit::Cast)?),
            (false, true) => values.push(null_of(to)?),
            (false, false) => values.push(scalar_from_text_as(to, &text, zone, Fit::Cast)?),
        }
    }
    if plain_text {
        return Ok(Arc::new(texts.finish()));
    }
    ScalarValue::iter_to_array(values).map_err(|_| SqlError::internal("values of a cast are of several types"))
}

fn float_to_int(array: &ArrayRef, from: PgType, to: PgType) -> Result<ArrayRef> {
    let float = |i: usize| match from.name {
        TypeName::Float4 => f64::from(array.as_primitive::<Float32Type>().value(i)),
        _ => array.as_primitive::<Float64Type>().value(i),
    };
    integers(array, to, |i| {
        let rounded = float(i).round_ties_even();
        // Within ±2^63 the conversion is exact; NaN fails the comparison.
        (rounded.abs() <= 9_223_372_036_854_775_808.0).then_some(rounded as i128)
    })
}

fn narrow(array: &ArrayRef, to: PgType) -> Result<ArrayRef> {
    let wide =
        datafusion::arrow::compute::cast(array, &DataType::Int64).map_err(|_| SqlError::internal("an integer that is none"))?;
    let wide = wide.as_primitive::<datafusion::arrow::datatypes::Int64Type>().clone();
    integers(array, to, |i| Some(i128::from(wide.value(i))))
}

/// Builds integers of `to`; 22003 for those that do not fit.
fn integers(array: &ArrayRef, to: PgType, value: impl Fn(usize) -> Option<i128>) -> Result<ArrayRef> {
    let name = PgType::new(to.name).sql_name();
    let fit = |i: usize, min: i128, max: i128| -> Result<Option<i64>> {
        if array.is_null(i) {
            return Ok(None);
        }
        let n = value(i).filter(|n| (min..=max).contains(n)).ok_or_else(|| out_of_range(&name))?;
        Ok(Some(n as i64))
    };
    let all = |min: i128, max: i128| (0..array.len()).map(|i| fit(i, min, max)).collect::<Result<Vec<Option<i64>>>>();
    Ok(match to.name {
        TypeName::Int2 => {
            let values = all(i16::MIN.into(), i16::MAX.into())?;
            Arc::new(values.into_iter().map(|n| n.map(|n| n as i16)).collect::<datafusion::arrow::array::Int16Array>())
        }
        TypeName::Int4 => {
            let values = all(i32::MIN.into(), i32::MAX.into())?;
            Arc::new(values.into_iter().map(|n| n.map(|n| n as i32)).collect::<datafusion::arrow::array::Int32Array>())
        }
        _ => Arc::new(all(i64::MIN.into(), i64::MAX.into())?.into_iter().collect::<datafusion::arrow::array::Int64Array>()),
    })
}

fn timestamps(array: &ArrayRef, zone: Option<&str>, shift: impl Fn(i64) -> Option<i64>) -> Result<ArrayRef> {
    let values = array.as_primitive::<TimestampMicrosecondType>();
    let out_of_range = || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    let one = |t: i64| shift(t).ok_or_else(out_of_range);
    let shifted = values.iter().map(|t| t.map(one).transpose()).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(shifted.into_iter().collect::<TimestampMicrosecondArray>().with_timezone_opt(zone)))
}

fn from_jsonb(array: &ArrayRef, to: PgType, zone: Zone) -> Result<ArrayRef> {
    let texts = array.as_string::<i32>();
    let values = (0..texts.len()).map(|row| {
        if texts.is_null(row) {
            return null_of(to);
        }
        let text = texts.value(row);
        let kind = json::kind(text);
        let wanted = if to.name == TypeName::Bool { json::Kind::Bool } else { json::Kind::Number };
        if kind != wanted {
            let message = format!("cannot cast jsonb {} to type {}", kind.name(), PgType::new(to.name).sql_name());
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        match to.name {
            TypeName::Int2 | TypeName::Int4 | TypeName::Int8 => {
                let name = PgType::new(to.name).sql_name();
                let whole = Numeric::parse(text)?.to_integer(&name)?;
                scalar_from_text_as(to, &whole.to_string(), zone, Fit::Cast).map_err(|_| out_of_range(&name))
            }
            _ => scalar_from_text_as(to, text, zone, Fit::Cast),
        }
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    ScalarValue::iter_to_array(values).map_err(|_| bad_syntax("jsonb", "…"))
}
