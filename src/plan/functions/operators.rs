//! Operators by the types of their operands, decided while SQL is planned: what an untyped literal or
//! parameter stands for, arithmetic of numbers and of times, jsonb.
//!
//! What DataFusion's operators already do as PostgreSQL does is left to them.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{BinaryExpr, Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, Operator, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::ambient::external;
use super::forms::{DISTINCT_FROM, NOT_DISTINCT_FROM};
use super::text::BYTES_CONCAT;
use super::{arithmetic, arrays, json_paths, regular, temporal, written};
use crate::error::{SqlError, SqlState};
use crate::plan::resolution::common_type;
use crate::types::numeric::column::{ARROW, is_exact};
use crate::types::{PgType, TypeName, Written};

#[derive(Debug)]
pub struct PostgresOperators {
    functions: HashMap<&'static str, Arc<ScalarUDF>>,
}

/// What is known of an operand's type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operand {
    /// A quoted literal, NULL or a parameter that nobody typed: takes the type the other side gives it.
    Untyped,
    Typed(PgType),
}

type Planned = datafusion::common::Result<PlannerResult<RawBinaryExpr>>;

impl PostgresOperators {
    pub fn new(functions: impl IntoIterator<Item = (&'static str, Arc<ScalarUDF>)>) -> Self {
        Self { functions: functions.into_iter().collect() }
    }

    fn call(&self, name: &'static str, args: Vec<Expr>) -> datafusion::common::Result<Expr> {
        let function = self.functions.get(name);
        let function = function.ok_or_else(|| external(SqlError::internal(format!("function {name} is not registered"))))?;
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args)))
    }

    /// `array[i]`; behind another subscript it is one of the next dimension.
    fn subscript(&self, array: Expr, key: Expr) -> datafusion::common::Result<Expr> {
        match array {
            Expr::ScalarFunction(call) if call.name() == arrays::SUBSCRIPT => {
                self.call(arrays::SUBSCRIPT, call.args.into_iter().chain([key]).collect())
            }
            array if is_slice(&array) => self.slice(array, Expr::Literal(ScalarValue::Int64(Some(1)), None), key),
            array => self.call(arrays::SUBSCRIPT, vec![array, key]),
        }
    }

    /// `array[from:to]`; subscripts before it in one expression are slices from 1.
    fn slice(&self, array: Expr, from: Expr, to: Expr) -> datafusion::common::Result<Expr> {
        let one = || Expr::Literal(ScalarValue::Int64(Some(1)), None);
        let args = match array {
            Expr::ScalarFunction(call) if call.name() == arrays::SLICE => call.args,
            Expr::ScalarFunction(call) if call.name() == arrays::SUBSCRIPT => {
                let mut args = call.args.into_iter();
                let array = args.next();
                array.into_iter().chain(args.flat_map(|key| [one(), key])).collect()
            }
            array => vec![array],
        };
        self.call(arrays::SLICE, args.into_iter().chain([from, to]).collect())
    }

    fn planned(&self, name: &'static str, args: Vec<Expr>) -> Planned {
        Ok(PlannerResult::Planned(self.call(name, args)?))
    }

    fn arithmetic(&self, raw: RawBinaryExpr, left: Operand, right: Operand, schema: &DFSchema) -> Planned {
        let name = match raw.op {
            BinaryOperator::Plus => arithmetic::ADD,
            BinaryOperator::Minus => arithmetic::SUBTRACT,
            BinaryOperator::Multiply => arithmetic::MULTIPLY,
            BinaryOperator::Divide => arithmetic::DIVIDE,
            _ => arithmetic::MODULO,
        };
        let (left_type, right_type) = match (left, right) {
            (Operand::Typed(l), Operand::Typed(r)) => (l, r),
            (Operand::Typed(l), Operand::Untyped) => (l, temporal::other_side(&raw.op, l)),
            (Operand::Untyped, Operand::Typed(r)) => (temporal::other_side(&raw.op, r), r),
            (Operand::Untyped, Operand::Untyped) => return Ok(PlannerResult::Original(raw)),
        };
        let (l, r) = (typed(raw.left, left, left_type), typed(raw.right, right, right_type));
        let arrow = |e: &Expr, ty: PgType| e.get_type(schema).unwrap_or_else(|_| ty.arrow());
        let (left_arrow, right_arrow) = (arrow(&l, left_type), arrow(&r, right_type));
        if let Some((left_to, right_to)) = arithmetic::common_type(&left_arrow, &right_arrow) {
            return self.planned(name, vec![cast_arrow(l, &left_arrow, left_to), cast_arrow(r, &right_arrow, right_to)]);
        }
        match temporal::operator(&raw.op, left_type, right_type) {
            Some((function, false)) => self.planned(function, vec![l, r]),
            Some((function, true)) => self.planned(function, vec![r, l]),
            None => Ok(PlannerResult::Original(RawBinaryExpr { op: raw.op, left: l, right: r })),
        }
    }

    fn json(&self, raw: RawBinaryExpr, left: PgType, right: Operand) -> Planned {
        let jsonb = left.name == TypeName::Jsonb;
        let (text, ints, texts) = (PgType::TEXT, PgType::INT8, PgType::TEXT.array_of());
        let by_place =
            matches!(right, Operand::Typed(t) if matches!(t.name, TypeName::Int2 | TypeName::Int4 | TypeName::Int8) && !t.array);
        let (name, wanted) = match (&raw.op, by_place) {
            (BinaryOperator::Arrow, true) => ("jsonb_element", ints),
            (BinaryOperator::Arrow, false) => ("jsonb_field", text),
            (BinaryOperator::LongArrow, true) => ("jsonb_element_text", ints),
            (BinaryOperator::LongArrow, false) => ("jsonb_field_text", text),
            (BinaryOperator::HashArrow, _) => ("jsonb_path", texts),
            (BinaryOperator::HashLongArrow, _) => ("jsonb_path_text", texts),
            (BinaryOperator::AtArrow, _) if jsonb => ("jsonb_contains", PgType::JSONB),
            (BinaryOperator::ArrowAt, _) if jsonb => ("jsonb_contained", PgType::JSONB),
            (BinaryOperator::Question, _) if jsonb => ("jsonb_exists", text),
            (BinaryOperator::AtQuestion, _) if jsonb => (json_paths::EXISTS, text),
            (BinaryOperator::AtAt, _) if jsonb => (json_paths::MATCHES, text),
            (BinaryOperator::QuestionPipe, _) if jsonb => ("jsonb_exists_any", texts),
            (BinaryOperator::QuestionAnd, _) if jsonb => ("jsonb_exists_all", texts),
            (BinaryOperator::HashMinus, _) if jsonb => ("jsonb_delete_path", texts),
            (BinaryOperator::StringConcat, _) if jsonb => ("jsonb_concat", PgType::JSONB),
            (BinaryOperator::Minus, true) if jsonb => ("jsonb_delete_element", ints),
            (BinaryOperator::Minus, false) if jsonb && matches!(right, Operand::Typed(t) if t.array) => {
                ("jsonb_delete_keys", texts)
            }
            (BinaryOperator::Minus, false) if jsonb => ("jsonb_delete_key", text),
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let right = typed(raw.right, right, wanted);
        self.planned(name, vec![raw.left, right])
    }

    fn concatenation(&self, raw: RawBinaryExpr, left: Operand, right: Operand) -> Planned {
        let array = |o: Operand| matches!(o, Operand::Typed(t) if t.array);
        match (left, right) {
            (Operand::Typed(l), _) if l.array => {
                let name = if array(right) || right == Operand::Untyped { "array_cat" } else { "array_append" };
                let r = if right == Operand::Untyped { typed(raw.right, right, l) } else { raw.right };
                self.planned(name, vec![raw.left, r])
            }
            (_, Operand::Typed(r)) if r.array => {
                let name = if left == Operand::Untyped { "array_cat" } else { "array_prepend" };
                let l = if left == Operand::Untyped { typed(raw.left, left, r) } else { raw.left };
                self.planned(name, vec![l, raw.right])
            }
            _ => {
                let text = |e: Expr, o: Operand| match o {
                    Operand::Typed(PgType { name: TypeName::Text | TypeName::Varchar, .. }) => e,
                    Operand::Untyped => typed(e, o, PgType::TEXT),
                    Operand::Typed(_) => cast_to(e, PgType::TEXT),
                };
                let (l, r) = (text(raw.left, left), text(raw.right, right));
                Ok(PlannerResult::Original(RawBinaryExpr { op: raw.op, left: l, right: r }))
            }
        }
    }

    fn arrays(&self, raw: RawBinaryExpr, left: Operand, right: Operand) -> Planned {
        let known = match (left, right) {
            (Operand::Typed(ty), _) if ty.array => ty,
            (_, Operand::Typed(ty)) => ty,
            _ => PgType::TEXT.array_of(),
        };
        let name = match raw.op {
            BinaryOperator::AtArrow => arrays::CONTAINS,
            BinaryOperator::ArrowAt => arrays::CONTAINED,
            _ => arrays::OVERLAPS,
        };
        self.planned(name, vec![typed(raw.left, left, known), typed(raw.right, right, known)])
    }

    /// An operator with an operand that is carried as its text.
    fn written(&self, raw: RawBinaryExpr, left: Operand, right: Operand) -> Planned {
        let op = raw.op.to_string();
        let (left_type, right_type) = match (left, right) {
            (Operand::Typed(l), Operand::Typed(r)) => (l, r),
            (Operand::Typed(l), Operand::Untyped) => (l, written::other_side(&op, l)),
            (Operand::Untyped, Operand::Typed(r)) => (written::other_side(&op, r), r),
            (Operand::Untyped, Operand::Untyped) => return Ok(PlannerResult::Original(raw)),
        };
        if written::operator_type(left_type, &op, right_type).is_none() {
            if raw.op == BinaryOperator::StringConcat {
                return self.concatenation(raw, left, right);
            }
            return Err(external(no_operator(left_type, &raw.op, right_type)));
        }
        let (l, r) = (typed(raw.left, left, left_type), typed(raw.right, right, right_type));
        self.planned(written::OPERATOR, vec![l, r, Expr::Literal(ScalarValue::Utf8(Some(op)), None)])
    }

    fn comparison(&self, raw: RawBinaryExpr, left: Operand, right: Operand, schema: &DFSchema) -> Planned {
        let (l, r) = match (left, right) {
            (Operand::Typed(ty), Operand::Untyped) => (raw.left, typed(raw.right, right, compared_as(ty))),
            (Operand::Untyped, Operand::Typed(ty)) => (typed(raw.left, left, compared_as(ty)), raw.right),
            _ => (raw.left, raw.right),
        };
        let (l, r) = instants(l, r, left, right);
        let json = |o| matches!(o, Operand::Typed(PgType { name: TypeName::Json, array: false, .. }));
        if json(left) || json(right) {
            let message = format!("operator does not exist: json {} json", raw.op);
            return Err(external(SqlError::new(SqlState::UNDEFINED_FUNCTION, message).hint("Cast json to jsonb to compare it.")));
        }
        if let (Operand::Typed(l), Operand::Typed(r)) = (left, right)
            && never_meet(l, r)
        {
            return Err(external(no_operator(l, &raw.op, r)));
        }
        let (l, r) = numerics(l, r, schema);
        Ok(PlannerResult::Original(RawBinaryExpr { op: raw.op, left: l, right: r }))
    }
}

