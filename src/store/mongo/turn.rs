//! One turn of writing: a transaction that first writes the document every commit writes, so that turns of all
//! gateways come one after the other, and then whatever its commits change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, RawArrayBuf, RawDocumentBuf, cstr, doc, rawdoc};

use super::Core;
use super::apply::{self, Added, Group, Item, Needs, Slot};
use super::home::{Home, Identity, STATE};
use super::joint::counts::Counts;
use super::joint::{self, Joint, Known};
use super::row::{self, Head, stored};
use super::server::{Find, Namespace, Transaction, Trouble};
use super::writes::Writes;
use crate::store::{CatalogChange, CommitRequest, Requirement, StoreError};
use crate::versions::change::whole_table;
use crate::versions::{CommitNo, CommitStamp, Context, IndexId, ItemKey, TableId, Timestamp};

/// How many keys one query asks for.
pub const KEYS: usize = 1000;

/// What a turn did, or would have done had its commit been heard of.
#[derive(Clone, Debug)]
pub struct Done {
    /// Marks its commits in the log.
    pub token: ObjectId,
    /// Its first commit; `None` when it made none.
    pub first: Option<CommitNo>,
    pub last: CommitStamp,
    pub outcomes: Vec<Result<CommitStamp, StoreError>>,
}

/// A transaction whose turn it is.
pub struct Turn<'c> {
    pub core: &'c Core,
    pub transaction: Transaction<'c>,
    pub writes: Writes,
    pub token: ObjectId,
    pub last: CommitStamp,
    /// The newest commit that changed a definition.
    pub catalog: CommitNo,
    pub now: Timestamp,
    /// What was made ready outside, where items of the library's collections change.
    joint: Option<&'c Joint>,
    /// Those items.
    known: Known,
}

impl<'c> Turn<'c> {
    /// Waits for nobody: [`Trouble::Again`] while it is another one's turn.
    pub async fn begin(core: &'c Core, joint: Option<&'c Joint>) -> Result<Self, Trouble> {
        let mut transaction = core.server.begin().await?;
        let state = &core.own.state;
        let command = rawdoc! {
            "findAndModify": state.collection.as_str(),
            "query": { "_id": STATE },
            "update": { "$inc": { "turn": 1_i64 } },
            "new": true,
        };
        let reply = transaction.command(&state.database, command).await?;
        let found = reply.get_document("value").ok();
        let found = found.ok_or_else(|| StoreError::Corrupt(format!("{state}: its document is gone")))?;
        let number = |name: &str| found.get_i64(name).map_err(|_| StoreError::Corrupt(format!("{state}: unexpected {name}")));
        let commit = |name: &str| number(name).map(|n| CommitNo(u64::try_from(n).unwrap_or(0)));
        let last = CommitStamp { commit: commit("n")?, time: Timestamp::from_micros(number("t")?) };
        Ok(Self {
            core,
            transaction,
            writes: Writes::default(),
            token: core.ids.make(),
            // What the library wrote is not in the document.
            last: last.max(core.last_commit()),
            catalog: commit("catalog")?,
            now: joint.map_or_else(|| Timestamp::from_micros(core.clock.now_micros()), |joint| joint.now),
            joint,
            known: Known::default(),
        })
    }

    /// Whether an earlier turn, of which nothing was heard, was made after all. As it is this one's turn now, that one
    /// cannot be made any more.
    pub async fn was_made(&mut self, earlier: &Done) -> Result<bool, Trouble> {
        let Some(first) = earlier.first else { return Ok(false) };
        let ns = &self.core.own.commits;
        let found = self.transaction.find(ns, Find::new(doc! { "_id": stored(first.0), "g": earlier.token })).await?;
        Ok(!found.is_empty())
    }

