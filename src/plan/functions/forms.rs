//! Forms of SQL that the planner has no way to override, brought to calls and casts that it has: `AT TIME ZONE`
//! and interval literals.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Interval,
    ObjectName, Value, VisitMut, VisitorMut,
};

/// Rewrites every expression inside, before it is planned.
pub fn rewrite(node: &mut impl VisitMut) {
    let _ = node.visit(&mut Forms);
}

struct Forms;

impl VisitorMut for Forms {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::AtTimeZone { timestamp, time_zone } => {
                let args = [time_zone, timestamp].map(|arg| std::mem::replace(arg.as_mut(), Expr::value(Value::Null)));
                *expr = call("timezone", args);
            }
            Expr::Function(function) => plain_sequence_name(function),
            Expr::Collate { expr: inner, collation } if orders_by_bytes(collation) => {
                *expr = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
            }
            Expr::Interval(interval) => {
                if let Some(cast) = interval_cast(interval) {
                    *expr = cast;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Text is ordered by its bytes: what these collations say, the default one too.
fn orders_by_bytes(collation: &ObjectName) -> bool {
    let name = collation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str());
    matches!(name, Some("default" | "C" | "POSIX" | "ucs_basic"))
}

/// `nextval('s'::regclass)` names the sequence by its text, as `nextval('s')` does.
fn plain_sequence_name(function: &mut Function) {
    let name = function.name.to_string().to_ascii_lowercase();
    if !matches!(name.as_str(), "nextval" | "currval" | "setval") {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut() else { return };
    if let Expr::Cast { expr, data_type: DataType::Regclass, .. } = first {
        *first = std::mem::replace(expr.as_mut(), Expr::value(Value::Null));
    }
}

fn call(name: &str, args: impl IntoIterator<Item = Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// `INTERVAL '1 day'` as a cast; `INTERVAL '1' DAY` with the unit in the text. Ranges of units stay.
fn interval_cast(interval: &Interval) -> Option<Expr> {
    let Expr::Value(value) = interval.value.as_ref() else { return None };
    let text = value.value.clone().into_string()?;
    if interval.last_field.is_some() || interval.leading_precision.is_some() || interval.fractional_seconds_precision.is_some() {
        return None;
    }
    let number = text.trim().parse::<f64>().is_ok();
    let text = match &interval.leading_field {
        Some(unit) if number => format!("{text} {unit}"),
        Some(_) => return None,
        None => text,
    };
    Some(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(text))),
        data_type: DataType::Interval { fields: None, precision: None },
        array: false,
        format: None,
    })
}
