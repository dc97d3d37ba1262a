//! The access method of a new index, and the operator classes of its parts, as PostgreSQL takes or refuses them.

use crate::error::{Result, SqlError, SqlState};
use crate::history::{IndexOrder, IndexShape, TableDef};
use crate::plan::catalog::deparse;
use crate::plan::catalog::operator_class::{self, Method};
use crate::sql::{CreateIndex, IndexElement, IndexKey};
use crate::types::PgType;

/// 42704 for a method that there is not, 0A000 for what the method cannot do.
pub(super) fn method_of(create: &CreateIndex) -> Result<&'static Method> {
    let name = create.method.as_deref().unwrap_or(operator_class::BTREE);
    let Some(method) = operator_class::method(name) else {
        return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("access method \"{name}\" does not exist")));
    };
    let lacks = |what: &str| {
        let message = format!("access method \"{name}\" does not support {what}");
        Err(SqlError::unsupported(message, "Use btree, the default."))
    };
    if create.unique && !method.takes_unique() {
        return lacks("unique indexes");
    }
    if !create.include.is_empty() && !method.takes_included_columns() {
        return lacks("included columns");
    }
    if create.parts.len() > 1 && !method.takes_many_columns() {
        return lacks("multicolumn indexes");
    }
    if create.parts.iter().any(|part| part.ordered) && !method.is_btree() {
        return lacks("ASC/DESC or NULLS FIRST/LAST options");
    }
    Ok(method)
}

/// What is kept of an index to be shown. An operator class that the type has anyway is not.
pub(super) fn shape_of(table: &TableDef, create: &CreateIndex, method: &Method) -> Result<IndexShape> {
    let order = |part: &IndexElement| -> Result<IndexOrder> {
        Ok(IndexOrder {
            descending: part.descending,
            nulls_first: part.nulls_first,
            operator_class: class_of(table, part, method)?,
        })
    };
    let mut orders = create.parts.iter().map(order).collect::<Result<Vec<_>>>()?;
    if orders.iter().all(|order| *order == IndexOrder::default()) {
        orders.clear();
    }
    let include = create.include.iter().filter_map(|name| table.column(name)).map(|c| c.id).collect();
    Ok(IndexShape { method: (!method.is_btree()).then(|| method.name.to_owned()), orders, include })
}

/// The class that a part names, where it is not the one that its type has by default.
fn class_of(table: &TableDef, part: &IndexElement, method: &Method) -> Result<Option<String>> {
    let ty = match &part.key {
        IndexKey::Column(name) => table.column(name).map(|column| column.ty),
        IndexKey::Expression(text) => deparse::type_of(table, text),
    };
    let named = part.operator_class.as_deref();
    if let Some(class) = named.filter(|class| !method.has_class(class)) {
        let message = format!("operator class \"{class}\" does not exist for access method \"{}\"", method.name);
        return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
    }
    // Of an expression whose type is not known there is nothing to say.
    let Some(ty) = ty else { return Ok(part.operator_class.clone()) };
    match (method.class_of(named, ty), named) {
        (Some(found), Some(_)) => Ok((!found.default).then(|| found.name.to_owned())),
        (Some(_), None) => Ok(None),
        (None, Some(class)) => {
            let message = format!("operator class \"{class}\" does not accept data type {}", ty.sql_name());
            Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message))
        }
        // Which types a btree takes is for its columns' check to say.
        (None, None) if method.is_btree() => Ok(None),
        (None, None) => Err(no_default(ty, method)),
    }
}

fn no_default(ty: PgType, method: &Method) -> SqlError {
    let message = format!("data type {} has no default operator class for access method \"{}\"", ty.sql_name(), method.name);
    SqlError::new(SqlState::UNDEFINED_OBJECT, message)
        .hint("You must specify an operator class for the index or define a default operator class for the data type.")
}
