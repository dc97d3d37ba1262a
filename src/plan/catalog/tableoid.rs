//! PostgreSQL's system columns: `tableoid`, the OID of the relation a row comes from, is written into the query as the constant
//! that it is; `xmin` as the commit that began the state, `xmax` as 0, which it is of live rows.
//!
//! A name of theirs that leads to no table is left for the planner to refuse. `ctid` is not there (rows have no place), nor are `cmin` and `cmax`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Ident, ObjectName, Query, Select, SelectItem, TableFactor, Value, VisitMut, VisitorMut,
};

use crate::plan::expand::{fold, split};
use crate::plan::names::{Planning, Relation as Named};
use crate::sql::call::call;
use crate::types::Oid;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    TableOid,
    Xmin,
    Xmax,
}

impl Column {
    fn of_name(name: &str) -> Option<Self> {
        [Self::TableOid, Self::Xmin, Self::Xmax].into_iter().find(|column| column.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::TableOid => "tableoid",
            Self::Xmin => "xmin",
            Self::Xmax => "xmax",
        }
    }
}

/// What a relation's rows have for them.
#[derive(Clone, Copy, Debug)]
struct Relation {
    oid: Oid,
    /// Whether its rows are versions.
    versioned: bool,
    /// The newest commit that changed a definition: of the catalogue's rows.
    defined: u64,
}

/// Replaces every system column of PostgreSQL's that the query names and a table has.
/// Says whether any of them needs the number of the commit that began a state.
pub fn resolve(planning: &Planning, query: &mut Query) -> bool {
    let mut resolver = Resolver { planning, scopes: Vec::new(), commits: false };
    let _ = query.visit(&mut resolver);
    resolver.commits
}

struct Resolver<'a> {
    planning: &'a Planning,
    /// For every query around, innermost last: its relations by the name they go by.
    scopes: Vec<Vec<(String, Relation)>>,
    /// Whether a commit's number was written into the query.
    commits: bool,
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
                && let Some(column) = column_of(expr)
                && self.relation_of(expr).is_some()
            {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(column.name()) };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(column) = column_of(expr)
            && let Some((name, relation)) = self.relation_of(expr)
        {
            self.commits |= column == Column::Xmin && relation.versioned;
            *expr = value(column, &name, relation);
        }
        ControlFlow::Continue(())
    }
}

impl Resolver<'_> {
    fn collect(&self, factor: &TableFactor, out: &mut Vec<(String, Relation)>) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let Some((schema, table)) = split(name) else { return };
                let shown = alias.as_ref().map_or_else(|| table.clone(), |alias| fold(&alias.name));
                let defined = self.planning.ctx.transaction.lock().catalog.commit.0;
                let (oid, versioned) = match self.planning.relation(schema.as_deref(), &table) {
                    Ok(Named::Table(def)) => (def.id.0, true),
                    Ok(Named::Catalogue(relation)) => (relation.oid(), false),
                    _ => return,
                };
                out.push((shown, Relation { oid, versioned, defined }));
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.collect(&table_with_joins.relation, out);
                table_with_joins.joins.iter().for_each(|join| self.collect(&join.relation, out));
            }
            _ => {}
        }
    }

    /// The relation that the column is of, by the name that it goes by.
    fn relation_of(&self, expr: &Expr) -> Option<(String, Relation)> {
        match expr {
            Expr::Identifier(_) => match self.scopes.last()?.as_slice() {
                [only] => Some(only.clone()),
                _ => None,
            },
            Expr::CompoundIdentifier(parts) => {
                let relation = fold(parts.get(parts.len().checked_sub(2)?)?);
                let named = |scope: &Vec<(String, Relation)>| scope.iter().find(|(name, _)| *name == relation).cloned();
                self.scopes.iter().rev().find_map(named)
            }
            _ => None,
        }
    }
}

fn column_of(expr: &Expr) -> Option<Column> {
    match expr {
        Expr::Identifier(ident) => Column::of_name(&fold(ident)),
        Expr::CompoundIdentifier(parts) if parts.len() > 1 => Column::of_name(&fold(parts.last()?)),
        _ => None,
    }
}

fn value(column: Column, name: &str, relation: Relation) -> Expr {
    let number = |n: u64| Expr::value(Value::Number(n.to_string(), false));
    match column {
        Column::TableOid => cast(number(u64::from(relation.oid)), "oid"),
        Column::Xmin if relation.versioned => {
            let commit = Expr::CompoundIdentifier(vec![Ident::with_quote('"', name), Ident::with_quote('"', "_commit")]);
            // What the transaction has written itself has no commit yet.
            let own = call("txid_current", vec![]);
            let number_of = call("coalesce", vec![commit, own]);
            cast(call("mod", vec![number_of, number(IDS)]), "xid")
        }
        Column::Xmin => cast(number(relation.defined % IDS), "xid"),
        Column::Xmax => cast(number(0), "xid"),
    }
}

/// Numbers of transactions that clients can tell apart.
const IDS: u64 = 1 << 32;

fn cast(expr: Expr, ty: &str) -> Expr {
    Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type: DataType::Custom(ObjectName::from(vec![Ident::new(ty)]), vec![]),
        array: false,
        format: None,
    }
}
