//! PostgreSQL's type names, in all their spellings, to the types there are.
//!
//! A name PostgreSQL knows and we do not is 0A000; any other may be that of a type that a user defined, which only
//! those can know who have a catalogue.

use datafusion::sql::sqlparser::ast::{self, ArrayElemTypeDef, DataType};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use super::cursor::{Cursor, fold};
use super::statement::{Name, OwnType};
use crate::error::{Result, SqlError, SqlState};
use crate::types::{PgType, TypeName, Written};

/// A column's type as written: serial types are an integer with a sequence of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnType {
    /// For a type of a user's only whether it is an array.
    pub ty: PgType,
    pub serial: bool,
    /// Not one of PostgreSQL's types: the name of one that a user may have defined.
    pub own: Option<OwnType>,
}

/// Types of PostgreSQL and of its usual extensions that have no counterpart here.
const KNOWN_UNSUPPORTED: &[&str] = &[
    "citext",
    "cstring",
    "datemultirange",
    "geography",
    "geometry",
    "hstore",
    "int4multirange",
    "int8multirange",
    "internal",
    "jsonpath",
    "ltree",
    "nummultirange",
    "pg_snapshot",
    "record",
    "refcursor",
    "regcollation",
    "regconfig",
    "regdictionary",
    "tid",
    "trigger",
    "tsmultirange",
    "tsquery",
    "tstzmultirange",
    "tsvector",
    "txid_snapshot",
    "vector",
    "xid8",
    "cid",
    "bpchar_pattern",
    "anyarray",
    "anyelement",
];

/// Reads a type name where a column's type stands.
pub fn column_type(cursor: &mut Cursor<'_>) -> Result<ColumnType> {
    let position = cursor.position();
    read(cursor).map_err(|e| e.at(position))
}

/// Reads a type name where serial types are none.
pub fn type_name(cursor: &mut Cursor<'_>) -> Result<ColumnType> {
    let position = cursor.position();
    let read = column_type(cursor)?;
    match read.serial {
        false => Ok(read),
        true => Err(unknown(match read.ty.name {
            TypeName::Int2 => "smallserial",
            TypeName::Int8 => "bigserial",
            _ => "serial",
        })
        .at(position)),
    }
}

/// Reads the name of one of PostgreSQL's types; 42704 for any other.
pub fn plain_type_name(cursor: &mut Cursor<'_>) -> Result<PgType> {
    let read = type_name(cursor)?;
    match read.own {
        None => Ok(read.ty),
        Some(own) => Err(unknown(&own.name.to_string()).at(own.position)),
    }
}

fn read(cursor: &mut Cursor<'_>) -> Result<ColumnType> {
    let start = cursor.position();
    let mut read = scalar(cursor)?;
    let dimensions = array_dimensions(cursor)?;
    if dimensions > 0 {
        let array = PgType { array: true, ..read.ty };
        if read.serial {
            return Err(SqlError::unsupported("array of serial is not implemented", "Use an integer array.").at(start));
        }
        read.ty = array;
    }
    Ok(read)
}

fn array_dimensions(cursor: &mut Cursor<'_>) -> Result<usize> {
    let mut dimensions = 0;
    if cursor.accept("ARRAY") {
        dimensions = 1;
        if cursor.accept_token(&Token::LBracket) {
            cursor.integer()?;
            cursor.expect_token(&Token::RBracket)?;
        }
        return Ok(dimensions);
    }
    while cursor.accept_token(&Token::LBracket) {
        dimensions += 1;
        if !cursor.sees_token(&Token::RBracket) {
            // PostgreSQL reads a size and does not hold anyone to it.
            cursor.integer()?;
        }
        cursor.expect_token(&Token::RBracket)?;
    }
    Ok(dimensions)
}

