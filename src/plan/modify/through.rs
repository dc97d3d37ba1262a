//! Writes through a view: the statement's names become those of the table under it.
//!
//! Rows to change are read from the view's own query, which carries the table's columns along under names that nobody can
//! write; what is evaluated over written rows has the view's columns replaced by what they are.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, VisitMut, VisitorMut};

use super::ITEM_KEY;
use super::select::{fold, named, select};
use super::target::{Named, find_named, not_writable};
use crate::error::{Result, SqlError, SqlState};
use crate::history::TableDef;
use crate::plan::StatementContext;
use crate::plan::catalog::updatable::{UpdatableView, ViewColumn, updatable};
use crate::plan::expand::quoted;
use crate::sql::CARRIED;
use crate::sql::columns::{UNNAMED, item_name};

/// The table that a write names, or the view over one that it may go through; 55000 for a view that cannot be written.
pub fn find_writable(
    ctx: &StatementContext,
    name: &ast::ObjectName,
    verb: &str,
) -> Result<(Arc<TableDef>, Option<UpdatableView>)> {
    let view = match find_named(ctx, name)? {
        Named::Table(table) => return Ok((table, None)),
        Named::View(view) => view,
    };
    let catalog = Arc::clone(&ctx.transaction.lock().catalog);
    match updatable(&catalog, &view) {
        Ok(through) => Ok((Arc::clone(&through.table), Some(through))),
        Err(reason) => Err(not_writable(&view, verb, reason)),
    }
}

