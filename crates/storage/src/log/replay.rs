//! Reads the log back when a store is opened.
//!
//! Only the last record can be unfinished: each is synced before the next is written. It is cut. Anything else that cannot be read was
//! damaged later. Where the damage leaves all keys of the record known, the values in it are lost and the rest is taken in; where it
//! does not, or where records are missing, that is an error. What the checkpoint covers is not needed, damaged or not.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::batch::{self, Logged};
use crate::disk::{Disk, read_all};
use crate::error::{OpenError, io_error};
use crate::key::Key;
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
    /// Values that were lost to damage.
    pub(crate) lost_values: u64,
    /// Bytes of an unfinished record that were cut off the end.
    pub(crate) torn_bytes: u64,
}

/// A segment's content.
struct Segment {
    path: PathBuf,
    content: Bytes,
    /// `None` where it is damaged and nothing follows it.
    header: Option<SegmentHeader>,
}

impl Segment {
    fn damaged(&self, offset: usize, detail: String) -> OpenError {
        OpenError::Damaged { file: self.path.clone(), offset: offset as u64, detail }
    }
}

/// Hands all changes after record `checkpoint` on, record by record, and cuts an unfinished record off the log's end.
pub(crate) fn replay<E: From<OpenError>>(
    disk: &dyn Disk,
    log: &Path,
    checkpoint: u64,
    mut visit: impl FnMut(u64, Vec<(Key, Logged)>) -> Result<(), E>,
) -> Result<Replayed, E> {
    let (files, _) = segment::list(disk, log).map_err(io_error("list", log))?;
    let mut replayed = Replayed { last_sequence: checkpoint, ..Replayed::default() };
    // The end of the segment before: the number of its last record, its path and length.
    let mut before: Option<(u64, PathBuf, u64)> = None;
    for (place, (id, path)) in files.iter().enumerate() {
        let next = files.get(place + 1).map(|(_, path)| path.as_path());
        let reached = before.as_ref().map_or(checkpoint, |(last, _, _)| *last);
        let segment = read_segment(disk, path, reached, before.is_none(), next.is_some())?;
        let next_first = next.map(|next| first_of(disk, next, reached)).transpose()?.flatten();
        let first = segment.header.map_or(reached + 1, |header| header.first_sequence);
        check_joint(path, first, before.as_ref(), checkpoint)?;

        let (salt, mut last) = (segment.header.map(|header| header.salt), first - 1);
        let mut at = SEGMENT_HEADER_BYTES;
        while let Some(salt) = salt {
            let (sequence, changes, end) = match record::read(&segment.content, at, salt) {
                Some(record) => {
                    let end = at + RECORD_HEADER_BYTES + record.payload.len();
                    let changes = if record.sequence > checkpoint {
                        replayed.bytes += record.payload.len() as u64;
                        batch::decode(&record.payload)
                            .map_err(|detail| segment.damaged(at, format!("record {}: {detail}", last + 1)))?
                    } else {
                        Vec::new()
                    };
                    (record.sequence, changes, end)
                }
                None => match salvage(&segment, at, salt, last, next_first, checkpoint)? {
                    Some(salvaged) => salvaged,
                    None => break,
                },
            };
            let was_skipped = sequence > last + 1 && sequence <= checkpoint;
            if sequence != last + 1 && !was_skipped {
                let detail = format!("record {last} is followed by record {sequence}");
                return Err(segment.damaged(at, detail).into());
            }
            last = sequence;
            if sequence > checkpoint {
                let lost = changes.iter().filter(|(_, change)| matches!(change, Logged::Lost)).count();
                replayed.records += 1;
                replayed.lost_values += lost as u64;
                visit(sequence, changes)?;
            }
            at = end;
        }

        if next.is_none() {
            if last < checkpoint {
                let detail =
                    format!("the log ends with record {last}, but the checkpoint reaches to {checkpoint}");
                return Err(segment.damaged(at, detail).into());
            }
            replayed.torn_bytes = record::unfinished_bytes(&segment.content, at, salt.unwrap_or_default());
            cut(disk, &segment, at, last + 1)?;
        }
        replayed.segments.push(ClosedSegment {
            id: *id,
            path: path.clone(),
            last_sequence: last,
            bytes: at as u64,
        });
        replayed.last_sequence = replayed.last_sequence.max(last);
        replayed.last_segment_id = *id;
        before = Some((last, path.clone(), at as u64));
    }
    if files.is_empty() && checkpoint > 0 {
        let detail = format!("the checkpoint reaches to record {checkpoint}, but there is no segment");
        return Err(OpenError::Damaged { file: log.to_path_buf(), offset: 0, detail }.into());
    }
    Ok(replayed)
}