    /// Commits requests that need nothing but heads and holders.
    pub async fn commit_group(mut self, requests: &[CommitRequest]) -> Result<Done, (Trouble, Option<Done>)> {
        let mut group = Group::new(self.last, self.catalog, self.core.ids.clone());
        let mut needs = Needs::default();
        requests.iter().for_each(|request| needs.add(request));
        let known = self.learn(&mut group, &needs).await.map_err(|trouble| (trouble, None))?;
        let mut outcomes = Vec::with_capacity(requests.len());
        for (number, request) in requests.iter().enumerate() {
            if request.catalog_seen.is_some_and(|seen| group.catalog > seen) {
                outcomes.push(Err(StoreError::CatalogConflict));
                continue;
            }
            let stamp = apply::next_stamp(group.last, request.time.unwrap_or(self.now));
            outcomes.push(group.commit(number, request, stamp, &BTreeMap::new()).map_err(StoreError::from));
        }
        self.write(&group, &known, requests, false).await.map_err(|trouble| (trouble, None))?;
        self.finish(&group, outcomes).await
    }

    /// Commits a request that asks for more.
    pub async fn commit_alone(mut self, request: &CommitRequest) -> Result<Done, (Trouble, Option<Done>)> {
        match self.apply_alone(request).await {
            Ok((group, outcome)) => self.finish(&group, vec![Ok(outcome)]).await,
            Err(Trouble::Store(error)) => {
                let group = Group::new(self.last, self.catalog, self.core.ids.clone());
                self.finish(&group, vec![Err(error)]).await
            }
            Err(trouble) => Err((trouble, None)),
        }
    }

    async fn apply_alone(&mut self, request: &CommitRequest) -> Result<(Group, CommitStamp), Trouble> {
        self.check_unchanged(request).await?;
        for requirement in &request.requires {
            self.check_unclaimed(requirement).await?;
        }
        let mut needs = Needs::default();
        needs.add(request);
        let mut group = Group::new(self.last, self.catalog, self.core.ids.clone());
        let mut known = self.learn(&mut group, &needs).await?;
        let stamp = apply::next_stamp(group.last, request.time.unwrap_or(self.now));
        let mut ended = BTreeMap::new();
        for (table, _) in &request.truncate {
            let count = self.truncate(*table, stamp, &request.context).await?;
            *ended.entry(*table).or_default() += count;
        }
        if !ended.is_empty() {
            group = Group::new(group.last, self.catalog, self.core.ids.clone());
            known = self.learn(&mut group, &needs).await?;
        }
        group.commit(0, request, stamp, &ended).map_err(StoreError::from)?;
        let defined = self.define(&request.catalog, stamp).await?;
        self.write(&group, &known, std::slice::from_ref(request), defined).await?;
        Ok((group, stamp))
    }

    async fn finish(
        self,
        group: &Group,
        outcomes: Vec<Result<CommitStamp, StoreError>>,
    ) -> Result<Done, (Trouble, Option<Done>)> {
        let first = group.made.first().map(|made| made.stamp.commit);
        let done = Done { token: self.token, first, last: group.last, outcomes };
        if first.is_none() {
            self.transaction.abort().await;
            return Ok(done);
        }
        match self.transaction.commit().await {
            Ok(()) => Ok(done),
            Err(trouble) => Err((trouble, Some(done))),
        }
    }

    async fn check_unchanged(&mut self, request: &CommitRequest) -> Result<(), Trouble> {
        if request.catalog_seen.is_some_and(|seen| self.catalog > seen) {
            return Err(StoreError::CatalogConflict.into());
        }
        let backfilled = request.backfill.iter().map(|b| (b.table, b.seen));
        for (table, seen) in request.truncate.iter().copied().chain(backfilled) {
            let ns = &self.core.own.tables;
            let found = self.transaction.find(ns, Find::new(doc! { "_id": i64::from(table.0) })).await?;
            let Some(bytes) = found.first() else { continue };
            if row::Document::new(ns, bytes)?.commit("changed")? > seen {
                return Err(StoreError::Conflict { table, key: whole_table() }.into());
            }
        }
        Ok(())
    }

