//! RETURNING: expressions over the rows that a statement has written.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::sql::sqlparser::ast;

use super::parameters::Parameters;
use super::program::RowProgram;
use super::select::fold;
use super::system;
use super::target::Target;
use super::write::Edit;
use super::{Queries, Run};
use crate::error::{Result, SqlError};
use crate::plan::columns::SystemColumn;
use crate::plan::output::output_type;
use crate::plan::rows::batch_of;
use crate::plan::{ResultColumn, RowStream};
use crate::sql::columns::{UNNAMED, item_name};
use crate::types::PgType;
use crate::types::numeric::cast::to_numeric;
use crate::types::numeric::column::is_numeric;

/// A RETURNING clause as written, and over which columns.
pub struct Clause<'a> {
    pub items: &'a [ast::SelectItem],
    pub schema: &'a DFSchemaRef,
    /// Of a DELETE: what is returned are the states it ends.
    pub deletes: bool,
}

/// A RETURNING clause, planned over the rows a statement gives it.
#[derive(Clone, Debug)]
pub struct Returning {
    program: RowProgram,
    pub columns: Arc<[ResultColumn]>,
    output: SchemaRef,
    input: SchemaRef,
    /// System columns behind the schema's own.
    system: Vec<SystemColumn>,
}

impl Returning {
    /// `schema` begins with the target's columns; `*` is all of it. System columns may be named beside it, as far as
    /// they are known before the commit.
    pub fn plan(
        queries: &dyn Queries,
        target: &Target,
        alias: &str,
        clause: Clause<'_>,
        parameters: &Parameters,
    ) -> Result<Self> {
        let Clause { items, schema, deletes } = clause;
        let items = &system::with_xmax(target, items);
        let visible: Vec<usize> = (0..schema.fields().len()).collect();
        let system = system::named(target, items, deletes)?;
        let schema = &system::extended(schema, alias, &system)?;
        let mut expressions = Vec::new();
        let mut names = Vec::new();
        for item in items.iter() {
            match item {
                ast::SelectItem::UnnamedExpr(expr) => {
                    names.push(item_name(item).unwrap_or_else(|| UNNAMED.to_owned()));
                    expressions.push(expr.clone());
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    names.push(fold(alias));
                    expressions.push(expr.clone());
                }
                ast::SelectItem::Wildcard(_) => {
                    for position in &visible {
                        push_column(schema, *position, &mut expressions, &mut names)?;
                    }
                }
                ast::SelectItem::QualifiedWildcard(kind, _) => {
                    let qualifier = wildcard_qualifier(kind)?;
                    let before = names.len();
                    for position in &visible {
                        let (of, _) = schema.qualified_field(*position);
                        if of.is_some_and(|of| of.table() == qualifier) {
                            push_column(schema, *position, &mut expressions, &mut names)?;
                        }
                    }
                    if names.len() == before {
                        let message = format!("missing FROM-clause entry for table \"{qualifier}\"");
                        return Err(SqlError::new(crate::error::SqlState::UNDEFINED_TABLE, message));
                    }
                }
                ast::SelectItem::ExprWithAliases { .. } => return Err(SqlError::syntax("syntax error in RETURNING")),
            }
        }
        let program = RowProgram::plan(queries, &expressions, schema.clone(), parameters, "RETURNING")?;
        let columns: Arc<[ResultColumn]> =
            names.into_iter().enumerate().map(|(n, name)| column(&program, target, n, name)).collect();
        let output = Arc::new(Schema::new(columns.iter().map(|c| c.ty.field(&c.name, true)).collect::<Vec<_>>()));
        Ok(Self { program, columns, output, input: Arc::new(schema.as_arrow().clone()), system })
    }

    pub fn program(&self) -> &RowProgram {
        &self.program
    }

    /// Whether its expressions could be compiled for good.
    pub fn compile(&mut self, queries: &dyn Queries, parameters: &[PgType]) -> Result<bool> {
        self.program.compile(queries, parameters)
    }

    /// What the system columns named are going to be; to be given to [`Self::rows`] behind the schema's own columns.
    pub async fn system(&self, run: Run<'_>, target: &Target, edits: &[Edit], rows: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        system::values(run.ctx, target, &self.system, edits, rows).await
    }

    /// The rows to return; `values` are the columns of the clause's schema, then those of [`Self::system`].
    pub fn rows(&self, run: Run<'_>, values: Vec<ArrayRef>, rows: usize) -> Result<RowStream> {
        let batch = batch_of(self.input.clone(), conform(values, &self.input)?, rows)?;
        let results = self.program.run(run, &batch)?;
        self.stream(vec![batch_of(self.output.clone(), conform(results, &self.output)?, rows)?])
    }

    /// No rows.
    pub fn none(&self) -> Result<RowStream> {
        self.stream(Vec::new())
    }

    fn stream(&self, batches: Vec<RecordBatch>) -> Result<RowStream> {
        let stream = MemoryStream::try_new(batches, self.output.clone(), None)
            .map_err(|e| SqlError::internal(format!("rows cannot be returned: {e}")))?;
        Ok(RowStream { columns: self.columns.clone(), batches: Box::pin(stream) })
    }
}

/// Arrays of exactly the schema's types.
fn conform(values: Vec<ArrayRef>, schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
    let conformed = values.into_iter().zip(schema.fields()).map(|(array, field)| {
        if array.data_type() == field.data_type() {
            return Ok(array);
        }
        if is_numeric(array.data_type()) && is_numeric(field.data_type()) {
            return to_numeric(&array, PgType::of_field(field));
        }
        cast(&array, field.data_type()).map_err(|e| SqlError::internal(format!("a returned value has another type: {e}")))
    });
    conformed.collect()
}

fn column(program: &RowProgram, target: &Target, n: usize, name: String) -> ResultColumn {
    let ty = program.fields().get(n).map_or(PgType::TEXT, |field| output_type(field));
    let own = match program.expression(n) {
        Some(Expr::Column(column)) => target.table().column(&column.name),
        _ => None,
    };
    let (table_oid, attribute) = own.map_or((0, 0), |c| (target.table().id.0, i16::try_from(c.id.0).unwrap_or(0)));
    ResultColumn { name, ty: own.map_or(ty, |c| c.ty), table_oid, attribute }
}

fn push_column(schema: &DFSchemaRef, position: usize, expressions: &mut Vec<ast::Expr>, names: &mut Vec<String>) -> Result<()> {
    let (qualifier, field) = schema.qualified_field(position);
    let quoted = |name: &str| ast::Ident::with_quote('"', name);
    expressions.push(match qualifier {
        Some(qualifier) => ast::Expr::CompoundIdentifier(vec![quoted(qualifier.table()), quoted(field.name())]),
        None => ast::Expr::Identifier(quoted(field.name())),
    });
    names.push(field.name().clone());
    Ok(())
}

fn wildcard_qualifier(kind: &ast::SelectItemQualifiedWildcardKind) -> Result<String> {
    let name = match kind {
        ast::SelectItemQualifiedWildcardKind::ObjectName(name) => name.0.last().and_then(|part| part.as_ident()),
        ast::SelectItemQualifiedWildcardKind::Expr(_) => None,
    };
    name.map(fold).ok_or_else(|| {
        SqlError::unsupported("the fields of a row value are not supported in RETURNING", "Name the columns one by one.")
    })
}
