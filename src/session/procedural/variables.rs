//! The variables of a running block: their types, values and scopes.
//!
//! Knows no statement; who runs one asks what a name stands for.

use std::collections::HashMap;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;

use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::plan::{ResultColumn, diagnose};
use crate::sql::procedural::Variable;
use crate::types::text::{null_of, scalar_from_text, text_of_scalar};
use crate::types::zone::Zone;
use crate::types::{PgType, TypeName};

/// A value and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub ty: PgType,
    pub scalar: ScalarValue,
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
        Ok(Self { name: column.name.clone(), value: Value { ty, scalar: null_of(ty)? } })
    }
}

#[derive(Clone, Debug)]
enum Held {
    Scalar {
        value: Value,
        constant: bool,
        not_null: bool,
    },
    /// `None` until a row has been assigned.
    Record(Option<Row>),
}

#[derive(Debug)]
pub struct Variables {
    zone: Zone,
    /// Names of each block, the innermost last; FOUND is in the first.
    scopes: Vec<HashMap<String, Held>>,
}

impl Variables {
    pub fn new(zone: Zone) -> Self {
        let mut variables = Self { zone, scopes: vec![HashMap::new()] };
        variables.found(false);
        variables
    }

    pub fn depth(&self) -> usize {
        self.scopes.len()
    }

    pub fn open(&mut self) {
        self.scopes.push(HashMap::new());
    }

    pub fn close_to(&mut self, depth: usize) {
        self.scopes.truncate(depth);
    }

    /// Sets FOUND.
    pub fn found(&mut self, found: bool) {
        let value = Value { ty: PgType::new(TypeName::Bool), scalar: ScalarValue::Boolean(Some(found)) };
        let held = Held::Scalar { value, constant: false, not_null: false };
        if let Some(outermost) = self.scopes.first_mut() {
            outermost.insert("found".to_owned(), held);
        }
    }

    /// A text of the innermost block that cannot be assigned to.
    pub fn set_text(&mut self, name: &str, text: &str) {
        let value = Value { ty: PgType::TEXT, scalar: ScalarValue::Utf8(Some(text.to_owned())) };
        if let Some(innermost) = self.scopes.last_mut() {
            innermost.insert(name.to_owned(), Held::Scalar { value, constant: true, not_null: false });
        }
    }

    pub fn declare(&mut self, variable: &Variable, initial: Option<Value>) -> Result<()> {
        let held = match variable.ty {
            None if initial.is_some() => {
                return Err(SqlError::unsupported(
                    "a RECORD with an initial value in DO is not supported",
                    "Assign it with SELECT … INTO.",
                ));
            }
            None => Held::Record(None),
            Some(ty) => {
                let scalar = match initial {
                    Some(value) => self.cast(value, ty)?,
                    None => null_of(ty)?,
                };
                if variable.not_null && scalar.is_null() {
                    return Err(null_refused(&variable.name));
                }
                let value = Value { ty, scalar };
                Held::Scalar { value, constant: variable.constant, not_null: variable.not_null }
            }
        };
        if let Some(innermost) = self.scopes.last_mut() {
            innermost.insert(variable.name.clone(), held);
        }
        Ok(())
    }

