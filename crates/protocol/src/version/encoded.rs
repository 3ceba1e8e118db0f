//! The one encoding of a container, on disk and between peers: written once by the coordinator, kept and passed
//! on as it is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::{Container, ContentType, Context, Dot, Sibling};
use crate::id::OperationId;
use crate::time::Hlc;

/// Says that a different encoding follows; a reader that does not know it refuses.
const FORMAT: u8 = 2;

/// A container as bytes: a format byte, then the container in postcard's wire format.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncodedContainer(pub Bytes);

/// A 128-bit hash of a container's context and dots. A value never changes under its dot, so equal digests mean
/// equal containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub u128);

/// A container as it stands in its encoding: fields and their order are those of [`Container`].
#[derive(Deserialize)]
struct InPlace<'a> {
    context: Context,
    #[serde(borrow)]
    siblings: SmallVec<[SiblingInPlace<'a>; 1]>,
}

/// Fields and their order are those of [`Sibling`].
#[derive(Deserialize)]
struct SiblingInPlace<'a> {
    dot: Dot,
    hlc: Hlc,
    operation: OperationId,
    expiry: Option<u64>,
    content_type: ContentType,
    value: &'a [u8],
}

impl SiblingInPlace<'_> {
    /// The sibling, with its value as a slice of what it stands in.
    fn of(self, encoded: &Bytes) -> Sibling {
        let Self { dot, hlc, operation, expiry, content_type, value } = self;
        Sibling { dot, hlc, operation, expiry, content_type, value: encoded.slice_ref(value) }
    }
}

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

    /// Encodes, and makes the values slices of the encoding: what is kept takes memory once, and keeps no larger buffer alive.
    pub(crate) fn pack(&mut self) -> EncodedContainer {
        let encoded = self.encode();
        match self.siblings.as_mut_slice() {
            [] => {}
            // The value is the last field of the last sibling.
            [only] => only.value = encoded.0.slice(encoded.0.len() - only.value.len()..),
            // Were it no container, which it is, it would stay as it was.
            _ => *self = encoded.decode().unwrap_or_else(|_| std::mem::take(self)),
        }
        encoded
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
    /// Decodes what [`Container::encode`] wrote, on this node or another. The values are slices of it.
    pub fn decode(&self) -> Result<Container, DecodeError> {
        let (&format, body) = self.0.split_first().ok_or_else(|| DecodeError("it is empty".into()))?;
        if format != FORMAT {
            return Err(DecodeError(format!("format {format}, and only {FORMAT} is known")));
        }
        let (InPlace { context, siblings }, rest) =
            postcard::take_from_bytes(body).map_err(|error| DecodeError(error.to_string()))?;
        if !rest.is_empty() {
            return Err(DecodeError(format!("{} bytes follow it", rest.len())));
        }
        let siblings = siblings.into_iter().map(|sibling| sibling.of(&self.0)).collect();
        let container = Container { context, siblings };
        let sorted = container.siblings.windows(2).all(|pair| pair[0].dot < pair[1].dot);
        let covered = container.siblings.iter().all(|sibling| container.context.covers(sibling.dot));
        if !sorted || !covered || !container.context.is_normal() {
            return Err(DecodeError("its parts contradict each other".into()));
        }
        Ok(container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ActorId;

    fn container(values: &[&'static [u8]]) -> Container {
        let mut container = Container::default();
        for (number, value) in (1..).zip(values) {
            let sibling = Sibling {
                dot: Dot { actor: ActorId(number), seq: 1 },
                hlc: Hlc::default(),
                operation: OperationId(number.into()),
                expiry: (number == 2).then_some(7),
                content_type: ContentType::from("text/plain"),
                value: Bytes::from_static(value),
            };
            container.put(&Context::default(), sibling);
        }
        container
    }

    fn is_slice_of(encoded: &EncodedContainer, value: &Bytes) -> bool {
        let (whole, part) = (encoded.0.as_ptr_range(), value.as_ptr_range());
        whole.start <= part.start && part.end <= whole.end
    }

    #[test]
    fn what_is_packed_or_decoded_holds_its_values_once() {
        let cases: [&[&'static [u8]]; 4] = [&[], &[b"one"], &[b""], &[b"one", b"two", b"three", b"four"]];
        for values in cases {
            let made = container(values);
            let mut packed = made.clone();
            let encoded = packed.pack();
            assert_eq!(encoded, made.encode());
            assert_eq!(packed, made);
            let decoded = encoded.decode().expect("it was encoded");
            assert_eq!(decoded, made);
            for sibling in packed.siblings.iter().chain(&decoded.siblings) {
                assert!(sibling.value.is_empty() || is_slice_of(&encoded, &sibling.value));
            }
        }
    }
}
