//! JOIN … USING and NATURAL JOIN: the merged columns as PostgreSQL has them, first in `*` and never NULL where one
//! side has a value.
//!
//! The planner takes the left side's column for a merged one, which a RIGHT or FULL JOIN leaves NULL. Here `*` is
//! written out, and unqualified names of merged columns become the column or COALESCE that they mean. What cannot
//! be told from the statement and would matter is refused with 0A000.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::expand::{fold, quoted, split};
use super::names::{Planning, Relation};

use super::wildcards::without;
use crate::error::{Result, SqlError};
use crate::sql::call::call;
use crate::sql::columns::item_name;

/// Settles the merged columns of every query inside.
pub fn rewrite(planning: &Planning, query: &mut Query) -> Result<()> {
    match query.visit(&mut Using { planning, ctes: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Using<'a> {
    planning: &'a Planning,
    /// With the columns that the statement tells.
    ctes: Vec<(String, Option<Vec<String>>)>,
}

impl VisitorMut for Using<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if let Some(with) = &query.with {
            let told = |cte: &ast::Cte| renamed(output_names(&cte.query), Some(&cte.alias));
            self.ctes.extend(with.cte_tables.iter().map(|cte| (fold(&cte.alias.name), told(cte))));
        }
        let Query { body, order_by, .. } = query;
        let order_by = order_by.as_mut().map(|o| &mut o.kind);
        match self.body(body, order_by) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// One relation of a FROM list.
struct Part {
    qualifier: Ident,
    /// `None` where the statement does not tell.
    columns: Option<Vec<String>>,
}

/// What `*` stands for, in order.
enum Item {
    Merged { name: String, value: Box<Expr> },
    Rest { part: usize, without: Vec<String> },
}

#[derive(Default)]
struct Layout {
    parts: Vec<Part>,
    items: Vec<Item>,
    /// Merged columns that are not the left side's.
    special: bool,
    /// What the last join compares with the right side's columns.
    compared: Vec<(String, Expr)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Both,
}

impl Using<'_> {
    fn body(&self, body: &mut SetExpr, order_by: Option<&mut OrderByKind>) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.select(select, order_by),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, None)?;
                self.body(right, None)
            }
            _ => Ok(()),
        }
    }

    fn select(&self, select: &mut Select, order_by: Option<&mut OrderByKind>) -> Result<()> {
        let joins = select.from.iter().flat_map(|from| &from.joins);
        if !joins.filter_map(|j| constraint(&j.join_operator)).any(|(c, _)| is_merging(c)) {
            return Ok(());
        }
        let mut layout = Layout::default();
        let all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
        for from in &mut select.from {
            let Some(one) = self.layout(from, layout.parts.len(), all)? else { return Ok(()) };
            layout.parts.extend(one.parts);
            layout.items.extend(one.items);
            layout.special |= one.special;
        }
        if layout.special {
            replace_names(select, order_by, &layout)?;
        } else {
            // In WHERE the planner does not know which side's column is meant; both have one value there.
            let _ = select.selection.visit(&mut Replace { layout: &layout, inside: 0, inner: false });
        }
        let items = std::mem::take(&mut select.projection);
        for item in items {
            match item {
                SelectItem::Wildcard(options) => layout.write(&options, &mut select.projection),
                other => select.projection.push(other),
            }
        }
        Ok(())
    }

    /// `None` where a relation has no name that could be written, and nothing depends on it.
    /// 0A000 where `*` depends on it (`all`).
    fn layout(&self, from: &mut ast::TableWithJoins, first: usize, all: bool) -> Result<Option<Layout>> {
        let mut layout = Layout::default();
        let merging = |j: &ast::Join| constraint(&j.join_operator).filter(|(c, _)| is_merging(c)).map(|(_, side)| side);
        let special = from.joins.iter().any(|j| merging(j).is_some_and(|side| side != Side::Left));
        let unknown = || match special {
            true => Err(unclear()),
            false => Ok(None),
        };
        let Some(part) = self.part(&from.relation) else { return unknown() };
        layout.parts.push(part);
        layout.items.push(Item::Rest { part: first, without: vec![] });
        for join in &mut from.joins {
            let Some(part) = self.part(&join.relation) else { return unknown() };
            let Some((constraint, side)) = constraint_mut(&mut join.join_operator) else {
                layout.items.push(Item::Rest { part: first + layout.parts.len(), without: vec![] });
                layout.parts.push(part);
                continue;
            };
            let names = match constraint {
                JoinConstraint::Using(names) => names.iter().filter_map(|n| n.0.last()?.as_ident().map(fold)).collect(),
                JoinConstraint::Natural => {
                    let (Some(left), Some(right)) = (layout.names(first), &part.columns) else {
                        return if all { Err(unclear()) } else { unknown() };
                    };
                    let names: Vec<String> = left.into_iter().filter(|name| right.contains(name)).collect();
                    if !names.is_empty() {
                        *constraint = JoinConstraint::Using(names.iter().map(|n| ObjectName::from(vec![quoted(n)])).collect());
                    }
                    names
                }
                _ => Vec::new(),
            };
            // What is merged already is compared as merged, which USING could not say.
            let before = layout.special;
            let right = part.qualifier.clone();
            if !layout.merge(part, names.clone(), side, first) {
                return unknown();
            }
            if before && !names.is_empty() {
                *constraint = JoinConstraint::On(layout.condition(&right));
            }
        }
        Ok(Some(layout))
    }

    fn part(&self, factor: &TableFactor) -> Option<Part> {
        match factor {
            TableFactor::Table { name, alias, args, version, .. } => {
                let (schema, table) = split(name)?;
                let qualifier = alias.as_ref().map_or_else(|| quoted(&table), |alias| alias.name.clone());
                let cte = self.ctes.iter().rev().find(|(name, _)| schema.is_none() && *name == table);
                let columns = match cte {
                    Some((_, columns)) => columns.clone(),
                    None if args.is_some() || version.is_some() => None,
                    None => match self.planning.relation(schema.as_deref(), &table) {
                        Ok(Relation::Table(def)) => Some(def.live_columns().map(|c| c.name.clone()).collect()),
                        Ok(Relation::View(def)) => Some(def.columns.iter().map(|(name, _)| name.clone()).collect()),
                        _ => None,
                    },
                };
                Some(Part { qualifier, columns: renamed(columns, alias.as_ref()) })
            }
            TableFactor::Derived { subquery, alias: Some(alias), .. } => {
                Some(Part { qualifier: alias.name.clone(), columns: renamed(output_names(subquery), Some(alias)) })
            }
            TableFactor::Function { alias: Some(alias), .. } | TableFactor::UNNEST { alias: Some(alias), .. } => {
                Some(Part { qualifier: alias.name.clone(), columns: None })
            }
            _ => None,
        }
    }
}

