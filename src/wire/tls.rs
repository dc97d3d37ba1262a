//! TLS by rustls with ring: a certificate and a key from PEM files, nothing else to choose.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgwire::api::auth::sasl::scram::ScramServerAuth;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The name that direct TLS negotiates (ALPN), as PostgreSQL 17's clients send it.
pub const ALPN: &[u8] = b"postgresql";

/// Why a certificate or key cannot be used. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{} holds no PEM {what}", path.display())]
    Nothing { path: PathBuf, what: &'static str },
    #[error("the certificate in {} cannot be used: {cause}", path.display())]
    Refused { path: PathBuf, cause: rustls::Error },
}

/// What a TLS handshake needs, and SCRAM bound to it.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
    /// SCRAM-SHA-256-PLUS for this certificate; `None` where its signature has no hash to bind to.
    pub(super) bound: Option<ScramServerAuth>,
    /// Refuse clients from other hosts that do not use TLS.
    pub(super) required: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a certificate chain (the server's own first) and its private key, both PEM.
    pub fn read(certificate: &Path, key: &Path, required: bool) -> Result<Self, TlsError> {
        let chain_pem = read(certificate)?;
        let chain: Vec<CertificateDer<'static>> = rustls_pemfile::certs(&mut chain_pem.as_slice())
            .collect::<Result<_, _>>()
            .map_err(|cause| unreadable(certificate, cause))?;
        if chain.is_empty() {
            return Err(TlsError::Nothing { path: certificate.to_owned(), what: "certificate" });
        }
        let private: PrivateKeyDer<'static> = rustls_pemfile::private_key(&mut read(key)?.as_slice())
            .map_err(|cause| unreadable(key, cause))?
            .ok_or_else(|| TlsError::Nothing { path: key.to_owned(), what: "private key" })?;
        let refused = |cause| TlsError::Refused { path: certificate.to_owned(), cause };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(refused)?;
        config.alpn_protocols = vec![ALPN.to_vec()];

        let mut bound = ScramServerAuth::new();
        let bound = bound.configure_certificate(&chain_pem).is_ok().then_some(bound);
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), bound, required })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| unreadable(path, cause))
}

fn unreadable(path: &Path, cause: std::io::Error) -> TlsError {
    TlsError::Unreadable { path: path.to_owned(), cause }
}
