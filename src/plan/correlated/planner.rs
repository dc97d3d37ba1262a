//! Plans our logical nodes beside DataFusion's.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::lateral::Apply;
use super::once::Once;

/// The planner of all statements.
#[derive(Debug, Default)]
pub struct SubqueryPlanner;

#[async_trait]
impl QueryPlanner for SubqueryPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Nodes)]);
        planner.create_physical_plan(plan, session).await
    }
}

struct Nodes;

#[async_trait]
impl ExtensionPlanner for Nodes {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let node: &dyn Any = node.as_any();
        if let Some(once) = node.downcast_ref::<Once>() {
            let input = planner.create_physical_plan(&once.input, session).await?;
            return Ok(Some(once.physical(input)));
        }
        if let (Some(apply), [input]) = (node.downcast_ref::<Apply>(), inputs) {
            let schema = apply.input.schema();
            let outer = apply.outer.iter().map(|e| planner.create_physical_expr(e, schema, session, context));
            return Ok(Some(apply.physical(Arc::clone(input), outer.collect::<Result<_>>()?)));
        }
        Ok(None)
    }
}