impl ExprPlanner for PostgresOperators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Planned {
        let raw = RawBinaryExpr { op: raw.op, left: narrowed(raw.left), right: narrowed(raw.right) };
        let (left, right) = (operand(&raw.left, schema), operand(&raw.right, schema));
        let is_json = |o: Operand| match o {
            Operand::Typed(t @ PgType { name: TypeName::Jsonb | TypeName::Json, array: false, .. }) => Some(t),
            _ => None,
        };
        use BinaryOperator as Op;
        let comparison = matches!(raw.op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::And | Op::Or);
        if !comparison && (is_written(left) || is_written(right)) {
            return self.written(raw, left, right);
        }
        if matches!(raw.op, Op::PGOverlap | Op::AtArrow | Op::ArrowAt) && (is_array(left) || is_array(right)) {
            return self.arrays(raw, left, right);
        }
        match raw.op {
            Op::Arrow
            | Op::LongArrow
            | Op::HashArrow
            | Op::HashLongArrow
            | Op::AtArrow
            | Op::ArrowAt
            | Op::Question
            | Op::QuestionPipe
            | Op::QuestionAnd
            | Op::AtQuestion
            | Op::AtAt
            | Op::HashMinus => match (is_json(left), is_json(right)) {
                (Some(ty), _) => self.json(raw, ty, right),
                (None, Some(_)) if left == Operand::Untyped => {
                    let raw = RawBinaryExpr { left: typed(raw.left, left, PgType::JSONB), ..raw };
                    self.json(raw, PgType::JSONB, right)
                }
                _ => Ok(PlannerResult::Original(raw)),
            },
            Op::Minus if is_json(left).is_some() => self.json(raw, PgType::JSONB, right),
            Op::StringConcat
                if is_json(left).is_some_and(|t| t.name == TypeName::Jsonb)
                    && (is_json(right).is_some() || right == Operand::Untyped) =>
            {
                self.json(raw, PgType::JSONB, right)
            }
            Op::StringConcat if is_bytes(left) || is_bytes(right) => {
                let bytea = PgType::new(TypeName::Bytea);
                self.planned(BYTES_CONCAT, vec![typed(raw.left, left, bytea), typed(raw.right, right, bytea)])
            }
            Op::PGStartsWith => self.planned("starts_with", vec![raw.left, raw.right]),
            Op::PGRegexMatch | Op::PGRegexIMatch | Op::PGRegexNotMatch | Op::PGRegexNotIMatch => {
                let flags = if matches!(raw.op, Op::PGRegexIMatch | Op::PGRegexNotIMatch) { "i" } else { "" };
                let flags = Expr::Literal(ScalarValue::Utf8(Some(flags.to_owned())), None);
                let matched = self.call(regular::MATCH, vec![raw.left, raw.right, flags])?;
                let negated = matches!(raw.op, Op::PGRegexNotMatch | Op::PGRegexNotIMatch);
                Ok(PlannerResult::Planned(if negated { Expr::Not(Box::new(matched)) } else { matched }))
            }
            Op::StringConcat => self.concatenation(raw, left, right),
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => self.arithmetic(raw, left, right, schema),
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => self.comparison(raw, left, right, schema),
            Op::And | Op::Or if left == Operand::Untyped || right == Operand::Untyped => {
                let (l, r) = (typed(raw.left, left, PgType::BOOL), typed(raw.right, right, PgType::BOOL));
                Ok(PlannerResult::Original(RawBinaryExpr { op: raw.op, left: l, right: r }))
            }
            Op::Custom(ref name) if distinction(name).is_some() => {
                let op = distinction(name);
                match (self.comparison(raw, left, right, schema)?, op) {
                    (PlannerResult::Original(raw), Some(op)) => {
                        let compared = BinaryExpr::new(Box::new(raw.left), op, Box::new(raw.right));
                        Ok(PlannerResult::Planned(Expr::BinaryExpr(compared)))
                    }
                    (planned, _) => Ok(planned),
                }
            }
            _ => Ok(PlannerResult::Original(raw)),
        }
    }

    fn plan_field_access(
        &self,
        raw: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> datafusion::common::Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { expr, field_access } = raw;
        let json = matches!(operand(&expr, schema), Operand::Typed(PgType { name: TypeName::Jsonb, array: false, .. }));
        let point = Operand::Typed(PgType::new(TypeName::Written(Written::Point))) == operand(&expr, schema);
        // A name is an array of characters, counted from 0.
        let name = matches!(operand(&expr, schema), Operand::Typed(PgType { name: TypeName::Name, array: false, .. }));
        let character = |key: &Expr| if name { whole(key) } else { None };
        let text = |key: &Expr| {
            let named = |ty: PgType| !ty.array && matches!(ty.name, TypeName::Text | TypeName::Varchar);
            matches!(key, Expr::Literal(ScalarValue::Utf8(_), _)) || matches!(operand(key, schema), Operand::Typed(t) if named(t))
        };
        let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
        let planned = match field_access {
            GetFieldAccess::NamedStructField { name } if json => {
                self.call("jsonb_field", vec![expr, Expr::Literal(name, None)])?
            }
            // Subscripts in one go are those of an array of several dimensions, whatever its elements are.
            GetFieldAccess::ListIndex { key } if is_part(&expr) => self.subscript(expr, *key)?,
            GetFieldAccess::ListIndex { key } if character(&key).is_some() => {
                let number = |n: i64| Expr::Literal(ScalarValue::Int64(Some(n)), None);
                let first = character(&key).unwrap_or_default().saturating_add(1);
                self.call("substr", vec![expr, number(first), number(1)])?
            }
            GetFieldAccess::ListIndex { key } if point => self.call(written::POINT_PART, vec![expr, *key])?,
            GetFieldAccess::ListIndex { key } if json && text(&key) => self.call("jsonb_field", vec![expr, *key])?,
            GetFieldAccess::ListIndex { key } if json => self.call("jsonb_element", vec![expr, *key])?,
            GetFieldAccess::ListIndex { key } => {
                check_subscripted(operand(&expr, schema))?;
                self.subscript(expr, *key)?
            }
            GetFieldAccess::ListRange { start, stop, stride } if *stride == one => self.slice(expr, *start, *stop)?,
            field_access => return Ok(PlannerResult::Original(RawFieldAccessExpr { expr, field_access })),
        };
        Ok(PlannerResult::Planned(planned))
    }

    fn plan_array_literal(&self, exprs: Vec<Expr>, schema: &DFSchema) -> datafusion::common::Result<PlannerResult<Vec<Expr>>> {
        let nested = |e: &Expr| e.get_type(schema).is_ok_and(|t| PgType::of_arrow(&t).array);
        if exprs.iter().any(nested) {
            let types = exprs.iter().filter_map(|e| match operand(e, schema) {
                Operand::Typed(ty) => Some(ty.element().with_modifier(-1)),
                Operand::Untyped => None,
            });
            let common = common_type("ARRAY", &types.collect::<Vec<_>>())?.array_of();
            let typed = |e: Expr| match operand(&e, schema) {
                Operand::Typed(ty) if ty.with_modifier(-1) == common => e,
                _ => cast_to(e, common),
            };
            return Ok(PlannerResult::Planned(self.call(arrays::NESTED, exprs.into_iter().map(typed).collect())?));
        }
        let types = exprs.iter().map(|e| e.get_type(schema)).collect::<Result<Vec<_>, _>>();
        if types.is_ok_and(|types| super::is_mixed(&types)) {
            let numeric = |e| cast_to(e, PgType::new(TypeName::Numeric));
            return Ok(PlannerResult::Planned(self.call("make_array", exprs.into_iter().map(numeric).collect())?));
        }
        Ok(PlannerResult::Planned(self.call("make_array", exprs)?))
    }

    /// Aggregates that the planner has for floats take numerics too, as floats.
    fn plan_aggregate(&self, raw: RawAggregateExpr) -> datafusion::common::Result<PlannerResult<RawAggregateExpr>> {
        let name = raw.func.name();
        let floats =
            name.starts_with("regr_") || name.starts_with("covar") || matches!(name, "corr" | "percentile_cont" | "median");
        if !floats {
            return Ok(PlannerResult::Original(raw));
        }
        let args = raw.args.into_iter().map(|arg| Expr::Cast(Cast::new(Box::new(arg), DataType::Float64))).collect();
        Ok(PlannerResult::Original(RawAggregateExpr { args, ..raw }))
    }

    fn plan_substring(&self, args: Vec<Expr>) -> datafusion::common::Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(self.call("substr", args)?))
    }

    fn plan_position(&self, args: Vec<Expr>) -> datafusion::common::Result<PlannerResult<Vec<Expr>>> {
        // The planner gives (text, part) with the parts of `position(part in text)` exchanged.
        Ok(PlannerResult::Planned(self.call("strpos", args)?))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> datafusion::common::Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(self.call("extract", args)?))
    }
}

