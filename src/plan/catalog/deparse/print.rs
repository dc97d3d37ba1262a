//! A tree whose casts are written out, as text: with every parenthesis, or with those that help the eye; and the lines
//! that PostgreSQL breaks it into.

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, ArrayElemTypeDef, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, Subscript, UnaryOperator, Value, WindowFrameBound, WindowSpec, WindowType,
};

use crate::plan::expand::fold;
use crate::plan::functions::session::{quote_ident, quote_literal};
use crate::plan::type_planner::pg_type;

/// The two ways in which PostgreSQL prints expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Every operator in parentheses: what can be read back whatever the precedence.
    Full,
    /// What `pretty_bool` asks for.
    Pretty,
}

/// Whether a schema's relation or type may be shown without the schema.
pub type Visible<'a> = &'a dyn Fn(&str, &str) -> bool;

/// `None` for a form that is not known here.
pub fn print(expr: &Expr, style: Style, visible: Visible<'_>) -> Option<String> {
    let mut printer = Printer { style, out: String::new(), indent: 0, visible, lenient: false };
    printer.expr(expr)?;
    Some(printer.out)
}

/// What is printed so far, and how deep.
pub struct Printer<'a> {
    pub style: Style,
    pub out: String,
    pub indent: usize,
    pub visible: Visible<'a>,
    /// Forms that are not known here are written as the parser writes them.
    pub lenient: bool,
}

/// How far what belongs to a query is moved in, and what belongs to an item of one.
pub const STEP: usize = 8;
pub const ITEM: usize = 4;
/// From here on lines are not moved in by whole steps any more.
const DEEPEST: usize = 40;

/// SQL's functions that are written without parentheses.
const BARE: &[&str] = &[
    "current_timestamp",
    "current_date",
    "current_time",
    "localtimestamp",
    "localtime",
    "current_user",
    "session_user",
    "current_role",
    "user",
    "current_catalog",
    "current_schema",
];

/// Functions that SQL writes as words of its own.
const WORDS: &[&str] = &["coalesce", "nullif", "greatest", "least", "row"];

