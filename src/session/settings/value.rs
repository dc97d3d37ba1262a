//! What a setting's value may be, and how it is shown: booleans, numbers with units, choices, lists.
//!
//! Pure: a text goes in, the text that SHOW gives comes out.

use super::table::{Definition, Kind, Unit};
use super::zone;
use crate::error::{Result, SqlError, SqlState};

/// The value as it will be kept and shown, or 22023 (0A000 for one that PostgreSQL has and we do not).
pub fn check(definition: &Definition, value: &str) -> Result<String> {
    let name = definition.name;
    match definition.kind {
        Kind::Text => Ok(value.to_owned()),
        Kind::Bool => match boolean(value) {
            Some(on) => Ok(if on { "on" } else { "off" }.to_owned()),
            None => {
                Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("parameter \"{name}\" requires a Boolean value")))
            }
        },
        Kind::Int(min, max, unit) => integer(name, value, min, max, unit),
        Kind::Real(min, max) => real(name, value, min, max),
        Kind::Enum(choices) => choice(name, value, choices),
        Kind::Only(choices) => only(name, value, choices),
        Kind::TimeZone => zone::parse(value).ok_or_else(|| invalid(name, value)),
        Kind::DateStyle => date_style(name, value),
        Kind::Encoding => encoding(name, value),
        Kind::List => match split_list(value) {
            Some(_) => Ok(value.to_owned()),
            None => Err(invalid(name, value).detail("List syntax is invalid.")),
        },
        Kind::JsonObject => json_object(name, value),
    }
}

fn invalid(name: &str, value: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{name}\": \"{value}\""))
}

/// `on`, `true`, `yes`, `1` and unambiguous beginnings of the words, and their opposites.
pub fn boolean(value: &str) -> Option<bool> {
    let value = value.trim().to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(value.as_str());
    if value == "1" || begins("true", 1) || begins("yes", 1) || value == "on" {
        Some(true)
    } else if value == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2) {
        Some(false)
    } else {
        None
    }
}

fn choice(name: &str, value: &str, choices: &[&'static str]) -> Result<String> {
    let found = choices.iter().find(|c| c.eq_ignore_ascii_case(value.trim()));
    // on and off may also be written as any boolean, where they are among the choices.
    let spelled = || boolean(value).map(|on| if on { "on" } else { "off" }).filter(|word| choices.contains(word));
    match found.copied().or_else(spelled) {
        Some(choice) => Ok(choice.to_owned()),
        None => Err(invalid(name, value).hint(format!("Available values: {}.", choices.join(", ")))),
    }
}

fn only(name: &str, value: &str, choices: &[&'static str]) -> Result<String> {
    choice(name, value, choices).map_err(|_| {
        SqlError::unsupported(
            format!("parameter \"{name}\" cannot be set to \"{value}\""),
            format!("The only value that is supported is {}.", choices.join(" or ")),
        )
    })
}

fn integer(name: &str, value: &str, min: i64, max: i64, unit: Unit) -> Result<String> {
    let Some(number) = parse_integer(value, unit) else {
        let error = invalid(name, value);
        return Err(match unit {
            Unit::None => error,
            Unit::Milliseconds | Unit::Seconds | Unit::Minutes => {
                error.hint("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")
            }
            Unit::Kilobytes | Unit::Blocks => {
                error.hint("Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".")
            }
        });
    };
    if number < min || number > max {
        let suffix = match unit {
            Unit::None => "",
            Unit::Milliseconds => " ms",
            Unit::Seconds => " s",
            Unit::Minutes => " min",
            Unit::Kilobytes => " kB",
            Unit::Blocks => " 8kB",
        };
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{number}{suffix} is outside the valid range for parameter \"{name}\" ({min} .. {max})"),
        ));
    }
    Ok(show_integer(number, unit))
}

