//! CREATE [OR REPLACE] and RENAME VIEW, and what depends on a relation.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;

use super::super::dispatch::cancellable;
use super::relations::relations_of;
use super::{Change, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, CheckOption, ViewDef};
use crate::plan::catalog::updatable::updatable;
use crate::plan::catalog::view;
use crate::sql::{Name, Statement};
use crate::types::{PgType, Qualified, TypeName};

/// What a CREATE VIEW says of the view.
pub(super) struct NewView<'a> {
    pub columns: &'a [String],
    pub query_text: &'a str,
    pub query: &'a ast::Query,
    /// WITH CHECK OPTION, and whether it is LOCAL.
    pub check_option: Option<bool>,
}

impl Change {
    pub(super) async fn create_view(&mut self, name: &Name, or_replace: bool, new: NewView<'_>) -> Result<()> {
        let NewView { columns, query_text, query, check_option } = new;
        let name = self.view_name(name, query)?;
        self.prepare_schema(&name)?;
        let statement = Statement::Query(Box::new(query.clone()));
        let prepared = cancellable(&self.ctx, self.engine.prepare(&self.ctx, &statement, &[])).await?;
        if !prepared.parameters.is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        let given = prepared.columns.as_deref().unwrap_or_default();
        if columns.len() > given.len() {
            return Err(SqlError::syntax("CREATE VIEW specifies more column names than columns"));
        }
        let named = given.iter().enumerate().map(|(n, column)| {
            let name = columns.get(n).unwrap_or(&column.name).clone();
            (name, settled(column.ty))
        });
        let outputs: Vec<(String, PgType)> = named.collect();
        let (query_text, bound) = match self.bound_text(query, &outputs).await {
            Some(text) => (text, true),
            None => (query_text.to_owned(), false),
        };
        let old = self.catalog.views.get(&name).cloned().filter(|_| or_replace);
        let def = ViewDef {
            id: old.as_ref().map_or_else(|| self.catalog.ids.next(), |old| old.id),
            name,
            owner: old.as_ref().map_or_else(|| self.ctx.current_user.clone(), |old| old.owner.clone()),
            query: query_text,
            bound,
            check_option: check_option.map(|local| if local { CheckOption::Local } else { CheckOption::Cascaded }),
            columns: outputs,
            comment: old.as_ref().and_then(|old| old.comment.clone()),
            column_comments: old.as_ref().map(|old| old.column_comments.clone()).unwrap_or_default(),
            grants: old.as_ref().map(|old| old.grants.clone()).unwrap_or_default(),
        };
        if def.check_option.is_some()
            && let Err(reason) = updatable(&self.catalog, &Arc::new(def.clone()))
        {
            let message = "WITH CHECK OPTION is supported only on automatically updatable views";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).hint(reason));
        }
        match old {
            Some(old) => {
                self.require_owner("view", &old.name.name, &old.owner)?;
                check_replacement(&old, &def)?;
                if self.reads(&def, &old.name) {
                    let message = format!("view \"{}\" would read itself", old.name.name);
                    return Err(SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message));
                }
                Ok(self.catalog.replace_view(def)?)
            }
            None => Ok(self.catalog.create_view(def)?),
        }
    }

    /// The query with every name in full, provided that it gives the same columns so.
    pub(super) async fn bound_text(&self, query: &ast::Query, outputs: &[(String, PgType)]) -> Option<String> {
        let names: Vec<String> = outputs.iter().map(|(name, _)| name.clone()).collect();
        let text = view::bound(&self.ctx.catalogue(), &self.ctx.effective_path(), query, &names)?;
        let statement = crate::sql::parse(&text).ok()?.pop()?.statement;
        let prepared = cancellable(&self.ctx, self.engine.prepare(&self.ctx, &statement, &[])).await.ok()?;
        let given = prepared.columns.as_deref()?;
        let same = |(column, (name, ty)): (&crate::plan::ResultColumn, &(String, PgType))| {
            column.name == *name && settled(column.ty) == *ty
        };
        (given.len() == outputs.len() && given.iter().zip(outputs).all(same)).then_some(text)
    }

    /// A view that reads a temporary relation is one itself.
    fn view_name(&self, name: &Name, query: &ast::Query) -> Result<Qualified> {
        let leads_to_temporary = |read: &Name| {
            let found = self.find(read, Catalog::has_relation);
            found.is_some_and(|found| crate::history::is_temporary_schema(&found.schema))
        };
        let full = self.new_name(name)?;
        if crate::history::is_temporary_schema(&full.schema) || !relations_of(query).iter().any(leads_to_temporary) {
            return Ok(full);
        }
        if name.schema.is_some() {
            let message = "cannot create temporary relation in non-temporary schema";
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        self.notice(format!("view \"{}\" will be a temporary view", name.name));
        self.new_name(&Name::qualified(crate::history::TEMPORARY, name.name.as_str()))
    }

    pub(super) fn rename_view(&mut self, name: &Name, to: &str) -> Result<()> {
        let Some(view) = self.find_view(name) else {
            let exists = self.find(name, Catalog::has_relation).is_some();
            let message = format!("\"{}\" is not a view", name.name);
            return Err(if exists { SqlError::new(SqlState::WRONG_OBJECT_TYPE, message) } else { undefined("relation", name) });
        };
        self.require_owner("view", &view.name.name, &view.owner)?;
        let name = Qualified::new(view.name.schema.as_str(), to);
        self.follow_rename("view", &view.name, &name)?;
        Ok(self.catalog.replace_view(ViewDef { name, ..ViewDef::clone(&view) })?)
    }

    pub(super) fn find_view(&self, name: &Name) -> Option<Arc<ViewDef>> {
        let found = self.find(name, |catalog, q| catalog.views.contains_key(q))?;
        self.catalog.views.get(&found).cloned()
    }

    /// Views that read a relation go on reading it under its new name. 0A000 where one names it in a form that is not
    /// known well enough.
    pub(super) fn follow_rename(&mut self, kind: &str, from: &Qualified, to: &Qualified) -> Result<()> {
        for old in self.views_on(from) {
            let renamed = view::renamed_relations(&old, &|name| view::follows(name, from, to));
            let query = renamed.ok_or_else(|| cannot_rename(kind, &from.name, &old))?;
            self.catalog.replace_view(ViewDef { query, ..ViewDef::clone(&old) })?;
        }
        Ok(())
    }

    /// Views go on reading what was in a schema under that one's new name.
    pub(super) fn follow_schema_rename(&mut self, from: &str, to: &str) -> Result<()> {
        let views: Vec<Arc<ViewDef>> = self.catalog.queries().filter(|view| view.bound).collect();
        for old in views {
            let moved = |name: &Qualified| (name.schema == from).then(|| Qualified::new(to, name.name.as_str()));
            if let Some(query) = view::renamed_relations(&old, &moved) {
                self.catalog.replace_view(ViewDef { query, ..ViewDef::clone(&old) })?;
            }
        }
        Ok(())
    }

    /// As [`Self::follow_rename`], for a column.
    pub(super) fn follow_column_rename(&mut self, table: &Qualified, from: &str, to: &str) -> Result<()> {
        for old in self.views_on(table) {
            let renamed = view::renamed_column(&self.ctx.catalogue(), &old, table, from, to);
            let query = renamed.ok_or_else(|| cannot_rename("column of table", &table.name, &old))?;
            self.catalog.replace_view(ViewDef { query, ..ViewDef::clone(&old) })?;
        }
        Ok(())
    }

    /// Views that read this relation, or its past, in their own text.
    pub(super) fn views_on(&self, name: &Qualified) -> Vec<Arc<ViewDef>> {
        self.catalog.queries().filter(|view| self.reads(view, name)).collect()
    }

    /// Views that read this relation, directly or through others, those closest to it first.
    pub(super) fn dependents_of(&self, name: &Qualified) -> Vec<Arc<ViewDef>> {
        let mut found: Vec<Arc<ViewDef>> = Vec::new();
        let mut seen = BTreeSet::from([name.clone()]);
        let mut waiting = vec![name.clone()];
        while let Some(name) = waiting.pop() {
            for view in self.views_on(&name) {
                if seen.insert(view.name.clone()) {
                    waiting.push(view.name.clone());
                    found.push(view);
                }
            }
        }
        found
    }

    fn reads(&self, view: &ViewDef, name: &Qualified) -> bool {
        let Ok(parsed) = crate::sql::parse(&view.query) else { return false };
        parsed.iter().any(|parsed| match &parsed.statement {
            Statement::Query(query) => relations_of(query).iter().any(|read| self.leads_to(read, view, name)),
            _ => false,
        })
    }

    /// Whether a name written in the view's text means this relation or its past.
    fn leads_to(&self, read: &Name, view: &ViewDef, name: &Qualified) -> bool {
        let past = read.name.rsplit_once("__").is_some_and(|(base, _)| base == name.name);
        if read.name != name.name && !past {
            return false;
        }
        match &read.schema {
            Some(schema) => *schema == name.schema,
            None => self.ctx.search_path.contains(&name.schema) || view.name.schema == name.schema,
        }
    }
}

fn cannot_rename(kind: &str, name: &str, view: &ViewDef) -> SqlError {
    let message = format!("{kind} \"{name}\" cannot be renamed while view \"{}\" reads it", view.name.name);
    SqlError::unsupported(message, "Drop the view first and make it again afterwards.")
}

/// An untyped literal is text by the time it is a column.
fn settled(ty: PgType) -> PgType {
    if ty.name == TypeName::Unknown { PgType { name: TypeName::Text, ..ty } } else { ty }
}

/// A replacement may only add columns at the end.
fn check_replacement(old: &ViewDef, new: &ViewDef) -> Result<()> {
    let refuse = |message: String| Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
    if new.columns.len() < old.columns.len() {
        return refuse("cannot drop columns from view".to_owned());
    }
    for ((old_name, old_type), (new_name, new_type)) in old.columns.iter().zip(&new.columns) {
        if old_name != new_name {
            return refuse(format!("cannot change name of view column \"{old_name}\" to \"{new_name}\""));
        }
        if old_type != new_type {
            let (old, new) = (old_type.sql_name(), new_type.sql_name());
            return refuse(format!("cannot change data type of view column \"{old_name}\" from {old} to {new}"));
        }
    }
    Ok(())
}