impl Printer<'_> {
    pub fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A new line that begins with the text: moved `before` to the left first, `extra` to the right just here, and
    /// `after` to the right from then on.
    pub fn line(&mut self, text: &str, before: isize, after: usize, extra: usize) {
        self.indent = self.indent.saturating_add_signed(before);
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        self.out.push('\n');
        let depth = match self.indent {
            depth if depth < DEEPEST => depth,
            depth => (DEEPEST + (depth - DEEPEST) / (STEP / 2)) % DEEPEST,
        };
        self.out.extend(std::iter::repeat_n(' ', depth + extra));
        self.out.push_str(text);
        self.indent += after;
    }

    pub fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T) -> Option<()>) -> Option<()> {
        for (n, one) in items.iter().enumerate() {
            if n > 0 {
                self.push(", ");
            }
            item(self, one)?;
        }
        Some(())
    }

    pub fn expr(&mut self, expr: &Expr) -> Option<()> {
        let before = (self.out.len(), self.indent);
        if self.known(expr).is_some() {
            return Some(());
        }
        if !self.lenient {
            return None;
        }
        self.out.truncate(before.0);
        self.indent = before.1;
        self.push(&format!("({expr})"));
        Some(())
    }

    fn known(&mut self, expr: &Expr) -> Option<()> {
        match expr {
            Expr::Nested(inner) => self.expr(inner)?,
            Expr::Identifier(ident) => self.push(&quote_ident(&fold(ident))),
            Expr::CompoundIdentifier(parts) => {
                let parts: Vec<String> = parts.iter().map(|ident| quote_ident(&fold(ident))).collect();
                self.push(&parts.join("."));
            }
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => self.push(digits),
                Value::Boolean(value) => self.push(if *value { "true" } else { "false" }),
                Value::Null => self.push("NULL"),
                Value::SingleQuotedString(text) => self.push(&quote_literal(text)),
                _ => return None,
            },
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => self.operator(|p| {
                p.push("NOT ");
                p.operand(expr, Place::Logical(None))
            })?,
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => self.operator(|p| {
                p.push("- ");
                p.operand(expr, Place::Operator(None))
            })?,
            Expr::IsNull(inner) => self.tested(inner, "IS NULL")?,
            Expr::IsNotNull(inner) => self.tested(inner, "IS NOT NULL")?,
            Expr::IsTrue(inner) => self.tested(inner, "IS TRUE")?,
            Expr::IsNotTrue(inner) => self.tested(inner, "IS NOT TRUE")?,
            Expr::IsFalse(inner) => self.tested(inner, "IS FALSE")?,
            Expr::IsNotFalse(inner) => self.tested(inner, "IS NOT FALSE")?,
            Expr::IsUnknown(inner) => self.tested(inner, "IS UNKNOWN")?,
            Expr::IsNotUnknown(inner) => self.tested(inner, "IS NOT UNKNOWN")?,
            Expr::IsDistinctFrom(left, right) => self.operator(|p| {
                p.operand(left, Place::Operator(None))?;
                p.push(" IS DISTINCT FROM ");
                p.operand(right, Place::Operator(None))
            })?,
            Expr::BinaryOp { left, op, right } if is_logical(op) => {
                let mut items = Vec::new();
                flatten(left, op, &mut items);
                items.push(right);
                self.operator(|p| {
                    for (n, item) in items.iter().enumerate() {
                        if n > 0 {
                            p.push(&format!(" {op} "));
                        }
                        p.operand(item, Place::Logical(Some(op)))?;
                    }
                    Some(())
                })?;
            }
            Expr::BinaryOp { left, op, right } => self.operator(|p| {
                p.operand(left, Place::Operator(Some((op, true))))?;
                p.push(&format!(" {op} "));
                p.operand(right, Place::Operator(Some((op, false))))
            })?,
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if matches!(**right, Expr::Subquery(_)) => {
                let Expr::Subquery(query) = &**right else { return None };
                self.in_query(left, "IN", query)?;
            }
            Expr::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, "ANY", right)?,
            Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, "ALL", right)?,
            Expr::InSubquery { expr, subquery, negated: false } => self.in_query(expr, "IN", subquery)?,
            Expr::InList { expr, list, negated } => self.operator(|p| {
                p.operand(expr, Place::Operator(None))?;
                p.push(if *negated { " NOT IN (" } else { " IN (" });
                p.list(list, |p, item| p.expr(item))?;
                p.push(")");
                Some(())
            })?,
            Expr::Subquery(query) => self.bracketed_query("(", query)?,
            Expr::Exists { subquery, negated: false } => {
                self.push("(EXISTS ");
                self.bracketed_query("(", subquery)?;
                self.push(")");
            }
            Expr::Array(array) => {
                self.push("ARRAY[");
                self.list(&array.elem, |p, item| p.expr(item))?;
                self.push("]");
            }
            Expr::Cast { expr, data_type, .. } => self.cast(expr, data_type)?,
            Expr::Function(function) => self.call(function)?,
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())?;
            }
            Expr::Collate { expr, collation } => self.operator(|p| {
                p.operand(expr, Place::Operator(None))?;
                let name = collation.0.last()?.as_ident().map(|ident| quote_ident(&fold(ident)))?;
                let name = if name.starts_with('"') { name } else { format!("\"{name}\"") };
                p.push(&format!(" COLLATE {name}"));
                Some(())
            })?,
            Expr::CompoundFieldAccess { root, access_chain } => self.subscripts(root, access_chain)?,
            other => self.spelled(other)?,
        }
        Some(())
    }

    /// Functions that SQL spells with words of their own.
    fn spelled(&mut self, expr: &Expr) -> Option<()> {
        match expr {
            Expr::Extract { field, expr, .. } => {
                self.push(&format!("EXTRACT({} FROM ", field.to_string().to_lowercase()));
                self.expr(expr)?;
                self.push(")");
            }
            Expr::Substring { expr, substring_from, substring_for, special, .. } => {
                let (open, from, length) =
                    if *special { ("\"substring\"(", ", ", ", ") } else { ("SUBSTRING(", " FROM ", " FOR ") };
                self.push(open);
                self.expr(expr)?;
                for (word, part) in [(from, substring_from), (length, substring_for)] {
                    if let Some(part) = part {
                        self.push(word);
                        self.expr(part)?;
                    }
                }
                self.push(")");
            }
            Expr::Trim { trim_where, trim_what, expr, .. } => {
                let place = trim_where.as_ref().map_or_else(|| "BOTH".to_owned(), ToString::to_string);
                self.push(&format!("TRIM({place} "));
                if let Some(what) = trim_what {
                    self.expr(what)?;
                    self.push(" ");
                }
                self.push("FROM ");
                self.expr(expr)?;
                self.push(")");
            }
            Expr::Position { expr, r#in } => {
                self.push("POSITION((");
                self.expr(expr)?;
                self.push(") IN (");
                self.expr(r#in)?;
                self.push("))");
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.push("OVERLAY(");
                self.expr(expr)?;
                let parts = [(" PLACING ", Some(overlay_what)), (" FROM ", Some(overlay_from)), (" FOR ", overlay_for.as_ref())];
                for (word, part) in parts {
                    if let Some(part) = part {
                        self.push(word);
                        self.expr(part)?;
                    }
                }
                self.push(")");
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                self.push("(");
                self.operand(timestamp, Place::Operator(None))?;
                self.push(" AT TIME ZONE ");
                self.operand(time_zone, Place::Operator(None))?;
                self.push(")");
            }
            Expr::Rollup(sets) => self.grouping("ROLLUP", sets)?,
            Expr::Cube(sets) => self.grouping("CUBE", sets)?,
            Expr::GroupingSets(sets) => {
                self.push("GROUPING SETS (");
                self.list(sets, |p, set| {
                    p.push("(");
                    p.list(set, |p, item| p.expr(item))?;
                    p.push(")");
                    Some(())
                })?;
                self.push(")");
            }
            _ => return None,
        }
        Some(())
    }

    fn grouping(&mut self, word: &str, sets: &[Vec<Expr>]) -> Option<()> {
        self.push(&format!("{word}("));
        self.list(sets, |p, set| match set.as_slice() {
            [only] => p.expr(only),
            several => {
                p.push("(");
                p.list(several, |p, item| p.expr(item))?;
                p.push(")");
                Some(())
            }
        })?;
        self.push(")");
        Some(())
    }

    fn subscripts(&mut self, root: &Expr, chain: &[AccessExpr]) -> Option<()> {
        let plain = matches!(root, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if plain {
            self.expr(root)?;
        } else {
            self.push("(");
            self.expr(root)?;
            self.push(")");
        }
        for access in chain {
            let AccessExpr::Subscript(Subscript::Index { index }) = access else { return None };
            self.push("[");
            self.expr(index)?;
            self.push("]");
        }
        Some(())
    }

    /// The whole of an operator's text.
    fn operator(&mut self, inside: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        if self.style == Style::Full {
            self.push("(");
        }
        inside(self)?;
        if self.style == Style::Full {
            self.push(")");
        }
        Some(())
    }

    fn tested(&mut self, inner: &Expr, words: &str) -> Option<()> {
        self.operator(|p| {
            p.operand(inner, Place::Operator(None))?;
            p.push(&format!(" {words}"));
            Some(())
        })
    }

    /// An operand, in parentheses where the eye needs them; the full style has put them already.
    fn operand(&mut self, expr: &Expr, place: Place<'_>) -> Option<()> {
        if self.style == Style::Full || is_simple(expr, place) {
            return self.expr(expr);
        }
        self.push("(");
        self.expr(expr)?;
        self.push(")");
        Some(())
    }

    fn quantified(&mut self, left: &Expr, op: &BinaryOperator, word: &str, right: &Expr) -> Option<()> {
        if let Expr::Subquery(query) = right {
            return self.in_query(left, &format!("{op} {word}"), query);
        }
        self.operator(|p| {
            p.operand(left, Place::Operator(None))?;
            p.push(&format!(" {op} {word} ("));
            p.expr(right)?;
            p.push(")");
            Some(())
        })
    }

    fn in_query(&mut self, left: &Expr, words: &str, query: &ast::Query) -> Option<()> {
        self.push("(");
        self.operand(left, Place::Operator(None))?;
        self.push(&format!(" {words} "));
        self.bracketed_query("(", query)?;
        self.push(")");
        Some(())
    }

    fn bracketed_query(&mut self, open: &str, query: &ast::Query) -> Option<()> {
        self.push(open);
        let indent = self.indent;
        self.query(query)?;
        self.indent = indent;
        self.push(")");
        Some(())
    }

    fn cast(&mut self, expr: &Expr, data_type: &DataType) -> Option<()> {
        let name = self.type_name(data_type)?;
        let inner = match expr {
            Expr::Nested(inner) => inner.as_ref(),
            other => other,
        };
        let constant = matches!(inner, Expr::Value(value) if !matches!(value.value, Value::Number(..) | Value::Boolean(_)));
        let empty = matches!(inner, Expr::Array(array) if array.elem.is_empty());
        let bare = constant || empty || (self.style == Style::Pretty && is_simple(inner, Place::Operator(None)));
        self.push(if bare { "" } else { "(" });
        self.expr(inner)?;
        self.push(if bare { "::" } else { ")::" });
        self.push(&name);
        Some(())
    }

    fn case(&mut self, operand: Option<&Expr>, whens: &[ast::CaseWhen], otherwise: Option<&Expr>) -> Option<()> {
        self.line("CASE", 0, ITEM, 0);
        if let Some(operand) = operand {
            self.push(" ");
            self.expr(operand)?;
        }
        for when in whens {
            self.line("WHEN ", 0, 0, 0);
            self.expr(&when.condition)?;
            self.push(" THEN ");
            self.expr(&when.result)?;
        }
        if let Some(otherwise) = otherwise {
            self.line("ELSE ", 0, 0, 0);
            self.expr(otherwise)?;
        }
        self.line("END", -(ITEM as isize), 0, 0);
        Some(())
    }

    fn call(&mut self, function: &Function) -> Option<()> {
        let name = function.name.0.last()?.as_ident().map(fold)?;
        if matches!(function.args, FunctionArguments::None) && BARE.contains(&name.as_str()) {
            self.push(&name.to_uppercase());
            return Some(());
        }
        let schema = function.name.0.iter().rev().nth(1).and_then(|part| part.as_ident()).map(fold);
        match schema.filter(|schema| schema != "pg_catalog" && !(self.visible)(schema, &name)) {
            Some(schema) => self.push(&format!("{}.{}", quote_ident(&schema), quote_ident(&name))),
            None if WORDS.contains(&name.as_str()) => self.push(&name.to_uppercase()),
            None if name == "array" => self.push("ARRAY"),
            None => self.push(&quote_ident(&name)),
        }
        match &function.args {
            FunctionArguments::None => self.push("()"),
            FunctionArguments::Subquery(query) => self.bracketed_query("(", query)?,
            FunctionArguments::List(list) => self.arguments(list)?,
        }
        if !function.within_group.is_empty() {
            self.push(" WITHIN GROUP (ORDER BY ");
            self.order(&function.within_group)?;
            self.push(")");
        }
        if let Some(filter) = &function.filter {
            self.push(" FILTER (WHERE ");
            self.expr(filter)?;
            self.push(")");
        }
        match &function.over {
            None => {}
            Some(WindowType::NamedWindow(name)) => self.push(&format!(" OVER {}", quote_ident(&fold(name)))),
            Some(WindowType::WindowSpec(spec)) => {
                self.push(" OVER ");
                self.window(spec)?;
            }
        }
        Some(())
    }

    fn arguments(&mut self, list: &ast::FunctionArgumentList) -> Option<()> {
        self.push("(");
        if let Some(ast::DuplicateTreatment::Distinct) = list.duplicate_treatment {
            self.push("DISTINCT ");
        }
        self.list(&list.args, |p, arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => p.expr(expr),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {
                p.push("*");
                Some(())
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                p.push(&format!("{} => ", quote_ident(&fold(name))));
                p.expr(expr)
            }
            _ => None,
        })?;
        for clause in &list.clauses {
            let FunctionArgumentClause::OrderBy(items) = clause else { return None };
            self.push(" ORDER BY ");
            self.order(items)?;
        }
        self.push(")");
        Some(())
    }

    /// A window in parentheses.
    pub fn window(&mut self, spec: &WindowSpec) -> Option<()> {
        self.push("(");
        let mut parts = 0;
        let mut gap = |p: &mut Self| {
            p.push(if parts > 0 { " " } else { "" });
            parts += 1;
        };
        if let Some(name) = &spec.window_name {
            gap(self);
            self.push(&quote_ident(&fold(name)));
        }
        if !spec.partition_by.is_empty() {
            gap(self);
            self.push("PARTITION BY ");
            self.list(&spec.partition_by, |p, item| p.ordered_by(item))?;
        }
        if !spec.order_by.is_empty() {
            gap(self);
            self.push("ORDER BY ");
            self.order(&spec.order_by)?;
        }
        if let Some(frame) = &spec.window_frame {
            gap(self);
            self.push(&format!("{} ", frame.units));
            match &frame.end_bound {
                Some(end) => {
                    self.push("BETWEEN ");
                    self.bound(&frame.start_bound)?;
                    self.push(" AND ");
                    self.bound(end)?;
                }
                None => self.bound(&frame.start_bound)?,
            }
        }
        self.push(")");
        Some(())
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Option<()> {
        let (distance, word) = match bound {
            WindowFrameBound::CurrentRow => {
                self.push("CURRENT ROW");
                return Some(());
            }
            WindowFrameBound::Preceding(distance) => (distance, "PRECEDING"),
            WindowFrameBound::Following(distance) => (distance, "FOLLOWING"),
        };
        match distance {
            None => self.push("UNBOUNDED"),
            Some(distance) => self.expr(distance)?,
        }
        self.push(&format!(" {word}"));
        Some(())
    }

    /// What rows are ordered or grouped by: anything but a column in parentheses.
    pub fn ordered_by(&mut self, expr: &Expr) -> Option<()> {
        let own = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_))
            || matches!(expr, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_));
        // A call has no parentheses around it yet, and in the pretty style nothing has.
        let bare = own || (self.style == Style::Full && !matches!(expr, Expr::Function(_)));
        self.push(if bare { "" } else { "(" });
        self.expr(expr)?;
        self.push(if bare { "" } else { ")" });
        Some(())
    }

    pub fn order(&mut self, items: &[ast::OrderByExpr]) -> Option<()> {
        self.list(items, |p, item| {
            p.ordered_by(&item.expr)?;
            match (item.options.asc, item.options.nulls_first) {
                (Some(false), Some(false)) => p.push(" DESC NULLS LAST"),
                (Some(false), _) => p.push(" DESC"),
                (_, Some(true)) => p.push(" NULLS FIRST"),
                _ => {}
            }
            Some(())
        })
    }

    fn type_name(&self, data_type: &DataType) -> Option<String> {
        // What typing has written is PostgreSQL's name already, length and all.
        if let DataType::Custom(name, modifiers) = data_type
            && modifiers.is_empty()
            && let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident().filter(|ident| ident.quote_style.is_none())
        {
            return Some(ident.value.clone());
        }
        match pg_type(data_type) {
            Ok(ty) => {
                let name = ty.sql_name();
                // char(n) without a length is bpchar; "character" would be of length 1.
                Some(if name == "character" { "bpchar".to_owned() } else { name })
            }
            Err(_) => self.own_type(data_type),
        }
    }

    /// A type that is none of PostgreSQL's.
    fn own_type(&self, data_type: &DataType) -> Option<String> {
        match data_type {
            DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => self.type_name(element).map(|name| name + "[]"),
            DataType::Custom(name, _) => {
                let mut parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
                let name = parts.pop()?;
                let schema = parts.pop().filter(|schema| !(self.visible)(schema, &name));
                let schema = schema.map(|schema| quote_ident(&schema) + ".").unwrap_or_default();
                Some(schema + &quote_ident(&name))
            }
            _ => None,
        }
    }
}

