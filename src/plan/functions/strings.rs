//! String functions that DataFusion lacks or answers otherwise.

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Int32Array};
use datafusion::arrow::datatypes::DataType;

use super::define::{Call, Function, INT4, Returns, TEXT, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::encode::Column;
use crate::types::{PgType, TypeName};

const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const INT4_RESULT: Returns = Returns::Fixed(PgType::INT4);
/// Longest text that a function may make, in bytes.
const LONGEST: usize = 256 << 20;

pub const FUNCTIONS: &[Function] = &[
    Function::new("length", &[Want::Any], INT4_RESULT, length).scalar().aliases(&["char_length", "character_length"]),
    Function::new("octet_length", &[Want::Any], INT4_RESULT, octet_length).scalar(),
    Function::new("concat", &[Want::Any], TEXT_RESULT, |c| concat(c, 0)).variadic().stable(),
    Function::new("concat_ws", &[TEXT, Want::Any], TEXT_RESULT, |c| concat(c, 1)).variadic().stable(),
    Function::new("left", &[TEXT, INT4], TEXT_RESULT, |c| cut(c, |_, n| (0, n))),
    Function::new("right", &[TEXT, INT4], TEXT_RESULT, |c| cut(c, |len, n| (len - n, len))),
    Function::new("repeat", &[TEXT, INT4], TEXT_RESULT, repeat),
    Function::new("split_part", &[TEXT, TEXT, INT4], TEXT_RESULT, split_part),
    Function::new("unistr", &[TEXT], TEXT_RESULT, |c| c.map_text(|row| c.text(0, row).map(unescaped).transpose())),
    Function::new("like_escape", &[TEXT, TEXT], TEXT_RESULT, |c| {
        c.map_text(|row| c.text(0, row).zip(c.text(1, row)).map(|(pattern, escape)| like_escape(pattern, escape)).transpose())
    }),
    Function::new("starts_with", &[TEXT, TEXT], Returns::Fixed(PgType::BOOL), |c| {
        c.map::<bool, BooleanArray>(|row| Ok(c.text(0, row).zip(c.text(1, row)).map(|(t, p)| t.starts_with(p))))
    }),
];

fn length(call: &Call<'_>) -> Result<ArrayRef> {
    use datafusion::arrow::array::AsArray;
    if let Some(bytes) = call.args[0].as_binary_opt::<i32>() {
        return call.map::<i32, Int32Array>(|row| Ok(bytes.is_valid(row).then(|| bytes.value(row).len() as i32)));
    }
    let padded = call.types[0].name == TypeName::Bpchar;
    call.map::<i32, Int32Array>(|row| {
        let text = call.text(0, row).map(|t| if padded { t.trim_end_matches(' ') } else { t });
        Ok(text.map(|t| t.chars().count() as i32))
    })
}

/// A pattern of LIKE whose escape is another character, or none, with the backslash as its escape. 22025 for more than one
/// character.
fn like_escape(pattern: &str, escape: &str) -> Result<String> {
    let mut escapes = escape.chars();
    let (escape, None) = (escapes.next(), escapes.next()) else {
        let error = SqlError::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string");
        return Err(error.hint("Escape string must be empty or one character."));
    };
    let mut plain = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            plain.push('\\');
            plain.extend(chars.next());
        } else if c == '\\' {
            plain.push_str("\\\\");
        } else {
            plain.push(c);
        }
    }
    Ok(plain)
}

/// Text with `\XXXX`, `\+XXXXXX`, `\uXXXX` and `\UXXXXXXXX` as the characters that they are the numbers of. 42601 for any
/// other escape and for half a surrogate pair, 22023 for a number that is no character's.
fn unescaped(text: &str) -> Result<String> {
    let halved = || SqlError::syntax("invalid Unicode surrogate pair");
    let mut out = String::with_capacity(text.len());
    let mut first: Option<u32> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let escaped = c == '\\' && !rest[1..].starts_with('\\');
        if !escaped {
            if first.is_some() {
                return Err(halved());
            }
            out.push(c);
            rest = &rest[if c == '\\' { 2 } else { c.len_utf8() }..];
            continue;
        }
        let (number, behind) = escape(&rest[1..])?;
        rest = behind;
        let number = match (first.take(), number) {
            (None, 0xD800..=0xDBFF) => {
                first = Some(number);
                continue;
            }
            (Some(high), low @ 0xDC00..=0xDFFF) => 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00),
            (Some(_), _) | (None, 0xDC00..=0xDFFF) => return Err(halved()),
            (None, number) => number,
        };
        let character = char::from_u32(number).filter(|c| *c != '\0').ok_or_else(|| {
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid Unicode code point: {number:04X}"))
        })?;
        out.push(character);
    }
    if first.is_some() { Err(halved()) } else { Ok(out) }
}

