//! A routine ready to run: its types as they are now, its body parsed, and a call of it from arguments to rows.

use std::sync::Arc;

use datafusion::arrow::array::StructArray;
use datafusion::arrow::datatypes::{DataType, Field as ArrowField, Fields};
use datafusion::common::ScalarValue;

use super::host::{Host, Outcome};
use super::interpret::{Conflicts, Interpreter, Learnt};
use super::kinds::{Kind, Names};
use super::variables::{Field, Row, Value, cast};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{BodyForm, Language, RoutineDef};
use crate::sql::procedural::{CodeBlock, Returning, routine_code};
use crate::sql::{Parsed, Statement};
use crate::types::text::null_of;
use crate::types::{ArgumentMode, PgType, Zone};

/// What a call gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub columns: Vec<(String, Kind)>,
    /// Whether a value of it is a row of the columns; else it is that of the only one.
    pub row: bool,
    pub set: bool,
}

#[derive(Debug)]
enum Code {
    Block(CodeBlock),
    Statements(Vec<Parsed>),
}

#[derive(Debug)]
pub struct Routine {
    pub def: Arc<RoutineDef>,
    pub inputs: Vec<(Option<String>, Kind)>,
    pub shape: Shape,
    /// OUT, INOUT and TABLE arguments, which are variables of the body.
    outputs: Vec<(String, Kind, ArgumentMode)>,
    code: Code,
}

/// The shape of what a definition returns; `None` for trigger functions. 0A000 for a record that nothing tells the columns of.
pub fn shape_of(def: &RoutineDef, names: Names<'_>) -> Result<Option<Shape>> {
    let named = |at: usize, name: &Option<String>| name.clone().unwrap_or_else(|| format!("column{}", at + 1));
    let mut outputs = Vec::new();
    for (at, argument) in def.outputs().enumerate() {
        outputs.push((named(at, &argument.name), names.kind(argument.ty)?));
    }
    let alone = || vec![(def.name.name.clone(), Kind::Plain(PgType::new(crate::types::TypeName::Void)))];
    let (columns, row) = match names.kind(def.returns)? {
        Kind::Trigger => return Ok(None),
        Kind::Void if def.procedure => (outputs, true),
        Kind::Void => (alone(), false),
        _ if outputs.len() > 1 || def.procedure => (outputs, true),
        returned => match (outputs.pop(), returned) {
            (Some((name, Kind::Plain(ty))), _) => (vec![(name, Kind::Plain(ty))], false),
            (Some((_, Kind::Rows(columns))), _) | (None, Kind::Rows(columns)) => {
                (columns.into_iter().map(|(name, ty)| (name, Kind::Plain(ty))).collect(), true)
            }
            (None, Kind::Plain(ty)) => (vec![(def.name.name.clone(), Kind::Plain(ty))], false),
            _ => return Err(open_record(&def.name.name)),
        },
    };
    Ok(Some(Shape { columns, row, set: def.set }))
}

fn open_record(name: &str) -> SqlError {
    SqlError::unsupported(
        format!("function {name} returns a record of unknown columns, which is not supported"),
        "Say the columns with OUT parameters or RETURNS TABLE.",
    )
}

impl Shape {
    pub fn is_void(&self) -> bool {
        matches!(&self.columns[..], [(_, Kind::Plain(ty))] if ty.name == crate::types::TypeName::Void)
    }

    /// The Arrow field of one row of it.
    pub fn value_field(&self, name: &str) -> ArrowField {
        match (&self.columns[..], self.row) {
            ([(_, kind)], false) => field_of(kind, name),
            _ => self.row_field(name),
        }
    }

    /// The Arrow field of its columns together.
    pub fn row_field(&self, name: &str) -> ArrowField {
        let fields: Vec<ArrowField> = self.columns.iter().map(|(name, kind)| field_of(kind, name)).collect();
        ArrowField::new(name, DataType::Struct(Fields::from(fields)), true)
    }

    fn fits(&self, width: usize) -> bool {
        self.columns.len() == width
    }
}

/// The Arrow field of values of a kind.
pub fn field_of(kind: &Kind, name: &str) -> ArrowField {
    match kind {
        Kind::Plain(ty) => ty.field(name, true),
        Kind::Rows(columns) => {
            let fields: Vec<ArrowField> = columns.iter().map(|(name, ty)| ty.field(name.as_str(), true)).collect();
            ArrowField::new(name, DataType::Struct(Fields::from(fields)), true)
        }
        Kind::Record | Kind::Void | Kind::Trigger => PgType::TEXT.field(name, true),
    }
}

