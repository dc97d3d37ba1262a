//! Single values at the edge of a write: literals of unknown type read, values shown in error details.

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::ScalarValue;

use crate::error::Result;
use crate::types::{PgType, Zone, text};

/// A literal of unknown type as a value of `ty`, lengths and precision kept; 22P02 and its kin.
pub fn read_literal(literal: &str, ty: PgType, zone: Zone) -> Result<ScalarValue> {
    text::parse(literal, ty, zone)
}

/// A row as PostgreSQL prints it in a detail: `1, null, abc`.
pub fn row_text(values: &[ArrayRef], types: &[PgType], row: usize, zone: Zone) -> String {
    let mut shown = String::new();
    for (n, (array, ty)) in values.iter().zip(types).enumerate() {
        if n > 0 {
            shown.push_str(", ");
        }
        if array.is_null(row) {
            shown.push_str("null");
        } else if text::write(&mut shown, array.as_ref(), row, *ty, zone).is_err() {
            shown.push('?');
        }
    }
    shown
}
