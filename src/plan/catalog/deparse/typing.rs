//! What types literals of an expression take, and which casts PostgreSQL implies, written into the tree.
//!
//! `None` for a form that is not known here.

use datafusion::sql::sqlparser::ast::{
    self, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectName, UnaryOperator, Value,
};

use crate::history::ColumnDef;
use crate::plan::expand::fold;
use crate::plan::type_planner::pg_type_with;
use crate::types::{PgType, Qualified, TypeName};

/// An expression with the type it has; `None` for a literal that takes whichever it is wanted as.
struct Typed {
    expr: Expr,
    ty: Option<PgType>,
}

/// A value that is assigned to a column of this type. Casts of an assignment do not show, types of literals do.
pub fn assigned(expr: Expr, ty: PgType, columns: &[ColumnDef]) -> Option<Expr> {
    let typed = walk(expr, columns)?;
    Some(if typed.ty.is_none() { labelled(typed.expr, ty) } else { typed.expr })
}

/// An expression by itself.
pub fn plain(expr: Expr, columns: &[ColumnDef]) -> Option<Expr> {
    walk(expr, columns).map(shown)
}

pub fn type_of(expr: Expr, columns: &[ColumnDef]) -> Option<PgType> {
    walk(expr, columns)?.ty
}

pub fn condition(expr: Expr, columns: &[ColumnDef]) -> Option<Expr> {
    assigned(expr, PgType::BOOL, columns)
}

fn walk(expr: Expr, columns: &[ColumnDef]) -> Option<Typed> {
    Some(match expr {
        Expr::Nested(inner) => walk(*inner, columns)?,
        Expr::Identifier(ident) => column(ident, columns),
        Expr::CompoundIdentifier(mut parts) => column(parts.pop()?, columns),
        Expr::Value(value) => literal(value.value)?,
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => negative(*expr, columns)?,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            let inner = condition(*expr, columns)?;
            of(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(inner) }, PgType::BOOL)
        }
        Expr::IsNull(inner) => of(Expr::IsNull(Box::new(shown(walk(*inner, columns)?))), PgType::BOOL),
        Expr::IsNotNull(inner) => of(Expr::IsNotNull(Box::new(shown(walk(*inner, columns)?))), PgType::BOOL),
        Expr::BinaryOp { left, op, right } => binary(walk(*left, columns)?, op, walk(*right, columns)?)?,
        Expr::Between { expr, negated, low, high } => between(*expr, negated, *low, *high, columns)?,
        Expr::InList { expr, list, negated } => in_list(walk(*expr, columns)?, list, negated, columns)?,
        Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
            let op = if negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
            binary(walk(*expr, columns)?, op, walk(*pattern, columns)?)?
        }
        Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
            let op = if negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
            binary(walk(*expr, columns)?, op, walk(*pattern, columns)?)?
        }
        Expr::Cast { expr, data_type, .. } => {
            let ty = written(&data_type, columns)?;
            let inner = walk(*expr, columns)?;
            match inner.ty {
                None => of(labelled(inner.expr, ty), ty),
                Some(have) if have == ty => inner,
                Some(_) => of(cast(inner.expr, ty), ty),
            }
        }
        Expr::TypedString(typed) => {
            let ty = written(&typed.data_type, columns)?;
            of(labelled(Expr::Value(typed.value), ty), ty)
        }
        Expr::Array(array) => {
            let items = array.elem.into_iter().map(|item| walk(item, columns)).collect::<Option<Vec<_>>>()?;
            let ty = items.iter().find_map(|item| item.ty).unwrap_or(PgType::TEXT);
            let elem = items.into_iter().map(|item| if item.ty.is_none() { labelled(item.expr, ty) } else { item.expr });
            of(Expr::Array(ast::Array { elem: elem.collect(), named: true }), ty.array_of())
        }
        Expr::Function(function) => call(function, columns)?,
        _ => return None,
    })
}

/// The type that is written: one of PostgreSQL's, or that of one of the columns.
fn written(ty: &DataType, columns: &[ColumnDef]) -> Option<PgType> {
    let own = |schema: Option<&str>, name: &str| {
        let users = columns.iter().filter_map(|c| Some((c.ty, c.ty.name.user()?.name())));
        let mut named = users.filter(|(_, full)| full.name == name && schema.is_none_or(|schema| schema == full.schema));
        named.next().map(|(ty, _)| ty.element())
    };
    pg_type_with(ty, &mut { own }).ok()
}

fn of(expr: Expr, ty: PgType) -> Typed {
    Typed { expr, ty: Some(ty) }
}

