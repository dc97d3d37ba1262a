//! Which types there are, what they are called and which Arrow type carries them.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use serde::{Deserialize, Serialize};

use super::nested;
use super::user::UserType;
use super::written::Written;

pub type Oid = u32;

/// A base type; arrays and modifiers are added by [`PgType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeName {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    /// `char(n)`, blank-padded.
    Bpchar,
    /// PostgreSQL's `name`: text of the catalogue.
    Name,
    /// The one-byte `"char"` of the catalogue.
    Char,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Oid,
    /// A transaction's number; four bytes like an OID.
    Xid,
    Regclass,
    Regtype,
    Regproc,
    Regprocedure,
    Regoper,
    Regoperator,
    Regnamespace,
    Regrole,
    /// Small integers of the catalogue, written with blanks between them.
    Int2vector,
    /// OIDs of the catalogue, written with blanks between them.
    Oidvector,
    /// A grant as the catalogue writes it: `role=privileges/grantor`.
    Aclitem,
    /// An expression in a definition: carried as its SQL text.
    NodeTree,
    Void,
    /// A literal or parameter whose type nobody has settled; travels as text.
    Unknown,
    /// A type whose values travel as their canonical text.
    Written(Written),
    /// An enumeration that a user defined; its values are labels.
    Enum(UserType),
    /// A row type that a user defined.
    Composite(UserType),
    /// A row of no type of its own.
    Record,
}

/// A type as a column or expression has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PgType {
    pub name: TypeName,
    /// Array of `name`, of any dimensions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub array: bool,
    /// PostgreSQL's atttypmod: -1 for none; numeric `((p << 16) | s) + 4`, varchar and char `n + 4`, bit and bit varying `n`.
    #[serde(default = "no_modifier", skip_serializing_if = "is_no_modifier")]
    pub modifier: i32,
}

fn no_modifier() -> i32 {
    -1
}

fn is_no_modifier(modifier: &i32) -> bool {
    *modifier == -1
}

/// Field metadata that tells PostgreSQL types of one Arrow type apart: the type's internal name
/// (`int4`, `_text`, `jsonb` …), or a user type's tag.
pub const PG_TYPE: &str = "pg.type";
/// Field metadata: the modifier, decimal; absent for -1.
pub const PG_TYPMOD: &str = "pg.typmod";

/// Everything fixed about one base type: name, internal name, SQL name, OID, array OID, length.
struct Row(TypeName, &'static str, &'static str, Oid, Oid, i16);

