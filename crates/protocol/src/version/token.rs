//! Contexts as clients carry them: opaque bytes, bound to their key.
//!
//! An actor's sequence is shared by all keys of its partition, so a context of one key would cover unseen writes
//! of another. Every token therefore carries a MAC over cluster, bucket and key.

use bytes::Bytes;
use thiserror::Error;

use super::Context;
use crate::id::{BucketId, ClusterId};

const FORMAT: u8 = 1;
const MAC_BYTES: usize = 16;

/// A context as clients carry it: format byte, context in postcard's wire format, 16 bytes of MAC. Empty: none.
pub type ContextToken = Bytes;

/// Seals and opens the tokens of one cluster.
#[derive(Clone)]
pub struct TokenKey {
    key: [u8; 32],
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// Why a token was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// It was cut or altered, or never was a context.
    #[error("it cannot be decoded")]
    Undecodable,
    /// It is sealed for something else.
    #[error("it is not a context of this key in this bucket of this cluster")]
    Foreign,
}

impl TokenKey {
    /// The key of a cluster: from its secret, or, without one, from its id, which guards against mistakes but not against malice.
    pub fn new(cluster: ClusterId, secret: Option<&str>) -> Self {
        let mut material = cluster.0.to_le_bytes().to_vec();
        material.extend_from_slice(secret.unwrap_or_default().as_bytes());
        Self { key: blake3::derive_key("quorate 2026 context token", &material) }
    }

    /// Seals a context for a key; the empty context becomes the empty token.
    pub fn seal(&self, bucket: BucketId, key: &[u8], context: &Context) -> ContextToken {
        if context.is_empty() {
            return Bytes::new();
        }
        let mut token =
            Vec::with_capacity(1 + 24 * (context.vector().len() + context.cloud().len()) + MAC_BYTES);
        token.push(FORMAT);
        let mut token =
            postcard::to_extend(context, token).expect("plain data serializes into a growing vector");
        let mac = self.mac(bucket, key, &token);
        token.extend_from_slice(&mac);
        Bytes::from(token)
    }

    /// Opens a token that a client sent with this key.
    pub fn open(&self, bucket: BucketId, key: &[u8], token: &[u8]) -> Result<Context, TokenError> {
        if token.is_empty() {
            return Ok(Context::default());
        }
        let context = peek(token)?;
        let (body, mac) = token.split_at(token.len() - MAC_BYTES);
        let given: [u8; MAC_BYTES] = mac.try_into().map_err(|_| TokenError::Undecodable)?;
        // Compared as hashes, whose equality takes constant time.
        let expected = self.mac(bucket, key, body);
        if blake3::Hash::from(pad(given)) != blake3::Hash::from(pad(expected)) {
            return Err(TokenError::Foreign);
        }
        Ok(context)
    }

    fn mac(&self, bucket: BucketId, key: &[u8], body: &[u8]) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&bucket.0.to_le_bytes());
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(body);
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&hasher.finalize().as_bytes()[..MAC_BYTES]);
        mac
    }
}

fn pad(mac: [u8; MAC_BYTES]) -> [u8; 32] {
    let mut padded = [0; 32];
    padded[..MAC_BYTES].copy_from_slice(&mac);
    padded
}

/// What a token says, without asking whose it is: for showing to people.
pub fn peek(token: &[u8]) -> Result<Context, TokenError> {
    if token.is_empty() {
        return Ok(Context::default());
    }
    if token.len() <= MAC_BYTES || token[0] != FORMAT {
        return Err(TokenError::Undecodable);
    }
    let body = &token[1..token.len() - MAC_BYTES];
    match postcard::take_from_bytes::<Context>(body) {
        Ok((context, [])) if context.is_normal() => Ok(context),
        _ => Err(TokenError::Undecodable),
    }
}
