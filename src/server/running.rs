//! A whole server: opened in order, stopped in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::data::{DataDirectory, DataError};
use super::deployment::{DeploymentError, DeploymentStores};
use crate::config::deployment::Deployment;
use crate::config::{Config, ConfigError, Limits, Tls};
use crate::error::SqlError;
use crate::plan::{Engine, EngineConfig};
use crate::runtime::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::session::{Activity, Shared};
use crate::tenancy::Tenancy;
use crate::versions::Timestamp;
use crate::wire::{self, Shutdown, TlsError, WireOptions};

/// Everything a server is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HOST:PORT`; port 0 takes a free one.
    pub listen: String,
    pub data: PathBuf,
    pub tls: Option<Tls>,
    pub superuser: String,
    pub superuser_password: Option<Password>,
    pub limits: Limits,
    /// Whose databases are served beside those of the data directory.
    pub deployment: Option<Deployment>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

/// A password that does not show itself.
#[derive(Clone)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Settings {
    /// What the configuration says, its secrets read.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let password = config.superuser.password.as_ref().map(|secret| secret.reveal()).transpose()?;
        Ok(Self {
            listen: config.listen.0.clone(),
            data: config.data.0.clone(),
            tls: config.tls.clone(),
            superuser: config.superuser.name.clone(),
            superuser_password: password.map(Password),
            limits: config.limits.clone(),
            deployment: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        })
    }
}

/// Why a server did not start. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot listen on {listen}: {cause}")]
    Listen { listen: String, cause: std::io::Error },
    #[error(
        "refusing to listen on {0} without a password: start with --superuser-password-file, or give a role a password while listening on 127.0.0.1"
    )]
    Open(SocketAddr),
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("cannot open the databases: {}", .0.message())]
    Databases(SqlError),
}

/// Databases that are open and owned, not yet served.
pub struct Opened {
    pub sessions: Shared,
    directory: DataDirectory,
}

/// A server that accepts connections.
pub struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    opened: Opened,
}

impl Opened {
    /// Takes the data directory and opens what is in it.
    pub async fn open(settings: &Settings) -> Result<Self, StartError> {
        let directory = DataDirectory::take(&settings.data)?;
        let engine = Engine::new(EngineConfig {
            memory_limit: settings.limits.memory_limit_bytes,
            partitions: std::thread::available_parallelism().map_or(1, usize::from),
            spill_directory: directory.spill()?,
        })
        .map_err(StartError::Databases)?;
        let deployment = match &settings.deployment {
            Some(deployment) => {
                let (clock, entropy) = (settings.clock.clone(), settings.entropy.clone());
                Some(DeploymentStores::new(deployment, clock, entropy).await?)
            }
            None => None,
        };
        let tenancy = Tenancy::open(
            directory.opener(settings.clock.clone(), deployment),
            settings.clock.clone(),
            settings.entropy.clone(),
            &settings.superuser,
            settings.superuser_password.as_ref().map(|p| p.0.as_str()),
        )
        .await
        .map_err(StartError::Databases)?;
        let sessions = Shared {
            engine,
            tenancy,
            clock: settings.clock.clone(),
            entropy: settings.entropy.clone(),
            channels: Arc::default(),
            activity: Activity::new(Timestamp::from_micros(settings.clock.now_micros())),
            locks: Arc::default(),
            snapshots: Arc::default(),
            turns: Arc::default(),
            defaults: Arc::new([("statement_timeout".to_owned(), settings.limits.statement_timeout_ms.to_string())]),
        };
        Ok(Self { sessions, directory })
    }

    /// Writes everything out and gives the directory up.
    pub async fn close(self) -> Result<(), SqlError> {
        let closed = self.sessions.tenancy.close().await;
        drop(self.directory);
        closed
    }
}

impl Running {
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        Self::serve(settings, Opened::open(settings).await?).await
    }

    /// Listens, and serves what is open. An address beyond this machine needs a password to be set.
    pub async fn serve(settings: &Settings, opened: Opened) -> Result<Self, StartError> {
        let cannot = |cause| StartError::Listen { listen: settings.listen.clone(), cause };
        let listener = TcpListener::bind(&settings.listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        if !address.ip().to_canonical().is_loopback() && !opened.sessions.tenancy.any_password() {
            return Err(StartError::Open(address));
        }
        let shutdown = Shutdown::new();
        let options = wire_options(settings)?;
        let server = wire::Server::new(options, opened.sessions.clone(), settings.entropy.clone(), shutdown.clone());
        let serving = tokio::spawn(server.serve(listener));
        tracing::info!(%address, data = %opened.directory.path().display(), "ready to accept connections");
        Ok(Self { address, shutdown, serving, opened })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn sessions(&self) -> &Shared {
        &self.opened.sessions
    }

    /// Lets running transactions end within the grace period, cancels what is left, closes every database.
    pub async fn stop(self) -> Result<(), SqlError> {
        self.shutdown.drain();
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the listener failed");
        }
        self.opened.close().await
    }
}

fn wire_options(settings: &Settings) -> Result<WireOptions, StartError> {
    let limits = &settings.limits;
    let tls = settings.tls.as_ref().map(|tls| wire::Tls::read(&tls.certificate, &tls.key, tls.required)).transpose()?;
    Ok(WireOptions {
        max_connections: limits.max_connections,
        max_message_bytes: limits.max_message_bytes,
        authentication_timeout: Duration::from_secs(limits.authentication_timeout_s),
        shutdown_grace: Duration::from_secs(limits.shutdown_grace_s),
        tls,
    })
}
