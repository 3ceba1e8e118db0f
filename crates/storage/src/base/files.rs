//! Sled's files: opening them, making them durable, their size.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::{Base, keys};
use crate::disk::Disk;
use crate::error::{OpenError, io_error};

/// Not 16 MiB, the most that sled takes: sled counts the bytes of a segment being filled in 24 bits, so one that is filled to its
/// last byte would overflow, is never written, and a flush waits for it for ever.
const SLED_SEGMENT_BYTES: usize = 8 << 20;
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

impl Base {
    /// Opens or creates sled's files. `live_bytes` is what the last checkpoint noted.
    pub(crate) fn open(
        disk: &dyn Disk,
        directory: &Path,
        cache_bytes: u64,
        live_bytes: u64,
    ) -> Result<Self, OpenError> {
        disk.create_dir(directory).map_err(io_error("create", directory))?;
        for name in disk.list(directory).map_err(io_error("list", directory))? {
            // A process killed while sled was opening leaves one, and sled does not open beside it.
            if name.to_str().is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating")) {
                let path = directory.join(name);
                disk.remove(&path).map_err(io_error("remove", &path))?;
            }
        }
        wait_until_released(directory);
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(cache_bytes)
            .segment_size(SLED_SEGMENT_BYTES)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None);
        let failed = |detail| OpenError::Base { directory: directory.to_path_buf(), detail };
        // Sled meets some kinds of damage with a panic.
        let db = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| failed("it panicked: its files are damaged".into()))?
            .map_err(|error| failed(error.to_string()))?;
        let live_bytes = AtomicI64::new(i64::try_from(live_bytes).unwrap_or(i64::MAX));
        Ok(Self { db, directory: directory.to_path_buf(), live_bytes })
    }

    /// The last record of the log of which all changes are here.
    pub(crate) fn mark(&self) -> sled::Result<u64> {
        let stored = self.db.get(keys::MARK)?;
        let bytes = stored.as_deref().and_then(|stored| <[u8; 8]>::try_from(stored).ok());
        Ok(bytes.map_or(0, u64::from_le_bytes))
    }

    /// Sets the mark and makes everything durable. Sled itself only starts the writing; hence our own syncs.
    pub(crate) fn sync(&self, disk: &dyn Disk, mark: u64) -> Result<(), String> {
        let sled_error = |error: sled::Error| format!("sled in {}: {error}", self.directory.display());
        self.db.insert(keys::MARK, &mark.to_le_bytes()).map_err(sled_error)?;
        self.db.flush().map_err(sled_error)?;
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
        self.db.size_on_disk().unwrap_or(0)
    }

    /// Bytes of keys and values that are not deleted.
    pub(crate) fn live_bytes(&self) -> u64 {
        u64::try_from(self.live_bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }
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
