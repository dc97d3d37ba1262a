//! Filters to keys: which items a scan has to look at.
//!
//! What comes out may name more items than the filters leave, never fewer: every filter is checked again above
//! the scan. Only comparisons of a key or index column with constants of its own type count; what a version's
//! other columns hold says nothing before the version has been picked.

use std::collections::HashMap;
use std::ops::Bound;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::functions::order_key::ORDER_KEY;
use super::keys::scalar_part;
use crate::history::{ColumnDef, ColumnId, TableDef};
use crate::store::IndexCandidates;
use crate::types::TypeName;
use crate::types::numeric::Numeric;
use crate::types::numeric::column::{ARROW, scalar};
use crate::versions::{ItemKey, KeyFilter};

/// More points than this are read as a range.
const MOST_POINTS: usize = 4_096;

/// What the filters say about one column, as encoded key parts.
#[derive(Clone, Debug, Default)]
struct Known {
    /// One of these, where given.
    any_of: Option<Vec<Vec<u8>>>,
    low: Option<Bound<Vec<u8>>>,
    high: Option<Bound<Vec<u8>>>,
}

/// The keys and, where they say nothing, the index entries that a row passing `filters` must have.
///
/// `column` finds the definition of a column by the name the filters use; keys and indexes are those of `table`.
pub fn keys_of<'a>(
    table: &TableDef,
    filters: &[Expr],
    column: impl Fn(&str) -> Option<&'a ColumnDef>,
) -> (KeyFilter, Option<IndexCandidates>) {
    let mut known: HashMap<ColumnId, Known> = HashMap::new();
    for filter in filters {
        learn(filter, &column, &mut known);
    }
    let key: Vec<ColumnId> = table.key_columns().map(|c| c.id).collect();
    let keys = filter_of(&key, &known);
    // Members of documents are not entries: see `member_filters`.
    if keys != KeyFilter::All || table.is_of_documents() {
        return (keys, None);
    }
    let uniques = table.uniques.iter().map(|u| (u.id, &u.columns));
    let indexes = table.indexes.iter().map(|i| (i.id, &i.columns));
    // A row with a NULL is not among those of a foreign key: all of its columns must be asked for.
    let asked = |id: &ColumnId| known.get(id).is_some_and(|k| k.any_of.is_some());
    let foreign = table.foreign_keys.iter().filter(|f| f.entry.iter().all(asked)).map(|f| (f.id, &f.entry));
    let candidates = uniques.chain(indexes).chain(foreign).find_map(|(index, columns)| {
        let first = known.get(columns.first()?)?;
        first.any_of.as_ref()?;
        Some(IndexCandidates { index, keys: filter_of(columns, &known) })
    });
    (KeyFilter::All, candidates.filter(|c| c.keys != KeyFilter::All))
}

fn learn<'a>(filter: &Expr, column: &impl Fn(&str) -> Option<&'a ColumnDef>, known: &mut HashMap<ColumnId, Known>) {
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = filter {
        learn(left, column, known);
        learn(right, column, known);
        return;
    }
    if let Some((def, values)) = equalities(filter, column) {
        let Some(parts) = values.iter().map(|v| part(v, def)).collect::<Option<Vec<_>>>() else { return };
        let known = known.entry(def.id).or_default();
        // Two lists for one column: either is a superset.
        if known.any_of.as_ref().is_none_or(|before| before.len() > parts.len()) {
            known.any_of = Some(parts);
        }
        return;
    }
    if let Some((def, op, value)) = comparison(filter, column) {
        // Blanks at the end do not order as bytes do.
        if def.ty.name == TypeName::Bpchar {
            return;
        }
        let Some(part) = part(value, def) else { return };
        let known = known.entry(def.id).or_default();
        match op {
            Operator::Gt | Operator::GtEq => known.low = Some(Bound::Included(part)),
            Operator::Lt => known.high = Some(Bound::Excluded(part)),
            Operator::LtEq => known.high = Some(Bound::Included(part)),
            _ => {}
        }
    }
}

/// The encoded value; `None` for NULL (which no row equals: the filter above sees to it) or a type that differs.
fn part(value: &ScalarValue, def: &ColumnDef) -> Option<Vec<u8>> {
    match value {
        // The order key of a numeric.
        ScalarValue::Binary(Some(key)) if def.ty.arrow() == ARROW => {
            scalar_part(&scalar(Some(&Numeric::of_key(key)?)), def.ty).ok().flatten()
        }
        value => scalar_part(value, def.ty).ok().flatten(),
    }
}

