//! Tables over collections that another program wrote: defined from what is in them, widened when more shows up.
//!
//! Writes definitions only, never a document. A collection that is gone keeps its table, which has no rows then.

use std::sync::Arc;

use super::shapes::{DOCUMENT_ID, Shape, Shapes};
use super::{
    CatalogError, CollectionDef, ColumnDef, ColumnId, Database, HistoryError, Identification, SchemaDef, TableDef, Transaction,
};
use crate::store::{Collection, Collections, PayloadStore, StoreError, readable};
use crate::types::Qualified;
use crate::versions::{Context, TableId};

/// Versions that are looked at of each collection before its table is defined.
const SAMPLE: usize = 2_000;
/// Documents fetched at a time.
const AT_ONCE: usize = 200;
/// A definition of ours that met another one is made again so often.
const ATTEMPTS: usize = 20;

impl Database {
    /// Defines a table, owned by `owner`, over every collection beside the database that has none; returns those
    /// defined. A collection whose name cannot be a table's is left out with a warning in the log. Looks at most every
    /// few seconds.
    pub async fn adopt(&self, owner: &str) -> Result<Vec<Qualified>, HistoryError> {
        let Some(collections) = self.collections_to_look_at() else { return Ok(Vec::new()) };
        self.learn().await?;
        let mut adopted = Vec::new();
        for collection in collections.list().await? {
            if self.table_over(&collection).is_some() {
                continue;
            }
            let shapes = shapes_of(collections.as_ref(), self.payloads(), &collection).await?;
            match self.define(&collection, &shapes, owner).await {
                Ok(name) => adopted.push(name),
                Err(HistoryError::Catalog(cause)) => {
                    tracing::warn!(%cause, place = collection.place, collection = collection.name, "no table over a collection");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(adopted)
    }

    /// Looks again at a sample of the table's documents and widens it where they ask for that; whether they did.
    pub async fn infer(&self, table: &TableDef) -> Result<bool, HistoryError> {
        let (Some(collections), Some(of)) = (self.collections(), &table.collection) else { return Ok(false) };
        let collection = Collection { place: of.place.clone(), name: of.name.clone() };
        let shapes = shapes_of(collections.as_ref(), self.payloads(), &collection).await?;
        self.redefine(table.id, |columns| shapes.widen(columns)).await
    }

    /// Widens the table until it has a column for every member of these documents that can have one; whether it had to.
    pub async fn cover(&self, table: TableId, documents: impl Iterator<Item = &[u8]>) -> Result<bool, HistoryError> {
        let mut shapes = Shapes::default();
        for document in documents {
            let _ = shapes.see(document);
        }
        self.redefine(table, |columns| shapes.widen(columns)).await
    }

    /// Makes the column that holds this member wide enough for a value of this shape.
    pub async fn widen(&self, table: TableId, field: &str, shape: Shape) -> Result<bool, HistoryError> {
        let wider = |columns: &[ColumnDef]| {
            let mut wider = columns.to_vec();
            let column = wider.iter_mut().find(|column| column.field == field)?;
            column.ty = shape.widened(column.ty);
            (wider != columns).then_some(wider)
        };
        self.redefine(table, wider).await
    }

    fn table_over(&self, collection: &Collection) -> Option<Arc<TableDef>> {
        let is_over = |def: &CollectionDef| def.place == collection.place && def.name == collection.name;
        self.catalog().tables.values().find(|table| table.collection.as_ref().is_some_and(is_over)).cloned()
    }

    async fn define(&self, collection: &Collection, shapes: &Shapes, owner: &str) -> Result<Qualified, HistoryError> {
        let name = Qualified::new(collection.place.as_str(), collection.name.as_str());
        let define = |transaction: &mut Transaction| {
            let mut catalog = super::Catalog::clone(&transaction.catalog);
            if !catalog.schemas.contains_key(&collection.place) {
                let (id, name) = (catalog.ids.next(), collection.place.clone());
                let def = SchemaDef { id, name, owner: owner.to_owned(), comment: None, grants: Default::default() };
                catalog.create_schema(def)?;
            }
            let of = CollectionDef {
                place: collection.place.clone(),
                name: collection.name.clone(),
                identity: Identification::ObjectId,
                indexes: Vec::new(),
            };
            let (id, counter) = (TableId(catalog.ids.next()), catalog.ids.next());
            catalog.create_table(table(id, counter, name.clone(), owner, of, shapes.columns()))?;
            transaction.apply_catalog(catalog)?;
            Ok(true)
        };
        self.change_definitions(define).await?;
        Ok(name)
    }

    async fn redefine(
        &self,
        table: TableId,
        change: impl Fn(&[ColumnDef]) -> Option<Vec<ColumnDef>>,
    ) -> Result<bool, HistoryError> {
        self.change_definitions(|transaction| {
            let mut catalog = super::Catalog::clone(&transaction.catalog);
            let Some(def) = catalog.table_by_id(table).cloned() else { return Ok(false) };
            let Some(columns) = change(&def.columns) else { return Ok(false) };
            catalog.replace_table(TableDef { columns, ..TableDef::clone(&def) })?;
            transaction.apply_catalog(catalog)?;
            Ok(true)
        })
        .await
    }

    /// Commits a change of definitions, made anew when others came between; whether there was one.
    async fn change_definitions(
        &self,
        change: impl Fn(&mut Transaction) -> Result<bool, HistoryError>,
    ) -> Result<bool, HistoryError> {
        for _ in 0..ATTEMPTS {
            let mut transaction = self.begin(Context::default());
            if !change(&mut transaction)? {
                return Ok(false);
            }
            match self.commit(transaction).await {
                Ok(_) => return Ok(true),
                Err(HistoryError::Store(StoreError::CatalogConflict | StoreError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(HistoryError::Store(StoreError::CatalogConflict))
    }
}

/// A table over a collection: its key is the documents' own.
pub(super) fn table(
    id: TableId,
    row_counter: u32,
    name: Qualified,
    owner: &str,
    collection: CollectionDef,
    columns: Vec<ColumnDef>,
) -> TableDef {
    let key: Vec<ColumnId> = columns.iter().filter(|column| column.name == DOCUMENT_ID).map(|column| column.id).collect();
    TableDef {
        id,
        primary_key: Some((format!("{}_pkey", name.name), key)),
        name,
        owner: owner.to_owned(),
        columns,
        row_counter,
        uniques: Vec::new(),
        indexes: Vec::new(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        computed_indexes: Vec::new(),
        comments: Default::default(),
        on_commit: Default::default(),
        materialized: None,
        collection: Some(collection),
        triggers: Vec::new(),
        grants: Default::default(),
    }
}

/// What a sample of the collection shows. A document that cannot be read tells nothing and is no hindrance.
async fn shapes_of(
    collections: &dyn Collections,
    payloads: &dyn PayloadStore,
    collection: &Collection,
) -> Result<Shapes, HistoryError> {
    let mut shapes = Shapes::default();
    let sample = collections.sample(collection, SAMPLE).await?;
    for refs in sample.chunks(AT_ONCE) {
        for document in readable(payloads, refs).await?.into_iter().flatten() {
            let _ = shapes.see(&document);
        }
    }
    Ok(shapes)
}

impl From<CatalogError> for HistoryError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}
