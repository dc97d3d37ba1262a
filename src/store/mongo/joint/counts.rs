//! The library's counters of writes, `cnt_total` in a tenant's analytics database. An aid to operators: that counting fails
//! fails nothing.

use mongodb::bson::{DateTime, Document, doc};

use super::layout::Counters;
use crate::store::StoreError;
use crate::store::mongo::home::Home;
use crate::store::mongo::server::{Namespace, Server};
use crate::versions::Op;

/// What a group of commits did to one collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub create: i32,
    pub update: i32,
    pub delete: i32,
}

impl Counts {
    /// Restored items are not counted.
    pub fn add(&mut self, op: Op) {
        match op {
            Op::Create => self.create += 1,
            Op::Update => self.update += 1,
            Op::Delete | Op::Truncate | Op::Erase => self.delete += 1,
            Op::Restore => {}
        }
    }
}

/// Adds to the counters of a collection.
pub async fn count(server: &Server, to: &Counters, home: &Home, counts: Counts, now: i64) -> Result<(), StoreError> {
    let named = [("create", counts.create), ("update", counts.update), ("delete", counts.delete)];
    let by: Document = named.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n.into())).collect();
    if by.is_empty() {
        return Ok(());
    }
    let (database, collection) = (&home.place.database, &home.collection);
    let id = format!("tenant:{}|db:{database}|coll:{collection}", to.tenant);
    let first = doc! {
        "tenant": &to.tenant, "dbName": database, "collection": collection, "created": 0, "updated": 0, "deleted": 0,
    };
    let update = doc! { "$inc": by, "$set": { "lastAt": DateTime::from_millis(now) }, "$setOnInsert": first };
    let ns = Namespace::new(&to.database, "cnt_total");
    server.find_and_update(&ns, doc! { "_id": id }, update).await.map(drop)
}
