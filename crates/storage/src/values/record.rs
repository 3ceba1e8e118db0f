//! One record of a value file: the change of one key.
//!
//! Header, little endian: crc32c (u32) of the file's salt, the rest of the header and the key; the key's length (u32); the kind
//! (2 bits) and the value's length (30 bits); the version (u64); crc32c (u32) of the value. Then the key, then the value.
//!
//! Header and key have a checksum of their own, so that a damaged value leaves its key known: it is healed, not missed. The salt
//! is secret, so that nobody can store a value in which a search for records would find one.

/// Bytes in front of the key.
pub(crate) const HEADER_BYTES: usize = 24;

const KIND_SHIFT: u32 = 30;
const LENGTH_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// What a record says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has the value that follows.
    Put,
    /// It had a value that can no longer be read: to be healed.
    Lost,
    /// It is deleted. Older records of the key must not come back when the index is built from the files.
    Delete,
}

impl Kind {
    /// Packs it with a length below 2^30.
    pub(crate) fn pack(self, value_bytes: u32) -> u32 {
        let kind = match self {
            Self::Put => 0,
            Self::Lost => 1,
            Self::Delete => 2,
        };
        (kind << KIND_SHIFT) | (value_bytes & LENGTH_MASK)
    }

    /// The reverse of [`pack`](Self::pack).
    pub(crate) fn unpack(packed: u32) -> Option<(Self, u32)> {
        let kind = match packed >> KIND_SHIFT {
            0 => Self::Put,
            1 => Self::Lost,
            2 => Self::Delete,
            _ => return None,
        };
        Some((kind, packed & LENGTH_MASK))
    }
}

/// The verified header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) key_bytes: u32,
    pub(crate) value_bytes: u32,
    pub(crate) version: u64,
    value_crc: u32,
}

impl Header {
    /// Bytes up to the value.
    pub(crate) fn value_at(&self) -> usize {
        HEADER_BYTES + self.key_bytes as usize
    }

    /// Bytes of the whole record.
    pub(crate) fn record_bytes(&self) -> u64 {
        record_bytes(self.key_bytes as usize, self.value_bytes)
    }

    /// Whether these are the bytes that the record was written with.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        value.len() == self.value_bytes as usize && crc32c::crc32c(value) == self.value_crc
    }
}

/// Bytes of a record.
pub(crate) fn record_bytes(key_bytes: usize, value_bytes: u32) -> u64 {
    HEADER_BYTES as u64 + key_bytes as u64 + u64::from(value_bytes)
}

/// Appends a record.
pub(crate) fn write(buffer: &mut Vec<u8>, salt: u64, kind: Kind, key: &[u8], version: u64, value: &[u8]) {
    let at = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    // Keys and values are parts of a batch, which is far below 2^30 bytes.
    buffer.extend_from_slice(&(key.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&kind.pack(value.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&version.to_le_bytes());
    buffer.extend_from_slice(&crc32c::crc32c(value).to_le_bytes());
    buffer.extend_from_slice(key);
    let crc = header_crc(salt, &buffer[at + 4..]);
    buffer[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(value);
}

/// How many bytes [`read`] needs of a record of which these are the first; `None` where no record can begin.
pub(crate) fn bytes_to_verify(bytes: &[u8], left: u64) -> Option<u64> {
    let header = bytes.get(..HEADER_BYTES)?;
    let key_bytes = u64::from(number(&header[4..8]));
    let (kind, value_bytes) = Kind::unpack(number(&header[8..12]))?;
    let needed = HEADER_BYTES as u64 + key_bytes;
    let valueless = kind != Kind::Put && value_bytes > 0;
    (!valueless && needed + u64::from(value_bytes) <= left).then_some(needed)
}

/// The header of the record at the start of these bytes, if it and the key are whole.
pub(crate) fn read(bytes: &[u8], salt: u64) -> Option<Header> {
    let header = bytes.get(..HEADER_BYTES)?;
    let key_bytes = number(&header[4..8]);
    let (kind, value_bytes) = Kind::unpack(number(&header[8..12]))?;
    let covered = bytes.get(4..HEADER_BYTES.checked_add(key_bytes as usize)?)?;
    let version = u64::from_le_bytes(header[12..20].try_into().ok()?);
    let value_crc = number(&header[20..24]);
    (header_crc(salt, covered) == number(&header[..4])).then_some(Header {
        kind,
        key_bytes,
        value_bytes,
        version,
        value_crc,
    })
}

fn header_crc(salt: u64, covered: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), covered)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed_and_leaves_the_key_known_if_it_is_in_the_value() {
        let mut record = Vec::new();
        write(&mut record, 7, Kind::Put, b"key", 99, b"value");
        let header = read(&record, 7).expect("whole");
        assert_eq!(
            (header.kind, header.version, header.record_bytes()),
            (Kind::Put, 99, record.len() as u64)
        );
        assert!(header.matches(&record[header.value_at()..]));
        assert_eq!(read(&record, 8), None, "another file's");
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match read(&flipped, 7) {
                None => assert!(bit / 8 < header.value_at(), "bit {bit}"),
                Some(header) => assert!(!header.matches(&flipped[header.value_at()..]), "bit {bit}"),
            }
        }
        for cut in 0..header.value_at() {
            assert_eq!(read(&record[..cut], 7), None, "cut at {cut}");
        }
    }
}
