//! Members of documents that indexes are over, kept beside documents from before them, and MongoDB's own indexes of them.
//!
//! All of it may be repeated and left half done: readers keep what has no such member, and a document's `metaIndexed` only
//! grows. Versions say nothing else than before; a head is changed only as it was read.

use std::sync::Arc;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};

use super::layout::Layout;
use super::{READ_ONLY, documents, ensure};
use crate::store::chronos::json::{self, Json};
use crate::store::chronos::{indexes, meta};
use crate::store::mongo::home::{self, Home, Identity};
use crate::store::mongo::server::{Find, Namespace};
use crate::store::mongo::{Core, object, row};
use crate::store::{PayloadRef, Progress, StoreError, readable};
use crate::versions::{MemberIndex, TableId};

/// How many documents are looked at together.
const SOME: usize = if cfg!(test) { 20 } else { 200 };

/// Documents written so long before an index was committed are looked at once more.
const BEFORE: i64 = 60_000;

/// Makes the members of an index ready: MongoDB indexes them, and every head and version there is has them.
pub async fn build(core: &Core, home: &Home, index: &MemberIndex, progress: &Progress) -> Result<(), StoreError> {
    ensure(core, home).await?;
    let layout = core.layout.as_ref().ok_or(READ_ONLY)?;
    if !index.paths().all(|path| layout.can_index(home, path)) {
        return Err(StoreError::Unsupported("an index of a member of which the configuration indexes a part"));
    }
    let paths: Vec<String> = index.paths().map(str::to_owned).collect();
    let models = home::models(&paths.iter().map(|path| indexes::of_path(path)).collect::<Vec<_>>());
    for ns in [&home.heads, &home.versions] {
        core.server.ensure(ns, &models).await?;
    }
    let (heads, versions) = (core.server.estimate(&home.heads).await?, core.server.estimate(&home.versions).await?);
    progress.expect(heads + versions);
    for ns in [&home.heads, &home.versions] {
        fill(core, home, ns, &paths, None, Some(progress)).await?;
    }
    // What has the members already was not looked at.
    let (total, done) = progress.get();
    progress.add(total - done);
    Ok(())
}

/// Goes on after a commit that changed which members the indexes of a table are over: indexes of MongoDB's that none needs
/// any more are dropped, and what was written while an index was made is looked at once more.
pub async fn follow(core: Arc<Core>, table: TableId, before: Arc<Home>) {
    if let Err(error) = try_to_follow(&core, table, &before).await {
        tracing::debug!(%error, collection = before.collection, "members of new or dropped indexes are left as they are");
    }
}

async fn try_to_follow(core: &Core, table: TableId, before: &Home) -> Result<(), StoreError> {
    let Some(layout) = &core.layout else { return Ok(()) };
    let now = core.home(table).await?;
    if before.identity != Identity::ObjectId || before.heads != now.heads {
        return Ok(());
    }
    for path in before.paths().difference(&now.paths()) {
        if layout.is_configured(before, path) {
            continue;
        }
        for ns in [&before.heads, &before.versions] {
            let command = doc! { "dropIndexes": &ns.collection, "index": indexes::of_path(path).name };
            if let Err(error) = core.server.command(&ns.database, command).await {
                tracing::debug!(%error, %ns, path, "an index is left");
            }
        }
    }
    let new: Vec<String> = now.paths().difference(&before.paths()).map(|path| (*path).to_owned()).collect();
    if !new.is_empty() {
        let since = core.clock.now_micros().div_euclid(1000) - BEFORE;
        for ns in [&now.heads, &now.versions] {
            fill(core, &now, ns, &new, Some(since), None).await?;
        }
    }
    Ok(())
}

/// Adds what the library's writes since then (in milliseconds) have left out: it keeps the members that its configuration
/// names, and no others.
pub async fn mend(core: &Core, heads: &Namespace, since: i64) -> Result<(), StoreError> {
    let Some(layout) = &core.layout else { return Ok(()) };
    let Some(home) = core.homes.indexed(heads, &core.server, &core.own).await? else { return Ok(()) };
    let is_left_out = |path: &&str| !layout.is_configured(&home, path) && layout.can_index(&home, path);
    let paths: Vec<String> = home.paths().into_iter().filter(is_left_out).map(str::to_owned).collect();
    if paths.is_empty() {
        return Ok(());
    }
    for ns in [&home.heads, &home.versions] {
        fill(core, &home, ns, &paths, Some(since), None).await?;
    }
    Ok(())
}

