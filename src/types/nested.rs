//! How arrays are carried in Arrow: `LargeList<Struct<item, bounds>>`, one form whatever dimensions a value has, so that
//! the type of an expression never depends on its values.
//!
//! The items of a value stand in their order, the last subscript changing first. The first item of a value that is not
//! plain, one of several dimensions or with subscripts that do not begin at 1, has its bounds beside it; all other bounds
//! are NULL. An empty array has no dimensions. Arrow's `List` is what functions work on, and never the type of an array.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, LargeListArray, ListArray, StructArray, new_null_array,
};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};

use crate::error::{Result, SqlError, SqlState};

/// PostgreSQL's limit.
pub const MOST_DIMENSIONS: usize = 6;
/// PostgreSQL's limit of the items of one array.
const MOST_ITEMS: i64 = 134_217_727;

const ITEM: &str = "item";
const BOUNDS: &str = "bounds";

/// Of each dimension the first subscript and how many there are; none of an empty array.
pub type Bounds = Vec<(i32, i32)>;

/// The bounds of so many items in one dimension from 1.
pub fn plain(items: usize) -> Bounds {
    if items == 0 { Vec::new() } else { vec![(1, i32::try_from(items).unwrap_or(i32::MAX))] }
}

/// How many items there are within the bounds. 54000 beyond PostgreSQL's limits.
pub fn items_within(bounds: &[(i32, i32)]) -> Result<usize> {
    if bounds.len() > MOST_DIMENSIONS {
        return Err(too_many_dimensions(bounds.len()));
    }
    let too_large = || {
        let message = format!("array size exceeds the maximum allowed ({MOST_ITEMS})");
        SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
    };
    let mut items = i64::from(!bounds.is_empty());
    for (first, length) in bounds {
        if *length < 0 {
            return Err(too_large());
        }
        if i64::from(*first) + i64::from(*length) > i64::from(i32::MAX) {
            let message = format!("array lower bound is too large: {first}");
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        items = items.checked_mul(i64::from(*length)).filter(|n| *n <= MOST_ITEMS).ok_or_else(too_large)?;
    }
    usize::try_from(items).map_err(|_| too_large())
}

pub fn too_many_dimensions(dimensions: usize) -> SqlError {
    let message = format!("number of array dimensions ({dimensions}) exceeds the maximum allowed ({MOST_DIMENSIONS})");
    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

/// `[1:2][0:3]`
pub fn shown(bounds: &[(i32, i32)]) -> String {
    bounds.iter().map(|(first, length)| format!("[{first}:{}]", i64::from(*first) + i64::from(*length) - 1)).collect()
}

/// The place of an item by its subscripts; `None` where there is none, or another number of dimensions.
pub fn place(bounds: &[(i32, i32)], subscripts: &[i64]) -> Option<usize> {
    if subscripts.len() != bounds.len() || subscripts.is_empty() {
        return None;
    }
    bounds.iter().zip(subscripts).try_fold(0usize, |place, ((first, length), subscript)| {
        let at = subscript.checked_sub(i64::from(*first)).filter(|at| (0..i64::from(*length)).contains(at))?;
        Some(place * *length as usize + at as usize)
    })
}

/// The type that carries arrays of such items.
pub fn data_type(item: Field) -> DataType {
    let fields = Fields::from(vec![item.with_name(ITEM).with_nullable(true), Field::new(BOUNDS, DataType::Binary, true)]);
    DataType::LargeList(Arc::new(Field::new(ITEM, DataType::Struct(fields), true)))
}

/// The field of the items, where the type is one that carries arrays.
pub fn item_of(arrow: &DataType) -> Option<&FieldRef> {
    let DataType::LargeList(inner) = arrow else { return None };
    match inner.data_type() {
        DataType::Struct(fields) => match &fields[..] {
            [item, bounds] if item.name() == ITEM && bounds.name() == BOUNDS => Some(item),
            _ => None,
        },
        _ => None,
    }
}

/// The list that functions work on, of a type that carries arrays; every other type as it is.
pub fn listed(arrow: &DataType) -> DataType {
    item_of(arrow).map_or_else(|| arrow.clone(), |item| DataType::List(Arc::clone(item)))
}

/// The type that carries arrays of a list's items; every other type as it is.
pub fn carried(arrow: &DataType) -> DataType {
    match arrow {
        DataType::List(item) => data_type(item.as_ref().clone()),
        other => other.clone(),
    }
}

/// A look at a column of arrays.
pub struct View<'a> {
    lists: &'a LargeListArray,
    /// The items of all values, one behind the other.
    pub items: &'a ArrayRef,
    bounds: &'a BinaryArray,
}

impl<'a> View<'a> {
    /// `None` for a column of anything else.
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        item_of(array.data_type())?;
        let lists = array.as_list_opt::<i64>()?;
        let parts = lists.values().as_struct_opt()?;
        Some(Self { lists, items: parts.columns().first()?, bounds: parts.columns().get(1)?.as_binary_opt()? })
    }

    /// The places of a value's items.
    pub fn range(&self, row: usize) -> Range<usize> {
        let ends = self.lists.value_offsets();
        ends[row] as usize..ends[row + 1] as usize
    }

    /// The bounds of a value that is not plain.
    pub fn bounds(&self, row: usize) -> Option<Bounds> {
        let range = self.range(row);
        if self.lists.is_null(row) || range.is_empty() || self.bounds.is_null(range.start) {
            return None;
        }
        let number = |bytes: &[u8; 4]| i32::from_be_bytes(*bytes);
        let (numbers, _) = self.bounds.value(range.start).as_chunks::<4>();
        let (pairs, _) = numbers.as_chunks::<2>();
        Some(pairs.iter().map(|[first, length]| (number(first), number(length))).collect())
    }
}

