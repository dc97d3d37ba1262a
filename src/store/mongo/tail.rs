//! Notices what others commit: other gateways by the document that every commit writes, the library by change streams, or
//! by looking for its newest documents now and then where the server has none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::bson::doc;

use super::home::STATE;
use super::server::{Find, Namespace};
use super::{Core, joint, library, row};
use crate::store::StoreError;
use crate::versions::{CommitNo, CommitStamp, Timestamp};

/// How often the library's collections are looked for, and its newest documents where nothing else tells of them.
const LOOKING: Duration = Duration::from_secs(5);
const POLLING: Duration = Duration::from_secs(1);

/// How often what the library wrote is looked through for members that it left out, and since how many milliseconds before
/// the first write that was noticed: clocks differ.
const MENDING: Duration = Duration::from_millis(200);
const BEFORE: i64 = 10_000;

/// What was seen last of other gateways.
#[derive(Debug, Default)]
pub struct Tail {
    catalog: CommitNo,
}

impl Tail {
    /// Looks once.
    pub async fn step(&mut self, core: &Core) -> Result<(), StoreError> {
        let ns = &core.own.state;
        let Some(bytes) = core.server.find_one(ns, Find::new(doc! { "_id": STATE })).await? else { return Ok(()) };
        let state = row::Document::new(ns, &bytes)?;
        let catalog = state.commit("catalog")?;
        if catalog != self.catalog {
            self.catalog = catalog;
            core.homes.forget();
        }
        let last = CommitStamp { commit: state.commit("n")?, time: state.time("t")? };
        if last.commit > CommitNo::ZERO {
            core.publish(last);
        }
        Ok(())
    }

    /// Looks again and again, until it is aborted.
    pub async fn run(mut self, core: Arc<Core>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.step(&core).await {
                tracing::debug!(%error, "commits of others cannot be looked for");
            }
        }
    }
}

/// Looks once for what the library wrote.
pub async fn look(core: &Core) -> Result<(), StoreError> {
    library::refresh(core).await?;
    let known = core.last_commit();
    let newest = library::newest_of_all(core, known.time).await?;
    if newest.commit > CommitNo::ZERO && newest > known {
        core.publish(newest);
        // Which of them it wrote to was not asked.
        let heads: Vec<Namespace> = core.found.read().iter().map(|home| home.heads.clone()).collect();
        heads.into_iter().for_each(|heads| notice(core, heads, known.time));
    }
    Ok(())
}

/// The library has written to a collection with these heads since then.
fn notice(core: &Core, heads: Namespace, since: Timestamp) {
    let millis = row::millis(since);
    let mut noticed = core.noticed.lock();
    let known = noticed.entry(heads).or_insert(millis);
    *known = millis.min(*known);
}

/// Adds to what the library wrote the members that our indexes are over, until it is aborted.
pub async fn mend(core: Arc<Core>) {
    loop {
        tokio::time::sleep(MENDING).await;
        let noticed = std::mem::take(&mut *core.noticed.lock());
        for (heads, since) in noticed {
            if let Err(error) = joint::indexing::mend(&core, &heads, since - BEFORE).await {
                tracing::debug!(%error, %heads, "members of what the library wrote are left out");
                notice(&core, heads, Timestamp::from_micros(since.saturating_mul(1000)));
            }
        }
    }
}

/// Follows what the library writes to one MongoDB database, until it is aborted.
pub async fn follow(core: Arc<Core>, database: String) {
    loop {
        match core.server.watch(&database, library::watched(core.own.home())).await {
            Ok(stream) => watch(&core, &database, stream).await,
            Err(error) => {
                tracing::debug!(%error, %database, "there is no change stream");
                poll(&core).await;
            }
        }
    }
}

async fn watch(core: &Core, database: &str, mut stream: super::server::Changes) {
    let age = core.server.age();
    let mut looked = look_again(core).await;
    // A stream on connections that lead nowhere says nothing any more.
    while core.server.age() == age {
        let left = LOOKING.saturating_sub(looked.elapsed());
        match tokio::time::timeout(left, stream.next()).await {
            Ok(Some(event)) => {
                let Some((collection, stamp)) = library::noticed(&event) else { continue };
                let ns = Namespace::new(database, collection);
                let known = core.found.read().iter().find(|h| h.heads == ns || h.versions == ns).map(|h| h.heads.clone());
                match known {
                    Some(heads) => {
                        core.publish(stamp);
                        notice(core, heads, stamp.time);
                    }
                    None => looked = look_again(core).await,
                }
            }
            Ok(None) => return,
            Err(_) => looked = look_again(core).await,
        }
    }
}

async fn poll(core: &Core) {
    look_again(core).await;
    tokio::time::sleep(POLLING).await;
}

async fn look_again(core: &Core) -> Instant {
    if let Err(error) = look(core).await {
        tracing::debug!(%error, "writes of the library cannot be looked for");
        tokio::time::sleep(POLLING).await;
    }
    Instant::now()
}
