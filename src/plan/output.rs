//! Result columns: PostgreSQL's names and types, and rows in exactly those types.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::source_as_provider;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{Stream, StreamExt};

use super::catalog::names::{self, Names};
use super::columns::Source;
use super::diagnose::diagnose;
use super::scan::external;
use super::table::ScopedTable;
use super::{ResultColumn, StatementContext};
use crate::types::{Oid, PgType, TypeName};

/// The columns that an analysed plan gives. `names` has a name per select item, none for one that stands for
/// several columns.
pub fn columns_of(plan: &LogicalPlan, names: &[Option<String>]) -> Arc<[ResultColumn]> {
    let schema = plan.schema();
    let width = schema.fields().len();
    let names = spread(names, width);
    let columns = schema.iter().enumerate().map(|(index, (qualifier, field))| {
        let own = || strip_repeat(field.name());
        let name = names.as_ref().and_then(|names| names.get(index).cloned().flatten()).unwrap_or_else(own);
        let (table_oid, attribute) = origin(plan, &Column::new(qualifier.cloned(), field.name())).unwrap_or((0, 0));
        ResultColumn { name, ty: output_type(field), table_oid, attribute }
    });
    columns.collect()
}

/// Names per output column. With one wildcard its width follows from the rest; with more, the plan's own names
/// have to do.
fn spread(names: &[Option<String>], width: usize) -> Option<Vec<Option<String>>> {
    let wildcards = names.iter().filter(|n| n.is_none()).count();
    let plain = names.len() - wildcards;
    match wildcards {
        0 if plain == width => Some(names.to_vec()),
        1 if width >= plain => {
            let at = names.iter().position(Option::is_none)?;
            let mut spread = names[..at].to_vec();
            spread.extend(std::iter::repeat_n(None, width - plain));
            spread.extend_from_slice(&names[at + 1..]);
            Some(spread)
        }
        _ => None,
    }
}

/// The name without the number that a repeated one was given.
fn strip_repeat(name: &str) -> String {
    name.split(super::wildcards::REPEAT).next().unwrap_or(name).to_owned()
}

/// The PostgreSQL type of an output field.
pub fn output_type(field: &Field) -> PgType {
    let ty = PgType::of_field(field);
    match field.data_type() {
        DataType::UInt64 => PgType::INT8,
        DataType::Null if PgType::of_field(field).name == TypeName::Void => PgType::new(TypeName::Void),
        DataType::Null => PgType::TEXT,
        _ if ty.name == TypeName::Unknown && !ty.array => PgType::TEXT,
        _ => ty,
    }
}

/// The table column that an output column is, when it is one and nothing else.
fn origin(plan: &LogicalPlan, column: &Column) -> Option<(Oid, i16)> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let index = projection.schema.index_of_column(column).ok()?;
            match projection.expr.get(index)?.clone().unalias() {
                Expr::Column(inner) => origin(&projection.input, &inner),
                _ => None,
            }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let index = alias.schema.index_of_column(column).ok()?;
            let (qualifier, field) = alias.input.schema().qualified_field(index);
            origin(&alias.input, &Column::new(qualifier.cloned(), field.name()))
        }
        LogicalPlan::Filter(filter) => origin(&filter.input, column),
        LogicalPlan::Window(window) => window.input.schema().has_column(column).then(|| origin(&window.input, column)).flatten(),
        LogicalPlan::Distinct(Distinct::All(input)) => origin(input, column),
        LogicalPlan::Aggregate(aggregate) => {
            let index = aggregate.schema.index_of_column(column).ok()?;
            match aggregate.group_expr.get(index)? {
                Expr::Column(inner) => origin(&aggregate.input, inner),
                _ => None,
            }
        }
        LogicalPlan::Sort(sort) => origin(&sort.input, column),
        LogicalPlan::Limit(limit) => origin(&limit.input, column),
        LogicalPlan::Join(join) => {
            let side = if join.left.schema().has_column(column) { &join.left } else { &join.right };
            origin(side, column)
        }
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            if let Some(relation) = super::catalog::relation_oid(provider.as_ref()) {
                let at = scan.source.schema().index_of(&column.name).ok()?;
                return Some((relation, i16::try_from(at + 1).ok()?));
            }
            let table = provider.downcast_ref::<ScopedTable>()?;
            let shown = table.shown.columns.iter().find(|c| c.name == column.name)?;
            match &shown.source {
                Source::Column(def) => Some((table.table.id.0, i16::try_from(def.id.0).ok()?)),
                Source::System(_) => None,
            }
        }
        _ => None,
    }
}

/// Rows of a plan in the types of its result columns; OIDs that print as names come with those.
pub fn conformed(
    ctx: &StatementContext,
    columns: &[ResultColumn],
    batches: SendableRecordBatchStream,
) -> SendableRecordBatchStream {
    let produced = batches.schema();
    let fields: Vec<Field> =
        columns.iter().enumerate().map(|(i, c)| output_field(c, produced.fields().get(i).map(|f| f.data_type()))).collect();
    let schema = Arc::new(Schema::new(fields));
    let batches: SendableRecordBatchStream = Box::pin(Conformed { schema: Arc::clone(&schema), batches });
    if !columns.iter().any(|c| c.ty.name.is_reg()) {
        return batches;
    }
    let kinds: Vec<TypeName> = columns.iter().map(|c| c.ty.name).collect();
    let fields = schema.fields().iter().zip(&kinds).map(|(field, kind)| match kind.is_reg() {
        true => Field::clone(field).with_data_type(names::named_type(field.data_type())),
        false => Field::clone(field),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let (catalogue, path, shown) = (ctx.catalogue(), ctx.effective_path(), Arc::clone(&schema));
    let named = batches.map(move |batch| {
        let batch = batch?;
        let names = Names { catalogue: &catalogue, path: &path };
        let named = |(array, kind): (&ArrayRef, &TypeName)| match kind.is_reg() {
            true => names.with_names(*kind, array),
            false => Arc::clone(array),
        };
        let columns = batch.columns().iter().zip(&kinds).map(named).collect();
        Ok(RecordBatch::try_new(Arc::clone(&shown), columns)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, named))
}

/// The column's field; a numeric of any digits keeps those that the plan gives it, a row its fields.
fn output_field(column: &ResultColumn, produced: Option<&DataType>) -> Field {
    let field = column.ty.field(&column.name, true);
    match produced {
        Some(decimal @ DataType::Decimal128(..))
            if column.ty.name == TypeName::Numeric && !column.ty.array && column.ty.modifier == -1 =>
        {
            field.with_data_type(decimal.clone())
        }
        // What fields a row has is said by the plan alone.
        Some(rows) if column.ty.name == TypeName::Record => field.with_data_type(rows.clone()),
        _ => field,
    }
}

struct Conformed {
    schema: SchemaRef,
    batches: SendableRecordBatchStream,
}

impl Stream for Conformed {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.batches.poll_next_unpin(cx);
        next.map(|batch| Some(batch?.and_then(|batch| conform(&self.schema, &batch).map_err(|e| external(diagnose(e))))))
    }
}

impl RecordBatchStream for Conformed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The batch in these types; a value that does not fit is an error, never NULL.
pub fn conform(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    let columns = batch.columns().iter().zip(schema.fields()).map(|(array, field)| {
        if array.data_type() == field.data_type() {
            return Ok(Arc::clone(array));
        }
        cast_with_options(array, field.data_type(), &options)
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
