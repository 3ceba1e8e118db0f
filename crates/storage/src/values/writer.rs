//! Appends records to the newest value file, and begins another when it is full.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::disk::{DiskFile, write_all_at};
use crate::values::entry::Entry;
use crate::values::file::Values;
use crate::values::ledger::FileNote;
use crate::values::record::{self, Kind};
use crate::values::salt;

/// Written at once.
pub(crate) const BUFFER_BYTES: usize = 1 << 20;
/// Written between syncs: in portions, so that syncs of the log are not held up behind a long one.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

/// The end of a value file. Records get their place when they are pushed, and are in the file after [`flush`](Self::flush).
pub(crate) struct FileWriter {
    file: Arc<dyn DiskFile>,
    /// What is in the file.
    pub(crate) note: FileNote,
    buffer: Vec<u8>,
    /// What the buffer adds to the note.
    buffered_tombstone_bytes: u64,
    buffered_tombstone_version: u64,
    unsynced_bytes: u64,
}

impl FileWriter {
    /// Creates a file. Readers know of it.
    pub(crate) fn create(values: &Values, id: u32, birth: u64) -> io::Result<Self> {
        let path = values.path(id);
        match values.disk().remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = Arc::from(values.disk().create(&path)?);
        let note = FileNote::new(id, salt(), birth);
        values.add(id, note.salt);
        Ok(Self::on(file, note))
    }

    /// Goes on where a file ends.
    pub(crate) fn reopen(values: &Values, note: FileNote) -> io::Result<Self> {
        Ok(Self::on(Arc::from(values.disk().open(&values.path(note.id))?), note))
    }

    fn on(file: Arc<dyn DiskFile>, note: FileNote) -> Self {
        Self {
            file,
            note,
            buffer: Vec::new(),
            buffered_tombstone_bytes: 0,
            buffered_tombstone_version: 0,
            unsynced_bytes: 0,
        }
    }

    /// Bytes in the file and the buffer.
    pub(crate) fn bytes(&self) -> u64 {
        self.note.extent + self.buffer.len() as u64
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Takes a record. Offsets have 32 bits: the caller begins another file long before.
    pub(crate) fn push(&mut self, kind: Kind, key: &[u8], version: u64, value: &[u8]) -> Entry {
        let offset = self.bytes() as u32;
        record::write(&mut self.buffer, self.note.salt, kind, key, version, value);
        if kind == Kind::Delete {
            self.buffered_tombstone_bytes += record::record_bytes(key.len(), 0);
            self.buffered_tombstone_version = self.buffered_tombstone_version.max(version);
        }
        Entry { file: self.note.id, offset, kind, value_bytes: value.len() as u32, version }
    }

    /// Puts the buffer into the file. After an error nothing of it counts.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let tombstone_bytes = std::mem::take(&mut self.buffered_tombstone_bytes);
        let tombstone_version = std::mem::take(&mut self.buffered_tombstone_version);
        write_all_at(self.file.as_ref(), &buffer, self.note.extent)?;
        self.note.extent += buffer.len() as u64;
        self.note.tombstone_bytes += tombstone_bytes;
        self.note.tombstone_version = self.note.tombstone_version.max(tombstone_version);
        self.unsynced_bytes += buffer.len() as u64;
        self.buffer = buffer;
        self.buffer.clear();
        self.buffer.shrink_to(4 * BUFFER_BYTES);
        Ok(())
    }

    /// Syncs if much was written since.
    pub(crate) fn sync_portion(&mut self) -> io::Result<()> {
        if self.unsynced_bytes >= UNSYNCED_BYTES_MAX { self.sync() } else { Ok(()) }
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced_bytes > 0 {
            self.file.sync_data()?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }
}

/// The file that takes what is moved out of the log, and those before it that a checkpoint has not seen.
pub(crate) struct Active {
    writer: Option<FileWriter>,
    /// Full, but not durable yet.
    full: Vec<FileWriter>,
    file_bytes: u64,
}

impl Active {
    pub(crate) fn new(writer: Option<FileWriter>, file_bytes: u64) -> Self {
        Self { writer, full: Vec::new(), file_bytes }
    }

    /// The number of the file that takes records.
    pub(crate) fn id(&self) -> Option<u32> {
        self.writer.as_ref().map(|writer| writer.note.id)
    }

    /// Files that are not to be rewritten: they may grow, or are not durable.
    pub(crate) fn ids(&self) -> BTreeSet<u32> {
        self.full.iter().chain(&self.writer).map(|writer| writer.note.id).collect()
    }

    /// The file to push records of this version to, with room for the next buffer. Begins one, numbered with `next_id`, where needed.
    pub(crate) fn writer(
        &mut self,
        values: &Values,
        next_id: &mut u32,
        version: u64,
    ) -> io::Result<&mut FileWriter> {
        if let Some(full) = self.writer.take_if(|writer| writer.note.extent >= self.file_bytes) {
            self.full.push(full);
        }
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let writer = FileWriter::create(values, *next_id, version)?;
                *next_id += 1;
                writer
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Makes all that was flushed durable, names included.
    pub(crate) fn sync(&mut self, values: &Values) -> Result<(), String> {
        let writers = self.full.iter_mut().chain(&mut self.writer);
        for writer in writers {
            let path = values.path(writer.note.id);
            writer.sync().map_err(|error| format!("sync {}: {error}", path.display()))?;
        }
        self.full.clear();
        let directory = values.directory();
        values.disk().sync_dir(directory).map_err(|error| format!("sync {}: {error}", directory.display()))
    }
}