const TYPES: &[Row] = &[
    Row(TypeName::Bool, "bool", "boolean", 16, 1000, 1),
    Row(TypeName::Bytea, "bytea", "bytea", 17, 1001, -1),
    Row(TypeName::Char, "char", "\"char\"", 18, 1002, 1),
    Row(TypeName::Name, "name", "name", 19, 1003, 64),
    Row(TypeName::Int8, "int8", "bigint", 20, 1016, 8),
    Row(TypeName::Int2, "int2", "smallint", 21, 1005, 2),
    Row(TypeName::Int4, "int4", "integer", 23, 1007, 4),
    Row(TypeName::Regproc, "regproc", "regproc", 24, 1008, 4),
    Row(TypeName::Text, "text", "text", 25, 1009, -1),
    Row(TypeName::Oid, "oid", "oid", 26, 1028, 4),
    Row(TypeName::Int2vector, "int2vector", "int2vector", 22, 1006, -1),
    Row(TypeName::Xid, "xid", "xid", 28, 1011, 4),
    Row(TypeName::Oidvector, "oidvector", "oidvector", 30, 1013, -1),
    Row(TypeName::NodeTree, "pg_node_tree", "pg_node_tree", 194, 0, -1),
    Row(TypeName::Aclitem, "aclitem", "aclitem", 1033, 1034, 12),
    Row(TypeName::Json, "json", "json", 114, 199, -1),
    Row(TypeName::Float4, "float4", "real", 700, 1021, 4),
    Row(TypeName::Float8, "float8", "double precision", 701, 1022, 8),
    Row(TypeName::Unknown, "unknown", "unknown", 705, 0, -2),
    Row(TypeName::Bpchar, "bpchar", "character", 1042, 1014, -1),
    Row(TypeName::Varchar, "varchar", "character varying", 1043, 1015, -1),
    Row(TypeName::Date, "date", "date", 1082, 1182, 4),
    Row(TypeName::Time, "time", "time without time zone", 1083, 1183, 8),
    Row(TypeName::Timestamp, "timestamp", "timestamp without time zone", 1114, 1115, 8),
    Row(TypeName::Timestamptz, "timestamptz", "timestamp with time zone", 1184, 1185, 8),
    Row(TypeName::Interval, "interval", "interval", 1186, 1187, 16),
    Row(TypeName::Numeric, "numeric", "numeric", 1700, 1231, -1),
    Row(TypeName::Regprocedure, "regprocedure", "regprocedure", 2202, 2207, 4),
    Row(TypeName::Regoper, "regoper", "regoper", 2203, 2208, 4),
    Row(TypeName::Regoperator, "regoperator", "regoperator", 2204, 2209, 4),
    Row(TypeName::Regclass, "regclass", "regclass", 2205, 2210, 4),
    Row(TypeName::Regtype, "regtype", "regtype", 2206, 2211, 4),
    Row(TypeName::Record, "record", "record", 2249, 2287, -1),
    Row(TypeName::Void, "void", "void", 2278, 0, 4),
    Row(TypeName::Uuid, "uuid", "uuid", 2950, 2951, 16),
    Row(TypeName::Jsonb, "jsonb", "jsonb", 3802, 3807, -1),
    Row(TypeName::Regnamespace, "regnamespace", "regnamespace", 4089, 4090, 4),
    Row(TypeName::Regrole, "regrole", "regrole", 4096, 4097, 4),
    Row(TypeName::Written(Written::Inet), "inet", "inet", 869, 1041, -1),
    Row(TypeName::Written(Written::Cidr), "cidr", "cidr", 650, 651, -1),
    Row(TypeName::Written(Written::Macaddr), "macaddr", "macaddr", 829, 1040, 6),
    Row(TypeName::Written(Written::Macaddr8), "macaddr8", "macaddr8", 774, 775, 8),
    Row(TypeName::Written(Written::Timetz), "timetz", "time with time zone", 1266, 1270, 12),
    Row(TypeName::Written(Written::Bit), "bit", "bit", 1560, 1561, -1),
    Row(TypeName::Written(Written::Varbit), "varbit", "bit varying", 1562, 1563, -1),
    Row(TypeName::Written(Written::Money), "money", "money", 790, 791, 8),
    Row(TypeName::Written(Written::Xml), "xml", "xml", 142, 143, -1),
    Row(TypeName::Written(Written::PgLsn), "pg_lsn", "pg_lsn", 3220, 3221, 8),
    Row(TypeName::Written(Written::Point), "point", "point", 600, 1017, 16),
    Row(TypeName::Written(Written::Lseg), "lseg", "lseg", 601, 1018, 32),
    Row(TypeName::Written(Written::Path), "path", "path", 602, 1019, -1),
    Row(TypeName::Written(Written::Box), "box", "box", 603, 1020, 32),
    Row(TypeName::Written(Written::Polygon), "polygon", "polygon", 604, 1027, -1),
    Row(TypeName::Written(Written::Line), "line", "line", 628, 629, 24),
    Row(TypeName::Written(Written::Circle), "circle", "circle", 718, 719, 24),
    Row(TypeName::Written(Written::Int4range), "int4range", "int4range", 3904, 3905, -1),
    Row(TypeName::Written(Written::Int8range), "int8range", "int8range", 3926, 3927, -1),
    Row(TypeName::Written(Written::Numrange), "numrange", "numrange", 3906, 3907, -1),
    Row(TypeName::Written(Written::Tsrange), "tsrange", "tsrange", 3908, 3909, -1),
    Row(TypeName::Written(Written::Tstzrange), "tstzrange", "tstzrange", 3910, 3911, -1),
    Row(TypeName::Written(Written::Daterange), "daterange", "daterange", 3912, 3913, -1),
];

impl TypeName {
    /// Whether values are OIDs that read and print as the names of objects.
    pub const fn is_reg(self) -> bool {
        use TypeName::{Regclass, Regnamespace, Regoper, Regoperator, Regproc, Regprocedure, Regrole, Regtype};
        matches!(self, Regclass | Regtype | Regproc | Regprocedure | Regoper | Regoperator | Regnamespace | Regrole)
    }

    /// Whether values are numbers of objects: four bytes without sign on the wire.
    pub const fn is_oid(self) -> bool {
        self.is_reg() || matches!(self, Self::Oid | Self::Xid)
    }

    /// The type that a user defined.
    pub const fn user(self) -> Option<UserType> {
        match self {
            Self::Enum(ty) | Self::Composite(ty) => Some(ty),
            _ => None,
        }
    }

    /// The type carried as its text that it is.
    pub const fn written(self) -> Option<Written> {
        match self {
            Self::Written(kind) => Some(kind),
            _ => None,
        }
    }

