//! Operators of the types that are carried as their text, as calls of one function, and functions of shapes.
//!
//! Which operator there is, and what it gives, is settled here for all of them; ranges and addresses do theirs in
//! files of their own. Comparisons are not here: see `plan::ordering`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use super::define::{Call, Function, Returns, TEXT, Want};
use super::temporal::interval_at;
use super::{network, ranges};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::types::calendar::MICROS_PER_DAY;
use crate::types::complaint::{division_by_zero, out_of_range};
use crate::types::encode::Column;
use crate::types::plain::Fit;
use crate::types::written::clock::Clock;
use crate::types::written::geometry::{self, Shape};
use crate::types::written::money;
use crate::types::{PgType, TypeName, Written, Zone};

/// `pg_written_operator(left, right, operator)`.
pub const OPERATOR: &str = "pg_written_operator";
/// `pg_point_part(point, 0 or 1)`.
pub const POINT_PART: &str = "pg_point_part";

const POINT: Want = Want::Type(TypeName::Written(Written::Point));
const FLOAT8: Want = Want::Type(TypeName::Float8);
const FLOATS: Returns = Returns::of(TypeName::Float8);

pub const FUNCTIONS: &[Function] = &[
    Function::new(OPERATOR, &[Want::Any, Want::Any, TEXT], Returns::Field(operator_field), operate).stable(),
    Function::new(POINT_PART, &[POINT, super::define::INT8], FLOATS, |c| {
        c.map::<f64, Float64Array>(|row| {
            let Some((text, part)) = c.text(0, row).zip(c.int8(1, row)) else { return Ok(None) };
            let (x, y) = geometry::point(text)?;
            Ok(match part {
                0 => Some(x),
                1 => Some(y),
                _ => None,
            })
        })
    }),
    Function::new("point", &[FLOAT8, FLOAT8], Returns::of(TypeName::Written(Written::Point)), |c| {
        c.map_text(|row| Ok(c.float8(0, row).zip(c.float8(1, row)).map(|(x, y)| geometry::point_text(x, y))))
    }),
    Function::new("box", &[POINT, POINT], Returns::of(TypeName::Written(Written::Box)), |c| joined(c, Written::Box)),
    Function::new("lseg", &[POINT, POINT], Returns::of(TypeName::Written(Written::Lseg)), |c| joined(c, Written::Lseg)),
    Function::new("circle", &[POINT, FLOAT8], Returns::of(TypeName::Written(Written::Circle)), |c| {
        c.map_text(|row| {
            let Some((centre, radius)) = c.text(0, row).zip(c.float8(1, row)) else { return Ok(None) };
            let (x, y) = geometry::point(centre)?;
            Ok(Some(geometry::write(Written::Circle, &Shape { numbers: vec![x, y, radius], closed: false })))
        })
    }),
    Function::new("radius", &[Want::Type(TypeName::Written(Written::Circle))], FLOATS, |c| {
        c.map::<f64, Float64Array>(|row| match c.text(0, row) {
            Some(text) => Ok(geometry::parse(Written::Circle, text)?.numbers.get(2).copied()),
            None => Ok(None),
        })
    }),
];

/// Two points as the corners or ends of a shape.
fn joined(call: &Call<'_>, kind: Written) -> Result<ArrayRef> {
    call.map_text(|row| {
        let Some((a, b)) = call.text(0, row).zip(call.text(1, row)) else { return Ok(None) };
        kind.read(&format!("{a},{b}"), -1, Fit::Cast, Zone::UTC).map(Some)
    })
}

