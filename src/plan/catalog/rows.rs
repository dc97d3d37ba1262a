//! Rows of a catalogue relation, cell by cell, into one Arrow batch.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch,
    RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use datafusion::arrow::datatypes::DataType;

use super::spec::Spec;
use crate::error::{Result, SqlError};
use crate::types::{PgType, nested};

/// One value of a row; converted to the column's type, which must be of the same kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

macro_rules! cell_from_integer {
    ($($ty:ty),*) => {$(
        impl From<$ty> for Cell<'_> {
            fn from(n: $ty) -> Self {
                Self::Int(i64::from(n))
            }
        }
    )*};
}
cell_from_integer!(i16, u16, i32, u32, i64);

impl From<bool> for Cell<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Cell<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<char> for Cell<'_> {
    fn from(c: char) -> Self {
        Self::Text(Cow::Owned(c.to_string()))
    }
}

impl From<Vec<i64>> for Cell<'_> {
    fn from(values: Vec<i64>) -> Self {
        Self::Ints(values)
    }
}

impl From<Vec<String>> for Cell<'_> {
    fn from(values: Vec<String>) -> Self {
        Self::Texts(values)
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

enum Builder {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Text(StringBuilder),
    Instant(TimestampMicrosecondBuilder),
    Int2s(ListBuilder<Int16Builder>),
    Int4s(ListBuilder<Int32Builder>),
    Int8s(ListBuilder<Int64Builder>),
    Texts(ListBuilder<StringBuilder>),
    /// Of a type that no catalogue row has a value of.
    Nulls(DataType, usize),
}

impl Builder {
    fn new(ty: PgType) -> Self {
        let arrow = ty.arrow();
        if let DataType::List(item) = &nested::listed(&arrow) {
            let item = item.clone();
            return match item.data_type() {
                DataType::Int16 => Self::Int2s(ListBuilder::new(Int16Builder::new()).with_field(item)),
                DataType::Int32 => Self::Int4s(ListBuilder::new(Int32Builder::new()).with_field(item)),
                DataType::Int64 => Self::Int8s(ListBuilder::new(Int64Builder::new()).with_field(item)),
                DataType::Utf8 => Self::Texts(ListBuilder::new(StringBuilder::new()).with_field(item)),
                _ => Self::Nulls(arrow, 0),
            };
        }
        match arrow {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int16 => Self::Int2(Int16Builder::new()),
            DataType::Int32 => Self::Int4(Int32Builder::new()),
            DataType::Int64 => Self::Int8(Int64Builder::new()),
            DataType::Float32 => Self::Float4(Float32Builder::new()),
            DataType::Float64 => Self::Float8(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Timestamp(_, Some(zone)) => Self::Instant(TimestampMicrosecondBuilder::new().with_timezone(zone)),
            other => Self::Nulls(other, 0),
        }
    }

    /// A cell of another kind than the column's is NULL: tests hold that no row has one.
    fn append(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Bool(b), Cell::Bool(v)) => b.append_value(*v),
            (Self::Bool(b), _) => b.append_null(),
            (Self::Int2(b), Cell::Int(n)) => b.append_option(i16::try_from(*n).ok()),
            (Self::Int2(b), _) => b.append_null(),
            (Self::Int4(b), Cell::Int(n)) => b.append_option(i32::try_from(*n).ok()),
            (Self::Int4(b), _) => b.append_null(),
            (Self::Int8(b), Cell::Int(n)) => b.append_value(*n),
            (Self::Int8(b), _) => b.append_null(),
            (Self::Float4(b), Cell::Float(x)) => b.append_value(*x as f32),
            (Self::Float4(b), Cell::Int(n)) => b.append_value(*n as f32),
            (Self::Float4(b), _) => b.append_null(),
            (Self::Float8(b), Cell::Float(x)) => b.append_value(*x),
            (Self::Float8(b), Cell::Int(n)) => b.append_value(*n as f64),
            (Self::Float8(b), _) => b.append_null(),
            (Self::Text(b), Cell::Text(text)) => b.append_value(text),
            (Self::Text(b), _) => b.append_null(),
            (Self::Instant(b), Cell::Int(micros)) => b.append_value(*micros),
            (Self::Instant(b), _) => b.append_null(),
            (Self::Int2s(b), Cell::Ints(values)) => b.append_value(values.iter().map(|n| i16::try_from(*n).ok())),
            (Self::Int2s(b), _) => b.append_null(),
            (Self::Int4s(b), Cell::Ints(values)) => b.append_value(values.iter().map(|n| i32::try_from(*n).ok())),
            (Self::Int4s(b), _) => b.append_null(),
            (Self::Int8s(b), Cell::Ints(values)) => b.append_value(values.iter().map(|n| Some(*n))),
            (Self::Int8s(b), _) => b.append_null(),
            (Self::Texts(b), Cell::Texts(values)) => b.append_value(values.iter().map(Some)),
            (Self::Texts(b), _) => b.append_null(),
            (Self::Nulls(_, rows), _) => *rows += 1,
        }
    }

    fn finish(&mut self, ty: PgType) -> Result<ArrayRef> {
        let cells = self.cells();
        if ty.array { nested::carrying(cells) } else { Ok(cells) }
    }

    fn cells(&mut self) -> ArrayRef {
        match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int2(b) => Arc::new(b.finish()),
            Self::Int4(b) => Arc::new(b.finish()),
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Float4(b) => Arc::new(b.finish()),
            Self::Float8(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Instant(b) => Arc::new(b.finish()),
            Self::Int2s(b) => Arc::new(b.finish()),
            Self::Int4s(b) => Arc::new(b.finish()),
            Self::Int8s(b) => Arc::new(b.finish()),
            Self::Texts(b) => Arc::new(b.finish()),
            Self::Nulls(ty, rows) => new_null_array(ty, *rows),
        }
    }
}

