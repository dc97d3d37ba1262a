//! Relations of our own beside the tables: `t__changes`, and `commits`, `changes` and `anomalies` in schema `chronogate`.
//!
//! Each is a stream of batches made from history under the statement's snapshot and default scope.

mod anomalies;
mod changes;
mod commits;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use self::changes::ChangedTable;
use super::names::Planning;
use super::scan::external;
use super::{DefaultScope, StatementContext};
use crate::error::Result as SqlResult;
use crate::history::TableDef;
use crate::plan::traits::plan_without_inputs;
use crate::types::{Oid, PgType};
use crate::versions::{CommitNo, Timestamp};

pub use changes::{hidden_of_changes, normalised};

/// Our own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemTable {
    /// `chronogate.commits`
    Commits,
    /// `chronogate.changes`
    Changes,
    /// `chronogate.anomalies`
    Anomalies,
}

impl SystemTable {
    pub fn of_name(schema: &str, name: &str) -> Option<Self> {
        match (schema, name) {
            ("chronogate", "commits") => Some(Self::Commits),
            ("chronogate", "changes") => Some(Self::Changes),
            ("chronogate", "anomalies") => Some(Self::Anomalies),
            _ => None,
        }
    }

    pub const ALL: [SystemTable; 3] = [Self::Commits, Self::Changes, Self::Anomalies];

    pub fn name(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::Changes => "changes",
            Self::Anomalies => "anomalies",
        }
    }

    /// OIDs that PostgreSQL gives to nothing.
    pub fn oid(self) -> Oid {
        match self {
            Self::Commits => 9901,
            Self::Changes => 9902,
            Self::Anomalies => 9903,
        }
    }

    pub fn columns(self) -> Vec<(&'static str, PgType)> {
        match self {
            Self::Commits => commits::columns(),
            Self::Changes => changes::bemi_columns(),
            Self::Anomalies => anomalies::columns(),
        }
    }

    pub fn provider(self, planning: &Planning) -> SqlResult<Arc<dyn TableProvider>> {
        Ok(match self {
            Self::Commits => SystemRelation::provider("commits", commits::columns(), Contents::Commits),
            Self::Changes => {
                let tables = changes::readable_tables(planning)?;
                SystemRelation::provider("changes", changes::bemi_columns(), Contents::AllChanges(tables.into()))
            }
            Self::Anomalies => {
                let suspects = anomalies::suspects(planning);
                SystemRelation::provider("anomalies", anomalies::columns(), Contents::Anomalies(suspects.into()))
            }
        })
    }
}

/// `t__changes`.
pub fn changes_of(planning: &Planning, table: &Arc<TableDef>) -> SqlResult<Arc<dyn TableProvider>> {
    let columns = changes::columns(&planning.exposed);
    let changed = changes::changed_table(planning, table)?;
    Ok(SystemRelation::provider(&format!("{}__changes", table.name.name), columns, Contents::Changes(Arc::new(changed))))
}

/// What a relation is made from: plain data.
#[derive(Clone, Debug)]
enum Contents {
    Commits,
    Changes(Arc<ChangedTable>),
    AllChanges(Arc<[ChangedTable]>),
    Anomalies(Arc<[anomalies::Suspect]>),
}

/// How far a statement sees.
#[derive(Clone, Copy, Debug)]
struct Horizon {
    commit: CommitNo,
    /// Nothing later than this, where the statement reads an instant.
    until: Option<Timestamp>,
}

impl Horizon {
    fn of(ctx: &StatementContext) -> Self {
        let commit = ctx.transaction.lock().snapshot.commit;
        match ctx.default_scope {
            None => Self { commit, until: None },
            Some(DefaultScope::AsOfCommit(past)) => Self { commit: commit.min(past), until: None },
            Some(DefaultScope::AsOf(until)) => Self { commit, until: Some(until) },
        }
    }

    fn shows(self, time: Timestamp) -> bool {
        self.until.is_none_or(|until| time <= until)
    }
}

type Batches = BoxStream<'static, SqlResult<RecordBatch>>;

#[derive(Debug)]
struct SystemRelation {
    name: String,
    schema: SchemaRef,
    contents: Contents,
}

impl SystemRelation {
    fn provider(name: &str, columns: Vec<(&'static str, PgType)>, contents: Contents) -> Arc<dyn TableProvider> {
        let fields: Vec<Field> = columns.into_iter().map(|(name, ty)| ty.field(name, true)).collect();
        Arc::new(Self { name: name.to_owned(), schema: Arc::new(Schema::new(fields)), contents })
    }
}

#[async_trait]
impl TableProvider for SystemRelation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.cloned().unwrap_or(all);
        let projected = Arc::new(self.schema.project(&projection)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(projected),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(SystemScanExec {
            name: self.name.clone(),
            schema: Arc::clone(&self.schema),
            contents: self.contents.clone(),
            projection,
            properties: Arc::new(properties),
        }))
    }
}

#[derive(Debug)]
struct SystemScanExec {
    name: String,
    /// Before projection.
    schema: SchemaRef,
    contents: Contents,
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for SystemScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemScan: {}", self.name)
    }
}

impl ExecutionPlan for SystemScanExec {
    plan_without_inputs!("SystemScanExec");

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(ctx) = context.session_config().get_extension::<StatementContext>() else {
            return internal_err!("a scan ran outside a statement");
        };
        let batches = match &self.contents {
            Contents::Commits => commits::batches(ctx, Arc::clone(&self.schema)),
            Contents::Changes(table) => changes::batches(ctx, Arc::clone(table), Arc::clone(&self.schema)),
            Contents::AllChanges(tables) => changes::bemi_batches(ctx, Arc::clone(tables), Arc::clone(&self.schema)),
            Contents::Anomalies(suspects) => anomalies::batches(ctx, Arc::clone(suspects), Arc::clone(&self.schema)),
        };
        let projection = self.projection.clone();
        let batches = batches.map_err(external).map(move |batch| Ok(batch?.project(&projection)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