fn column(ident: Ident, columns: &[ColumnDef]) -> Typed {
    let name = fold(&ident);
    let ty = columns.iter().find(|c| c.name == name).map(|c| c.ty.with_modifier(-1));
    of(Expr::Identifier(Ident::with_quote('"', name)), ty.unwrap_or(PgType::new(TypeName::Unknown)))
}

fn literal(value: Value) -> Option<Typed> {
    Some(match value {
        Value::Number(digits, long) => {
            let ty = match digits.parse::<i64>() {
                Ok(n) if i32::try_from(n).is_ok() => PgType::INT4,
                Ok(_) => PgType::INT8,
                Err(_) => PgType::new(TypeName::Numeric),
            };
            of(Expr::value(Value::Number(digits, long)), ty)
        }
        Value::Boolean(value) => of(Expr::value(Value::Boolean(value)), PgType::BOOL),
        Value::Null => Typed { expr: Expr::value(Value::Null), ty: None },
        Value::SingleQuotedString(text) => Typed { expr: Expr::value(Value::SingleQuotedString(text)), ty: None },
        Value::EscapedStringLiteral(text) => Typed { expr: Expr::value(Value::SingleQuotedString(text)), ty: None },
        Value::DollarQuotedString(text) => Typed { expr: Expr::value(Value::SingleQuotedString(text.value)), ty: None },
        _ => return None,
    })
}

/// A negative constant is shown in quotes.
fn negative(expr: Expr, columns: &[ColumnDef]) -> Option<Typed> {
    let inner = walk(expr, columns)?;
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
    cast(expr, ty.with_modifier(-1))
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
            let schema = (user.schema != "public").then(|| Ident::with_quote('"', user.schema));
            let parts = schema.into_iter().chain([Ident::with_quote('"', user.name)]).collect::<Vec<_>>();
            return DataType::Custom(ObjectName::from(parts), vec![]);
        }
        _ => ty.sql_name(),
    };
    DataType::Custom(ObjectName::from(vec![Ident::new(name)]), vec![])
}

/// An operand on its own: a literal that nothing gave a type is a text.
fn shown(typed: Typed) -> Expr {
    match typed.ty {
        None => labelled(typed.expr, PgType::TEXT),
        Some(_) => typed.expr,
    }
}

fn is_text(ty: PgType) -> bool {
    !ty.array && matches!(ty.name, TypeName::Text | TypeName::Varchar)
}

fn rank(ty: PgType) -> Option<u8> {
    if ty.array {
        return None;
    }
    match ty.name {
        TypeName::Int2 => Some(1),
        TypeName::Int4 => Some(2),
        TypeName::Int8 => Some(3),
        TypeName::Numeric => Some(4),
        TypeName::Float4 => Some(5),
        TypeName::Float8 => Some(6),
        _ => None,
    }
}

/// The type in which both sides are compared or reckoned with: they keep their own where an operator takes both.
fn common(left: PgType, right: PgType) -> Option<PgType> {
    let (l, r) = (rank(left)?, rank(right)?);
    if l == r || (l <= 3 && r <= 3) || (l >= 5 && r >= 5) {
        return None;
    }
    let wider = if l > r { left } else { right };
    Some(if wider.name == TypeName::Float4 { PgType::new(TypeName::Float8) } else { wider })
}

fn binary(left: Typed, op: BinaryOperator, right: Typed) -> Option<Typed> {
    use BinaryOperator as Op;
    if matches!(op, Op::And | Op::Or) {
        return Some(logical(shown(left), op, shown(right)));
    }
    let text_operator = matches!(
        op,
        Op::PGLikeMatch
            | Op::PGILikeMatch
            | Op::PGNotLikeMatch
            | Op::PGNotILikeMatch
            | Op::PGRegexMatch
            | Op::PGRegexIMatch
            | Op::PGRegexNotMatch
            | Op::PGRegexNotIMatch
            | Op::StringConcat
    );
    let comparison = matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq);
    let arithmetic = matches!(op, Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo);
    if !text_operator && !comparison && !arithmetic {
        return None;
    }
    let other = |a: &Typed, b: &Typed| a.ty.or(b.ty).unwrap_or(PgType::TEXT);
    let (left_type, right_type) = (left.ty.unwrap_or(other(&left, &right)), right.ty.unwrap_or(other(&left, &right)));
    if left_type.name == TypeName::Unknown || right_type.name == TypeName::Unknown {
        return None;
    }
    let texts = is_text(left_type) && is_text(right_type);
    let side = |typed: Typed, ty: PgType| -> Expr {
        let wanted = match common(left_type, right_type) {
            Some(common) => common,
            None if texts || (text_operator && !ty.array) => PgType::TEXT,
            None => ty,
        };
        match typed.ty {
            None => labelled(typed.expr, wanted),
            Some(have) if have.name == wanted.name && have.array == wanted.array => typed.expr,
            Some(_) => cast(typed.expr, wanted),
        }
    };
    let result = if comparison || (text_operator && op != Op::StringConcat) {
        PgType::BOOL
    } else if text_operator {
        PgType::TEXT
    } else {
        common(left_type, right_type).unwrap_or(if rank(left_type) >= rank(right_type) { left_type } else { right_type })
    };
    let (left, right) = (side(left, left_type), side(right, right_type));
    Some(of(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }, result))
}