fn scalar(cursor: &mut Cursor<'_>) -> Result<ColumnType> {
    let position = cursor.position();
    let (schema, name, quoted) = qualified_word(cursor)?;
    if let Some(schema) = schema.filter(|schema| schema != "pg_catalog") {
        return Ok(own(Name::qualified(schema, name), position));
    }
    if quoted {
        return match PgType::from_internal_name(&name).filter(|ty| is_column_type(*ty)) {
            Some(ty) => Ok(plain(ty)),
            None => unsupported_or_own(name, position),
        };
    }
    let ty = match name.as_str() {
        "smallserial" | "serial2" => return Ok(serial(TypeName::Int2)),
        "serial" | "serial4" => return Ok(serial(TypeName::Int4)),
        "bigserial" | "serial8" => return Ok(serial(TypeName::Int8)),
        "double" => {
            cursor.expect("PRECISION")?;
            PgType::new(TypeName::Float8)
        }
        "float" => float(cursor)?,
        "numeric" | "decimal" | "dec" => numeric(cursor)?,
        "varchar" => sized(cursor, TypeName::Varchar, "varchar", None)?,
        "char" | "character" | "nchar" => {
            let varying = cursor.accept("VARYING");
            let (name, default) = if varying { (TypeName::Varchar, None) } else { (TypeName::Bpchar, Some(1)) };
            sized(cursor, name, if varying { "varchar" } else { "char" }, default)?
        }
        "national" => {
            if !cursor.accept("CHARACTER") {
                cursor.expect("CHAR")?;
            }
            let varying = cursor.accept("VARYING");
            let (name, default) = if varying { (TypeName::Varchar, None) } else { (TypeName::Bpchar, Some(1)) };
            sized(cursor, name, if varying { "varchar" } else { "char" }, default)?
        }
        "bpchar" => sized(cursor, TypeName::Bpchar, "bpchar", None)?,
        "timestamp" => zoned(cursor, TypeName::Timestamp, Some(TypeName::Timestamptz))?,
        "timestamptz" => zoned(cursor, TypeName::Timestamptz, None)?,
        "time" => zoned(cursor, TypeName::Time, Some(TypeName::Written(Written::Timetz)))?,
        "timetz" => timetz(precision(cursor)?)?,
        "bit" => {
            let varying = cursor.accept("VARYING");
            bits(cursor, if varying { Written::Varbit } else { Written::Bit })?
        }
        "varbit" => bits(cursor, Written::Varbit)?,
        "interval" => interval(cursor)?,
        other => match plain_type(other).map(PgType::new).or_else(|| array_by_name(other)) {
            Some(ty) => ty,
            None => return unsupported_or_own(name, position),
        },
    };
    Ok(plain(ty))
}

/// A type's schema and name, and whether it was quoted; `pg_catalog.` before it changes nothing but `char` and
/// serial, as if quoted.
fn qualified_word(cursor: &mut Cursor<'_>) -> Result<(Option<String>, String, bool)> {
    let Some(Token::Word(word)) = cursor.peek() else { return Err(cursor.syntax()) };
    let word: &Word = word;
    if super::cursor::is_reserved(word) {
        return Err(cursor.syntax());
    }
    let (first, quoted) = (fold(word), word.quote_style.is_some());
    cursor.advance();
    if !cursor.accept_token(&Token::Period) {
        return Ok((None, first, quoted));
    }
    let second = cursor.word()?;
    let quoted = second == "char" || second.contains("serial");
    Ok((Some(first), second, quoted))
}

fn own(name: Name, position: usize) -> ColumnType {
    ColumnType { ty: PgType::new(TypeName::Unknown), serial: false, own: Some(OwnType { name, position }) }
}

fn plain(ty: PgType) -> ColumnType {
    ColumnType { ty, serial: false, own: None }
}

fn serial(name: TypeName) -> ColumnType {
    ColumnType { ty: PgType::new(name), serial: true, own: None }
}

fn plain_type(name: &str) -> Option<TypeName> {
    Some(match name {
        "bool" | "boolean" => TypeName::Bool,
        "int2" | "smallint" => TypeName::Int2,
        "int" | "int4" | "integer" => TypeName::Int4,
        "int8" | "bigint" => TypeName::Int8,
        "float4" | "real" => TypeName::Float4,
        "float8" => TypeName::Float8,
        "text" => TypeName::Text,
        "name" => TypeName::Name,
        "bytea" => TypeName::Bytea,
        "date" => TypeName::Date,
        "uuid" => TypeName::Uuid,
        "json" => TypeName::Json,
        "jsonb" => TypeName::Jsonb,
        "oid" => TypeName::Oid,
        "regclass" => TypeName::Regclass,
        "regtype" => TypeName::Regtype,
        "regproc" => TypeName::Regproc,
        "regprocedure" => TypeName::Regprocedure,
        "regoper" => TypeName::Regoper,
        "regoperator" => TypeName::Regoperator,
        "regnamespace" => TypeName::Regnamespace,
        "regrole" => TypeName::Regrole,
        "xid" => TypeName::Xid,
        "int2vector" => TypeName::Int2vector,
        "oidvector" => TypeName::Oidvector,
        "aclitem" => TypeName::Aclitem,
        other if written(other).is_some() => TypeName::Written(written(other)?),
        "pg_node_tree" => TypeName::NodeTree,
        _ => return None,
    })
}

