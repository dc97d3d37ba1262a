//! Digests, plain and keyed, and the UUIDs made of them: functions of the extensions pgcrypto and uuid-ossp.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::define::{Call, Function, Returns, TEXT, Want};
use super::random::versioned;
use crate::error::{Result, SqlError, SqlState};
use crate::types::TypeName;
use crate::types::plain::{parse_uuid, write_uuid};

const BYTEA: Returns = Returns::of(TypeName::Bytea);
const UUID: Returns = Returns::of(TypeName::Uuid);
const NAMESPACE: Want = Want::Type(TypeName::Uuid);

pub const FUNCTIONS: &[Function] = &[
    Function::new("digest", &[Want::Any, TEXT], BYTEA, digest).scalar(),
    Function::new("hmac", &[Want::Any, Want::Any, TEXT], BYTEA, keyed).scalar(),
    Function::new("uuid_generate_v3", &[NAMESPACE, TEXT], UUID, |c| named(c, 3, |bytes| Md5::digest(bytes).to_vec())),
    Function::new("uuid_generate_v5", &[NAMESPACE, TEXT], UUID, |c| named(c, 5, |bytes| Sha1::digest(bytes).to_vec())),
    Function::new("uuid_nil", &[], UUID, |c| constant(c, "00000000-0000-0000-0000-000000000000")),
    Function::new("uuid_ns_dns", &[], UUID, |c| constant(c, "6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
    Function::new("uuid_ns_url", &[], UUID, |c| constant(c, "6ba7b811-9dad-11d1-80b4-00c04fd430c8")),
    Function::new("uuid_ns_oid", &[], UUID, |c| constant(c, "6ba7b812-9dad-11d1-80b4-00c04fd430c8")),
    Function::new("uuid_ns_x500", &[], UUID, |c| constant(c, "6ba7b814-9dad-11d1-80b4-00c04fd430c8")),
];

fn constant(call: &Call<'_>, uuid: &str) -> Result<ArrayRef> {
    call.map_text(|_| Ok(Some(uuid)))
}

/// The UUID of a name in a namespace.
fn named(call: &Call<'_>, version: u8, digest: fn(&[u8]) -> Vec<u8>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let (Some(namespace), Some(name)) = (call.text(0, row), call.text(1, row)) else { return Ok(None) };
        let mut input = parse_uuid(namespace)?.to_vec();
        input.extend_from_slice(name.as_bytes());
        let mut bytes = [0u8; 16];
        bytes.iter_mut().zip(digest(&input)).for_each(|(to, from)| *to = from);
        versioned(&mut bytes, version);
        let mut text = String::with_capacity(36);
        write_uuid(&mut text, &bytes);
        Ok(Some(text))
    })
}

fn digest(call: &Call<'_>) -> Result<ArrayRef> {
    bytes_of(call, |row| {
        let (Some(data), Some(name)) = (bytes(call, 0, row)?, call.text(1, row)) else { return Ok(None) };
        Ok(Some(match name.to_ascii_lowercase().as_str() {
            "md5" => Md5::digest(data).to_vec(),
            "sha1" => Sha1::digest(data).to_vec(),
            "sha224" => Sha224::digest(data).to_vec(),
            "sha256" => Sha256::digest(data).to_vec(),
            "sha384" => Sha384::digest(data).to_vec(),
            "sha512" => Sha512::digest(data).to_vec(),
            _ => return Err(unknown(name)),
        }))
    })
}

fn keyed(call: &Call<'_>) -> Result<ArrayRef> {
    bytes_of(call, |row| {
        let (Some(data), Some(key)) = (bytes(call, 0, row)?, bytes(call, 1, row)?) else { return Ok(None) };
        let Some(name) = call.text(2, row) else { return Ok(None) };
        match name.to_ascii_lowercase().as_str() {
            "md5" => authenticated::<Hmac<Md5>>(key, data),
            "sha1" => authenticated::<Hmac<Sha1>>(key, data),
            "sha224" => authenticated::<Hmac<Sha224>>(key, data),
            "sha256" => authenticated::<Hmac<Sha256>>(key, data),
            "sha384" => authenticated::<Hmac<Sha384>>(key, data),
            "sha512" => authenticated::<Hmac<Sha512>>(key, data),
            _ => Err(unknown(name)),
        }
        .map(Some)
    })
}

fn authenticated<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Result<Vec<u8>> {
    let mac = <M as KeyInit>::new_from_slice(key);
    let mut mac = mac.map_err(|_| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "the key cannot be used"))?;
    mac.update(data);
    Ok(mac.finalize().into_bytes().to_vec())
}

fn unknown(name: &str) -> SqlError {
    let message = format!("Cannot use \"{name}\": No such hash algorithm");
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).hint("There are md5, sha1, sha224, sha256, sha384 and sha512.")
}

/// The bytes of an argument that is bytea or text; 42883 for any other.
fn bytes<'a>(call: &'a Call<'_>, arg: usize, row: usize) -> Result<Option<&'a [u8]>> {
    if let Some(text) = call.args.get(arg).and_then(|array| array.as_string_opt::<i32>()) {
        return Ok(text.is_valid(row).then(|| text.value(row).as_bytes()));
    }
    let binary = call.args.get(arg).and_then(|array| array.as_binary_opt::<i32>()).ok_or_else(|| {
        let ty = call.types.get(arg).map(|ty| ty.sql_name()).unwrap_or_default();
        SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function does not take an argument of type {ty}"))
    })?;
    Ok(binary.is_valid(row).then(|| binary.value(row)))
}

fn bytes_of(call: &Call<'_>, row: impl Fn(usize) -> Result<Option<Vec<u8>>>) -> Result<ArrayRef> {
    let mut out = BinaryBuilder::new();
    for at in 0..call.rows {
        out.append_option(row(at)?);
    }
    Ok(Arc::new(out.finish()))
}
