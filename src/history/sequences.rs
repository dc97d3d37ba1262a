//! Sequences and hidden row numbers: blocks set aside in the store, given out from memory.
//!
//! A sequence's counter in the store holds the next value to give, as the two's complement of it; a value
//! outside of the sequence's bounds stands for an exhausted one. Its numbers are not part of any commit.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{HistoryError, SequenceDef, TableDef};
use crate::store::IndexStore;

/// Values set aside at a time: what a crash may lose.
const VALUES_AHEAD: i64 = 32;
const ROW_NUMBERS_AHEAD: u64 = 1024;

#[derive(Debug, Default)]
pub(super) struct Sequences {
    values: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<Option<State>>>>>,
    row_numbers: Mutex<HashMap<u32, std::ops::Range<u64>>>,
}

/// What is in memory of one sequence.
#[derive(Debug)]
struct State {
    next: i64,
    increment: i64,
    /// How many values from `next` on may be given without asking the store.
    ahead: i64,
    /// Only a transaction that has not committed knows the sequence: nothing of it goes to the store.
    volatile: bool,
}

impl Sequences {
    /// The next value. `stored` says whether the sequence has been committed.
    pub(super) async fn next(&self, store: &dyn IndexStore, def: &SequenceDef, stored: bool) -> Result<i64, HistoryError> {
        let place = self.place(def.id);
        let mut place = place.lock().await;
        let state = open(&mut place, store, def, stored).await?;
        state.follow(def);
        if !in_bounds(def, state.next) {
            state.ahead = 0;
            state.next = restart(def)?;
        }
        if state.ahead == 0 && !state.volatile {
            let ahead = values_left(def, state.next).min(VALUES_AHEAD);
            store.set_counter(def.id, step(def, state.next, ahead) as u64).await?;
            state.ahead = ahead;
        }
        let value = state.next;
        state.next = step(def, value, 1);
        state.ahead = (state.ahead - 1).max(0);
        Ok(value)
    }

    pub(super) async fn set(
        &self,
        store: &dyn IndexStore,
        def: &SequenceDef,
        stored: bool,
        value: i64,
        is_called: bool,
    ) -> Result<(), HistoryError> {
        if !in_bounds(def, value) {
            let sequence = def.name.name.clone();
            return Err(HistoryError::SequenceBounds { sequence, value, min: def.min, max: def.max });
        }
        let place = self.place(def.id);
        let mut place = place.lock().await;
        let next = if is_called { step(def, value, 1) } else { value };
        if stored {
            store.set_counter(def.id, next as u64).await?;
        }
        *place = Some(State { next, increment: def.increment, ahead: 0, volatile: !stored });
        Ok(())
    }

    /// The last value given, and true; or the one that will be given first, and false.
    pub(super) async fn last(
        &self,
        store: &dyn IndexStore,
        def: &SequenceDef,
        stored: bool,
    ) -> Result<(i64, bool), HistoryError> {
        let place = self.place(def.id);
        let mut place = place.lock().await;
        let state = open(&mut place, store, def, stored).await?;
        state.follow(def);
        if state.next == def.start {
            return Ok((def.start, false));
        }
        if !in_bounds(def, state.next) {
            return Ok((if def.increment > 0 { def.max } else { def.min }, true));
        }
        Ok(match state.next.checked_sub(def.increment).filter(|last| in_bounds(def, *last)) {
            Some(last) => (last, true),
            None => (state.next, false),
        })
    }

    /// Makes the position of a sequence durable that is about to be committed for the first time.
    pub(super) async fn settle(&self, store: &dyn IndexStore, def: &SequenceDef) -> Result<(), HistoryError> {
        let place = self.place(def.id);
        let mut place = place.lock().await;
        let state = open(&mut place, store, def, false).await?;
        state.follow(def);
        if store.counter(def.id).await? != state.next as u64 {
            store.set_counter(def.id, state.next as u64).await?;
        }
        state.volatile = false;
        Ok(())
    }