fn distinction(name: &str) -> Option<Operator> {
    match name {
        DISTINCT_FROM => Some(Operator::IsDistinctFrom),
        NOT_DISTINCT_FROM => Some(Operator::IsNotDistinctFrom),
        _ => None,
    }
}

/// A numeric that shows its own digits and a number of another form, in a form that both have: Arrow compares no others.
pub fn numerics(left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) else { return (left, right) };
    let brought = |expr: Expr, other: &DataType, own: &DataType| match (own, other) {
        (own, &ARROW) if *own != ARROW && is_exact(own) => cast_to(expr, PgType::new(TypeName::Numeric)),
        (&ARROW | DataType::Decimal128(..), other) if other.is_floating() => cast_to(expr, PgType::new(TypeName::Float8)),
        _ => expr,
    };
    (brought(left, &right_type, &left_type), brought(right, &left_type, &right_type))
}

/// Days and timestamps of both kinds, compared as the wider of the two.
fn instants(left: Expr, right: Expr, left_type: Operand, right_type: Operand) -> (Expr, Expr) {
    use TypeName::{Date, Timestamp, Timestamptz};
    let (Operand::Typed(l), Operand::Typed(r)) = (left_type, right_type) else { return (left, right) };
    if l.array || r.array {
        return (left, right);
    }
    match (l.name, r.name) {
        (Date, Timestamp | Timestamptz) | (Timestamp, Timestamptz) => (cast_to(left, r.with_modifier(-1)), right),
        (Timestamp | Timestamptz, Date) | (Timestamptz, Timestamp) => (left, cast_to(right, l.with_modifier(-1))),
        _ => (left, right),
    }
}

