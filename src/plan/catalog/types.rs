//! pg_type: PostgreSQL's own types, those that users defined, and for every table and view the type of its rows and
//! the array of it; pg_enum.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Int16Type, Int64Type};

use super::objects;
use super::relation::namespace;
use super::rows::{Cell, Rows};
use super::spec::{self, Spec};
use super::state::Catalogue;
use crate::error::{Result, SqlError};
use crate::history::TypeKind;
use crate::types::{Oid, PgType, Qualified};

/// What other relations repeat of a type.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub name: String,
    pub namespace: Oid,
    pub length: i16,
    pub by_value: bool,
    pub align: String,
    pub storage: String,
    pub collation: Oid,
    pub category: String,
    /// The element's OID of an array type, else 0.
    pub element: Oid,
    pub array: Oid,
    pub base: Oid,
}

/// PostgreSQL's own types by OID.
static FIXED: LazyLock<HashMap<Oid, Facts>> = LazyLock::new(|| {
    let Some(batch) = spec::find("pg_catalog", "pg_type").and_then(Spec::fixed_rows) else { return HashMap::new() };
    let numbers = |name: &str| batch.column_by_name(name).map(|c| c.as_primitive::<Int64Type>().values().to_vec());
    let texts = |name: &str| -> Vec<String> {
        let column = batch.column_by_name(name).map(|c| c.as_string::<i32>());
        column.map(|c| c.iter().map(|t| t.unwrap_or_default().to_owned()).collect()).unwrap_or_default()
    };
    let lengths = batch.column_by_name("typlen").map(|c| c.as_primitive::<Int16Type>().values().to_vec());
    let by_value = batch.column_by_name("typbyval").map(|c| c.as_boolean().clone());
    let (names, aligns, storages, categories) = (texts("typname"), texts("typalign"), texts("typstorage"), texts("typcategory"));
    let number = |name: &str, row: usize| {
        let values = batch.column_by_name(name).map(|c| c.as_primitive::<Int64Type>());
        values.map_or(0, |v| Oid::try_from(v.value(row)).unwrap_or_default())
    };
    let oids = numbers("oid").unwrap_or_default();
    let facts = |row: usize| Facts {
        name: names[row].clone(),
        namespace: number("typnamespace", row),
        length: lengths.as_ref().map_or(-1, |l| l[row]),
        by_value: by_value.as_ref().is_some_and(|b| b.value(row)),
        align: aligns[row].clone(),
        storage: storages[row].clone(),
        collation: number("typcollation", row),
        category: categories[row].clone(),
        element: number("typelem", row),
        array: number("typarray", row),
        base: number("typbasetype", row),
    };
    oids.iter().enumerate().map(|(row, oid)| (Oid::try_from(*oid).unwrap_or_default(), facts(row))).collect()
});

/// How values of a type are kept; of a composite type for one that is nobody's.
pub fn facts(state: &Catalogue, oid: Oid) -> Facts {
    fixed(oid).cloned().or_else(|| own_facts(state, oid)).unwrap_or_else(composite)
}

/// Of a type that a user defined, or the array of one.
fn own_facts(state: &Catalogue, oid: Oid) -> Option<Facts> {
    let plain = |name: &str, length, align: &str, category: &str| Facts {
        name: name.to_owned(),
        length,
        align: align.to_owned(),
        category: category.to_owned(),
        ..composite()
    };
    if let Some(def) = state.catalog.live_types().find(|def| def.array_id == oid) {
        let name = array_name(&def.name.name);
        return Some(Facts { element: def.id, ..plain(&name, -1, "i", "A") });
    }
    let def = state.catalog.live_types().find(|def| def.id == oid)?;
    let name = &def.name.name;
    if def.composite().is_some() {
        return Some(Facts { array: def.array_id, ..plain(name, -1, "d", "C") });
    }
    Some(match def.domain() {
        None => Facts { by_value: true, storage: "p".to_owned(), array: def.array_id, ..plain(name, 4, "i", "E") },
        Some(domain) => {
            let base = domain.over.unwrap_or(domain.base.oid());
            Facts { name: name.clone(), namespace: 0, array: def.array_id, base, element: 0, ..facts(state, domain.base.oid()) }
        }
    })
}

pub fn fixed(oid: Oid) -> Option<&'static Facts> {
    FIXED.get(&oid)
}

fn composite() -> Facts {
    Facts {
        name: String::new(),
        namespace: 0,
        length: -1,
        by_value: false,
        align: "d".to_owned(),
        storage: "x".to_owned(),
        collation: 0,
        category: "C".to_owned(),
        element: 0,
        array: 0,
        base: 0,
    }
}

