//! Stands in for the MPL-licensed crate of this name, of which pgwire uses two items to compute the
//! `tls-server-end-point` channel binding (RFC 5929): the bytes of a certificate and the name of the
//! algorithm it was signed with. Nothing else is offered; no certificate is verified here.

pub use certificate::CapturedX509Certificate;

/// The algorithm a certificate was signed with, as far as channel binding tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    RsaSha1,
    RsaSha256,
    RsaSha384,
    RsaSha512,
    EcdsaSha256,
    EcdsaSha384,
    Ed25519,
}

/// DER contents of the object identifiers in RFC 8017, RFC 5758 and RFC 8410.
const ALGORITHMS: &[(&[u8], SignatureAlgorithm)] = &[
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], SignatureAlgorithm::RsaSha1),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], SignatureAlgorithm::RsaSha256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], SignatureAlgorithm::RsaSha384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], SignatureAlgorithm::RsaSha512),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], SignatureAlgorithm::EcdsaSha256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], SignatureAlgorithm::EcdsaSha384),
    (&[0x2b, 0x65, 0x70], SignatureAlgorithm::Ed25519),
];

pub mod certificate {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use crate::{ALGORITHMS, SignatureAlgorithm};

    /// The PEM text holds no certificate, or one that is not DER.
    #[derive(Debug)]
    pub struct CertificateError(String);

    impl std::fmt::Display for CertificateError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "not an X.509 certificate: {}", self.0)
        }
    }

    impl std::error::Error for CertificateError {}

    /// A certificate exactly as it stood in its PEM block.
    #[derive(Clone, Debug)]
    pub struct CapturedX509Certificate {
        der: Vec<u8>,
    }

    impl CapturedX509Certificate {
        /// Every certificate of a PEM text, in order; at least one, else an error.
        pub fn from_pem_multiple(pem: impl AsRef<[u8]>) -> Result<Vec<Self>, CertificateError> {
            let found = CertificateDer::pem_slice_iter(pem.as_ref())
                .map(|c| c.map(|der| Self { der: der.as_ref().to_vec() }))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| CertificateError(e.to_string()))?;
            if found.is_empty() {
                return Err(CertificateError("no CERTIFICATE block".to_owned()));
            }
            Ok(found)
        }

        /// The DER bytes the binding is computed over.
        pub fn constructed_data(&self) -> &[u8] {
            &self.der
        }

        /// `None` for an algorithm that is not in the table above, or bytes that are not a certificate.
        pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
            // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, … }, … }
            let (certificate, _) = element(&self.der, 0x30)?;
            let (_, after_tbs) = element(certificate, 0x30)?;
            let (algorithm, _) = element(after_tbs, 0x30)?;
            let (oid, _) = element(algorithm, 0x06)?;
            ALGORITHMS.iter().find(|(bytes, _)| *bytes == oid).map(|(_, name)| *name)
        }
    }

    /// Splits the first DER element with this tag into its contents and what follows it.
    fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
        let (&found, rest) = der.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        (found == tag).then_some((contents, rest))
    }
}
