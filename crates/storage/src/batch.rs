//! The bytes of a batch, as they stand in the log. The memtable's values are slices of the same bytes, so a batch is
//! copied once, and never keeps a network buffer alive.
//!
//! Per operation, little endian: a tag (1 put, 2 delete), crc32c (u32) of the tag and all that follows but the value, the key's length
//! (u32), for a put the value's length (u32) and its crc32c (u32), the key, the value. Nothing separates batches: a record of the log,
//! which holds several, is valid as a whole or not at all. The operations' own checksums are for a record that was durable and
//! is damaged now: they tell what is lost ([`salvage`]).

use bytes::Bytes;
use quorate_protocol::store::{StoreError, StoreOp};

use crate::key::Key;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// The longest batch, in bytes.
const BATCH_BYTES_MAX: usize = 512 << 20;

/// What an operation costs in memory besides the bytes of the batch: a place in a tree, with a copy of a short key.
pub(crate) const OP_OVERHEAD_BYTES: usize = 128;

/// A key and its new value, or `None` for a deletion.
pub(crate) type Change = (Key, Option<Bytes>);

/// What the log says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    Put(Bytes),
    Delete,
    /// It was put; the value cannot be read.
    Lost,
}

/// A batch, ready for the log and for the memtable.
pub(crate) struct EncodedBatch {
    pub(crate) bytes: Bytes,
    pub(crate) changes: Vec<Change>,
}

impl EncodedBatch {
    /// What it takes of the limits on memory.
    pub(crate) fn weight_bytes(&self) -> usize {
        self.bytes.len() + self.changes.len() * OP_OVERHEAD_BYTES
    }
}

/// Encodes a batch.
pub(crate) fn encode(ops: &[StoreOp]) -> Result<EncodedBatch, StoreError> {
    let length = ops.iter().map(encoded_bytes).fold(0usize, usize::saturating_add);
    if length > BATCH_BYTES_MAX {
        let detail = format!("a batch of {length} bytes is over the limit of {BATCH_BYTES_MAX}");
        return Err(StoreError::Full { detail });
    }
    let mut bytes = Vec::with_capacity(length);
    for op in ops {
        let at = bytes.len();
        match op {
            StoreOp::Put { key, value } => {
                bytes.extend_from_slice(&[PUT, 0, 0, 0, 0]);
                push_length(&mut bytes, key.len());
                push_length(&mut bytes, value.len());
                bytes.extend_from_slice(&crc32c::crc32c(value).to_le_bytes());
                bytes.extend_from_slice(key);
                seal(&mut bytes[at..]);
                bytes.extend_from_slice(value);
            }
            StoreOp::Delete { key } => {
                bytes.extend_from_slice(&[DELETE, 0, 0, 0, 0]);
                push_length(&mut bytes, key.len());
                bytes.extend_from_slice(key);
                seal(&mut bytes[at..]);
            }
        }
    }
    let bytes = Bytes::from(bytes);
    let mut changes = Vec::with_capacity(ops.len());
    let mut end = 0;
    for op in ops {
        end += encoded_bytes(op);
        match op {
            StoreOp::Put { key, value } => {
                let value_at = end - value.len();
                let key_at = value_at - key.len();
                changes.push((Key::slice_of(&bytes, key_at, value_at), Some(bytes.slice(value_at..end))));
            }
            StoreOp::Delete { key } => changes.push((Key::slice_of(&bytes, end - key.len(), end), None)),
        }
    }
    Ok(EncodedBatch { bytes, changes })
}

/// Reads the operations of one or more batches, known to be whole. The error says what is wrong.
pub(crate) fn decode(payload: &Bytes) -> Result<Vec<(Key, Logged)>, &'static str> {
    read(payload, |_, _| true, |_, _| true)
}

/// Reads the operations of one or more batches among which there is damage, if it leaves all keys known.
pub(crate) fn salvage(payload: &Bytes) -> Option<Vec<(Key, Logged)>> {
    let is_whole = |head: &[u8], crc: u32| head_crc(head) == crc;
    read(payload, is_whole, |value, crc| crc32c::crc32c(value) == crc).ok()
}

