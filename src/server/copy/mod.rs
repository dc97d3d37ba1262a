//! `chronogate copy`: a data directory becomes a copy of another one, or of a deployment, with all of the past.
//!
//! Databases are copied one after the other, each into a file that no server opens before it is whole (`files` from a file of
//! ours, `documents` from a deployment) and compared with what it was made of (`compare`). A copy that was interrupted goes on
//! where it ended. What it is copied from is read only, save that tables over collections are defined as serving does it.

mod compare;
mod documents;
mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data::CLUSTER;
use super::deployment::DeploymentStores;
use super::{DataDirectory, DataError, DeploymentError, Settings};
use crate::config::deployment::{ConfigFile, Deployment};
use crate::config::{Config, ConfigError};
use crate::error::SqlError;
use crate::history::HistoryError;
use crate::store::sqlite::SqliteIndex;
use crate::store::{CatalogRow, Checksum, IndexStore, StoreError};
use crate::tenancy::{DatabaseDef, GIVEN, Tenancy};

/// What is copied.
pub enum Source {
    Directory(PathBuf),
    /// With the file that configures it.
    Deployment(PathBuf, Box<Deployment>),
}

/// How far a copy is.
#[derive(Clone, Copy, Debug)]
pub enum Step<'s> {
    /// A database is begun, with so many rows still to be copied where that is known.
    Database { name: &'s str, rows: Option<u64> },
    /// Nothing of a database is in the directory: nobody has connected to it yet, or it is kept in MongoDB.
    Absent { name: &'s str },
    /// More rows are copied.
    Rows(u64),
    /// A database is copied, and compared now.
    Comparing { name: &'s str },
}

/// What is told of every step.
pub type Tell<'t> = &'t (dyn Fn(Step<'_>) + Sync);

/// A table that was copied, and found to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub database: String,
    pub table: String,
    /// Of the whole history, and of those how many are the present.
    pub states: u64,
    pub present: u64,
    pub checksum: Checksum,
    /// Versions whose payload was missing or damaged: they have their id and nothing else.
    pub missing: u64,
}

/// Why there is no whole copy. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("{} is neither a data directory nor the configuration of a deployment", .0.display())]
    NoSource(PathBuf),
    #[error("database \"{database}\" was written to after its copy had begun: remove {} and copy again", target.display())]
    Changed { database: String, target: PathBuf },
    #[error("database \"{database}\": the copy of {what} differs from it: remove {} and copy again", target.display())]
    Differs { database: String, what: String, target: PathBuf },
    #[error("database \"{database}\": table {table} has indexes of its own in MongoDB, which cannot be copied: drop them first")]
    Indexed { database: String, table: String },
    #[error("database \"{database}\": {cause}")]
    Failed { database: String, cause: Box<HistoryError> },
    #[error("{}", .0.message())]
    Refused(SqlError),
}

impl CopyError {
    fn failed(database: &str) -> impl Fn(StoreError) -> Self {
        move |cause| Self::Failed { database: database.to_owned(), cause: Box::new(cause.into()) }
    }

    fn stopped(database: &str) -> impl Fn(HistoryError) -> Self {
        move |cause| Self::Failed { database: database.to_owned(), cause: Box::new(cause) }
    }
}

impl From<SqlError> for CopyError {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

impl Source {
    /// A folder that databases are in, or a file that configures a deployment.
    pub fn at(path: &Path) -> Result<Self, CopyError> {
        if path.join(format!("{CLUSTER}.sqlite")).is_file() {
            return Ok(Self::Directory(path.to_owned()));
        }
        if !path.is_file() {
            return Err(CopyError::NoSource(path.to_owned()));
        }
        match ConfigFile::read(path)? {
            ConfigFile::Deployment(deployment) => Ok(Self::Deployment(path.to_owned(), deployment)),
            ConfigFile::Own(config) => Self::at(&config.data.0).map_err(|_| CopyError::NoSource(path.to_owned())),
        }
    }

    fn path(&self) -> &Path {
        let (Self::Directory(path) | Self::Deployment(path, _)) = self;
        path
    }
}

/// Copies everything into a directory that is new, or that an earlier copy of the same was begun in.
pub async fn run(source: Source, target: &Path, tell: Tell<'_>) -> Result<Vec<Copied>, CopyError> {
    let origin = source.path().canonicalize().map_err(|_| CopyError::NoSource(source.path().to_owned()))?;
    let settings = match &source {
        Source::Directory(_) => Settings::new(&Config::default())?,
        Source::Deployment(_, deployment) => Settings::new(&deployment.own)?,
    };
    let copied = match source {
        Source::Directory(path) => {
            let from = DataDirectory::take(&path)?;
            let to = DataDirectory::take_for_copy(target, &origin.to_string_lossy())?;
            let copied = directory(&from, &to, &settings, tell).await?;
            to.finish_copy()?;
            copied
        }
        Source::Deployment(_, from) => {
            let to = DataDirectory::take_for_copy(target, &origin.to_string_lossy())?;
            let copied = deployment(&from, &to, &settings, tell).await?;
            to.finish_copy()?;
            copied
        }
    };
    Ok(copied)
}

async fn directory(
    from: &DataDirectory,
    to: &DataDirectory,
    settings: &Settings,
    tell: Tell<'_>,
) -> Result<Vec<Copied>, CopyError> {
    let failed = CopyError::failed(CLUSTER);
    let cluster = SqliteIndex::open(&from.file(CLUSTER), Arc::clone(&settings.clock)).map_err(&failed)?;
    let rows = cluster.catalog().await.map_err(&failed)?;
    cluster.close().await.map_err(&failed)?;
    let databases = databases(rows).map_err(CopyError::stopped(CLUSTER))?;
    let mut copied = Vec::new();
    for (name, file) in std::iter::once((CLUSTER.to_owned(), CLUSTER.to_owned())).chain(databases) {
        if !from.file(&file).is_file() {
            tell(Step::Absent { name: &name });
            continue;
        }
        let one = files::Copy { database: &name, from: &from.file(&file), to: &to.file(&file), settings, tell };
        copied.extend(one.run().await?);
    }
    Ok(copied)
}

/// The databases that are there, each with its file.
fn databases(rows: Vec<CatalogRow>) -> Result<Vec<(String, String)>, HistoryError> {
    let present = rows.iter().filter(|row| row.kind == "database" && row.ended.is_none());
    let read = |row: &CatalogRow| {
        let def: Result<DatabaseDef, _> = serde_json::from_str(&row.definition);
        def.map(|def| (def.name, def.file)).map_err(|cause| HistoryError::BadDefinition(cause.to_string()))
    };
    let found: Result<Vec<_>, _> = present.map(read).collect();
    Ok(found?.into_iter().filter(|(_, file)| !file.starts_with(GIVEN)).collect())
}

async fn deployment(
    from: &Deployment,
    to: &DataDirectory,
    settings: &Settings,
    tell: Tell<'_>,
) -> Result<Vec<Copied>, CopyError> {
    let stores = DeploymentStores::new(from, Arc::clone(&settings.clock), Arc::clone(&settings.entropy)).await?;
    let files = cluster_of(&stores, to, settings).await?;
    let mut copied = Vec::new();
    for (name, given, file) in files {
        let one = documents::Copy { database: &name, to: &to.file(&file), settings, tell };
        copied.extend(one.run(stores.open(&given).await?).await?);
    }
    Ok(copied)
}

/// Makes the cluster with the deployment's databases in it: their names, what they are opened under there, and their files.
async fn cluster_of(
    stores: &DeploymentStores,
    to: &DataDirectory,
    settings: &Settings,
) -> Result<Vec<(String, String, String)>, CopyError> {
    let (clock, entropy) = (Arc::clone(&settings.clock), Arc::clone(&settings.entropy));
    let password = settings.superuser_password.as_ref().map(|password| password.0.as_str());
    let tenancy = Tenancy::open(to.opener(Arc::clone(&clock), None), clock, entropy, &settings.superuser, password).await?;
    let mut files = Vec::new();
    for (name, given) in stores.given() {
        if tenancy.database_def(&name).is_none() {
            tenancy.create_database(&name, &settings.superuser).await?;
        }
        files.extend(tenancy.database_def(&name).map(|def| (name, given, def.file.clone())));
    }
    tenancy.close().await?;
    Ok(files)
}