/// A value as its kind has it.
fn fitted(value: Value, kind: &Kind, zone: Zone) -> Result<ScalarValue> {
    match kind {
        Kind::Plain(ty) => cast(value, *ty, zone),
        Kind::Rows(columns) => {
            let arrow = field_of(kind, "").data_type().clone();
            let null = || ScalarValue::try_from(&arrow).map_err(|_| SqlError::internal("no NULL of a row"));
            let Some(row) = value.fields()? else { return null() };
            let mut values = row.into_iter();
            let mut scalars = Vec::with_capacity(columns.len());
            for (_, ty) in columns {
                scalars.push(match values.next() {
                    Some(field) => cast(field.value, *ty, zone)?,
                    None => null_of(*ty)?,
                });
            }
            row_scalar(&arrow, &scalars)
        }
        Kind::Record | Kind::Void | Kind::Trigger => Err(SqlError::internal("a value of no type")),
    }
}

/// A row from its values.
pub fn row_scalar(arrow: &DataType, values: &[ScalarValue]) -> Result<ScalarValue> {
    let DataType::Struct(fields) = arrow else { return Err(SqlError::internal("a row that is none")) };
    let arrays = values.iter().map(ScalarValue::to_array).collect::<std::result::Result<Vec<_>, _>>();
    let arrays = arrays.map_err(|_| SqlError::internal("a value without an array form"))?;
    let row = match fields.is_empty() {
        true => StructArray::new_empty_fields(1, None),
        false => StructArray::try_new(fields.clone(), arrays, None)
            .map_err(|e| SqlError::internal(format!("values do not fit the row of a function: {e}")))?,
    };
    Ok(ScalarValue::Struct(Arc::new(row)))
}

impl Routine {
    /// 42601 and its like for a body that cannot be read, 0A000 for one that cannot be run.
    pub fn new(def: Arc<RoutineDef>, names: Names<'_>) -> Result<Self> {
        let Some(shape) = shape_of(&def, names)? else {
            let message = "trigger functions can only be called as triggers";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        };
        let mut inputs = Vec::new();
        for argument in def.inputs() {
            inputs.push((argument.name.clone(), names.kind(argument.ty)?));
        }
        let mut outputs = Vec::new();
        for (at, argument) in def.outputs().enumerate() {
            let name = argument.name.clone().unwrap_or_else(|| format!("column{}", at + 1));
            outputs.push((name, names.kind(argument.ty)?, argument.mode));
        }
        let code = match def.language {
            Language::Plpgsql => Code::Block(routine_code(&def.body, returning(&def, &shape))?),
            Language::Sql => Code::Statements(statements(&def)?),
        };
        Ok(Self { def, inputs, shape, outputs, code })
    }

    /// Runs it with these arguments, one for each of `inputs`; rows are in the columns of `shape`.
    pub async fn call(
        &self,
        host: &mut dyn Host,
        learnt: &mut Learnt,
        arguments: Vec<ScalarValue>,
    ) -> Result<Vec<Vec<ScalarValue>>> {
        let zone = host.zone()?;
        let conflicts = match self.code {
            Code::Block(_) => Conflicts::Refused,
            Code::Statements(_) => Conflicts::Column,
        };
        let mut interpreter = Interpreter::new(host, learnt, conflicts)?;
        interpreter.variables.open(Some(&self.def.name.name));
        for (at, ((name, kind), scalar)) in self.inputs.iter().zip(arguments).enumerate() {
            let Kind::Plain(ty) = kind else { return Err(SqlError::internal("an argument that is no value")) };
            let value = Value { ty: *ty, scalar };
            interpreter.variables.set(&format!("${}", at + 1), value.clone());
            if let Some(name) = name {
                interpreter.variables.set(name, value);
            }
        }
        for (name, kind, mode) in &self.outputs {
            if *mode != ArgumentMode::InOut {
                interpreter.variables.declare(name, kind, false, false, None)?;
            }
        }
        interpreter.outputs = self.outputs.iter().map(|(name, ..)| name.clone()).collect();
        match &self.code {
            Code::Block(block) => {
                let returned = interpreter.body(block).await?;
                self.block_result(interpreter, returned, zone)
            }
            Code::Statements(statements) => {
                let mut last = Outcome::default();
                for statement in statements {
                    last = interpreter.run(statement).await?;
                }
                self.query_result(last, zone)
            }
        }
    }

