//! What types literals of an expression take, and which casts PostgreSQL implies, written into the tree.
//!
//! What an expression's names mean is its surroundings' to say ([`Env`]). `None` for a form that is not known here,
//! where the surroundings have no answer to it either.

use datafusion::sql::sqlparser::ast::{
    self, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Ident, ObjectName, OrderByExpr, Query, UnaryOperator, Value, WindowType,
};

use super::overload::{self, Meaning};
use crate::history::ColumnDef;
use crate::plan::expand::fold;
use crate::plan::type_planner::pg_type_with;
use crate::types::text::{scalar_from_text, text_of_scalar};
use crate::types::{PgType, Qualified, TypeName, Zone};

/// An expression with the type it has; `None` for a literal that takes whichever it is wanted as.
pub struct Typed {
    pub expr: Expr,
    pub ty: Option<PgType>,
}

/// The type of what is not known here.
pub const UNKNOWN: PgType = PgType::new(TypeName::Unknown);

/// What names in an expression mean.
pub trait Env {
    /// A column as it is to be shown, with its type.
    fn column(&self, parts: Vec<Ident>) -> Typed;

    /// A type of a user's.
    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType>;

    /// A query inside the expression, with the type of its first column.
    fn query(&self, _query: Query) -> Option<(Query, PgType)> {
        None
    }

    /// A form that is not known here.
    fn other(&self, _expr: Expr) -> Option<Expr> {
        None
    }
}

/// The columns of one table.
pub struct Columns<'a>(pub &'a [ColumnDef]);

impl Env for Columns<'_> {
    fn column(&self, mut parts: Vec<Ident>) -> Typed {
        let name = parts.pop().map(|ident| fold(&ident)).unwrap_or_default();
        let ty = self.0.iter().find(|c| c.name == name).map(|c| c.ty.with_modifier(-1));
        of(Expr::Identifier(Ident::with_quote('"', name)), ty.unwrap_or(UNKNOWN))
    }

    fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType> {
        let users = self.0.iter().filter_map(|c| Some((c.ty, c.ty.name.user()?.name())));
        let mut named = users.filter(|(_, full)| full.name == name && schema.is_none_or(|schema| schema == full.schema));
        named.next().map(|(ty, _)| ty.element())
    }
}

/// A value that is assigned to a column of this type. Casts of an assignment do not show, types of literals do.
pub fn assigned(expr: Expr, ty: PgType, env: &dyn Env) -> Option<Expr> {
    let typed = walk(expr, env)?;
    Some(if typed.ty.is_none() { labelled(typed.expr, ty) } else { typed.expr })
}

/// An expression by itself: a literal that nothing gave a type is a text.
pub fn plain(expr: Expr, env: &dyn Env) -> Option<(Expr, PgType)> {
    let typed = walk(expr, env)?;
    let ty = typed.ty.unwrap_or(PgType::TEXT);
    Some((shown(typed), ty))
}

pub fn type_of(expr: Expr, env: &dyn Env) -> Option<PgType> {
    walk(expr, env)?.ty
}

pub fn condition(expr: Expr, env: &dyn Env) -> Option<Expr> {
    assigned(expr, PgType::BOOL, env)
}

