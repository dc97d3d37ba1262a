//! A tree whose casts are written out, as text: with every parenthesis, or with those that help the eye.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator,
    Value,
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

/// `None` for a form that is not known here.
pub fn print(expr: &Expr, style: Style) -> Option<String> {
    Printer { style }.expr(expr)
}

struct Printer {
    style: Style,
}

/// SQL's functions that are written without parentheses.
const BARE: &[&str] =
    &["current_timestamp", "current_date", "current_time", "localtimestamp", "localtime", "current_user", "session_user"];

impl Printer {
    fn expr(&self, expr: &Expr) -> Option<String> {
        Some(match expr {
            Expr::Nested(inner) => self.expr(inner)?,
            Expr::Identifier(ident) => quote_ident(&fold(ident)),
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => digits.clone(),
                Value::Boolean(value) => value.to_string(),
                Value::Null => "NULL".to_owned(),
                Value::SingleQuotedString(text) => quote_literal(text),
                _ => return None,
            },
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                self.operator(format!("NOT {}", self.operand(expr, Place::Logical(None))?))
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                self.operator(format!("- {}", self.operand(expr, Place::Operator(None))?))
            }
            Expr::IsNull(inner) => self.operator(format!("{} IS NULL", self.operand(inner, Place::Operator(None))?)),
            Expr::IsNotNull(inner) => self.operator(format!("{} IS NOT NULL", self.operand(inner, Place::Operator(None))?)),
            Expr::BinaryOp { left, op, right } if is_logical(op) => {
                let mut items = Vec::new();
                flatten(left, op, &mut items);
                flatten(right, op, &mut items);
                let place = Place::Logical(Some(op));
                let items = items.into_iter().map(|item| self.operand(item, place)).collect::<Option<Vec<_>>>()?;
                self.operator(items.join(&format!(" {op} ")))
            }
            Expr::BinaryOp { left, op, right } => {
                let left = self.operand(left, Place::Operator(Some((op, true))))?;
                let right = self.operand(right, Place::Operator(Some((op, false))))?;
                self.operator(format!("{left} {op} {right}"))
            }
            Expr::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, "ANY", right)?,
            Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, "ALL", right)?,
            Expr::Array(array) => {
                let items = array.elem.iter().map(|item| self.expr(item)).collect::<Option<Vec<_>>>()?;
                format!("ARRAY[{}]", items.join(", "))
            }
            Expr::Cast { expr, data_type, .. } => self.cast(expr, data_type)?,
            Expr::Function(function) => self.call(function)?,
            _ => return None,
        })
    }

    /// The whole of an operator's text.
    fn operator(&self, text: String) -> String {
        if self.style == Style::Full { format!("({text})") } else { text }
    }

    /// An operand, in parentheses where the eye needs them; the full style has put them already.
    fn operand(&self, expr: &Expr, place: Place<'_>) -> Option<String> {
        let text = self.expr(expr)?;
        Some(if self.style == Style::Full || is_simple(expr, place) { text } else { format!("({text})") })
    }

    fn quantified(&self, left: &Expr, op: &BinaryOperator, word: &str, right: &Expr) -> Option<String> {
        let left = self.operand(left, Place::Operator(None))?;
        Some(self.operator(format!("{left} {op} {word} ({})", self.expr(right)?)))
    }

    fn cast(&self, expr: &Expr, data_type: &DataType) -> Option<String> {
        let name = type_name(data_type)?;
        let inner = match expr {
            Expr::Nested(inner) => inner.as_ref(),
            other => other,
        };
        let constant = matches!(inner, Expr::Value(value) if !matches!(value.value, Value::Number(..) | Value::Boolean(_)));
        let text = self.expr(inner)?;
        let empty = matches!(inner, Expr::Array(array) if array.elem.is_empty());
        let bare = constant || empty || (self.style == Style::Pretty && is_simple(inner, Place::Operator(None)));
        Some(if bare { format!("{text}::{name}") } else { format!("({text})::{name}") })
    }

    fn call(&self, function: &Function) -> Option<String> {
        let name = function.name.0.last()?.as_ident().map(fold)?;
        let args = match &function.args {
            FunctionArguments::None if BARE.contains(&name.as_str()) => return Some(name.to_uppercase()),
            FunctionArguments::None => vec![],
            FunctionArguments::List(list) => list
                .args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.expr(expr),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()?,
            FunctionArguments::Subquery(_) => return None,
        };
        let name = match name.as_str() {
            "coalesce" | "nullif" | "greatest" | "least" => name.to_uppercase(),
            _ => quote_ident(&name),
        };
        Some(format!("{name}({})", args.join(", ")))
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

/// `a AND (b AND c)` has three parts.
fn flatten<'a>(expr: &'a Expr, op: &BinaryOperator, out: &mut Vec<&'a Expr>) {
    match expr {
        Expr::Nested(inner) => flatten(inner, op, out),
        Expr::BinaryOp { left, op: inner, right } if inner == op => {
            flatten(left, op, out);
            flatten(right, op, out);
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
        (Expr::BinaryOp { op, .. }, Place::Logical(Some(outer))) if is_logical(op) => {
            *op == BinaryOperator::And || outer == &BinaryOperator::Or
        }
        (Expr::BinaryOp { op, .. }, Place::Logical(None)) => !is_logical(op),
        (Expr::BinaryOp { op, .. }, Place::Operator(Some((outer, left)))) if level(op) > 0 && level(outer) > 0 => {
            level(op) > level(outer) || (level(op) == level(outer) && left)
        }
        (Expr::BinaryOp { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. }, Place::Operator(_)) => false,
        (Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::UnaryOp { .. }, Place::Operator(_)) => false,
        _ => true,
    }
}

fn type_name(data_type: &DataType) -> Option<String> {
    let Ok(ty) = pg_type(data_type) else { return own_name(data_type) };
    let name = ty.sql_name();
    // char(n) without a length is bpchar; "character" would be of length 1.
    Some(if name == "character" { "bpchar".to_owned() } else { name })
}

/// A type that is none of PostgreSQL's, by the name that is written.
fn own_name(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => type_name(element).map(|name| name + "[]"),
        DataType::Custom(name, _) => {
            let parts = name.0.iter().map(|part| part.as_ident().map(|ident| quote_ident(&fold(ident))));
            parts.collect::<Option<Vec<_>>>().map(|parts| parts.join("."))
        }
        _ => None,
    }
}
