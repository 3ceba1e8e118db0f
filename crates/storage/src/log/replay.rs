//! Reads the log back when a store is opened.

use std::path::Path;

use bytes::Bytes;

use crate::batch::{self, Change};
use crate::disk::{Disk, read_all};
use crate::error::{OpenError, io_error};
use crate::log::record::{self, RECORD_HEADER_BYTES};
use crate::log::segment::{self, ClosedSegment, SEGMENT_HEADER_BYTES, SegmentHeader};

/// What was found in the log.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// All segments, by rising number.
    pub(crate) segments: Vec<ClosedSegment>,
    /// The number of the last record, or of the checkpoint where there is none after it.
    pub(crate) last_sequence: u64,
    /// The highest number of any segment file, 0 without one.
    pub(crate) last_segment_id: u64,
    /// Records that were handed on, and their bytes.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Bytes of an unfinished record that were cut off the end.
    pub(crate) torn_bytes: u64,
}

/// Hands all changes after record `checkpoint` on, in order, and cuts an unfinished record off the log's end.
///
/// Only the last record can be unfinished: each is synced before the next is written. Anything else that cannot be read
/// was damaged later and is an error.
pub(crate) fn replay(
    disk: &dyn Disk,
    log: &Path,
    checkpoint: u64,
    mut visit: impl FnMut(Vec<Change>) -> Result<(), OpenError>,
) -> Result<Replayed, OpenError> {
    let (files, _) = segment::list(disk, log).map_err(io_error("list", log))?;
    let mut replayed = Replayed { last_sequence: checkpoint, ..Replayed::default() };
    // The end of the segment before: the number of its last record, its path and length.
    let mut before: Option<(u64, &Path, u64)> = None;
    for (place, (id, path)) in files.iter().enumerate() {
        let damaged = |offset: u64, detail: String| OpenError::Damaged { file: path.clone(), offset, detail };
        let file = disk.open(path).map_err(io_error("open", path))?;
        let content = Bytes::from(read_all(file.as_ref()).map_err(io_error("read", path))?);
        let header = SegmentHeader::decode(&content)
            .ok_or_else(|| damaged(0, "the header of the segment is not valid".into()))?;
        check_joint(path, header.first_sequence, before, checkpoint)?;

        let mut at = SEGMENT_HEADER_BYTES;
        let mut last = header.first_sequence - 1;
        while let Some(record) = record::read(&content, at, header.salt) {
            if record.sequence != last + 1 {
                let detail = format!("record {} is followed by record {}", last, record.sequence);
                return Err(damaged(at as u64, detail));
            }
            last = record.sequence;
            if record.sequence > checkpoint {
                let changes = batch::decode(&record.payload)
                    .map_err(|detail| damaged(at as u64, format!("record {last}: {detail}")))?;
                replayed.records += 1;
                replayed.bytes += record.payload.len() as u64;
                visit(changes)?;
            }
            at += RECORD_HEADER_BYTES + record.payload.len();
        }

        if place + 1 == files.len() {
            if let Some((offset, sequence)) = record::find_later(&content, at, header.salt, last) {
                let detail = format!(
                    "record {} cannot be read, but record {sequence} at byte {offset} can: not an unfinished write",
                    last + 1
                );
                return Err(damaged(at as u64, detail));
            }
            if last < checkpoint {
                let detail =
                    format!("the log ends with record {last}, but the checkpoint reaches to {checkpoint}");
                return Err(damaged(at as u64, detail));
            }
            replayed.torn_bytes = record::unfinished_bytes(&content, at, header.salt);
            if at < content.len() {
                file.set_len(at as u64).map_err(io_error("cut", path))?;
                file.sync_all().map_err(io_error("sync", path))?;
            }
        }
        replayed.segments.push(ClosedSegment {
            id: *id,
            path: path.clone(),
            last_sequence: last,
            bytes: at as u64,
        });
        replayed.last_sequence = replayed.last_sequence.max(last);
        replayed.last_segment_id = *id;
        before = Some((last, path, at as u64));
    }
    if files.is_empty() && checkpoint > 0 {
        let detail = format!("the checkpoint reaches to record {checkpoint}, but there is no segment");
        return Err(OpenError::Damaged { file: log.to_path_buf(), offset: 0, detail });
    }
    Ok(replayed)
}

/// Checks that a segment starts where the one before it, or the checkpoint, ends.
fn check_joint(
    path: &Path,
    first_sequence: u64,
    before: Option<(u64, &Path, u64)>,
    checkpoint: u64,
) -> Result<(), OpenError> {
    let (file, offset, detail) = match before {
        Some((last, file, end)) if first_sequence != last + 1 => {
            let detail = format!(
                "record {} cannot be read, and the next segment starts with record {first_sequence}",
                last + 1
            );
            (file, end, detail)
        }
        None if first_sequence > checkpoint + 1 => {
            let detail = format!(
                "the log starts with record {first_sequence}, but the checkpoint reaches only to {checkpoint}"
            );
            (path, 0, detail)
        }
        _ => return Ok(()),
    };
    Err(OpenError::Damaged { file: file.to_path_buf(), offset, detail })
}
