//! Where things are: the collections of the database itself, and which collections a table's items live in.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;

use super::row;
use super::server::{Find, Namespace, Server};
use crate::store::{CatalogChange, StoreError};
use crate::versions::{IndexId, MemberIndex, TableId};

/// A MongoDB database that a schema's tables live in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub schema: String,
    pub database: String,
}

/// The database's own collections.
#[derive(Clone, Debug)]
pub struct Own {
    /// One document: the newest commit, and the newest that changed a definition. Every commit writes it, so commits of
    /// all gateways stand in one row.
    pub state: Namespace,
    pub commits: Namespace,
    pub catalog: Namespace,
    pub counters: Namespace,
    /// `_id` is `index.key.item`, the last two in hexadecimal, for what was ever together.
    pub entries: Namespace,
    /// `_id` is `index.key` of a unique index; `item` holds it, of table `tab`.
    pub holders: Namespace,
    /// What is kept about a table as a whole.
    pub tables: Namespace,
}

/// `_id` of the one document of [`Own::state`].
pub const STATE: &str = "commits";

impl Own {
    pub fn new(database: &str) -> Self {
        let own = |name: &str| Namespace::new(database, format!("chronogate_{name}"));
        Self {
            state: own("state"),
            commits: own("commits"),
            catalog: own("catalog"),
            counters: own("counters"),
            entries: own("entries"),
            holders: own("holders"),
            tables: own("tables"),
        }
    }

    /// The MongoDB database that they are in; no other Chronogate database has it.
    pub fn home(&self) -> &str {
        &self.state.database
    }

    /// Makes what is not there yet.
    pub async fn ensure(&self, server: &Server) -> Result<(), StoreError> {
        let found = server.find_one(&self.state, Find::new(doc! { "_id": STATE })).await?;
        if found.is_some() {
            return Ok(());
        }
        server.ensure(&self.commits, &[index("by_time", doc! { "t": 1 }, false)]).await?;
        server.ensure(&self.catalog, &[index("by_definition", doc! { "kind": 1, "id": 1 }, false)]).await?;
        server.ensure(&self.holders, &[index("by_table", doc! { "tab": 1 }, false)]).await?;
        for ns in [&self.counters, &self.entries, &self.tables] {
            server.ensure(ns, &[]).await?;
        }
        // Last, so that where it is the others are.
        let none = doc! { "$setOnInsert": { "n": 0_i64, "t": i64::MIN, "catalog": 0_i64 } };
        server.find_and_update(&self.state, doc! { "_id": STATE }, none).await.map(|_| ())
    }
}

/// What an item's key is made of, and so who writes the collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The document's own id: a collection that the library writes too.
    ObjectId,
    /// `cg.k`: a collection of ours.
    Key,
}

/// The collections of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub place: Place,
    pub collection: String,
    pub identity: Identity,
    pub heads: Namespace,
    pub versions: Namespace,
    pub counter: Namespace,
    /// Of items; only where the library writes too.
    pub locks: Namespace,
    /// Over members of the documents; only where the library writes too.
    pub indexes: Vec<MemberIndex>,
}

impl Home {
    pub fn new(place: &Place, collection: &str, identity: Identity) -> Self {
        let part = |suffix: &str| Namespace::new(&place.database, format!("{collection}_{suffix}"));
        Self {
            place: place.clone(),
            collection: collection.to_owned(),
            identity,
            heads: part("head"),
            versions: part("ver"),
            counter: part("counter"),
            locks: part("locks"),
            indexes: Vec::new(),
        }
    }

    /// Members that its indexes are over.
    pub fn paths(&self) -> BTreeSet<&str> {
        self.indexes.iter().flat_map(MemberIndex::paths).collect()
    }
}

/// What a definition may say about where its table lives; the rest of it is not ours to read.
#[derive(Deserialize)]
struct Definition {
    collection: Option<DefinedHome>,
}