fn logical(left: Expr, op: BinaryOperator, right: Expr) -> Typed {
    of(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }, PgType::BOOL)
}

fn between(expr: Expr, negated: bool, low: Expr, high: Expr, columns: &[ColumnDef]) -> Option<Typed> {
    use BinaryOperator::{And, Gt, GtEq, Lt, LtEq, Or};
    let (first, last, both) = if negated { (Lt, Gt, Or) } else { (GtEq, LtEq, And) };
    let low = binary(walk(expr.clone(), columns)?, first, walk(low, columns)?)?;
    let high = binary(walk(expr, columns)?, last, walk(high, columns)?)?;
    Some(logical(low.expr, both, high.expr))
}

fn in_list(left: Typed, list: Vec<Expr>, negated: bool, columns: &[ColumnDef]) -> Option<Typed> {
    let ty = left.ty?;
    let items = list.into_iter().map(|item| walk(item, columns)).collect::<Option<Vec<_>>>()?;
    if items.iter().any(|item| item.ty.is_some_and(|have| rank(have).is_none() && have != ty)) {
        return None;
    }
    let elem: Vec<Expr> =
        items.into_iter().map(|item| if item.ty.is_none() { labelled(item.expr, ty) } else { item.expr }).collect();
    let op = if negated { BinaryOperator::NotEq } else { BinaryOperator::Eq };
    if let [_] = elem.as_slice() {
        let only = elem.into_iter().next()?;
        return binary(left, op, of(only, ty));
    }
    let array = Expr::Array(ast::Array { elem, named: true });
    let (left, right) = match ty.name {
        TypeName::Varchar => (cast(left.expr, PgType::TEXT), cast(array, PgType::TEXT.array_of())),
        _ => (left.expr, array),
    };
    let (left, right) = (Box::new(left), Box::new(right));
    let expr = match negated {
        false => Expr::AnyOp { left, compare_op: op, right, is_some: false },
        true => Expr::AllOp { left, compare_op: op, right },
    };
    Some(of(expr, PgType::BOOL))
}

/// Functions whose text arguments are of type text whatever comes.
const TEXT_FUNCTIONS: &[&str] =
    &["lower", "upper", "btrim", "ltrim", "rtrim", "length", "char_length", "character_length", "md5", "initcap", "reverse"];

fn call(mut function: ast::Function, columns: &[ColumnDef]) -> Option<Typed> {
    let name = function.name.0.last()?.as_ident().map(fold)?;
    let unusual = function.filter.is_some() || function.over.is_some() || !function.within_group.is_empty();
    if unusual {
        return None;
    }
    let wanted = match name.as_str() {
        "nextval" | "currval" | "setval" => Some(PgType::new(TypeName::Regclass)),
        name if TEXT_FUNCTIONS.contains(&name) => Some(PgType::TEXT),
        _ => None,
    };
    if let FunctionArguments::List(list) = &mut function.args {
        if !list.clauses.is_empty() || list.duplicate_treatment.is_some() {
            return None;
        }
        for arg in &mut list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else { return None };
            let typed = walk(expr.clone(), columns)?;
            *expr = match (wanted, typed.ty) {
                (Some(wanted), None) => labelled(typed.expr, wanted),
                (Some(wanted), Some(have)) if wanted == PgType::TEXT && have.name == TypeName::Varchar => {
                    cast(typed.expr, wanted)
                }
                (_, None) => labelled(typed.expr, PgType::TEXT),
                (_, Some(_)) => typed.expr,
            };
        }
    }
    let result = match name.as_str() {
        "length" | "char_length" | "character_length" => PgType::INT4,
        "now" | "current_timestamp" | "clock_timestamp" | "statement_timestamp" | "transaction_timestamp" => PgType::TIMESTAMPTZ,
        "current_date" => PgType::new(TypeName::Date),
        "nextval" | "currval" => PgType::INT8,
        "gen_random_uuid" => PgType::new(TypeName::Uuid),
        "current_user" | "session_user" | "user" => PgType::new(TypeName::Name),
        name if TEXT_FUNCTIONS.contains(&name) => PgType::TEXT,
        _ => PgType::new(TypeName::Unknown),
    };
    Some(of(Expr::Function(function), result))
}
