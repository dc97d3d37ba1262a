//! Functions of text and bytea beyond the plain ones of `strings`: format, cutting, encodings, bytes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field};

use super::arrays::text_lists;
use super::define::{Call, Function, INT4, INT8, Returns, TEXT, Want};
use super::session::{quote_ident, quote_literal};
use super::{ranges, regular};
use crate::error::{Result, SqlError, SqlState};
use crate::types::encode::Column;
use crate::types::{PgType, TypeName, Written};

const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const INT4_RESULT: Returns = Returns::Fixed(PgType::INT4);
const TEXTS: Returns = Returns::Fixed(PgType::TEXT.array_of());
const BYTES: Want = Want::Type(TypeName::Bytea);
const BYTEA: Returns = Returns::of(TypeName::Bytea);

pub const BYTES_CONCAT: &str = "pg_bytea_concat";

pub const FUNCTIONS: &[Function] = &[
    Function::new("format", &[TEXT, Want::Any], TEXT_RESULT, format).optional(1).variadic().stable(),
    Function::new("upper", &[Want::Any], Returns::Field(|t, a, _| cased_field("upper", t, a)), |c| match range_of(c) {
        Some(kind) => ranges::bound(c, kind, false),
        None => cased(c, char::to_uppercase),
    })
    .stable(),
    Function::new("lower", &[Want::Any], Returns::Field(|t, a, _| cased_field("lower", t, a)), |c| match range_of(c) {
        Some(kind) => ranges::bound(c, kind, true),
        None => cased(c, char::to_lowercase),
    })
    .stable(),
    Function::new("quote_literal", &[Want::Any], TEXT_RESULT, |c| quoted(c, false)).stable(),
    Function::new("quote_nullable", &[Want::Any], TEXT_RESULT, |c| quoted(c, true)).stable(),
    Function::new("substr", &[Want::Any, Want::Any, INT8], Returns::Arrow(same_or_text), substring)
        .scalar()
        .optional(1)
        .aliases(&["substring"]),
    Function::new("strpos", &[Want::Any, Want::Any], INT4_RESULT, position).scalar().aliases(&["instr", "position"]),
    Function::new("to_hex", &[Want::Any], TEXT_RESULT, to_hex).scalar(),
    Function::new(BYTES_CONCAT, &[BYTES, BYTES], BYTEA, |c| {
        binaries(c, |c, row| Ok(Some([bytes(c, 0, row)?, bytes(c, 1, row)?].concat())))
    }),
    Function::new("convert_from", &[BYTES, TEXT], TEXT_RESULT, |c| {
        c.map_text(|row| match (bytes(c, 0, row).ok(), c.text(1, row)) {
            (Some(bytes), Some(encoding)) => {
                utf8_only(encoding)?;
                Ok(Some(crate::types::decode::utf8(bytes)?.to_owned()))
            }
            _ => Ok(None),
        })
    }),
    Function::new("convert_to", &[TEXT, TEXT], BYTEA, |c| {
        binaries(c, |c, row| {
            let (Some(text), Some(encoding)) = (c.text(0, row), c.text(1, row)) else { return Ok(None) };
            utf8_only(encoding)?;
            Ok(Some(text.as_bytes().to_vec()))
        })
    }),
    Function::new("encode", &[BYTES, TEXT], TEXT_RESULT, encode),
    Function::new("decode", &[TEXT, TEXT], BYTEA, decode),
    Function::new("get_byte", &[BYTES, INT8], INT4_RESULT, |c| byte_at(c, 8)),
    Function::new("get_bit", &[BYTES, INT8], INT4_RESULT, |c| byte_at(c, 1)),
    Function::new("set_byte", &[BYTES, INT8, INT4], BYTEA, |c| set_at(c, 8)),
    Function::new("set_bit", &[BYTES, INT8, INT4], BYTEA, |c| set_at(c, 1)),
    Function::new("bit_count", &[Want::Any], Returns::Computed(bit_count_type), bit_count).scalar(),
    Function::new("parse_ident", &[TEXT, Want::Type(TypeName::Bool)], TEXTS, parse_ident).optional(1),
    Function::new("num_nulls", &[Want::Any], INT4_RESULT, |c| count_nulls(c, true)).variadic(),
    Function::new("num_nonnulls", &[Want::Any], INT4_RESULT, |c| count_nulls(c, false)).variadic(),
];

