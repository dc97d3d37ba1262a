//! SQL's type names, as the planner meets them in casts: PostgreSQL's types with their modifiers kept in
//! field metadata, and those that users defined.
//!
//! Refuses types that we do not have with 42704.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, ObjectName, TimezoneInfo,
};

use super::StatementContext;
use super::functions::ambient::external;
use crate::error::{Result, SqlError, SqlState};
use crate::history::Catalog;
use crate::sql::type_name::{is_unsupported, unsupported};
use crate::types::text::type_by_name;
use crate::types::{PgType, TypeName, Written};

/// Field metadata of a cast: the number of the domain that it is to.
pub const DOMAIN: &str = "pg.domain";

/// PostgreSQL's types, and those that users defined as one statement finds them.
#[derive(Debug, Default)]
pub struct PostgresTypes {
    own: Option<(Arc<Catalog>, Vec<String>)>,
}

impl PostgresTypes {
    pub fn of(ctx: &StatementContext) -> Self {
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        Self { own: Some((catalog, ctx.search_path.clone())) }
    }
}

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> datafusion::common::Result<Option<FieldRef>> {
        let mut domain = None;
        let ty = pg_type_with(sql_type, &mut |schema, name| {
            let (catalog, path) = self.own.as_ref()?;
            let found = catalog.type_named(path, schema, name)?;
            domain = found.def.domain().map(|_| found.def.id);
            Some(if found.array { found.def.ty().array_of() } else { found.def.ty() })
        });
        let ty = ty.map_err(external)?;
        let mut field = ty.field("", true);
        if let Some(domain) = domain {
            if ty.array {
                let refused = SqlError::unsupported("arrays of domains are not supported", "Use an array of the base type.");
                return Err(external(refused));
            }
            let mut metadata = field.metadata().clone();
            metadata.insert(DOMAIN.to_owned(), domain.to_string());
            field.set_metadata(metadata);
        }
        Ok(Some(FieldRef::new(field)))
    }
}

/// A time type with so many digits of seconds.
fn timed(name: TypeName, precision: Option<u64>) -> PgType {
    let digits = precision.map(|p| i32::try_from(p.min(6)).unwrap_or(6));
    digits.map_or(PgType::new(name), |p| PgType::new(name).with_precision(p))
}

/// A type of a user's by its schema and name.
type Own<'a> = &'a mut dyn FnMut(Option<&str>, &str) -> Option<PgType>;

/// The type that SQL names, of PostgreSQL's own. 42704 when there is none of that name.
pub fn pg_type(sql_type: &SqlType) -> Result<PgType> {
    pg_type_with(sql_type, &mut |_, _| None)
}