/// A type of PostgreSQL's by its name in pg_type.
pub fn fixed_named(namespace: Oid, name: &str) -> Option<Oid> {
    static BY_NAME: LazyLock<HashMap<(Oid, &'static str), Oid>> =
        LazyLock::new(|| FIXED.iter().map(|(oid, facts)| ((facts.namespace, facts.name.as_str()), *oid)).collect());
    BY_NAME.get(&(namespace, name)).copied()
}

/// Schema, name in pg_type and whether it is an array, of any type there is.
pub fn name(state: &Catalogue, oid: Oid) -> Option<Qualified> {
    if let Some(facts) = fixed(oid) {
        return Some(Qualified::new(state.namespace_name(facts.namespace)?, facts.name.as_str()));
    }
    if let Some(def) = state.catalog.live_types().find(|def| def.id == oid) {
        return Some(def.name.clone());
    }
    if let Some(def) = state.catalog.live_types().find(|def| def.array_id == oid) {
        return Some(Qualified::new(def.name.schema.as_str(), array_name(&def.name.name)));
    }
    let (relation, array) = objects::relation_of_type(oid)?;
    let name = state.relation(relation)?.name();
    Some(if array { Qualified::new(name.schema, array_name(&name.name)) } else { name })
}

/// `integer`, `numeric(10,2)`, `text[]`, `s.t`: a type as `format_type` shows it.
pub fn display(state: &Catalogue, path: &[String], oid: Oid, modifier: i32) -> Option<String> {
    use crate::plan::functions::session::quote_ident;
    if let Some(ty) = PgType::from_oid(oid) {
        return Some(ty.with_modifier(modifier).sql_name());
    }
    if let Some(name) = standard_name(oid) {
        return Some(name.to_owned());
    }
    if let Some(element) = fixed(oid).filter(|f| f.category == "A" && f.element != 0).map(|f| f.element) {
        return display(state, path, element, modifier).map(|name| name + "[]");
    }
    if let Some(def) = state.catalog.live_types().find(|def| def.array_id == oid) {
        return display(state, path, def.id, -1).map(|name| name + "[]");
    }
    if let Some((relation, true)) = objects::relation_of_type(oid) {
        return display(state, path, objects::row_type(relation), -1).map(|name| name + "[]");
    }
    let Qualified { schema, name } = name(state, oid)?;
    let hidden = || {
        let first = path.iter().find_map(|schema| own_named(state, schema, &name));
        first.is_some_and(|first| first != oid)
    };
    let visible = schema == "pg_catalog" || (path.contains(&schema) && !hidden());
    Some(if visible { quote_ident(&name) } else { format!("{}.{}", quote_ident(&schema), quote_ident(&name)) })
}

/// Types that we have no values of, by SQL's names for them.
fn standard_name(oid: Oid) -> Option<&'static str> {
    match oid {
        1266 => Some("time with time zone"),
        1560 => Some("bit"),
        1562 => Some("bit varying"),
        _ => None,
    }
}

fn array_name(element: &str) -> String {
    format!("_{element}").chars().take(63).collect()
}

/// A type that is none of PostgreSQL's, by schema and name.
pub fn own_named(state: &Catalogue, schema: &str, name: &str) -> Option<Oid> {
    let mut defined = state.catalog.live_types().filter(|def| def.name.schema == schema);
    let found = defined.find_map(|def| match name {
        _ if def.name.name == name => Some(def.id),
        _ if array_name(&def.name.name) == name => Some(def.array_id),
        _ => None,
    });
    if found.is_some() {
        return found;
    }
    let of_relation = |name: &str| {
        use objects::Relation::{Table, View};
        match state.objects().relation_named(schema, name)? {
            relation @ (Table(_) | View(_)) => Some(relation.oid()),
            _ => None,
        }
    };
    of_relation(name).map(objects::row_type).or_else(|| name.strip_prefix('_').and_then(of_relation).map(objects::row_array))
}

/// The array of a type that is none of PostgreSQL's.
pub fn own_array(state: &Catalogue, oid: Oid) -> Option<Oid> {
    state.catalog.live_types().find(|def| def.id == oid).map(|def| def.array_id)
}

pub fn enum_values(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["oid", "enumtypid", "enumsortorder", "enumlabel"]);
    for def in state.catalog.live_types() {
        for (order, value) in (1i64..).zip(def.values()) {
            rows.push(&[value.id.into(), def.id.into(), order.into(), (&value.label).into()]);
        }
    }
    rows.finish()
}