fn is_bits(ty: PgType) -> bool {
    matches!(ty.name, TypeName::Written(Written::Bit | Written::Varbit)) && !ty.array
}

fn bit_count_type(types: &[PgType], _: &[Option<&datafusion::common::ScalarValue>]) -> Result<PgType> {
    match types.first() {
        Some(ty) if !is_bits(*ty) && ty.name != TypeName::Bytea => {
            let message = format!("function bit_count({}) does not exist", ty.with_modifier(-1).sql_name());
            Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                .hint("No function matches the given name and argument types. You might need to add explicit type casts."))
        }
        _ => Ok(PgType::INT8),
    }
}

fn bit_count(call: &Call<'_>) -> Result<ArrayRef> {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    if let Some(bytes) = call.args[0].as_binary_opt::<i32>() {
        let ones = |row: usize| count(bytes.value(row).iter().map(|byte| byte.count_ones() as usize).sum());
        return call.map::<i64, Int64Array>(|row| Ok(bytes.is_valid(row).then(|| ones(row))));
    }
    call.map::<i64, Int64Array>(|row| {
        Ok(call.text(0, row).map(|digits| count(digits.bytes().filter(|digit| *digit == b'1').count())))
    })
}

/// The type of range that a call of `lower` or `upper` is about.
fn range_of(call: &Call<'_>) -> Option<Written> {
    call.types.first().and_then(|ty| ty.name.written().filter(|kind| kind.subtype().is_some() && !ty.array))
}

/// What `lower` and `upper` give: a bound of a range, else text. Whether values carried as text are text is for
/// `plan::text_arguments` to say.
fn cased_field(name: &str, types: &[PgType], arrow: &[DataType]) -> Result<Field> {
    let ty = types.first().copied().unwrap_or(PgType::TEXT);
    match ty.name.written().and_then(Written::subtype) {
        Some(subtype) if !ty.array => Ok(subtype.ty().field(name, true)),
        _ if arrow.first().is_none_or(|t| matches!(t, DataType::Utf8 | DataType::Null)) => Ok(PgType::TEXT.field(name, true)),
        _ => {
            let message = format!("function {name}({}) does not exist", ty.with_modifier(-1).sql_name());
            Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                .hint("No function matches the given name and argument types. You might need to add explicit type casts."))
        }
    }
}

fn quoted(call: &Call<'_>, nullable: bool) -> Result<ArrayRef> {
    let column = Column::new(call.types[0], &call.args[0], call.zone())?;
    call.map_text(|row| {
        if column.is_null(row) || *call.args[0].data_type() == DataType::Null {
            return Ok(nullable.then(|| "NULL".to_owned()));
        }
        let mut text = String::new();
        column.write_text(row, &mut text);
        Ok(Some(quote_literal(&text)))
    })
}

fn format(call: &Call<'_>) -> Result<ArrayRef> {
    let columns: Vec<Column> =
        call.args.iter().zip(&call.types).map(|(a, t)| Column::new(*t, a, call.zone())).collect::<Result<_>>()?;
    call.map_text(|row| {
        let Some(pattern) = call.text(0, row) else { return Ok(None) };
        let value = |n: usize| -> Result<Option<String>> {
            let bad = || SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "too few arguments for format()");
            let column = columns.get(n).ok_or_else(bad)?;
            let mut text = String::new();
            if column.is_null(row) || *call.args[n].data_type() == DataType::Null {
                return Ok(None);
            }
            column.write_text(row, &mut text);
            Ok(Some(text))
        };
        formatted(pattern, value).map(Some)
    })
}