/// What the operator gives; `None` where there is no such operator.
pub fn operator_type(left: PgType, op: &str, right: PgType) -> Option<PgType> {
    use TypeName::{Float4, Float8, Int2, Int4, Int8, Interval, Numeric};
    use Written::{Bit, Box, Circle, Money, PgLsn, Point, Timetz, Varbit};
    if left.array || right.array {
        return None;
    }
    if let Some(ty) = ranges::operator_type(left, op, right).or_else(|| network::operator_type(left, op, right)) {
        return Some(ty);
    }
    let number = |ty: PgType| matches!(ty.name, Int2 | Int4 | Int8 | Numeric | Float4 | Float8);
    let whole = |ty: PgType| matches!(ty.name, Int2 | Int4 | Int8);
    let of = |kind: Written| Some(PgType::new(TypeName::Written(kind)));
    match (left.name.written(), op, right.name.written()) {
        (Some(Point), "<->", Some(Point)) => Some(PgType::new(Float8)),
        (Some(Point), "~=", Some(Point)) => Some(PgType::BOOL),
        (Some(Point), "+" | "-", Some(Point)) => of(Point),
        (Some(Point), "<@", Some(Box | Circle)) | (Some(Box | Circle), "@>", Some(Point)) => Some(PgType::BOOL),
        (Some(Money), "+" | "-", Some(Money)) => of(Money),
        (Some(Money), "/", Some(Money)) => Some(PgType::new(Float8)),
        (Some(Money), "*" | "/", None) if number(right) && right.name != Numeric => of(Money),
        (None, "*", Some(Money)) if number(left) && left.name != Numeric => of(Money),
        (Some(a @ (Bit | Varbit)), "&" | "|" | "#", Some(Bit | Varbit)) => of(a),
        (Some(a @ (Bit | Varbit)), "<<" | ">>", None) if whole(right) => of(a),
        (Some(Bit | Varbit), "||", Some(Bit | Varbit)) => of(Varbit),
        (Some(Timetz), "+" | "-", None) if right.name == Interval => of(Timetz),
        (None, "+", Some(Timetz)) if left.name == Interval => of(Timetz),
        (Some(PgLsn), "-", Some(PgLsn)) => Some(PgType::new(Numeric)),
        _ => None,
    }
}

/// What an operand that nobody typed is beside one of this type.
pub fn other_side(op: &str, ty: PgType) -> PgType {
    match (ty.name.written(), op) {
        (Some(Written::Timetz), "+" | "-") => PgType::new(TypeName::Interval),
        (Some(Written::Money), "*") => PgType::new(TypeName::Float8),
        (Some(Written::Inet | Written::Cidr), "+") => PgType::INT8,
        _ => ty.with_modifier(-1),
    }
}

fn no_operator(left: PgType, op: &str, right: PgType) -> SqlError {
    let (left, right) = (left.with_modifier(-1).sql_name(), right.with_modifier(-1).sql_name());
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {left} {op} {right}"))
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

fn operator_field(types: &[PgType], _: &[DataType], values: &[Option<&ScalarValue>]) -> Result<Field> {
    let [left, right, ..] = types else { return Err(SqlError::internal("an operator without operands")) };
    let Some(Some(ScalarValue::Utf8(Some(op)))) = values.get(2) else {
        return Err(SqlError::internal("an operator without its name"));
    };
    match operator_type(*left, op, *right) {
        Some(ty) => Ok(ty.field(OPERATOR, true)),
        None => Err(no_operator(*left, op, *right)),
    }
}

fn operate(call: &Call<'_>) -> Result<ArrayRef> {
    let op = (0..call.rows).find_map(|row| call.text(2, row)).unwrap_or_default().to_owned();
    let (left, right) = (call.types[0], call.types[1]);
    if ranges::operator_type(left, &op, right).is_some() {
        return ranges::operate(call, &op);
    }
    if network::operator_type(left, &op, right).is_some() {
        return network::operate(call, &op);
    }
    match (left.name.written(), right.name.written()) {
        (Some(Written::Point), Some(Written::Point)) => points(call, &op),
        (Some(Written::Point), Some(shape)) => within(call, 0, 1, shape),
        (Some(shape), Some(Written::Point)) => within(call, 1, 0, shape),
        (Some(Written::Money), Some(_)) => sums(call, &op),
        (Some(Written::Money), None) => scaled(call, 0, 1, op == "/"),
        (None, Some(Written::Money)) => scaled(call, 1, 0, false),
        (Some(Written::Timetz), None) => moved(call, 0, 1, if op == "-" { -1 } else { 1 }),
        (None, Some(Written::Timetz)) => moved(call, 1, 0, 1),
        (Some(Written::PgLsn), _) => places(call),
        (Some(_), Some(_)) => bits(call, &op),
        _ => shifted(call, op == ">>"),
    }
}

/// Both arguments' texts; nothing where one is NULL.
fn pair<'a>(call: &'a Call<'_>, row: usize) -> Option<(&'a str, &'a str)> {
    call.text(0, row).zip(call.text(1, row))
}