#[derive(Deserialize)]
struct DefinedHome {
    place: String,
    name: String,
    identity: Identity,
    #[serde(default)]
    indexes: Vec<MemberIndex>,
}

/// What is remembered until definitions change.
#[derive(Debug, Default)]
struct Known {
    homes: HashMap<TableId, Arc<Home>>,
    /// Tables of indexes over members; `None` while nobody has looked.
    indexes: Option<HashMap<IndexId, TableId>>,
    /// Grows whenever all is forgotten: what was read before that is not to be remembered.
    age: u64,
}

/// Finds and remembers tables' homes.
#[derive(Debug)]
pub struct Homes {
    places: Vec<Place>,
    known: RwLock<Known>,
    /// Tables whose collections are there.
    made: Mutex<HashSet<TableId>>,
    /// When released locks were last removed.
    swept: Mutex<HashMap<Namespace, Instant>>,
}

impl Homes {
    pub fn new(places: Vec<Place>) -> Self {
        Self { places, known: RwLock::default(), made: Mutex::default(), swept: Mutex::default() }
    }

    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// A table's home, asked of the catalogue the first time.
    pub async fn of(&self, table: TableId, server: &Server, own: &Own) -> Result<Arc<Home>, StoreError> {
        let age = {
            let known = self.known.read();
            if let Some(home) = known.homes.get(&table) {
                return Ok(home.clone());
            }
            known.age
        };
        let newest = Find::new(doc! { "kind": "table", "id": i64::from(table.0) }).sort(doc! { "begun": -1 });
        let found = server.find_one(&own.catalog, newest).await?;
        let home = match &found {
            Some(bytes) => self.read(table, row::Document::new(&own.catalog, bytes)?.text("definition")?)?,
            None => self.usual(table)?,
        };
        let home = Arc::new(home);
        let mut known = self.known.write();
        if known.age == age {
            known.homes.insert(table, home.clone());
        }
        Ok(home)
    }

    /// The table that has this index over members of documents, with its home.
    pub async fn of_index(&self, index: IndexId, server: &Server, own: &Own) -> Result<Option<(TableId, Arc<Home>)>, StoreError> {
        match self.indexes(server, own).await?.get(&index) {
            Some(table) => Ok(Some((*table, self.of(*table, server, own).await?))),
            None => Ok(None),
        }
    }

    /// The home with these heads, if it has indexes over members of documents.
    pub async fn indexed(&self, heads: &Namespace, server: &Server, own: &Own) -> Result<Option<Arc<Home>>, StoreError> {
        let tables: BTreeSet<TableId> = self.indexes(server, own).await?.values().copied().collect();
        for table in tables {
            let home = self.of(table, server, own).await?;
            if home.heads == *heads {
                return Ok(Some(home));
            }
        }
        Ok(None)
    }

    /// Tables of indexes over members of documents.
    async fn indexes(&self, server: &Server, own: &Own) -> Result<HashMap<IndexId, TableId>, StoreError> {
        let age = {
            let known = self.known.read();
            if let Some(tables) = &known.indexes {
                return Ok(tables.clone());
            }
            known.age
        };
        let tables = self.all_indexes(server, own).await?;
        let mut known = self.known.write();
        if known.age == age {
            known.indexes = Some(tables.clone());
        }
        Ok(tables)
    }

    async fn all_indexes(&self, server: &Server, own: &Own) -> Result<HashMap<IndexId, TableId>, StoreError> {
        let mut tables = HashMap::new();
        let live = doc! { "kind": "table", "ended": mongodb::bson::Bson::Null };
        for bytes in server.find(&own.catalog, Find::new(live)).await? {
            let document = row::Document::new(&own.catalog, &bytes)?;
            let id = u32::try_from(document.number("id")?).map_err(|_| document.corrupt("id"))?;
            // What is wrong with a definition is for those to hear who read its table.
            let Ok(home) = self.read(TableId(id), document.text("definition")?) else { continue };
            tables.extend(home.indexes.iter().map(|index| (index.id, TableId(id))));
        }
        Ok(tables)
    }