/// `%[position$][flags][width]type` with type s, I or L.
fn formatted(pattern: &str, value: impl Fn(usize) -> Result<Option<String>>) -> Result<String> {
    let bad = |message: &str| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    let mut next = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut digits = String::new();
            while let Some(d) = chars.next_if(char::is_ascii_digit) {
                digits.push(d);
            }
            digits.parse::<usize>().ok()
        };
        let mut width = number(&mut chars);
        if let Some(position) = width.filter(|_| chars.peek() == Some(&'$')) {
            chars.next();
            if position == 0 {
                return Err(bad("format specifies argument 0, but arguments are numbered from 1"));
            }
            next = position;
            width = None;
        }
        let mut left = false;
        while chars.next_if_eq(&'-').is_some() {
            left = true;
        }
        if width.is_none() {
            width = number(&mut chars);
        }
        if chars.next_if_eq(&'*').is_some() {
            let given = value(next)?.and_then(|w| w.trim().parse::<i64>().ok()).unwrap_or(0);
            next += 1;
            left |= given < 0;
            width = usize::try_from(given.unsigned_abs()).ok();
        }
        let kind = chars.next().ok_or_else(|| bad("unterminated format() type specifier"))?;
        let text = value(next)?;
        next += 1;
        let text = match (kind, text) {
            ('s', text) => text.unwrap_or_default(),
            ('L', text) => text.map_or_else(|| "NULL".to_owned(), |t| quote_literal(&t)),
            ('I', Some(text)) => quote_ident(&text),
            ('I', None) => {
                return Err(SqlError::new(
                    SqlState::NULL_VALUE_NOT_ALLOWED,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            (other, _) => return Err(bad(&format!("unrecognized format() type specifier \"{other}\""))),
        };
        let padding = width.unwrap_or(0).min(1 << 20).saturating_sub(text.chars().count());
        if !left {
            out.extend(std::iter::repeat_n(' ', padding));
        }
        out.push_str(&text);
        if left {
            out.extend(std::iter::repeat_n(' ', padding));
        }
    }
    Ok(out)
}

fn same_or_text(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(DataType::Binary) => Ok(DataType::Binary),
        _ => Ok(DataType::Utf8),
    }
}

/// From a place for a length, or what a pattern matches.
/// Letter by letter, as PostgreSQL: one that has no single counterpart (`ß`) stays.
fn cased<I: Iterator<Item = char>>(call: &Call<'_>, to: fn(char) -> I) -> Result<ArrayRef> {
    let one = |from: char| {
        let mut mapped = to(from);
        match (mapped.next(), mapped.next()) {
            (Some(letter), None) => letter,
            _ => from,
        }
    };
    call.map_text(|row| Ok(call.text(0, row).map(|text| text.chars().map(one).collect::<String>())))
}

fn substring(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.args[1].data_type() == DataType::Utf8 {
        return regular::substring(call);
    }
    let starts = datafusion::arrow::compute::cast(&call.args[1], &DataType::Int64)
        .map_err(|_| SqlError::new(SqlState::UNDEFINED_FUNCTION, "function substr does not exist for these types"))?;
    let starts = starts.as_primitive::<datafusion::arrow::datatypes::Int64Type>();
    // Characters or bytes left out before, and how many are taken.
    let cut = |row: usize| -> Result<Option<(usize, usize)>> {
        if starts.is_null(row) || (call.args.len() == 3 && call.args[2].is_null(row)) {
            return Ok(None);
        }
        let start = starts.value(row);
        let end = match call.int8(2, row) {
            Some(length) if length < 0 => {
                return Err(SqlError::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
            }
            Some(length) => start.saturating_add(length),
            None => i64::MAX,
        };
        let from = start.max(1);
        Ok(Some(((from - 1) as usize, end.saturating_sub(from).max(0) as usize)))
    };
    if *call.args[0].data_type() == DataType::Binary {
        return binaries(call, |c, row| {
            let Some((skip, take)) = cut(row)? else { return Ok(None) };
            Ok(Some(bytes(c, 0, row)?.iter().copied().skip(skip).take(take).collect()))
        });
    }
    let column = Column::new(call.types[0], &call.args[0], call.zone())?;
    call.map_text(|row| {
        let Some((skip, take)) = cut(row)? else { return Ok(None) };
        if column.is_null(row) {
            return Ok(None);
        }
        let mut text = String::new();
        column.write_text(row, &mut text);
        Ok(Some(text.chars().skip(skip).take(take).collect::<String>()))
    })
}

fn position(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<i32, Int32Array>(|row| {
        if call.args.iter().any(|a| a.is_null(row)) {
            return Ok(None);
        }
        if let (Ok(all), Ok(part)) = (bytes(call, 0, row), bytes(call, 1, row)) {
            let at = if part.is_empty() { Some(0) } else { all.windows(part.len()).position(|w| w == part) };
            return Ok(Some(at.map_or(0, |at| at as i32 + 1)));
        }
        let (Some(text), Some(part)) = (call.text(0, row), call.text(1, row)) else {
            return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "function strpos does not exist for these types"));
        };
        Ok(Some(text.find(part).map_or(0, |at| text[..at].chars().count() as i32 + 1)))
    })
}