    /// The enumeration that it is.
    pub const fn enumeration(self) -> Option<UserType> {
        match self {
            Self::Enum(ty) => Some(ty),
            _ => None,
        }
    }

    /// What the vectors of the catalogue consist of.
    pub const fn vector_of(self) -> Option<TypeName> {
        match self {
            Self::Int2vector => Some(Self::Int2),
            Self::Oidvector => Some(Self::Oid),
            _ => None,
        }
    }
}

fn row(name: TypeName) -> &'static Row {
    // The test below holds that every name has its row, so the fallback is never taken.
    TYPES.iter().find(|r| r.0 == name).unwrap_or(&TYPES[8])
}

impl PgType {
    pub const fn new(name: TypeName) -> Self {
        Self { name, array: false, modifier: -1 }
    }

    pub const TEXT: PgType = PgType::new(TypeName::Text);
    pub const BOOL: PgType = PgType::new(TypeName::Bool);
    pub const INT4: PgType = PgType::new(TypeName::Int4);
    pub const INT8: PgType = PgType::new(TypeName::Int8);
    pub const FLOAT8: PgType = PgType::new(TypeName::Float8);
    pub const TIMESTAMPTZ: PgType = PgType::new(TypeName::Timestamptz);
    pub const JSONB: PgType = PgType::new(TypeName::Jsonb);

    pub const fn with_modifier(mut self, modifier: i32) -> Self {
        self.modifier = modifier;
        self
    }

    pub const fn array_of(mut self) -> Self {
        self.array = true;
        self
    }

    pub fn element(self) -> Self {
        Self { array: false, ..self }
    }

    /// What stands between the elements in the text of an array of this type: a comma, but boxes have one inside.
    pub fn delimiter(self) -> char {
        if self.name == TypeName::Written(Written::Box) { ';' } else { ',' }
    }

    /// The digits of `numeric(p, s)`; `None` for a numeric without precision and for every other type.
    pub fn numeric_digits(self) -> Option<(i32, i32)> {
        if self.name != TypeName::Numeric || self.modifier < 4 {
            return None;
        }
        let packed = self.modifier - 4;
        // The scale is a number of eleven bits with a sign.
        Some((packed >> 16, ((packed & 0x7ff) ^ 1024) - 1024))
    }

    /// The digits of a `numeric(p, s)` whose values are Arrow's decimals; `None` for one that they are too narrow for.
    pub fn numeric_precision(self) -> Option<(u8, i8)> {
        let (precision, scale) = self.numeric_digits()?;
        (precision <= 38 && (0..=precision).contains(&scale)).then_some((precision as u8, scale as i8))
    }

    /// `numeric(p, s)`.
    pub const fn numeric(precision: i32, scale: i32) -> Self {
        Self::new(TypeName::Numeric).with_modifier(((precision << 16) | (scale & 0x7ff)) + 4)
    }

    /// The `n` of varchar(n) and char(n).
    pub fn max_chars(self) -> Option<usize> {
        let sized = matches!(self.name, TypeName::Varchar | TypeName::Bpchar);
        (sized && self.modifier >= 4).then(|| (self.modifier - 4) as usize)
    }

    /// A time type with `p` digits of its seconds.
    pub const fn with_precision(self, p: i32) -> Self {
        // As PostgreSQL packs an interval's: beside the fields, which are all.
        let modifier = if matches!(self.name, TypeName::Interval) { (0x7fff << 16) | p } else { p };
        self.with_modifier(modifier)
    }

    /// How many digits of seconds a time type keeps, where it says so.
    pub fn time_precision(self) -> Option<u32> {
        let digits = match self.name {
            TypeName::Time | TypeName::Timestamp | TypeName::Timestamptz => self.modifier,
            TypeName::Interval if self.modifier >= 0 => self.modifier & 0xffff,
            _ => return None,
        };
        u32::try_from(digits).ok().filter(|digits| *digits <= 6)
    }

    pub fn oid(self) -> Oid {
        if let Some(user) = self.name.user() {
            return if self.array { user.array_oid() } else { user.oid() };
        }
        let row = row(self.name);
        if self.array { row.4 } else { row.3 }
    }

    /// `typlen`: bytes of a fixed-size type, -1 for a varying one.
    pub fn length(self) -> i16 {
        match self.name {
            _ if self.array => -1,
            TypeName::Enum(_) => 4,
            TypeName::Composite(_) => -1,
            name => row(name).5,
        }
    }

    /// The name in pg_type: `int4`, `_int4`.
    pub fn internal_name(self) -> String {
        let name = self.name.user().map_or_else(|| row(self.name).1, |user| user.name().name.as_str());
        if self.array { format!("_{name}").chars().take(63).collect() } else { name.to_owned() }
    }

