//! `coalesce`, `greatest`, `least` and `nullif` where their arguments are numerics of several digits, which Arrow cannot
//! bring to one type: such a call is a numeric whose values show their own digits.
//!
//! Says so while SQL is planned; `plan::ordering` brings the arguments there. All else is DataFusion's.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::types::nested;
use crate::types::numeric::column::{ARROW, is_exact, is_numeric};

const NAMES: [&str; 4] = ["coalesce", "greatest", "least", "nullif"];

/// The functions with these in place of DataFusion's.
pub fn wrapped(functions: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let wrap = |inner: Arc<ScalarUDF>| match NAMES.contains(&inner.name()) {
        true => {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(Mixed { inner, signature }))
        }
        false => inner,
    };
    functions.into_iter().map(wrap).collect()
}

/// Whether these are numerics, and whole numbers among them, that do not all show the same digits.
pub fn is_mixed<'t>(types: impl IntoIterator<Item = &'t DataType>) -> bool {
    let known: Vec<&DataType> = types.into_iter().filter(|t| !t.is_null()).collect();
    known.iter().all(|t| is_exact(t)) && known.iter().any(|t| is_numeric(t)) && known.windows(2).any(|pair| pair[0] != pair[1])
}

/// The type of arrays that stand beside literals in quotes and NULL, which will be arrays too.
fn beside_arrays(types: &[DataType]) -> Option<&DataType> {
    let array = types.iter().find(|ty| nested::item_of(ty).is_some())?;
    let rest = types.iter().all(|ty| ty == array || matches!(ty, DataType::Utf8 | DataType::Null));
    (rest && types.iter().any(|ty| ty != array)).then_some(array)
}

/// Whether these are floats beside numerics, which meet as floats.
fn are_floats(types: &[DataType]) -> bool {
    let mut known = types.iter().filter(|ty| !ty.is_null());
    let numbers = known.all(|ty| is_exact(ty) || ty.is_floating());
    numbers && types.iter().any(is_numeric) && types.iter().any(DataType::is_floating)
}

/// The type that times and bytes have beside literals in quotes and NULL, or beside narrower types of theirs.
fn settled(types: &[DataType]) -> Option<DataType> {
    use DataType::{Binary, Date32, Interval, Null, Time64, Timestamp, Utf8};
    let known: Vec<&DataType> = types.iter().filter(|ty| !matches!(ty, Utf8 | Null)).collect();
    let first = *known.first()?;
    if known.iter().all(|ty| matches!(ty, Date32 | Timestamp(..))) {
        let zoned = known.iter().find(|ty| matches!(ty, Timestamp(_, Some(_))));
        let widest = zoned.or_else(|| known.iter().find(|ty| matches!(ty, Timestamp(..)))).copied().unwrap_or(first);
        return types.iter().any(|ty| ty != widest).then(|| widest.clone());
    }
    let alike = known.iter().all(|ty| *ty == first) && matches!(first, Time64(_) | Interval(_) | Binary);
    (alike && known.len() < types.len()).then(|| first.clone())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mixed {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl Mixed {
    /// `coalesce` of floats and numerics: `plan::resolution` brings its arguments there.
    fn makes_floats(&self, types: &[DataType]) -> bool {
        self.name() == "coalesce" && are_floats(types)
    }
}

impl ScalarUDFImpl for Mixed {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if is_mixed(types) || beside_arrays(types).is_some() || self.makes_floats(types) {
            return Ok(types.to_vec());
        }
        if let Some(settled) = settled(types) {
            return Ok(vec![settled; types.len()]);
        }
        let fields: Vec<FieldRef> = types.iter().map(|t| Arc::new(Field::new("argument", t.clone(), true))).collect();
        let coerced = fields_with_udf(&fields, self.inner.as_ref())?;
        Ok(coerced.iter().map(|f| f.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if let Some(array) = beside_arrays(types) {
            return Ok(array.clone());
        }
        if self.makes_floats(types) {
            return Ok(DataType::Float64);
        }
        match (is_mixed(types), types) {
            (true, [first, ..]) => Ok(if self.name() == "nullif" { first.clone() } else { ARROW }),
            _ => self.inner.return_type(types),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        if let Some(array) = beside_arrays(&types) {
            let field = args.arg_fields.iter().find(|f| f.data_type() == array);
            return Ok(field.map_or_else(
                || Arc::new(Field::new(self.name(), array.clone(), true)),
                |f| Arc::new(f.as_ref().clone().with_nullable(true)),
            ));
        }
        if self.makes_floats(&types) {
            return Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)));
        }
        let mixed = is_mixed(args.arg_fields.iter().map(|f| f.data_type()));
        if mixed && self.name() != "nullif" {
            return Ok(Arc::new(Field::new(self.name(), ARROW, true)));
        }
        let first = args.arg_fields.first().cloned();
        let field = match (&first, mixed) {
            (Some(first), true) => Arc::clone(first),
            _ => self.inner.return_field_from_args(args)?,
        };
        // What nullif gives is its first argument or nothing: of that type, "char" and the like included.
        match first.filter(|first| self.name() == "nullif" && first.data_type() == field.data_type()) {
            Some(first) => Ok(Arc::new(first.as_ref().clone().with_nullable(true))),
            None => Ok(field),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }
}
