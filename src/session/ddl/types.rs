//! ALTER COLUMN … TYPE: which changes leave every stored value readable as it is.
//!
//! Pure. Nothing is ever rewritten: versions of the past stay as they were written.

use crate::types::{PgType, TypeName};

/// Whether every value stored as `from` reads as `to` unchanged; `keyed` columns also need the same key bytes.
pub(super) fn reads_unchanged(from: PgType, to: PgType, keyed: bool) -> bool {
    use TypeName::{Int2, Int4, Int8, Numeric, Text, Varchar};
    if from == to {
        return true;
    }
    if from.array != to.array || (from.array && keyed) {
        return false;
    }
    match (from.name, to.name) {
        (Int2, Int2 | Int4 | Int8) | (Int4, Int4 | Int8) | (Int8, Int8) => true,
        (Text | Varchar, Text) => true,
        (Text | Varchar, Varchar) => match (from.max_chars(), to.max_chars()) {
            (_, None) => true,
            (Some(old), Some(new)) => new >= old,
            (None, Some(_)) => false,
        },
        (Numeric, Numeric) => wider_numeric(from, to, keyed),
        _ => false,
    }
}

fn wider_numeric(from: PgType, to: PgType, keyed: bool) -> bool {
    let shape = |ty: PgType| ty.numeric_precision().unwrap_or((38, crate::types::pg_type::UNCONSTRAINED_SCALE));
    let ((p1, s1), (p2, s2)) = (shape(from), shape(to));
    let whole = |p: u8, s: i8| i16::from(p) - i16::from(s);
    whole(p2, s2) >= whole(p1, s1) && s2 >= s1 && (!keyed || s1 == s2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(p: i32, s: i32) -> PgType {
        PgType::new(TypeName::Numeric).with_modifier(((p << 16) | s) + 4)
    }

    fn varchar(n: i32) -> PgType {
        PgType::new(TypeName::Varchar).with_modifier(n + 4)
    }

    #[test]
    fn only_widening_reads_unchanged() {
        let check = |from, to, keyed, expected| assert_eq!(reads_unchanged(from, to, keyed), expected, "{from:?} {to:?}");
        check(PgType::INT4, PgType::INT8, true, true);
        check(PgType::INT8, PgType::INT4, false, false);
        check(varchar(5), varchar(9), true, true);
        check(varchar(9), varchar(5), false, false);
        check(varchar(9), PgType::TEXT, true, true);
        check(PgType::TEXT, varchar(9), false, false);
        check(numeric(10, 2), numeric(12, 2), true, true);
        check(numeric(10, 2), numeric(12, 4), false, true);
        check(numeric(10, 2), numeric(12, 4), true, false);
        check(numeric(10, 2), numeric(10, 4), false, false);
        check(PgType::INT4, PgType::TEXT, false, false);
    }
}