    /// What stands for the type in metadata and in calls of casts: its internal name, or for a user's type a tag
    /// that is good for as long as the program runs.
    pub fn tag(self) -> String {
        match self.name.user() {
            Some(user) if self.array => format!("_{}", user.tag()),
            Some(user) => user.tag(),
            None => self.internal_name(),
        }
    }

    /// The inverse of [`Self::tag`].
    pub fn from_tag(tag: &str) -> Option<Self> {
        let (bare, array) = tag.strip_prefix('_').map_or((tag, false), |element| (element, true));
        match UserType::from_tag(bare) {
            Some(user) => Some(Self { array, ..Self::new(user.type_name()) }),
            None => Self::from_internal_name(tag),
        }
    }

    /// As `format_type` shows it: `integer`, `numeric(10,2)`, `text[]`.
    pub fn sql_name(self) -> String {
        let mut name = self.name.user().map_or_else(|| row(self.name).2.to_owned(), UserType::shown_name);
        if let Some((p, s)) = self.numeric_digits() {
            name = format!("numeric({p},{s})");
        } else if let Some(n) = self.max_chars() {
            name = format!("{name}({n})");
        } else if let (TypeName::Written(Written::Bit | Written::Varbit), n @ 0..) = (self.name, self.modifier) {
            name = format!("{name}({n})");
        }
        if let Some(p) = self.time_precision() {
            let (kind, zone) = name.split_once(' ').map_or((name.as_str(), String::new()), |(k, z)| (k, format!(" {z}")));
            name = format!("{kind}({p}){zone}");
        }
        if self.array {
            name.push_str("[]");
        }
        name
    }

    /// As SQL text that means this type whatever the search path is.
    pub fn full_name(self) -> String {
        match self.name.user() {
            Some(user) if self.array => user.full_name() + "[]",
            Some(user) => user.full_name(),
            None => self.sql_name(),
        }
    }

    /// One of PostgreSQL's own types; those of users are in a catalogue.
    pub fn from_oid(oid: Oid) -> Option<Self> {
        TYPES.iter().filter(|_| oid != 0).find_map(|r| match oid {
            o if o == r.3 => Some(Self::new(r.0)),
            o if o == r.4 => Some(Self::new(r.0).array_of()),
            _ => None,
        })
    }

    /// The inverse of [`Self::internal_name`].
    pub fn from_internal_name(name: &str) -> Option<Self> {
        if let Some(r) = TYPES.iter().find(|r| r.1 == name) {
            return Some(Self::new(r.0));
        }
        let element = name.strip_prefix('_')?;
        TYPES.iter().find(|r| r.1 == element).map(|r| Self::new(r.0).array_of())
    }

