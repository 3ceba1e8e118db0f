//! Values that prove which key they belong to, and which of its writes they are.

use bytes::{BufMut as _, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

/// The least that a value can be: run, key and sequence, and a hash of all else.
pub(super) const BYTES_MIN: usize = HASH_AT + size_of::<u64>();
const HASH_AT: usize = 16;
/// Random bytes beside a value's own, so that values cut out at random places differ. Few enough to stay in a cache.
const POOL_BYTES: usize = 1 << 16;

/// Makes the values of one run, which differ: stores may skip a write that changes nothing.
pub(super) struct Values {
    /// Tells the values of this run from those of earlier ones.
    run: u64,
    pool: Vec<u8>,
    padding_bytes: usize,
}

/// What a value says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) run: u64,
    /// The key's number.
    pub(super) key: u32,
    /// The write's number among those of its key, from 1.
    pub(super) sequence: u32,
}

impl Values {
    /// Values of this size, or of [`BYTES_MIN`] if that is more.
    pub(super) fn new(bytes: u32) -> Self {
        use rand::Rng as _;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let padding_bytes = bytes.saturating_sub(BYTES_MIN);
        let mut pool = vec![0; POOL_BYTES + padding_bytes];
        rand::rng().fill_bytes(&mut pool);
        Self { run: rand::random(), pool, padding_bytes }
    }

    pub(super) fn run(&self) -> u64 {
        self.run
    }

    /// A message that means nothing.
    pub(super) fn any(&self) -> Bytes {
        self.of(0, 0)
    }

    pub(super) fn of(&self, key: u32, sequence: u32) -> Bytes {
        let mut value = BytesMut::with_capacity(BYTES_MIN + self.padding_bytes);
        value.put_u64_le(self.run);
        value.put_u32_le(key);
        value.put_u32_le(sequence);
        value.put_u64_le(0);
        let from = rand::random_range(0..POOL_BYTES);
        value.put_slice(&self.pool[from..from + self.padding_bytes]);
        let hash = xxh3_64(&value);
        value[HASH_AT..BYTES_MIN].copy_from_slice(&hash.to_le_bytes());
        value.freeze()
    }
}

/// None where this is no value of a bench, or a damaged one.
pub(super) fn label(value: &[u8]) -> Option<Label> {
    let (run, rest) = value.split_first_chunk()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (hash, _) = rest.split_first_chunk()?;
    let mut unhashed = xxhash_rust::xxh3::Xxh3::new();
    unhashed.update(&value[..HASH_AT]);
    unhashed.update(&[0; size_of::<u64>()]);
    unhashed.update(&value[BYTES_MIN..]);
    (unhashed.digest() == u64::from_le_bytes(*hash)).then_some(Label {
        run: u64::from_le_bytes(*run),
        key: u32::from_le_bytes(*key),
        sequence: u32::from_le_bytes(*sequence),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_and_differ() {
        for bytes in [24, 25, 128, 5000] {
            let values = Values::new(bytes);
            let (a, b) = (values.of(7, 3), values.of(7, 4));
            assert_eq!((a.len(), b.len()), (bytes as usize, bytes as usize));
            assert_ne!(a, b);
            let label = |sequence| Some(Label { run: values.run(), key: 7, sequence });
            assert_eq!((super::label(&a), super::label(&b)), (label(3), label(4)));
        }
    }

    #[test]
    fn every_flipped_byte_shows() {
        let value = Values::new(40).of(1, 2);
        for at in 0..value.len() {
            let mut damaged = value.to_vec();
            damaged[at] ^= 1;
            assert_eq!(label(&damaged), None, "byte {at}");
        }
        assert_eq!(label(&value[..39]), None);
        assert_eq!(label(&value[..20]), None);
    }
}