/// Rows of types that users defined, each with that of its arrays.
fn own_types(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "oid",
        "typname",
        "typnamespace",
        "typowner",
        "typlen",
        "typbyval",
        "typtype",
        "typcategory",
        "typrelid",
        "typsubscript",
        "typelem",
        "typarray",
        "typinput",
        "typoutput",
        "typreceive",
        "typsend",
        "typalign",
        "typstorage",
        "typnotnull",
        "typbasetype",
        "typtypmod",
        "typcollation",
        "typdefault",
    ];
    let mut rows = Rows::new(spec, &columns).always("typisdefined", true).always("typdelim", ",").always("typndims", 0);
    for def in state.catalog.live_types() {
        let (schema, owner) = (namespace(state, &def.name.schema), state.role_oid(&def.owner));
        let own = facts(state, def.id);
        let domain = def.domain();
        // enum_in and its like, domain_in and domain_recv with the base type's output.
        let functions: [Cell<'_>; 4] = match domain {
            // record_in and its like.
            None if def.composite().is_some() => [2290, 2291, 2402, 2403].map(Cell::from),
            None => [3506, 3507, 3532, 3533].map(Cell::from),
            Some(domain) => {
                let (output, send) = output_functions(domain.base.oid());
                [2597.into(), output.into(), 2598.into(), send.into()]
            }
        };
        let [input, output, receive, send] = functions;
        rows.push(&[
            def.id.into(),
            (&def.name.name).into(),
            schema.into(),
            owner.into(),
            own.length.into(),
            own.by_value.into(),
            match &def.kind {
                TypeKind::Enum(_) => "e",
                TypeKind::Domain(_) => "d",
                TypeKind::Composite(_) => "c",
            }
            .into(),
            own.category.as_str().into(),
            def.composite().map_or(0, |composite| composite.relation).into(),
            0.into(),
            0.into(),
            def.array_id.into(),
            input,
            output,
            receive,
            send,
            own.align.as_str().into(),
            own.storage.as_str().into(),
            domain.is_some_and(|domain| domain.not_null).into(),
            own.base.into(),
            domain.map_or(-1, |domain| domain.base.modifier).into(),
            own.collation.into(),
            domain.and_then(|domain| domain.default.as_deref().map(|text| super::deparse::domain_default(domain, text))).into(),
        ]);
        rows.push(&[
            def.array_id.into(),
            array_name(&def.name.name).into(),
            schema.into(),
            owner.into(),
            (-1).into(),
            false.into(),
            "b".into(),
            "A".into(),
            0.into(),
            6179.into(),
            def.id.into(),
            0.into(),
            750.into(),
            751.into(),
            2400.into(),
            2401.into(),
            if own.align == "d" { "d" } else { "i" }.into(),
            "x".into(),
            false.into(),
            0.into(),
            (-1).into(),
            own.collation.into(),
            Cell::Null,
        ]);
    }
    rows.finish()
}

/// typoutput and typsend of one of PostgreSQL's types.
fn output_functions(oid: Oid) -> (Oid, Oid) {
    let found = || {
        let batch = spec::find("pg_catalog", "pg_type")?.fixed_rows()?;
        let numbers = |name: &str| batch.column_by_name(name).map(|c| c.as_primitive::<Int64Type>().clone());
        let (oids, outputs, sends) = (numbers("oid")?, numbers("typoutput")?, numbers("typsend")?);
        let row = oids.values().iter().position(|o| *o == i64::from(oid))?;
        Some((Oid::try_from(outputs.value(row)).ok()?, Oid::try_from(sends.value(row)).ok()?))
    };
    found().unwrap_or((0, 0))
}

const COLUMNS: &[&str] = &[
    "oid",
    "typname",
    "typnamespace",
    "typowner",
    "typtype",
    "typcategory",
    "typrelid",
    "typsubscript",
    "typelem",
    "typarray",
    "typinput",
    "typoutput",
    "typreceive",
    "typsend",
    "typanalyze",
];

pub fn types(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, COLUMNS)
        .always("typlen", -1)
        .always("typisdefined", true)
        .always("typdelim", ",")
        .always("typalign", "d")
        .always("typstorage", "x")
        .always("typtypmod", -1);
    let tables = state.catalog.tables.values().map(|t| (t.id.0, &t.name, &t.owner));
    let views = state.catalog.views.values().map(|v| (v.id, &v.name, &v.owner));
    for (oid, name, owner) in tables.chain(views) {
        let (schema, owner) = (namespace(state, &name.schema), state.role_oid(owner));
        row_type(&mut rows, oid, schema, owner, &name.name);
    }
    let own = rows.finish()?;
    let fixed = spec.fixed_rows().unwrap_or_else(|| RecordBatch::new_empty(spec.schema.clone()));
    let defined = own_types(state, spec)?;
    concat_batches(&spec.schema, [&fixed, &own, &defined]).map_err(|_| SqlError::internal("types do not fit together"))
}

/// The two rows of a relation's type. Functions are record_in and its like, array_in and its like.
fn row_type(rows: &mut Rows, relation: Oid, schema: Oid, owner: Oid, name: &str) {
    let (row, array) = (objects::row_type(relation), objects::row_array(relation));
    let functions = |input: [i32; 5]| input.map(Cell::from);
    let mut push = |head: [Cell<'_>; 10], tail: [Cell<'_>; 5]| rows.push(&[head.as_slice(), tail.as_slice()].concat());
    push(
        [
            row.into(),
            name.into(),
            schema.into(),
            owner.into(),
            "c".into(),
            "C".into(),
            relation.into(),
            0.into(),
            0.into(),
            array.into(),
        ],
        functions([2290, 2291, 2402, 2403, 0]),
    );
    push(
        [
            array.into(),
            array_name(name).into(),
            schema.into(),
            owner.into(),
            "b".into(),
            "A".into(),
            0.into(),
            6179.into(),
            row.into(),
            0.into(),
        ],
        functions([750, 751, 2400, 2401, 3816]),
    );
}
