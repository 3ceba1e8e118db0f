//! A disk that can be told to fail.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quorate_storage::disk::{Disk, DiskFile, SystemDisk};

/// What a [`FaultyDisk`] does; may be changed while it is in use.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Bytes that writes may still add; the write that exceeds them is cut short, those after it are refused.
    pub(crate) room_bytes: AtomicU64,
    /// What the disk says when asked for its free space.
    pub(crate) free_bytes: AtomicU64,
    /// Writes take at most this many bytes at once.
    pub(crate) write_bytes_max: AtomicU64,
    /// Syncs of files fail.
    pub(crate) sync_fails: AtomicBool,
    /// Writes fail, with an error that is not about space.
    pub(crate) write_fails: AtomicBool,
    /// Syncs of files so far, failed ones included.
    pub(crate) syncs: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            room_bytes: AtomicU64::new(u64::MAX),
            free_bytes: AtomicU64::new(u64::MAX),
            write_bytes_max: AtomicU64::new(u64::MAX),
            sync_fails: AtomicBool::new(false),
            write_fails: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
        }
    }
}

/// The machine's file system with faults.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk {
    pub(crate) faults: Arc<Faults>,
}

struct FaultyFile {
    file: Box<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { file, faults: Arc::clone(&self.faults) })
    }
}

impl FaultyFile {
    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        if self.faults.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected sync error"));
        }
        sync()
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.faults.write_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected write error"));
        }
        let most = self.faults.write_bytes_max.load(Ordering::SeqCst).min(bytes.len() as u64);
        let room = self.faults.room_bytes.load(Ordering::SeqCst);
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = self.file.write_at(&bytes[..most.min(room) as usize], offset)?;
        if room != u64::MAX {
            self.faults.room_bytes.fetch_sub(taken as u64, Ordering::SeqCst);
        }
        Ok(taken)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(|| self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(|| self.file.sync_all())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(SystemDisk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(SystemDisk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        SystemDisk.create_dir(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        SystemDisk.list(directory)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(directory)
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(self.faults.free_bytes.load(Ordering::SeqCst))
    }
}