/// Rows of one relation under construction.
pub struct Rows {
    spec: &'static Spec,
    builders: Vec<Builder>,
    /// For every column of the relation: the place of its cell in a pushed row, or what all rows have.
    sources: Vec<Source>,
    rows: usize,
}

enum Source {
    Cell(usize),
    Always(Cell<'static>),
}

impl Rows {
    /// Rows that give the named columns, in this order; every other column is zero (false, empty) where it is
    /// declared NOT NULL, 10 where it names an owner, else NULL.
    pub fn new(spec: &'static Spec, columns: &[&str]) -> Self {
        debug_assert!(
            columns.iter().all(|name| spec.columns.iter().any(|c| c.name == *name)),
            "{}: a column of {columns:?} that it does not have",
            spec.name
        );
        let sources = spec.columns.iter().map(|column| match columns.iter().position(|name| *name == column.name) {
            Some(place) => Source::Cell(place),
            None => Source::Always(column.usual()),
        });
        let builders = spec.columns.iter().map(|column| Builder::new(column.ty)).collect();
        Self { spec, builders, sources: sources.collect(), rows: 0 }
    }

    /// Every row has this value.
    pub fn always(mut self, column: &str, cell: impl Into<Cell<'static>>) -> Self {
        if let Some(place) = self.spec.columns.iter().position(|c| c.name == column) {
            self.sources[place] = Source::Always(cell.into());
        }
        self
    }

    pub fn push(&mut self, row: &[Cell<'_>]) {
        for (builder, source) in self.builders.iter_mut().zip(&self.sources) {
            match source {
                Source::Cell(place) => builder.append(row.get(*place).unwrap_or(&Cell::Null)),
                Source::Always(cell) => builder.append(cell),
            }
        }
        self.rows += 1;
    }

    pub fn finish(mut self) -> Result<RecordBatch> {
        let cells = self.builders.iter_mut().zip(&self.spec.columns).map(|(builder, column)| builder.finish(column.ty));
        let columns = cells.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.spec.schema), columns, &options).map_err(|cause| {
            tracing::error!(%cause, relation = self.spec.name, "rows of the catalogue do not fit their columns");
            SqlError::internal(format!("rows of {} do not fit their columns", self.spec.name))
        })
    }
}
