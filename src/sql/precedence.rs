//! `a IS DISTINCT FROM b AND c`: the parser takes all that follows for what is compared, PostgreSQL no more than `b`.
//!
//! Works on the tree as it was parsed, where whatever stood in brackets still does.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

/// Gives AND, OR and NOT the place that they have around such a comparison; the parts of `expr` have been seen to.
pub fn settle(expr: &mut Expr) {
    match expr {
        Expr::IsDistinctFrom(left, right) if is_junction(right) => {
            let (left, right) = (taken(left), taken(right));
            *expr = onto_first(right, is_junction, |first| Expr::IsDistinctFrom(Box::new(left), Box::new(first)));
        }
        Expr::IsNotDistinctFrom(left, right) if is_junction(right) => {
            let (left, right) = (taken(left), taken(right));
            *expr = onto_first(right, is_junction, |first| Expr::IsNotDistinctFrom(Box::new(left), Box::new(first)));
        }
        Expr::UnaryOp { op: op @ UnaryOperator::Not, expr: inner } if is_junction(inner) => {
            let (op, inner) = (*op, taken(inner));
            *expr = onto_first(inner, is_junction, |first| Expr::UnaryOp { op, expr: Box::new(first) });
        }
        Expr::BinaryOp { left, op: op @ BinaryOperator::And, right } if is_or(right) => {
            let (left, op, right) = (taken(left), op.clone(), taken(right));
            *expr = onto_first(right, is_or, |first| Expr::BinaryOp { left: Box::new(left), op, right: Box::new(first) });
        }
        _ => {}
    }
}

fn is_junction(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

fn is_or(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::Or, .. })
}

fn taken(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

/// The tree with its leftmost part that is none of `inner` as `wrap` makes it.
fn onto_first(mut expr: Expr, inner: fn(&Expr) -> bool, wrap: impl FnOnce(Expr) -> Expr) -> Expr {
    if !inner(&expr) {
        return wrap(expr);
    }
    if let Expr::BinaryOp { left, .. } = &mut expr {
        let first = taken(left);
        **left = onto_first(first, inner, wrap);
    }
    expr
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::{Expr, SelectItem, SetExpr, Statement};
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    /// The tree with all its brackets.
    fn shown(expr: &Expr) -> String {
        match expr {
            Expr::BinaryOp { left, op, right } => format!("({} {op} {})", shown(left), shown(right)),
            Expr::UnaryOp { op, expr } => format!("({op} {})", shown(expr)),
            Expr::IsDistinctFrom(left, right) => format!("({} <> {})", shown(left), shown(right)),
            Expr::IsNotDistinctFrom(left, right) => format!("({} == {})", shown(left), shown(right)),
            Expr::Nested(inner) => shown(inner),
            other => other.to_string(),
        }
    }

    #[test]
    fn the_comparison_ends_where_and_or_or_begins() {
        for (text, expected) in [
            ("a IS DISTINCT FROM b AND c", "((a <> b) AND c)"),
            ("a IS NOT DISTINCT FROM b + 1 AND c OR d", "(((a == (b + 1)) AND c) OR d)"),
            ("p AND a IS DISTINCT FROM b OR q", "((p AND (a <> b)) OR q)"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a <> b)) AND c)"),
            ("a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e", "(((a <> b) AND (c <> d)) OR e)"),
            ("a IS DISTINCT FROM (b AND c)", "(a <> (b AND c))"),
        ] {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, &format!("SELECT {text}")).unwrap().remove(0);
            crate::sql::compat::rewrite(&mut statement);
            let Statement::Query(query) = statement else { panic!("{text}") };
            let SetExpr::Select(select) = *query.body else { panic!("{text}") };
            let [SelectItem::UnnamedExpr(expr)] = &select.projection[..] else { panic!("{text}") };
            assert_eq!(shown(expr), expected, "{text}");
        }
    }
}