/// A column of arrays taken apart: the items in lists, and the bounds of values that are not plain.
#[derive(Clone, Debug)]
pub struct Parts {
    pub lists: ListArray,
    /// `None` where all values are plain.
    pub bounds: Option<Vec<Option<Bounds>>>,
}

impl Parts {
    /// Of arrays, and of lists, which are plain; `None` for all else.
    pub fn of(array: &dyn Array) -> Option<Self> {
        if let Some(lists) = array.as_list_opt::<i32>() {
            return Some(Self { lists: lists.clone(), bounds: None });
        }
        let view = View::of(array)?;
        let ends = view.lists.value_offsets().iter().map(|end| i32::try_from(*end).ok()).collect::<Option<Vec<_>>>()?;
        let DataType::List(item) = listed(array.data_type()) else { return None };
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let lists = ListArray::try_new(item, offsets, Arc::clone(view.items), view.lists.nulls().cloned()).ok()?;
        let some = view.bounds.null_count() < view.bounds.len();
        let bounds = some.then(|| (0..array.len()).map(|row| view.bounds(row)).collect::<Vec<_>>());
        Some(Self { lists, bounds: bounds.filter(|all| all.iter().any(Option::is_some)) })
    }

    /// The bounds of a value; `None` for NULL.
    pub fn bounds(&self, row: usize) -> Option<Bounds> {
        if self.lists.is_null(row) {
            return None;
        }
        let own = self.bounds.as_ref().and_then(|all| all.get(row).cloned().flatten());
        Some(own.unwrap_or_else(|| plain(self.lists.value_length(row) as usize)))
    }

    /// The column of arrays.
    pub fn put_together(self) -> Result<ArrayRef> {
        let Self { lists, bounds } = self;
        let DataType::List(item) = lists.data_type() else { return Err(broken()) };
        let DataType::LargeList(inner) = data_type(item.as_ref().clone()) else { return Err(broken()) };
        let DataType::Struct(fields) = inner.data_type() else { return Err(broken()) };
        let beside: ArrayRef = match bounds {
            None => new_null_array(&DataType::Binary, lists.values().len()),
            Some(bounds) => Arc::new(placed(&lists, &bounds)?),
        };
        let parts = StructArray::try_new(fields.clone(), vec![Arc::clone(lists.values()), beside], None).map_err(|_| broken())?;
        let ends: Vec<i64> = lists.value_offsets().iter().map(|end| i64::from(*end)).collect();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let arrays = LargeListArray::try_new(Arc::clone(&inner), offsets, Arc::new(parts), lists.nulls().cloned());
        Ok(Arc::new(arrays.map_err(|_| broken())?))
    }
}

