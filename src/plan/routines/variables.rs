//! The variables of a running body: their types, values and scopes.
//!
//! Knows no statement; who runs one asks what a name stands for.

use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch, StructArray};
use datafusion::arrow::datatypes::{DataType, Field as ArrowField, Fields};
use datafusion::common::ScalarValue;

use super::kinds::Kind;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::functions::define::scalar_at;
use crate::plan::modify::{assign, assignable};
use crate::plan::{ResultColumn, diagnose};
use crate::sql::procedural::Meaning;
use crate::types::text::{null_of, scalar_from_text, text_of_scalar};
use crate::types::zone::Zone;
use crate::types::{PgType, TypeName};

/// A value and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub ty: PgType,
    pub scalar: ScalarValue,
}

impl Value {
    pub fn null(ty: PgType) -> Result<Self> {
        Ok(Self { ty, scalar: null_of(ty)? })
    }

    pub fn text(text: &str) -> Self {
        Self { ty: PgType::TEXT, scalar: ScalarValue::Utf8(Some(text.to_owned())) }
    }

    /// The fields of a row; `None` for what is none, and for a row that is NULL.
    pub fn fields(&self) -> Result<Option<Row>> {
        let ScalarValue::Struct(row) = &self.scalar else { return Ok(None) };
        if row.is_empty() || row.is_null(0) {
            return Ok(None);
        }
        let fields = row.fields().iter().zip(row.columns()).map(|(field, values)| {
            let scalar = scalar_at(values, 0).map_err(diagnose)?;
            Ok(Field { name: field.name().clone(), value: Self { ty: PgType::of_field(field), scalar } })
        });
        fields.collect::<Result<_>>().map(Some)
    }
}

/// One column of a row.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub value: Value,
}

pub type Row = Vec<Field>;

impl Field {
    pub fn null(column: &ResultColumn) -> Result<Self> {
        let ty = held_type(column.ty);
        let scalar = if ty.name == TypeName::Record { ScalarValue::Null } else { null_of(ty)? };
        Ok(Self { name: column.name.clone(), value: Value { ty, scalar } })
    }
}

/// A row as one value.
pub fn record(row: &Row) -> Result<Value> {
    let mut fields = Vec::with_capacity(row.len());
    let mut arrays = Vec::with_capacity(row.len());
    for field in row {
        let array = field.value.scalar.to_array().map_err(diagnose)?;
        let plain = field.value.ty.field(field.name.as_str(), true);
        fields.push(match array.data_type() == plain.data_type() {
            true => plain,
            false => ArrowField::new(field.name.as_str(), array.data_type().clone(), true),
        });
        arrays.push(array);
    }
    let scalar = match fields.is_empty() {
        true => ScalarValue::Struct(Arc::new(StructArray::new_empty_fields(1, None))),
        false => {
            let row = StructArray::try_new(Fields::from(fields), arrays, None);
            ScalarValue::Struct(Arc::new(row.map_err(|_| SqlError::internal("a row's values do not fit its fields"))?))
        }
    };
    Ok(Value { ty: PgType::new(TypeName::Record), scalar })
}

#[derive(Clone, Debug)]
enum Held {
    Scalar {
        value: Value,
        constant: bool,
        not_null: bool,
    },
    /// A row: of any columns, or of these. `None` until one has been assigned.
    Record {
        shape: Option<Vec<(String, PgType)>>,
        row: Option<Row>,
    },
}

#[derive(Debug, Default)]
struct Scope {
    label: Option<String>,
    names: Vec<(String, Held)>,
}

impl Scope {
    fn get(&self, name: &str) -> Option<&Held> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, held)| held)
    }

    fn set(&mut self, name: &str, held: Held) {
        self.names.retain(|(known, _)| known != name);
        self.names.push((name.to_owned(), held));
    }
}

#[derive(Debug)]
pub struct Variables {
    zone: Zone,
    /// Names of each block, the innermost last; FOUND is in the first.
    scopes: Vec<Scope>,
}

impl Variables {
    pub fn new(zone: Zone) -> Self {
        let mut variables = Self { zone, scopes: vec![Scope::default()] };
        variables.found(false);
        variables
    }

    pub fn zone(&self) -> Zone {
        self.zone
    }

    pub fn depth(&self) -> usize {
        self.scopes.len()
    }

    pub fn open(&mut self, label: Option<&str>) {
        self.scopes.push(Scope { label: label.map(str::to_owned), names: Vec::new() });
    }

    pub fn close_to(&mut self, depth: usize) {
        self.scopes.truncate(depth);
    }