/// `c = v`, `c IN (…)` and ORs of those over one column.
pub fn equalities<'e, 'a>(
    filter: &'e Expr,
    column: &impl Fn(&str) -> Option<&'a ColumnDef>,
) -> Option<(&'a ColumnDef, Vec<&'e ScalarValue>)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (def, mut values) = equalities(left, column)?;
            let (other, more) = equalities(right, column)?;
            values.extend(more);
            (def.id == other.id).then_some((def, values))
        }
        Expr::InList(list) if !list.negated => {
            let def = column_of(&list.expr, column)?;
            let values = list.list.iter().map(|e| if let Expr::Literal(v, _) = e { Some(v) } else { None });
            Some((def, values.collect::<Option<_>>()?))
        }
        _ => match comparison(filter, column)? {
            (def, Operator::Eq, value) => Some((def, vec![value])),
            _ => None,
        },
    }
}

/// A comparison of a column with a constant, the column on the left.
pub fn comparison<'e, 'a>(
    filter: &'e Expr,
    column: &impl Fn(&str) -> Option<&'a ColumnDef>,
) -> Option<(&'a ColumnDef, Operator, &'e ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    match (&**left, &**right) {
        (name, Expr::Literal(value, _)) => Some((column_of(name, column)?, *op, value)),
        (Expr::Literal(value, _), name) => Some((column_of(name, column)?, op.swap()?, value)),
        _ => None,
    }
}

fn column_of<'a>(expr: &Expr, column: &impl Fn(&str) -> Option<&'a ColumnDef>) -> Option<&'a ColumnDef> {
    match expr {
        Expr::Column(name) => column(&name.name),
        // char(n) is compared without its blanks at the end and a numeric without the digits it shows, as in keys.
        Expr::ScalarFunction(call) if call.name() == ORDER_KEY => match &call.args[..] {
            [Expr::Column(name)] => {
                let keyed = |def: &&ColumnDef| matches!(def.ty.name, TypeName::Bpchar | TypeName::Numeric) && !def.ty.array;
                column(&name.name).filter(keyed)
            }
            _ => None,
        },
        _ => None,
    }
}

/// What is known of these key columns, in order, as a filter of their keys.
fn filter_of(columns: &[ColumnId], known: &HashMap<ColumnId, Known>) -> KeyFilter {
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    for (index, id) in columns.iter().enumerate() {
        let Some(about) = known.get(id) else { return covering(prefixes, index) };
        let Some(values) = about.any_of.as_ref() else {
            return match &prefixes[..] {
                [prefix] => range(prefix, about),
                _ => covering(prefixes, index),
            };
        };
        if prefixes.len().saturating_mul(values.len()) > MOST_POINTS {
            return covering(prefixes, index);
        }
        prefixes = prefixes.iter().flat_map(|p| values.iter().map(|v| [p.as_slice(), v].concat())).collect();
    }
    if columns.is_empty() { KeyFilter::All } else { KeyFilter::points(prefixes.into_iter().map(ItemKey::from_bytes).collect()) }
}

/// Every key with one of these prefixes of `known` columns.
fn covering(prefixes: Vec<Vec<u8>>, known: usize) -> KeyFilter {
    let (Some(least), Some(greatest)) = (prefixes.iter().min(), prefixes.iter().max()) else { return KeyFilter::points(vec![]) };
    if known == 0 {
        return KeyFilter::All;
    }
    KeyFilter::Range { low: Bound::Included(ItemKey::from_bytes(least.as_slice())), high: above(greatest) }
}

fn range(prefix: &[u8], about: &Known) -> KeyFilter {
    if about.low.is_none() && about.high.is_none() {
        return if prefix.is_empty() { KeyFilter::All } else { KeyFilter::prefix(prefix) };
    }
    let whole = |part: &[u8]| [prefix, part].concat();
    let low = match &about.low {
        Some(Bound::Included(part) | Bound::Excluded(part)) => Bound::Included(ItemKey::from_bytes(whole(part))),
        _ if prefix.is_empty() => Bound::Unbounded,
        _ => Bound::Included(ItemKey::from_bytes(prefix)),
    };
    let high = match &about.high {
        Some(Bound::Included(part)) => above(&whole(part)),
        Some(Bound::Excluded(part)) => Bound::Excluded(ItemKey::from_bytes(whole(part))),
        _ if prefix.is_empty() => Bound::Unbounded,
        _ => above(prefix),
    };
    KeyFilter::Range { low, high }
}