fn points(call: &Call<'_>, op: &str) -> Result<ArrayRef> {
    let both = |row: usize| -> Result<Option<((f64, f64), (f64, f64))>> {
        match pair(call, row) {
            Some((a, b)) => Ok(Some((geometry::point(a)?, geometry::point(b)?))),
            None => Ok(None),
        }
    };
    match op {
        "<->" => call.map::<f64, Float64Array>(|row| Ok(both(row)?.map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1)))),
        "~=" => call
            .map::<bool, BooleanArray>(|row| Ok(both(row)?.map(|(a, b)| geometry::same(a.0, b.0) && geometry::same(a.1, b.1)))),
        _ => {
            let sign = if op == "-" { -1.0 } else { 1.0 };
            call.map_text(|row| Ok(both(row)?.map(|(a, b)| geometry::point_text(a.0 + sign * b.0, a.1 + sign * b.1))))
        }
    }
}

fn within(call: &Call<'_>, point: usize, shape: usize, kind: Written) -> Result<ArrayRef> {
    call.map::<bool, BooleanArray>(|row| {
        let Some((point, shape)) = call.text(point, row).zip(call.text(shape, row)) else { return Ok(None) };
        let (x, y) = geometry::point(point)?;
        Ok(match geometry::parse(kind, shape)?.numbers[..] {
            [right, top, left, bottom] => Some(x <= right && x >= left && y <= top && y >= bottom),
            [a, b, radius] => Some((x - a).hypot(y - b) <= radius),
            _ => None,
        })
    })
}

fn sums(call: &Call<'_>, op: &str) -> Result<ArrayRef> {
    let cents = |row: usize| -> Result<Option<(i64, i64)>> {
        match pair(call, row) {
            Some((a, b)) => Ok(Some((money::parse(a)?, money::parse(b)?))),
            None => Ok(None),
        }
    };
    if op == "/" {
        return call.map::<f64, Float64Array>(|row| match cents(row)? {
            Some((_, 0)) => Err(division_by_zero()),
            both => Ok(both.map(|(a, b)| a as f64 / b as f64)),
        });
    }
    call.map_text(|row| {
        let Some((a, b)) = cents(row)? else { return Ok(None) };
        let sum = if op == "-" { a.checked_sub(b) } else { a.checked_add(b) };
        sum.map(|cents| Some(money::write(cents))).ok_or_else(|| out_of_range("money"))
    })
}