impl UpdatableView {
    /// The view as a relation that has the table's columns beside its own: under [`carried`], and its version and key.
    pub(super) fn relation(&self, alias: &str) -> Result<ast::TableWithJoins> {
        let of_table = |name: &str| Expr::CompoundIdentifier(vec![quoted(&self.alias), quoted(name)]);
        let mut items: Vec<ast::SelectItem> =
            self.columns.iter().map(|column| named(column.value.clone(), &column.name)).collect();
        items.extend(self.table.live_columns().map(|column| named(of_table(&column.name), &carried(&column.name))));
        items.extend(["_version", ITEM_KEY].map(|name| named(of_table(name), &carried(name))));
        let table = &self.table.name;
        // Who may read it is settled with who may write it: see `expand`.
        let name = ast::ObjectName::from(vec![quoted(&carried(&table.schema)), quoted(&table.name)]);
        let query = select(items, vec![aliased(name, &self.alias)], self.predicate.clone())?;
        let alias = ast::TableAlias { explicit: true, name: quoted(alias), columns: Vec::new(), at: None };
        let relation = ast::TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None };
        Ok(ast::TableWithJoins { relation, joins: Vec::new() })
    }

    /// The table's column that is written when this column of the view is. 42703, and 0A000 for what is computed.
    fn written(&self, name: &str, doing: &str) -> Result<Ident> {
        let view = &self.view.name.name;
        let Some(column) = self.column(name) else {
            let message = format!("column \"{name}\" of relation \"{view}\" does not exist");
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        };
        column.base.as_deref().map(quoted).ok_or_else(|| self.computed(name, doing))
    }

    /// 0A000 for a column that is computed.
    pub(super) fn computed(&self, name: &str, doing: &str) -> SqlError {
        let message = format!("cannot {doing} column \"{name}\" of view \"{}\"", self.view.name.name);
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
            .detail("View columns that are not columns of their base relation are not updatable.")
    }

    /// The columns that INSERT names, as the table's.
    pub(super) fn inserted(&self, columns: &[ast::ObjectName]) -> Result<Vec<ast::ObjectName>> {
        columns.iter().map(|name| self.object_name(name, "insert into")).collect()
    }

    fn object_name(&self, name: &ast::ObjectName, doing: &str) -> Result<ast::ObjectName> {
        match name.0.as_slice() {
            [part] => {
                let column = part.as_ident().map(fold).unwrap_or_default();
                Ok(ast::ObjectName::from(vec![self.written(&column, doing)?]))
            }
            _ => Ok(name.clone()),
        }
    }

    /// The columns that SET names, as the table's; expressions stay.
    pub(super) fn assignments(&self, list: &[ast::Assignment]) -> Result<Vec<ast::Assignment>> {
        let renamed = |target: &ast::AssignmentTarget| -> Result<ast::AssignmentTarget> {
            Ok(match target {
                ast::AssignmentTarget::ColumnName(name) => ast::AssignmentTarget::ColumnName(self.object_name(name, "update")?),
                ast::AssignmentTarget::Tuple(names) => ast::AssignmentTarget::Tuple(
                    names.iter().map(|name| self.object_name(name, "update")).collect::<Result<_>>()?,
                ),
            })
        };
        list.iter().map(|a| Ok(ast::Assignment { target: renamed(&a.target)?, value: a.value.clone() })).collect()
    }

    /// ON CONFLICT in the table's names.
    pub(super) fn on_conflict(&self, clause: &ast::OnConflict, alias: &str) -> Result<ast::OnConflict> {
        let mut clause = clause.clone();
        if let Some(ast::ConflictTarget::Columns(columns)) = &mut clause.conflict_target {
            for column in columns {
                *column = self.written(&fold(column), "insert into")?;
            }
        }
        if let ast::OnConflictAction::DoUpdate(update) = &mut clause.action {
            update.assignments = self.assignments(&update.assignments)?;
            for assignment in &mut update.assignments {
                self.replace(&mut assignment.value, alias, &[alias, "excluded"])?;
            }
            if let Some(selection) = &mut update.selection {
                self.replace(selection, alias, &[alias, "excluded"])?;
            }
        }
        Ok(clause)
    }

    /// RETURNING over rows of the table; `beside` are FROM's relations, which `*` has too.
    pub(super) fn returning(
        &self,
        items: &[ast::SelectItem],
        alias: &str,
        beside: &[ast::ObjectName],
    ) -> Result<Vec<ast::SelectItem>> {
        let all = || self.columns.iter().map(|column| named(self.value(column, alias), &column.name));
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            match item {
                ast::SelectItem::Wildcard(_) => {
                    out.extend(all());
                    out.extend(beside.iter().map(super::update::wildcard_of));
                }
                ast::SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _)
                    if name.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| fold(ident) == alias) =>
                {
                    out.extend(all());
                }
                ast::SelectItem::UnnamedExpr(expr) => {
                    let name = item_name(item).unwrap_or_else(|| UNNAMED.to_owned());
                    let mut expr = expr.clone();
                    self.replace(&mut expr, alias, &[alias])?;
                    out.push(named(expr, &name));
                }
                ast::SelectItem::ExprWithAlias { expr, alias: name } => {
                    let mut expr = expr.clone();
                    self.replace(&mut expr, alias, &[alias])?;
                    out.push(ast::SelectItem::ExprWithAlias { expr, alias: name.clone() });
                }
                other => out.push(other.clone()),
            }
        }
        Ok(out)
    }

    /// What a column of the view is, over the table under another name.
    fn value(&self, column: &ViewColumn, qualifier: &str) -> Expr {
        let mut value = column.value.clone();
        let _ = value.visit(&mut Requalify { from: &self.alias, to: qualifier });
        if column.base.is_some() { value } else { Expr::Nested(Box::new(value)) }
    }

    /// Puts in the place of the view's columns what they are; `alias` is what a bare name means.
    fn replace(&self, expr: &mut Expr, alias: &str, qualifiers: &[&str]) -> Result<()> {
        match expr.visit(&mut Replace { through: self, alias, qualifiers }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

/// The name under which a view's relation carries a column of the table: one that no text can have.
pub fn carried(name: &str) -> String {
    format!("{CARRIED}{name}")
}

fn aliased(name: ast::ObjectName, alias: &str) -> ast::TableWithJoins {
    let relation = ast::TableFactor::Table {
        name,
        alias: Some(ast::TableAlias { explicit: true, name: quoted(alias), columns: Vec::new(), at: None }),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    ast::TableWithJoins { relation, joins: Vec::new() }
}

struct Requalify<'a> {
    from: &'a str,
    to: &'a str,
}

impl VisitorMut for Requalify<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [qualifier, _] = parts.as_mut_slice()
            && qualifier.value == self.from
        {
            *qualifier = quoted(self.to);
        }
        ControlFlow::Continue(())
    }
}

struct Replace<'a> {
    through: &'a UpdatableView,
    alias: &'a str,
    qualifiers: &'a [&'a str],
}

impl VisitorMut for Replace<'_> {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let (qualifier, name) = match expr {
            Expr::Identifier(name) => (None, fold(name)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => (Some(fold(qualifier)), fold(name)),
                _ => return ControlFlow::Continue(()),
            },
            _ => return ControlFlow::Continue(()),
        };
        if qualifier.as_deref().is_some_and(|qualifier| !self.qualifiers.contains(&qualifier)) {
            return ControlFlow::Continue(());
        }
        if let Some(column) = self.through.column(&name) {
            *expr = self.through.value(column, qualifier.as_deref().unwrap_or(self.alias));
            return ControlFlow::Continue(());
        }
        // A column that the view does not show is not there.
        if qualifier.is_some() || self.through.table.column(&name).is_some() {
            let shown = qualifier.map_or_else(|| format!("\"{name}\""), |qualifier| format!("{qualifier}.{name}"));
            let message = format!("column {shown} does not exist");
            return ControlFlow::Break(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        }
        ControlFlow::Continue(())
    }
}
