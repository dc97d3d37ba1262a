//! Functions of network addresses, and what their operators do.

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use super::define::{Call, Function, INT4, Returns, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::written::network::Net;
use crate::types::{PgType, TypeName, Written};

const INET: Want = Want::Type(TypeName::Written(Written::Inet));
const INETS: Returns = Returns::of(TypeName::Written(Written::Inet));
const CIDRS: Returns = Returns::of(TypeName::Written(Written::Cidr));
const TEXTS: Returns = Returns::Fixed(PgType::TEXT);
const INT4S: Returns = Returns::Fixed(PgType::INT4);

pub const FUNCTIONS: &[Function] = &[
    Function::new("host", &[INET], TEXTS, |c| texts(c, |net| Ok(net.host()))),
    Function::new("masklen", &[INET], INT4S, |c| numbers(c, |net| net.bits.into())),
    Function::new("family", &[INET], INT4S, |c| numbers(c, Net::family)),
    Function::new("network", &[INET], CIDRS, |c| texts(c, |net| Ok(net.network().full()))),
    Function::new("netmask", &[INET], INETS, |c| texts(c, |net| Ok(alone(net).with_number(net.mask())?.inet()))),
    Function::new("hostmask", &[INET], INETS, |c| texts(c, |net| Ok(alone(net).with_number(hosts(net))?.inet()))),
    Function::new("broadcast", &[INET], INETS, |c| texts(c, |net| Ok(net.with_number(net.number() | hosts(net))?.inet()))),
    Function::new("set_masklen", &[Want::Any, INT4], Returns::Field(of_first), set_length).scalar(),
    Function::new("abbrev", &[Want::Any], TEXTS, abbreviated).scalar(),
    Function::new("inet_same_family", &[INET, INET], Returns::Fixed(PgType::BOOL), |c| {
        both(c, |a, b| Ok(a.v6 == b.v6)).map(|v| std::sync::Arc::new(v.into_iter().collect::<BooleanArray>()) as ArrayRef)
    }),
    Function::new("inet_merge", &[INET, INET], CIDRS, |c| {
        let merged = both(c, |a, b| {
            if a.v6 != b.v6 {
                let message = "cannot merge addresses from different families";
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            let width = u32::from(a.width());
            let common = width - (128 - (a.number() ^ b.number()).leading_zeros());
            let bits = common.min(a.bits.into()).min(b.bits.into()) as u8;
            Ok(Net { bits, ..a }.network().full())
        })?;
        c.map_text(|row| Ok(merged.get(row).cloned().flatten()))
    }),
];

fn of_first(types: &[PgType], _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<Field> {
    let cidr = types.first().is_some_and(|ty| ty.name == TypeName::Written(Written::Cidr));
    let kind = if cidr { Written::Cidr } else { Written::Inet };
    Ok(PgType::new(TypeName::Written(kind)).field("set_masklen", true))
}

fn alone(net: Net) -> Net {
    Net { bits: net.width(), ..net }
}

/// Ones behind the prefix.
fn hosts(net: Net) -> u128 {
    let full = if net.v6 { u128::MAX } else { u128::from(u32::MAX) };
    full & !net.mask()
}

fn net(call: &Call<'_>, arg: usize, row: usize) -> Result<Option<Net>> {
    call.text(arg, row).map(Net::parse).transpose()
}

fn texts(call: &Call<'_>, one: fn(Net) -> Result<String>) -> Result<ArrayRef> {
    call.map_text(|row| net(call, 0, row)?.map(one).transpose())
}

fn numbers(call: &Call<'_>, one: fn(Net) -> i32) -> Result<ArrayRef> {
    call.map::<i32, Int32Array>(|row| Ok(net(call, 0, row)?.map(one)))
}

fn both<T>(call: &Call<'_>, one: fn(Net, Net) -> Result<T>) -> Result<Vec<Option<T>>> {
    let pair = |row| net(call, 0, row)?.zip(net(call, 1, row)?).map(|(a, b)| one(a, b)).transpose();
    (0..call.rows).map(pair).collect()
}

fn set_length(call: &Call<'_>) -> Result<ArrayRef> {
    let cidr = PgType::of_field(&call.returns).name == TypeName::Written(Written::Cidr);
    call.map_text(|row| {
        let Some((net, bits)) = net(call, 0, row)?.zip(call.int4(1, row)) else { return Ok(None) };
        let bits = if bits == -1 { net.width().into() } else { bits };
        let fits = (0..=i32::from(net.width())).contains(&bits);
        if !fits {
            let message = format!("invalid mask length: {bits}");
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        let changed = Net { bits: bits as u8, ..net };
        Ok(Some(if cidr { changed.network().full() } else { changed.inet() }))
    })
}

/// A cidr without the bytes behind its prefix; an inet as it is shown.
fn abbreviated(call: &Call<'_>) -> Result<ArrayRef> {
    let cidr = call.types[0].name == TypeName::Written(Written::Cidr);
    call.map_text(|row| {
        let Some(net) = net(call, 0, row)? else { return Ok(None) };
        if !cidr {
            return Ok(Some(net.inet()));
        }
        if net.v6 {
            return Ok(Some(net.full()));
        }
        let bytes = usize::from(net.bits.div_ceil(8)).max(1);
        let shown: Vec<String> = net.bytes[..bytes].iter().map(u8::to_string).collect();
        Ok(Some(format!("{}/{}", shown.join("."), net.bits)))
    })
}

fn is_address(ty: PgType) -> bool {
    !ty.array && matches!(ty.name, TypeName::Written(Written::Inet | Written::Cidr))
}

/// What an operator gives whose operands are addresses, or an address and a number.
pub fn operator_type(left: PgType, op: &str, right: PgType) -> Option<PgType> {
    let whole = |ty: PgType| !ty.array && matches!(ty.name, TypeName::Int2 | TypeName::Int4 | TypeName::Int8);
    let inet = Some(PgType::new(TypeName::Written(Written::Inet)));
    match (is_address(left), op, is_address(right)) {
        (true, "<<" | "<<=" | ">>" | ">>=" | "&&", true) => Some(PgType::BOOL),
        (true, "&" | "|", true) => inet,
        (true, "-", true) => Some(PgType::INT8),
        (true, "+" | "-", false) if whole(right) => inet,
        (false, "+", true) if whole(left) => inet,
        _ => None,
    }
}

/// The second and first arguments are addresses, or one of them an int8.
pub fn operate(call: &Call<'_>, op: &str) -> Result<ArrayRef> {
    match (is_address(call.types[0]), is_address(call.types[1])) {
        (true, true) => {}
        (true, false) => return moved(call, 0, 1, if op == "-" { -1 } else { 1 }),
        _ => return moved(call, 1, 0, 1),
    }
    let holds: fn(Net, Net) -> bool = match op {
        "<<" => |a, b| b.covers(a) && b.bits < a.bits,
        "<<=" => |a, b| b.covers(a),
        ">>" => |a, b| a.covers(b) && a.bits < b.bits,
        ">>=" => Net::covers,
        "&&" => Net::overlaps,
        "-" => {
            return call.map::<i64, Int64Array>(|row| {
                let Some((a, b)) = net(call, 0, row)?.zip(net(call, 1, row)?) else { return Ok(None) };
                one_size(a, b, "subtract")?;
                let out_of_range = || SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "result is out of range");
                let negative = a.number() < b.number();
                let size = i128::try_from(a.number().abs_diff(b.number())).map_err(|_| out_of_range())?;
                i64::try_from(if negative { -size } else { size }).map(Some).map_err(|_| out_of_range())
            });
        }
        _ => {
            let and = op == "&";
            return call.map_text(|row| {
                let Some((a, b)) = net(call, 0, row)?.zip(net(call, 1, row)?) else { return Ok(None) };
                one_size(a, b, if and { "AND" } else { "OR" })?;
                let number = if and { a.number() & b.number() } else { a.number() | b.number() };
                let joined = Net { bits: a.bits.max(b.bits), ..a };
                joined.with_number(number).map(|net| Some(net.inet()))
            });
        }
    };
    call.map::<bool, BooleanArray>(|row| Ok(net(call, 0, row)?.zip(net(call, 1, row)?).map(|(a, b)| holds(a, b))))
}

fn one_size(a: Net, b: Net, what: &str) -> Result<()> {
    if a.v6 == b.v6 {
        return Ok(());
    }
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot {what} inet values of different sizes")))
}

fn moved(call: &Call<'_>, address: usize, by: usize, sign: i128) -> Result<ArrayRef> {
    let steps = crate::plan::casts::cast_array(&call.args[by], call.types[by], PgType::INT8, call.zone())?;
    let steps = datafusion::arrow::array::AsArray::as_primitive::<datafusion::arrow::datatypes::Int64Type>(&steps);
    call.map_text(|row| {
        let Some(net) = net(call, address, row)? else { return Ok(None) };
        if datafusion::arrow::array::Array::is_null(steps, row) {
            return Ok(None);
        }
        let step = sign * i128::from(steps.value(row));
        let out_of_range = || SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "result is out of range");
        let number = net.number().checked_add_signed(step).ok_or_else(out_of_range)?;
        net.with_number(number).map(|net| Some(net.inet()))
    })
}