    /// Sets FOUND.
    pub fn found(&mut self, found: bool) {
        let value = Value { ty: PgType::new(TypeName::Bool), scalar: ScalarValue::Boolean(Some(found)) };
        let held = Held::Scalar { value, constant: false, not_null: false };
        if let Some(outermost) = self.scopes.first_mut() {
            outermost.set("found", held);
        }
    }

    /// A value of the innermost block, which may not be assigned to.
    pub fn fix(&mut self, name: &str, value: Value) {
        self.hold(name, Held::Scalar { value, constant: true, not_null: false });
    }

    /// A text of the innermost block that cannot be assigned to.
    pub fn set_text(&mut self, name: &str, text: &str) {
        self.fix(name, Value::text(text));
    }

    /// A variable of the innermost block with its first value.
    pub fn set(&mut self, name: &str, value: Value) {
        self.hold(name, Held::Scalar { value, constant: false, not_null: false });
    }

    /// A row of the innermost block.
    pub fn set_row(&mut self, name: &str, shape: Vec<(String, PgType)>, row: Option<Row>) {
        self.hold(name, Held::Record { shape: Some(shape), row });
    }

    fn hold(&mut self, name: &str, held: Held) {
        if let Some(innermost) = self.scopes.last_mut() {
            innermost.set(name, held);
        }
    }

    pub fn declare(&mut self, name: &str, kind: &Kind, constant: bool, not_null: bool, initial: Option<Value>) -> Result<()> {
        let shape = match kind {
            Kind::Plain(ty) => {
                let scalar = match initial {
                    Some(value) => self.cast(value, *ty)?,
                    None => null_of(*ty)?,
                };
                if not_null && scalar.is_null() {
                    return Err(null_refused(name));
                }
                self.hold(name, Held::Scalar { value: Value { ty: *ty, scalar }, constant, not_null });
                return Ok(());
            }
            Kind::Rows(columns) => Some(columns.clone()),
            Kind::Record => None,
            Kind::Void | Kind::Trigger => {
                let message = format!("variable \"{name}\" has a pseudo-type");
                return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
        };
        self.hold(name, Held::Record { shape, row: None });
        match initial {
            Some(value) => self.assign(&[name.to_owned()], value),
            None => Ok(()),
        }
    }

    /// What a name leads to, and the name of a field behind it.
    fn lookup<'a>(&self, path: &'a [String]) -> Option<(&Held, Option<&'a String>)> {
        let [first, rest @ ..] = path else { return None };
        for scope in self.scopes.iter().rev() {
            if let Some(held) = scope.get(first) {
                return match rest {
                    [] => Some((held, None)),
                    [field] if matches!(held, Held::Record { .. }) => Some((held, Some(field))),
                    _ => None,
                };
            }
            if scope.label.as_ref() == Some(first)
                && let [name, rest @ ..] = rest
                && let Some(held) = scope.get(name)
            {
                return match rest {
                    [] => Some((held, None)),
                    [field] => Some((held, Some(field))),
                    _ => None,
                };
            }
        }
        None
    }

    fn lookup_mut(&mut self, path: &[String]) -> Option<&mut Held> {
        let [first, rest @ ..] = path else { return None };
        for scope in self.scopes.iter_mut().rev() {
            let label = scope.label.as_ref() == Some(first);
            let name = match rest {
                [name, ..] if label && scope.get(first).is_none() => name,
                _ => first,
            };
            if let Some((_, held)) = scope.names.iter_mut().find(|(known, _)| known == name) {
                return Some(held);
            }
        }
        None
    }

    /// What a name stands for in SQL, with the names of the values that its parameters have; `None` when it is no
    /// variable's. `number` gives a parameter to each of them.
    pub fn meaning(&self, path: &[String], mut number: impl FnMut(&[String]) -> usize) -> Result<Option<Meaning>> {
        let Some((held, field)) = self.lookup(path) else { return Ok(None) };
        match (held, field) {
            (Held::Scalar { .. }, None) => Ok(Some(Meaning::Parameter(number(path)))),
            (Held::Scalar { .. }, Some(_)) => Ok(None),
            (Held::Record { .. }, Some(_)) => {
                self.get(path)?;
                Ok(Some(Meaning::Parameter(number(path))))
            }
            (Held::Record { .. }, None) => {
                let row = self.row(path)?.unwrap_or_default();
                let fields = row.iter().map(|field| {
                    let full: Vec<String> = path.iter().chain([&field.name]).cloned().collect();
                    (field.name.clone(), number(&full))
                });
                Ok(Some(Meaning::Row(fields.collect())))
            }
        }
    }

