//! LIKE and ILIKE with ANY or ALL of an array.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, StringBuilder, UInt64Array};
use datafusion::arrow::compute::kernels::boolean;
use datafusion::arrow::compute::{cast, ilike, like, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;

use super::arrays::{lists, range};
use super::define::Call;
use crate::error::{Result, SqlError};

/// LIKE in one of its forms.
pub struct Pattern {
    negated: bool,
    folds_case: bool,
}

impl Pattern {
    /// By the name of its operator, `~~` and its kin.
    pub fn of(operator: &str) -> Option<Self> {
        let (negated, operator) = match operator.strip_prefix('!') {
            Some(operator) => (true, operator),
            None => (false, operator),
        };
        match operator {
            "~~" => Some(Self { negated, folds_case: false }),
            "~~*" => Some(Self { negated, folds_case: true }),
            _ => None,
        }
    }

    /// `value LIKE ANY/ALL (array)`, argument 1 and argument 0, with SQL's three values.
    pub fn quantified(&self, call: &Call<'_>, any: bool) -> Result<ArrayRef> {
        let items = lists(call, 0).ok_or_else(|| SqlError::internal("an array was expected"))?.values();
        let places: Vec<Option<Vec<usize>>> = (0..call.rows).map(|row| range(call, 0, row)).collect();
        let mut values = StringBuilder::new();
        for (row, places) in places.iter().enumerate() {
            places.iter().flatten().for_each(|_| values.append_option(call.text(1, row)));
        }
        let beside: UInt64Array = places.iter().flatten().flatten().map(|place| *place as u64).collect();
        let patterns = cast(items, &DataType::Utf8).and_then(|items| take(&items, &beside, None)).map_err(failed)?;
        let found = self.matches(&values.finish(), patterns.as_string::<i32>())?;
        let mut next = 0;
        call.map::<bool, BooleanArray>(|row| {
            let Some(places) = places.get(row).and_then(Option::as_ref) else { return Ok(None) };
            let own = next..next + places.len();
            next = own.end;
            if own.clone().any(|at| found.is_valid(at) && found.value(at) == any) {
                return Ok(Some(any));
            }
            Ok(own.clone().all(|at| found.is_valid(at)).then_some(!any))
        })
    }

    /// Of each value by the pattern beside it.
    fn matches(&self, values: &StringArray, patterns: &StringArray) -> Result<BooleanArray> {
        let found = if self.folds_case { ilike(values, patterns) } else { like(values, patterns) }.map_err(failed)?;
        if self.negated { boolean::not(&found).map_err(failed) } else { Ok(found) }
    }
}

fn failed(error: ArrowError) -> SqlError {
    SqlError::internal(format!("patterns cannot be compared: {error}"))
}