/// The type that SQL names. 42704 when there is none of that name.
pub fn pg_type_with(sql_type: &SqlType, own: Own<'_>) -> Result<PgType> {
    let plain = |name| Ok(PgType::new(name));
    match sql_type {
        SqlType::Boolean | SqlType::Bool => plain(TypeName::Bool),
        SqlType::SmallInt(_) | SqlType::Int2(_) => plain(TypeName::Int2),
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => plain(TypeName::Int4),
        SqlType::BigInt(_) | SqlType::Int8(_) => plain(TypeName::Int8),
        SqlType::Real | SqlType::Float4 => plain(TypeName::Float4),
        SqlType::DoublePrecision | SqlType::Double(_) | SqlType::Float8 => plain(TypeName::Float8),
        SqlType::Float(info) => float(info),
        SqlType::Numeric(info) | SqlType::Decimal(info) | SqlType::Dec(info) => numeric(info),
        SqlType::Text => plain(TypeName::Text),
        SqlType::Varchar(length) | SqlType::CharacterVarying(length) | SqlType::CharVarying(length) => {
            Ok(sized(TypeName::Varchar, character_length(length.as_ref())?))
        }
        SqlType::Char(length) | SqlType::Character(length) => {
            Ok(sized(TypeName::Bpchar, character_length(length.as_ref())?.or(Some(1))))
        }
        SqlType::Bytea => plain(TypeName::Bytea),
        SqlType::Date => plain(TypeName::Date),
        SqlType::Time(p, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Ok(timed(TypeName::Time, *p)),
        SqlType::Timestamp(p, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Ok(timed(TypeName::Timestamp, *p)),
        SqlType::Timestamp(p, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => Ok(timed(TypeName::Timestamptz, *p)),
        SqlType::Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => plain(TypeName::Written(Written::Timetz)),
        SqlType::Bit(length) => bits(Written::Bit, length.or(Some(1))),
        SqlType::BitVarying(length) | SqlType::VarBit(length) => bits(Written::Varbit, *length),
        SqlType::Interval { precision, .. } => Ok(timed(TypeName::Interval, *precision)),
        SqlType::Uuid => plain(TypeName::Uuid),
        SqlType::JSON => plain(TypeName::Json),
        SqlType::JSONB => plain(TypeName::Jsonb),
        SqlType::Regclass => plain(TypeName::Regclass),
        SqlType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => {
            // How many dimensions a type says is not held against its values.
            Ok(pg_type_with(element, own)?.array_of())
        }
        SqlType::Custom(name, arguments) => custom(name, arguments, own),
        // A name that other systems have a type of.
        other => {
            let name = other.to_string().to_lowercase();
            match type_by_name(&name) {
                Some(ty) => Ok(ty),
                None => own(None, &name).ok_or_else(|| no_such_type(&name)),
            }
        }
    }
}

/// A string of bits of this length.
fn bits(kind: Written, length: Option<u64>) -> Result<PgType> {
    let ty = PgType::new(TypeName::Written(kind));
    let Some(length) = length else { return Ok(ty) };
    let bad = |what: &str| {
        let name = if kind == Written::Bit { "bit" } else { "varbit" };
        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("length for type {name} {what}"))
    };
    match i32::try_from(length) {
        Ok(0) => Err(bad("must be at least 1")),
        Ok(n) if n <= 83_886_080 => Ok(ty.with_modifier(n)),
        _ => Err(bad("cannot exceed 83886080")),
    }
}

fn no_such_type(name: &str) -> SqlError {
    if is_unsupported(name) {
        return unsupported(name);
    }
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

fn custom(name: &ObjectName, arguments: &[String], own: Own<'_>) -> Result<PgType> {
    let mut parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(super::expand::fold).collect();
    let last = parts.pop().unwrap_or_default();
    let schema = parts.pop();
    if schema.as_deref().is_some_and(|schema| !matches!(schema, "pg_catalog" | "information_schema")) {
        let shown = schema.as_deref().map_or_else(|| last.clone(), |schema| format!("{schema}.{last}"));
        return own(schema.as_deref(), &last).ok_or_else(|| no_such_type(&shown));
    }
    let lower = name.to_string().replace('"', "").to_lowercase();
    let bare = lower.strip_prefix("pg_catalog.").unwrap_or(&lower);
    if let Some(domain) = bare.strip_prefix("information_schema.") {
        return standard_domain(domain).ok_or_else(|| no_such_type(bare));
    }
    // Of any length, as a literal is.
    if name.to_string() == "\"bit\"" {
        return Ok(PgType::new(TypeName::Written(Written::Bit)));
    }
    if bare == "char" {
        return Ok(PgType::new(TypeName::Char));
    }
    let Some(ty) = type_by_name(bare) else {
        let found = if schema.is_none() { own(None, &last) } else { None };
        return found.ok_or_else(|| no_such_type(if schema.is_none() { &last } else { bare }));
    };
    match (ty.name, arguments) {
        (TypeName::Bpchar | TypeName::Varchar, [length]) => {
            let length = length.parse().map_err(|_| SqlError::syntax("invalid type modifier"))?;
            Ok(sized(ty.name, Some(length)))
        }
        _ => Ok(ty),
    }
}

/// Domains of information_schema by what they are made of.
fn standard_domain(name: &str) -> Option<PgType> {
    Some(match name {
        "cardinal_number" => PgType::INT4,
        "character_data" => PgType::new(TypeName::Varchar),
        "sql_identifier" => PgType::new(TypeName::Name),
        "time_stamp" => PgType::TIMESTAMPTZ,
        "yes_or_no" => PgType::new(TypeName::Varchar).with_modifier(7),
        _ => return None,
    })
}

fn sized(name: TypeName, length: Option<i32>) -> PgType {
    PgType::new(name).with_modifier(length.map_or(-1, |n| n.saturating_add(4)))
}

fn character_length(length: Option<&CharacterLength>) -> Result<Option<i32>> {
    let Some(CharacterLength::IntegerLength { length, .. }) = length else { return Ok(None) };
    let bad = |message: &str| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    match i32::try_from(*length) {
        Ok(0) => Err(bad("length for type character varying must be at least 1")),
        Ok(n) if n <= 10_485_760 => Ok(Some(n)),
        _ => Err(bad("length for type character varying cannot exceed 10485760")),
    }
}

fn float(info: &ExactNumberInfo) -> Result<PgType> {
    match info {
        ExactNumberInfo::None => Ok(PgType::new(TypeName::Float8)),
        ExactNumberInfo::Precision(1..=24) => Ok(PgType::new(TypeName::Float4)),
        ExactNumberInfo::Precision(25..=53) => Ok(PgType::new(TypeName::Float8)),
        _ => Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "precision for type float must be between 1 and 53 bits")),
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<PgType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(PgType::new(TypeName::Numeric)),
        ExactNumberInfo::Precision(p) => (*p, 0),
        ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
    };
    if !(1..=1000).contains(&precision) {
        let message = format!("NUMERIC precision {precision} must be between 1 and 1000");
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    if !(-1000..=1000).contains(&scale) {
        let message = format!("NUMERIC scale {scale} must be between -1000 and 1000");
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(PgType::numeric(precision as i32, scale as i32))
}