/// Around what an operand stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// AND or OR, or NOT.
    Logical(Option<&'a BinaryOperator>),
    /// An operator, and whether the operand is its left one; `None` for other forms.
    Operator(Option<(&'a BinaryOperator, bool)>),
}

fn is_logical(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::And | BinaryOperator::Or)
}

/// `a AND b AND c` has three parts; those of a right operand stay together.
fn flatten<'a>(expr: &'a Expr, op: &BinaryOperator, out: &mut Vec<&'a Expr>) {
    match expr {
        Expr::Nested(inner) => flatten(inner, op, out),
        Expr::BinaryOp { left, op: inner, right } if inner == op => {
            flatten(left, op, out);
            out.push(right);
        }
        other => out.push(other),
    }
}

fn is_simple(expr: &Expr, place: Place<'_>) -> bool {
    let level = |op: &BinaryOperator| match op {
        BinaryOperator::Plus | BinaryOperator::Minus => 1,
        BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo => 2,
        _ => 0,
    };
    match (expr, place) {
        (Expr::Nested(inner), place) => is_simple(inner, place),
        (Expr::AnyOp { right, .. } | Expr::AllOp { right, .. }, Place::Logical(_)) => matches!(**right, Expr::Subquery(_)),
        (Expr::BinaryOp { op, .. }, Place::Logical(Some(outer))) if is_logical(op) => {
            *op == BinaryOperator::And || outer == &BinaryOperator::Or
        }
        (Expr::BinaryOp { op, .. }, Place::Logical(None)) => !is_logical(op),
        (Expr::BinaryOp { op, .. }, Place::Operator(Some((outer, left)))) if level(op) > 0 && level(outer) > 0 => {
            level(op) > level(outer) || (level(op) == level(outer) && left)
        }
        (Expr::BinaryOp { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. }, Place::Operator(_)) => false,
        (Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsFalse(_), Place::Operator(_)) => false,
        (Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsDistinctFrom(..), Place::Operator(_)) => false,
        (Expr::UnaryOp { .. } | Expr::InList { .. } | Expr::Collate { .. }, Place::Operator(_)) => false,
        _ => true,
    }
}