fn read(
    payload: &Bytes,
    is_head_whole: impl Fn(&[u8], u32) -> bool,
    is_value_whole: impl Fn(&[u8], u32) -> bool,
) -> Result<Vec<(Key, Logged)>, &'static str> {
    let mut changes = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let start = at;
        let tag = payload[at];
        at += 1;
        let crc = take_number(payload, &mut at)?;
        let key_length = take_number(payload, &mut at)?;
        let value = match tag {
            PUT => Some((take_number(payload, &mut at)?, take_number(payload, &mut at)?)),
            DELETE => None,
            _ => return Err("an operation is neither put nor delete"),
        };
        let key = take(payload, &mut at, key_length as usize)?;
        if !is_head_whole(&payload[start..at], crc) {
            return Err("the head of an operation fails its checksum");
        }
        let key = Key::slice_of(&key, 0, key.len());
        let change = match value {
            Some((length, crc)) => {
                let value = take(payload, &mut at, length as usize)?;
                if is_value_whole(&value, crc) { Logged::Put(value) } else { Logged::Lost }
            }
            None => Logged::Delete,
        };
        changes.push((key, change));
    }
    Ok(changes)
}

/// Fills in the checksum of an operation's head.
fn seal(head: &mut [u8]) {
    let crc = head_crc(head);
    head[1..5].copy_from_slice(&crc.to_le_bytes());
}

fn head_crc(head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..1]), &head[5..])
}

fn encoded_bytes(op: &StoreOp) -> usize {
    match op {
        StoreOp::Put { key, value } => 17usize.saturating_add(key.len()).saturating_add(value.len()),
        StoreOp::Delete { key } => 9usize.saturating_add(key.len()),
    }
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    // The whole batch is below BATCH_BYTES_MAX, far below 4 GiB.
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
}

fn take_number(payload: &Bytes, at: &mut usize) -> Result<u32, &'static str> {
    let bytes = payload.get(*at..*at + 4).ok_or("an operation ends within a number")?;
    *at += 4;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn take(payload: &Bytes, at: &mut usize, length: usize) -> Result<Bytes, &'static str> {
    let end = at.saturating_add(length);
    if end > payload.len() {
        return Err("an operation ends within a key or value");
    }
    let bytes = payload.slice(*at..end);
    *at = end;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<StoreOp> {
        vec![
            StoreOp::Put { key: Bytes::from_static(b"a"), value: Bytes::from_static(b"one") },
            StoreOp::Delete { key: Bytes::from_static(b"bb") },
            StoreOp::Put { key: Bytes::new(), value: Bytes::new() },
        ]
    }

    fn logged(changes: &[Change]) -> Vec<(Key, Logged)> {
        let logged = |value: &Option<Bytes>| value.clone().map_or(Logged::Delete, Logged::Put);
        changes.iter().map(|(key, value)| (key.clone(), logged(value))).collect()
    }

    #[test]
    fn what_is_decoded_is_what_was_encoded() {
        let encoded = encode(&sample()).expect("small");
        assert_eq!(decode(&encoded.bytes).expect("whole"), logged(&encoded.changes));
        assert_eq!(salvage(&encoded.bytes).expect("whole"), logged(&encoded.changes));
        assert_eq!(encoded.changes[0], (Key::from(&b"a"[..]), Some(Bytes::from_static(b"one"))));
        assert_eq!(encoded.changes[1], (Key::from(&b"bb"[..]), None));
        assert_eq!(encoded.changes[2], (Key::from(&b""[..]), Some(Bytes::new())));
    }

    #[test]
    fn a_cut_batch_is_an_error_and_never_a_panic() {
        let encoded = encode(&sample()).expect("small");
        let boundaries = [0, 21, 32];
        for cut in 0..encoded.bytes.len() {
            let result = decode(&encoded.bytes.slice(..cut));
            assert_eq!(result.is_ok(), boundaries.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn of_a_damaged_batch_all_keys_are_known_or_nothing_is() {
        let encoded = encode(&sample()).expect("small");
        let whole = logged(&encoded.changes);
        for bit in 0..encoded.bytes.len() * 8 {
            let mut flipped = encoded.bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let in_value = (18..21).contains(&(bit / 8));
            match salvage(&Bytes::from(flipped)) {
                None => assert!(!in_value, "bit {bit}"),
                Some(changes) => {
                    assert!(in_value, "bit {bit}");
                    assert_eq!((&changes[0].1, &changes[1..]), (&Logged::Lost, &whole[1..]));
                }
            }
        }
    }
}