fn is_part(expr: &Expr) -> bool {
    is_slice(expr) || matches!(expr, Expr::ScalarFunction(call) if call.name() == arrays::SUBSCRIPT)
}

fn is_slice(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == arrays::SLICE)
}

/// 42804 for what has no parts.
fn check_subscripted(operand: Operand) -> datafusion::common::Result<()> {
    match operand {
        Operand::Typed(ty) if !ty.array && ty.name.vector_of().is_none() && ty.name != TypeName::Void => {
            let name = ty.with_modifier(-1).sql_name();
            let message = format!("cannot subscript type {name} because it does not support subscripting");
            Err(external(SqlError::new(SqlState::DATATYPE_MISMATCH, message)))
        }
        _ => Ok(()),
    }
}

fn is_bytes(operand: Operand) -> bool {
    matches!(operand, Operand::Typed(PgType { name: TypeName::Bytea, array: false, .. }))
}

fn is_written(operand: Operand) -> bool {
    matches!(operand, Operand::Typed(PgType { name: TypeName::Written(_), array: false, .. }))
}

fn is_array(operand: Operand) -> bool {
    matches!(operand, Operand::Typed(ty) if ty.array)
}

/// A whole literal is an integer where it fits.
fn narrowed(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(n)), metadata) => {
            let value = i32::try_from(n).map_or(ScalarValue::Int64(Some(n)), |n| ScalarValue::Int32(Some(n)));
            Expr::Literal(value, metadata)
        }
        Expr::Literal(ScalarValue::UInt64(Some(n)), metadata) => {
            Expr::Literal(ScalarValue::Decimal128(Some(i128::from(n)), 20, 0), metadata)
        }
        other => other,
    }
}

