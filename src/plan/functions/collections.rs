//! Functions about the collections of a deployment, in schema `chronogate`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, StringArray};
use datafusion::common::DataFusionError;

use super::ambient::statement;
use super::define::{Call, Function, Returns, TEXT};
use super::session::split_name;
use crate::error::{Result, SqlError, SqlState};
use crate::history::privilege::not_owner;
use crate::history::{TableDef, object_ids};
use crate::plan::StatementContext;
use crate::plan::correlated::blocking;
use crate::plan::modify::find_relation;
use crate::runtime::SystemEntropy;
use crate::types::PgType;

pub const FUNCTIONS: &[Function] = &[
    Function::new("chronogate.infer", &[TEXT], Returns::Fixed(PgType::BOOL), infer).volatile(),
    Function::new("chronogate.object_id", &[], Returns::Fixed(PgType::TEXT), object_id).volatile(),
];

/// Looks again at a sample of a collection's documents; whether its table got new or wider columns by it. Takes effect at
/// once, as `setval` does.
fn infer(call: &Call<'_>) -> Result<ArrayRef> {
    let statement = statement(call.options)?;
    if statement.read_only {
        let message = "cannot execute chronogate.infer() in a read-only transaction";
        return Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
    }
    call.map::<bool, BooleanArray>(|row| {
        let Some(name) = call.text(0, row) else { return Ok(None) };
        let table = collection(statement, name)?;
        let work = async {
            let inferred = statement.database.infer(&table).await;
            inferred.map_err(|error| DataFusionError::External(Box::new(SqlError::from(error))))
        };
        blocking(work).map(Some).map_err(crate::plan::diagnose)
    })
}

fn collection(statement: &StatementContext, name: &str) -> Result<Arc<TableDef>> {
    let (schema, relation) = split_name(name);
    let table = find_relation(statement, schema.as_deref(), &relation, "infer the columns of")?;
    if !table.is_of_documents() {
        let message = format!("\"{relation}\" is not a collection of a deployment");
        return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    match statement.authority().owns(&table.owner) {
        true => Ok(table),
        false => Err(not_owner("table", &relation)),
    }
}

/// Names for new documents.
fn object_id(call: &Call<'_>) -> Result<ArrayRef> {
    let now = statement(call.options)?.database.now();
    Ok(Arc::new(StringArray::from(object_ids(now.micros(), &SystemEntropy, call.rows))))
}
