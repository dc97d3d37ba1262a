//! Queries as PostgreSQL lays them out: a clause a line, what is inside further in.

use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, LimitClause, ObjectName, OrderByKind, Query, Select,
    SelectItem, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor, TableWithJoins,
};

use super::print::{ITEM, Printer, STEP, Style, Visible};
use crate::plan::expand::{fold, split};
use crate::plan::functions::session::quote_ident;

const BACK: isize = -(STEP as isize);

/// A query whose names and casts are settled, with the semicolon. `None` for a form that is not known here.
pub fn definition(query: &Query, style: Style, visible: Visible<'_>) -> Option<String> {
    let mut printer = Printer { style, out: String::new(), indent: 0, visible, lenient: true };
    printer.query(query)?;
    printer.push(";");
    Some(printer.out)
}

impl Printer<'_> {
    /// Leaves the depth for the caller to put back.
    pub fn query(&mut self, query: &Query) -> Option<()> {
        if query.for_clause.is_some() || query.settings.is_some() || !query.pipe_operators.is_empty() {
            return None;
        }
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        self.body(&query.body)?;
        if let Some(order) = &query.order_by {
            let OrderByKind::Expressions(items) = &order.kind else { return None };
            self.line(" ORDER BY ", BACK, STEP, 1);
            self.order(items)?;
        }
        self.limits(query)?;
        for lock in &query.locks {
            self.line(&format!(" {lock}"), BACK, STEP, 0);
        }
        Some(())
    }

    fn limits(&mut self, query: &Query) -> Option<()> {
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(_) => return None,
        };
        if let Some(offset) = offset {
            self.line(" OFFSET ", BACK, STEP, 0);
            self.expr(offset)?;
        }
        if let Some(limit) = limit {
            self.line(" LIMIT ", BACK, STEP, 0);
            self.expr(limit)?;
        }
        let Some(fetch) = &query.fetch else { return Some(()) };
        if fetch.percent {
            return None;
        }
        let one = Expr::value(ast::Value::Number("1".to_owned(), false));
        let quantity = fetch.quantity.as_ref().unwrap_or(&one);
        if fetch.with_ties {
            self.line(" FETCH FIRST (", BACK, STEP, 0);
            self.expr(quantity)?;
            self.push(") ROWS WITH TIES");
        } else {
            self.line(" LIMIT ", BACK, STEP, 0);
            self.expr(quantity)?;
        }
        Some(())
    }

    fn with(&mut self, with: &ast::With) -> Option<()> {
        self.indent += STEP;
        self.push(if with.recursive { " WITH RECURSIVE " } else { " WITH " });
        self.list(&with.cte_tables, |p, cte| {
            p.push(&quote_ident(&fold(&cte.alias.name)));
            if !cte.alias.columns.is_empty() {
                p.push("(");
                p.list(&cte.alias.columns, |p, column| p.name(&column.name))?;
                p.push(")");
            }
            p.push(" AS ");
            match cte.materialized {
                None => {}
                Some(ast::CteAsMaterialized::Materialized) => p.push("MATERIALIZED "),
                Some(ast::CteAsMaterialized::NotMaterialized) => p.push("NOT MATERIALIZED "),
            }
            p.push("(");
            p.line("", 0, 0, 0);
            let indent = p.indent;
            p.query(&cte.query)?;
            p.indent = indent;
            p.line("", 0, 0, 0);
            p.push(")");
            Some(())
        })?;
        self.indent = self.indent.saturating_sub(STEP);
        self.line("", 0, 0, 0);
        Some(())
    }

    fn name(&mut self, ident: &Ident) -> Option<()> {
        self.push(&quote_ident(&fold(ident)));
        Some(())
    }

    fn body(&mut self, body: &SetExpr) -> Option<()> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Values(values) => {
                self.indent += STEP;
                self.push(" VALUES ");
                self.list(&values.rows, |p, row| {
                    p.push("(");
                    for (n, value) in row.content.iter().enumerate() {
                        p.push(if n > 0 { "," } else { "" });
                        p.expr(value)?;
                    }
                    p.push(")");
                    Some(())
                })
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => self.set_operation(left, *op, *set_quantifier, right),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => None,
        }
    }

    fn set_operation(&mut self, left: &SetExpr, op: SetOperator, quantifier: SetQuantifier, right: &SetExpr) -> Option<()> {
        let all = match quantifier {
            SetQuantifier::All => "ALL ",
            SetQuantifier::None | SetQuantifier::Distinct => "",
            _ => return None,
        };
        let same = |inner: &SetExpr| {
            matches!(unwrapped(inner), SetExpr::SetOperation { op: inner, set_quantifier, .. }
                if *inner == op && (*set_quantifier == SetQuantifier::All) == (quantifier == SetQuantifier::All))
        };
        let nested = |inner: &SetExpr| matches!(unwrapped(inner), SetExpr::SetOperation { .. });
        let step = if nested(left) && !same(left) { STEP } else { 0 };
        if step > 0 {
            self.push("(");
            self.line("", STEP as isize, 0, 0);
        }
        self.branch(left)?;
        self.line(if step > 0 { ") " } else { "" }, -(step as isize), 0, 0);
        self.push(&format!("{op} {all}"));
        let step = if nested(right) { STEP } else { 0 };
        if step > 0 {
            self.push("(");
        }
        self.line("", step as isize, 0, 0);
        self.branch(right)?;
        self.indent = self.indent.saturating_sub(step);
        if step > 0 {
            self.line(")", 0, 0, 0);
        }
        Some(())
    }

    /// One side of a set operation; a query with an order or a limit of its own is in parentheses.
    fn branch(&mut self, body: &SetExpr) -> Option<()> {
        let inner = unwrapped(body);
        if matches!(inner, SetExpr::SetOperation { .. }) {
            return self.body(inner);
        }
        let indent = self.indent;
        let own = matches!(inner, SetExpr::Query(_));
        self.push(if own { "(" } else { "" });
        self.body(inner)?;
        self.push(if own { ")" } else { "" });
        self.indent = indent;
        Some(())
    }

    fn select(&mut self, select: &Select) -> Option<()> {
        let unusual = select.top.is_some()
            || select.into.is_some()
            || select.prewhere.is_some()
            || select.qualify.is_some()
            || select.exclude.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty();
        if unusual {
            return None;
        }
        self.indent += STEP;
        self.push(" SELECT");
        match &select.distinct {
            None | Some(Distinct::All) => {}
            Some(Distinct::Distinct) => self.push(" DISTINCT"),
            Some(Distinct::On(items)) => {
                self.push(" DISTINCT ON (");
                self.list(items, |p, item| p.ordered_by(item))?;
                self.push(")");
            }
        }
        self.items(&select.projection)?;
        self.from(&select.from)?;
        if let Some(condition) = &select.selection {
            self.line(" WHERE ", BACK, STEP, 1);
            self.expr(condition)?;
        }
        match &select.group_by {
            GroupByExpr::All(_) => return None,
            GroupByExpr::Expressions(items, modifiers) if modifiers.is_empty() => {
                if !items.is_empty() {
                    self.line(" GROUP BY ", BACK, STEP, 1);
                    self.list(items, |p, item| p.ordered_by(item))?;
                }
            }
            GroupByExpr::Expressions(..) => return None,
        }
        if let Some(condition) = &select.having {
            self.line(" HAVING ", BACK, STEP, 0);
            self.expr(condition)?;
        }
        for (n, ast::NamedWindowDefinition(name, window)) in select.named_window.iter().enumerate() {
            if n == 0 {
                self.line(" WINDOW ", BACK, STEP, 1);
            } else {
                self.push(", ");
            }
            self.push(&format!("{} AS ", quote_ident(&fold(name))));
            match window {
                ast::NamedWindowExpr::NamedWindow(other) => self.push(&format!("({})", quote_ident(&fold(other)))),
                ast::NamedWindowExpr::WindowSpec(spec) => self.window(spec)?,
            }
        }
        Some(())
    }

    /// Each item on a line of its own, the first beside SELECT.
    fn items(&mut self, items: &[SelectItem]) -> Option<()> {
        for (n, item) in items.iter().enumerate() {
            self.push(if n > 0 { ", " } else { " " });
            let before = std::mem::take(&mut self.out);
            match item {
                SelectItem::UnnamedExpr(expr) => self.expr(expr)?,
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.expr(expr)?;
                    self.push(&format!(" AS {}", quote_ident(&fold(alias))));
                }
                _ => self.push(&item.to_string()),
            }
            let text = std::mem::replace(&mut self.out, before);
            if text.starts_with('\n') {
                let kept = self.out.trim_end_matches(' ').len();
                self.out.truncate(kept);
            } else if n > 0 {
                self.line("", BACK, STEP, ITEM);
            }
            self.out.push_str(&text);
        }
        Some(())
    }

    fn from(&mut self, from: &[TableWithJoins]) -> Option<()> {
        for (n, tree) in from.iter().enumerate() {
            if n == 0 {
                self.line(" FROM ", BACK, STEP, 2);
                self.joined(tree)?;
                continue;
            }
            self.push(", ");
            let before = std::mem::take(&mut self.out);
            self.joined(tree)?;
            let text = std::mem::replace(&mut self.out, before);
            self.line("", BACK, STEP, ITEM);
            self.out.push_str(&text);
        }
        Some(())
    }

    fn joined(&mut self, tree: &TableWithJoins) -> Option<()> {
        if self.style == Style::Full {
            tree.joins.iter().for_each(|_| self.out.push('('));
        }
        self.factor(&tree.relation)?;
        for join in &tree.joins {
            self.join(join)?;
        }
        Some(())
    }

    fn join(&mut self, join: &ast::Join) -> Option<()> {
        let (word, constraint) = match &join.join_operator {
            JoinOperator::Join(c) | JoinOperator::Inner(c) => ("JOIN", c),
            JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => ("LEFT JOIN", c),
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => ("RIGHT JOIN", c),
            JoinOperator::FullOuter(c) => ("FULL JOIN", c),
            JoinOperator::CrossJoin(c) => ("CROSS JOIN", c),
            _ => return None,
        };
        self.line(&format!(" {word} "), BACK, STEP, ITEM);
        let nested = self.style == Style::Pretty && is_joined(&join.relation);
        self.push(if nested { "(" } else { "" });
        self.factor(&join.relation)?;
        self.push(if nested { ")" } else { "" });
        match constraint {
            JoinConstraint::On(condition) => {
                self.push(if self.style == Style::Full { " ON (" } else { " ON " });
                self.expr(condition)?;
                self.push(if self.style == Style::Full { ")" } else { "" });
            }
            JoinConstraint::Using(columns) => {
                let shown = |name: &ObjectName| name.0.last().and_then(|part| part.as_ident()).map(|i| quote_ident(&fold(i)));
                let names = columns.iter().map(shown).collect::<Option<Vec<_>>>()?;
                self.push(&format!(" USING ({})", names.join(", ")));
            }
            JoinConstraint::Natural => return None,
            JoinConstraint::None => {}
        }
        if self.style == Style::Full {
            self.push(")");
        }
        Some(())
    }

    fn factor(&mut self, factor: &TableFactor) -> Option<()> {
        match factor {
            TableFactor::Table { name, alias, args, version, with_ordinality, sample: None, .. } => {
                let (schema, relation) = split(name)?;
                let shown = match schema.filter(|schema| !(self.visible)(schema, &relation)) {
                    Some(schema) => format!("{}.{}", quote_ident(&schema), quote_ident(&relation)),
                    None => quote_ident(&relation),
                };
                self.push(&shown);
                if let Some(args) = args {
                    self.push("(");
                    self.list(&args.args, |p, arg| match arg {
                        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => p.expr(expr),
                        _ => None,
                    })?;
                    self.push(")");
                }
                if *with_ordinality {
                    self.push(" WITH ORDINALITY");
                }
                if let Some(version) = version {
                    self.push(&format!(" {version}"));
                }
                self.alias(alias.as_ref(), Some(&relation).filter(|_| args.is_none()))
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                self.push(if *lateral { "LATERAL (" } else { "(" });
                let indent = self.indent;
                self.query(subquery)?;
                self.indent = indent;
                self.push(")");
                self.alias(alias.as_ref(), None)
            }
            TableFactor::Function { lateral, name, args, with_ordinality, alias } => {
                self.push(if *lateral { "LATERAL " } else { "" });
                let (schema, function) = split(name)?;
                let schema = schema.filter(|schema| schema != "pg_catalog").map(|s| quote_ident(&s) + ".").unwrap_or_default();
                self.push(&format!("{schema}{}(", quote_ident(&function)));
                self.list(args, |p, arg| match arg {
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => p.expr(expr),
                    _ => None,
                })?;
                self.push(if *with_ordinality { ") WITH ORDINALITY" } else { ")" });
                self.alias(alias.as_ref(), None)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let aliased = alias.is_some() && self.style == Style::Pretty;
                self.push(if aliased { "(" } else { "" });
                self.joined(table_with_joins)?;
                self.push(if aliased { ")" } else { "" });
                self.alias(alias.as_ref(), None)
            }
            other => {
                self.push(&other.to_string());
                Some(())
            }
        }
    }

    /// An alias, unless it is the relation's own name and nothing more.
    fn alias(&mut self, alias: Option<&TableAlias>, own: Option<&String>) -> Option<()> {
        let Some(alias) = alias else { return Some(()) };
        let name = fold(&alias.name);
        if own.is_some_and(|own| *own == name) && alias.columns.is_empty() {
            return Some(());
        }
        self.push(&format!(" {}", quote_ident(&name)));
        if !alias.columns.is_empty() {
            self.push("(");
            self.list(&alias.columns, |p, column| {
                p.push(&quote_ident(&fold(&column.name)));
                if let Some(ty) = &column.data_type {
                    p.push(&format!(" {ty}"));
                }
                Some(())
            })?;
            self.push(")");
        }
        Some(())
    }
}

fn is_joined(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::NestedJoin { alias: None, .. })
}

/// A query in parentheses that says nothing but its body is that body.
fn unwrapped(body: &SetExpr) -> &SetExpr {
    match body {
        SetExpr::Query(query)
            if query.with.is_none()
                && query.order_by.is_none()
                && query.limit_clause.is_none()
                && query.fetch.is_none()
                && query.locks.is_empty() =>
        {
            unwrapped(&query.body)
        }
        other => other,
    }
}