/// Of an integer in 32 bits, of a bigint in 64.
fn to_hex(call: &Call<'_>) -> Result<ArrayRef> {
    call.map_text(|row| match call.args[0].data_type() {
        DataType::Int32 => Ok(call.int4(0, row).map(|n| format!("{n:x}"))),
        DataType::Int64 => Ok(call.int8(0, row).map(|n| format!("{n:x}"))),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "function to_hex does not exist for this type")),
    })
}

/// A bytea argument; an internal error for NULL, which callers have looked for.
fn bytes<'a>(call: &'a Call<'_>, arg: usize, row: usize) -> Result<&'a [u8]> {
    let array = call.args[arg].as_binary_opt::<i32>().ok_or_else(|| SqlError::internal("bytes were expected"))?;
    if array.is_valid(row) { Ok(array.value(row)) } else { Err(SqlError::internal("bytes were expected")) }
}

/// Byte strings, one row at a time; NULL where an argument is.
fn binaries(call: &Call<'_>, value: impl Fn(&Call<'_>, usize) -> Result<Option<Vec<u8>>>) -> Result<ArrayRef> {
    let one = |row: usize| if call.args.iter().any(|a| a.is_null(row)) { Ok(None) } else { value(call, row) };
    let values = (0..call.rows).map(one).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(values.iter().map(|v| v.as_deref()).collect::<BinaryArray>()))
}

fn utf8_only(encoding: &str) -> Result<()> {
    if ["utf8", "utf-8", "unicode", "sql_ascii"].iter().any(|e| encoding.eq_ignore_ascii_case(e)) {
        return Ok(());
    }
    Err(SqlError::unsupported(format!("encoding \"{encoding}\" is not supported"), "Use UTF8."))
}

fn unknown_encoding(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{name}\""))
}

fn encode(call: &Call<'_>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let (Ok(bytes), Some(format)) = (bytes(call, 0, row), call.text(1, row)) else { return Ok(None) };
        Ok(Some(match format.to_ascii_lowercase().as_str() {
            "hex" => bytes.iter().map(|b| format!("{b:02x}")).collect(),
            "base64" => {
                // Lines of 76 characters, as MIME has them.
                let all = STANDARD.encode(bytes);
                let lines: Vec<&str> = all.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).unwrap_or_default()).collect();
                lines.join("\n")
            }
            "escape" => {
                let mut out = String::new();
                for b in bytes {
                    match b {
                        b'\\' => out.push_str("\\\\"),
                        0 | 0x80.. => out.push_str(&format!("\\{b:03o}")),
                        b => out.push(char::from(*b)),
                    }
                }
                out
            }
            _ => return Err(unknown_encoding(format)),
        }))
    })
}

