//! Authentication by SCRAM-SHA-256 against a stored verifier, bound to the TLS channel where both sides can.
//!
//! The exchange is the same for a user that does not exist or has no password: only its end tells, with 28P01.
//! Never sees a password.

use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth, gen_salted_password};
use pgwire::error::PgWireError;

use super::channel::{Channel, Ended, violation};
use super::frontend::{Reader, Unreadable};
use super::{backend, tls::Tls};
use crate::auth::Verifier;
use crate::error::{SqlError, SqlState};
use crate::runtime::Entropy;

const PLAIN: &str = "SCRAM-SHA-256";
const BOUND: &str = "SCRAM-SHA-256-PLUS";
/// What `CREATE ROLE` stores too, so that an unknown user looks like any other.
const ITERATIONS: usize = 4096;
const SALT_LENGTH: usize = 16;

/// Makes the verifiers of users that have none. Per server, so that asking twice gives the same salt.
#[derive(Clone)]
pub struct Decoy([u8; 32]);

impl std::fmt::Debug for Decoy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoy")
    }
}

impl Decoy {
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self(secret)
    }

    /// A verifier that no password fits.
    fn secret(&self, user: &str) -> ScramSecret {
        let mut digest = gen_salted_password(user, &self.0, 1);
        let salt = digest.drain(..SALT_LENGTH.min(digest.len())).collect();
        ScramSecret::Verifier { salt, iterations: ITERATIONS, stored_key: self.0.to_vec(), server_key: self.0.to_vec() }
    }
}

/// Runs the exchange to its end. `Ok` is a client that knows the password; everything else ends the connection.
pub async fn authenticate(
    channel: &mut Channel,
    user: &str,
    verifier: Option<&str>,
    decoy: &Decoy,
    tls: Option<&Tls>,
) -> Result<(), Ended> {
    let secret = match verifier.and_then(Verifier::parse) {
        Some(stored) => secret_of(stored),
        None => decoy.secret(user),
    };
    let bound = tls.filter(|_| channel.is_tls()).and_then(|tls| tls.bound.as_ref());
    let plain = ScramServerAuth::new();
    let server = bound.unwrap_or(&plain);
    let offered: &[&str] = if bound.is_some() { &[BOUND, PLAIN] } else { &[PLAIN] };

    backend::sasl_mechanisms(&mut channel.out, offered);
    channel.flush().await?;
    let first = client_first(channel, offered).await?;
    let (answer, waiting) = server.on_client_first_message_with_secret(&first, secret).map_err(|e| refused(user, &e))?;
    backend::sasl_continue(&mut channel.out, answer);
    channel.flush().await?;
    let last = password_frame(channel).await?;
    let answer = waiting.on_client_final_message(&last).map_err(|e| refused(user, &e))?;
    backend::sasl_final(&mut channel.out, answer);
    Ok(())
}

fn secret_of(verifier: Verifier) -> ScramSecret {
    ScramSecret::Verifier {
        salt: verifier.salt,
        iterations: verifier.iterations.get() as usize,
        stored_key: verifier.stored_key.to_vec(),
        server_key: verifier.server_key.to_vec(),
    }
}

/// SASLInitialResponse: the mechanism chosen and the client's first message, which must agree about binding.
async fn client_first(channel: &mut Channel, offered: &[&str]) -> Result<Vec<u8>, Ended> {
    let body = password_frame(channel).await?;
    let mut reader = Reader::new(&body);
    let mechanism = reader.text().map_err(not_sasl)?;
    if !offered.contains(&mechanism) {
        return Err(violation("client selected an invalid SASL authentication mechanism"));
    }
    let length = reader.i32().map_err(not_sasl)?;
    let message = reader.remainder();
    if usize::try_from(length).ok() != Some(message.len()) {
        return Err(violation("malformed SASLInitialResponse message"));
    }
    if message.starts_with(b"p=") != (mechanism == BOUND) {
        return Err(violation("SASL mechanism and channel binding flag do not agree"));
    }
    Ok(message.to_vec())
}

async fn password_frame(channel: &mut Channel) -> Result<bytes::Bytes, Ended> {
    let frame = channel.frame().await?;
    match frame.tag {
        b'p' => Ok(frame.body),
        b'X' => Err(Ended::Gone),
        tag => Err(violation(format!("expected SASL response, got message type {tag}"))),
    }
}

fn not_sasl(_: Unreadable) -> Ended {
    violation("malformed SASLInitialResponse message")
}

fn refused(user: &str, error: &PgWireError) -> Ended {
    match error {
        PgWireError::InvalidPassword(_) => wrong_password(user),
        other => {
            tracing::debug!(%other, user, "SCRAM exchange refused");
            violation("malformed SCRAM message")
        }
    }
}

fn wrong_password(user: &str) -> Ended {
    let message = format!("password authentication failed for user \"{user}\"");
    Ended::Fatal(SqlError::fatal(SqlState::INVALID_PASSWORD, message))
}