    /// What a name stands for; `None` when it is no variable's.
    pub fn get(&self, path: &[String]) -> Result<Option<Value>> {
        let (name, field) = match path {
            [name] => (name, None),
            [name, field] => (name, Some(field)),
            _ => return Ok(None),
        };
        match (self.held(name), field) {
            (None, _) | (Some(Held::Scalar { .. }), Some(_)) => Ok(None),
            (Some(Held::Scalar { value, .. }), None) => Ok(Some(value.clone())),
            (Some(Held::Record(_)), None) => Err(SqlError::unsupported(
                format!("the whole record \"{name}\" in an expression of DO is not supported"),
                "Name its fields.",
            )),
            (Some(Held::Record(None)), Some(_)) => {
                let error =
                    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("record \"{name}\" is not assigned yet"));
                Err(error.detail("The tuple structure of a not-yet-assigned record is indeterminate."))
            }
            (Some(Held::Record(Some(row))), Some(field)) => {
                let found = row.iter().find(|known| known.name == *field);
                let message = || format!("record \"{name}\" has no field \"{field}\"");
                let value = found.ok_or_else(|| SqlError::new(SqlState::UNDEFINED_COLUMN, message()))?;
                Ok(Some(value.value.clone()))
            }
        }
    }

    fn held(&self, name: &str) -> Option<&Held> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    pub fn assign(&mut self, name: &str, value: Value) -> Result<()> {
        let (ty, not_null) = match self.held(name) {
            None => return Err(SqlError::syntax(format!("\"{name}\" is not a known variable"))),
            Some(Held::Record(_)) => {
                let message = "cannot assign non-composite value to a record variable";
                return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
            }
            Some(Held::Scalar { constant: true, .. }) => {
                let message = format!("variable \"{name}\" is declared CONSTANT");
                return Err(SqlError::new(SqlState::ERROR_IN_ASSIGNMENT, message));
            }
            Some(Held::Scalar { value, not_null, .. }) => (value.ty, *not_null),
        };
        let scalar = self.cast(value, ty)?;
        if not_null && scalar.is_null() {
            return Err(null_refused(name));
        }
        if let Some(Held::Scalar { value, .. }) = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name)) {
            value.scalar = scalar;
        }
        Ok(())
    }

    /// The fields of a row to these variables in turn, or all of them to one record. Variables without a field become NULL.
    pub fn assign_row(&mut self, names: &[String], row: Row) -> Result<()> {
        if let [name] = names
            && let Some(Held::Record(record)) = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name))
        {
            *record = Some(row);
            return Ok(());
        }
        let mut fields = row.into_iter();
        for name in names {
            let null = || Value { ty: PgType::TEXT, scalar: ScalarValue::Utf8(None) };
            self.assign(name, fields.next().map_or_else(null, |field| field.value))?;
        }
        Ok(())
    }

    /// The value as this type has it, by the rules of an assignment.
    pub fn cast(&self, value: Value, ty: PgType) -> Result<ScalarValue> {
        if value.scalar.is_null() {
            return null_of(ty);
        }
        if value.ty == ty {
            return Ok(value.scalar);
        }
        if matches!(ty.name, TypeName::Varchar | TypeName::Bpchar) {
            let text = self.text(&value)?.unwrap_or_default();
            return scalar_from_text(ty, &text, self.zone);
        }
        let array = value.scalar.to_array().map_err(diagnose)?;
        let cast = cast_array(&array, value.ty, ty, self.zone)?;
        ScalarValue::try_from_array(&cast, 0).map_err(diagnose)
    }

    pub fn text(&self, value: &Value) -> Result<Option<String>> {
        text_of_scalar(value.ty, &value.scalar, self.zone)
    }

    pub fn rows(&self, columns: &[ResultColumn], batches: &[RecordBatch]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let fields = columns.iter().zip(batch.columns()).map(|(column, array)| {
                    let scalar = ScalarValue::try_from_array(array, row).map_err(diagnose)?;
                    let ty = held_type(column.ty);
                    let scalar = match ty == column.ty {
                        true => scalar,
                        // What prints as a name is kept as one.
                        false => ScalarValue::Utf8(text_of_scalar(column.ty, &scalar, self.zone)?),
                    };
                    Ok(Field { name: column.name.clone(), value: Value { ty, scalar } })
                });
                rows.push(fields.collect::<Result<_>>()?);
            }
        }
        Ok(rows)
    }
}

/// `regclass` and its kin leave a plan with their names: here they are texts.
fn held_type(ty: PgType) -> PgType {
    match ty.name {
        name if name.is_reg() => PgType::TEXT,
        TypeName::Unknown | TypeName::Void => PgType::TEXT,
        _ => ty,
    }
}

fn null_refused(name: &str) -> SqlError {
    let message = format!("null value cannot be assigned to variable \"{name}\" declared NOT NULL");
    SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, message)
}