/// The number that stands behind a backslash, and what is behind it.
fn escape(text: &str) -> Result<(u32, &str)> {
    let (skipped, digits) = match text.bytes().next() {
        Some(b'+') => (1, 6),
        Some(b'u') => (1, 4),
        Some(b'U') => (1, 8),
        _ => (0, 4),
    };
    let number = text.get(skipped..skipped + digits).filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
    let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(|| {
        let hint = r"Unicode escapes must be \XXXX, \+XXXXXX, \uXXXX, or \UXXXXXXXX.";
        SqlError::syntax("invalid Unicode escape").hint(hint)
    })?;
    Ok((number, text.get(skipped + digits..).unwrap_or_default()))
}

fn octet_length(call: &Call<'_>) -> Result<ArrayRef> {
    use datafusion::arrow::array::AsArray;
    if let Some(bytes) = call.args[0].as_binary_opt::<i32>() {
        return call.map::<i32, Int32Array>(|row| Ok(bytes.is_valid(row).then(|| bytes.value(row).len() as i32)));
    }
    call.map::<i32, Int32Array>(|row| Ok(call.text(0, row).map(|t| t.len() as i32)))
}

/// Texts of the arguments after each other; NULLs are left out. `first` is 1 when the first one separates.
fn concat(call: &Call<'_>, first: usize) -> Result<ArrayRef> {
    let zone = call.zone();
    let columns = call.args.iter().zip(&call.types).map(|(array, ty)| Column::new(*ty, array, zone));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    call.map_text(|row| {
        let separator = if first == 1 { call.text(0, row) } else { Some("") };
        let Some(separator) = separator else { return Ok(None) };
        let mut out = String::new();
        let mut any = false;
        for (column, array) in columns[first..].iter().zip(&call.args[first..]) {
            if array.is_null(row) || *array.data_type() == DataType::Null {
                continue;
            }
            if any {
                out.push_str(separator);
            }
            column.write_text(row, &mut out);
            any = true;
        }
        Ok(Some(out))
    })
}

/// Characters between two places; a negative count leaves out so many at the other end.
fn cut(call: &Call<'_>, bounds: fn(i64, i64) -> (i64, i64)) -> Result<ArrayRef> {
    call.map_text(|row| {
        let (Some(text), Some(count)) = (call.text(0, row), call.int4(1, row)) else { return Ok(None) };
        let len = text.chars().count() as i64;
        let count = i64::from(count);
        let count = if count < 0 { (len + count).max(0) } else { count.min(len) };
        let (from, to) = bounds(len, count);
        Ok(Some(text.chars().skip(from as usize).take((to - from) as usize).collect::<String>()))
    })
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let (Some(text), Some(count)) = (call.text(0, row), call.int4(1, row)) else { return Ok(None) };
        let count = usize::try_from(count).unwrap_or(0);
        if text.len().saturating_mul(count) > LONGEST {
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
        }
        Ok(Some(text.repeat(count)))
    })
}

fn split_part(call: &Call<'_>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let (Some(text), Some(delimiter), Some(n)) = (call.text(0, row), call.text(1, row), call.int4(2, row)) else {
            return Ok(None);
        };
        let parts: Vec<&str> = if delimiter.is_empty() { vec![text] } else { text.split(delimiter).collect() };
        let at = match n {
            0 => return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "field position must not be zero")),
            n if n > 0 => Some(n as usize - 1),
            n => parts.len().checked_sub(n.unsigned_abs() as usize),
        };
        Ok(Some(at.and_then(|at| parts.get(at)).copied().unwrap_or("").to_owned()))
    })
}