/// Bounds beside the first items of the values that have them.
fn placed(lists: &ListArray, bounds: &[Option<Bounds>]) -> Result<BinaryArray> {
    let mut out = BinaryBuilder::new();
    let mut done = 0;
    for (row, own) in bounds.iter().enumerate() {
        let (start, end) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
        let Some(own) = own.as_ref().filter(|own| start < end && lists.is_valid(row) && **own != plain(end - start)) else {
            continue;
        };
        if items_within(own)? != end - start {
            return Err(SqlError::internal("the bounds of an array do not fit its items"));
        }
        (done..start).for_each(|_| out.append_null());
        let bytes = own.iter().flat_map(|(first, length)| [first.to_be_bytes(), length.to_be_bytes()]);
        out.append_value(bytes.collect::<Vec<_>>().concat());
        done = start + 1;
    }
    (done..lists.values().len()).for_each(|_| out.append_null());
    Ok(out.finish())
}

/// A column of arrays whose lists are these, all of them plain. A column of anything else as it is.
pub fn carrying(array: ArrayRef) -> Result<ArrayRef> {
    match array.as_list_opt::<i32>() {
        Some(lists) => Parts { lists: lists.clone(), bounds: None }.put_together(),
        None => Ok(array),
    }
}

fn broken() -> SqlError {
    SqlError::internal("items that do not fit their array")
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int32Array;
    use datafusion::arrow::compute::{concat, take};

    use super::*;
    use crate::types::PgType;

    fn arrays(rows: &[Option<(&[i32], Option<Bounds>)>]) -> ArrayRef {
        let items: Int32Array = rows.iter().flatten().flat_map(|(items, _)| items.iter().map(|n| Some(*n))).collect();
        let lengths = rows.iter().map(|row| row.as_ref().map_or(0, |(items, _)| items.len()));
        let field = Arc::new(PgType::INT4.field("item", true));
        let nulls = rows.iter().map(Option::is_some).collect::<Vec<_>>();
        let lists = ListArray::new(field, OffsetBuffer::from_lengths(lengths), Arc::new(items), Some(nulls.into()));
        let bounds = rows.iter().map(|row| row.as_ref().and_then(|(_, bounds)| bounds.clone())).collect();
        Parts { lists, bounds: Some(bounds) }.put_together().unwrap()
    }

    #[test]
    fn bounds_stay_with_their_values_wherever_rows_go() {
        let square = vec![(1, 2), (1, 2)];
        let column = arrays(&[
            Some((&[1, 2], None)),
            None,
            Some((&[1, 2, 3, 4], Some(square.clone()))),
            Some((&[], None)),
            Some((&[7], Some(vec![(5, 1)]))),
            Some((&[8], Some(vec![(1, 1)]))),
        ]);
        assert_eq!(*column.data_type(), PgType::INT4.array_of().arrow());
        let expected = [Some(vec![(1, 2)]), None, Some(square), Some(vec![]), Some(vec![(5, 1)]), Some(vec![(1, 1)])];
        let parts = Parts::of(&column).unwrap();
        (0..6).for_each(|row| assert_eq!(parts.bounds(row), expected[row], "{row}"));
        let order = datafusion::arrow::array::UInt32Array::from(vec![4, 2, 2, 0, 1]);
        let taken = take(&column, &order, None).unwrap();
        let both = concat(&[taken.as_ref(), column.slice(2, 3).as_ref()]).unwrap();
        let parts = Parts::of(&both).unwrap();
        for (row, from) in [4, 2, 2, 0, 1, 2, 3, 4].into_iter().enumerate() {
            assert_eq!(parts.bounds(row), expected[from], "{row}");
        }
        let whole = Parts::of(&both).unwrap().put_together().unwrap();
        assert_eq!(Parts::of(&whole).unwrap().bounds, parts.bounds);
    }

    #[test]
    fn bounds_that_do_not_fit_are_refused() {
        let field = Arc::new(PgType::INT4.field("item", true));
        let items = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let lists = ListArray::new(field, OffsetBuffer::from_lengths([3]), items, None);
        assert!(Parts { lists, bounds: Some(vec![Some(vec![(1, 2), (1, 2)])]) }.put_together().is_err());
        assert_eq!(items_within(&[(1, i32::MAX), (1, 2)]).unwrap_err().code().code(), "54000");
        assert_eq!(items_within(&[(1, 2); 7]).unwrap_err().code().code(), "54000");
    }

    #[test]
    fn subscripts_find_items() {
        let bounds = [(0, 2), (1, 3)];
        assert_eq!(shown(&bounds), "[0:1][1:3]");
        assert_eq!(place(&bounds, &[1, 2]), Some(4));
        assert_eq!(place(&bounds, &[2, 1]), None);
        assert_eq!(place(&bounds, &[1]), None);
        assert_eq!(place(&[], &[]), None);
    }
}