    /// The value of a variable or a field; `None` when there is no such variable.
    pub fn get(&self, path: &[String]) -> Result<Option<Value>> {
        match self.lookup(path) {
            None | Some((Held::Scalar { .. }, Some(_))) => Ok(None),
            Some((Held::Scalar { value, .. }, None)) => Ok(Some(value.clone())),
            Some((Held::Record { .. }, None)) => match self.row(path)? {
                Some(row) => record(&row).map(Some),
                None => Ok(Some(Value { ty: PgType::new(TypeName::Record), scalar: ScalarValue::Null })),
            },
            Some((Held::Record { .. }, Some(name))) => {
                let record = &path[path.len() - 2];
                let missing =
                    || SqlError::new(SqlState::UNDEFINED_COLUMN, format!("record \"{record}\" has no field \"{name}\""));
                let row = self.row(&path[..path.len() - 1])?.ok_or_else(|| unassigned(record))?;
                row.into_iter().find(|field| field.name == *name).map(|field| Some(field.value)).ok_or_else(missing)
            }
        }
    }

    /// The type of a variable; that of none for a row.
    pub fn type_of(&self, path: &[String]) -> Option<PgType> {
        match self.lookup(path)? {
            (Held::Scalar { value, .. }, None) => Some(value.ty),
            _ => None,
        }
    }

    /// Whether the name is that of a row variable.
    pub fn is_row(&self, path: &[String]) -> bool {
        matches!(self.lookup(path), Some((Held::Record { .. }, None)))
    }

    /// The row that a variable holds, all NULL where it has columns and no row; `None` for one of no columns yet that is NULL.
    pub fn row(&self, path: &[String]) -> Result<Option<Row>> {
        match self.lookup(path) {
            Some((Held::Record { row: Some(row), .. }, None)) => Ok(Some(row.clone())),
            Some((Held::Record { row: None, shape: Some(shape) }, None)) => null_row(shape).map(Some),
            Some((Held::Record { row: None, shape: None }, None)) => Err(unassigned(path.last().map_or("", String::as_str))),
            _ => Ok(None),
        }
    }

    /// Whether a row has been assigned.
    pub fn has_row(&self, path: &[String]) -> bool {
        matches!(self.lookup(path), Some((Held::Record { row: Some(_), .. }, None)))
    }

    pub fn assign(&mut self, path: &[String], value: Value) -> Result<()> {
        let name = path.join(".");
        let unknown = || SqlError::syntax(format!("\"{name}\" is not a known variable"));
        let (held, field) = self.lookup(path).ok_or_else(unknown)?;
        let (ty, not_null) = match (held, field) {
            (Held::Record { .. }, None) => return self.assign_record(path, value),
            (Held::Record { .. }, Some(field)) => return self.assign_field(path, field, value),
            (Held::Scalar { constant: true, .. }, _) => {
                let message = format!("variable \"{name}\" is declared CONSTANT");
                return Err(SqlError::new(SqlState::ERROR_IN_ASSIGNMENT, message));
            }
            (Held::Scalar { .. }, Some(_)) => return Err(unknown()),
            (Held::Scalar { value, not_null, .. }, None) => (value.ty, *not_null),
        };
        let scalar = self.cast(value, ty)?;
        if not_null && scalar.is_null() {
            return Err(null_refused(&name));
        }
        if let Some(Held::Scalar { value, .. }) = self.lookup_mut(path) {
            value.scalar = scalar;
        }
        Ok(())
    }

    fn assign_record(&mut self, path: &[String], value: Value) -> Result<()> {
        let row = value.fields()?;
        if row.is_none() && !value.scalar.is_null() {
            let message = "cannot assign non-composite value to a record variable";
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        }
        self.put_row(path, row)
    }

    /// Gives a row variable this row, by the places of its columns.
    pub fn put_row(&mut self, path: &[String], row: Option<Row>) -> Result<()> {
        let Some((Held::Record { shape, .. }, None)) = self.lookup(path) else {
            return Err(SqlError::internal("a row was assigned to something else"));
        };
        let row = match (shape.clone(), row) {
            (Some(shape), Some(row)) => {
                let mut given = row.into_iter();
                let mut fitted = Vec::with_capacity(shape.len());
                for (name, ty) in shape {
                    let scalar = match given.next() {
                        Some(field) => self.cast(field.value, ty)?,
                        None => null_of(ty)?,
                    };
                    fitted.push(Field { name, value: Value { ty, scalar } });
                }
                Some(fitted)
            }
            (_, row) => row,
        };
        if let Some(Held::Record { row: held, .. }) = self.lookup_mut(path) {
            *held = row;
        }
        Ok(())
    }

