//! Seconds with fewer digits than a microsecond has, rounded as PostgreSQL rounds them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use super::PgType;
use super::TypeName;
use super::calendar::is_infinite;

/// 2000-01-01 in microseconds since 1970: halves are rounded away from it.
const EPOCH: i64 = 946_684_800_000_000;

/// Microseconds as a type keeps them; those of a type that says nothing of its digits as they are.
pub fn rounded(ty: PgType, micros: i64) -> i64 {
    let Some(digits) = ty.time_precision() else { return micros };
    match ty.name {
        TypeName::Timestamp | TypeName::Timestamptz if is_infinite(micros) => micros,
        TypeName::Timestamp | TypeName::Timestamptz => round(micros.saturating_sub(EPOCH), digits).saturating_add(EPOCH),
        _ => round(micros, digits),
    }
}

fn round(micros: i64, digits: u32) -> i64 {
    let unit = 10_i64.pow(6_u32.saturating_sub(digits));
    let whole = micros.unsigned_abs().saturating_add(unit.unsigned_abs() / 2) / unit.unsigned_abs() * unit.unsigned_abs();
    i64::try_from(whole).map_or(micros, |whole| if micros < 0 { -whole } else { whole })
}

/// The same of an interval's time.
pub fn rounded_interval(ty: PgType, interval: IntervalMonthDayNano) -> IntervalMonthDayNano {
    match ty.time_precision() {
        None => interval,
        Some(_) => IntervalMonthDayNano { nanoseconds: rounded(ty, interval.nanoseconds / 1000) * 1000, ..interval },
    }
}

/// The same of a column of the type.
pub fn rounded_column(ty: PgType, values: &ArrayRef) -> ArrayRef {
    match ty.name {
        _ if ty.array || ty.time_precision().is_none() => Arc::clone(values),
        TypeName::Time => match values.as_primitive_opt::<Time64MicrosecondType>() {
            Some(times) => Arc::new(times.unary::<_, Time64MicrosecondType>(|t| rounded(ty, t))),
            None => Arc::clone(values),
        },
        TypeName::Interval => match values.as_primitive_opt::<IntervalMonthDayNanoType>() {
            Some(intervals) => Arc::new(intervals.unary::<_, IntervalMonthDayNanoType>(|i| rounded_interval(ty, i))),
            None => Arc::clone(values),
        },
        _ => match values.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(instants) => {
                let zone = instants.timezone().map(Arc::from);
                let rounded = instants.unary::<_, TimestampMicrosecondType>(|t| rounded(ty, t));
                Arc::new(rounded.with_timezone_opt(zone))
            }
            None => Arc::clone(values),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_away_from_the_epoch() {
        let of = |name: TypeName, p: i32| PgType::new(name).with_precision(p);
        let timestamp = of(TypeName::Timestamp, 0);
        assert_eq!(rounded(timestamp, EPOCH + 1_500_000), EPOCH + 2_000_000);
        assert_eq!(rounded(timestamp, EPOCH - 1_500_000), EPOCH - 2_000_000);
        assert_eq!(rounded(timestamp, EPOCH + 1_499_999), EPOCH + 1_000_000);
        assert_eq!(rounded(timestamp, i64::MAX), i64::MAX);
        assert_eq!(rounded(of(TypeName::Time, 3), 1_234_567), 1_235_000);
        assert_eq!(rounded(of(TypeName::Time, 6), 1_234_567), 1_234_567);
        assert_eq!(rounded(PgType::new(TypeName::Time), 1_234_567), 1_234_567);
        let interval = IntervalMonthDayNano::new(1, 2, -1_250_000_000);
        assert_eq!(rounded_interval(of(TypeName::Interval, 1), interval).nanoseconds, -1_300_000_000);
        assert_eq!(of(TypeName::Timestamptz, 3).sql_name(), "timestamp(3) with time zone");
        assert_eq!(of(TypeName::Interval, 0).array_of().sql_name(), "interval(0)[]");
    }
}