    /// A type by the name SQL has for it, without modifier: `integer`, `timestamp with time zone`.
    pub fn from_sql_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|r| r.2 == name).map(|r| Self::new(r.0))
    }

    /// The Arrow type that carries values of this type.
    pub fn arrow(self) -> DataType {
        if self.array {
            return nested::data_type(self.element().field("item", true));
        }
        if let Some(element) = self.name.vector_of() {
            return DataType::List(FieldRef::new(PgType::new(element).field("item", true)));
        }
        match self.name {
            TypeName::Bool => DataType::Boolean,
            TypeName::Int2 => DataType::Int16,
            TypeName::Int4 => DataType::Int32,
            TypeName::Int8
            | TypeName::Oid
            | TypeName::Xid
            | TypeName::Regclass
            | TypeName::Regtype
            | TypeName::Regproc
            | TypeName::Regprocedure
            | TypeName::Regoper
            | TypeName::Regoperator
            | TypeName::Regnamespace
            | TypeName::Regrole => DataType::Int64,
            TypeName::Float4 => DataType::Float32,
            TypeName::Float8 => DataType::Float64,
            TypeName::Numeric => {
                // One form where all values show the same digits after the point, another where each has its own.
                self.numeric_precision().map_or(super::numeric::column::ARROW, |(p, s)| DataType::Decimal128(p, s))
            }
            TypeName::Text
            | TypeName::Varchar
            | TypeName::Bpchar
            | TypeName::Name
            | TypeName::Char
            | TypeName::Uuid
            | TypeName::Json
            | TypeName::Jsonb
            | TypeName::Aclitem
            | TypeName::NodeTree
            | TypeName::Enum(_)
            | TypeName::Written(_)
            | TypeName::Unknown => DataType::Utf8,
            TypeName::Composite(user) => DataType::Struct(user.fields().iter().map(|(name, ty)| ty.field(name, true)).collect()),
            TypeName::Record => DataType::Struct(Fields::empty()),
            TypeName::Bytea => DataType::Binary,
            TypeName::Date => DataType::Date32,
            TypeName::Time => DataType::Time64(TimeUnit::Microsecond),
            TypeName::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            TypeName::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            TypeName::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            TypeName::Void | TypeName::Int2vector | TypeName::Oidvector => DataType::Null,
        }
    }

    /// An Arrow field of this type; its metadata names the type where the Arrow type alone would mean another, so
    /// that fields of one type are equal wherever they come from.
    pub fn field(self, name: impl Into<String>, nullable: bool) -> Field {
        let arrow = self.arrow();
        if Self::of_arrow(&arrow) == self {
            return Field::new(name, arrow, nullable);
        }
        let mut metadata = HashMap::from([(PG_TYPE.to_owned(), self.tag())]);
        if self.modifier != -1 {
            metadata.insert(PG_TYPMOD.to_owned(), self.modifier.to_string());
        }
        Field::new(name, arrow, nullable).with_metadata(metadata)
    }

    /// The type a field has: what its metadata says, else the plainest type of its Arrow type.
    pub fn of_field(field: &Field) -> Self {
        let named = field.metadata().get(PG_TYPE).and_then(|name| Self::from_tag(name));
        match named {
            // A cast or an expression may have kept the metadata while changing the type.
            Some(named) if named.with_field_modifier(field).carries(field.data_type()) => named.with_field_modifier(field),
            _ => Self::of_arrow(field.data_type()),
        }
    }

    fn with_field_modifier(self, field: &Field) -> Self {
        let modifier = field.metadata().get(PG_TYPMOD).and_then(|m| m.parse().ok()).unwrap_or(-1);
        self.with_modifier(modifier)
    }

    fn carries(self, arrow: &DataType) -> bool {
        match (self.array, arrow) {
            (true, DataType::LargeList(_)) => nested::item_of(arrow).is_some_and(|item| self.element().carries(item.data_type())),
            (true, DataType::List(item)) => self.element().carries(item.data_type()),
            (false, DataType::List(item)) => {
                self.name.vector_of().is_some_and(|element| PgType::new(element).arrow() == *item.data_type())
            }
            (false, DataType::Struct(_)) if self.name == TypeName::Record => true,
            (false, arrow) => self.arrow() == *arrow,
            _ => false,
        }
    }

    /// The plainest PostgreSQL type that an Arrow type stands for.
    pub fn of_arrow(arrow: &DataType) -> Self {
        match arrow {
            DataType::Boolean => Self::BOOL,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::new(TypeName::Int2),
            DataType::Int32 | DataType::UInt16 => Self::INT4,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Self::INT8,
            DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::LargeBinary => Self::new(TypeName::Numeric),
            DataType::Float16 | DataType::Float32 => Self::new(TypeName::Float4),
            DataType::Float64 => Self::new(TypeName::Float8),
            DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Self::new(TypeName::Bytea),
            DataType::Date32 | DataType::Date64 => Self::new(TypeName::Date),
            DataType::Time32(_) | DataType::Time64(_) => Self::new(TypeName::Time),
            DataType::Timestamp(_, None) => Self::new(TypeName::Timestamp),
            DataType::Timestamp(_, Some(_)) => Self::TIMESTAMPTZ,
            DataType::Interval(_) | DataType::Duration(_) => Self::new(TypeName::Interval),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                Self::of_field(nested::item_of(arrow).unwrap_or(item)).array_of()
            }
            DataType::Dictionary(_, value) => Self::of_arrow(value),
            DataType::Struct(_) => Self::new(TypeName::Record),
            _ => Self::TEXT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_oids_and_fields_lead_back_to_the_type() {
        for r in TYPES {
            let plain = PgType::new(r.0);
            assert_eq!(PgType::from_oid(plain.oid()), Some(plain));
            assert_eq!(PgType::from_internal_name(&plain.internal_name()), Some(plain));
            if r.4 != 0 {
                let array = plain.array_of();
                assert_eq!(PgType::from_oid(array.oid()), Some(array));
                assert_eq!(PgType::of_field(&array.field("a", true)), array);
            }
            assert_eq!(PgType::of_field(&plain.field("a", true)), plain);
        }
        let price = PgType::new(TypeName::Numeric).with_modifier(((10 << 16) | 2) + 4);
        assert_eq!(price.sql_name(), "numeric(10,2)");
        assert_eq!(PgType::of_field(&price.field("a", true)), price);
    }
}
