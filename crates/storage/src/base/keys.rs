//! Keys within sled: our own (0x00 ..) apart from those of the store's user (0x01 ..). Sled stores a common prefix once per
//! page, so the extra byte takes no space.

/// Where the mark is stored.
pub(super) const MARK: &[u8] = b"\x00m";
/// What the keys of all chunks start with.
pub(super) const ALL_CHUNKS: &[u8] = b"\x00c";

const DATA: u8 = 1;

/// Sled's key of a user's key.
pub(super) fn data(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    write_data(&mut bytes, key);
    bytes
}

/// As [`data`], into a buffer.
pub(super) fn write_data(bytes: &mut Vec<u8>, key: &[u8]) {
    bytes.clear();
    bytes.push(DATA);
    bytes.extend_from_slice(key);
}

/// The user's key of sled's key.
pub(super) fn of_data(key: &[u8]) -> &[u8] {
    &key[1..]
}

/// The prefix of the chunks of a key, of both slots or of one. The length keeps them apart from those of longer keys.
pub(super) fn chunks(key: &[u8], slot: Option<u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ALL_CHUNKS.len() + key.len() + 9);
    bytes.extend_from_slice(ALL_CHUNKS);
    // A key is part of a batch, far below 4 GiB.
    bytes.extend_from_slice(&(key.len() as u32).to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.extend(slot);
    bytes
}

/// The key of a chunk.
pub(super) fn chunk(key: &[u8], slot: u8, index: u32) -> Vec<u8> {
    let mut bytes = chunks(key, Some(slot));
    bytes.extend_from_slice(&index.to_be_bytes());
    bytes
}
