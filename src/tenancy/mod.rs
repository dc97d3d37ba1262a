//! Which databases there are, which of them a connection may reach, and opening each once.
//!
//! Owns the cluster's catalogue: the list of databases and the roles. Knows no SQL and no wire.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::history::{Database, RoleDef};

/// Opens the stores of a database; implemented by the composition root, which alone names concrete stores.
#[async_trait]
pub trait StoreOpener: Send + Sync + std::fmt::Debug {
    /// `name` is the database's, or `cluster` for the cluster's own catalogue.
    async fn open(&self, file: &str) -> Result<(Arc<dyn crate::store::IndexStore>, Arc<dyn crate::store::PayloadStore>)>;
}

/// The databases and roles of one server.
#[derive(Debug)]
pub struct Tenancy {}

#[expect(unused_variables)]
impl Tenancy {
    /// Reads the cluster's catalogue; a new one gets the database `chronogate` and the superuser.
    /// A superuser password given here replaces the stored verifier.
    pub async fn open(
        opener: Arc<dyn StoreOpener>,
        clock: Arc<dyn crate::runtime::Clock>,
        entropy: Arc<dyn crate::runtime::Entropy>,
        superuser: &str,
        superuser_password: Option<&str>,
    ) -> Result<Arc<Self>> {
        todo!()
    }

    /// The database of this name, opened at first use; 3D000 when there is none.
    pub async fn database(&self, name: &str) -> Result<Arc<Database>> {
        todo!()
    }

    pub fn databases(&self) -> Vec<(u32, String)> {
        todo!()
    }

    pub async fn create_database(&self, name: &str, owner: &str) -> Result<()> {
        todo!()
    }

    /// Refused with 55006 while `in_use`.
    pub async fn drop_database(&self, name: &str, in_use: bool) -> Result<()> {
        todo!()
    }

    pub fn role(&self, name: &str) -> Option<Arc<RoleDef>> {
        todo!()
    }

    pub fn roles(&self) -> Vec<Arc<RoleDef>> {
        todo!()
    }

    /// Creates or replaces a role's definition.
    pub async fn put_role(&self, role: RoleDef) -> Result<()> {
        todo!()
    }

    pub async fn drop_role(&self, name: &str) -> Result<()> {
        todo!()
    }

    /// Whether any role has a password: then nobody is let in without one.
    pub fn any_password(&self) -> bool {
        todo!()
    }

    /// Closes every open database.
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}
