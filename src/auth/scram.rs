//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677) in the text form PostgreSQL stores them in:
//! `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, everything after the count in base64.
//!
//! A verifier proves a password without holding it. The exchange itself is the wire's.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use crate::error::{Result, SqlError, SqlState};
use crate::runtime::Entropy;

const MECHANISM: &str = "SCRAM-SHA-256";
/// What PostgreSQL uses.
const ITERATIONS: NonZeroU32 = match NonZeroU32::new(4096) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;

/// The parts of a verifier. Prints as its text; its keys are not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub iterations: NonZeroU32,
    pub salt: Vec<u8>,
    pub stored_key: [u8; KEY_BYTES],
    pub server_key: [u8; KEY_BYTES],
}

impl Verifier {
    /// A verifier of this password under a fresh salt.
    pub fn from_password(password: &str, entropy: &dyn Entropy) -> Self {
        let mut salt = vec![0; SALT_BYTES];
        entropy.fill(&mut salt);
        Self::derive(password, salt, ITERATIONS)
    }

    /// `None` for anything that is not a verifier, a plain password for one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(MECHANISM)?.strip_prefix('$')?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| <[u8; KEY_BYTES]>::try_from(STANDARD.decode(text).ok()?).ok();
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Self { iterations: iterations.parse().ok()?, salt, stored_key: key(stored)?, server_key: key(server)? })
    }

    /// Whether it was made from this password.
    pub fn matches(&self, password: &str) -> bool {
        Self::derive(password, self.salt.clone(), self.iterations).stored_key == self.stored_key
    }

    fn derive(password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, prepared(password).as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = key_bytes(digest::digest(&digest::SHA256, &client_key).as_ref());
        Self { iterations, salt, stored_key, server_key: sign(&salted, b"Server Key") }
    }
}

/// What is kept of the password of CREATE or ALTER ROLE: a verifier as it is, a plain password's verifier.
/// An MD5 hash is refused with 0A000, an empty password with 22023.
pub fn stored_password(given: &str, entropy: &dyn Entropy) -> Result<String> {
    if Verifier::parse(given).is_some() {
        return Ok(given.to_owned());
    }
    if given.is_empty() {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "empty string is not a valid password"));
    }
    let hash = given.strip_prefix("md5").filter(|hash| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
    if hash.is_some() {
        let hint = "Give the password itself, or a SCRAM-SHA-256 verifier.";
        return Err(SqlError::unsupported("MD5-hashed passwords are not supported", hint));
    }
    Ok(Verifier::from_password(given, entropy).to_string())
}

/// SASLprep; like PostgreSQL, a password that it forbids is taken as it is.
fn prepared(password: &str) -> std::borrow::Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(std::borrow::Cow::Borrowed(password))
}

fn sign(key: &[u8], message: &[u8]) -> [u8; KEY_BYTES] {
    key_bytes(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

fn key_bytes(bytes: &[u8]) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    key
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] = [&self.salt[..], &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        write!(f, "{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SeededEntropy;

    #[test]
    fn rfc_7677_example_gives_its_server_signature() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::derive("pencil", salt, ITERATIONS);
        let exchange = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = STANDARD.encode(sign(&verifier.server_key, exchange.as_bytes()));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn text_form_leads_back_to_the_parts() {
        let verifier = Verifier::from_password("secret", &SeededEntropy::new(1));
        let text = verifier.to_string();
        assert!(text.starts_with("SCRAM-SHA-256$4096:"));
        assert_eq!(Verifier::parse(&text), Some(verifier.clone()));
        assert!(verifier.matches("secret"));
        assert!(!verifier.matches("Secret"));
        assert!(!format!("{verifier:?}").contains(&STANDARD.encode(verifier.stored_key)));
    }

    #[test]
    fn passwords_are_normalised_where_saslprep_allows() {
        let verifier = Verifier::from_password("I\u{00AD}X \u{2168}", &SeededEntropy::new(2));
        assert!(verifier.matches("IX IX"));
        let forbidden = Verifier::from_password("bell\u{7}", &SeededEntropy::new(2));
        assert!(forbidden.matches("bell\u{7}"));
    }

    #[test]
    fn what_is_not_a_verifier_is_a_password() {
        for text in ["", "secret", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096:c2FsdA==$AA==:AA=="] {
            assert_eq!(Verifier::parse(text), None, "{text}");
        }
        let entropy = SeededEntropy::new(3);
        let stored = stored_password("secret", &entropy).unwrap();
        assert_eq!(stored_password(&stored, &entropy).unwrap(), stored);
        assert_eq!(stored_password("", &entropy).unwrap_err().code(), SqlState::INVALID_PARAMETER_VALUE);
        let md5 = stored_password("md55f4dcc3b5aa765d61d8327deb882cf99", &entropy);
        assert_eq!(md5.unwrap_err().code(), SqlState::FEATURE_NOT_SUPPORTED);
    }
}
