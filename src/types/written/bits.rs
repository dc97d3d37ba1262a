//! bit(n) and bit varying(n): strings of the digits 0 and 1.

use bytes::{BufMut, BytesMut};

use crate::error::{Result, SqlError, SqlState};
use crate::types::complaint::{bad_binary, bad_message_length};
use crate::types::plain::Fit;

/// The digits of `101`, `B101` or `X1F`, brought to the length that `modifier` asks for: a cast cuts and fills with
/// zeros on the right, an assignment refuses (22026, 22001).
pub fn read(text: &str, modifier: i32, fixed: bool, fit: Fit) -> Result<String> {
    let digits = match text.as_bytes().first() {
        Some(b'x' | b'X') => hexadecimal(&text[1..])?,
        Some(b'b' | b'B') => text[1..].to_owned(),
        _ => text.to_owned(),
    };
    if let Some(other) = digits.chars().find(|c| !matches!(c, '0' | '1')) {
        return Err(not_a_digit(other, "binary"));
    }
    fitted(digits, modifier, fixed, fit)
}

fn not_a_digit(c: char, kind: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("\"{c}\" is not a valid {kind} digit"))
}

fn hexadecimal(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len() * 4);
    for c in text.chars() {
        let digit = c.to_digit(16).ok_or_else(|| not_a_digit(c, "hexadecimal"))?;
        out.push_str(&format!("{digit:04b}"));
    }
    Ok(out)
}

/// The digits at a type's length.
pub fn fitted(mut digits: String, modifier: i32, fixed: bool, fit: Fit) -> Result<String> {
    let Ok(wanted) = usize::try_from(modifier) else { return Ok(digits) };
    let have = digits.len();
    if have == wanted || (!fixed && have < wanted) {
        return Ok(digits);
    }
    if fit == Fit::Assign {
        return Err(match fixed {
            true => SqlError::new(
                SqlState::STRING_DATA_LENGTH_MISMATCH,
                format!("bit string length {have} does not match type bit({wanted})"),
            ),
            false => SqlError::new(
                SqlState::STRING_DATA_RIGHT_TRUNCATION,
                format!("bit string too long for type bit varying({wanted})"),
            ),
        });
    }
    digits.truncate(wanted);
    digits.extend(std::iter::repeat_n('0', wanted.saturating_sub(have)));
    Ok(digits)
}

/// The number of bits, then the bits, the last byte filled with zeros.
pub fn put(text: &str, out: &mut BytesMut) -> Result<()> {
    out.put_i32(i32::try_from(text.len()).map_err(|_| super::out_of_range("bit string is too long"))?);
    for chunk in text.as_bytes().chunks(8) {
        let byte = (0..8).fold(0u8, |byte, at| byte << 1 | u8::from(chunk.get(at) == Some(&b'1')));
        out.put_u8(byte);
    }
    Ok(())
}

pub fn from_binary(bytes: &[u8], modifier: i32, fixed: bool) -> Result<String> {
    let (count, rest) = bytes.split_first_chunk::<4>().ok_or_else(bad_message_length)?;
    let count = usize::try_from(i32::from_be_bytes(*count)).map_err(|_| bad_binary("invalid length in external bit string"))?;
    match rest.len().cmp(&count.div_ceil(8)) {
        std::cmp::Ordering::Less => return Err(bad_message_length()),
        std::cmp::Ordering::Greater => return Err(bad_binary("incorrect binary data format")),
        std::cmp::Ordering::Equal => {}
    }
    let bit = |at: usize| if rest.get(at / 8).is_some_and(|b| b >> (7 - at % 8) & 1 == 1) { '1' } else { '0' };
    fitted((0..count).map(bit).collect(), modifier, fixed, Fit::Assign)
}