    async fn check_unclaimed(&mut self, requirement: &Requirement) -> Result<(), Trouble> {
        let Requirement::Unclaimed { table, index, key, seen } = requirement else { return Ok(()) };
        let home = self.home(*table).await?;
        let slot = apply::slot_id(*index, key);
        let below = format!("{slot}/");
        let mut after = format!("{slot}.");
        loop {
            let find = Find::new(doc! { "_id": { "$gt": &after, "$lt": &below } }).sort(doc! { "_id": 1 }).limit(KEYS);
            let entries = self.transaction.find(&self.core.own.entries, find).await?;
            let mut items = Vec::with_capacity(entries.len());
            for bytes in &entries {
                let id = row::Document::new(&self.core.own.entries, bytes)?.text("_id")?;
                items.push(id.rsplit('.').next().unwrap_or_default().to_owned());
                after = id.to_owned();
            }
            let full = items.len() == KEYS;
            let later = doc! { "cg.k": { "$in": items }, "cg.n": { "$gt": stored(seen.0) }, "cg.o": { "$in": live_ops() } };
            let claims = Find::new(later).sort(doc! { "cg.k": 1 }).only(doc! { "cg.p": 0 }).limit(1);
            let found = self.transaction.find(&home.heads, claims).await?;
            if let Some(bytes) = found.first() {
                let (key, _) = row::head(&home.heads, bytes)?;
                return Err(StoreError::Conflict { table: *table, key }.into());
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Ends every live item of a table; how many there were.
    async fn truncate(&mut self, table: TableId, stamp: CommitStamp, context: &Context) -> Result<u64, Trouble> {
        let home = self.home(table).await?;
        let mut ended = 0;
        let mut after = String::new();
        loop {
            let live = doc! { "cg.k": { "$gt": &after }, "cg.o": { "$in": live_ops() } };
            let find = Find::new(live).sort(doc! { "cg.k": 1 }).only(doc! { "cg.p": 0 }).limit(KEYS);
            let found = self.transaction.find(&home.heads, find).await?;
            let mut cv = self.take_cv(&home, found.len()).await?;
            for bytes in &found {
                let (key, head) = row::head(&home.heads, bytes)?;
                after = row::hex(key.as_bytes());
                let (version, next, end) = apply::truncated(&head, key.clone(), stamp);
                self.write_end(&home, &key, head.number, end);
                self.writes.insert(&home.versions, row::version_document(self.core.ids.make(), &version, cv, context));
                self.writes.update(&home.heads, rawdoc! { "_id": head.id }, row::head_document(&key, &next, cv));
                cv += 1;
            }
            ended += found.len() as u64;
            if found.len() < KEYS {
                break;
            }
        }
        self.writes.delete_all(&self.core.own.holders, rawdoc! { "tab": i64::from(table.0) });
        self.writes.flush(&mut self.transaction).await?;
        Ok(ended)
    }

    pub async fn home(&self, table: TableId) -> Result<std::sync::Arc<Home>, Trouble> {
        Ok(self.core.home(table).await?)
    }

    /// Sets aside numbers of a collection; the first of them.
    pub async fn take_cv(&mut self, home: &Home, count: usize) -> Result<u64, Trouble> {
        if count == 0 {
            return Ok(0);
        }
        let by = i32::try_from(count).unwrap_or(i32::MAX);
        let command = rawdoc! {
            "findAndModify": home.counter.collection.as_str(),
            "query": { "_id": "cv" },
            "update": { "$inc": { "value": by } },
            "new": true,
            "upsert": true,
        };
        let reply = self.transaction.command(&home.counter.database, command).await?;
        let value = match reply.get_document("value").ok().and_then(|value| value.get("value")) {
            Some(Bson::Int32(n)) => i64::from(*n),
            Some(Bson::Int64(n)) => *n,
            Some(Bson::Double(x)) => *x as i64,
            _ => return Err(StoreError::Corrupt(format!("{}: unexpected value", home.counter)).into()),
        };
        Ok(u64::try_from(value).unwrap_or(0).saturating_sub(count as u64) + 1)
    }

    /// Reads what requests need to be known; which of the heads are there.
    async fn learn(&mut self, group: &mut Group, needs: &Needs) -> Result<HashSet<Item>, Trouble> {
        let mut known = HashSet::new();
        for (table, keys) in &needs.heads {
            let home = self.home(*table).await?;
            if home.identity == Identity::ObjectId {
                self.learn_joint(group, *table, &home, keys).await?;
                continue;
            }
            let keys: Vec<&ItemKey> = keys.iter().collect();
            for (key, head) in self.heads(*table, &keys).await? {
                known.insert((*table, key.clone()));
                group.heads.insert((*table, key), head);
            }
        }
        let mut slots: Vec<&Slot> = Vec::new();
        let mut joint: BTreeMap<(TableId, IndexId), Vec<&ItemKey>> = BTreeMap::new();
        for (slot, table) in &needs.slots {
            match self.home(*table).await?.identity {
                Identity::Key => slots.push(slot),
                Identity::ObjectId => joint.entry((*table, slot.0)).or_default().push(&slot.1),
            }
        }
        for chunk in slots.chunks(KEYS) {
            self.holders(group, chunk).await?;
        }
        for ((table, index), keys) in joint {
            self.joint_holders(group, (table, index), &keys, needs.heads.get(&table)).await?;
        }
        Ok(known)
    }

    /// Who holds keys of a unique index over members of documents; where several do, one that the group leaves as it is.
    async fn joint_holders(
        &mut self,
        group: &mut Group,
        (table, index): (TableId, IndexId),
        keys: &[&ItemKey],
        changed: Option<&BTreeSet<ItemKey>>,
    ) -> Result<(), Trouble> {
        let home = self.home(table).await?;
        // Definitions are newer than those that the request was made under, or older.
        let index = home.indexes.iter().find(|known| known.id == index).ok_or(StoreError::CatalogConflict)?;
        let mut source = joint::Source::Transaction(&mut self.transaction);
        let mut held = joint::unique::holders(self.core, &mut source, &home, index, keys).await?;
        for key in keys {
            let items = held.remove(*key).unwrap_or_default();
            let is_changed = |item: &&ItemKey| changed.is_some_and(|changed| changed.contains(*item));
            let holder = items.iter().find(|item| !is_changed(item)).or(items.first()).cloned();
            let slot = (index.id, (*key).clone());
            group.told_by_documents.insert(slot.clone());
            group.holders.insert(slot, holder.map(|item| (table, item)));
        }
        Ok(())
    }

    /// Items of a collection that others write too. The group's commits come after all they have.
    async fn learn_joint(
        &mut self,
        group: &mut Group,
        table: TableId,
        home: &Home,
        keys: &BTreeSet<ItemKey>,
    ) -> Result<(), Trouble> {
        let mut source = joint::Source::Transaction(&mut self.transaction);
        for (key, current) in joint::read(self.core, &mut source, home, keys.iter()).await? {
            group.last = group.last.max(current.newest);
            group.heads.insert((table, key.clone()), current.head.clone());
            self.known.current.insert((table, key), current);
        }
        Ok(())
    }

    /// Heads of these items, without inline payloads.
    pub async fn heads(&mut self, table: TableId, keys: &[&ItemKey]) -> Result<Vec<(ItemKey, Head)>, Trouble> {
        let home = self.home(table).await?;
        let mut heads = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(KEYS) {
            let wanted: Vec<String> = chunk.iter().map(|key| row::hex(key.as_bytes())).collect();
            let find = Find::new(doc! { "cg.k": { "$in": wanted } }).only(doc! { "cg.p": 0 });
            for bytes in self.transaction.find(&home.heads, find).await? {
                heads.push(row::head(&home.heads, &bytes)?);
            }
        }
        Ok(heads)
    }

    pub async fn holders(&mut self, group: &mut Group, slots: &[&Slot]) -> Result<(), Trouble> {
        let by_id: HashMap<String, &Slot> = slots.iter().map(|slot| (apply::slot_id(slot.0, &slot.1), *slot)).collect();
        let wanted: Vec<&String> = by_id.keys().collect();
        let ns = &self.core.own.holders;
        let found = self.transaction.find(ns, Find::new(doc! { "_id": { "$in": wanted } })).await?;
        for bytes in &found {
            let document = row::Document::new(ns, bytes)?;
            let Some(slot) = by_id.get(document.text("_id")?) else { continue };
            let table = u32::try_from(document.number("tab")?).map_err(|_| document.corrupt("tab"))?;
            let item = row::unhex(document.text("item")?).ok_or_else(|| document.corrupt("item"))?;
            group.holders.insert((*slot).clone(), Some((TableId(table), ItemKey::from_bytes(item))));
        }
        Ok(())
    }

    /// Sends everything that a group changes.
    async fn write(
        &mut self,
        group: &Group,
        known: &HashSet<Item>,
        requests: &[CommitRequest],
        defined: bool,
    ) -> Result<(), Trouble> {
        if group.made.is_empty() {
            return Ok(());
        }
        self.release_locks(group, requests).await?;
        let cvs = self.write_versions(group, requests).await?;
        self.write_counts(group).await?;
        for ((table, key), number, end) in &group.ends {
            let home = self.home(*table).await?;
            // Ends of the library's versions are not stored.
            if home.identity == Identity::Key {
                self.write_end(&home, key, *number, *end);
            }
        }
        for item in &group.new_heads {
            let (Some(head), Some(cv)) = (group.heads.get(item), cvs.get(item)) else { continue };
            let home = self.home(item.0).await?;
            match home.identity {
                Identity::Key => self.write_head(&home, &item.1, head, *cv, known.contains(item)),
                Identity::ObjectId => self.write_joint_head(&home, item, head, *cv)?,
            }
        }
        self.write_holders(group);
        self.write_entries(group.entries.iter(), group.last.commit);
        for (table, (grown, changed)) in &group.touched {
            // Where others write too nobody counts.
            let is_own = self.home(*table).await?.identity == Identity::Key;
            self.touch(*table, *changed, if is_own { *grown } else { 0 }, false);
        }
        for made in &group.made {
            let Some(request) = requests.get(made.request) else { continue };
            let tables = request.tables.iter().map(String::as_str).collect();
            self.log(made.stamp, &request.context, &tables, made.changes)?;
        }
        self.write_state(group.last, defined);
        self.writes.flush(&mut self.transaction).await
    }

    /// Adds the versions; the newest `cv` of each item that has one.
    async fn write_versions(&mut self, group: &Group, requests: &[CommitRequest]) -> Result<HashMap<Item, u64>, Trouble> {
        let mut tables: BTreeMap<TableId, usize> = BTreeMap::new();
        for added in &group.added {
            *tables.entry(added.table).or_default() += 1;
        }
        let mut next = BTreeMap::new();
        for (table, count) in tables {
            let home = self.home(table).await?;
            let first = self.take_cv(&home, count).await?;
            next.insert(table, (home, first));
        }
        let mut cvs = HashMap::new();
        for added in &group.added {
            let request = group.made.get(added.made).and_then(|made| requests.get(made.request));
            let (Some((home, cv)), Some(request)) = (next.get_mut(&added.table), request) else { continue };
            let document = match home.identity {
                Identity::Key => row::version_document(self.core.ids.make(), &added.version, *cv, &request.context),
                Identity::ObjectId => self.joint_version(added, *cv, &request.context)?,
            };
            self.writes.insert(&home.versions, document);
            cvs.insert((added.table, added.version.key.clone()), *cv);
            *cv += 1;
        }
        Ok(cvs)
    }

    /// Counts what is written to collections of the library, where it counts too.
    async fn write_counts(&mut self, group: &Group) -> Result<(), Trouble> {
        let core = self.core;
        let Some(layout) = &core.layout else { return Ok(()) };
        let mut counts: BTreeMap<TableId, Counts> = BTreeMap::new();
        for added in &group.added {
            let item = (added.table, added.version.key.clone());
            if let Some(written) = self.known.written.get(&item) {
                counts.entry(added.table).or_default().add(layout, added.version.op, &written.meta)?;
            }
        }
        for (table, counts) in counts {
            let home = self.home(table).await?;
            let to = layout.places.get(&home.place.schema).and_then(|place| place.counters.as_ref());
            if let Some((ns, id, update)) = to.and_then(|to| counts.change(to, &home, row::millis(self.now))) {
                self.writes.upsert(&ns, id, update);
            }
        }
        Ok(())
    }

    /// Releases the locks of what is committed, which fails the commit where one of them was lost.
    async fn release_locks(&mut self, group: &Group, requests: &[CommitRequest]) -> Result<(), Trouble> {
        let Some(joint) = self.joint else { return Ok(()) };
        let rows = group.made.iter().filter_map(|made| requests.get(made.request)).flat_map(|request| &request.rows);
        let items: Vec<Item> = rows.map(|row| (row.table, row.key.clone())).collect();
        joint::locks::release_within(self.core, &mut self.transaction, &joint.held, &items, joint.linger).await
    }

    fn joint_version(&mut self, added: &Added, cv: u64, context: &Context) -> Result<RawDocumentBuf, Trouble> {
        let item = (added.table, added.version.key.clone());
        let unlocked = || StoreError::Engine("a collection's item is to change without a lock".to_owned());
        let joint = self.joint.filter(|joint| joint.held.has(&item)).ok_or_else(unlocked)?;
        let written = joint.written(added.table, &added.version, self.known.current.get(&item))?;
        let ids = (self.core.ids.make(), joint::id(&item)?);
        let document = joint::documents::version(ids, &added.version, &written, (cv, self.core.own.home()), context);
        self.known.written.insert(item, written);
        Ok(document)
    }

    fn write_joint_head(&mut self, home: &Home, item: &Item, head: &Head, cv: u64) -> Result<(), Trouble> {
        let id = joint::id(item)?;
        let Some(written) = self.known.written.get(item) else { return Ok(()) };
        let before = self.known.current.get(item);
        let created = before.map_or(written.at, |before| before.head.created_at);
        let document = joint::documents::head(id, head, created, written, (cv, self.core.own.home()));
        match before.and_then(|before| before.head_number) {
            Some(number) => self.writes.update(&home.heads, rawdoc! { "_id": id, "ov": number }, document),
            None => self.writes.insert(&home.heads, document),
        }
        Ok(())
    }

    pub fn write_end(&mut self, home: &Home, key: &ItemKey, number: u64, end: crate::versions::PeriodEnd) {
        let mut filter = rawdoc! { "cg.k": row::hex(key.as_bytes()) };
        row::append_number(&mut filter, cstr!("ov"), number);
        let set = rawdoc! { "cg.to": end.to.micros(), "cg.en": stored(end.commit.0), "cg.eo": i32::from(end.op as u8) };
        self.writes.update(&home.versions, filter, rawdoc! { "$set": set });
    }

    pub fn write_head(&mut self, home: &Home, key: &ItemKey, head: &Head, cv: u64, known: bool) {
        let document = row::head_document(key, head, cv);
        match known {
            true => self.writes.update(&home.heads, rawdoc! { "_id": head.id }, document),
            false => self.writes.insert(&home.heads, document),
        }
    }

    pub fn write_holders(&mut self, group: &Group) {
        let ns = &self.core.own.holders;
        for slot in group.new_holders.difference(&group.told_by_documents) {
            let id = rawdoc! { "_id": apply::slot_id(slot.0, &slot.1) };
            match group.holders.get(slot).and_then(Option::as_ref) {
                Some((table, item)) => {
                    let set = rawdoc! { "item": row::hex(item.as_bytes()), "tab": i64::from(table.0) };
                    self.writes.upsert(ns, id, rawdoc! { "$set": set });
                }
                None => self.writes.delete_all(ns, id),
            }
        }
    }

    pub fn write_entries<'e>(&mut self, ids: impl Iterator<Item = &'e String>, commit: CommitNo) {
        for id in ids {
            let once = rawdoc! { "$setOnInsert": { "n": stored(commit.0) } };
            self.writes.upsert(&self.core.own.entries, rawdoc! { "_id": id.as_str() }, once);
        }
    }

    /// Notes that a commit changed a table.
    pub fn touch(&mut self, table: TableId, commit: CommitNo, grown: i64, loaded: bool) {
        let mut set = rawdoc! { "changed": stored(commit.0) };
        if loaded {
            set.append(cstr!("loaded"), true);
        }
        let update = rawdoc! { "$inc": { "live": grown }, "$set": set };
        self.writes.upsert(&self.core.own.tables, rawdoc! { "_id": i64::from(table.0) }, update);
    }

    pub fn log(
        &mut self,
        stamp: CommitStamp,
        context: &Context,
        tables: &BTreeSet<&str>,
        changes: u64,
    ) -> Result<(), StoreError> {
        let context = mongodb::bson::serialize_to_raw_document_buf(context).map_err(|e| StoreError::Engine(e.to_string()))?;
        let mut names = RawArrayBuf::new();
        tables.iter().for_each(|name| names.push(*name));
        let mut document = rawdoc! { "_id": stored(stamp.commit.0), "t": stamp.time.micros(), "g": self.token };
        document.append(cstr!("context"), context);
        document.append(cstr!("tables"), names);
        document.append(cstr!("rows"), stored(changes));
        self.writes.insert(&self.core.own.commits, document);
        Ok(())
    }

    pub fn write_state(&mut self, last: CommitStamp, defined: bool) {
        let mut set = rawdoc! { "n": stored(last.commit.0), "t": last.time.micros() };
        if defined {
            set.append(cstr!("catalog"), stored(last.commit.0));
        }
        self.writes.update(&self.core.own.state, rawdoc! { "_id": STATE }, rawdoc! { "$set": set });
    }

    /// Changes definitions; whether there was anything to change.
    async fn define(&mut self, changes: &[CatalogChange], stamp: CommitStamp) -> Result<bool, Trouble> {
        let last_of_each: BTreeMap<_, _> = changes.iter().map(|c| ((&c.kind, c.id), &c.definition)).collect();
        let ns = &self.core.own.catalog;
        let mut changed = false;
        for ((kind, id), definition) in last_of_each {
            let current = rawdoc! { "kind": kind.as_str(), "id": i64::from(id), "ended": RawNull };
            let end = rawdoc! { "$set": { "ended": stored(stamp.commit.0), "et": stamp.time.micros() } };
            changed |= update_one(&mut self.transaction, ns, current, end).await?;
            if let Some(definition) = definition {
                changed = true;
                let document = rawdoc! {
                    "kind": kind.as_str(),
                    "id": i64::from(id),
                    "begun": stored(stamp.commit.0),
                    "bt": stamp.time.micros(),
                    "definition": definition.as_str(),
                };
                self.writes.insert(ns, document);
            }
        }
        Ok(changed)
    }
}

use mongodb::bson::RawBson::Null as RawNull;

async fn update_one(
    transaction: &mut Transaction<'_>,
    ns: &Namespace,
    filter: RawDocumentBuf,
    update: RawDocumentBuf,
) -> Result<bool, Trouble> {
    let mut updates = RawArrayBuf::new();
    updates.push(rawdoc! { "q": filter, "u": update });
    let mut command = rawdoc! { "update": ns.collection.as_str() };
    command.append(cstr!("updates"), updates);
    let reply = transaction.command(&ns.database, command).await?;
    if let Some(trouble) = super::server::refused(&reply) {
        return Err(trouble);
    }
    Ok(reply.get_i32("n").is_ok_and(|n| n > 0))
}

/// Ops of heads that live.
pub fn live_ops() -> [i32; 3] {
    use crate::versions::Op::{Create, Restore, Update};
    [Create as i32, Update as i32, Restore as i32]
}