/// What a query calls its columns; `None` where `*` stands among them.
fn output_names(query: &Query) -> Option<Vec<String>> {
    match query.body.as_ref() {
        SetExpr::Select(select) => select.projection.iter().map(item_name).collect(),
        SetExpr::Values(values) => values.rows.first().map(|row| (1..=row.content.len()).map(|n| format!("column{n}")).collect()),
        _ => None,
    }
}

/// The columns under the names that an alias gives to the first of them.
fn renamed(columns: Option<Vec<String>>, alias: Option<&ast::TableAlias>) -> Option<Vec<String>> {
    let given: Vec<String> = alias.map(|a| a.columns.iter().map(|c| fold(&c.name)).collect()).unwrap_or_default();
    let mut columns = columns?;
    for (column, name) in columns.iter_mut().zip(given) {
        *column = name;
    }
    Some(columns)
}

impl Layout {
    /// The names that a further join may merge.
    fn names(&self, first: usize) -> Option<Vec<String>> {
        let mut names = Vec::new();
        for item in &self.items {
            match item {
                Item::Merged { name, .. } => names.push(name.clone()),
                Item::Rest { part, without } => {
                    let columns = self.parts.get(part - first)?.columns.as_ref()?;
                    names.extend(columns.iter().filter(|c| !without.contains(c)).cloned());
                }
            }
        }
        Some(names)
    }

    /// Joins a relation by these columns; `false` where it cannot be told whose one of them is.
    fn merge(&mut self, part: Part, names: Vec<String>, side: Side, first: usize) -> bool {
        let mut merged = Vec::with_capacity(names.len());
        self.compared.clear();
        for name in &names {
            let Some(left) = self.take(name, first) else { return false };
            self.compared.push((name.clone(), left.clone()));
            let right = Expr::CompoundIdentifier(vec![part.qualifier.clone(), quoted(name)]);
            let value = match side {
                Side::Left => left,
                Side::Right => right,
                Side::Both => call("coalesce", vec![left, right]),
            };
            merged.push(Item::Merged { name: name.clone(), value: Box::new(value) });
        }
        self.special |= side != Side::Left && !names.is_empty();
        merged.append(&mut self.items);
        self.items = merged;
        self.items.push(Item::Rest { part: first + self.parts.len(), without: names });
        self.parts.push(part);
        true
    }