/// A type that is carried as its text, by a name that takes no length.
fn written(name: &str) -> Option<Written> {
    match PgType::from_internal_name(name)? {
        PgType { name: TypeName::Written(Written::Bit | Written::Varbit | Written::Timetz), .. } => None,
        PgType { name: TypeName::Written(kind), array: false, .. } => Some(kind),
        _ => None,
    }
}

/// `bit(n)` and `bit varying(n)`; bit alone has one.
fn bits(cursor: &mut Cursor<'_>, kind: Written) -> Result<PgType> {
    const LONGEST: i64 = 83_886_080;
    let label = if kind == Written::Bit { "bit" } else { "varbit" };
    let ty = PgType::new(TypeName::Written(kind));
    match modifiers(cursor)?[..] {
        [] if kind == Written::Bit => Ok(ty.with_modifier(1)),
        [] => Ok(ty),
        [n] if n < 1 => Err(invalid(format!("length for type {label} must be at least 1"))),
        [n] if n > LONGEST => Err(invalid(format!("length for type {label} cannot exceed {LONGEST}"))),
        [n] => Ok(ty.with_modifier(i32::try_from(n).unwrap_or_default())),
        _ => Err(invalid("invalid type modifier".into())),
    }
}

/// `_int4`: an array by its name in the catalogue.
fn array_by_name(name: &str) -> Option<PgType> {
    PgType::from_internal_name(name).filter(|ty| ty.array && is_column_type(*ty))
}