/// Number, changes and end of a record.
type Salvaged = (u64, Vec<(Key, Logged)>, usize);

/// What is left of the record at this place, which cannot be read whole; `None` if the log ends here.
fn salvage(
    segment: &Segment,
    at: usize,
    salt: u64,
    last: u64,
    next_first: Option<u64>,
    checkpoint: u64,
) -> Result<Option<Salvaged>, OpenError> {
    let content = &segment.content;
    let later = record::find_later(content, at, salt, last);
    let (end, next) = match (later, next_first) {
        (Some((offset, sequence)), _) => (offset, sequence),
        (None, Some(first)) if first > last + 1 => {
            // The last of its segment, but not of the log. Its own header tells where it ends.
            let length = content.get(at + 4..at + 8).and_then(|length| length.try_into().ok());
            let length = u32::from_le_bytes(length.unwrap_or_default()) as usize;
            (at.saturating_add(RECORD_HEADER_BYTES).saturating_add(length).min(content.len()), first)
        }
        _ => return Ok(None),
    };
    if next <= checkpoint + 1 {
        return Ok(Some((next - 1, Vec::new(), end)));
    }
    let payload_at = (at + RECORD_HEADER_BYTES).min(end);
    let changes = batch::salvage(&content.slice(payload_at..end)).filter(|_| next == last + 2);
    let changes = changes.ok_or_else(|| {
        let detail = format!(
            "record {} cannot be read, but record {next} behind it can: not an unfinished write",
            last + 1
        );
        segment.damaged(at, detail)
    })?;
    Ok(Some((last + 1, changes, end)))
}

/// Reads a segment. `reached` is the number of the last record before it, or that of the checkpoint if it is the first.
fn read_segment(
    disk: &dyn Disk,
    path: &Path,
    reached: u64,
    is_first: bool,
    is_followed: bool,
) -> Result<Segment, OpenError> {
    let file = disk.open(path).map_err(io_error("open", path))?;
    let content = Bytes::from(read_all(file.as_ref()).map_err(io_error("read", path))?);
    let header = SegmentHeader::decode(&content);
    let mut segment = Segment { path: path.to_path_buf(), content, header };
    if header.is_some() {
        return Ok(segment);
    }
    // The first record tells what the header does. But what a reused file held before can be told from what it holds now by the
    // numbers only.
    let is_needed = is_followed || record::has_any_after(&segment.content, 0, reached);
    segment.header = record::peek(&segment.content, SEGMENT_HEADER_BYTES)
        .filter(|(_, sequence)| *sequence == reached + 1 || (is_first && *sequence <= reached))
        .filter(|_| is_needed)
        .map(|(salt, first_sequence)| SegmentHeader { salt, first_sequence });
    if is_needed && segment.header.is_none() {
        return Err(segment.damaged(0, "the header of the segment is not valid".into()));
    }
    Ok(segment)
}

/// The number of the first record of the segment that follows.
fn first_of(disk: &dyn Disk, path: &Path, above: u64) -> Result<Option<u64>, OpenError> {
    let file = disk.open(path).map_err(io_error("open", path))?;
    let mut header = vec![0; SEGMENT_HEADER_BYTES];
    let read =
        crate::values::file::read_up_to(file.as_ref(), &mut header, 0).map_err(io_error("read", path))?;
    header.truncate(read);
    Ok(SegmentHeader::decode(&header).map(|header| header.first_sequence).filter(|first| *first > above))
}

/// Cuts what is unfinished off the last segment, and gives it a header if it has none.
fn cut(disk: &dyn Disk, segment: &Segment, at: usize, next_sequence: u64) -> Result<(), OpenError> {
    let path = &segment.path;
    let file = disk.open(path).map_err(io_error("open", path))?;
    if at < segment.content.len() {
        file.set_len(at as u64).map_err(io_error("cut", path))?;
    }
    if SegmentHeader::decode(&segment.content).is_none() {
        let header = segment.header.unwrap_or_else(|| SegmentHeader::new(next_sequence));
        crate::disk::write_all_at(file.as_ref(), &header.encode(), 0).map_err(io_error("write", path))?;
    }
    file.sync_all().map_err(io_error("sync", path))
}

/// Checks that a segment starts where the one before it, or the checkpoint, ends.
fn check_joint(
    path: &Path,
    first_sequence: u64,
    before: Option<&(u64, PathBuf, u64)>,
    checkpoint: u64,
) -> Result<(), OpenError> {
    let (file, offset, detail) = match before {
        Some((last, file, end)) if first_sequence != last + 1 => {
            let detail = format!(
                "record {} cannot be read, and the next segment starts with record {first_sequence}",
                last + 1
            );
            (file.as_path(), *end, detail)
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
