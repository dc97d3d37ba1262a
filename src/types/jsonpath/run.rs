//! A path over a value: the sequence of what it selects, or whether its predicate holds.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Comparison, Method, Node, Path, Step};
use crate::error::{Result, SqlError, SqlState};
use crate::types::json::Json;
use crate::types::numeric::Numeric;

/// A value of the document, or one that was computed.
type Item<'d> = Cow<'d, Json>;

/// What the path selects, in order. Errors that `silent` is to hide end it with nothing.
pub fn query(path: &Path, document: &Json, variables: &Json, silent: bool) -> Result<Vec<Json>> {
    let run = Run { document, variables, strict: path.strict };
    match run.values(&path.root, &Place::default()) {
        Ok(items) => Ok(items.into_iter().map(Cow::into_owned).collect()),
        Err(error) if silent && is_hidden(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether the path selects anything; `None` for an error that `silent` hides.
pub fn exists(path: &Path, document: &Json, variables: &Json, silent: bool) -> Result<Option<bool>> {
    let run = Run { document, variables, strict: path.strict };
    match run.values(&path.root, &Place::default()) {
        Ok(items) => Ok(Some(!items.is_empty())),
        Err(error) if silent && is_hidden(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the predicate that the path is answers; `None` for unknown, and for an error that `silent` hides.
pub fn matches(path: &Path, document: &Json, variables: &Json, silent: bool) -> Result<Option<bool>> {
    match query(path, document, variables, silent)?.as_slice() {
        [Json::Bool(b)] => Ok(Some(*b)),
        [Json::Null] => Ok(None),
        _ if silent => Ok(None),
        _ => Err(SqlError::new(SqlState::SINGLETON_SQL_JSON_ITEM_REQUIRED, "single boolean result is expected")),
    }
}

/// Errors about the document's structure and about numbers; a path that is wrong in itself stays an error.
fn is_hidden(error: &SqlError) -> bool {
    error.code().code().starts_with("22")
}

fn error(state: SqlState, message: impl Into<String>) -> SqlError {
    SqlError::new(state, message)
}

/// Where in a path its parts are asked.
#[derive(Clone, Copy, Default)]
struct Place<'p, 'd> {
    /// What `@` is.
    current: Option<&'p Item<'d>>,
    /// The length of the array whose subscripts are computed.
    last: Option<usize>,
}

struct Run<'d> {
    document: &'d Json,
    variables: &'d Json,
    strict: bool,
}

fn number(n: &Numeric) -> Item<'static> {
    Cow::Owned(Json::Number(n.to_string()))
}

impl<'d> Run<'d> {
    /// The values of an expression. A predicate is one value, null where it is unknown.
    fn values(&self, node: &Node, place: &Place<'_, 'd>) -> Result<Vec<Item<'d>>> {
        if node.is_predicate() {
            let answer = self.holds(node, place)?;
            return Ok(vec![Cow::Owned(answer.map_or(Json::Null, Json::Bool))]);
        }
        Ok(match node {
            Node::Null => vec![Cow::Owned(Json::Null)],
            Node::Bool(b) => vec![Cow::Owned(Json::Bool(*b))],
            Node::Number(digits) => vec![Cow::Owned(Json::Number(digits.clone()))],
            Node::Text(text) => vec![Cow::Owned(Json::String(text.clone()))],
            Node::Root => vec![Cow::Borrowed(self.document)],
            Node::Current => place.current.cloned().into_iter().collect(),
            Node::Last => match place.last {
                Some(length) => vec![number(&Numeric::of_i64(length as i64 - 1))],
                None => return Err(SqlError::internal("evaluating jsonpath LAST outside of array subscript")),
            },
            Node::Variable(name) => match self.variables.get(name) {
                Some(value) => vec![Cow::Borrowed(value)],
                None => {
                    let message = format!("could not find jsonpath variable \"{name}\"");
                    return Err(error(SqlState::UNDEFINED_OBJECT, message));
                }
            },
            Node::Steps(from, steps) => {
                let mut items = self.values(from, place)?;
                for step in steps {
                    items = self.step(step, items, place)?;
                }
                items
            }
            Node::Negative(inner) | Node::Positive(inner) => {
                let negative = matches!(node, Node::Negative(_));
                let items = self.unwrapped(self.values(inner, place)?);
                let one = |item: Item<'d>| match item.as_ref() {
                    Json::Number(digits) if negative => Ok(number(&Numeric::parse(digits)?.negated())),
                    Json::Number(_) => Ok(item),
                    _ => {
                        let op = if negative { '-' } else { '+' };
                        let message = format!("operand of unary jsonpath operator {op} is not a numeric value");
                        Err(error(SqlState::SQL_JSON_NUMBER_NOT_FOUND, message))
                    }
                };
                items.into_iter().map(one).collect::<Result<_>>()?
            }
            Node::Arithmetic(op, left, right) => vec![self.arithmetic(*op, left, right, place)?],
            _ => return Err(SqlError::internal("a predicate was asked for its values")),
        })
    }

    /// Lax: the elements of arrays in their place.
    fn unwrapped(&self, items: Vec<Item<'d>>) -> Vec<Item<'d>> {
        if self.strict { items } else { items.into_iter().flat_map(elements).collect() }
    }

    fn arithmetic(&self, op: char, left: &Node, right: &Node, place: &Place<'_, 'd>) -> Result<Item<'d>> {
        let single = |node: &Node, side: &str| {
            let items = self.unwrapped(self.values(node, place)?);
            match items.as_slice() {
                [item] if matches!(item.as_ref(), Json::Number(_)) => match item.as_ref() {
                    Json::Number(digits) => Numeric::parse(digits),
                    _ => Err(SqlError::internal("a number that is none")),
                },
                _ => {
                    let message = format!("{side} operand of jsonpath operator {op} is not a single numeric value");
                    Err(error(SqlState::SINGLETON_SQL_JSON_ITEM_REQUIRED, message))
                }
            }
        };
        let (a, b) = (single(left, "left")?, single(right, "right")?);
        let result = match op {
            '+' => a.plus(&b)?,
            '-' => a.minus(&b)?,
            '*' => a.times(&b)?,
            '/' => a.over(&b)?,
            _ => a.rest(&b)?,
        };
        Ok(number(&result))
    }

    fn step(&self, step: &Step, items: Vec<Item<'d>>, place: &Place<'_, 'd>) -> Result<Vec<Item<'d>>> {
        let mut out = Vec::new();
        match step {
            Step::Member(name) => {
                for item in self.unwrapped(items) {
                    match member(&item, name) {
                        Some(value) => out.push(value),
                        None if !self.strict => {}
                        None if matches!(item.as_ref(), Json::Object(_)) => {
                            let message = format!("JSON object does not contain key \"{name}\"");
                            return Err(error(SqlState::SQL_JSON_MEMBER_NOT_FOUND, message));
                        }
                        None => {
                            let message = "jsonpath member accessor can only be applied to an object";
                            return Err(error(SqlState::SQL_JSON_MEMBER_NOT_FOUND, message));
                        }
                    }
                }
            }
            Step::AnyMember => {
                for item in self.unwrapped(items) {
                    match item.as_ref() {
                        Json::Object(_) => out.extend(children(item)),
                        _ if !self.strict => {}
                        _ => {
                            let message = "jsonpath wildcard member accessor can only be applied to an object";
                            return Err(error(SqlState::SQL_JSON_OBJECT_NOT_FOUND, message));
                        }
                    }
                }
            }
            Step::AnyPlace => {
                for item in items {
                    match item.as_ref() {
                        Json::Array(_) => out.extend(children(item)),
                        _ if !self.strict => out.push(item),
                        _ => {
                            let message = "jsonpath wildcard array accessor can only be applied to an array";
                            return Err(error(SqlState::SQL_JSON_ARRAY_NOT_FOUND, message));
                        }
                    }
                }
            }
            Step::Places(places) => {
                for item in items {
                    self.places(places, item, place, &mut out)?;
                }
            }
            Step::Descend(first, last) => {
                for item in items {
                    descend(item, 0, *first, *last, &mut out);
                }
            }
            Step::Filter(predicate) => {
                for item in self.unwrapped(items) {
                    let inner = Place { current: Some(&item), last: place.last };
                    if self.holds(predicate, &inner)? == Some(true) {
                        out.push(item);
                    }
                }
            }
            Step::Method(method) => {
                let kinds = matches!(method, Method::Type | Method::Size);
                for item in if kinds { items } else { self.unwrapped(items) } {
                    out.push(self.method(*method, &item)?);
                }
            }
        }
        Ok(out)
    }

    fn places(
        &self,
        places: &[(Node, Option<Node>)],
        item: Item<'d>,
        place: &Place<'_, 'd>,
        out: &mut Vec<Item<'d>>,
    ) -> Result<()> {
        if self.strict && !matches!(item.as_ref(), Json::Array(_)) {
            let message = "jsonpath array accessor can only be applied to an array";
            return Err(error(SqlState::SQL_JSON_ARRAY_NOT_FOUND, message));
        }
        let items = elements(item);
        let inner = Place { current: place.current, last: Some(items.len()) };
        for (from, to) in places {
            let from = self.index(from, &inner)?;
            let to = to.as_ref().map_or(Ok(from), |to| self.index(to, &inner))?;
            let length = items.len() as i64;
            if self.strict && (from < 0 || from > to || to >= length) {
                let message = "jsonpath array subscript is out of bounds";
                return Err(error(SqlState::INVALID_SQL_JSON_SUBSCRIPT, message));
            }
            let within = from.max(0)..=to.min(length - 1);
            out.extend(within.filter_map(|at| items.get(usize::try_from(at).ok()?).cloned()));
        }
        Ok(())
    }

    fn index(&self, node: &Node, place: &Place<'_, 'd>) -> Result<i64> {
        match self.values(node, place)?.as_slice() {
            [item] => match item.as_ref() {
                Json::Number(digits) => {
                    let whole = Numeric::parse(digits)?.trunc(0)?.to_integer("integer")?;
                    i32::try_from(whole).map(i64::from).map_err(|_| {
                        error(SqlState::INVALID_SQL_JSON_SUBSCRIPT, "jsonpath array subscript is out of integer range")
                    })
                }
                _ => Err(not_a_subscript()),
            },
            _ => Err(not_a_subscript()),
        }
    }

    fn method(&self, method: Method, item: &Json) -> Result<Item<'d>> {
        let name = match method {
            Method::Type => {
                let kind = match item {
                    Json::Null => "null",
                    Json::Bool(_) => "boolean",
                    Json::Number(_) => "number",
                    Json::String(_) => "string",
                    Json::Array(_) => "array",
                    Json::Object(_) => "object",
                };
                return Ok(Cow::Owned(Json::String(kind.to_owned())));
            }
            Method::Size => {
                return match item {
                    Json::Array(items) => Ok(number(&Numeric::of_i64(items.len() as i64))),
                    _ if !self.strict => Ok(number(&Numeric::of_i64(1))),
                    _ => {
                        let message = "jsonpath item method .size() can only be applied to an array";
                        Err(error(SqlState::SQL_JSON_ARRAY_NOT_FOUND, message))
                    }
                };
            }
            Method::Double => "double",
            Method::Ceiling => "ceiling",
            Method::Floor => "floor",
            Method::Abs => "abs",
        };
        let unfit = |what: &str| {
            let message = format!("jsonpath item method .{name}() can only be applied to a {what}");
            error(SqlState::NON_NUMERIC_SQL_JSON_ITEM, message)
        };
        if method == Method::Double {
            let text = match item {
                Json::Number(text) | Json::String(text) => text,
                _ => return Err(unfit("string or numeric value")),
            };
            let x = crate::types::number::parse_float8(text).ok().filter(|x| x.is_finite());
            let message =
                "string argument of jsonpath item method .double() is not a valid representation of a double precision number";
            let x = x.ok_or_else(|| error(SqlState::NON_NUMERIC_SQL_JSON_ITEM, message))?;
            return Ok(number(&Numeric::of_f64(x)?));
        }
        let Json::Number(digits) = item else { return Err(unfit("numeric value")) };
        let n = Numeric::parse(digits)?;
        Ok(number(&match method {
            Method::Ceiling => n.ceil()?,
            Method::Floor => n.floor()?,
            _ => n.magnitude(),
        }))
    }

    /// Errors inside a predicate make it unknown.
    fn holds(&self, node: &Node, place: &Place<'_, 'd>) -> Result<Option<bool>> {
        Ok(match node {
            Node::And(left, right) => match self.holds(left, place)? {
                Some(false) => Some(false),
                left => match (left, self.holds(right, place)?) {
                    (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                },
            },
            Node::Or(left, right) => match self.holds(left, place)? {
                Some(true) => Some(true),
                left => match (left, self.holds(right, place)?) {
                    (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                },
            },
            Node::Not(inner) => self.holds(inner, place)?.map(|b| !b),
            Node::IsUnknown(inner) => Some(self.holds(inner, place)?.is_none()),
            Node::Exists(inner) => self.operand(inner, place)?.map(|items| !items.is_empty()),
            Node::Compare(comparison, left, right) => self.pairs(left, right, place, |a, b| compared(*comparison, a, b))?,
            Node::StartsWith(left, initial) => self.pairs(left, initial, place, |a, b| match (a, b) {
                (Json::String(a), Json::String(b)) => Some(a.starts_with(b.as_str())),
                _ => None,
            })?,
            Node::LikeRegex(left, pattern) => {
                let Some(items) = self.operand(left, place)? else { return Ok(None) };
                let each = self.unwrapped(items).into_iter().map(|item| match item.as_ref() {
                    Json::String(text) => Some(pattern.0.is_match(text)),
                    _ => None,
                });
                self.any(each)
            }
            _ => return Err(SqlError::internal("a value was asked whether it holds")),
        })
    }

    /// The values of an operand; `None` where they cannot be had, which makes its predicate unknown.
    fn operand(&self, node: &Node, place: &Place<'_, 'd>) -> Result<Option<Vec<Item<'d>>>> {
        match self.values(node, place) {
            Ok(items) => Ok(Some(items)),
            Err(error) if is_hidden(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn pairs(
        &self,
        left: &Node,
        right: &Node,
        place: &Place<'_, 'd>,
        holds: impl Fn(&Json, &Json) -> Option<bool>,
    ) -> Result<Option<bool>> {
        let (Some(left), Some(right)) = (self.operand(left, place)?, self.operand(right, place)?) else { return Ok(None) };
        let (left, right) = (self.unwrapped(left), self.unwrapped(right));
        Ok(self.any(left.iter().flat_map(|a| right.iter().map(|b| holds(a, b)))))
    }

    /// Lax: true as soon as one holds. Strict: unknown as soon as one is.
    fn any(&self, answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
        let (mut unknown, mut found) = (false, false);
        for answer in answers {
            match answer {
                Some(true) if !self.strict => return Some(true),
                Some(true) => found = true,
                Some(false) => {}
                None if self.strict => return None,
                None => unknown = true,
            }
        }
        match (found, unknown) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        }
    }
}

fn not_a_subscript() -> SqlError {
    error(SqlState::INVALID_SQL_JSON_SUBSCRIPT, "jsonpath array subscript is not a single numeric value")
}

fn member<'d>(item: &Item<'d>, name: &str) -> Option<Item<'d>> {
    match item {
        Cow::Borrowed(json) => json.get(name).map(Cow::Borrowed),
        Cow::Owned(json) => json.get(name).cloned().map(Cow::Owned),
    }
}

/// The elements of an array, the values of an object.
fn children(item: Item<'_>) -> Vec<Item<'_>> {
    match item {
        Cow::Borrowed(Json::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Json::Object(members)) => members.iter().map(|(_, value)| Cow::Borrowed(value)).collect(),
        Cow::Owned(Json::Array(items)) => items.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Json::Object(members)) => members.into_iter().map(|(_, value)| Cow::Owned(value)).collect(),
        _ => Vec::new(),
    }
}

/// The elements of an array; what is none as an array of itself.
fn elements(item: Item<'_>) -> Vec<Item<'_>> {
    if matches!(item.as_ref(), Json::Array(_)) { children(item) } else { vec![item] }
}

/// The value and all below it, those of the levels that are asked for. Values without children are the deepest level.
fn descend<'d>(item: Item<'d>, level: u32, first: Option<u32>, last: Option<u32>, out: &mut Vec<Item<'d>>) {
    let leaf = !matches!(item.as_ref(), Json::Array(_) | Json::Object(_));
    let begun = first.map_or(leaf, |first| level >= first);
    let ended = last.is_some_and(|last| level > last);
    if ended {
        return;
    }
    if begun {
        out.push(item.clone());
    }
    for child in children(item) {
        descend(child, level + 1, first, last, out);
    }
}

fn compared(comparison: Comparison, a: &Json, b: &Json) -> Option<bool> {
    let order = match (a, b) {
        (Json::Null, Json::Null) => Ordering::Equal,
        (Json::Null, _) | (_, Json::Null) => return Some(comparison == Comparison::NotEqual),
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        (Json::String(a), Json::String(b)) => a.cmp(b),
        (Json::Number(a), Json::Number(b)) => {
            let key = |digits: &str| {
                let mut key = Vec::new();
                crate::types::order::push_number(&mut key, digits);
                key
            };
            key(a).cmp(&key(b))
        }
        _ => return None,
    };
    Some(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}
