//! Names, types and comments of objects: `format_type`, `to_reg…`, `…_is_visible`, `…_description`.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use std::collections::HashMap;
use std::sync::LazyLock;

use super::{View, number, texts};
use crate::error::Result;
use crate::plan::catalog::depend::PG_CLASS;
use crate::plan::catalog::spec::{self, Spec};
use crate::plan::catalog::types;
use crate::plan::functions::define::{Call, Function, INT4, INT8, Returns, TEXT, Want};
use crate::types::{PgType, TypeName};

const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const BOOL: Returns = Returns::Fixed(PgType::BOOL);

pub const FUNCTIONS: &[Function] = &[
    Function::new("format_type", &[INT8, INT4], TEXT_RESULT, format_type).stable(),
    Function::new("to_regclass", &[TEXT], Returns::of(TypeName::Regclass), |c| to_reg(c, TypeName::Regclass)).stable(),
    Function::new("to_regtype", &[TEXT], Returns::of(TypeName::Regtype), |c| to_reg(c, TypeName::Regtype)).stable(),
    Function::new("to_regproc", &[TEXT], Returns::of(TypeName::Regproc), |c| to_reg(c, TypeName::Regproc)).stable(),
    Function::new("to_regprocedure", &[TEXT], Returns::of(TypeName::Regprocedure), |c| to_reg(c, TypeName::Regprocedure))
        .stable(),
    Function::new("to_regoper", &[TEXT], Returns::of(TypeName::Regoper), |c| to_reg(c, TypeName::Regoper)).stable(),
    Function::new("to_regoperator", &[TEXT], Returns::of(TypeName::Regoperator), |c| to_reg(c, TypeName::Regoperator)).stable(),
    Function::new("to_regnamespace", &[TEXT], Returns::of(TypeName::Regnamespace), |c| to_reg(c, TypeName::Regnamespace))
        .stable(),
    Function::new("to_regrole", &[TEXT], Returns::of(TypeName::Regrole), |c| to_reg(c, TypeName::Regrole)).stable(),
    Function::new("pg_table_is_visible", &[INT8], BOOL, table_is_visible).stable(),
    Function::new("pg_type_is_visible", &[INT8], BOOL, type_is_visible).stable(),
    Function::new("pg_function_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_operator_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_opclass_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_opfamily_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_collation_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_conversion_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_statistics_obj_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_ts_config_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_ts_dict_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_ts_parser_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("pg_ts_template_is_visible", &[INT8], BOOL, always).stable(),
    Function::new("obj_description", &[INT8, TEXT], TEXT_RESULT, obj_description).optional(1).stable(),
    Function::new("col_description", &[INT8, INT4], TEXT_RESULT, col_description).stable(),
    Function::new("shobj_description", &[INT8, TEXT], TEXT_RESULT, super::nulls).stable(),
    Function::new("pg_describe_object", &[INT8, INT8, INT4], TEXT_RESULT, super::nulls).stable(),
    Function::new("pg_typeof", &[Want::Any], Returns::of(TypeName::Regtype), |c| {
        Ok(std::sync::Arc::new(Int64Array::from_value(i64::from(c.types[0].oid()), c.rows)))
    }),
];

fn format_type(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        if call.args[0].is_null(row) {
            return Ok(None);
        }
        let Some(oid) = number(call, 0, row) else { return Ok(Some("???".to_owned())) };
        if oid == 0 {
            return Ok(Some("-".to_owned()));
        }
        // With a modifier given, even of none, char(n) without its length goes by its internal name.
        let modifier = call.int4(1, row);
        let bpchar = PgType::new(TypeName::Bpchar).oid();
        if oid == bpchar && modifier.is_some_and(|m| m < 0) {
            return Ok(Some("bpchar".to_owned()));
        }
        let name = types::display(&view.catalogue, &view.path, oid, modifier.unwrap_or(-1));
        Ok(Some(name.unwrap_or_else(|| "???".to_owned())))
    })
}

fn to_reg(call: &Call<'_>, kind: TypeName) -> Result<ArrayRef> {
    let view = View::of(call)?;
    call.map::<i64, Int64Array>(|row| {
        let Some(name) = call.text(0, row) else { return Ok(None) };
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_digit()) {
            return Ok(None);
        }
        Ok(view.names().find(kind, name)?.map(i64::from))
    })
}

fn table_is_visible(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    call.map::<bool, BooleanArray>(|row| {
        let Some(oid) = number(call, 0, row) else { return Ok(None) };
        let Some(relation) = view.relation(oid) else { return Ok(None) };
        let name = relation.name();
        // The path is searched only where a schema before the relation's own might hide it.
        if view.path.first() == Some(&name.schema) {
            return Ok(Some(true));
        }
        if !view.path.contains(&name.schema) {
            return Ok(Some(false));
        }
        Ok(Some(view.catalogue.relation_named(&view.path, &name.name).is_some_and(|found| found.oid() == oid)))
    })
}

fn type_is_visible(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    call.map::<bool, BooleanArray>(|row| {
        let Some(oid) = number(call, 0, row) else { return Ok(None) };
        Ok(types::name(&view.catalogue, oid).map(|name| view.path.contains(&name.schema)))
    })
}

/// NULL for NULL; everything of these kinds is in `pg_catalog`.
fn always(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<bool, BooleanArray>(|row| Ok(number(call, 0, row).map(|_| true)))
}

/// What PostgreSQL says of its own objects: by catalogue and OID, of the whole.
static FIXED: LazyLock<HashMap<(i64, i64), String>> = LazyLock::new(|| {
    let Some(batch) = spec::find("pg_catalog", "pg_description").and_then(Spec::fixed_rows) else { return HashMap::new() };
    let numbers = |name: &str| batch.column_by_name(name).map(|c| c.as_primitive::<Int64Type>().clone());
    let (Some(objects), Some(classes)) = (numbers("objoid"), numbers("classoid")) else { return HashMap::new() };
    let parts = batch.column_by_name("objsubid").map(|c| c.as_primitive::<Int32Type>().clone());
    let texts = batch.column_by_name("description").map(|c| c.as_string::<i32>().clone());
    let (Some(parts), Some(texts)) = (parts, texts) else { return HashMap::new() };
    let whole = (0..batch.num_rows()).filter(|row| parts.value(*row) == 0);
    whole.map(|row| ((classes.value(row), objects.value(row)), texts.value(row).to_owned())).collect()
});

fn obj_description(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let Some(oid) = number(call, 0, row) else { return Ok(None) };
        let class = match call.args.len() {
            1 => None,
            _ => match call.text(1, row) {
                None => return Ok(None),
                Some(name) => match spec::find("pg_catalog", name.strip_prefix("pg_catalog.").unwrap_or(name)) {
                    None => return Ok(None),
                    Some(spec) => Some(spec.oid),
                },
            },
        };
        let own = view.catalogue.comments();
        let found = match class {
            Some(class) => own.get(&(class, oid, 0)).or_else(|| FIXED.get(&(i64::from(class), i64::from(oid)))),
            None => own.iter().find(|((_, object, part), _)| *object == oid && *part == 0).map(|(_, text)| text),
        };
        Ok(found.cloned())
    })
}

fn col_description(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    texts(call, |row| {
        let (Some(oid), Some(column)) = (number(call, 0, row), call.int4(1, row)) else { return Ok(None) };
        Ok(view.catalogue.comments().get(&(PG_CLASS, oid, i64::from(column))).cloned())
    })
}
