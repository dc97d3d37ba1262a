//! Expressions and what PostgreSQL 15 answers to them: `expected.tsv` was written by it, an error as `!` with its
//! SQLSTATE and message. A line that begins with `#` says why the next one differs here.

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;

use super::{client_error, configure, forms, install};
use crate::runtime::SeededEntropy;
use crate::types::{PgType, Zone, write_value};

fn context() -> SessionContext {
    let config = configure(SessionConfig::new().with_target_partitions(1));
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    SessionContext::new_with_state(install(builder, Arc::new(SeededEntropy::new(1))).build())
}

/// The first value of the answer as text, or the error's code and message.
async fn answer(context: &SessionContext, expression: &str) -> String {
    match evaluate(context, expression).await {
        Ok(text) => text,
        Err(error) => match client_error(&error) {
            Some(error) => format!("!{} {}", error.code(), error.message()),
            None => format!("!----- {error}"),
        },
    }
}

async fn evaluate(context: &SessionContext, expression: &str) -> datafusion::common::Result<String> {
    let state = context.state();
    let mut statement = state.sql_to_statement(&format!("SELECT {expression}"), &datafusion::config::Dialect::PostgreSQL)?;
    if let Statement::Statement(statement) = &mut statement {
        forms::rewrite(statement.as_mut());
    }
    let plan = state.statement_to_plan(statement).await?;
    let frame = context.execute_logical_plan(plan).await?;
    let batches = frame.collect().await?;
    let Some(batch) = batches.iter().find(|b| b.num_rows() > 0) else { return Ok("(no rows)".to_owned()) };
    let ty = PgType::of_field(batch.schema().field(0));
    let mut out = String::new();
    let shown = write_value(&mut out, ty, batch.column(0), 0, Zone::UTC).map_err(super::external)?;
    Ok(if shown { out } else { "NULL".to_owned() })
}

#[tokio::test]
async fn expressions_answer_as_in_postgresql() {
    let context = context();
    let mut wrong = Vec::new();
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/functions/expected.tsv");
    let table = std::fs::read_to_string(table).unwrap();
    for line in table.lines().filter(|l| !l.starts_with('#')) {
        let (expression, expected) = line.split_once('\t').unwrap_or((line, ""));
        let found = answer(&context, expression).await;
        if found != expected {
            wrong.push(format!("{expression}\n    expected {expected}\n    found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