fn walk(expr: Expr, env: &dyn Env) -> Option<Typed> {
    let inner = |expr: Box<Expr>| walk(*expr, env);
    let boolean = |wrap: fn(Box<Expr>) -> Expr, expr: Box<Expr>| Some(of(wrap(Box::new(condition(*expr, env)?)), PgType::BOOL));
    let null_test = |wrap: fn(Box<Expr>) -> Expr, expr: Box<Expr>| Some(of(wrap(Box::new(shown(inner(expr)?))), PgType::BOOL));
    Some(match expr {
        Expr::Nested(expr) => inner(expr)?,
        Expr::Identifier(ident) => env.column(vec![ident]),
        Expr::CompoundIdentifier(parts) => env.column(parts),
        Expr::Value(value) => match literal(value.value.clone()) {
            Some(typed) => typed,
            None => of(env.other(Expr::Value(value))?, UNKNOWN),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => negative(*expr, env)?,
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => inner(expr)?,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => negated(of(condition(*expr, env)?, PgType::BOOL)),
        Expr::IsNull(expr) => null_test(Expr::IsNull, expr)?,
        Expr::IsNotNull(expr) => null_test(Expr::IsNotNull, expr)?,
        Expr::IsTrue(expr) => boolean(Expr::IsTrue, expr)?,
        Expr::IsNotTrue(expr) => boolean(Expr::IsNotTrue, expr)?,
        Expr::IsFalse(expr) => boolean(Expr::IsFalse, expr)?,
        Expr::IsNotFalse(expr) => boolean(Expr::IsNotFalse, expr)?,
        Expr::IsUnknown(expr) => boolean(Expr::IsUnknown, expr)?,
        Expr::IsNotUnknown(expr) => boolean(Expr::IsNotUnknown, expr)?,
        Expr::IsDistinctFrom(left, right) => {
            let (left, right) = sides(inner(left)?, BinaryOperator::Eq, inner(right)?).0;
            of(Expr::IsDistinctFrom(Box::new(left), Box::new(right)), PgType::BOOL)
        }
        Expr::IsNotDistinctFrom(left, right) => {
            let (left, right) = sides(inner(left)?, BinaryOperator::Eq, inner(right)?).0;
            negated(of(Expr::IsDistinctFrom(Box::new(left), Box::new(right)), PgType::BOOL))
        }
        Expr::BinaryOp { left, op, right } => binary(inner(left)?, op, inner(right)?),
        Expr::Between { expr, negated, low, high } => between(*expr, negated, *low, *high, env)?,
        Expr::InList { expr, list, negated } => in_list(inner(expr)?, list, negated, env)?,
        Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
            let op = if negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
            binary(inner(expr)?, op, inner(pattern)?)
        }
        Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
            let op = if negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
            binary(inner(expr)?, op, inner(pattern)?)
        }
        Expr::AnyOp { left, compare_op, right, is_some } => {
            quantified(*left, compare_op, *right, env, |left, op, right| Expr::AnyOp { left, compare_op: op, right, is_some })?
        }
        Expr::AllOp { left, compare_op, right } => {
            quantified(*left, compare_op, *right, env, |left, op, right| Expr::AllOp { left, compare_op: op, right })?
        }
        Expr::Cast { expr, data_type, .. } => written_cast(inner(expr)?, written(&data_type, env)?),
        Expr::TypedString(typed) => {
            let ty = written(&typed.data_type, env)?;
            of(labelled(Expr::Value(typed.value), ty), ty)
        }
        Expr::Interval(ast::Interval { value, leading_field: None, last_field: None, .. }) => {
            let ty = PgType::new(TypeName::Interval);
            of(labelled(*value, ty), ty)
        }
        Expr::Array(array) => array_of(array, env)?,
        Expr::Function(function) => call(function, env)?,
        Expr::Case { case_token, end_token, operand, conditions, else_result } => {
            let (operand, conditions, else_result, ty) = case(operand, conditions, else_result, env)?;
            of(Expr::Case { case_token, end_token, operand, conditions, else_result: Some(else_result) }, ty)
        }
        Expr::Subquery(query) => {
            let (query, ty) = env.query(*query)?;
            of(Expr::Subquery(Box::new(query)), ty)
        }
        Expr::Exists { subquery, negated: not } => {
            let (query, _) = env.query(*subquery)?;
            let exists = of(Expr::Exists { subquery: Box::new(query), negated: false }, PgType::BOOL);
            if not { negated(exists) } else { exists }
        }
        Expr::InSubquery { expr, subquery, negated: not } => {
            let (query, ty) = env.query(*subquery)?;
            let ((left, _), _) = sides(inner(expr)?, BinaryOperator::Eq, of(Expr::value(Value::Null), ty));
            let found = Expr::InSubquery { expr: Box::new(left), subquery: Box::new(query), negated: false };
            let found = of(found, PgType::BOOL);
            if not { negated(found) } else { found }
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut whole = Expr::CompoundFieldAccess { root, access_chain };
            join_names(&mut whole);
            match whole {
                Expr::CompoundFieldAccess { root, access_chain } => subscripted(*root, access_chain, env)?,
                names => walk(names, env)?,
            }
        }
        other => spelled(other, env)?,
    })
}

