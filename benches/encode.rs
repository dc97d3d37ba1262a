//! Fields per second that the wire's row encoder writes.

#![expect(clippy::expect_used, reason = "a bench that cannot set itself up must stop")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use chronogate::types::{PgType, RowEncoder, TypeName, Zone};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::arrow::array::{ArrayRef, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::Schema;

const ROWS: i32 = 8192;

fn batch() -> (Vec<PgType>, RecordBatch) {
    let numeric = PgType::new(TypeName::Numeric).with_modifier(((12 << 16) | 2) + 4);
    let types = vec![PgType::INT4, PgType::TEXT, numeric, PgType::TIMESTAMPTZ];
    let amounts = Decimal128Array::from_iter_values((0..ROWS).map(|i| i128::from(i) * 1234 + 5));
    let times = TimestampMicrosecondArray::from_iter_values((0..i64::from(ROWS)).map(|i| 1_700_000_000_000_000 + i * 1_000_001));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(0..ROWS)),
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|i| format!("customer {i}")))),
        Arc::new(amounts.with_precision_and_scale(12, 2).expect("fits")),
        Arc::new(times.with_timezone("UTC")),
    ];
    let fields: Vec<_> = types.iter().enumerate().map(|(i, ty)| ty.field(format!("c{i}"), true)).collect();
    (types, RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns fit their fields"))
}

fn encode(c: &mut Criterion) {
    let (types, batch) = batch();
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(ROWS as u64 * types.len() as u64));
    for (name, format) in [("text", 0), ("binary", 1)] {
        let mut encoder = RowEncoder::new(&types, &[format], Zone::UTC);
        let mut out = BytesMut::with_capacity(1 << 20);
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                for row in 0..batch.num_rows() {
                    encoder.encode(&batch, row, &mut out).expect("encodes");
                }
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
