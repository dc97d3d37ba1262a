//! OIDs that read and print as names: regclass, regtype and their family.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, StringBuilder, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion::common::ScalarValue;

use super::routine;
use super::spec::{self, PG_CATALOG, Spec};
use super::state::{Catalogue, parse_name, shown_name};
use super::types;
use crate::error::{Result, SqlError, SqlState};
use crate::history::TEMPORARY;
use crate::plan::StatementContext;
use crate::plan::functions::session::quote_ident;
use crate::types::nested::{self, Parts};
use crate::types::text::type_by_name;
use crate::types::{Oid, PgType, TypeName};

/// Reads and prints names as one statement means them.
#[derive(Debug)]
pub struct Names<'a> {
    pub catalogue: &'a Catalogue,
    /// The search path with `pg_catalog` in its place.
    pub path: &'a [String],
}

impl Names<'_> {
    /// The OID that a text stands for: `-` and numbers as they are, names by look-up. 42P01, 42704, 42883, 3F000
    /// where there is nothing of the name, 42602 where it is none.
    pub fn read(&self, kind: TypeName, text: &str) -> Result<Oid> {
        let trimmed = text.trim();
        if trimmed == "-" {
            return Ok(0);
        }
        if !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_digit()) {
            let oid = crate::types::number::parse_oid(trimmed)?;
            return Ok(Oid::try_from(oid).unwrap_or_default());
        }
        self.find(kind, trimmed)?.ok_or_else(|| missing(kind, trimmed))
    }

    /// As [`Names::read`] for a name only; `None` where there is nothing of the name.
    pub fn find(&self, kind: TypeName, text: &str) -> Result<Option<Oid>> {
        if kind == TypeName::Regtype {
            return Ok(self.type_named(text));
        }
        let (text, signature) = match text.split_once('(') {
            Some((text, types)) if kind == TypeName::Regprocedure => (text, Some(types.trim_end_matches(')'))),
            _ => (text, None),
        };
        if matches!(kind, TypeName::Regoper | TypeName::Regoperator) {
            let sign = text.rsplit('.').next().unwrap_or(text).split('(').next().unwrap_or(text);
            return Ok(OPERATORS.named.get(sign).and_then(|oids| oids.first()).copied());
        }
        let Some((schema, name)) = parse_name(text) else {
            return Err(SqlError::new(SqlState::INVALID_NAME, "invalid name syntax"));
        };
        Ok(match kind {
            TypeName::Regclass => self.relation(schema.as_deref(), &name),
            TypeName::Regnamespace => self.catalogue.namespace_oid(&name),
            TypeName::Regrole => Some(self.catalogue.role_oid(&name)).filter(|oid| *oid != 0),
            _ => {
                let fixed = schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
                let fixed = || FUNCTIONS.named.get(name.as_str()).filter(|_| fixed).and_then(|oids| oids.first()).copied();
                fixed().or_else(|| self.own_routine(schema.as_deref(), &name, signature))
            }
        })
    }

    /// A function of a user's; by the types of its arguments where they are given.
    fn own_routine(&self, schema: Option<&str>, name: &str, types: Option<&str>) -> Option<Oid> {
        let found = routine::named(self.catalogue, self.path, schema, name);
        let Some(types) = types else { return found.first().map(|def| def.id) };
        let wanted: Vec<Option<Oid>> = match types.trim() {
            "" => Vec::new(),
            types => types.split(',').map(|ty| self.type_named(ty.trim())).collect(),
        };
        let takes = |def: &&&crate::history::RoutineDef| {
            def.input_types().into_iter().map(|ty| Some(routine::type_oid(ty))).eq(wanted.iter().copied())
        };
        found.iter().find(takes).map(|def| def.id)
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> Option<Oid> {
        let found = match schema {
            Some(TEMPORARY) => {
                let schema = self.catalogue.catalog.temporary_schema()?;
                self.catalogue.objects().relation_named(&schema.name, name)
            }
            Some(schema) => self.catalogue.objects().relation_named(schema, name),
            None => self.catalogue.relation_named(self.path, name),
        };
        found.map(|relation| relation.oid())
    }

    fn type_named(&self, text: &str) -> Option<Oid> {
        if let Some(ty) = type_by_name(text) {
            return Some(ty.oid());
        }
        let (base, array) = text.strip_suffix("[]").map_or((text, false), |base| (base.trim_end(), true));
        let (schema, name) = parse_name(base)?;
        let in_schema = |schema: &str| {
            let fixed = self.catalogue.namespace_oid(schema).and_then(|oid| types::fixed_named(oid, &name));
            fixed.or_else(|| types::own_named(self.catalogue, schema, &name))
        };
        let oid = match schema {
            Some(schema) => in_schema(&schema),
            None => self.path.iter().find_map(|schema| in_schema(schema)),
        }?;
        if !array {
            return Some(oid);
        }
        match super::objects::relation_of_type(oid) {
            Some((relation, false)) => Some(super::objects::row_array(relation)),
            _ => types::own_array(self.catalogue, oid)
                .or_else(|| types::fixed(oid).map(|facts| facts.array))
                .filter(|array| *array != 0),
        }
    }

    /// The name that an OID is shown by: the number itself where there is nothing under it, `-` for 0.
    pub fn print(&self, kind: TypeName, oid: i64) -> String {
        if oid == 0 {
            return "-".to_owned();
        }
        let number = || oid.to_string();
        let Ok(oid) = Oid::try_from(oid) else { return number() };
        let name = match kind {
            TypeName::Regclass => self.catalogue.relation(oid).map(|relation| shown_name(self.catalogue, self.path, &relation)),
            TypeName::Regtype => types::display(self.catalogue, self.path, oid, -1),
            TypeName::Regnamespace => self.catalogue.namespace_name(oid).map(quote_ident),
            TypeName::Regrole => self.catalogue.role_name(oid).map(quote_ident),
            TypeName::Regprocedure => self.signature(oid),
            TypeName::Regoper => OPERATORS.shown(oid),
            TypeName::Regoperator => self.operator_signature(oid),
            _ => FUNCTIONS.shown(oid).or_else(|| {
                let def = self.catalogue.catalog.routine(oid)?;
                Some(routine::shown_name(self.path, def))
            }),
        };
        name.unwrap_or_else(number)
    }

    /// `name(types)` of a function.
    pub fn signature(&self, oid: Oid) -> Option<String> {
        if let Some(def) = self.catalogue.catalog.routine(oid) {
            return Some(routine::signature(self.catalogue, self.path, def));
        }
        let function = FUNCTIONS.by_oid.get(&oid)?;
        let types = function.arguments.iter().map(|ty| types::display(self.catalogue, self.path, *ty, -1));
        Some(format!("{}({})", quote_ident(function.name), types.collect::<Option<Vec<_>>>()?.join(",")))
    }

    fn operator_signature(&self, oid: Oid) -> Option<String> {
        let operator = OPERATORS.by_oid.get(&oid)?;
        let side = |ty: Oid| match ty {
            0 => Some("NONE".to_owned()),
            ty => types::display(self.catalogue, self.path, ty, -1),
        };
        let sides = operator.arguments.iter().map(|ty| side(*ty)).collect::<Option<Vec<_>>>()?;
        Some(format!("{}({})", operator.name, sides.join(",")))
    }

    /// Texts of an array of OIDs.
    pub fn print_all(&self, kind: TypeName, oids: &Int64Array) -> StringArray {
        let mut out = StringBuilder::with_capacity(oids.len(), oids.len() * 12);
        let mut last: Option<(i64, String)> = None;
        for oid in oids {
            let Some(oid) = oid else {
                out.append_null();
                continue;
            };
            if last.as_ref().is_none_or(|(seen, _)| *seen != oid) {
                last = Some((oid, self.print(kind, oid)));
            }
            out.append_option(last.as_ref().map(|(_, text)| text));
        }
        out.finish()
    }

    /// OIDs together with the names they are shown by, as the wire takes them; other arrays as they are.
    pub fn with_names(&self, kind: TypeName, array: &ArrayRef) -> ArrayRef {
        if let Some(Parts { lists, bounds }) = Parts::of(array) {
            let items = self.with_names(kind, lists.values());
            let field = std::sync::Arc::new(Field::new("item", items.data_type().clone(), true));
            let named = ListArray::try_new(field, lists.offsets().clone(), items, lists.nulls().cloned());
            let named = named.ok().and_then(|lists| Parts { lists, bounds }.put_together().ok());
            return named.unwrap_or_else(|| array.clone());
        }
        let Some(oids) = array.as_primitive_opt::<Int64Type>() else { return array.clone() };
        let names = self.print_all(kind, oids);
        let columns: Vec<ArrayRef> = vec![array.clone(), std::sync::Arc::new(names)];
        StructArray::try_new(named_fields(), columns, None)
            .map_or_else(|_| array.clone(), |named| std::sync::Arc::new(named) as ArrayRef)
    }
}