/// `a.b[1]`, which is read as something of `a`, as something of the column `a.b`.
pub fn join_names(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return };
    let mut parts = match root.as_ref() {
        Expr::Identifier(ident) => vec![ident.clone()],
        Expr::CompoundIdentifier(parts) => parts.clone(),
        _ => return,
    };
    while let Some(ast::AccessExpr::Dot(Expr::Identifier(ident))) = access_chain.first() {
        parts.push(ident.clone());
        access_chain.remove(0);
    }
    if parts.len() > 1 {
        **root = Expr::CompoundIdentifier(parts);
    }
    if access_chain.is_empty() {
        *expr = root.as_ref().clone();
    }
}

/// Functions that SQL spells with words of their own.
fn spelled(expr: Expr, env: &dyn Env) -> Option<Typed> {
    let taken = |expr: Box<Expr>, ty: PgType| -> Option<Box<Expr>> {
        let typed = walk(*expr, env)?;
        Some(Box::new(if typed.ty.is_none() { labelled(typed.expr, ty) } else { typed.expr }))
    };
    let text = |expr: Box<Expr>| taken(expr, PgType::TEXT);
    let optional = |expr: Option<Box<Expr>>| match expr {
        Some(expr) => taken(expr, PgType::INT4).map(Some),
        None => Some(None),
    };
    Some(match expr {
        Expr::Extract { field, syntax, expr } => {
            let expr = Expr::Extract { field, syntax, expr: taken(expr, PgType::new(TypeName::Timestamp))? };
            of(expr, PgType::new(TypeName::Numeric))
        }
        Expr::Substring { expr, substring_from, substring_for, special, shorthand } => {
            let (substring_from, substring_for) = (optional(substring_from)?, optional(substring_for)?);
            of(Expr::Substring { expr: text(expr)?, substring_from, substring_for, special, shorthand }, PgType::TEXT)
        }
        Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
            let trim_what = match trim_what {
                Some(what) => Some(text(what)?),
                None => None,
            };
            of(Expr::Trim { trim_where, trim_what, expr: text(expr)?, trim_characters: None }, PgType::TEXT)
        }
        Expr::Position { expr, r#in } => of(Expr::Position { expr: text(expr)?, r#in: text(r#in)? }, PgType::INT4),
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let (expr, overlay_what) = (text(expr)?, text(overlay_what)?);
            let (overlay_from, overlay_for) = (taken(overlay_from, PgType::INT4)?, optional(overlay_for)?);
            of(Expr::Overlay { expr, overlay_what, overlay_from, overlay_for }, PgType::TEXT)
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            let timestamp = walk(*timestamp, env)?;
            let ty = match timestamp.ty.map(|ty| ty.name) {
                Some(TypeName::Timestamptz) => PgType::new(TypeName::Timestamp),
                Some(TypeName::Timestamp | TypeName::Date) => PgType::TIMESTAMPTZ,
                _ => UNKNOWN,
            };
            of(Expr::AtTimeZone { timestamp: Box::new(shown(timestamp)), time_zone: text(time_zone)? }, ty)
        }
        Expr::Collate { expr, collation } => {
            let typed = walk(*expr, env)?;
            let ty = typed.ty.unwrap_or(PgType::TEXT);
            of(Expr::Collate { expr: Box::new(shown(typed)), collation }, ty)
        }
        Expr::Ceil { expr, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
            named_call("ceil", *expr, env)?
        }
        Expr::Floor { expr, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
            named_call("floor", *expr, env)?
        }
        other => of(env.other(other)?, UNKNOWN),
    })
}

fn named_call(name: &str, argument: Expr, env: &dyn Env) -> Option<Typed> {
    let list = ast::FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
        clauses: vec![],
    };
    let function = ast::Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    };
    call(function, env)
}

/// `a[1]`, where only plain subscripts follow.
fn subscripted(root: Expr, chain: Vec<ast::AccessExpr>, env: &dyn Env) -> Option<Typed> {
    let whole = Expr::CompoundFieldAccess { root: Box::new(root.clone()), access_chain: chain.clone() };
    let [ast::AccessExpr::Subscript(ast::Subscript::Index { index })] = chain.as_slice() else {
        return Some(of(env.other(whole)?, UNKNOWN));
    };
    let (root, index) = (walk(root, env)?, walk(index.clone(), env)?);
    let ty = root.ty.filter(|ty| ty.array).map_or(UNKNOWN, PgType::element);
    let access_chain = vec![ast::AccessExpr::Subscript(ast::Subscript::Index { index: shown(index) })];
    Some(of(Expr::CompoundFieldAccess { root: Box::new(root.expr), access_chain }, ty))
}

