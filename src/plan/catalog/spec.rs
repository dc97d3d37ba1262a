//! Which relations the catalogue has: names, OIDs, columns, as PostgreSQL 15 has them, and the rows of those
//! that describe PostgreSQL itself. Read once from the files of `data/pg_catalog`.
//!
//! Knows nothing of any database.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::rows::{Cell, Rows};
use crate::error::Result;
use crate::types::{Oid, PgType, TypeName};

/// The bootstrap superuser, which owns all that a server begins with.
pub const BOOTSTRAP_ROLE: Oid = 10;
pub const PG_CATALOG: Oid = 11;

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/pg_catalog/", $name, ".tsv"))
    };
}

/// Relations with rows that never change, by name.
static FIXED: &[(&str, &str)] = &[
    ("pg_aggregate", file!("pg_aggregate")),
    ("pg_am", file!("pg_am")),
    ("pg_amop", file!("pg_amop")),
    ("pg_amproc", file!("pg_amproc")),
    ("pg_cast", file!("pg_cast")),
    ("pg_collation", file!("pg_collation")),
    ("pg_description", file!("pg_description")),
    ("pg_language", file!("pg_language")),
    ("pg_opclass", file!("pg_opclass")),
    ("pg_operator", file!("pg_operator")),
    ("pg_opfamily", file!("pg_opfamily")),
    ("pg_proc", file!("pg_proc")),
    ("pg_range", file!("pg_range")),
    ("pg_tablespace", file!("pg_tablespace")),
    ("pg_ts_config", file!("pg_ts_config")),
    ("pg_ts_dict", file!("pg_ts_dict")),
    ("pg_ts_parser", file!("pg_ts_parser")),
    ("pg_type", file!("pg_type")),
];

#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub ty: PgType,
    /// `atttypid`: a domain's own where `ty` is what it is made of.
    pub type_oid: Oid,
    pub not_null: bool,
}

impl Column {
    /// What a row has that says nothing of the column.
    pub fn usual(&self) -> Cell<'static> {
        if !self.not_null {
            return Cell::Null;
        }
        if self.name.ends_with("owner") && self.ty.name == TypeName::Oid {
            return Cell::Int(i64::from(BOOTSTRAP_ROLE));
        }
        match self.ty.name {
            _ if self.ty.array || self.ty.name.vector_of().is_some() => Cell::Null,
            TypeName::Bool => Cell::Bool(false),
            TypeName::Text | TypeName::Name | TypeName::Char => Cell::Text("".into()),
            _ => Cell::Int(0),
        }
    }
}

/// A relation of the catalogue.
#[derive(Debug)]
pub struct Spec {
    pub oid: Oid,
    pub namespace: Oid,
    pub schema_name: &'static str,
    pub name: &'static str,
    /// `r` or `v`.
    pub kind: &'static str,
    pub row_type: Oid,
    pub columns: Vec<Column>,
    pub schema: SchemaRef,
    fixed: OnceLock<Option<RecordBatch>>,
}

impl Spec {
    /// The rows that are the same everywhere and always; `None` for a relation that has none.
    pub fn fixed_rows(&'static self) -> Option<RecordBatch> {
        let read = || FIXED.iter().find(|(name, _)| *name == self.name).and_then(|(_, text)| read(self, text).ok());
        self.fixed.get_or_init(read).clone()
    }
}

struct All {
    specs: Vec<Spec>,
    by_name: HashMap<(&'static str, &'static str), usize>,
    by_oid: HashMap<Oid, usize>,
}

static ALL: LazyLock<All> = LazyLock::new(load);

/// Every relation of the catalogue, in order of their OIDs.
pub fn all() -> &'static [Spec] {
    &ALL.specs
}

/// The rows of a relation that never change, as their file has them: names of columns, then one row a line.
/// Empty for a relation that has none.
pub fn fixed_text(name: &str) -> &'static str {
    FIXED.iter().find(|(of, _)| *of == name).map_or("", |(_, text)| text)
}

pub fn find(schema: &str, name: &str) -> Option<&'static Spec> {
    ALL.by_name.get(&(schema, name)).map(|at| &ALL.specs[*at])
}

pub fn by_oid(oid: Oid) -> Option<&'static Spec> {
    ALL.by_oid.get(&oid).map(|at| &ALL.specs[*at])
}

/// The OID of `information_schema`, which PostgreSQL gives it when a cluster is made.
pub fn information_schema() -> Oid {
    static OID: LazyLock<Oid> =
        LazyLock::new(|| all().iter().map(|s| s.namespace).find(|oid| *oid != PG_CATALOG).unwrap_or_default());
    *OID
}