/// Factors of a unit's spellings to milliseconds, and to kilobytes.
const TIMES: &[(&str, f64)] =
    &[("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("min", 60_000.0), ("h", 3_600_000.0), ("d", 86_400_000.0)];
const SIZES: &[(&str, f64)] = &[("B", 1.0 / 1024.0), ("kB", 1.0), ("MB", 1024.0), ("GB", 1_048_576.0), ("TB", 1_073_741_824.0)];

/// A number in `unit`, which may carry a unit of its own (`1.5s`); `None` when it is not one.
pub fn parse_integer(value: &str, unit: Unit) -> Option<i64> {
    let value = value.trim();
    let digits = value.find(|c: char| c.is_ascii_alphabetic() || c == ' ').unwrap_or(value.len());
    let (number, suffix) = value.split_at(digits);
    let number: f64 = number.parse().ok().filter(|n: &f64| n.is_finite())?;
    let suffix = suffix.trim();
    let scaled = if suffix.is_empty() {
        number
    } else {
        let (factors, base) = match unit {
            Unit::None => return None,
            Unit::Milliseconds => (TIMES, 1.0),
            Unit::Seconds => (TIMES, 1000.0),
            Unit::Minutes => (TIMES, 60_000.0),
            Unit::Kilobytes => (SIZES, 1.0),
            Unit::Blocks => (SIZES, 8.0),
        };
        let (_, factor) = factors.iter().find(|(name, _)| *name == suffix)?;
        number * factor / base
    };
    Some(scaled.round() as i64)
}

/// In the greatest unit that leaves it whole, as PostgreSQL shows it.
fn show_integer(number: i64, unit: Unit) -> String {
    let steps: &[(&str, i64)] = match unit {
        Unit::None => return number.to_string(),
        Unit::Milliseconds => &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)],
        Unit::Seconds => &[("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)],
        Unit::Minutes => &[("d", 1440), ("h", 60), ("min", 1)],
        Unit::Kilobytes => &[("TB", 1 << 30), ("GB", 1 << 20), ("MB", 1 << 10), ("kB", 1)],
        Unit::Blocks => &[("TB", 1 << 27), ("GB", 1 << 17), ("MB", 1 << 7)],
    };
    if number <= 0 {
        return number.to_string();
    }
    match steps.iter().find(|(_, size)| number % size == 0) {
        Some((name, size)) => format!("{}{name}", number / size),
        None => format!("{}kB", number * 8),
    }
}

fn real(name: &str, value: &str, min: f64, max: f64) -> Result<String> {
    match value.trim().parse::<f64>() {
        Ok(number) if number >= min && number <= max => Ok(number.to_string()),
        Ok(number) if number.is_finite() => Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{number} is outside the valid range for parameter \"{name}\" ({min} .. {max})"),
        )),
        _ => Err(invalid(name, value)),
    }
}

/// The output style must be ISO; the order of day and month in input is month first.
fn date_style(name: &str, value: &str) -> Result<String> {
    for word in value.split(',').map(|w| w.trim().to_ascii_lowercase()) {
        match word.as_str() {
            "iso" | "mdy" | "us" | "noneuro" | "noneuropean" | "default" => {}
            "sql" | "german" | "dmy" | "ymd" | "euro" | "european" => {
                return Err(SqlError::unsupported(
                    format!("parameter \"{name}\" cannot be set to \"{value}\""),
                    "The only date style that is supported is \"ISO, MDY\".",
                ));
            }
            w if w.starts_with("postgres") => {
                return Err(SqlError::unsupported(
                    format!("parameter \"{name}\" cannot be set to \"{value}\""),
                    "The only date style that is supported is \"ISO, MDY\".",
                ));
            }
            _ => return Err(invalid(name, value).detail(format!("Unrecognized key word: \"{word}\"."))),
        }
    }
    Ok("ISO, MDY".to_owned())
}

fn encoding(name: &str, value: &str) -> Result<String> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    match plain.as_str() {
        "UTF8" | "UNICODE" => Ok("UTF8".to_owned()),
        "LATIN1" | "LATIN2" | "LATIN9" | "ISO88591" | "ISO885915" | "WIN1250" | "WIN1251" | "WIN1252" | "SQLASCII" | "EUCJP"
        | "SJIS" | "BIG5" | "GBK" | "GB18030" | "EUCKR" | "KOI8R" => Err(SqlError::unsupported(
            format!("conversion between {value} and UTF8 is not supported"),
            "Set client_encoding to UTF8.",
        )),
        _ => Err(invalid(name, value)),
    }
}

/// Empty for none, else a JSON object.
fn json_object(name: &str, value: &str) -> Result<String> {
    if value.trim().is_empty() {
        return Ok(String::new());
    }
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err(invalid(name, value).detail("The value must be a JSON object.")),
    }
}

/// Identifiers of a list such as search_path, folded unless quoted; `None` when it is not one.
pub fn split_list(value: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = value.trim();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let (name, after) = list_item(rest)?;
        names.push(name);
        let after = after.trim_start();
        if after.is_empty() {
            return Some(names);
        }
        rest = after.strip_prefix(',')?.trim_start();
    }
}

fn list_item(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.is_empty() && !name.contains('"')).then(|| (name.to_lowercase(), rest));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
            chars.next();
            name.push('"');
        } else {
            return Some((name, &quoted[at + 1..]));
        }
    }
    None
}