fn array_of(array: ast::Array, env: &dyn Env) -> Option<Typed> {
    let items = array.elem.into_iter().map(|item| walk(item, env)).collect::<Option<Vec<_>>>()?;
    let ty = common_type(&items);
    let elem = items.into_iter().map(|item| brought(item, ty)).collect();
    Some(of(Expr::Array(ast::Array { elem, named: true }), ty.array_of()))
}

/// The type that is written: one of PostgreSQL's, or a user's.
fn written(ty: &DataType, env: &dyn Env) -> Option<PgType> {
    pg_type_with(ty, &mut |schema, name| env.user_type(schema, name)).ok()
}

fn written_cast(inner: Typed, ty: PgType) -> Typed {
    match inner.ty {
        None => of(labelled_exactly(inner.expr, ty), ty),
        Some(have) if have == ty => inner,
        Some(_) => of(cast(inner.expr, ty), ty),
    }
}

pub fn of(expr: Expr, ty: PgType) -> Typed {
    Typed { expr, ty: Some(ty) }
}

fn negated(inner: Typed) -> Typed {
    of(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(inner.expr) }, PgType::BOOL)
}

fn literal(value: Value) -> Option<Typed> {
    let text = |text: String| Typed { expr: Expr::value(Value::SingleQuotedString(text)), ty: None };
    Some(match value {
        Value::Number(digits, long) => {
            let ty = match digits.parse::<i64>() {
                Ok(n) if i32::try_from(n).is_ok() => PgType::INT4,
                Ok(_) => return Some(of(cast(text(digits).expr, PgType::INT8), PgType::INT8)),
                Err(_) => PgType::new(TypeName::Numeric),
            };
            of(Expr::value(Value::Number(digits, long)), ty)
        }
        Value::Boolean(value) => of(Expr::value(Value::Boolean(value)), PgType::BOOL),
        Value::Null => Typed { expr: Expr::value(Value::Null), ty: None },
        Value::SingleQuotedString(value) => text(value),
        Value::EscapedStringLiteral(value) => text(value),
        Value::DollarQuotedString(value) => text(value.value),
        _ => return None,
    })
}

/// A negative constant is shown in quotes.
fn negative(expr: Expr, env: &dyn Env) -> Option<Typed> {
    let inner = walk(expr, env)?;
    let ty = inner.ty?;
    if let Expr::Value(value) = &inner.expr
        && let Value::Number(digits, _) = &value.value
    {
        let text = Expr::value(Value::SingleQuotedString(format!("-{digits}")));
        return Some(of(cast(text, ty), ty));
    }
    Some(of(Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(inner.expr) }, ty))
}

fn cast(expr: Expr, ty: PgType) -> Expr {
    Expr::Cast { kind: CastKind::DoubleColon, expr: Box::new(expr), data_type: data_type(ty), array: false, format: None }
}

/// A literal under its type's name; lengths do not show, `char(n)` goes by its internal name.
fn labelled(expr: Expr, ty: PgType) -> Expr {
    labelled_exactly(expr, ty.with_modifier(-1))
}

/// A literal as PostgreSQL keeps it once it has the type: as that prints it.
fn labelled_exactly(expr: Expr, ty: PgType) -> Expr {
    let Expr::Value(value) = &expr else { return cast(expr, ty) };
    let Value::SingleQuotedString(text) = &value.value else { return cast(expr, ty) };
    let kept = matches!(
        ty.name,
        TypeName::Bool | TypeName::Int4 | TypeName::Date | TypeName::Timestamp | TypeName::Interval | TypeName::Jsonb
    );
    // Words like `today` are not for now to settle.
    let word = matches!(ty.name, TypeName::Date | TypeName::Timestamp) && !text.starts_with(|c: char| c.is_ascii_digit());
    if ty.array || !kept || word {
        return cast(expr, ty);
    }
    let read = scalar_from_text(ty, text, Zone::UTC).and_then(|value| text_of_scalar(ty, &value, Zone::UTC));
    let Ok(Some(printed)) = read else { return cast(expr, ty) };
    match ty.name {
        TypeName::Bool => Expr::value(Value::Boolean(printed == "t" || printed == "true")),
        TypeName::Int4 if !printed.starts_with('-') => Expr::value(Value::Number(printed, false)),
        _ => cast(Expr::value(Value::SingleQuotedString(printed)), ty),
    }
}