/// Money by a number: whole numbers cut what is less than a cent of a quotient, floats round.
fn scaled(call: &Call<'_>, amount: usize, factor: usize, divide: bool) -> Result<ArrayRef> {
    let ty = call.types[factor];
    let whole = matches!(ty.name, TypeName::Int2 | TypeName::Int4 | TypeName::Int8);
    let float = PgType::new(TypeName::Float8);
    let floats = cast_array(&call.args[factor], ty, float, call.zone())?;
    let floats = floats.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
    let integers = if whole { Some(cast_array(&call.args[factor], ty, PgType::INT8, call.zone())?) } else { None };
    call.map_text(|row| {
        let Some(text) = call.text(amount, row) else { return Ok(None) };
        if datafusion::arrow::array::Array::is_null(floats, row) {
            return Ok(None);
        }
        let cents = money::parse(text)?;
        let beyond = || out_of_range("money");
        if let Some(integers) = &integers {
            let n = integers.as_primitive::<datafusion::arrow::datatypes::Int64Type>().value(row);
            let result = match (divide, n) {
                (true, 0) => return Err(division_by_zero()),
                (true, n) => cents.checked_div(n),
                (false, n) => cents.checked_mul(n),
            };
            return result.map(|cents| Some(money::write(cents))).ok_or_else(beyond);
        }
        let x = floats.value(row);
        if divide && x == 0.0 {
            return Err(division_by_zero());
        }
        let result = if divide { cents as f64 / x } else { cents as f64 * x }.round_ties_even();
        if result.abs() < 9.2e18 { Ok(Some(money::write(result as i64))) } else { Err(beyond()) }
    })
}

fn moved(call: &Call<'_>, clock: usize, span: usize, sign: i64) -> Result<ArrayRef> {
    call.map_text(|row| {
        let Some((text, span)) = call.text(clock, row).zip(interval_at(&call.args[span], row)) else { return Ok(None) };
        let clock = Clock::parse(text)?;
        let micros = (clock.micros + sign * (span.nanoseconds / 1000) % MICROS_PER_DAY).rem_euclid(MICROS_PER_DAY);
        Ok(Some(Clock { micros, ..clock }.write()))
    })
}

fn places(call: &Call<'_>) -> Result<ArrayRef> {
    let place = |text: &str| -> Result<i128> {
        let mut key = Vec::new();
        Written::PgLsn.push_key(text, &mut key)?;
        Ok(key.iter().fold(0, |n, b| n << 8 | i128::from(*b)))
    };
    let rows = (0..call.rows).map(|row| match pair(call, row) {
        Some((a, b)) => Ok(Some(crate::types::numeric::Numeric::of_i128(place(a)? - place(b)?, 0))),
        None => Ok(None),
    });
    crate::types::numeric::column::collect(rows)
}

fn bits(call: &Call<'_>, op: &str) -> Result<ArrayRef> {
    call.map_text(|row| {
        let Some((a, b)) = pair(call, row) else { return Ok(None) };
        if op == "||" {
            return Ok(Some([a, b].concat()));
        }
        if a.len() != b.len() {
            let what = match op {
                "&" => "AND",
                "|" => "OR",
                _ => "XOR",
            };
            let message = format!("cannot {what} bit strings of different sizes");
            return Err(SqlError::new(SqlState::STRING_DATA_LENGTH_MISMATCH, message));
        }
        let one = |(a, b): (u8, u8)| match op {
            "&" => a & b,
            "|" => a | b,
            _ => b'0' + (a ^ b),
        };
        Ok(Some(a.bytes().zip(b.bytes()).map(one).map(char::from).collect()))
    })
}

fn shifted(call: &Call<'_>, right: bool) -> Result<ArrayRef> {
    let column = Column::new(call.types[1], &call.args[1], Zone::UTC)?;
    let texts = Arc::clone(&call.args[0]);
    let texts = texts.as_string_opt::<i32>().ok_or_else(|| SqlError::internal("bits that are no text"))?;
    call.map_text(|row| {
        if datafusion::arrow::array::Array::is_null(texts, row) || column.is_null(row) {
            return Ok(None);
        }
        let mut by = String::new();
        column.write_text(row, &mut by);
        let by: i64 = by.parse().unwrap_or_default();
        let by = if right { by } else { by.saturating_neg() };
        let digits = texts.value(row);
        let size = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX).min(digits.len());
        let zeros = "0".repeat(size);
        let (head, tail) = (&digits[..digits.len() - size], &digits[size..]);
        Ok(Some(if by >= 0 { zeros + head } else { tail.to_owned() + &zeros }))
    })
}
