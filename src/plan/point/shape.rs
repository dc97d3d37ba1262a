//! Recognising statements about one item in their trees: `key = value` for every column of the key.

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;

use crate::history::{ColumnDef, TableDef};
use crate::plan::keys::key_part;
use crate::plan::modify::fold;
use crate::sql::shape::Literal;
use crate::types::{PgType, TypeName, Zone, scalar_from_text};
use crate::versions::key::encode_part;
use crate::versions::{ItemKey, KeyPart};

/// Where one part of a key comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyValue {
    /// Encoded already.
    Constant(Vec<u8>),
    /// `$n`, to be compared with a column of this type.
    Parameter(usize, PgType),
}

/// The whole key of one item, and what the condition asks besides.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyMatch {
    /// In the order of the key.
    pub values: Vec<KeyValue>,
    pub rest: Vec<ast::Expr>,
}

impl KeyMatch {
    /// `None` unless the condition binds every column of the table's key by an equality that holds for exactly
    /// one encoded key. `alias` is the name that the table's columns may be qualified with.
    pub fn of(table: &TableDef, alias: &str, condition: &ast::Expr, zone: Zone) -> Option<Self> {
        let keys: Vec<&ColumnDef> = table.key_columns().collect();
        let mut found: Vec<Option<KeyValue>> = vec![None; keys.len()];
        let mut rest = Vec::new();
        let mut conjuncts = Vec::new();
        split(condition, &mut conjuncts);
        for conjunct in conjuncts {
            let bound = equality(conjunct, alias).and_then(|(name, value)| {
                let at = keys.iter().position(|key| key.name == name)?;
                let place = found.get(at)?.is_none().then_some(at)?;
                Some((place, key_value(value, keys.get(at)?.ty, zone)?))
            });
            match bound {
                Some((at, value)) => found[at] = Some(value),
                None => rest.push(conjunct.clone()),
            }
        }
        let values: Option<Vec<KeyValue>> = found.into_iter().collect();
        values.filter(|values| !values.is_empty()).map(|values| Self { values, rest })
    }