fn data_type(ty: PgType) -> DataType {
    if ty.array {
        return DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(data_type(ty.element())), None));
    }
    let name = match ty.name {
        TypeName::Regclass => return DataType::Regclass,
        TypeName::Bpchar if ty.modifier == -1 => "bpchar".to_owned(),
        _ if ty.name.user().is_some() => {
            let user = ty.name.user().map(|user| user.name().clone()).unwrap_or_else(|| Qualified::new("", ""));
            let parts = vec![Ident::with_quote('"', user.schema), Ident::with_quote('"', user.name)];
            return DataType::Custom(ObjectName::from(parts), vec![]);
        }
        _ => ty.sql_name(),
    };
    DataType::Custom(ObjectName::from(vec![Ident::new(name)]), vec![])
}

/// An operand on its own: a literal that nothing gave a type is a text.
pub fn shown(typed: Typed) -> Expr {
    match typed.ty {
        None => labelled(typed.expr, PgType::TEXT),
        Some(_) => typed.expr,
    }
}

/// A value as one of the type, which it is cast to where it has another.
fn brought(typed: Typed, ty: PgType) -> Expr {
    match typed.ty {
        None => labelled(typed.expr, ty),
        Some(have) if ty.name == TypeName::Unknown || have.name == TypeName::Unknown => typed.expr,
        Some(have) if have.with_modifier(-1) == ty.with_modifier(-1) => typed.expr,
        Some(_) => cast(typed.expr, ty.with_modifier(-1)),
    }
}

/// The type that values of one place have together, as in CASE.
fn common_type(items: &[Typed]) -> PgType {
    let mut known = items.iter().filter_map(|item| item.ty).map(|ty| ty.with_modifier(-1));
    let Some(mut common) = known.next() else { return PgType::TEXT };
    for ty in known {
        if ty.name == TypeName::Unknown || common.name == TypeName::Unknown {
            return UNKNOWN;
        }
        if ty != common && overload::is_implicit(common, ty) && !overload::is_implicit(ty, common) {
            common = ty;
        }
    }
    common
}

/// Both operands as the operator takes them, and the type of its result.
fn sides(left: Typed, op: BinaryOperator, right: Typed) -> ((Expr, Expr), PgType) {
    let known = |ty: Option<PgType>| ty.is_none_or(|ty| ty.name != TypeName::Unknown);
    let symbol = if op == BinaryOperator::NotEq { "<>".to_owned() } else { op.to_string() };
    let found = (known(left.ty) && known(right.ty)).then(|| overload::operator(&symbol, &[left.ty, right.ty])).flatten();
    match found {
        Some(Meaning { arguments, result }) => {
            let mut wanted = arguments.into_iter();
            let mut next = |typed: Typed| match wanted.next().flatten() {
                Some(ty) => brought(typed, ty),
                None => shown(typed),
            };
            let left = next(left);
            ((left, next(right)), result.unwrap_or(UNKNOWN))
        }
        None => {
            let other = |own: &Typed, other: &Typed| own.ty.is_none().then_some(other.ty).flatten();
            let (left_as, right_as) = (other(&left, &right), other(&right, &left));
            let side = |typed: Typed, ty: Option<PgType>| match ty {
                Some(ty) if ty.name != TypeName::Unknown => brought(typed, ty),
                // Whatever the other side is: the literal takes its type when it is read back.
                Some(_) => typed.expr,
                None => shown(typed),
            };
            let comparison = matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq)
                || matches!(op, BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq);
            let result = if comparison { PgType::BOOL } else { UNKNOWN };
            ((side(left, left_as), side(right, right_as)), result)
        }
    }
}

fn binary(left: Typed, op: BinaryOperator, right: Typed) -> Typed {
    if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
        let truth = |typed: Typed| if typed.ty.is_none() { labelled(typed.expr, PgType::BOOL) } else { typed.expr };
        return logical(truth(left), op, truth(right));
    }
    let ((left, right), ty) = sides(left, op.clone(), right);
    of(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }, ty)
}

fn logical(left: Expr, op: BinaryOperator, right: Expr) -> Typed {
    of(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }, PgType::BOOL)
}

