//! Parameters of type void among the arguments of a call: they stand for what the function gives and are no arguments.
//!
//! JDBC sends `{? = call f(?)}` as `SELECT * FROM f($1, $2)` so, the first parameter being void.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, TableFactor, Value, VisitMut, VisitorMut,
};

use crate::types::{PgType, TypeName};

/// Takes such parameters out of every call.
pub fn leave_out(query: &mut Query, declared: &[Option<PgType>]) {
    let void = |ty: &Option<PgType>| ty.is_some_and(|ty| ty.name == TypeName::Void);
    if declared.iter().any(void) {
        let names = declared.iter().enumerate().filter(|(_, ty)| void(ty)).map(|(at, _)| format!("${}", at + 1));
        let _ = query.visit(&mut Arguments { void: names.collect() });
    }
}

struct Arguments {
    void: Vec<String>,
}

impl Arguments {
    fn stay(&self, argument: &FunctionArg) -> bool {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => match &value.value {
                Value::Placeholder(name) => !self.void.contains(name),
                _ => true,
            },
            _ => true,
        }
    }
}

impl VisitorMut for Arguments {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { args: Some(args), .. } => args.args.retain(|argument| self.stay(argument)),
            TableFactor::Function { args, .. } => args.retain(|argument| self.stay(argument)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let FunctionArguments::List(list) = &mut function.args
        {
            list.args.retain(|argument| self.stay(argument));
        }
        ControlFlow::Continue(())
    }
}
