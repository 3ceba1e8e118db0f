//! The one encoding of a container, on disk and between peers: written once by the coordinator, kept and passed
//! on as it is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::Container;

/// Says that a different encoding follows; a reader that does not know it refuses.
const FORMAT: u8 = 2;

/// A container as bytes: a format byte, then the container in postcard's wire format.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncodedContainer(pub Bytes);

/// A 128-bit hash of a container's context and dots. A value never changes under its dot, so equal digests mean
/// equal containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub u128);

/// Bytes that are not a container.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not an encoded container: {0}")]
pub struct DecodeError(pub String);

impl Container {
    /// Encodes; equal containers give equal bytes.
    pub fn encode(&self) -> EncodedContainer {
        let mut bytes = Vec::with_capacity(
            64 + 48 * (self.siblings.len() + self.context.vector().len()) + self.value_bytes(),
        );
        bytes.push(FORMAT);
        let bytes = postcard::to_extend(self, bytes).expect("plain data serializes into a growing vector");
        EncodedContainer(Bytes::from(bytes))
    }

    /// The hash that tells whether two replicas hold the same.
    pub fn digest(&self) -> Digest {
        let mut hash = Xxh3::new();
        hash.update(&(self.context.vector().len() as u64).to_le_bytes());
        for (actor, seq) in self.context.vector() {
            hash.update(&actor.0.to_le_bytes());
            hash.update(&seq.to_le_bytes());
        }
        hash.update(&(self.context.cloud().len() as u64).to_le_bytes());
        let dots = self.siblings.iter().map(|sibling| sibling.dot);
        for dot in self.context.cloud().iter().copied().chain(dots) {
            hash.update(&dot.actor.0.to_le_bytes());
            hash.update(&dot.seq.to_le_bytes());
        }
        Digest(hash.digest128())
    }
}

impl EncodedContainer {
    /// Decodes what [`Container::encode`] wrote, on this node or another.
    pub fn decode(&self) -> Result<Container, DecodeError> {
        let (&format, body) = self.0.split_first().ok_or_else(|| DecodeError("it is empty".into()))?;
        if format != FORMAT {
            return Err(DecodeError(format!("format {format}, and only {FORMAT} is known")));
        }
        let (container, rest): (Container, _) =
            postcard::take_from_bytes(body).map_err(|error| DecodeError(error.to_string()))?;
        if !rest.is_empty() {
            return Err(DecodeError(format!("{} bytes follow it", rest.len())));
        }
        let sorted = container.siblings.windows(2).all(|pair| pair[0].dot < pair[1].dot);
        let covered = container.siblings.iter().all(|sibling| container.context.covers(sibling.dot));
        if !sorted || !covered || !container.context.is_normal() {
            return Err(DecodeError("its parts contradict each other".into()));
        }
        Ok(container)
    }
}
