//! Filters to members of documents: what a store that keeps members beside its documents can use to leave documents alone.
//!
//! What comes out may leave more rows than the filters do, never fewer: every filter is checked again above the scan.
//! Only comparisons of a column with constants of its own type count.

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};

use super::pushdown::{comparison, equalities};
use crate::history::{ColumnDef, TableDef};
use crate::types::PgType;
use crate::versions::{MemberFilter, MemberTest, MemberValue};

/// A list longer than this is no help.
const MOST_VALUES: usize = 1_000;

/// Whole numbers beyond this are not all told apart where members are kept.
const EXACT: i64 = 1 << 53;

/// What a row passing `filters` must have, where the table's rows are documents. `column` finds the definition of a column
/// by the name that the filters use.
pub fn of<'a>(table: &TableDef, filters: &[Expr], column: impl Fn(&str) -> Option<&'a ColumnDef>) -> Option<Vec<MemberFilter>> {
    if !table.is_of_documents() {
        return None;
    }
    let mut known = Known::new();
    filters.iter().for_each(|filter| learn(filter, &column, &mut known));
    let found: Vec<_> = known.into_iter().map(|(path, test)| MemberFilter { path, test }).collect();
    (!found.is_empty()).then_some(found)
}

/// What is known of members, by their paths.
type Known = BTreeMap<Vec<String>, MemberTest>;

fn learn<'a>(filter: &Expr, column: &impl Fn(&str) -> Option<&'a ColumnDef>, known: &mut Known) {
    match filter {
        Expr::BinaryExpr(both) if both.op == Operator::And => {
            learn(&both.left, column, known);
            learn(&both.right, column, known);
        }
        Expr::Between(between) if !between.negated => {
            for (bound, op) in [(&between.low, Operator::GtEq), (&between.high, Operator::LtEq)] {
                if let (Expr::Column(name), Expr::Literal(value, _)) = (&*between.expr, &**bound)
                    && let Some(def) = column(&name.name)
                {
                    bounded(def, op, value, known);
                }
            }
        }
        // A condition that is a column.
        Expr::Column(name) => {
            if let Some(def) = column(&name.name) {
                one_of(def, vec![&ScalarValue::Boolean(Some(true))], known);
            }
        }
        Expr::Not(inner) => {
            if let Expr::Column(name) = &**inner
                && let Some(def) = column(&name.name)
            {
                one_of(def, vec![&ScalarValue::Boolean(Some(false))], known);
            }
        }
        _ => {
            if let Some((def, values)) = equalities(filter, column) {
                one_of(def, values, known);
            } else if let Some((def, op, value)) = comparison(filter, column) {
                bounded(def, op, value, known);
            } else if let Some((path, texts)) = texts_read(filter, column).filter(|(_, texts)| texts.len() <= MOST_VALUES) {
                known.entry(path).or_insert(MemberTest::ReadsAs(texts));
            }
        }
    }
}

/// `c->'a'->>'b' = v`, `… IN (…)` and ORs of those over one path.
fn texts_read<'a>(filter: &Expr, column: &impl Fn(&str) -> Option<&'a ColumnDef>) -> Option<(Vec<String>, Vec<String>)> {
    let value = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text.clone()),
        _ => None,
    };
    match filter {
        Expr::BinaryExpr(both) if both.op == Operator::Or => {
            let (path, mut texts) = texts_read(&both.left, column)?;
            let (other, more) = texts_read(&both.right, column)?;
            texts.extend(more);
            (path == other).then_some((path, texts))
        }
        Expr::BinaryExpr(both) if both.op == Operator::Eq => {
            let sides = [(&both.left, &both.right), (&both.right, &both.left)];
            sides.into_iter().find_map(|(path, text)| Some((path_read(path, "jsonb_field_text", column)?, vec![value(text)?])))
        }
        Expr::InList(list) if !list.negated => {
            let texts = list.list.iter().map(value).collect::<Option<Vec<_>>>()?;
            Some((path_read(&list.expr, "jsonb_field_text", column)?, texts))
        }
        _ => None,
    }
}

/// The path that ends with this function of a jsonb value and the name of a member.
fn path_read<'a>(expr: &Expr, function: &str, column: &impl Fn(&str) -> Option<&'a ColumnDef>) -> Option<Vec<String>> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let [of, Expr::Literal(ScalarValue::Utf8(Some(name)), _)] = &call.args[..] else { return None };
    if call.name() != function {
        return None;
    }
    let mut path = match of {
        Expr::Column(root) => vec![column(&root.name).filter(|def| def.ty == PgType::JSONB)?.field.clone()],
        inner => path_read(inner, "jsonb_field", column)?,
    };
    path.push(name.clone());
    Some(path)
}

