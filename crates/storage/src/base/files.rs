//! Sled's files: opening them, making them durable, their size.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Base, IndexError, keys};
use crate::disk::{Disk, is_no_space};

/// Small, for an index is small, and gives space back by the segment. Never 16 MiB, the most that sled takes: sled counts the bytes of
/// a segment being filled in 24 bits, so one that is filled to its last byte would overflow, is never written, and a flush waits for
/// it for ever.
const SLED_SEGMENT_BYTES: usize = 2 << 20;
/// Sled itself panics below 256 bytes, and reads each page again for each key with little more.
pub(crate) const CACHE_BYTES_MIN: u64 = 1 << 20;
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

impl Base {
    /// Opens or creates sled's files.
    pub(crate) fn open(disk: &dyn Disk, directory: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        let failed =
            |detail: String| IndexError::damage(format!("the index in {}: {detail}", directory.display()));
        let io_failed =
            |error: &io::Error| IndexError { is_damage: !is_no_space(error), ..failed(error.to_string()) };
        clear(disk, directory).map_err(|error| io_failed(&error))?;
        wait_until_released(directory);
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(cache_bytes.max(CACHE_BYTES_MIN))
            .segment_size(SLED_SEGMENT_BYTES)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None);
        let db = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| failed("sled panicked".into()))?
            .map_err(|error| match &error {
                sled::Error::Io(error) => io_failed(error),
                error => failed(format!("sled: {error}")),
            })?;
        Ok(Self { db, directory: directory.to_path_buf() })
    }

    /// The last record of the log of which all changes are here.
    pub(crate) fn mark(&self) -> Result<u64, IndexError> {
        let stored = self.guarded(|| self.db.get(keys::MARK))?;
        let bytes = stored.as_deref().and_then(|stored| <[u8; 8]>::try_from(stored).ok());
        Ok(bytes.map_or(0, u64::from_le_bytes))
    }

    /// Sets the mark and hands everything to the system. Sled itself only starts the writing; hence [`sync`](Self::sync).
    pub(crate) fn flush(&self, mark: u64) -> Result<(), IndexError> {
        self.guarded(|| self.db.insert(keys::MARK, &mark.to_le_bytes()))?;
        self.guarded(|| self.db.flush()).map(drop)
    }

    /// Makes durable what was flushed.
    pub(crate) fn sync(&self, disk: &dyn Disk) -> Result<(), String> {
        let sync = |path: &Path| match disk.open(path).and_then(|file| file.sync_all()) {
            // Sled's threads remove files that it no longer needs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        let blobs = self.directory.join("blobs");
        for directory in [&blobs, &self.directory] {
            let synced = disk.list(directory).and_then(|names| {
                let mut files = names.iter().filter(|name| *name != "blobs").map(|name| directory.join(name));
                files.try_for_each(|path| sync(&path))
            });
            let synced = synced.and_then(|()| disk.sync_dir(directory));
            synced.map_err(|error| format!("sync {}: {error}", directory.display()))?;
        }
        Ok(())
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes of sled's files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        catch_unwind(AssertUnwindSafe(|| self.db.size_on_disk())).map_or(0, |size| size.unwrap_or(0))
    }
}

/// A process killed while sled was opening leaves a file, and sled does not open beside it.
fn clear(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    disk.create_dir(directory)?;
    for name in disk.list(directory)? {
        if name.to_str().is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating")) {
            disk.remove(&directory.join(name))?;
        }
    }
    Ok(())
}

/// Waits for the last of a sled that this process had open here before: its threads hold the file a little longer than its
/// handle lives, and may still write to it. (Other processes are kept out by the store's own lock.)
fn wait_until_released(directory: &Path) {
    let Ok(file) = File::open(directory.join("db")) else {
        return;
    };
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
}