fn operand(expr: &Expr, schema: &DFSchema) -> Operand {
    match expr {
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, None) => Operand::Untyped,
        Expr::Placeholder(Placeholder { field: None, .. }) => Operand::Untyped,
        // A column that cannot be resolved here is one of an outer query; DataFusion's rules see it.
        expr => expr
            .to_field(schema)
            .map_or(Operand::Typed(PgType::new(TypeName::Void)), |(_, f)| Operand::Typed(PgType::of_field(&f))),
    }
}

/// A constant whole number, whatever it is cast to.
fn whole(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Cast(cast) => whole(&cast.expr),
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(number)) => number,
            _ => None,
        },
        _ => None,
    }
}

/// The operand with the type that it was found to have, where it had none.
fn typed(expr: Expr, operand: Operand, ty: PgType) -> Expr {
    if operand != Operand::Untyped || ty.name == TypeName::Void {
        return expr;
    }
    match expr {
        Expr::Placeholder(parameter) => {
            let field = FieldRef::new(ty.field("", true));
            Expr::Placeholder(Placeholder::new_with_field(parameter.id, Some(field)))
        }
        literal if matches!(ty.name, TypeName::Text | TypeName::Varchar | TypeName::Unknown) && !ty.array => literal,
        literal => cast_to(literal, ty),
    }
}