    /// Whether the statements of a body in SQL can be planned and give what the function returns. 42P13.
    pub async fn check(&self, host: &mut dyn Host) -> Result<()> {
        let Code::Statements(statements) = &self.code else { return Ok(()) };
        let mut learnt = Learnt::default();
        let mut interpreter = Interpreter::new(host, &mut learnt, Conflicts::Column)?;
        interpreter.variables.open(Some(&self.def.name.name));
        for (at, (name, kind)) in self.inputs.iter().enumerate() {
            let Kind::Plain(ty) = kind else { return Err(SqlError::internal("an argument that is no value")) };
            interpreter.variables.set(&format!("${}", at + 1), Value::null(*ty)?);
            if let Some(name) = name {
                interpreter.variables.set(name, Value::null(*ty)?);
            }
        }
        let mut last = None;
        for statement in statements {
            last = match statement.statement {
                Statement::Call(_) | Statement::Ddl(_) | Statement::Set(_) => None,
                _ => interpreter.check(statement).await?,
            };
        }
        if self.shape.is_void() || (self.def.procedure && self.shape.columns.is_empty()) {
            return Ok(());
        }
        self.check_result(last)
    }

    fn check_result(&self, last: Option<Vec<PgType>>) -> Result<()> {
        let declared = match (&self.shape.columns[..], self.shape.row) {
            ([(_, Kind::Plain(ty))], false) => ty.with_modifier(-1).sql_name(),
            _ => "record".to_owned(),
        };
        let mismatch = |detail: String| {
            let message = format!("return type mismatch in function declared to return {declared}");
            Err(SqlError::new(SqlState::INVALID_FUNCTION_DEFINITION, message).detail(detail))
        };
        let Some(types) = last else {
            return mismatch("Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.".to_owned());
        };
        let record = |ty: &PgType| matches!(ty.name, crate::types::TypeName::Record | crate::types::TypeName::Composite(_));
        if self.shape.row && types.len() == 1 && record(&types[0]) {
            return Ok(());
        }
        if !self.shape.row && types.len() != 1 {
            return mismatch("Final statement must return exactly one column.".to_owned());
        }
        if types.len() != self.shape.columns.len() {
            let many = if types.len() < self.shape.columns.len() { "few" } else { "many" };
            return mismatch(format!("Final statement returns too {many} columns."));
        }
        for (at, (ty, (_, kind))) in types.iter().zip(&self.shape.columns).enumerate() {
            let Kind::Plain(wanted) = kind else { continue };
            let text = wanted.name == crate::types::TypeName::Text || ty.name == crate::types::TypeName::Unknown;
            if text || crate::plan::modify::assignable(*ty, *wanted) {
                continue;
            }
            let (ty, wanted) = (ty.with_modifier(-1).sql_name(), wanted.with_modifier(-1).sql_name());
            return mismatch(match self.shape.row {
                false => format!("Actual return type is {ty}."),
                true => format!("Final statement returns {ty} instead of {wanted} at column {}.", at + 1),
            });
        }
        Ok(())
    }