fn between(expr: Expr, negated: bool, low: Expr, high: Expr, env: &dyn Env) -> Option<Typed> {
    use BinaryOperator::{And, Gt, GtEq, Lt, LtEq, Or};
    let (first, last, both) = if negated { (Lt, Gt, Or) } else { (GtEq, LtEq, And) };
    let low = binary(walk(expr.clone(), env)?, first, walk(low, env)?);
    let high = binary(walk(expr, env)?, last, walk(high, env)?);
    Some(logical(low.expr, both, high.expr))
}

fn in_list(left: Typed, list: Vec<Expr>, not: bool, env: &dyn Env) -> Option<Typed> {
    let mut items = list.into_iter().map(|item| walk(item, env)).collect::<Option<Vec<_>>>()?;
    let op = if not { BinaryOperator::NotEq } else { BinaryOperator::Eq };
    if items.len() == 1 {
        return Some(binary(left, op, items.pop()?));
    }
    let ty = left.ty.filter(|ty| ty.name != TypeName::Unknown);
    let constant = |item: &Typed| matches!(item.expr, Expr::Value(_) | Expr::Cast { .. });
    let Some(ty) = ty.filter(|_| items.iter().all(constant)) else {
        let list = items.into_iter().map(|item| item.expr).collect();
        return Some(of(Expr::InList { expr: Box::new(shown(left)), list, negated: not }, PgType::BOOL));
    };
    let left_type = Typed { expr: Expr::value(Value::Null), ty: Some(ty) };
    items.push(left_type);
    let common = common_type(&items);
    items.pop();
    // Numbers of another width are compared as they are.
    let elem: Vec<Expr> = items.into_iter().map(|item| brought(item, common)).collect();
    let array = Expr::Array(ast::Array { elem, named: true });
    let (left, right) = match common.name {
        TypeName::Varchar => (cast(left.expr, PgType::TEXT), cast(array, PgType::TEXT.array_of())),
        _ => (brought(left, if overload::operator("=", &[Some(ty), Some(common)]).is_some() { ty } else { common }), array),
    };
    let (left, right) = (Box::new(left), Box::new(right));
    let expr = match not {
        false => Expr::AnyOp { left, compare_op: op, right, is_some: false },
        true => Expr::AllOp { left, compare_op: op, right },
    };
    Some(of(expr, PgType::BOOL))
}

/// `= ANY (…)` over a query or an array.
fn quantified(
    left: Expr,
    op: BinaryOperator,
    right: Expr,
    env: &dyn Env,
    wrap: impl Fn(Box<Expr>, BinaryOperator, Box<Expr>) -> Expr,
) -> Option<Typed> {
    let left = walk(left, env)?;
    let right = match right {
        Expr::Nested(inner) if matches!(*inner, Expr::Subquery(_)) => *inner,
        other => other,
    };
    let right = walk(right, env)?;
    let over_query = matches!(right.expr, Expr::Subquery(_));
    let element = right.ty.map(|ty| if over_query { ty } else { ty.element() });
    let ((left, _), _) = sides(left, op.clone(), Typed { expr: Expr::value(Value::Null), ty: element });
    Some(of(wrap(Box::new(left), op, Box::new(shown(right))), PgType::BOOL))
}

type Case = (Option<Box<Expr>>, Vec<ast::CaseWhen>, Box<Expr>, PgType);

/// The parts of a CASE; without an ELSE it has one of NULL.
fn case(operand: Option<Box<Expr>>, whens: Vec<ast::CaseWhen>, otherwise: Option<Box<Expr>>, env: &dyn Env) -> Option<Case> {
    let operand = match operand {
        Some(operand) => Some(walk(*operand, env)?),
        None => None,
    };
    let of_operand = operand.as_ref().map(|operand| operand.ty);
    let mut conditions = Vec::with_capacity(whens.len());
    let mut results = Vec::with_capacity(whens.len() + 1);
    for when in whens {
        conditions.push(match of_operand {
            Some(ty) => {
                let operand = Typed { expr: Expr::value(Value::Null), ty };
                sides(operand, BinaryOperator::Eq, walk(when.condition, env)?).0.1
            }
            None => condition(when.condition, env)?,
        });
        results.push(walk(when.result, env)?);
    }
    results.push(match otherwise {
        Some(otherwise) => walk(*otherwise, env)?,
        None => Typed { expr: Expr::value(Value::Null), ty: None },
    });
    let ty = common_type(&results);
    let mut results = results.into_iter().map(|result| brought(result, ty));
    let conditions: Vec<ast::CaseWhen> =
        conditions.into_iter().zip(results.by_ref()).map(|(condition, result)| ast::CaseWhen { condition, result }).collect();
    Some((operand.map(|operand| Box::new(shown(operand))), conditions, Box::new(results.next()?), ty))
}

