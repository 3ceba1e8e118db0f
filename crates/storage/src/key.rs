//! Keys in memory. Short ones stand within the tree's nodes: a search then touches a few cache lines instead of one per key it
//! compares, which makes it several times as fast.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Deref;

use bytes::Bytes;

const INLINE_BYTES_MAX: usize = 46;

/// A key, ordered by its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Inline { length: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Shared(Bytes),
}

impl Key {
    /// A key that is a part of larger bytes; a long one keeps them alive.
    pub(crate) fn slice_of(whole: &Bytes, from: usize, to: usize) -> Self {
        Self::inline(&whole[from..to]).unwrap_or_else(|| Self::Shared(whole.slice(from..to)))
    }

    /// The key as bytes of their own.
    pub(crate) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Inline { .. } => Bytes::copy_from_slice(self),
            Self::Shared(bytes) => bytes.clone(),
        }
    }

    fn inline(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        // At most INLINE_BYTES_MAX, or there would not be as many bytes.
        Some(Self::Inline { length: key.len() as u8, bytes })
    }
}

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Self {
        Self::inline(key).unwrap_or_else(|| Self::Shared(Bytes::copy_from_slice(key)))
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_lengths_are_ordered_as_their_bytes() {
        let whole = Bytes::from(vec![7; 100]);
        let keys: Vec<Key> = (0..100).map(|length| Key::slice_of(&whole, 0, length)).collect();
        assert!(keys.is_sorted() && keys.iter().enumerate().all(|(length, key)| key.len() == length));
        for key in &keys {
            assert_eq!(*key, Key::from(&key.to_bytes()[..]));
        }
        assert!(
            Key::from(&b"\0"[..]) > Key::from(&b""[..]),
            "what fills the space behind a key does not count"
        );
        assert!(Key::from(&[8][..]) > keys[99]);
    }
}