/// Parameters with the OIDs that names stand for in place of the names.
pub fn resolved(ctx: &StatementContext, types: &[PgType], mut values: Vec<ScalarValue>) -> Result<Vec<ScalarValue>> {
    for (value, ty) in values.iter_mut().zip(types).filter(|(_, ty)| ty.name.is_reg() && !ty.array) {
        if let ScalarValue::Utf8(Some(name)) = value {
            let names = Names { catalogue: &ctx.catalogue(), path: &ctx.effective_path() };
            *value = ScalarValue::Int64(Some(i64::from(names.read(ty.name, name)?)));
        }
    }
    Ok(values)
}

/// How [`Names::with_names`] changes a type.
pub fn named_type(arrow: &DataType) -> DataType {
    if let Some(item) = nested::item_of(arrow) {
        return nested::data_type(Field::new("item", named_type(item.data_type()), true));
    }
    match arrow {
        DataType::Int64 => DataType::Struct(named_fields()),
        other => other.clone(),
    }
}

fn named_fields() -> Fields {
    Fields::from(vec![Field::new("oid", DataType::Int64, true), Field::new("name", DataType::Utf8, true)])
}

/// PostgreSQL's error for a name that leads nowhere.
pub fn missing(kind: TypeName, name: &str) -> SqlError {
    let (code, message) = match kind {
        TypeName::Regclass => (SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")),
        TypeName::Regtype => (SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist")),
        TypeName::Regnamespace => (SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist")),
        TypeName::Regrole => (SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist")),
        TypeName::Regoper | TypeName::Regoperator => (SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {name}")),
        _ => (SqlState::UNDEFINED_FUNCTION, format!("function \"{name}\" does not exist")),
    };
    SqlError::new(code, message)
}

/// A function or operator of PostgreSQL's.
#[derive(Debug)]
pub struct Routine {
    pub name: &'static str,
    pub arguments: Vec<Oid>,
    pub result: Oid,
    /// It gives rows.
    pub set: bool,
}

/// Functions or operators by OID and by name.
#[derive(Debug, Default)]
pub struct Routines {
    pub by_oid: HashMap<Oid, Routine>,
    named: HashMap<&'static str, Vec<Oid>>,
}

pub static FUNCTIONS: LazyLock<Routines> = LazyLock::new(|| Routines::read("pg_proc", "proname", &["proargtypes"], "prorettype"));
static OPERATORS: LazyLock<Routines> =
    LazyLock::new(|| Routines::read("pg_operator", "oprname", &["oprleft", "oprright"], "oprresult"));

impl Routines {
    /// Whether there is one of the name.
    pub fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    fn read(relation: &str, name: &str, arguments: &[&str], result: &str) -> Self {
        let mut routines = Self::default();
        let Some(batch) = spec::find("pg_catalog", relation).and_then(Spec::fixed_rows) else { return routines };
        let batch: &'static _ = Box::leak(Box::new(batch));
        let column = |name: &str| batch.column_by_name(name);
        let (Some(oids), Some(names)) = (column("oid"), column(name)) else { return routines };
        let (oids, names) = (oids.as_primitive::<Int64Type>(), names.as_string::<i32>());
        for row in 0..batch.num_rows() {
            let mut types = Vec::new();
            for argument in arguments.iter().filter_map(|name| column(name)) {
                match argument.as_list_opt::<i32>() {
                    Some(list) => types.extend(list.value(row).as_primitive::<Int64Type>().values().iter().copied()),
                    None => types.push(argument.as_primitive::<Int64Type>().value(row)),
                }
            }
            let oid = Oid::try_from(oids.value(row)).unwrap_or_default();
            let arguments = types.into_iter().map(|ty| Oid::try_from(ty).unwrap_or_default()).collect();
            routines.named.entry(names.value(row)).or_default().push(oid);
            let result =
                column(result).map_or(0, |c| Oid::try_from(c.as_primitive::<Int64Type>().value(row)).unwrap_or_default());
            let set = column("proretset").is_some_and(|c| c.as_boolean().value(row));
            routines.by_oid.insert(oid, Routine { name: names.value(row), arguments, result, set });
        }
        routines
    }

    /// The name alone where it names nothing else, else with the schema.
    fn shown(&self, oid: Oid) -> Option<String> {
        let name = self.by_oid.get(&oid)?.name;
        let alone = self.named.get(name).is_some_and(|oids| oids.len() == 1);
        Some(if alone { name.to_owned() } else { format!("pg_catalog.{name}") })
    }
}

/// The schema of every function and operator here.
pub const ROUTINES_SCHEMA: Oid = PG_CATALOG;
