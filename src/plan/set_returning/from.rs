//! A function in FROM as rows: those that give rows, several in lockstep, any other one row; WITH ORDINALITY.

use datafusion::common::{Column, DFSchema, Result, UnnestOptions, not_impl_err};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;

use super::series::ORDINALS;
use super::{Columns, IDENTITY, columns_of, typed};
use crate::plan::expand::split;
use crate::plan::functions::arrays::ITEMS;
use crate::plan::select_forms::WITHIN;
use crate::plan::wildcards::REPEAT;
use crate::sql::call::call;
use crate::sql::token_forms::ROWS_FROM;

/// The rows of a function and what a table alias without columns means for them: its name too, where there is
/// but one column.
pub struct FromFunction {
    pub plan: LogicalPlan,
    pub name: String,
    /// A column that takes the name of the alias.
    pub takes_alias: bool,
}

/// The function's rows; `None` for a function that is not known here.
pub fn plan_from(
    name: &ast::ObjectName,
    args: &[ast::Expr],
    ordinality: bool,
    context: &mut dyn RelationPlannerContext,
) -> Result<Option<FromFunction>> {
    let Some((_, function)) = split(name) else { return Ok(None) };
    if function == ROWS_FROM {
        return rows_from(args, ordinality, context).map(Some);
    }
    let schema = DFSchema::empty();
    let Some(columns) = columns_of(&function) else {
        if context.context_provider().get_function_meta(&function).is_none() {
            return Ok(None);
        }
        let value = context.sql_to_expr(call(&function, args.to_vec()), &schema)?;
        let mut exprs = vec![value.alias(&function)];
        if ordinality {
            exprs.push(datafusion::logical_expr::lit(1_i64).alias("ordinality"));
        }
        let plan = LogicalPlanBuilder::empty(true).project(exprs)?.build()?;
        return Ok(Some(FromFunction { plan, name: function, takes_alias: true }));
    };
    let mut lists: Vec<(String, Expr)> = Vec::new();
    for (column, list) in columns {
        if *list == IDENTITY {
            for arg in args {
                lists.push(((*column).to_owned(), context.sql_to_expr(items(arg.clone()), &schema)?));
            }
        } else {
            lists.push(((*column).to_owned(), context.sql_to_expr(items(call(list, args.to_vec())), &schema)?));
        }
    }
    let takes_alias = lists.len() == 1 && lists.iter().all(|(name, _)| *name == function);
    if ordinality {
        lists.push(("ordinality".to_owned(), ordinals(args, columns, context)?));
    }
    Ok(Some(FromFunction { plan: in_lockstep(lists)?, name: function, takes_alias }))
}

/// Rows of several functions beside each other, NULL where one has ended.
fn rows_from(functions: &[ast::Expr], ordinality: bool, context: &mut dyn RelationPlannerContext) -> Result<FromFunction> {
    let schema = DFSchema::empty();
    let mut lists: Vec<(String, Expr)> = Vec::new();
    let mut counted = Vec::new();
    for function in functions {
        let called = match function {
            ast::Expr::Function(called) => split(&called.name).zip(plain_arguments(called)),
            _ => None,
        };
        let Some(((_, name), args)) = called else {
            return not_impl_err!("ROWS FROM of anything but plain function calls");
        };
        let name = name.trim_start_matches(WITHIN).to_owned();
        match columns_of(&name) {
            Some(columns) => {
                for (column, list) in columns {
                    let lists_of_it = match *list {
                        IDENTITY => args.clone(),
                        list => vec![call(list, args.clone())],
                    };
                    for list in lists_of_it {
                        lists.push(((*column).to_owned(), context.sql_to_expr(items(list.clone()), &schema)?));
                        counted.push(list);
                    }
                }
            }
            None => {
                let list = call("make_array", vec![call(&name, args)]);
                lists.push((name, context.sql_to_expr(items(list.clone()), &schema)?));
                counted.push(list);
            }
        }
    }
    if ordinality {
        lists.push(("ordinality".to_owned(), context.sql_to_expr(items(call(ORDINALS, counted)), &schema)?));
    }
    let name = lists.first().map(|(name, _)| name.clone()).unwrap_or_default();
    let takes_alias = lists.len() == 1;
    Ok(FromFunction { plan: in_lockstep(lists)?, name, takes_alias })
}

fn plain_arguments(function: &ast::Function) -> Option<Vec<ast::Expr>> {
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let plain = list.args.iter().map(|arg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    plain.collect()
}

/// The lists' values row by row.
fn in_lockstep(lists: Vec<(String, Expr)>) -> Result<LogicalPlan> {
    let names: Vec<String> = (0..lists.len())
        .map(|i| match lists[..i].iter().any(|(name, _)| *name == lists[i].0) {
            true => format!("{}{REPEAT}{i}", lists[i].0),
            false => lists[i].0.clone(),
        })
        .collect();
    let exprs: Vec<Expr> = lists.into_iter().zip(&names).map(|((_, list), name)| list.alias(name)).collect();
    let options = UnnestOptions::new().with_preserve_nulls(false);
    let columns = names.iter().map(Column::from_name).collect();
    let plan = LogicalPlanBuilder::empty(true).project(exprs)?.unnest_columns_with_options(columns, options)?.build()?;
    typed(plan)
}

/// The numbers of the rows: as many as the longest list has values.
fn ordinals(args: &[ast::Expr], columns: Columns, context: &mut dyn RelationPlannerContext) -> Result<Expr> {
    let lists = columns.iter().flat_map(|(_, list)| match *list {
        IDENTITY => args.to_vec(),
        list => vec![call(list, args.to_vec())],
    });
    context.sql_to_expr(items(call(ORDINALS, lists)), &DFSchema::empty())
}

/// The list of an array's items.
fn items(array: ast::Expr) -> ast::Expr {
    call(ITEMS, [array])
}