/// Adds these members to `metaIndexed` of what lacks them, of documents of this collection written since then (in
/// milliseconds).
async fn fill(
    core: &Core,
    home: &Home,
    ns: &Namespace,
    paths: &[String],
    since: Option<i64>,
    progress: Option<&Progress>,
) -> Result<(), StoreError> {
    let is_head = *ns == home.heads;
    let lacking: Vec<Document> = paths.iter().map(|path| doc! { format!("metaIndexed.{path}"): { "$exists": false } }).collect();
    let mut after: Option<ObjectId> = None;
    loop {
        let mut filter = doc! { "$or": &lacking };
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": after });
        }
        if let Some(since) = since {
            filter.insert(if is_head { "updatedAt" } else { "at" }, doc! { "$gte": DateTime::from_millis(since) });
        }
        let find = Find::new(filter).sort(doc! { "_id": 1 }).only(doc! { "fullShadow": 0, "metaIndexed": 0 }).limit(SOME);
        let found = core.server.find(ns, find).await?;
        let (mut queries, mut refs) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        for bytes in &found {
            let document = row::Document::new(ns, bytes)?;
            let id = document.id("_id")?;
            let as_read = doc! { "_id": id, "ov": document.number("ov")?, "cv": document.number("cv")? };
            after = Some(id);
            if let Ok(payload @ PayloadRef::Object { .. }) = object::pointer(&document) {
                queries.push(if is_head {
                    as_read
                } else {
                    doc! { "_id": id }
                });
                refs.push(payload);
            }
        }
        add_members(core, ns, paths, queries, &refs).await?;
        if let Some(progress) = progress {
            progress.add(found.len() as u64);
        }
        if found.len() < SOME {
            return Ok(());
        }
    }
}

/// Adds members out of these payloads to the documents that these queries find.
async fn add_members(
    core: &Core,
    ns: &Namespace,
    paths: &[String],
    queries: Vec<Document>,
    refs: &[PayloadRef],
) -> Result<(), StoreError> {
    let payloads = core.payloads.as_ref().ok_or(READ_ONLY)?;
    let mut updates = Vec::new();
    for (query, payload) in queries.into_iter().zip(readable(payloads.as_ref(), refs).await?) {
        let members = payload.map_or_else(Document::new, |payload| members_of(paths, &payload));
        if !members.is_empty() {
            updates.push(doc! { "q": query, "u": { "$set": members } });
        }
    }
    if updates.is_empty() {
        return Ok(());
    }
    let command = doc! {
        "update": &ns.collection,
        "updates": updates,
        "ordered": false,
        "writeConcern": { "w": "majority" },
    };
    let reply = core.server.command(&ns.database, command).await?;
    // What is kept there in another form than the document has it stays so.
    if let Some(error) = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()) {
        tracing::debug!(%error, %ns, "some members are not kept beside their documents");
    }
    Ok(())
}

/// What a document has under these paths, by where it belongs; each found as the configuration's paths are.
fn members_of(paths: &[String], document: &[u8]) -> Document {
    let Ok(Json::Object(object)) = json::parse(document) else { return Document::new() };
    let mut members = Document::new();
    for path in paths {
        let found = Json::Object(meta::extract(std::slice::from_ref(path), &object));
        if let Some(Ok(value)) = found.at(path).map(meta::value) {
            members.insert(format!("metaIndexed.{path}"), documents::bson(value));
        }
    }
    members
}

impl Layout {
    fn configured(&self, home: &Home) -> &[String] {
        self.collections.get(&home.collection).map_or(&[], |map| &map.indexed)
    }

    fn is_configured(&self, home: &Home, path: &str) -> bool {
        self.configured(home).iter().any(|configured| configured == path)
    }

    /// Whether a member can be kept without changing what the library keeps of its parts.
    fn can_index(&self, home: &Home, path: &str) -> bool {
        let below = |configured: &String| configured.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
        !self.configured(home).iter().any(below)
    }

    /// The paths that `metaIndexed` has of a collection's documents: those of the configuration and of our indexes. None,
    /// as in the configuration, stands for all members of the top level.
    pub fn indexed(&self, home: &Home) -> Vec<String> {
        let configured = self.configured(home);
        if configured.is_empty() {
            return Vec::new();
        }
        let ours = home.paths().into_iter().filter(|path| !self.is_configured(home, path) && self.can_index(home, path));
        ours.map(str::to_owned).chain(configured.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Bson;

    use super::*;

    #[test]
    fn members_are_found_as_the_configuration_finds_them() {
        let paths = ["status", "name.first", "none", "list.a"].map(str::to_owned);
        let document = br#"{"status": null, "name": {"first": "A", "last": 2147483648}, "list": [{"a": 1}], "_system": {}}"#;
        let expected = doc! { "metaIndexed.status": Bson::Null, "metaIndexed.name.first": "A" };
        assert_eq!(members_of(&paths, document), expected);
        assert_eq!(
            members_of(&["name".to_owned()], document),
            doc! { "metaIndexed.name": { "first": "A", "last": 2_147_483_648.0 } }
        );
        assert_eq!(members_of(&paths, b"[1]"), Document::new());
    }
}