fn load() -> All {
    let mut columns: HashMap<Oid, Vec<Column>> = HashMap::new();
    for line in file!("columns").lines() {
        if let [relation, _, name, type_oid, not_null] = line.split('\t').collect::<Vec<_>>()[..] {
            let type_oid = number(type_oid);
            let column = Column { name, ty: type_of(type_oid), type_oid, not_null: not_null == "1" };
            columns.entry(number(relation)).or_default().push(column);
        }
    }
    let spec = |line: &'static str| match line.split('\t').collect::<Vec<_>>()[..] {
        [oid, namespace, name, kind, row_type] => {
            let (oid, namespace) = (number(oid), number(namespace));
            let columns = columns.remove(&oid).unwrap_or_default();
            let fields: Vec<_> = columns.iter().map(|c| c.ty.field(c.name, true)).collect();
            let schema_name = if namespace == PG_CATALOG { "pg_catalog" } else { "information_schema" };
            let schema = Arc::new(Schema::new(fields));
            let row_type = number(row_type);
            Some(Spec { oid, namespace, schema_name, name, kind, row_type, columns, schema, fixed: OnceLock::new() })
        }
        _ => None,
    };
    let specs: Vec<Spec> = file!("relations").lines().filter_map(spec).collect();
    let by_name = specs.iter().enumerate().map(|(at, s)| ((s.schema_name, s.name), at)).collect();
    let by_oid = specs.iter().enumerate().map(|(at, s)| (s.oid, at)).collect();
    All { specs, by_name, by_oid }
}

fn number(text: &str) -> Oid {
    text.parse().unwrap_or_default()
}

/// The type that carries a column of the catalogue: domains by what they are made of, types that we do not have
/// as text.
fn type_of(oid: Oid) -> PgType {
    // Domains of information_schema, whose OIDs a cluster gives out when it is made.
    match oid {
        13221 => PgType::INT4,
        13224 => PgType::new(TypeName::Varchar),
        13226 => PgType::new(TypeName::Name),
        13232 => PgType::TIMESTAMPTZ,
        13234 => PgType::new(TypeName::Varchar).with_modifier(7),
        oid => PgType::from_oid(oid).unwrap_or(PgType::TEXT),
    }
}

/// Reads rows in COPY's text format whose first line names the columns.
fn read(spec: &'static Spec, text: &'static str) -> Result<RecordBatch> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let types: Vec<PgType> =
        names.iter().map(|name| spec.columns.iter().find(|c| c.name == *name).map_or(PgType::TEXT, |c| c.ty)).collect();
    let mut rows = Rows::new(spec, &names);
    for line in lines {
        let cells: Vec<Cell<'_>> = line.split('\t').zip(&types).map(|(field, ty)| cell(field, *ty)).collect();
        rows.push(&cells);
    }
    rows.finish()
}

fn cell(field: &'static str, ty: PgType) -> Cell<'static> {
    if field == "\\N" {
        return Cell::Null;
    }
    let element = ty.name.vector_of().unwrap_or(ty.name);
    let is_text = matches!(PgType::new(element).arrow(), datafusion::arrow::datatypes::DataType::Utf8);
    if ty.array {
        let inner = field.trim_start_matches('{').trim_end_matches('}');
        let items = inner.split(',').filter(|item| !item.is_empty());
        return match is_text {
            true => Cell::Texts(items.map(|item| item.trim_matches('"').to_owned()).collect()),
            false => Cell::Ints(items.map(integer).collect()),
        };
    }
    if ty.name.vector_of().is_some() {
        return Cell::Ints(field.split(' ').filter(|item| !item.is_empty()).map(integer).collect());
    }
    match element {
        TypeName::Bool => Cell::Bool(field == "t"),
        TypeName::Float4 | TypeName::Float8 => Cell::Float(field.parse().unwrap_or_default()),
        _ if is_text => Cell::Text(unescaped(field)),
        _ => Cell::Int(integer(field)),
    }
}

fn integer(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}

/// COPY's text escapes, as far as the files have them.
fn unescaped(field: &'static str) -> std::borrow::Cow<'static, str> {
    if !field.contains('\\') {
        return field.into();
    }
    let mut out = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => out.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('b') => '\u{8}',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            }),
            (c, false) => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Array;

    use super::*;

    #[test]
    fn relations_have_postgresqls_oids_and_columns() {
        let class = find("pg_catalog", "pg_class").unwrap();
        assert_eq!((class.oid, class.kind, class.columns.len()), (1259, "r", 33));
        let tables = find("information_schema", "tables").unwrap();
        assert_eq!(tables.columns[0].name, "table_catalog");
        assert_eq!(tables.namespace, information_schema());
        assert!(by_oid(1247).is_some_and(|s| s.name == "pg_type"));
    }

    #[test]
    fn every_fixed_row_fits_its_columns() {
        for (name, text) in FIXED {
            let batch = find("pg_catalog", name).unwrap().fixed_rows().unwrap_or_else(|| panic!("{name}"));
            assert_eq!(batch.num_rows(), text.lines().count() - 1, "{name}");
            for (column, array) in find("pg_catalog", name).unwrap().columns.iter().zip(batch.columns()) {
                let optional = column.ty.array || !column.not_null;
                assert!(optional || array.null_count() == 0, "{name}.{} has NULLs", column.name);
            }
        }
    }
}
