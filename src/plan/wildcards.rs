//! `*` without the system columns that a statement names elsewhere.
//!
//! A relation shows a system column only to a statement that names it; then every `*` over that relation is
//! written so that it leaves the column out. And output columns of the same name get names of their own,
//! since the planner wants them to differ; clients see the names that `sql::columns` gives.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    TableFactor, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::columns::SystemColumn;
use super::expand::{fold, quoted, split};
use super::names::{Planning, Relation};
use crate::error::{Result, SqlError};
use crate::sql::columns::item_name;

/// Hides these columns from every `*` of the query.
pub fn hide(planning: &Planning, named: &[SystemColumn], query: &mut Query) -> Result<()> {
    if named.is_empty() {
        return Ok(());
    }
    match query.visit(&mut Hide { planning, named, ctes: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// `t.*` of a relation that FROM names with its schema and without an alias takes the schema too.
pub fn qualify(query: &mut Query) {
    struct Qualify;
    impl VisitorMut for Qualify {
        type Break = ();
        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            let mut names = Vec::new();
            for from in &select.from {
                let factors = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
                names.extend(factors.filter_map(|factor| match factor {
                    TableFactor::Table { name, alias: None, args: None, .. } if name.0.len() > 1 => Some(name.clone()),
                    _ => None,
                }));
            }
            for item in &mut select.projection {
                if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
                    && let Some((None, table)) = split(name)
                    && let Some(full) = names.iter().find(|full| split(full).is_some_and(|(_, last)| last == table))
                {
                    *name = full.clone();
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Qualify);
}

struct Hide<'a> {
    planning: &'a Planning,
    named: &'a [SystemColumn],
    ctes: Vec<String>,
}

/// One relation of a FROM list.
struct Part {
    qualifier: Option<Ident>,
    /// What `*` must leave out: hidden columns, and those that a USING has given already.
    hidden: Vec<String>,
    merged: Vec<String>,
}

impl VisitorMut for Hide<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if let Some(with) = &query.with {
            self.ctes.extend(with.cte_tables.iter().map(|cte| fold(&cte.alias.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        match self.rewrite(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Hide<'_> {
    fn rewrite(&self, select: &mut Select) -> Result<()> {
        let is_wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        let mut parts = Vec::new();
        let mut natural = false;
        for from in &select.from {
            self.collect(from, &mut parts, &mut natural);
        }
        if parts.iter().all(|part| part.hidden.is_empty()) {
            return Ok(());
        }
        if natural {
            return Err(SqlError::unsupported("NATURAL JOIN with a system column is not supported", "Join with USING instead."));
        }
        if !select.projection.iter().any(is_wildcard) {
            return Ok(());
        }
        let items = std::mem::take(&mut select.projection);
        for item in items {
            match item {
                SelectItem::Wildcard(options) => self.plain(options, &parts, &mut select.projection)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let hidden = split(&name).and_then(|(_, table)| {
                        parts.iter().find(|p| p.qualifier.as_ref().is_some_and(|q| fold(q) == table)).map(|p| p.hidden.clone())
                    });
                    let options = without(options, &hidden.unwrap_or_default());
                    let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
                    select.projection.push(SelectItem::QualifiedWildcard(kind, options));
                }
                other => select.projection.push(other),
            }
        }
        Ok(())
    }

    fn plain(&self, options: WildcardAdditionalOptions, parts: &[Part], items: &mut Vec<SelectItem>) -> Result<()> {
        if let [only] = parts {
            items.push(SelectItem::Wildcard(without(options, &only.hidden)));
            return Ok(());
        }
        for part in parts {
            let Some(qualifier) = &part.qualifier else {
                let hint = "Give every subquery in FROM an alias.";
                return Err(SqlError::unsupported("\"*\" beside a system column needs names for all relations", hint));
            };
            let kind = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![qualifier.clone()]));
            let hidden: Vec<String> = part.hidden.iter().chain(&part.merged).cloned().collect();
            items.push(SelectItem::QualifiedWildcard(kind, without(options.clone(), &hidden)));
        }
        Ok(())
    }

    fn collect(&self, from: &ast::TableWithJoins, parts: &mut Vec<Part>, natural: &mut bool) {
        self.collect_factor(&from.relation, vec![], parts, natural);
        for join in &from.joins {
            let merged = match constraint(&join.join_operator) {
                Some(JoinConstraint::Using(columns)) => columns.iter().filter_map(|c| c.0.last()?.as_ident().map(fold)).collect(),
                Some(JoinConstraint::Natural) => {
                    *natural = true;
                    vec![]
                }
                _ => vec![],
            };
            self.collect_factor(&join.relation, merged, parts, natural);
        }
    }

    fn collect_factor(&self, factor: &TableFactor, merged: Vec<String>, parts: &mut Vec<Part>, natural: &mut bool) {
        match factor {
            TableFactor::Table { name, alias, args, .. } => {
                let Some((schema, table)) = split(name) else { return };
                let qualifier = alias.as_ref().map_or_else(|| quoted(&table), |alias| alias.name.clone());
                let hidden = self.hidden_of(schema.as_deref(), &table, args.is_some());
                parts.push(Part { qualifier: Some(qualifier), hidden, merged });
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.collect(table_with_joins, parts, natural),
            TableFactor::Derived { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::TableFunction { alias, .. } => {
                let qualifier = alias.as_ref().map(|a| a.name.clone());
                parts.push(Part { qualifier, hidden: vec![], merged });
            }
            _ => parts.push(Part { qualifier: None, hidden: vec![], merged }),
        }
    }

    /// The named system columns that this relation shows and its own columns do not replace.
    fn hidden_of(&self, schema: Option<&str>, name: &str, call: bool) -> Vec<String> {
        if schema.is_none() && self.ctes.iter().any(|cte| cte == name) {
            return vec![];
        }
        let table = if call {
            self.planning
                .history_function(schema, name)
                .filter(|(_, f)| *f != super::names::HistoryFunction::Diff)
                .map(|(t, _)| t)
        } else {
            let found = self.planning.relation(schema, name);
            match found.or_else(|_| self.planning.relation_in(schema, name, crate::versions::Scope::All)) {
                Ok(Relation::Table(table)) => Some(table),
                Ok(Relation::Changes(_)) => return super::system::hidden_of_changes(self.named),
                _ => None,
            }
        };
        let Some(table) = table else { return vec![] };
        let own = |name: &str| table.columns.iter().any(|c| c.name == name);
        self.named.iter().map(|c| c.name()).filter(|name| !own(name)).map(str::to_owned).collect()
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c)
        | JoinOperator::Right(c)
        | JoinOperator::RightOuter(c)
        | JoinOperator::FullOuter(c) => Some(c),
        _ => None,
    }
}

/// The wildcard without these columns, and without those it leaves out already.
pub fn without(mut options: WildcardAdditionalOptions, hidden: &[String]) -> WildcardAdditionalOptions {
    if !hidden.is_empty() {
        let mut names = match options.opt_exclude.take() {
            Some(ast::ExcludeSelectItem::Multiple(names)) => names,
            Some(ast::ExcludeSelectItem::Single(name)) => vec![name],
            None => vec![],
        };
        names.extend(hidden.iter().map(|name| ObjectName::from(vec![quoted(name)])));
        options.opt_exclude = Some(ast::ExcludeSelectItem::Multiple(names));
    }
    options
}

/// Between a repeated name and the number that sets it apart; in no name that anybody writes.
pub const REPEAT: char = '\u{1}';

/// Gives output columns of subqueries whose name came before a name of their own.
pub fn rename_inner_repeats(query: &mut Query) {
    let _ = query.visit(&mut Repeats { depth: 0 });
}

/// Queries around the present one, itself included.
struct Repeats {
    depth: usize,
}

impl VisitorMut for Repeats {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let is_wildcard = |i: &SelectItem| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        if !select.projection.iter().any(is_wildcard) {
            rename_repeats_of(select, self.depth > 1);
        }
        ControlFlow::Continue(())
    }
}

/// Gives output columns whose name came before a name of their own.
pub fn rename_repeats(query: &mut Query) {
    if let SetExpr::Select(select) = query.body.as_mut() {
        rename_repeats_of(select, false);
    }
}

/// With `first`, also the first column of a name that comes again: then nobody can mean one of them by that name.
fn rename_repeats_of(select: &mut Select, first: bool) {
    let wildcard = select.projection.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut again = HashSet::new();
    if first {
        let mut once = HashSet::new();
        let names = select.projection.iter().filter_map(item_name);
        again.extend(names.filter(|name| !once.insert(name.clone())));
    }
    let mut seen = HashSet::new();
    let mut values = HashSet::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let Some(name) = item_name(item) else { continue };
        let name = name.split(REPEAT).next().unwrap_or_default().to_owned();
        let repeats = !seen.insert(name.clone()) || again.contains(&name);
        // To the planner a cast has the name of what is cast.
        let same_value = match item {
            SelectItem::UnnamedExpr(expr @ ast::Expr::Cast { .. }) => !values.insert(cast_value(expr).to_string()),
            SelectItem::UnnamedExpr(expr) => !values.insert(expr.to_string()),
            _ => false,
        };
        let repeats = repeats || same_value;
        // What a wildcard stands for is not known here: a plain column beside one may repeat it.
        let may_repeat =
            wildcard && matches!(item, SelectItem::UnnamedExpr(ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_)));
        if !repeats && !may_repeat {
            continue;
        }
        let alias = quoted(&format!("{name}{REPEAT}{index}"));
        let old = std::mem::replace(item, SelectItem::Wildcard(WildcardAdditionalOptions::default()));
        *item = match old {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => SelectItem::ExprWithAlias { expr, alias },
            other => other,
        };
    }
}

fn cast_value(mut expr: &ast::Expr) -> &ast::Expr {
    while let ast::Expr::Cast { expr: inner, .. } | ast::Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}