fn one_of(def: &ColumnDef, values: Vec<&ScalarValue>, known: &mut Known) {
    let values: Option<Vec<_>> = values.into_iter().map(|value| value_of(value, def.ty)).collect();
    let Some(values) = values.filter(|values| values.len() <= MOST_VALUES) else { return };
    // Of two conditions either is a superset: a list says more than bounds do.
    let path = vec![def.field.clone()];
    match known.get(&path) {
        Some(MemberTest::OneOf(before)) if before.len() <= values.len() => {}
        _ => drop(known.insert(path, MemberTest::OneOf(values))),
    }
}

fn bounded(def: &ColumnDef, op: Operator, value: &ScalarValue, known: &mut Known) {
    let Some(MemberValue::Number(value)) = value_of(value, def.ty) else { return };
    if !matches!(op, Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq) {
        return;
    }
    let test = known.entry(vec![def.field.clone()]).or_insert(MemberTest::Within { low: None, high: None });
    if let MemberTest::Within { low, high } = test {
        match op {
            Operator::Gt | Operator::GtEq => *low = Some(low.map_or(value, |before| before.max(value))),
            _ => *high = Some(high.map_or(value, |before| before.min(value))),
        }
    }
}

/// The value of a member that reads as this value of its column; `None` where other members may read so too.
fn value_of(value: &ScalarValue, ty: PgType) -> Option<MemberValue> {
    match value {
        ScalarValue::Boolean(Some(value)) if ty == PgType::BOOL => Some(MemberValue::Bool(*value)),
        ScalarValue::Int64(Some(value)) if ty == PgType::INT8 => {
            (-EXACT..=EXACT).contains(value).then_some(MemberValue::Number(*value as f64))
        }
        ScalarValue::Float64(Some(value)) if ty == PgType::FLOAT8 => value.is_finite().then_some(MemberValue::Number(*value)),
        // What a column of text cannot hold reads as U+FFFD.
        ScalarValue::Utf8(Some(value)) if ty == PgType::TEXT => {
            (!value.contains('\u{fffd}')).then(|| MemberValue::Text(value.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;
    use crate::history::ColumnId;

    fn filters(filter: Expr) -> Vec<String> {
        let columns = [
            ("_id", PgType::TEXT),
            ("s", PgType::TEXT),
            ("n", PgType::INT8),
            ("x", PgType::FLOAT8),
            ("b", PgType::BOOL),
            ("j", PgType::JSONB),
        ];
        let columns: Vec<_> = (1..).zip(columns).map(|(id, (name, ty))| ColumnDef::plain(ColumnId(id), name, ty)).collect();
        let mut known = Known::new();
        learn(&filter, &|name: &str| columns.iter().find(|column| column.name == name), &mut known);
        known.into_iter().map(|(path, test)| MemberFilter { path, test }.to_string()).collect()
    }

    #[test]
    fn comparisons_with_constants_of_the_columns_type_are_tests_of_members() {
        assert_eq!(filters(col("s").eq(lit("it's"))), ["s = 'it''s'"]);
        assert_eq!(filters(lit(7_i64).eq(col("n")).or(col("n").eq(lit(9_i64)))), ["n in (7, 9)"]);
        assert_eq!(filters(col("x").in_list(vec![lit(1.5), lit(2.0)], false)), ["x in (1.5, 2)"]);
        assert_eq!(filters(col("b").and(col("n").gt(lit(3_i64)))), ["b = true", "n >= 3"]);
        assert_eq!(filters(Expr::Not(Box::new(col("b")))), ["b = false"]);
        assert_eq!(filters(col("n").between(lit(3_i64), lit(9_i64)).and(col("n").lt(lit(8_i64)))), ["n between 3 and 8"]);
        assert_eq!(filters(col("n").gt(lit(3_i64)).and(col("n").eq(lit(5_i64)))), ["n = 5"]);
    }

    #[test]
    fn what_other_members_may_read_as_says_nothing() {
        for filter in [
            col("s").eq(lit("a\u{fffd}b")),
            col("s").gt(lit("a")),
            col("s").eq(lit("a")).or(col("n").eq(lit(1_i64))),
            col("n").eq(lit((1_i64 << 53) + 1)),
            col("n").not_eq(lit(1_i64)),
            col("n").eq(lit(ScalarValue::Int64(None))),
            col("x").eq(lit(f64::NAN)),
            col("x").lt(lit(f64::INFINITY)),
            col("j").eq(lit("{}")),
            Expr::Not(Box::new(col("n").eq(lit(1_i64)))),
            col("s").in_list(vec![lit("a")], true),
        ] {
            assert_eq!(filters(filter.clone()), [""; 0], "{filter}");
        }
    }
}
