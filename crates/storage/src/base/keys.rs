//! Keys within sled: our own (0x00 ..) apart from those of the store's user (0x01 ..). Sled stores a common prefix once per
//! page, so the extra byte takes no space.

/// Where the mark is stored.
pub(super) const MARK: &[u8] = b"\x00m";

const DATA: u8 = 1;

/// Sled's key of a user's key.
pub(super) fn data(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(DATA);
    bytes.extend_from_slice(key);
    bytes
}

/// The user's key of sled's key.
pub(super) fn of_data(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[DATA])
}
