//! Single values at the edge of a write: literals of unknown type read, values shown in error details.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::ScalarValue;

use crate::error::Result;
use crate::types::{PgType, Zone, text};

/// A literal of unknown type as a value of `ty`, lengths and precision kept; 22P02 and its kin.
pub fn read_literal(literal: &str, ty: PgType, zone: Zone) -> Result<ScalarValue> {
    text::scalar_from_text(ty, literal, zone)
}

/// A row as PostgreSQL prints it in a detail: `1, null, abc`.
pub fn row_text(values: &[ArrayRef], types: &[PgType], row: usize, zone: Zone) -> String {
    let mut shown = String::new();
    for (n, (array, ty)) in values.iter().zip(types).enumerate() {
        if n > 0 {
            shown.push_str(", ");
        }
        match text::write_value(&mut shown, *ty, array, row, zone) {
            Ok(true) => {}
            Ok(false) => shown.push_str("null"),
            Err(_) => shown.push('?'),
        }
    }
    shown
}
