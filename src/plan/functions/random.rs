//! Functions that give something new for each row, out of the randomness that was handed in: `gen_random_uuid()`, and those
//! of the extensions uuid-ossp and pgcrypto.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BinaryBuilder, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::ambient::{external, statement};
use crate::error::{Result, SqlError, SqlState};
use crate::runtime::Entropy;
use crate::types::plain::write_uuid;
use crate::types::{PgType, TypeName};

pub fn functions(entropy: &Arc<dyn Entropy>) -> Vec<Arc<ScalarUDF>> {
    let function = |kind, name, aliases: &[&str]| {
        let signature = match kind {
            Kind::Bytes => Signature::exact(vec![DataType::Int32], Volatility::Volatile),
            _ => Signature::nullary(Volatility::Volatile),
        };
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Arc::new(ScalarUDF::new_from_impl(Random { kind, name, aliases, entropy: Arc::clone(entropy), signature }))
    };
    vec![
        function(Kind::RandomUuid, "gen_random_uuid", &["uuid_generate_v4", "uuid"]),
        function(Kind::TimeUuid, "uuid_generate_v1", &["uuid_generate_v1mc"]),
        function(Kind::Bytes, "gen_random_bytes", &[]),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Version 4.
    RandomUuid,
    /// Version 1: the time, and a node that is random as a multicast address.
    TimeUuid,
    /// As many bytes as the argument says.
    Bytes,
}

#[derive(Debug)]
struct Random {
    kind: Kind,
    name: &'static str,
    aliases: Vec<String>,
    entropy: Arc<dyn Entropy>,
    signature: Signature,
}

impl PartialEq for Random {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Random {}

impl Hash for Random {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Random {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.ty().arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> datafusion::common::Result<FieldRef> {
        Ok(FieldRef::new(self.ty().field(self.name(), self.kind == Kind::Bytes)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let made = match self.kind {
            Kind::RandomUuid => Ok(uuids(args.number_rows, |bytes, _| {
                self.entropy.fill(bytes);
                versioned(bytes, 4);
            })),
            Kind::TimeUuid => statement(&args.config_options).map(|statement| {
                let now = statement.database.now().micros();
                uuids(args.number_rows, |bytes, row| self.time_uuid(bytes, now, row))
            }),
            Kind::Bytes => args.args.first().ok_or_else(|| SqlError::internal("a function lost its argument")).and_then(|arg| {
                let counts = arg.to_array(args.number_rows).map_err(|e| SqlError::internal(e.to_string()))?;
                self.bytes(&counts)
            }),
        };
        made.map(ColumnarValue::Array).map_err(external)
    }
}

impl Random {
    fn ty(&self) -> PgType {
        PgType::new(if self.kind == Kind::Bytes { TypeName::Bytea } else { TypeName::Uuid })
    }

    /// The time in steps of 100 ns since 1582, a random clock sequence and a random node.
    fn time_uuid(&self, bytes: &mut [u8; 16], now_micros: i64, row: usize) {
        const GREGORIAN_EPOCH: i64 = 0x01b2_1dd2_1381_4000;
        self.entropy.fill(bytes);
        let steps = now_micros.wrapping_mul(10).wrapping_add(GREGORIAN_EPOCH).wrapping_add(row as i64).to_be_bytes();
        bytes[0..4].copy_from_slice(&steps[4..8]);
        bytes[4..6].copy_from_slice(&steps[2..4]);
        bytes[6..8].copy_from_slice(&steps[0..2]);
        bytes[10] |= 1;
        versioned(bytes, 1);
    }

    /// 39000 for a length that is not between 1 and 1024, as pgcrypto has it.
    fn bytes(&self, counts: &ArrayRef) -> Result<ArrayRef> {
        let counts = cast(counts, &DataType::Int64).map_err(|e| SqlError::internal(e.to_string()))?;
        let mut out = BinaryBuilder::new();
        for count in counts.as_primitive::<Int64Type>() {
            let Some(count) = count else {
                out.append_null();
                continue;
            };
            let length = usize::try_from(count).ok().filter(|length| (1..=1024).contains(length));
            let length =
                length.ok_or_else(|| SqlError::new(SqlState::EXTERNAL_ROUTINE_INVOCATION_EXCEPTION, "Length not in range"))?;
            let mut bytes = vec![0; length];
            self.entropy.fill(&mut bytes);
            out.append_value(&bytes);
        }
        Ok(Arc::new(out.finish()))
    }
}

fn uuids(rows: usize, mut fill: impl FnMut(&mut [u8; 16], usize)) -> ArrayRef {
    let one = |row| {
        let mut bytes = [0u8; 16];
        fill(&mut bytes, row);
        let mut text = String::with_capacity(36);
        write_uuid(&mut text, &bytes);
        text
    };
    Arc::new(StringArray::from_iter_values((0..rows).map(one)))
}

/// Marks the bytes as a UUID of this version.
pub fn versioned(bytes: &mut [u8; 16], version: u8) {
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
}
