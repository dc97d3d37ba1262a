//! Calls of functions as they stand in a tree: made from a name and plain arguments, and read back.

use datafusion::sql::sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments};

/// A plain call of the function that has this very name, which is not folded.
pub fn call(name: &str, args: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: arguments(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// The arguments of a plain call.
pub fn arguments(args: impl IntoIterator<Item = Expr>) -> FunctionArguments {
    FunctionArguments::List(ast::FunctionArgumentList { duplicate_treatment: None, args: unnamed(args), clauses: vec![] })
}

pub fn unnamed(args: impl IntoIterator<Item = Expr>) -> Vec<FunctionArg> {
    args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect()
}

/// The name and plain arguments of a call made by [`call`].
pub fn as_call(expr: &Expr) -> Option<(&str, Vec<&Expr>)> {
    let Expr::Function(function) = expr else { return None };
    let [name] = &function.name.0[..] else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
        _ => None,
    });
    Some((name.as_ident()?.value.as_str(), arguments.collect::<Option<_>>()?))
}