    /// Takes from a request what it says about tables that it makes.
    pub fn learn(&self, changes: &[CatalogChange]) -> Result<(), StoreError> {
        for change in changes.iter().filter(|change| change.kind == "table") {
            let Some(definition) = &change.definition else { continue };
            let home = self.read(TableId(change.id), definition)?;
            let mut known = self.known.write();
            known.age += 1;
            known.indexes = None;
            known.homes.insert(TableId(change.id), Arc::new(home));
        }
        Ok(())
    }

    /// Another gateway changed definitions.
    pub fn forget(&self) {
        let mut known = self.known.write();
        *known = Known { age: known.age + 1, ..Known::default() };
    }

    fn read(&self, table: TableId, definition: &str) -> Result<Home, StoreError> {
        let defined = serde_json::from_str::<Definition>(definition).ok().and_then(|d| d.collection);
        let Some(DefinedHome { place, name, identity, indexes }) = defined else { return self.usual(table) };
        let found = self.places.iter().find(|p| p.schema == place);
        let unknown =
            || StoreError::Corrupt(format!("table {} is defined in place \"{place}\", of which nothing is known", table.0));
        Ok(Home { indexes, ..Home::new(found.ok_or_else(unknown)?, &name, identity) })
    }

    fn usual(&self, table: TableId) -> Result<Home, StoreError> {
        let place = self.places.first().ok_or_else(|| StoreError::Engine("there is no place for tables".to_owned()))?;
        Ok(Home::new(place, &format!("t{}", table.0), Identity::Key))
    }

    /// A table's collections are there, whoever made them.
    pub fn is_made_now(&self, table: TableId) {
        self.made.lock().insert(table);
    }

    /// Whether it is time to remove released locks of a collection.
    pub fn sweeps_locks(&self, locks: &Namespace) -> bool {
        let now = Instant::now();
        let mut swept = self.swept.lock();
        let due = swept.get(locks).is_none_or(|last| now.duration_since(*last) >= SWEEPING);
        if due {
            swept.insert(locks.clone(), now);
        }
        due
    }

    pub fn is_made(&self, table: TableId) -> bool {
        self.made.lock().contains(&table)
    }

    /// Makes a table's collections, which a transaction cannot do with their indexes.
    pub async fn ensure(&self, table: TableId, home: &Home, server: &Server) -> Result<(), StoreError> {
        if self.made.lock().contains(&table) {
            return Ok(());
        }
        server.ensure(&home.heads, &[index("cg_key", doc! { "cg.k": 1 }, true)]).await?;
        let by_key = index("cg_key_ov", doc! { "cg.k": 1, "ov": 1 }, true);
        server.ensure(&home.versions, &[by_key, index("cg_to", doc! { "cg.to": 1 }, false)]).await?;
        server.ensure(&home.counter, &[]).await?;
        self.made.lock().insert(table);
        Ok(())
    }
}

/// Indexes as the driver takes them.
pub fn models(indexes: &[crate::store::chronos::indexes::Index]) -> Vec<IndexModel> {
    let model = |index: &crate::store::chronos::indexes::Index| {
        let keys: Document = index.keys.iter().map(|(field, direction)| (field.clone(), (*direction).into())).collect();
        let mut options = IndexOptions::builder().name(index.name.clone()).unique(index.unique.then_some(true)).build();
        options.partial_filter_expression = index.where_exists.as_ref().map(|field| doc! { field: { "$exists": true } });
        IndexModel::builder().keys(keys).options(options).build()
    };
    indexes.iter().map(model).collect()
}

fn index(name: &str, keys: Document, unique: bool) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).unique(unique.then_some(true)).build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// How often released locks of a collection are removed.
const SWEEPING: Duration = Duration::from_secs(5);

/// How long the tail waits before it asks again, unless told otherwise.
pub const TAIL: Duration = Duration::from_millis(100);