fn cast_to(expr: Expr, ty: PgType) -> Expr {
    Expr::Cast(Cast::new_from_field(Box::new(expr), FieldRef::new(ty.field("", true))))
}

fn cast_arrow(expr: Expr, have: &DataType, want: DataType) -> Expr {
    if *have == want { expr } else { Expr::Cast(Cast::new(Box::new(expr), want)) }
}

/// The type of a literal that is compared with a value of `ty`: lengths and digits do not bind it.
fn compared_as(ty: PgType) -> PgType {
    match ty.name {
        TypeName::Varchar | TypeName::Name => PgType { name: TypeName::Text, ..ty.with_modifier(-1) },
        _ => ty.with_modifier(-1),
    }
}

/// Text and what is no text: compared by a cast only.
fn never_meet(left: PgType, right: PgType) -> bool {
    use TypeName::{Bool, Bpchar, Date, Float4, Float8, Int2, Int4, Int8, Numeric, Text, Time, Timestamp, Timestamptz, Varchar};
    let text = |t: PgType| matches!(t.name, Text | Varchar | Bpchar);
    let other = |t: PgType| {
        matches!(t.name, Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric | Date | Time | Timestamp | Timestamptz)
            || t.name.written().is_some()
    };
    let kinds = (left.name.written(), right.name.written());
    let apart = match kinds {
        (Some(a), Some(b)) => a != b && !crate::plan::modify::written_meet(a, b),
        (None, None) => false,
        _ => left.name != TypeName::Void && right.name != TypeName::Void,
    };
    if !left.array && !right.array && apart {
        return true;
    }
    !left.array && !right.array && (text(left) && other(right) || other(left) && text(right))
}

fn no_operator(left: PgType, op: &BinaryOperator, right: PgType) -> SqlError {
    let (left, right) = (left.with_modifier(-1).sql_name(), right.with_modifier(-1).sql_name());
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {left} {op} {right}"))
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}
