//! enum_first, enum_last and enum_range: what an enumeration's labels are, in their order.
//!
//! Only the type of the argument counts, but for the bounds of a range; 42804 where that is no enumeration.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ListBuilder, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use super::define::{Call, Function, Returns, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::user::Label;
use crate::types::{PgType, UserType};

const ANY: Want = Want::Any;

pub const FUNCTIONS: &[Function] = &[
    Function::new("enum_first", &[ANY], Returns::Field(same), |c| one(c, enumeration(&c.types)?.labels().first())),
    Function::new("enum_last", &[ANY], Returns::Field(same), |c| one(c, enumeration(&c.types)?.labels().last())),
    Function::new("enum_range", &[ANY, ANY], Returns::Field(array), range).optional(1),
];

fn enumeration(types: &[PgType]) -> Result<UserType> {
    let found = types.iter().filter(|ty| !ty.array).find_map(|ty| ty.name.enumeration());
    found.ok_or_else(|| {
        SqlError::new(SqlState::DATATYPE_MISMATCH, "could not determine actual enum type")
            .hint("Cast the argument to the enumeration: NULL::name.")
    })
}

fn same(types: &[PgType], _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<Field> {
    let user = enumeration(types)?;
    let own = types.iter().find(|ty| ty.name.enumeration() == Some(user)).copied().unwrap_or(PgType::TEXT);
    Ok(own.element().field("enum", true))
}

fn array(types: &[PgType], arrow: &[DataType], values: &[Option<&ScalarValue>]) -> Result<Field> {
    same(types, arrow, values).map(|field| PgType::of_field(&field).array_of().field("enum_range", true))
}

fn one(call: &Call<'_>, label: Option<&Label>) -> Result<ArrayRef> {
    let label = label.ok_or_else(|| {
        let message =
            format!("enum {} contains no values", enumeration(&call.types).map_or_else(|_| String::new(), UserType::shown_name));
        SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
    })?;
    Ok(Arc::new(StringArray::from(vec![label.label.as_str(); call.rows])))
}

/// From the first bound to the second, both included; NULL is no bound.
fn range(call: &Call<'_>) -> Result<ArrayRef> {
    let user = enumeration(&call.types)?;
    let mut out = ListBuilder::new(StringBuilder::new());
    if let DataType::List(item) = call.returns.data_type() {
        out = out.with_field(Arc::clone(item));
    }
    let bounded = call.args.len() > 1;
    for row in 0..call.rows {
        let from = if bounded { call.text(0, row).map(|label| user.rank(label)) } else { None };
        let until = call.text(1, row).map(|label| user.rank(label));
        let inside = |at: usize| from.is_none_or(|from| from <= at) && until.is_none_or(|until| at <= until);
        let labels = user.labels().iter().enumerate().filter(|(at, _)| inside(*at));
        out.append_value(labels.map(|(_, known)| Some(known.label.as_str())));
    }
    Ok(Arc::new(out.finish()))
}