    fn block_result(&self, interpreter: Interpreter<'_>, returned: bool, zone: Zone) -> Result<Vec<Vec<ScalarValue>>> {
        if self.shape.set {
            return interpreter.results.into_iter().map(|row| self.fit(row, zone)).collect();
        }
        if self.shape.is_void() {
            return Ok(vec![vec![ScalarValue::Null]]);
        }
        if !self.outputs.is_empty() || self.def.procedure {
            let mut row: Row = Vec::with_capacity(self.outputs.len());
            for (name, ..) in &self.outputs {
                let path = std::slice::from_ref(name);
                let value = match interpreter.variables.is_row(path) && !interpreter.variables.has_row(path) {
                    true => Value { ty: PgType::new(crate::types::TypeName::Record), scalar: ScalarValue::Null },
                    false => interpreter.variables.get(path)?.ok_or_else(|| SqlError::internal("a parameter has gone"))?,
                };
                row.push(Field { name: name.clone(), value });
            }
            // One OUT parameter that is a row is the row.
            if let ([field], [(_, Kind::Rows(_), _)]) = (&row[..], &self.outputs[..]) {
                row = match field.value.fields()? {
                    Some(fields) => fields,
                    None => return self.nulls(),
                };
            }
            return self.fit(row, zone).map(|row| vec![row]);
        }
        if !returned {
            let message = "control reached end of function without RETURN";
            return Err(SqlError::new(SqlState::FUNCTION_EXECUTED_NO_RETURN_STATEMENT, message));
        }
        let Some(value) = interpreter.returned else { return self.nulls() };
        match value.fields()? {
            Some(row) if self.shape.row => self.fit(row, zone).map(|row| vec![row]),
            None if self.shape.row && value.scalar.is_null() => Ok(Vec::new()),
            None if self.shape.row => {
                let message = "cannot return non-composite value from function returning composite type";
                Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message))
            }
            _ => self.fit(vec![Field { name: String::new(), value }], zone).map(|row| vec![row]),
        }
    }

    fn query_result(&self, last: Outcome, zone: Zone) -> Result<Vec<Vec<ScalarValue>>> {
        if self.shape.is_void() {
            return Ok(if self.shape.set { Vec::new() } else { vec![vec![ScalarValue::Null]] });
        }
        let mut rows = last.rows.unwrap_or_default();
        if !self.shape.set {
            rows.truncate(1);
            if rows.is_empty() {
                return if self.shape.row { Ok(Vec::new()) } else { self.nulls() };
            }
        }
        rows.into_iter().map(|row| self.fit(row, zone)).collect()
    }

    fn nulls(&self) -> Result<Vec<Vec<ScalarValue>>> {
        let null = |(_, kind): &(String, Kind)| {
            ScalarValue::try_from(field_of(kind, "").data_type()).map_err(|_| SqlError::internal("no NULL of a type"))
        };
        Ok(vec![self.shape.columns.iter().map(null).collect::<Result<_>>()?])
    }

    /// A row in the columns of the shape; a row within its only column is the row. 42804 when it has not as many.
    fn fit(&self, row: Row, zone: Zone) -> Result<Vec<ScalarValue>> {
        let inner = match &row[..] {
            [field] if self.shape.row => field.value.fields()?,
            _ => None,
        };
        let row = match inner {
            Some(inner) if self.shape.fits(inner.len()) && !matches!(self.shape.columns[..], [(_, Kind::Rows(_))]) => inner,
            _ => row,
        };
        if !self.shape.fits(row.len()) {
            let message = match self.def.language {
                Language::Sql => {
                    format!("return type mismatch in function declared to return {} columns", self.shape.columns.len())
                }
                Language::Plpgsql if self.shape.set => "structure of query does not match function result type".to_owned(),
                Language::Plpgsql => "returned record type does not match expected record type".to_owned(),
            };
            let detail = format!(
                "Number of returned columns ({}) does not match expected column count ({}).",
                row.len(),
                self.shape.columns.len()
            );
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message).detail(detail));
        }
        row.into_iter().zip(&self.shape.columns).map(|(field, (_, kind))| fitted(field.value, kind, zone)).collect()
    }
}

/// What RETURN may say in the body.
pub fn returning(def: &RoutineDef, shape: &Shape) -> Returning {
    let outputs = def.outputs().next().is_some();
    match (shape.set, outputs) {
        (true, true) => Returning::ParameterRows,
        (true, false) => Returning::Rows,
        _ if def.procedure || shape.is_void() => Returning::Nothing,
        (false, true) => Returning::Parameters,
        (false, false) => Returning::Value,
    }
}

/// The statements of a body in SQL. 0A000 for those that no function may have.
pub fn statements(def: &RoutineDef) -> Result<Vec<Parsed>> {
    let parsed = crate::sql::parse(&def.body).map_err(|mut error| {
        error.fields_mut().position = None;
        error
    })?;
    for statement in &parsed {
        crate::sql::procedural::may_stand_in_a_block(&statement.statement)?;
        if let Statement::Do(_) = statement.statement {
            return Err(SqlError::unsupported("DO in a function is not supported", "Write its statements into the function."));
        }
    }
    if def.form == BodyForm::Return && parsed.len() != 1 {
        return Err(SqlError::syntax("RETURN takes one expression"));
    }
    Ok(parsed)
}