fn decode(call: &Call<'_>) -> Result<ArrayRef> {
    let bad = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    binaries(call, |c, row| {
        let (Some(text), Some(format)) = (c.text(0, row), c.text(1, row)) else { return Ok(None) };
        match format.to_ascii_lowercase().as_str() {
            "hex" => {
                let digits: Vec<char> = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                let digit = |c: char| c.to_digit(16).ok_or_else(|| bad(format!("invalid hexadecimal digit: \"{c}\"")));
                if !digits.len().is_multiple_of(2) {
                    return Err(bad("invalid hexadecimal data: odd number of digits".to_owned()));
                }
                let pair = |p: &[char]| Ok((digit(p[0])? << 4 | digit(p[1])?) as u8);
                digits.chunks(2).map(pair).collect::<Result<_>>().map(Some)
            }
            "base64" => {
                let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                let decoded = STANDARD.decode(plain);
                decoded.map(Some).map_err(|_| bad("invalid base64 end sequence".to_owned()))
            }
            "escape" => crate::types::plain::parse_bytea(text).map(Some),
            _ => Err(unknown_encoding(format)),
        }
    })
}

fn place_of(call: &Call<'_>, row: usize, unit: usize) -> Result<Option<(usize, usize)>> {
    let (Ok(bytes), Some(at)) = (bytes(call, 0, row), call.int8(1, row)) else { return Ok(None) };
    let count = bytes.len() * 8 / unit;
    let place = usize::try_from(at).ok().filter(|at| *at < count);
    let place = place.ok_or_else(|| {
        let message = format!("index {at} out of valid range, 0..{}", count as i64 - 1);
        SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
    })?;
    Ok(Some(if unit == 8 { (place, 0) } else { (place / 8, place % 8) }))
}

fn byte_at(call: &Call<'_>, unit: usize) -> Result<ArrayRef> {
    call.map::<i32, Int32Array>(|row| {
        let Some((at, bit)) = place_of(call, row, unit)? else { return Ok(None) };
        let byte = i32::from(bytes(call, 0, row)?[at]);
        Ok(Some(if unit == 8 { byte } else { byte >> bit & 1 }))
    })
}

fn set_at(call: &Call<'_>, unit: usize) -> Result<ArrayRef> {
    binaries(call, |c, row| {
        let (Some((at, bit)), Some(value)) = (place_of(c, row, unit)?, c.int4(2, row)) else { return Ok(None) };
        let mut changed = bytes(c, 0, row)?.to_vec();
        changed[at] = match (unit, value) {
            (8, value) => value as u8,
            (_, 0) => changed[at] & !(1 << bit),
            (_, 1) => changed[at] | 1 << bit,
            _ => return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "new bit must be 0 or 1")),
        };
        Ok(Some(changed))
    })
}

fn parse_ident(call: &Call<'_>) -> Result<ArrayRef> {
    text_lists((0..call.rows).map(|row| {
        let Some(text) = call.text(0, row) else { return Ok(None) };
        let bad = || {
            let message = format!("string is not a valid identifier: \"{text}\"");
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
        };
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, tail) = match rest.strip_prefix('"') {
                Some(inside) => {
                    let (part, tail) = inside.split_once('"').ok_or_else(bad)?;
                    (part.to_owned(), tail)
                }
                None => {
                    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(rest.len());
                    (rest[..end].to_lowercase(), &rest[end..])
                }
            };
            if part.is_empty() || part.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(bad());
            }
            parts.push(Some(part));
            match tail.trim_start().strip_prefix('.') {
                Some(tail) => rest = tail.trim_start(),
                None if tail.trim().is_empty() => return Ok(Some(parts)),
                None if call.bool(1, row) == Some(false) => return Ok(Some(parts)),
                None => return Err(bad()),
            }
        }
    }))
}

fn count_nulls(call: &Call<'_>, nulls: bool) -> Result<ArrayRef> {
    call.map::<i32, Int32Array>(|row| {
        let is_null = |a: &&ArrayRef| a.is_null(row) || *a.data_type() == DataType::Null;
        Ok(Some(call.args.iter().filter(|a| is_null(a) == nulls).count() as i32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_pads_and_quotes() {
        let values = |n: usize| Ok([None, Some("a b".to_owned()), None].get(n).cloned().flatten());
        assert_eq!(formatted("%s|%5s|%%", values).unwrap(), "a b|     |%");
        assert_eq!(formatted("%1$I %1$L %2$L", values).unwrap(), "\"a b\" 'a b' NULL");
        assert_eq!(formatted("%-5s.", values).unwrap(), "a b  .");
        assert!(formatted("%x", values).is_err());
    }
}
