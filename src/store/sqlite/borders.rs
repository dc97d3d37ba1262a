//! Keys that part a table into shares, for readers that go through it side by side.
//!
//! Found by counting along the live items, which takes a moment in a large table, and so remembered until the
//! table's size has changed much. Any keys would be right; these make the shares about equal.

use std::collections::HashMap;

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::apply::query;
use super::schema::stored;
use super::{reader, row};
use crate::store::StoreError;
use crate::versions::{ItemKey, TableId};

/// Fewer live items than this are not parted. (Tests part small tables.)
const WORTH_PARTING: u64 = if cfg!(test) { 8 } else { 20_000 };

/// The borders found last, by table and number of shares, with the number of live items there were.
#[derive(Debug, Default)]
pub struct Borders(Mutex<HashMap<(TableId, usize), (u64, Vec<ItemKey>)>>);

impl Borders {
    /// See [`crate::store::IndexStore::borders`].
    pub fn of(&self, conn: &Connection, table: TableId, shares: usize) -> Result<Vec<ItemKey>, StoreError> {
        let live = reader::table_state(conn, table)?.live;
        if live < WORTH_PARTING || shares < 2 {
            return Ok(Vec::new());
        }
        if let Some((then, borders)) = self.0.lock().get(&(table, shares))
            && live.abs_diff(*then) < live / 4
        {
            return Ok(borders.clone());
        }
        let borders = find(conn, table, live, shares)?;
        self.0.lock().insert((table, shares), (live, borders.clone()));
        Ok(borders)
    }
}

fn find(conn: &Connection, table: TableId, live: u64, shares: usize) -> Result<Vec<ItemKey>, StoreError> {
    let step = live / shares as u64;
    let mut borders: Vec<ItemKey> = Vec::with_capacity(shares - 1);
    for _ in 1..shares {
        let from = borders.last().map_or(&[][..], ItemKey::as_bytes);
        let sql = "SELECT key FROM head WHERE tab = ?1 AND key >= ?2 ORDER BY key LIMIT 1 OFFSET ?3";
        let Some(key) = query(conn, sql, params![table.0, from, stored(step)], |r| row::key(r, 0))? else { break };
        borders.push(key);
    }
    borders.dedup();
    Ok(borders)
}
