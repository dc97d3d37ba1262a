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
    // Without precision every value reads as it was written, but keys of such columns have a form of their own.
    let Some((p2, s2)) = to.numeric_digits() else { return !keyed || from.numeric_precision().is_none() };
    let Some((p1, s1)) = from.numeric_digits() else { return false };
    let same_form = from.numeric_precision().is_some() == to.numeric_precision().is_some();
    // Values are shown with all the digits of their type, which those of a wider form do not have written down.
    let shown = to.numeric_precision().is_some() || s1 == s2;
    p2 - s2 >= p1 - s1 && s2 >= s1 && shown && (!keyed || (s1 == s2 && same_form))
}

#[cfg(test)]
mod tests {
    use TypeName::Numeric;

    use super::*;

    fn numeric(p: i32, s: i32) -> PgType {
        PgType::numeric(p, s)
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
        check(numeric(10, 2), PgType::new(Numeric), false, true);
        check(numeric(10, 2), PgType::new(Numeric), true, false);
        check(PgType::new(Numeric), numeric(38, 10), false, false);
        check(numeric(30, 2), numeric(50, 2), true, false);
        check(numeric(30, 2), numeric(50, 4), false, false);
        check(PgType::INT4, PgType::TEXT, false, false);
    }
}
