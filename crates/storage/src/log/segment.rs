//! Segment files: names, headers, and spare files written out beforehand.
//!
//! A sync of bytes within blocks that were written before touches data only; into blocks that are merely reserved, or at the
//! end of a growing file, it also writes the file system's journal (90 against 145 us, measured). So a segment
//! is filled with zeros before its use, and a finished one is renamed and written over instead of removed.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile, write_all_at};

pub(crate) const SEGMENT_HEADER_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"QUORLOG1";
const ZEROS_BYTES: usize = 1 << 20;

/// What stands at the start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Random; repeated in each record of this segment.
    pub(crate) salt: u64,
    /// The number of the segment's first record.
    pub(crate) first_sequence: u64,
}

impl SegmentHeader {
    /// A header for a new segment.
    pub(crate) fn new(first_sequence: u64) -> Self {
        // Only has to differ from those before and be unknown to those who choose what is stored.
        Self { salt: RandomState::new().build_hasher().finish(), first_sequence }
    }

    pub(crate) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_sequence.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(segment: &[u8]) -> Option<Self> {
        let bytes = segment.get(..SEGMENT_HEADER_BYTES)?;
        let crc = u32::from_le_bytes(bytes[24..28].try_into().ok()?);
        if &bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..24]) != crc {
            return None;
        }
        Some(Self {
            salt: u64::from_le_bytes(bytes[8..16].try_into().ok()?),
            first_sequence: u64::from_le_bytes(bytes[16..24].try_into().ok()?),
        })
    }
}

/// A segment that takes no more records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClosedSegment {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    /// The number of its last record.
    pub(crate) last_sequence: u64,
    /// Bytes up to the end of its last record.
    pub(crate) bytes: u64,
}

/// The path of a segment.
pub(crate) fn segment_path(log: &Path, id: u64) -> PathBuf {
    log.join(format!("{id:016x}.log"))
}

/// The path of a file that is ready to become a segment.
pub(crate) fn spare_path(log: &Path, id: u64) -> PathBuf {
    log.join(format!("{id:016x}.spare"))
}

/// Files with their numbers, by rising number.
pub(crate) type Numbered = Vec<(u64, PathBuf)>;

/// The segments and the spare files in the log's directory.
pub(crate) fn list(disk: &dyn Disk, log: &Path) -> io::Result<(Numbered, Numbered)> {
    let (mut segments, mut spares) = (Vec::new(), Vec::new());
    for name in disk.list(log)? {
        let path = log.join(&name);
        let Some((stem, extension)) = name.to_str().and_then(|name| name.split_once('.')) else {
            continue;
        };
        let Ok(id) = u64::from_str_radix(stem, 16) else {
            continue;
        };
        match extension {
            "log" => segments.push((id, path)),
            "spare" => spares.push((id, path)),
            _ => {}
        }
    }
    segments.sort();
    spares.sort();
    Ok((segments, spares))
}

/// Makes a spare file full of zeros. Leaves nothing behind when it fails.
pub(crate) fn create_spare(disk: &dyn Disk, path: &Path, length: u64) -> io::Result<()> {
    let file = disk.create(path)?;
    let filled = fill(file.as_ref(), length);
    if filled.is_err() {
        drop(file);
        // The first error is the one to report; a file that stays is found and removed at the next opening.
        let _ = disk.remove(path);
    }
    filled
}

fn fill(file: &dyn DiskFile, length: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut at = 0;
    while at < length {
        let step = (length - at).min(ZEROS_BYTES as u64);
        write_all_at(file, &zeros[..step as usize], at)?;
        at += step;
        if at.is_multiple_of(8 * ZEROS_BYTES as u64) {
            // In portions, so that syncs of the log are not held up behind a long one.
            file.sync_data()?;
        }
    }
    file.sync_all()
}