    /// The item that the parameters name; `Ok(None)` when no item can be it, `Err` when their types are not
    /// those that were recognised.
    pub fn key(&self, parameters: &[ScalarValue]) -> Result<Option<ItemKey>, Unfit> {
        let mut bytes = Vec::with_capacity(9 * self.values.len());
        for value in &self.values {
            match value {
                KeyValue::Constant(part) => bytes.extend_from_slice(part),
                KeyValue::Parameter(n, ty) => {
                    let value = n.checked_sub(1).and_then(|at| parameters.get(at)).ok_or(Unfit)?;
                    if !append(value, *ty, &mut bytes)? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(ItemKey::from_bytes(bytes)))
    }

    /// Parameters of the key with the types of their columns.
    pub fn parameters(&self) -> impl Iterator<Item = (usize, PgType)> {
        self.values.iter().filter_map(|value| match value {
            KeyValue::Constant(_) => None,
            KeyValue::Parameter(n, ty) => Some((*n, *ty)),
        })
    }

    /// Whether the values of these parameter types can be compared with the key as bytes.
    pub fn fits(&self, types: &[PgType]) -> bool {
        self.parameters().all(|(n, column)| {
            let given = n.checked_sub(1).and_then(|at| types.get(at));
            given.is_some_and(|given| comparable(*given, column))
        })
    }
}

/// A parameter that is not of the type it was declared with.
#[derive(Clone, Copy, Debug)]
pub struct Unfit;

fn comparable(given: PgType, column: PgType) -> bool {
    let text = |ty: PgType| matches!(ty.name, TypeName::Text | TypeName::Varchar);
    if given.array || column.array {
        return false;
    }
    (integer(given) && integer(column)) || (text(given) && text(column)) || given.name == column.name
}

fn integer(ty: PgType) -> bool {
    matches!(ty.name, TypeName::Int2 | TypeName::Int4 | TypeName::Int8)
}

/// Types whose equal values have equal bytes, whatever the value was written as.
fn plain(ty: PgType) -> bool {
    let named = matches!(
        ty.name,
        TypeName::Int2
            | TypeName::Int4
            | TypeName::Int8
            | TypeName::Text
            | TypeName::Varchar
            | TypeName::Uuid
            | TypeName::Date
            | TypeName::Timestamp
            | TypeName::Timestamptz
    );
    named && !ty.array
}

/// False for NULL, which equals nothing.
fn append(value: &ScalarValue, ty: PgType, out: &mut Vec<u8>) -> Result<bool, Unfit> {
    if value.is_null() {
        return Ok(false);
    }
    let part = match value {
        ScalarValue::Int16(Some(n)) => KeyPart::Int((*n).into()),
        ScalarValue::Int32(Some(n)) => KeyPart::Int((*n).into()),
        ScalarValue::Int64(Some(n)) => KeyPart::Int(*n),
        ScalarValue::Utf8(Some(text)) => KeyPart::Text(text),
        ScalarValue::Date32(Some(days)) => KeyPart::Int((*days).into()),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => KeyPart::Int(*micros),
        _ => return Err(Unfit),
    };
    let fits = match part {
        KeyPart::Int(_) => !matches!(ty.name, TypeName::Text | TypeName::Varchar | TypeName::Uuid),
        KeyPart::Text(_) => matches!(ty.name, TypeName::Text | TypeName::Varchar | TypeName::Uuid),
        _ => false,
    };
    if !fits {
        return Err(Unfit);
    }
    encode_part(&part, out);
    Ok(true)
}

/// A literal or parameter as a key's part; `None` for anything the general path should see.
fn key_value(value: &ast::Expr, column: PgType, zone: Zone) -> Option<KeyValue> {
    if !plain(column) {
        return None;
    }
    let ast::Expr::Value(value) = value else { return None };
    match &value.value {
        ast::Value::Placeholder(id) => {
            let number = id.strip_prefix('$')?.parse().ok().filter(|n| *n > 0)?;
            Some(KeyValue::Parameter(number, column))
        }
        ast::Value::Number(digits, _) => literal_part(Literal::Number(digits), column, zone).map(KeyValue::Constant),
        ast::Value::SingleQuotedString(text) => literal_part(Literal::Text(text), column, zone).map(KeyValue::Constant),
        _ => None,
    }
}

/// A literal as the part of a key that it is compared with; `None` where only the general path knows.
pub(super) fn literal_part(literal: Literal<'_>, column: PgType, zone: Zone) -> Option<Vec<u8>> {
    let (text, ty) = match literal {
        Literal::Number(digits) if integer(column) && digits.bytes().all(|b| b.is_ascii_digit()) => (digits, column),
        Literal::Number(_) => return None,
        Literal::Text(text) => (text, column.with_modifier(-1)),
    };
    let array = scalar_from_text(ty, text, zone).ok()?.to_array().ok()?;
    let mut part = Vec::new();
    encode_part(&key_part(&array, 0, ty).ok()?, &mut part);
    Some(part)
}

fn split<'a>(condition: &'a ast::Expr, out: &mut Vec<&'a ast::Expr>) {
    match condition {
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            split(left, out);
            split(right, out);
        }
        ast::Expr::Nested(inner) => split(inner, out),
        other => out.push(other),
    }
}

/// `column = value`, either way round.
fn equality<'a>(condition: &'a ast::Expr, alias: &str) -> Option<(String, &'a ast::Expr)> {
    let ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right } = condition else { return None };
    match (column(left, alias), column(right, alias)) {
        (Some(name), None) => Some((name, right)),
        (None, Some(name)) => Some((name, left)),
        _ => None,
    }
}

/// A column's name, bare or under the table's alias.
pub fn column(expr: &ast::Expr, alias: &str) -> Option<String> {
    match expr {
        ast::Expr::Identifier(ident) => Some(fold(ident)),
        ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [of, name] if fold(of) == alias => Some(fold(name)),
            _ => None,
        },
        _ => None,
    }
}

/// A SELECT from one table with a condition, and nothing else: the table, its condition, the items.
pub fn plain_select(query: &ast::Query) -> Option<(&ast::TableFactor, &ast::Expr, &[ast::SelectItem])> {
    let bare = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return None };
    let grouped = match &select.group_by {
        ast::GroupByExpr::Expressions(by, modifiers) => !by.is_empty() || !modifiers.is_empty(),
        ast::GroupByExpr::All(_) => true,
    };
    let plain = select.distinct.is_none()
        && select.select_modifiers.is_none()
        && select.top.is_none()
        && select.exclude.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.having.is_none()
        && select.named_window.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none()
        && !grouped;
    let [from] = select.from.as_slice() else { return None };
    if !bare || !plain || !from.joins.is_empty() {
        return None;
    }
    Some((&from.relation, select.selection.as_ref()?, &select.projection))
}
