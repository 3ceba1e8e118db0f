//! What the index holds for a key: where its record is. 22 bytes, which sled keeps within a node without an allocation.
//!
//! File (u32), offset (u32), kind and value length (u32, as in a record), version (48 bits), crc32c (u32) of the key and all that:
//! an entry that sled returns altered, or for another key, is noticed even if sled's own checksums are content.

use crate::values::record::{Kind, record_bytes};

pub(crate) const ENTRY_BYTES: usize = 22;
const COVERED_BYTES: usize = 18;

/// Where the newest record of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) file: u32,
    pub(crate) offset: u32,
    /// Deletions are here only while the index is rebuilt.
    pub(crate) kind: Kind,
    pub(crate) value_bytes: u32,
    /// The record of the log with which the change was complete.
    pub(crate) version: u64,
}

impl Entry {
    pub(crate) fn encode(&self, key: &[u8]) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.file.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.kind.pack(self.value_bytes).to_le_bytes());
        // 2^48 records of the log take longer than any disk lasts.
        bytes[12..COVERED_BYTES].copy_from_slice(&self.version.to_le_bytes()[..6]);
        let crc = checksum(key, &bytes[..COVERED_BYTES]);
        bytes[COVERED_BYTES..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if these are not the bytes that were stored for the key.
    pub(crate) fn decode(key: &[u8], stored: &[u8]) -> Option<Self> {
        let bytes: &[u8; ENTRY_BYTES] = stored.try_into().ok()?;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if number(COVERED_BYTES) != checksum(key, &bytes[..COVERED_BYTES]) {
            return None;
        }
        let (kind, value_bytes) = Kind::unpack(number(8))?;
        let mut version = [0; 8];
        version[..6].copy_from_slice(&bytes[12..COVERED_BYTES]);
        let version = u64::from_le_bytes(version);
        Some(Self { file: number(0), offset: number(4), kind, value_bytes, version })
    }

    /// Bytes of the record.
    pub(crate) fn record_bytes(&self, key: &[u8]) -> u64 {
        record_bytes(key.len(), self.value_bytes)
    }
}

fn checksum(key: &[u8], covered: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_back_and_no_flipped_bit_or_other_key_goes_unnoticed() {
        let entry = Entry { file: 3, offset: 1 << 31, kind: Kind::Lost, value_bytes: 0, version: 1 << 40 };
        let stored = entry.encode(b"key");
        assert_eq!(Entry::decode(b"key", &stored), Some(entry));
        assert_eq!(Entry::decode(b"kez", &stored), None);
        for bit in 0..ENTRY_BYTES * 8 {
            let mut flipped = stored;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Entry::decode(b"key", &flipped), None, "bit {bit}");
        }
    }
}
