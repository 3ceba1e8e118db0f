//! Values within sled: a tag, a crc32c of key, tag and the rest, then the value itself or the description of its chunks.
//!
//! The chunks of a value stand in one of two slots. A new long value goes to the slot that the old one does not use, so the old
//! one can be read until the new is whole.

pub(crate) const CHUNK_BYTES: usize = 64 << 10;

const INLINE: u8 = 1;
const CHUNKED: u8 = 2;
const HEADER_BYTES: usize = 5;
const MANIFEST_BYTES: usize = HEADER_BYTES + 9;

/// What is stored for a key, verified.
pub(super) enum Stored<'a> {
    Inline(&'a [u8]),
    Chunked(Manifest),
}

/// Where the chunks of a long value are.
pub(super) struct Manifest {
    pub(super) value_bytes: u64,
    pub(super) slot: u8,
}

impl Manifest {
    pub(super) fn chunks(&self) -> u32 {
        // Values are parts of batches, far below 2^48 bytes.
        self.value_bytes.div_ceil(CHUNK_BYTES as u64) as u32
    }
}

pub(super) fn write_inline(stored: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    write(stored, key, INLINE, &[value]);
}

pub(super) fn write_manifest(stored: &mut Vec<u8>, key: &[u8], value_bytes: u64, slot: u8) {
    write(stored, key, CHUNKED, &[&value_bytes.to_le_bytes(), &[slot]]);
}

/// Verifies what is stored for a key. The error says what is wrong.
pub(super) fn read<'a>(key: &[u8], stored: &'a [u8]) -> Result<Stored<'a>, String> {
    let (header, rest) = stored.split_at_checked(HEADER_BYTES).ok_or("it is shorter than its header")?;
    let tag = header[0];
    if header[1..] != checksum(key, tag, rest).to_le_bytes() {
        return Err("it fails its checksum".into());
    }
    match (tag, slot(stored)) {
        (INLINE, _) => Ok(Stored::Inline(rest)),
        (CHUNKED, Some(slot)) => Ok(Stored::Chunked(Manifest { value_bytes: length(stored), slot })),
        _ => Err(format!("it has the unknown form {tag}")),
    }
}

/// The slot of the chunks, for a value that has some. Not verified.
pub(super) fn slot(stored: &[u8]) -> Option<u8> {
    (stored.len() == MANIFEST_BYTES && stored[0] == CHUNKED && stored[MANIFEST_BYTES - 1] < 2)
        .then(|| stored[MANIFEST_BYTES - 1])
}

/// The length of the value in bytes. Not verified.
pub(super) fn length(stored: &[u8]) -> u64 {
    match slot(stored) {
        Some(_) => stored[HEADER_BYTES..HEADER_BYTES + 8].try_into().map_or(0, u64::from_le_bytes),
        None => stored.len().saturating_sub(HEADER_BYTES) as u64,
    }
}

/// What is stored for a chunk.
pub(super) fn chunk(chunk_key: &[u8], part: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(part.len() + 4);
    stored.extend_from_slice(&crc32c::crc32c_append(crc32c::crc32c(chunk_key), part).to_le_bytes());
    stored.extend_from_slice(part);
    stored
}

/// The part of a value that a chunk holds, if it is undamaged.
pub(super) fn read_chunk<'a>(chunk_key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (crc, part) = stored.split_at_checked(4)?;
    (crc == crc32c::crc32c_append(crc32c::crc32c(chunk_key), part).to_le_bytes()).then_some(part)
}

fn write(stored: &mut Vec<u8>, key: &[u8], tag: u8, parts: &[&[u8]]) {
    stored.clear();
    stored.resize(HEADER_BYTES, tag);
    for part in parts {
        stored.extend_from_slice(part);
    }
    let crc = checksum(key, tag, &stored[HEADER_BYTES..]);
    stored[1..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(key: &[u8], tag: u8, rest: &[u8]) -> u32 {
    let crc = crc32c::crc32c(key);
    let crc = crc32c::crc32c_append(crc, &[tag]);
    crc32c::crc32c_append(crc, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed_and_so_is_a_swapped_key() {
        let mut stored = Vec::new();
        write_inline(&mut stored, b"key", b"value");
        assert!(matches!(read(b"key", &stored), Ok(Stored::Inline(b"value"))));
        assert!(read(b"kez", &stored).is_err());
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(b"key", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_manifest_tells_length_and_slot() {
        let mut stored = Vec::new();
        write_manifest(&mut stored, b"key", 200_000, 1);
        match read(b"key", &stored) {
            Ok(Stored::Chunked(manifest)) => {
                assert_eq!((manifest.value_bytes, manifest.slot, manifest.chunks()), (200_000, 1, 4));
            }
            _ => panic!("not read as chunked"),
        }
        // An inline value of the same length is not taken for one.
        write_inline(&mut stored, b"key", &[2; 9]);
        assert_eq!((slot(&stored), length(&stored)), (None, 9));
    }
}
