//! `tableoid`: the OID of the relation a row comes from, written into the query as the constant that it is.
//!
//! A name of it that leads to no table is left for the planner to refuse.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Ident, ObjectName, Query, Select, SelectItem, TableFactor, Value, VisitMut, VisitorMut,
};

use crate::plan::expand::{fold, split};
use crate::plan::names::{Planning, Relation};
use crate::types::Oid;

const NAME: &str = "tableoid";

/// Replaces every `tableoid` of the query that is a table's.
pub fn resolve(planning: &Planning, query: &mut Query) {
    let _ = query.visit(&mut Resolver { planning, scopes: Vec::new() });
}

struct Resolver<'a> {
    planning: &'a Planning,
    /// For every query around, innermost last: its relations by the name they go by.
    scopes: Vec<Vec<(String, Oid)>>,
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scopes.push(Vec::new());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut relations = Vec::new();
        for from in &select.from {
            self.collect(&from.relation, &mut relations);
            from.joins.iter().for_each(|join| self.collect(&join.relation, &mut relations));
        }
        if let Some(scope) = self.scopes.last_mut() {
            *scope = relations;
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && is_tableoid(expr)
            {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(NAME) };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_tableoid(expr)
            && let Some(oid) = self.oid_of(expr)
        {
            *expr = constant(oid);
        }
        ControlFlow::Continue(())
    }
}

impl Resolver<'_> {
    fn collect(&self, factor: &TableFactor, out: &mut Vec<(String, Oid)>) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let Some((schema, table)) = split(name) else { return };
                let shown = alias.as_ref().map_or_else(|| table.clone(), |alias| fold(&alias.name));
                let oid = match self.planning.relation(schema.as_deref(), &table) {
                    Ok(Relation::Table(def)) => def.id.0,
                    Ok(Relation::Catalogue(relation)) => relation.oid(),
                    _ => return,
                };
                out.push((shown, oid));
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.collect(&table_with_joins.relation, out);
                table_with_joins.joins.iter().for_each(|join| self.collect(&join.relation, out));
            }
            _ => {}
        }
    }

    fn oid_of(&self, expr: &Expr) -> Option<Oid> {
        match expr {
            Expr::Identifier(_) => match self.scopes.last()?.as_slice() {
                [(_, oid)] => Some(*oid),
                _ => None,
            },
            Expr::CompoundIdentifier(parts) => {
                let relation = fold(parts.get(parts.len().checked_sub(2)?)?);
                let named = |scope: &Vec<(String, Oid)>| scope.iter().find(|(name, _)| *name == relation).map(|(_, oid)| *oid);
                self.scopes.iter().rev().find_map(named)
            }
            _ => None,
        }
    }
}

fn is_tableoid(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(ident) => fold(ident) == NAME,
        Expr::CompoundIdentifier(parts) => parts.len() > 1 && parts.last().is_some_and(|ident| fold(ident) == NAME),
        _ => false,
    }
}

fn constant(oid: Oid) -> Expr {
    Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(Expr::value(Value::Number(oid.to_string(), false))),
        data_type: DataType::Custom(ObjectName::from(vec![Ident::new("oid")]), vec![]),
        array: false,
        format: None,
    }
}
