//! Sums and averages of numerics that each show their own digits, and averages of decimals, whose results do.
//!
//! Exact: a sum shows the most digits after the point that one of its values shows, an average as many as PostgreSQL's
//! quotient of sum and count.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::ambient::external;
use crate::types::complaint::out_of_range;
use crate::types::numeric::Numeric;
use crate::types::numeric::column::{ARROW, Numbers, collect, scalar};

type Result<T> = datafusion::common::Result<T>;

/// Decimals up to this precision are added up in 128 bits: no count of rows there is makes too much of them.
pub const MOST_DIGITS: u8 = 28;

/// The fields' types of [`SumNumeric`]'s state.
pub const STATE: [DataType; 2] = [ARROW, DataType::Int64];

/// What has been added, and what has been taken away again where a window slides.
#[derive(Debug)]
pub struct SumNumeric {
    average: bool,
    /// Of the finite values.
    sum: Numeric,
    count: i64,
    /// How many finite values show so many digits.
    scales: Vec<(u32, i64)>,
    infinities: i64,
    negative_infinities: i64,
    nans: i64,
}

impl SumNumeric {
    pub fn new(average: bool) -> Self {
        let sum = Numeric::of_i64(0);
        Self { average, sum, count: 0, scales: Vec::new(), infinities: 0, negative_infinities: 0, nans: 0 }
    }

    fn add(&mut self, value: &Numeric, times: i64) -> crate::error::Result<()> {
        match value {
            Numeric::NaN => self.nans += times,
            Numeric::Infinity => self.infinities += times,
            Numeric::NegativeInfinity => self.negative_infinities += times,
            Numeric::Finite(_) => {
                let scale = value.scale().unwrap_or(0);
                match self.scales.iter_mut().find(|(known, _)| *known == scale) {
                    Some((_, count)) => *count += times,
                    None => self.scales.push((scale, times)),
                }
                self.sum = if times > 0 { self.sum.plus(value)? } else { self.sum.minus(value)? };
            }
        }
        Ok(())
    }

    fn update(&mut self, values: &ArrayRef, times: i64) -> crate::error::Result<()> {
        let values = Numbers::new(values)?;
        for value in values.iter().flatten() {
            self.count += times;
            self.add(&value, times)?;
        }
        Ok(())
    }

    fn total(&self) -> crate::error::Result<Numeric> {
        let shown = self.scales.iter().filter(|(_, count)| *count > 0).map(|(scale, _)| *scale).max().unwrap_or(0);
        match (self.nans > 0, self.infinities > 0, self.negative_infinities > 0) {
            (true, ..) | (_, true, true) => Ok(Numeric::NaN),
            (_, true, _) => Ok(Numeric::Infinity),
            (_, _, true) => Ok(Numeric::NegativeInfinity),
            _ => self.sum.clone().with_scale(shown),
        }
    }

    fn result(&self) -> crate::error::Result<Option<Numeric>> {
        if self.count == 0 {
            return Ok(None);
        }
        let total = self.total()?;
        Ok(Some(if self.average { total.over(&Numeric::of_i64(self.count))? } else { total }))
    }
}

