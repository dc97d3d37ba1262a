//! Operators that bind otherwise in PostgreSQL than in the parser: a sign binds tighter than `^`, other prefix operators
//! looser than arithmetic.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

/// Gives a sign the place that it has in PostgreSQL, in one expression whose parts are settled.
pub fn settle_sign(expr: &mut Expr) {
    if let Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr: operand } = expr
        && is_power(operand)
    {
        let op = *op;
        let mut power = std::mem::replace(operand.as_mut(), nothing());
        sign(op, &mut power);
        *expr = power;
    }
}

/// Takes a prefix operator before arithmetic for one of all of it; to be asked before the parts are.
pub fn settle_prefix(expr: &mut Expr) {
    if matches!(expr, Expr::BinaryOp { op, .. } if is_arithmetic(op))
        && let Some(op) = take_prefix(expr)
    {
        let all = std::mem::replace(expr, nothing());
        *expr = Expr::UnaryOp { op, expr: Box::new(all) };
    }
}

/// The prefix operator of the first operand, which goes without it from here on.
fn take_prefix(expr: &mut Expr) -> Option<UnaryOperator> {
    match expr {
        Expr::BinaryOp { left, op, .. } if is_arithmetic(op) => take_prefix(left),
        Expr::UnaryOp { op, expr: operand } if is_loose(*op) => {
            let op = *op;
            *expr = std::mem::replace(operand.as_mut(), nothing());
            Some(op)
        }
        _ => None,
    }
}

fn nothing() -> Expr {
    Expr::value(Value::Null)
}

fn is_power(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::PGExp, .. })
}

/// Gives the sign to the first operand of a chain of powers.
fn sign(op: UnaryOperator, expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::PGExp, .. } => sign(op, left),
        first => {
            let operand = Box::new(std::mem::replace(first, nothing()));
            *first = Expr::Nested(Box::new(Expr::UnaryOp { op, expr: operand }));
        }
    }
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Divide, Minus, Modulo, Multiply, PGExp, Plus};
    matches!(op, Plus | Minus | Multiply | Divide | Modulo | PGExp)
}

fn is_loose(op: UnaryOperator) -> bool {
    use UnaryOperator::{BitwiseNot, PGAbs, PGCubeRoot, PGSquareRoot};
    matches!(op, PGAbs | PGSquareRoot | PGCubeRoot | BitwiseNot)
}
