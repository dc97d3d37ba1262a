//! Names of time zones: IANA's, fixed offsets as SQL writes them, and POSIX strings with their inverted sign.
//!
//! Pure. Refuses daylight-saving rules inside POSIX strings: those have IANA names.

/// As SHOW TimeZone gives it; `None` when nobody knows the zone.
///
/// A bare number is hours east of Greenwich and is shown as PostgreSQL does (`<-07>+07`); `ABC+3` is POSIX,
/// where + lies west.
pub fn parse(value: &str) -> Option<String> {
    let value = value.trim();
    if let Ok(hours) = value.parse::<f64>() {
        let seconds = (hours * 3600.0).round();
        return (seconds.abs() < 168.0 * 3600.0).then(|| posix_form(seconds as i32));
    }
    if let Some(interval) = interval_offset(value) {
        return Some(posix_form(interval));
    }
    if let Some(tz) = chrono_tz::TZ_VARIANTS.iter().find(|tz| tz.name().eq_ignore_ascii_case(value)) {
        return Some(tz.name().to_owned());
    }
    if value.eq_ignore_ascii_case("z") || value.eq_ignore_ascii_case("zulu") {
        return Some("UTC".to_owned());
    }
    posix_offset(value).map(|_| value.to_owned())
}

/// The zone as statements need it: an IANA name, or a fixed offset in the form `<+02>-02`.
pub fn for_statements(shown: &str) -> String {
    if shown.starts_with('<') || chrono_tz::TZ_VARIANTS.iter().any(|tz| tz.name() == shown) {
        return shown.to_owned();
    }
    posix_offset(shown).map_or_else(|| "UTC".to_owned(), posix_form)
}

/// Seconds east of Greenwich to `<+05:30>-05:30`.
fn posix_form(east: i32) -> String {
    let written = |seconds: i32| {
        let (sign, n) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
        let (h, m, s) = (n / 3600, n / 60 % 60, n % 60);
        match (m, s) {
            (0, 0) => format!("{sign}{h:02}"),
            (m, 0) => format!("{sign}{h:02}:{m:02}"),
            (m, s) => format!("{sign}{h:02}:{m:02}:{s:02}"),
        }
    };
    format!("<{}>{}", written(east), written(-east))
}

/// `INTERVAL '-08:00' HOUR TO MINUTE` arrives as its text, `-08:00` with the sign of SQL… only in its long form.
fn interval_offset(value: &str) -> Option<i32> {
    let inner = value.to_ascii_lowercase();
    let inner = inner.strip_prefix("interval")?.trim();
    let quoted = inner.strip_prefix('\'')?.split('\'').next()?;
    clock(quoted)
}

/// Seconds east of a POSIX string (`UTC+3`, `<+02>-02`, `GMT-03:00`), whose sign counts westward.
fn posix_offset(value: &str) -> Option<i32> {
    let rest = match value.strip_prefix('<') {
        Some(named) => named.split_once('>')?.1,
        None => {
            let end = value.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(value.len());
            if end != 0 && end < 3 {
                return None;
            }
            &value[end..]
        }
    };
    clock(rest).map(|west| -west)
}

/// `[+-]h[h][:mm[:ss]]` in seconds.
fn clock(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut seconds = 0;
    let mut parts = digits.split(':');
    for (unit, limit) in [(3600, 167), (60, 59), (1, 59)] {
        let Some(part) = parts.next() else { break };
        let n: i32 = part.parse().ok().filter(|n| (0..=limit).contains(n) && part.len() <= 3)?;
        seconds += n * unit;
    }
    parts.next().is_none().then_some(sign * seconds)
}
