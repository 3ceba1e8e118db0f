//! Appends records to the log and starts new segments.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, write_all_at};
use crate::log::record::{self, RECORD_HEADER_BYTES};
use crate::log::segment::{ClosedSegment, SEGMENT_HEADER_BYTES, SegmentHeader, segment_path};

/// Staging keeps its memory up to this many bytes.
const STAGED_BYTES_KEPT: usize = 16 << 20;

/// What the writer shares with the thread that drops finished segments and makes spare ones.
#[derive(Debug, Default)]
pub(crate) struct SegmentPool {
    /// By rising number.
    pub(crate) closed: Vec<ClosedSegment>,
    pub(crate) spares: Vec<PathBuf>,
}

/// The end of the log.
pub(crate) struct LogWriter {
    disk: Arc<dyn Disk>,
    log: PathBuf,
    pool: Arc<Mutex<SegmentPool>>,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    id: u64,
    salt: u64,
    /// Where the next record goes.
    at: u64,
    next_sequence: u64,
    /// A segment takes no record that would end beyond this, unless as its first.
    segment_bytes_max: u64,
    staged: Vec<u8>,
}

impl LogWriter {
    /// Starts a segment after the given ones.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        log: PathBuf,
        pool: Arc<Mutex<SegmentPool>>,
        id: u64,
        next_sequence: u64,
        segment_bytes_max: u64,
    ) -> io::Result<Self> {
        let header = SegmentHeader::new(next_sequence);
        let (file, path) = start_segment(disk.as_ref(), &log, &pool, id, header)?;
        Ok(Self {
            disk,
            log,
            pool,
            file,
            path,
            id,
            salt: header.salt,
            at: SEGMENT_HEADER_BYTES as u64,
            next_sequence,
            segment_bytes_max,
            staged: Vec::new(),
        })
    }

    /// Prepares the next record. Nothing reaches the disk yet.
    pub(crate) fn stage(&mut self, batches: &[Bytes]) {
        self.staged.clear();
        self.staged.shrink_to(STAGED_BYTES_KEPT);
        self.staged.resize(RECORD_HEADER_BYTES, 0);
        for batch in batches {
            self.staged.extend_from_slice(batch);
        }
    }

    /// Writes the staged record, in a new segment where this one has no room. May be called again after an error: what a failed
    /// attempt left is cut off and written over.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let end = self.at + self.staged.len() as u64;
        if end > self.segment_bytes_max && self.at > SEGMENT_HEADER_BYTES as u64 {
            self.rotate()?;
        }
        record::seal(&mut self.staged, self.salt, self.next_sequence);
        let written = write_all_at(self.file.as_ref(), &self.staged, self.at);
        if written.is_err() {
            // Whether this works does not matter: the next attempt writes over it, an opening would cut it.
            let _ = self.file.set_len(self.at);
        }
        written
    }

    /// Makes the written record durable and returns its number. An error is final: the system may have dropped what it
    /// could not write, and would report success next time.
    pub(crate) fn sync(&mut self) -> io::Result<u64> {
        self.file.sync_data()?;
        self.at += self.staged.len() as u64;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Ok(sequence)
    }

    /// The number of the last durable record.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Bytes of the current segment that hold records.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.at
    }

    /// The file that takes records.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn rotate(&mut self) -> io::Result<()> {
        let header = SegmentHeader::new(self.next_sequence);
        let id = self.id + 1;
        let (file, path) = start_segment(self.disk.as_ref(), &self.log, &self.pool, id, header)?;
        let mut pool = self.pool.lock();
        pool.closed.push(ClosedSegment {
            id: self.id,
            path: std::mem::replace(&mut self.path, path),
            last_sequence: self.next_sequence - 1,
            bytes: self.at,
        });
        self.file = file;
        self.id = id;
        self.salt = header.salt;
        self.at = SEGMENT_HEADER_BYTES as u64;
        Ok(())
    }
}

/// Turns a spare file into a segment, or creates one that grows. The header is durable before the file has its name, so a
/// segment without a valid header is a damaged one.
fn start_segment(
    disk: &dyn Disk,
    log: &std::path::Path,
    pool: &Mutex<SegmentPool>,
    id: u64,
    header: SegmentHeader,
) -> io::Result<(Box<dyn DiskFile>, PathBuf)> {
    let path = segment_path(log, id);
    let spare = pool.lock().spares.pop();
    let draft = spare.unwrap_or_else(|| log.join(format!("{id:016x}.draft")));
    let file = match disk.open(&draft) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(&draft)?,
        Err(error) => return Err(error),
    };
    write_all_at(file.as_ref(), &header.encode(), 0)?;
    file.sync_all()?;
    disk.rename(&draft, &path)?;
    disk.sync_dir(log)?;
    Ok((file, path))
}