    /// Gives back the values that were set aside and not used.
    pub(super) async fn give_back(&self, store: &dyn IndexStore) -> Result<(), HistoryError> {
        let places: Vec<_> = self.values.lock().drain().collect();
        for (id, place) in places {
            if let Some(state) = place.lock().await.take().filter(|state| state.ahead > 0) {
                store.set_counter(id, state.next as u64).await?;
            }
        }
        Ok(())
    }

    /// The first of `count` numbers that no row of the table has or ever had.
    pub(super) async fn row_numbers(&self, store: &dyn IndexStore, table: &TableDef, count: u64) -> Result<u64, HistoryError> {
        if let Some(first) = self.row_numbers_at_hand(table.row_counter, count) {
            return Ok(first);
        }
        let block = count.max(ROW_NUMBERS_AHEAD);
        let first = store.reserve(table.row_counter, block).await?;
        self.row_numbers.lock().insert(table.row_counter, first + count..first + block);
        Ok(first)
    }

    /// The same for a temporary table: from memory alone, gone with it.
    pub(super) fn temporary_row_numbers(&self, table: &TableDef, count: u64) -> u64 {
        let mut blocks = self.row_numbers.lock();
        let block = blocks.entry(table.row_counter).or_insert(0..u64::MAX);
        let first = block.start;
        block.start = first.saturating_add(count);
        first
    }

    /// Drops what is in memory under this number: of a sequence or table that no store has.
    pub(super) fn forget(&self, id: u32) {
        self.values.lock().remove(&id);
        self.row_numbers.lock().remove(&id);
    }

    fn row_numbers_at_hand(&self, counter: u32, count: u64) -> Option<u64> {
        let mut blocks = self.row_numbers.lock();
        let block = blocks.get_mut(&counter).filter(|block| block.end - block.start >= count)?;
        let first = block.start;
        block.start += count;
        Some(first)
    }

    fn place(&self, id: u32) -> Arc<tokio::sync::Mutex<Option<State>>> {
        Arc::clone(self.values.lock().entry(id).or_default())
    }
}

async fn open<'a>(
    place: &'a mut Option<State>,
    store: &dyn IndexStore,
    def: &SequenceDef,
    stored: bool,
) -> Result<&'a mut State, HistoryError> {
    let state = match place.take() {
        Some(state) => state,
        None => {
            let next = if stored { store.counter(def.id).await? as i64 } else { def.start };
            State { next, increment: def.increment, ahead: 0, volatile: !stored }
        }
    };
    Ok(place.insert(state))
}

impl State {
    /// After ALTER SEQUENCE … INCREMENT the next value is one new step after the last one given.
    fn follow(&mut self, def: &SequenceDef) {
        if self.increment != def.increment {
            self.next = self.next.wrapping_sub(self.increment).wrapping_add(def.increment);
            self.increment = def.increment;
            self.ahead = 0;
        }
    }
}

fn in_bounds(def: &SequenceDef, value: i64) -> bool {
    (def.min..=def.max).contains(&value)
}

/// The value `steps` after one that is in bounds; out of bounds where the sequence ends before.
fn step(def: &SequenceDef, from: i64, steps: i64) -> i64 {
    let next = def.increment.checked_mul(steps).and_then(|distance| from.checked_add(distance));
    match next {
        Some(next) if in_bounds(def, next) => next,
        _ if def.increment > 0 => def.max.wrapping_add(1),
        _ => def.min.wrapping_sub(1),
    }
}

/// How many values there are from one that is in bounds to the end, itself included.
fn values_left(def: &SequenceDef, from: i64) -> i64 {
    let room = if def.increment > 0 { i128::from(def.max) - i128::from(from) } else { i128::from(from) - i128::from(def.min) };
    let steps = room / i128::from(def.increment).abs().max(1) + 1;
    i64::try_from(steps).unwrap_or(i64::MAX)
}

/// Where an exhausted sequence goes on, if it does.
fn restart(def: &SequenceDef) -> Result<i64, HistoryError> {
    match (def.cycle, def.increment > 0) {
        (true, true) => Ok(def.min),
        (true, false) => Ok(def.max),
        (false, up) => Err(HistoryError::SequenceExhausted {
            sequence: def.name.name.clone(),
            bound: if up { "maximum" } else { "minimum" },
            limit: if up { def.max } else { def.min },
        }),
    }
}
