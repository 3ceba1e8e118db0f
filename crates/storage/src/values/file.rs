//! Reading single records of value files. Every read goes to the file: no copy of a value is kept, so that what a sweep verifies
//! is what the system has of the disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::disk::Disk;
use crate::disk::DiskFile;
use crate::values::entry::Entry;
use crate::values::record::{self, Header, Kind};

/// Files kept open. More than this are closed again, for processes may have but a thousand.
const OPEN_FILES_MAX: usize = 256;
/// What [`Window`] reads at once where records follow each other: little at first, for the scan may end soon.
const WINDOW_BYTES_MIN: u64 = 4 << 10;
const WINDOW_BYTES_MAX: u64 = 64 << 10;

/// What reading a record came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Value(Bytes),
    /// It cannot be read back, or is not what was written: why.
    Damaged(String),
    /// The system does not open the file, for want of something.
    Unopened(String),
    /// There is no such file: the record may have moved to another since the index was asked.
    NoFile,
}

/// A file of which records are read.
struct ValueFile {
    path: PathBuf,
    salt: u64,
    handle: RwLock<Option<Arc<dyn DiskFile>>>,
}

/// The value files by number, for any thread to read.
pub(crate) struct Values {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    files: RwLock<BTreeMap<u32, Arc<ValueFile>>>,
    open_files: AtomicUsize,
}

impl Values {
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: PathBuf) -> Self {
        Self { disk, directory, files: RwLock::default(), open_files: AtomicUsize::new(0) }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn path(&self, id: u32) -> PathBuf {
        self.directory.join(format!("{id:08x}.values"))
    }

    /// Makes a file known to readers.
    pub(crate) fn add(&self, id: u32, salt: u64) {
        let file = ValueFile { path: self.path(id), salt, handle: RwLock::new(None) };
        self.files.write().insert(id, Arc::new(file));
    }

    /// Has readers look elsewhere. Those who read it at the moment still can.
    pub(crate) fn forget(&self, id: u32) {
        if let Some(file) = self.files.write().remove(&id)
            && file.handle.write().take().is_some()
        {
            self.open_files.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The open file of this number and its salt; `None` if there is none.
    pub(crate) fn open(&self, id: u32) -> io::Result<Option<(Arc<dyn DiskFile>, u64)>> {
        let Some(file) = self.files.read().get(&id).map(Arc::clone) else { return Ok(None) };
        if let Some(handle) = file.handle.read().as_ref() {
            return Ok(Some((Arc::clone(handle), file.salt)));
        }
        let opened: Arc<dyn DiskFile> = match self.disk.open(&file.path) {
            Ok(opened) => Arc::from(opened),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if self.open_files.load(Ordering::Relaxed) >= OPEN_FILES_MAX {
            self.close_all();
        }
        if file.handle.write().replace(Arc::clone(&opened)).is_none() {
            self.open_files.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Some((opened, file.salt)))
    }

    fn close_all(&self) {
        for file in self.files.read().values() {
            if file.handle.write().take().is_some() {
                self.open_files.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Reads and verifies the record of a key.
    pub(crate) fn read(&self, key: &[u8], entry: &Entry) -> Found {
        if entry.kind != Kind::Put {
            return Found::Damaged("its value was lost before".into());
        }
        let (file, salt) = match self.open(entry.file) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Found::NoFile,
            Err(error) => {
                return Found::Unopened(format!("open {}: {error}", self.path(entry.file).display()));
            }
        };
        let length = usize::try_from(entry.record_bytes(key)).unwrap_or(usize::MAX);
        let mut record = vec![0; length];
        let read = read_exact(file.as_ref(), &mut record, u64::from(entry.offset));
        match read.map_err(|error| error.to_string()).and_then(|()| verify(&record, salt, key, entry)) {
            Ok(header) => Found::Value(Bytes::from(record).slice(header.value_at()..)),
            Err(detail) => self.damaged(entry, &detail),
        }
    }

    fn damaged(&self, entry: &Entry, detail: &str) -> Found {
        Found::Damaged(format!("{} at byte {}: {detail}", self.path(entry.file).display(), entry.offset))
    }
}

/// A stretch of a value file that a scan has read ahead: keys that were written together stand together, in order.
#[derive(Default)]
pub(crate) struct Window {
    file: u32,
    salt: u64,
    at: u64,
    bytes: Vec<u8>,
    /// What is read next.
    next_bytes: u64,
    /// Where the record before ended.
    expected: Option<(u32, u64)>,
}

impl Window {
    /// As [`Values::read`], with fewer reads of the file where records follow each other.
    pub(crate) fn read(&mut self, values: &Values, key: &[u8], entry: &Entry) -> Found {
        let (start, length) = (u64::from(entry.offset), entry.record_bytes(key));
        let follows = self
            .expected
            .is_some_and(|(file, end)| file == entry.file && (end..end + WINDOW_BYTES_MIN).contains(&start));
        self.expected = Some((entry.file, start + length));
        if entry.kind != Kind::Put || length > WINDOW_BYTES_MAX {
            return values.read(key, entry);
        }
        if let Some(found) = self.find(key, entry) {
            return found;
        }
        if !follows {
            self.next_bytes = 0;
            return values.read(key, entry);
        }
        self.bytes.clear();
        if let Ok(Some((file, salt))) = values.open(entry.file) {
            let wanted = self.next_bytes.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX).max(length);
            self.next_bytes = wanted * 4;
            self.bytes.resize(usize::try_from(wanted).unwrap_or_default(), 0);
            (self.file, self.salt, self.at) = (entry.file, salt, start);
            let read = read_up_to(file.as_ref(), &mut self.bytes, start);
            self.bytes.truncate(read.unwrap_or(0));
        }
        self.find(key, entry).unwrap_or_else(|| values.read(key, entry))
    }

    /// What is read alone if it looks damaged here: this may be older than the index.
    fn find(&self, key: &[u8], entry: &Entry) -> Option<Found> {
        let from = u64::from(entry.offset).checked_sub(self.at).filter(|_| self.file == entry.file)?;
        let from = usize::try_from(from).ok()?;
        let length = usize::try_from(entry.record_bytes(key)).ok()?;
        let record = self.bytes.get(from..from.checked_add(length)?)?;
        let header = verify(record, self.salt, key, entry).ok()?;
        // Copied, so that a value that is kept does not keep the window.
        Some(Found::Value(Bytes::copy_from_slice(&record[header.value_at()..])))
    }
}

fn verify(record: &[u8], salt: u64, key: &[u8], entry: &Entry) -> Result<Header, String> {
    let header = record::read(record, salt).ok_or("the head of the record fails its checksum")?;
    let stored_key = &record[record::HEADER_BYTES..header.value_at()];
    if stored_key != key || header.version != entry.version || header.kind != entry.kind {
        return Err("another record is in its place".into());
    }
    if !header.matches(&record[header.value_at()..]) {
        return Err("the value fails its checksum".into());
    }
    Ok(header)
}

/// Fills the buffer.
pub(crate) fn read_exact(file: &dyn DiskFile, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let wanted = buffer.len();
    match read_up_to(file, buffer, at)? {
        read if read == wanted => Ok(()),
        read => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file ends {} bytes before the record does", wanted - read),
        )),
    }
}

/// Fills the buffer as far as the file goes. Returns how far.
pub(crate) fn read_up_to(file: &dyn DiskFile, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