/// The end of the keys that begin with these bytes.
fn above(prefix: &[u8]) -> Bound<ItemKey> {
    match KeyFilter::prefix(prefix) {
        KeyFilter::Range { high, .. } => high,
        KeyFilter::All | KeyFilter::Points(_) => Bound::Unbounded,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datafusion::logical_expr::{col, lit};

    use super::*;
    use crate::history::IndexDef;
    use crate::types::{PgType, Qualified};
    use crate::versions::{IndexId, KeyPart, TableId, encode_key};

    fn table(key: &[u16]) -> TableDef {
        let column = |id: u16, name: &str, ty| ColumnDef::plain(ColumnId(id), name, ty);
        TableDef {
            id: TableId(1),
            name: Qualified::new("public", "t"),
            owner: "o".into(),
            columns: vec![column(1, "a", PgType::INT4), column(2, "b", PgType::TEXT), column(3, "c", PgType::INT4)],
            primary_key: Some(("t_pkey".into(), key.iter().map(|id| ColumnId(*id)).collect())),
            row_counter: 1,
            uniques: vec![],
            indexes: vec![IndexDef { id: IndexId(8), name: "i".into(), columns: vec![ColumnId(3)], shape: Default::default() }],
            checks: vec![],
            foreign_keys: vec![],
            triggers: vec![],
            computed_indexes: vec![],
            comments: Default::default(),
            on_commit: Default::default(),
            materialized: None,
            collection: None,
            grants: BTreeMap::new(),
        }
    }

    fn check(key: &[u16], filter: Expr, inside: &[(i32, &str)], outside: &[(i32, &str)]) -> KeyFilter {
        let table = table(key);
        let (keys, _) = keys_of(&table, &[filter], |name| table.column(name));
        let encode = |row: &(i32, &str)| {
            encode_key(key.iter().map(|id| if *id == 1 { KeyPart::Int(row.0.into()) } else { KeyPart::Text(row.1) }))
        };
        for row in inside {
            assert!(keys.contains(&encode(row)), "{row:?} in {keys:?}");
        }
        for row in outside {
            assert!(!keys.contains(&encode(row)), "{row:?} not in {keys:?}");
        }
        keys
    }

    #[test]
    fn equalities_of_the_whole_key_are_points() {
        let keys = check(&[1], col("a").eq(lit(5_i32)), &[(5, "")], &[(4, ""), (6, "")]);
        assert!(matches!(keys, KeyFilter::Points(k) if k.len() == 1));
        let both = col("a").in_list(vec![lit(1_i32), lit(2_i32)], false).and(col("b").eq(lit("x")));
        let keys = check(&[1, 2], both, &[(1, "x"), (2, "x")], &[(1, "y"), (3, "x")]);
        assert!(matches!(keys, KeyFilter::Points(k) if k.len() == 2));
        check(&[1], lit(7_i32).eq(col("a")).or(col("a").eq(lit(9_i32))), &[(7, ""), (9, "")], &[(8, "")]);
    }

    #[test]
    fn a_prefix_and_a_range_bound_the_rest() {
        check(&[1, 2], col("a").eq(lit(5_i32)), &[(5, ""), (5, "zz")], &[(4, "zz"), (6, "")]);
        let filter = col("a").eq(lit(5_i32)).and(col("b").gt_eq(lit("b"))).and(col("b").lt(lit("d")));
        check(&[1, 2], filter, &[(5, "b"), (5, "cz")], &[(5, "a"), (5, "d"), (6, "c")]);
        check(&[1, 2], col("a").lt_eq(lit(5_i32)), &[(-1, "x"), (5, "x")], &[(6, "")]);
        check(&[1, 2], col("a").gt(lit(5_i32)), &[(6, "")], &[(4, "z")]);
    }

    #[test]
    fn other_columns_and_other_types_say_nothing() {
        assert_eq!(check(&[1], col("b").eq(lit("x")), &[(1, "")], &[]), KeyFilter::All);
        assert_eq!(check(&[1], col("a").eq(lit(5_i64)), &[(1, "")], &[]), KeyFilter::All);
        assert_eq!(check(&[1], col("a").not_eq(lit(5_i32)), &[(1, "")], &[]), KeyFilter::All);
        assert_eq!(check(&[1], col("a").eq(lit(5_i32)).or(col("b").eq(lit("x"))), &[(1, "")], &[]), KeyFilter::All);
    }

    #[test]
    fn an_index_serves_where_the_key_does_not() {
        let table = table(&[1]);
        let (keys, candidates) = keys_of(&table, &[col("c").eq(lit(3_i32))], |name| table.column(name));
        assert_eq!(keys, KeyFilter::All);
        let candidates = candidates.unwrap();
        assert_eq!(candidates.index, IndexId(8));
        assert!(candidates.keys.contains(&encode_key([KeyPart::Int(3)])));
        let (_, none) = keys_of(&table, &[col("c").gt(lit(3_i32))], |name| table.column(name));
        assert!(none.is_none());
    }
}