    fn assign_field(&mut self, path: &[String], field: &str, value: Value) -> Result<()> {
        let of = &path[..path.len() - 1];
        let name = of.last().cloned().unwrap_or_default();
        let mut row = self.row(of)?.ok_or_else(|| unassigned(&name))?;
        let missing = || SqlError::new(SqlState::UNDEFINED_COLUMN, format!("record \"{name}\" has no field \"{field}\""));
        let at = row.iter().position(|known| known.name == *field).ok_or_else(missing)?;
        let ty = row[at].value.ty;
        row[at].value.scalar = self.cast(value, ty)?;
        if let Some(Held::Record { row: held, .. }) = self.lookup_mut(of) {
            *held = Some(row);
        }
        Ok(())
    }

    /// The fields of a row to these variables in turn, or all of them to one that is a row. Variables without a field
    /// become NULL. `None` is a row of NULLs.
    pub fn assign_row(&mut self, targets: &[Vec<String>], row: Row) -> Result<()> {
        if let [target] = targets
            && self.is_row(target)
        {
            // A row within the only column is the row.
            let inner = match &row[..] {
                [field] => field.value.fields()?,
                _ => None,
            };
            return self.put_row(target, Some(inner.unwrap_or(row)));
        }
        let mut fields = row.into_iter();
        for target in targets {
            let value = match fields.next() {
                Some(field) => field.value,
                None => Value::null(PgType::TEXT)?,
            };
            self.assign(target, value)?;
        }
        Ok(())
    }

    /// The value as this type has it, by the rules of an assignment, else through its text.
    pub fn cast(&self, value: Value, ty: PgType) -> Result<ScalarValue> {
        cast(value, ty, self.zone)
    }

    pub fn text(&self, value: &Value) -> Result<Option<String>> {
        text_of_scalar(value.ty, &value.scalar, self.zone)
    }
}

/// The value as this type has it, by the rules of an assignment, else through its text.
pub fn cast(value: Value, ty: PgType, zone: Zone) -> Result<ScalarValue> {
    if value.scalar.is_null() {
        return null_of(ty);
    }
    if value.ty == ty && value.scalar.data_type() == ty.arrow() {
        return Ok(value.scalar);
    }
    if value.ty.name == TypeName::Unknown || !assignable(value.ty, ty) {
        let from = if value.ty.name == TypeName::Unknown { PgType::TEXT } else { value.ty };
        let text = text_of_scalar(from, &value.scalar, zone)?.unwrap_or_default();
        return scalar_from_text(ty, &text, zone);
    }
    let array = value.scalar.to_array().map_err(diagnose)?;
    let array = assign(&array, value.ty, ty, zone)?;
    scalar_of(&array, 0)
}

fn scalar_of(array: &datafusion::arrow::array::ArrayRef, row: usize) -> Result<ScalarValue> {
    scalar_at(array, row).map_err(diagnose)
}

/// The rows of batches.
pub fn rows_of(columns: &[ResultColumn], batches: &[RecordBatch], zone: Zone) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let fields = columns.iter().zip(batch.columns()).map(|(column, array)| {
                let scalar = scalar_of(array, row)?;
                let ty = held_type(column.ty);
                let scalar = match ty == column.ty || matches!(array.data_type(), DataType::Null) {
                    true => scalar,
                    // What prints as a name is kept as one.
                    false => ScalarValue::Utf8(text_of_scalar(column.ty, &scalar, zone)?),
                };
                Ok(Field { name: column.name.clone(), value: Value { ty, scalar } })
            });
            rows.push(fields.collect::<Result<_>>()?);
        }
    }
    Ok(rows)
}

pub fn null_row(shape: &[(String, PgType)]) -> Result<Row> {
    shape.iter().map(|(name, ty)| Ok(Field { name: name.clone(), value: Value::null(*ty)? })).collect()
}

/// `regclass` and its kin leave a plan with their names: here they are texts.
fn held_type(ty: PgType) -> PgType {
    match ty.name {
        name if name.is_reg() => PgType::TEXT,
        TypeName::Unknown | TypeName::Void => PgType::TEXT,
        _ => ty,
    }
}

fn unassigned(record: &str) -> SqlError {
    let error = SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("record \"{record}\" is not assigned yet"));
    error.detail("The tuple structure of a not-yet-assigned record is indeterminate.")
}

fn null_refused(name: &str) -> SqlError {
    let message = format!("null value cannot be assigned to variable \"{name}\" declared NOT NULL");
    SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, message)
}