    /// What the last join's USING means.
    fn condition(&self, right: &Ident) -> Expr {
        let equal = self.compared.iter().map(|(name, left)| Expr::BinaryOp {
            left: Box::new(left.clone()),
            op: ast::BinaryOperator::Eq,
            right: Box::new(Expr::CompoundIdentifier(vec![right.clone(), quoted(name)])),
        });
        let all = equal.reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: ast::BinaryOperator::And,
            right: Box::new(right),
        });
        all.unwrap_or_else(|| Expr::value(ast::Value::Boolean(true)))
    }

    /// Takes the column of this name out of what there is.
    fn take(&mut self, name: &str, first: usize) -> Option<Expr> {
        let merged = self.items.iter().position(|i| matches!(i, Item::Merged { name: n, .. } if n == name));
        if let Some(at) = merged {
            return match self.items.remove(at) {
                Item::Merged { value, .. } => Some(*value),
                Item::Rest { .. } => None,
            };
        }
        let parts = &self.parts;
        let has = |item: &Item| match item {
            Item::Rest { part, .. } => parts.get(part - first)?.columns.as_ref().map(|c| c.iter().any(|c| c == name)),
            Item::Merged { .. } => Some(false),
        };
        let known = self.items.iter().position(|item| has(item) == Some(true));
        let mut unknown = (0..self.items.len()).filter(|i| has(&self.items[*i]).is_none());
        let at = match (known, unknown.next(), unknown.next()) {
            (Some(at), ..) => at,
            (None, Some(at), None) => at,
            _ => return None,
        };
        let Some(Item::Rest { part, without }) = self.items.get_mut(at) else { return None };
        without.push(name.to_owned());
        let qualifier = self.parts.get(*part - first)?.qualifier.clone();
        Some(Expr::CompoundIdentifier(vec![qualifier, quoted(name)]))
    }

    fn write(&self, options: &WildcardAdditionalOptions, projection: &mut Vec<SelectItem>) {
        for item in &self.items {
            projection.push(match item {
                Item::Merged { name, value } => SelectItem::ExprWithAlias { expr: (**value).clone(), alias: quoted(name) },
                Item::Rest { part, without: hidden } => {
                    let Some(part) = self.parts.get(*part) else { continue };
                    if part.columns.as_ref().is_some_and(|c| c.iter().all(|c| hidden.contains(c))) {
                        continue;
                    }
                    let kind = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![part.qualifier.clone()]));
                    SelectItem::QualifiedWildcard(kind, without(options.clone(), hidden))
                }
            });
        }
    }

    fn value(&self, name: &Ident) -> Option<Expr> {
        let wanted = fold(name);
        self.items.iter().find_map(|item| match item {
            Item::Merged { name, value } if *name == wanted => Some((**value).clone()),
            _ => None,
        })
    }
}

/// Unqualified names of merged columns, outside subqueries, as what they mean.
fn replace_names(select: &mut Select, order_by: Option<&mut OrderByKind>, layout: &Layout) -> Result<()> {
    let given: Vec<String> = select.projection.iter().filter_map(item_name).collect();
    let mut replace = Replace { layout, inside: 0, inner: false };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
            && let Some(expr) = layout.value(name)
        {
            *item = SelectItem::ExprWithAlias { expr, alias: name.clone() };
            continue;
        }
        let _ = item.visit(&mut replace);
    }
    let _ = select.selection.visit(&mut replace);
    let _ = select.group_by.visit(&mut replace);
    let _ = select.having.visit(&mut replace);
    if let Some(OrderByKind::Expressions(exprs)) = order_by {
        for order in exprs {
            let output = matches!(&order.expr, Expr::Identifier(name) if given.contains(&fold(name)));
            if !output {
                let _ = order.expr.visit(&mut replace);
            }
        }
    }
    if replace.inner { Err(unclear()) } else { Ok(()) }
}

struct Replace<'a> {
    layout: &'a Layout,
    inside: usize,
    /// A subquery has a name that may mean a merged column.
    inner: bool,
}

impl VisitorMut for Replace<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && let Some(value) = self.layout.value(name)
        {
            if self.inside == 0 {
                *expr = value;
            } else {
                self.inner = true;
            }
        }
        ControlFlow::Continue(())
    }
}

fn unclear() -> SqlError {
    SqlError::unsupported(
        "a column merged by USING or NATURAL cannot be told here",
        "Join with ON, and write COALESCE of both sides' columns.",
    )
}

fn is_merging(constraint: &JoinConstraint) -> bool {
    matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
}

fn constraint(operator: &JoinOperator) -> Option<(&JoinConstraint, Side)> {
    match operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => {
            Some((c, Side::Left))
        }
        JoinOperator::Right(c) | JoinOperator::RightOuter(c) => Some((c, Side::Right)),
        JoinOperator::FullOuter(c) => Some((c, Side::Both)),
        _ => None,
    }
}

fn constraint_mut(operator: &mut JoinOperator) -> Option<(&mut JoinConstraint, Side)> {
    match operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => {
            Some((c, Side::Left))
        }
        JoinOperator::Right(c) | JoinOperator::RightOuter(c) => Some((c, Side::Right)),
        JoinOperator::FullOuter(c) => Some((c, Side::Both)),
        _ => None,
    }
}
