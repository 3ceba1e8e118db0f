//! What a store's directory holds, who may use it, and where its parts are.
//!
//! ```text
//! LOCK                     locked by the process that has the store open
//! FORMAT                   the version of all the rest
//! CHECKPOINT, CHECKPOINT.2 which of the rest counts, and how far
//! log/                     the commit log: NUMBER.log, and spare files
//! values/                  the values: NUMBER.values
//! base-NUMBER/             sled, the index of the values
//! REBUILD                  why the index is to be built anew by the next opening, if it is
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint_file::Checkpoint;
use crate::disk::{Disk, read_all, replace_file};
use crate::error::{OpenError, io_error};

const FORMAT: &str = "quorate-storage 2\n";
const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";
const CHECKPOINT_FILES: [&str; 2] = ["CHECKPOINT", "CHECKPOINT.2"];
const REBUILD_FILE: &str = "REBUILD";
const BASE_PREFIX: &str = "base-";

/// A store's directory, locked.
pub(crate) struct Directory {
    root: PathBuf,
    _lock: File,
}

impl Directory {
    /// Locks the directory and makes it a store's if it is empty.
    pub(crate) fn open(disk: &dyn Disk, root: &Path) -> Result<(Self, Checkpoint), OpenError> {
        disk.create_dir(root).map_err(io_error("create", root))?;
        let names = disk.list(root).map_err(io_error("list", root))?;
        let foreign =
            names.iter().map(|name| name.to_string_lossy().into_owned()).find(|name| !is_ours(name));
        let has_format = names.iter().any(|name| name == FORMAT_FILE);
        if let (false, Some(found)) = (has_format, foreign) {
            return Err(OpenError::NotAStore { directory: root.to_path_buf(), found });
        }
        let lock = lock(root)?;
        let directory = Self { root: root.to_path_buf(), _lock: lock };
        if has_format {
            let path = root.join(FORMAT_FILE);
            let found = read_file(disk, &path)?;
            if found != FORMAT.as_bytes() {
                return Err(OpenError::Version {
                    directory: root.to_path_buf(),
                    found: String::from_utf8_lossy(&found).trim_end().to_owned(),
                    expected: FORMAT.trim_end(),
                });
            }
        } else {
            replace_file(disk, root, FORMAT_FILE, FORMAT.as_bytes())
                .map_err(io_error("create FORMAT in", root))?;
        }
        for part in [directory.log(), directory.values()] {
            disk.create_dir(&part).map_err(io_error("create", &part))?;
        }
        let checkpoint = directory.read_checkpoint(disk)?;
        Ok((directory, checkpoint))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn base(&self, id: u64) -> PathBuf {
        self.root.join(format!("{BASE_PREFIX}{id:016x}"))
    }

    pub(crate) fn values(&self) -> PathBuf {
        self.root.join("values")
    }

    /// Durable when this returns; not to be taken for undone when it fails, for one of the two files may say it.
    pub(crate) fn write_checkpoint(&self, disk: &dyn Disk, checkpoint: &Checkpoint) -> io::Result<()> {
        let content = checkpoint.encode();
        CHECKPOINT_FILES.iter().try_for_each(|name| replace_file(disk, &self.root, name, content.as_bytes()))
    }

    /// Why the index is to be built anew, if it is.
    pub(crate) fn rebuild_reason(&self, disk: &dyn Disk) -> Option<String> {
        let file = disk.open(&self.root.join(REBUILD_FILE)).ok()?;
        // Whatever became of the reason, the file is there.
        Some(
            read_all(file.as_ref()).map_or(String::new(), |text| String::from_utf8_lossy(&text).into_owned()),
        )
    }

    /// Has the next opening build the index anew.
    pub(crate) fn ask_for_rebuild(&self, disk: &dyn Disk, reason: &str) -> io::Result<()> {
        replace_file(disk, &self.root, REBUILD_FILE, reason.as_bytes())
    }

    /// The index is a new one.
    pub(crate) fn forget_rebuild(&self, disk: &dyn Disk) -> Result<(), OpenError> {
        let path = self.root.join(REBUILD_FILE);
        match disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => disk.sync_dir(&self.root).map_err(io_error("sync", &self.root)),
        }
    }

    /// Removes sled directories that do not count: what an unfinished or a finished rewrite left behind.
    pub(crate) fn remove_other_bases(&self, disk: &dyn Disk, base_id: u64) -> Result<(), OpenError> {
        for name in disk.list(&self.root).map_err(io_error("list", &self.root))? {
            let path = self.root.join(&name);
            if name.to_string_lossy().starts_with(BASE_PREFIX) && path != self.base(base_id) {
                disk.remove_dir(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    fn read_checkpoint(&self, disk: &dyn Disk) -> Result<Checkpoint, OpenError> {
        let names = disk.list(&self.root).map_err(io_error("list", &self.root))?;
        let present = CHECKPOINT_FILES.iter().filter(|file| names.iter().any(|name| name == **file));
        let mut found = Vec::new();
        for name in present {
            found.push(Checkpoint::decode(&read_file(disk, &self.root.join(name))?));
        }
        let path = self.root.join(CHECKPOINT_FILES[0]);
        let newest = found.iter().flatten().max_by_key(|checkpoint| checkpoint.serial);
        if let Some(newest) = newest {
            if found.len() < CHECKPOINT_FILES.len() || found.iter().any(|each| each.as_ref() != Some(newest))
            {
                // The other one was lost, or the writing of the two interrupted.
                self.write_checkpoint(disk, newest).map_err(io_error("write", &path))?;
            }
            return Ok(newest.clone());
        }
        let damaged =
            |detail: &str| OpenError::Damaged { file: path.clone(), offset: 0, detail: detail.into() };
        // It is written before anything else is, so without it there can be nothing.
        for part in [self.log(), self.values()] {
            if !disk.list(&part).map_err(io_error("list", &part))?.is_empty() {
                return Err(damaged("neither it nor CHECKPOINT.2 is a valid checkpoint"));
            }
        }
        let fresh = Checkpoint::fresh();
        self.write_checkpoint(disk, &fresh).map_err(io_error("write", &path))?;
        Ok(fresh)
    }
}

/// Whether a store, or the file system, may have put a file of this name into a store's directory.
fn is_ours(name: &str) -> bool {
    let own = [LOCK_FILE, FORMAT_FILE, "FORMAT.draft", "lost+found"];
    own.contains(&name)
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { directory: root.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { action: "lock", path, source }),
    }
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, OpenError> {
    let file = disk.open(path).map_err(io_error("open", path))?;
    read_all(file.as_ref()).map_err(io_error("read", path))
}
