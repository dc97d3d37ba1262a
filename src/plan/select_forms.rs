//! Forms of SELECT that the planner has no way to take as they are, brought to forms that it has and that mean
//! the same.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, VisitMut, VisitorMut,
};

use super::correlated::ARRAY_OF;

/// Rewrites every such form inside, before it is planned.
pub fn rewrite(node: &mut impl VisitMut) {
    let _ = node.visit(&mut Forms);
    super::select_literals::type_literals(node);
}

struct Forms;

impl VisitorMut for Forms {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            array_subquery(function);
        }
        ControlFlow::Continue(())
    }
}

/// `ARRAY(SELECT …)` as a call over a subquery.
fn array_subquery(function: &mut datafusion::sql::sqlparser::ast::Function) {
    let FunctionArguments::Subquery(_) = &function.args else { return };
    if !function.name.to_string().eq_ignore_ascii_case("array") {
        return;
    }
    let FunctionArguments::Subquery(query) = std::mem::replace(&mut function.args, FunctionArguments::None) else { return };
    let arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Subquery(query)));
    function.name = ObjectName::from(vec![Ident::new(ARRAY_OF)]);
    function.args = FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args: vec![arg], clauses: vec![] });
}