fn call(mut function: ast::Function, env: &dyn Env) -> Option<Typed> {
    let name = function.name.0.last()?.as_ident().map(fold)?;
    let mut arguments = Vec::new();
    if let FunctionArguments::List(list) = &mut function.args {
        for arg in &mut list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(walk(expr.clone(), env)?),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {}
                _ => return Some(of(env.other(Expr::Function(function))?, UNKNOWN)),
            }
        }
        for clause in &mut list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(items) => ordered(items, env)?,
                _ => return Some(of(env.other(Expr::Function(function))?, UNKNOWN)),
            }
        }
    } else if let FunctionArguments::Subquery(query) = &mut function.args {
        let (inner, ty) = env.query(query.as_ref().clone())?;
        **query = inner;
        return Some(of(Expr::Function(function), if name == "array" { ty.array_of() } else { UNKNOWN }));
    }
    if let Some(filter) = &mut function.filter {
        **filter = condition(filter.as_ref().clone(), env)?;
    }
    ordered(&mut function.within_group, env)?;
    if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
        window(spec, env)?;
    }
    let (arguments, result) = taken(&name, arguments);
    if let FunctionArguments::List(list) = &mut function.args {
        let places = list.args.iter_mut().filter_map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        });
        places.zip(arguments).for_each(|(place, argument)| *place = argument);
    }
    Some(of(Expr::Function(function), result))
}

/// Parts and order of a window.
pub fn window(spec: &mut ast::WindowSpec, env: &dyn Env) -> Option<()> {
    for part in &mut spec.partition_by {
        *part = plain(part.clone(), env)?.0;
    }
    ordered(&mut spec.order_by, env)
}

pub fn ordered(items: &mut [OrderByExpr], env: &dyn Env) -> Option<()> {
    for item in items {
        item.expr = plain(item.expr.clone(), env)?.0;
    }
    Some(())
}

/// The arguments as the function takes them, and the type of what it gives.
fn taken(name: &str, arguments: Vec<Typed>) -> (Vec<Expr>, PgType) {
    match name {
        "coalesce" | "greatest" | "least" => {
            let ty = common_type(&arguments);
            return (arguments.into_iter().map(|argument| brought(argument, ty)).collect(), ty);
        }
        "nullif" if arguments.len() == 2 => {
            let mut arguments = arguments.into_iter();
            if let (Some(left), Some(right)) = (arguments.next(), arguments.next()) {
                let ty = left.ty.unwrap_or(PgType::TEXT);
                let ((left, right), _) = sides(left, BinaryOperator::Eq, right);
                return (vec![left, right], ty);
            }
            return (vec![], UNKNOWN);
        }
        "current_timestamp" => return (vec![], PgType::TIMESTAMPTZ),
        "localtimestamp" => return (vec![], PgType::new(TypeName::Timestamp)),
        "current_date" => return (vec![], PgType::new(TypeName::Date)),
        "current_user" | "session_user" | "user" | "current_role" | "current_catalog" | "current_schema" => {
            return (vec![], PgType::new(TypeName::Name));
        }
        _ => {}
    }
    let types: Vec<Option<PgType>> = arguments.iter().map(|argument| argument.ty).collect();
    let known = types.iter().flatten().all(|ty| ty.name != TypeName::Unknown);
    let found = known.then(|| overload::function(name, &types)).flatten();
    let Some(Meaning { arguments: wanted, result }) = found else {
        return (arguments.into_iter().map(shown).collect(), UNKNOWN);
    };
    let any = |argument: Typed, ty: Option<PgType>| match ty {
        Some(ty) => brought(argument, ty),
        None => argument.expr,
    };
    (arguments.into_iter().zip(wanted).map(|(argument, ty)| any(argument, ty)).collect(), result.unwrap_or(UNKNOWN))
}

/// The type of what the function gives with arguments of these types, where PostgreSQL has one such function.
pub fn result_of(name: &str, arguments: &[PgType]) -> Option<PgType> {
    let arguments: Vec<Option<PgType>> = arguments.iter().map(|ty| Some(*ty)).collect();
    let result = overload::function(name, &arguments)?.result?;
    (result.name != TypeName::Unknown).then_some(result)
}
