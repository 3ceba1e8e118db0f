//! One record of the log: a header and a group of encoded batches.
//!
//! Header, little endian: crc32c (u32) of all that follows it, the payload's length in bytes (u32), the segment's salt (u64),
//! the sequence number (u64). The salt tells records of this segment from those that a reused file held before.

use bytes::Bytes;

pub(crate) const RECORD_HEADER_BYTES: usize = 24;
/// Where in a header the salt is.
const SALT_AT: usize = 8;

/// A valid record.
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) payload: Bytes,
}

/// Fills in the header of a record whose payload stands at `RECORD_HEADER_BYTES` already.
pub(crate) fn seal(record: &mut [u8], salt: u64, sequence: u64) {
    // Groups are bounded by the longest batch, far below 4 GiB.
    let length = (record.len() - RECORD_HEADER_BYTES) as u32;
    record[4..8].copy_from_slice(&length.to_le_bytes());
    record[8..16].copy_from_slice(&salt.to_le_bytes());
    record[16..24].copy_from_slice(&sequence.to_le_bytes());
    let crc = crc32c::crc32c(&record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The record at this offset of a segment, if one is there whole.
pub(crate) fn read(segment: &Bytes, at: usize, salt: u64) -> Option<Record> {
    let header = segment.get(at..at.checked_add(RECORD_HEADER_BYTES)?)?;
    if header[8..16] != salt.to_le_bytes() {
        return None;
    }
    let length = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
    let sequence = u64::from_le_bytes(header[16..24].try_into().ok()?);
    let payload_at = at + RECORD_HEADER_BYTES;
    let end = payload_at.checked_add(length)?;
    if end > segment.len() {
        return None;
    }
    let crc = u32::from_le_bytes(header[..4].try_into().ok()?);
    (crc32c::crc32c(&segment[at + 4..end]) == crc)
        .then(|| Record { sequence, payload: segment.slice(payload_at..end) })
}

/// How many bytes of a record stand at this offset, where none is there whole: 0 if nothing was begun.
pub(crate) fn unfinished_bytes(segment: &Bytes, at: usize, salt: u64) -> u64 {
    let tail = &segment[at.min(segment.len())..];
    match (tail.get(4..8), tail.get(8..16)) {
        (Some(length), Some(tail_salt)) if tail_salt == salt.to_le_bytes() => {
            let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
            tail.len().min(RECORD_HEADER_BYTES.saturating_add(length)) as u64
        }
        _ => 0,
    }
}

/// The offset and number of the first valid record after `from` whose number is above `above`.
pub(crate) fn find_later(segment: &Bytes, from: usize, salt: u64, above: u64) -> Option<(usize, u64)> {
    // The salt is in a record's head, and seldom anywhere else. Most of what is searched is the empty rest of a segment.
    let first = (from + 1 + SALT_AT).min(segment.len());
    memchr::memmem::find_iter(&segment[first..], &salt.to_le_bytes())
        .filter_map(|found| (first + found).checked_sub(SALT_AT))
        .filter(|at| at + RECORD_HEADER_BYTES <= segment.len())
        .filter_map(|at| Some((at, read(segment, at, salt)?.sequence)))
        .find(|(_, sequence)| *sequence > above)
}

/// The salt and number of the record at this offset, whatever segment it was written for, if one is there whole.
pub(crate) fn peek(segment: &Bytes, at: usize) -> Option<(u64, u64)> {
    let salt = segment.get(at + 8..at + 16)?.try_into().ok()?;
    let salt = u64::from_le_bytes(salt);
    Some((salt, read(segment, at, salt)?.sequence))
}

/// Whether a record stands anywhere that comes after this number and before the next few thousand million.
pub(crate) fn has_any_after(segment: &Bytes, from: usize, above: u64) -> bool {
    let last = segment.len().saturating_sub(RECORD_HEADER_BYTES);
    (from..last).any(|at| {
        let sequence = segment[at + 16..at + 24].try_into().map_or(0, u64::from_le_bytes);
        let is_near = sequence > above && sequence - above < 1 << 32;
        is_near && peek(segment, at).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(payload: &[u8], salt: u64, sequence: u64) -> Vec<u8> {
        let mut record = vec![0; RECORD_HEADER_BYTES];
        record.extend_from_slice(payload);
        seal(&mut record, salt, sequence);
        record
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let record = sealed(b"some payload", 77, 5);
        let whole = Bytes::from(record.clone());
        let read_back = read(&whole, 0, 77).expect("valid");
        assert_eq!((read_back.sequence, &read_back.payload[..]), (5, &b"some payload"[..]));
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&Bytes::from(flipped), 0, 77).is_none(), "bit {bit}");
        }
        for cut in 0..record.len() {
            assert!(read(&whole.slice(..cut), 0, 77).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn records_of_the_file_s_former_life_do_not_count() {
        let stale = Bytes::from(sealed(b"old", 1, 9));
        assert!(read(&stale, 0, 2).is_none());
        assert!(find_later(&stale, 0, 2, 0).is_none());
    }

    #[test]
    fn a_later_record_is_found_behind_damage() {
        let mut segment = vec![0xAB; 100];
        segment.extend(sealed(b"later", 3, 8));
        let segment = Bytes::from(segment);
        assert_eq!(find_later(&segment, 0, 3, 7), Some((100, 8)));
        assert_eq!(find_later(&segment, 0, 3, 8), None);
    }
}