impl Accumulator for SumNumeric {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(&values[0], 1).map_err(external)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(&values[0], -1).map_err(external)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let sums = Numbers::new(&states[0]).map_err(external)?;
        let counts = states[1].as_primitive::<Int64Type>();
        for (sum, count) in sums.iter().zip(counts.iter().flatten()) {
            self.count += count;
            if let Some(sum) = sum {
                self.add(&sum, 1).map_err(external)?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let total = if self.count == 0 { None } else { Some(self.total().map_err(external)?) };
        Ok(vec![scalar(total.as_ref()), ScalarValue::Int64(Some(self.count))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(scalar(self.result().map_err(external)?.as_ref()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.scales.capacity() * size_of::<(u32, i64)>()
    }
}

/// Averages of decimals that all show the same digits, for one group or many.
#[derive(Debug)]
pub struct AverageDecimals {
    scale: i8,
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl AverageDecimals {
    pub fn new(scale: i8) -> Self {
        Self { scale, sums: Vec::new(), counts: Vec::new() }
    }

    fn add(&mut self, group: usize, value: i128, count: i64) -> Result<()> {
        let sum = &mut self.sums[group];
        *sum = sum.checked_add(value).ok_or_else(|| external(out_of_range("numeric")))?;
        self.counts[group] += count;
        Ok(())
    }

    fn with_groups(&mut self, total: usize) {
        self.sums.resize(total.max(self.sums.len()), 0);
        self.counts.resize(total.max(self.counts.len()), 0);
    }

    fn average(&self, sum: i128, count: i64) -> crate::error::Result<Option<Numeric>> {
        if count == 0 {
            return Ok(None);
        }
        Numeric::of_i128(sum, self.scale.unsigned_abs().into()).over(&Numeric::of_i64(count)).map(Some)
    }

    fn sums(&self, sums: Vec<i128>, counts: &[i64]) -> Result<ArrayRef> {
        let known = sums.into_iter().zip(counts).map(|(sum, count)| (*count > 0).then_some(sum));
        Ok(std::sync::Arc::new(known.collect::<Decimal128Array>().with_precision_and_scale(38, self.scale)?))
    }
}

impl GroupsAccumulator for AverageDecimals {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.with_groups(total);
        let values = values[0].as_primitive::<Decimal128Type>();
        if values.null_count() == 0 && filter.is_none() {
            return groups.iter().zip(values.values()).try_for_each(|(group, value)| self.add(*group, *value, 1));
        }
        let wanted = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| values.is_valid(*row) && wanted(*row)) {
            self.add(*group, values.value(row), 1)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        collect(sums.into_iter().zip(counts).map(|(sum, count)| self.average(sum, count))).map_err(external)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        Ok(vec![self.sums(sums, &counts)?, std::sync::Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.with_groups(total);
        let (sums, counts) = (states[0].as_primitive::<Decimal128Type>(), states[1].as_primitive::<Int64Type>());
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| sums.is_valid(*row) && counts.is_valid(*row)) {
            self.add(*group, sums.value(row), counts.value(row))?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<Decimal128Type>();
        let wanted = |row: usize| values.is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let counts: Vec<i64> = (0..values.len()).map(|row| i64::from(wanted(row))).collect();
        Ok(vec![self.sums(values.values().to_vec(), &counts)?, std::sync::Arc::new(Int64Array::from(counts))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.capacity() * 16 + self.counts.capacity() * 8
    }
}

impl Accumulator for AverageDecimals {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.with_groups(1);
        let values = values[0].as_primitive::<Decimal128Type>();
        values.iter().flatten().try_for_each(|value| self.add(0, value, 1))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.with_groups(1);
        let values = values[0].as_primitive::<Decimal128Type>();
        values.iter().flatten().try_for_each(|value| self.add(0, -value, -1))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.with_groups(1);
        let (sums, counts) = (states[0].as_primitive::<Decimal128Type>(), states[1].as_primitive::<Int64Type>());
        sums.iter().zip(counts.iter()).try_for_each(|state| match state {
            (Some(sum), Some(count)) => self.add(0, sum, count),
            _ => Ok(()),
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.with_groups(1);
        let sum = (self.counts[0] > 0).then_some(self.sums[0]);
        Ok(vec![ScalarValue::Decimal128(sum, 38, self.scale), ScalarValue::Int64(Some(self.counts[0]))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.with_groups(1);
        Ok(scalar(self.average(self.sums[0], self.counts[0]).map_err(external)?.as_ref()))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[&str]) -> ArrayRef {
        collect(values.iter().map(|v| Numeric::parse(v).map(Some))).unwrap()
    }

    fn shown(sum: &SumNumeric) -> String {
        sum.result().unwrap().map_or("NULL".to_owned(), |n| n.to_string())
    }

    #[test]
    fn a_sum_shows_the_most_digits_of_its_values_even_when_some_are_taken_away() {
        let mut sum = SumNumeric::new(false);
        assert_eq!(shown(&sum), "NULL");
        sum.update(&column(&["1.5", "2.250", "3"]), 1).unwrap();
        assert_eq!(shown(&sum), "6.750");
        sum.update(&column(&["2.250"]), -1).unwrap();
        assert_eq!(shown(&sum), "4.5");
        sum.update(&column(&["NaN", "Infinity"]), 1).unwrap();
        assert_eq!(shown(&sum), "NaN");
        sum.update(&column(&["NaN"]), -1).unwrap();
        assert_eq!(shown(&sum), "Infinity");
    }

    #[test]
    fn averages_are_quotients() {
        let mut sum = SumNumeric::new(true);
        sum.update(&column(&["1.5", "2.25", "3"]), 1).unwrap();
        assert_eq!(shown(&sum), "2.2500000000000000");
    }
}
