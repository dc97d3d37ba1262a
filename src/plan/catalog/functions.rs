//! Functions over the catalogue. Each sees definitions as its statement does.

mod definitions;
mod naming;
mod privileges;
mod server;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};

use super::names::Names;
use super::objects::Relation;
use super::state::Catalogue;
use crate::error::Result;
use crate::plan::StatementContext;
use crate::plan::functions::ambient::statement;
use crate::plan::functions::define::{Call, Function};
use crate::types::{Oid, TypeName};

pub fn all() -> impl Iterator<Item = &'static Function> {
    let tables = [definitions::FUNCTIONS, naming::FUNCTIONS, privileges::FUNCTIONS, server::FUNCTIONS];
    tables.into_iter().flatten()
}

/// One call's view of the catalogue.
struct View<'a> {
    ctx: &'a StatementContext,
    catalogue: Arc<Catalogue>,
    path: Vec<String>,
}

impl<'a> View<'a> {
    fn of(call: &'a Call<'_>) -> Result<Self> {
        let ctx = statement(call.options)?;
        Ok(Self { ctx, catalogue: ctx.catalogue(), path: ctx.effective_path() })
    }

    fn names(&self) -> Names<'_> {
        Names { catalogue: &self.catalogue, path: &self.path }
    }

    /// An argument that is an OID or the name of an object of this kind; `None` for NULL.
    fn oid(&self, call: &Call<'_>, arg: usize, row: usize, kind: TypeName) -> Result<Option<Oid>> {
        match call.args.get(arg).map(|a| a.data_type()) {
            Some(DataType::Utf8) => call.text(arg, row).map(|name| self.names().read(kind, name)).transpose(),
            _ => Ok(number(call, arg, row)),
        }
    }

    fn relation(&self, oid: Oid) -> Option<Relation> {
        self.catalogue.relation(oid)
    }
}

/// An OID given as a number of any width; `None` for NULL and for numbers that are none.
fn number(call: &Call<'_>, arg: usize, row: usize) -> Option<Oid> {
    let array = call.args.get(arg)?;
    if array.is_null(row) {
        return None;
    }
    let wide = array.as_primitive_opt::<Int64Type>().map(|a| a.value(row));
    let n = wide.or_else(|| array.as_primitive_opt::<Int32Type>().map(|a| i64::from(a.value(row))))?;
    Oid::try_from(n).ok()
}

/// A text for each row.
fn texts(call: &Call<'_>, row: impl Fn(usize) -> Result<Option<String>>) -> Result<ArrayRef> {
    call.map_text(row)
}

fn nulls(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::new_null(call.rows)))
}