fn is_column_type(ty: PgType) -> bool {
    !matches!(ty.name, TypeName::Void | TypeName::Unknown)
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

/// Whether PostgreSQL, or a usual extension of it, has a type of the name that is not here.
pub fn is_unsupported(name: &str) -> bool {
    KNOWN_UNSUPPORTED.contains(&name)
}

/// 0A000 for such a type.
pub fn unsupported(name: &str) -> SqlError {
    let hint = match name {
        "tsvector" | "tsquery" => "Search text with LIKE, ILIKE or regular expressions.",
        name if name.ends_with("multirange") => "Keep the ranges in an array or in rows of their own.",
        _ => "Use text or jsonb for such values.",
    };
    SqlError::unsupported(format!("type {name} is not supported"), hint)
}

fn unsupported_or_own(name: String, position: usize) -> Result<ColumnType> {
    if is_unsupported(&name) {
        return Err(unsupported(&name).at(position));
    }
    Ok(own(Name { schema: None, name }, position))
}

/// `(n)` or `(n, m)` after a type.
fn modifiers(cursor: &mut Cursor<'_>) -> Result<Vec<i64>> {
    if cursor.sees_token(&Token::LParen) { cursor.parenthesised(Cursor::integer) } else { Ok(Vec::new()) }
}

fn invalid(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn float(cursor: &mut Cursor<'_>) -> Result<PgType> {
    match modifiers(cursor)?[..] {
        [] => Ok(PgType::new(TypeName::Float8)),
        [bits] if bits < 1 => Err(invalid("precision for type float must be at least 1 bit".into())),
        [bits] if bits <= 24 => Ok(PgType::new(TypeName::Float4)),
        [bits] if bits <= 53 => Ok(PgType::new(TypeName::Float8)),
        [_] => Err(invalid("precision for type float must be less than 54 bits".into())),
        _ => Err(cursor.syntax()),
    }
}

fn numeric(cursor: &mut Cursor<'_>) -> Result<PgType> {
    let (precision, scale) = match modifiers(cursor)?[..] {
        [] => return Ok(PgType::new(TypeName::Numeric)),
        [precision] => (precision, 0),
        [precision, scale] => (precision, scale),
        _ => return Err(invalid("invalid NUMERIC type modifier".into())),
    };
    numeric_type(precision, scale)
}

fn numeric_type(precision: i64, scale: i64) -> Result<PgType> {
    if !(1..=1000).contains(&precision) {
        return Err(invalid(format!("NUMERIC precision {precision} must be between 1 and 1000")));
    }
    if !(-1000..=1000).contains(&scale) {
        return Err(invalid(format!("NUMERIC scale {scale} must be between -1000 and 1000")));
    }
    Ok(PgType::numeric(precision as i32, scale as i32))
}

fn sized(cursor: &mut Cursor<'_>, name: TypeName, label: &str, default: Option<i64>) -> Result<PgType> {
    const LONGEST: i64 = 10_485_760;
    let length = match modifiers(cursor)?[..] {
        [] => default,
        [n] => Some(n),
        _ => return Err(invalid("invalid type modifier".into())),
    };
    let Some(n) = length else { return Ok(PgType::new(name)) };
    if n < 1 {
        return Err(invalid(format!("length for type {label} must be at least 1")));
    }
    if n > LONGEST {
        return Err(invalid(format!("length for type {label} cannot exceed {LONGEST}")));
    }
    Ok(PgType::new(name).with_modifier(i32::try_from(n).unwrap_or_default() + 4))
}

/// A time type with `(p)` and `WITH | WITHOUT TIME ZONE`; `with_zone` is what WITH makes of it.
fn zoned(cursor: &mut Cursor<'_>, name: TypeName, with_zone: Option<TypeName>) -> Result<PgType> {
    let precision = precision(cursor)?;
    let sized = |name| precision.map_or(PgType::new(name), |p| PgType::new(name).with_precision(p));
    if name == TypeName::Timestamptz || cursor.accept_all(&["WITHOUT", "TIME", "ZONE"]) {
        return Ok(sized(name));
    }
    if !cursor.accept_all(&["WITH", "TIME", "ZONE"]) {
        return Ok(sized(name));
    }
    match with_zone {
        Some(TypeName::Written(_)) => timetz(precision),
        Some(zoned) => Ok(sized(zoned)),
        None => Err(SqlError::unsupported("type time with time zone is not supported", "Use time or timestamptz.")),
    }
}

/// Kept as its text, with every digit that it has.
fn timetz(precision: Option<i32>) -> Result<PgType> {
    match precision {
        Some(digits) if digits < 6 => {
            let message = "precision of time with time zone is not supported";
            Err(SqlError::unsupported(message, "Leave the precision out, or use 6."))
        }
        _ => Ok(PgType::new(TypeName::Written(Written::Timetz))),
    }
}

/// Digits of seconds: 6 at most, more are as good.
fn precision(cursor: &mut Cursor<'_>) -> Result<Option<i32>> {
    match modifiers(cursor)?[..] {
        [] => Ok(None),
        [p] if p >= 0 => Ok(Some(i32::try_from(p.min(6)).unwrap_or(6))),
        [p] => Err(invalid(format!("time precision {p} must not be negative"))),
        _ => Err(invalid("invalid type modifier".into())),
    }
}

fn interval(cursor: &mut Cursor<'_>) -> Result<PgType> {
    let precision = precision(cursor)?;
    if ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"].iter().any(|field| cursor.sees(field)) {
        return Err(cursor.unsupported("interval fields are not supported", "Use interval without fields."));
    }
    Ok(precision.map_or(PgType::new(TypeName::Interval), |p| PgType::new(TypeName::Interval).with_precision(p)))
}

/// The type that a parsed type name stands for; `None` for one that is not here. Lengths and precisions are kept.
pub fn of_data_type(ty: &DataType) -> Option<PgType> {
    let name = match ty {
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::AngleBracket(inner)) => {
            return of_data_type(inner).map(PgType::array_of);
        }
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => return numeric_of(info),
        DataType::Varchar(n) | DataType::CharacterVarying(n) | DataType::CharVarying(n) => {
            return sized_of(TypeName::Varchar, n.as_ref(), None);
        }
        DataType::Char(n) | DataType::Character(n) => return sized_of(TypeName::Bpchar, n.as_ref(), Some(1)),
        DataType::Bool | DataType::Boolean => TypeName::Bool,
        DataType::SmallInt(_) | DataType::Int2(_) => TypeName::Int2,
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => TypeName::Int4,
        DataType::BigInt(_) | DataType::Int8(_) => TypeName::Int8,
        DataType::Real | DataType::Float4 => TypeName::Float4,
        DataType::DoublePrecision | DataType::Double(_) | DataType::Float8 => TypeName::Float8,
        DataType::Float(info) => match info {
            ast::ExactNumberInfo::Precision(bits) if *bits <= 24 => TypeName::Float4,
            _ => TypeName::Float8,
        },
        DataType::Text => TypeName::Text,
        DataType::Bytea => TypeName::Bytea,
        DataType::Date => TypeName::Date,
        DataType::Time(_, ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone) => TypeName::Time,
        DataType::Timestamp(_, ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone) => TypeName::Timestamp,
        DataType::Timestamp(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => TypeName::Timestamptz,
        DataType::Time(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => TypeName::Written(Written::Timetz),
        DataType::Bit(n) => return bits_of(Written::Bit, n.or(Some(1))),
        DataType::BitVarying(n) | DataType::VarBit(n) => return bits_of(Written::Varbit, *n),
        DataType::GeometricType(kind) => TypeName::Written(written(&kind.to_string())?),
        DataType::Interval { .. } => TypeName::Interval,
        DataType::Uuid => TypeName::Uuid,
        DataType::JSON => TypeName::Json,
        DataType::JSONB => TypeName::Jsonb,
        DataType::Regclass => TypeName::Regclass,
        DataType::Custom(name, modifiers) => return custom(name, modifiers),
        _ => return None,
    };
    Some(PgType::new(name))
}

fn numeric_of(info: &ast::ExactNumberInfo) -> Option<PgType> {
    match info {
        ast::ExactNumberInfo::None => Some(PgType::new(TypeName::Numeric)),
        ast::ExactNumberInfo::Precision(p) => numeric_type(i64::try_from(*p).ok()?, 0).ok(),
        ast::ExactNumberInfo::PrecisionAndScale(p, s) => numeric_type(i64::try_from(*p).ok()?, *s).ok(),
    }
}

fn bits_of(kind: Written, length: Option<u64>) -> Option<PgType> {
    let ty = PgType::new(TypeName::Written(kind));
    length.map_or(Some(ty), |n| i32::try_from(n).ok().map(|n| ty.with_modifier(n)))
}

fn sized_of(name: TypeName, length: Option<&ast::CharacterLength>, default: Option<i32>) -> Option<PgType> {
    let length = match length {
        None => default,
        Some(ast::CharacterLength::IntegerLength { length, .. }) => Some(i32::try_from(*length).ok()?),
        Some(ast::CharacterLength::Max) => return None,
    };
    Some(length.map_or(PgType::new(name), |n| PgType::new(name).with_modifier(n.saturating_add(4))))
}

fn custom(name: &ast::ObjectName, modifiers: &[String]) -> Option<PgType> {
    let ident = name.0.last()?.as_ident()?;
    if !modifiers.is_empty() {
        return None;
    }
    match ident.quote_style {
        Some(_) => PgType::from_internal_name(&ident.value).filter(|ty| is_column_type(*ty)),
        None => {
            let folded = ident.value.to_ascii_lowercase();
            match folded.as_str() {
                "bpchar" => Some(PgType::new(TypeName::Bpchar)),
                "varchar" => Some(PgType::new(TypeName::Varchar)),
                "numeric" => Some(PgType::new(TypeName::Numeric)),
                "timestamptz" => Some(PgType::TIMESTAMPTZ),
                "timestamp" => Some(PgType::new(TypeName::Timestamp)),
                "time" => Some(PgType::new(TypeName::Time)),
                "interval" => Some(PgType::new(TypeName::Interval)),
                "char" if name.0.len() == 2 => Some(PgType::new(TypeName::Char)),
                other => plain_type(other).map(PgType::new).or_else(|| array_by_name(other)),
            }
        }
    }
}
