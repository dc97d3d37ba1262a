//! Writes of one transaction, gathered so that they take few round trips: with MongoDB 8.0 one for all collections,
//! before it one for each collection and kind.

use mongodb::bson::{RawArrayBuf, RawDocumentBuf, cstr, rawdoc};

use super::server::{Namespace, Transaction, Trouble, refused};
use crate::store::StoreError;

/// Writes of about this many bytes, or this many of them, travel together.
const BYTES: usize = 12 << 20;
const COUNT: usize = if cfg!(test) { 50 } else { 20_000 };

#[derive(Debug)]
enum Kind {
    Insert {
        document: RawDocumentBuf,
    },
    /// Of one document, which must be there (`expected`) or is made (`upsert`).
    Update {
        filter: RawDocumentBuf,
        update: RawDocumentBuf,
        upsert: bool,
        expected: bool,
    },
    DeleteAll {
        filter: RawDocumentBuf,
    },
}

impl Kind {
    fn order(&self) -> u8 {
        match self {
            Self::DeleteAll { .. } => 0,
            Self::Update { .. } => 1,
            Self::Insert { .. } => 2,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Insert { document } => document.as_bytes().len(),
            Self::Update { filter, update, .. } => filter.as_bytes().len() + update.as_bytes().len() + 64,
            Self::DeleteAll { filter } => filter.as_bytes().len() + 64,
        }
    }
}

/// Writes that wait to be sent. No two of them are about the same document, except that what is deleted may be inserted
/// anew: of one collection, deletions are made first.
#[derive(Debug, Default)]
pub struct Writes {
    namespaces: Vec<Namespace>,
    waiting: Vec<(usize, Kind)>,
}

impl Writes {
    pub fn insert(&mut self, ns: &Namespace, document: RawDocumentBuf) {
        self.add(ns, Kind::Insert { document });
    }

    /// Changes a document that must be there.
    pub fn update(&mut self, ns: &Namespace, filter: RawDocumentBuf, update: RawDocumentBuf) {
        self.add(ns, Kind::Update { filter, update, upsert: false, expected: true });
    }

    pub fn upsert(&mut self, ns: &Namespace, filter: RawDocumentBuf, update: RawDocumentBuf) {
        self.add(ns, Kind::Update { filter, update, upsert: true, expected: true });
    }

    pub fn delete_all(&mut self, ns: &Namespace, filter: RawDocumentBuf) {
        self.add(ns, Kind::DeleteAll { filter });
    }

    fn add(&mut self, ns: &Namespace, kind: Kind) {
        let place = self.namespaces.iter().position(|known| known == ns).unwrap_or_else(|| {
            self.namespaces.push(ns.clone());
            self.namespaces.len() - 1
        });
        self.waiting.push((place, kind));
    }

    /// Sends what waits.
    pub async fn flush(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Trouble> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|(place, kind)| (*place, kind.order()));
        let mut part = Vec::new();
        let mut bytes = 0;
        for write in waiting {
            bytes += write.1.size();
            part.push(write);
            if bytes >= BYTES || part.len() >= COUNT {
                self.send(std::mem::take(&mut part), transaction).await?;
                bytes = 0;
            }
        }
        if part.is_empty() { Ok(()) } else { self.send(part, transaction).await }
    }

    async fn send(&self, part: Vec<(usize, Kind)>, transaction: &mut Transaction<'_>) -> Result<(), Trouble> {
        if transaction.server().bulk_writes() {
            return self.send_at_once(part, transaction).await;
        }
        let mut rest = part.into_iter().peekable();
        while let Some((place, first)) = rest.next() {
            let order = first.order();
            let mut same = vec![first];
            while let Some((_, kind)) = rest.next_if(|(p, k)| *p == place && k.order() == order) {
                same.push(kind);
            }
            if let Some(ns) = self.namespaces.get(place) {
                send_to(ns, same, transaction).await?;
            }
        }
        Ok(())
    }

    async fn send_at_once(&self, part: Vec<(usize, Kind)>, transaction: &mut Transaction<'_>) -> Result<(), Trouble> {
        let mut ops = RawArrayBuf::new();
        let mut expected = 0;
        for (place, kind) in part {
            let place = i32::try_from(place).unwrap_or(i32::MAX);
            ops.push(match kind {
                Kind::Insert { document } => rawdoc! { "insert": place, "document": document },
                Kind::Update { filter, update, upsert, expected: counts } => {
                    expected += i64::from(counts);
                    rawdoc! { "update": place, "filter": filter, "updateMods": update, "multi": false, "upsert": upsert }
                }
                Kind::DeleteAll { filter } => rawdoc! { "delete": place, "filter": filter, "multi": true },
            });
        }
        let mut names = RawArrayBuf::new();
        for ns in &self.namespaces {
            names.push(rawdoc! { "ns": ns.to_string() });
        }
        let mut command = rawdoc! { "bulkWrite": 1_i32, "errorsOnly": true, "ordered": true };
        command.append(cstr!("ops"), ops);
        command.append(cstr!("nsInfo"), names);
        let reply = transaction.command("admin", command).await?;
        if let Some(trouble) = refused(&reply) {
            return Err(trouble);
        }
        let count = |name: &str| reply.get_i32(name).map_or(0, i64::from);
        met(count("nMatched") + count("nUpserted"), expected)
    }
}

async fn send_to(ns: &Namespace, same: Vec<Kind>, transaction: &mut Transaction<'_>) -> Result<(), Trouble> {
    let mut list = RawArrayBuf::new();
    let mut expected = 0;
    let mut name = (cstr!("insert"), cstr!("documents"));
    for kind in same {
        match kind {
            Kind::Insert { document } => list.push(document),
            Kind::Update { filter, update, upsert, expected: counts } => {
                name = (cstr!("update"), cstr!("updates"));
                expected += i64::from(counts);
                list.push(rawdoc! { "q": filter, "u": update, "multi": false, "upsert": upsert });
            }
            Kind::DeleteAll { filter } => {
                name = (cstr!("delete"), cstr!("deletes"));
                list.push(rawdoc! { "q": filter, "limit": 0_i32 });
            }
        }
    }
    let mut command = RawDocumentBuf::new();
    command.append(name.0, ns.collection.as_str());
    command.append(name.1, list);
    command.append(cstr!("ordered"), true);
    let reply = transaction.command(&ns.database, command).await?;
    if let Some(trouble) = refused(&reply) {
        return Err(trouble);
    }
    // `n` counts what was matched and what was made.
    if expected == 0 { Ok(()) } else { met(reply.get_i32("n").map_or(0, i64::from), expected) }
}

/// A document that was to be changed is not there as it was read: someone else had it meanwhile.
fn met(found: i64, expected: i64) -> Result<(), Trouble> {
    if found == expected {
        return Ok(());
    }
    tracing::warn!(found, expected, "documents read in a transaction were not there to be written");
    Err(Trouble::Store(StoreError::Engine("a document changed under a transaction".to_owned())))
}
