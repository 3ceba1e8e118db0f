//! What a store's directory holds, who may use it, and where its parts are.
//!
//! ```text
//! LOCK                     locked by the process that has the store open
//! FORMAT                   the version of all the rest
//! CHECKPOINT               which sled directory counts and how much of the log it holds
//! log/                     the commit log: NUMBER.log, and spare files
//! base-NUMBER/             sled
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_all, replace_file};
use crate::error::{OpenError, io_error};

const FORMAT: &str = "quorate-storage 1\n";
const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";
const CHECKPOINT_FILE: &str = "CHECKPOINT";
const BASE_PREFIX: &str = "base-";

/// The content of the file CHECKPOINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The number in the name of sled's directory.
    pub(crate) base_id: u64,
    /// All records of the log up to this one are durable in sled.
    pub(crate) sequence: u64,
    /// Bytes of keys and values in sled.
    pub(crate) live_bytes: u64,
    /// How large sled's files were when last rewritten, in percent of the live bytes: small entries take several times their
    /// bytes at best.
    pub(crate) fresh_percent: u64,
}

impl Checkpoint {
    const FRESH: Self = Self { base_id: 1, sequence: 0, live_bytes: 0, fresh_percent: 0 };

    fn encode(self) -> String {
        let Self { base_id, sequence, live_bytes, fresh_percent } = self;
        let text = format!(
            "base = {base_id}\nsequence = {sequence}\nlive_bytes = {live_bytes}\nfresh_percent = {fresh_percent}\n"
        );
        let crc = crc32c::crc32c(text.as_bytes());
        format!("{text}crc32c = {crc:08x}\n")
    }

    fn decode(content: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(content).ok()?;
        let numbers: Vec<u64> = text
            .lines()
            .zip(["base = ", "sequence = ", "live_bytes = ", "fresh_percent = "])
            .filter_map(|(line, name)| line.strip_prefix(name)?.parse().ok())
            .collect();
        let &[base_id, sequence, live_bytes, fresh_percent] = numbers.as_slice() else {
            return None;
        };
        let checkpoint = Self { base_id, sequence, live_bytes, fresh_percent };
        // Comparing the whole text includes the checksum.
        (checkpoint.encode() == text).then_some(checkpoint)
    }
}

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
        let log = directory.log();
        disk.create_dir(&log).map_err(io_error("create", &log))?;
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

    pub(crate) fn write_checkpoint(&self, disk: &dyn Disk, checkpoint: Checkpoint) -> io::Result<()> {
        replace_file(disk, &self.root, CHECKPOINT_FILE, checkpoint.encode().as_bytes())
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
        let path = self.root.join(CHECKPOINT_FILE);
        let names = disk.list(&self.root).map_err(io_error("list", &self.root))?;
        if names.iter().any(|name| name == CHECKPOINT_FILE) {
            let content = read_file(disk, &path)?;
            let checkpoint = Checkpoint::decode(&content).ok_or_else(|| OpenError::Damaged {
                file: path.clone(),
                offset: 0,
                detail: "it is not a valid checkpoint".into(),
            })?;
            let base = self.base(checkpoint.base_id);
            if checkpoint != Checkpoint::FRESH && disk.list(&base).is_err() {
                let detail = format!("it names {}, which does not exist", base.display());
                return Err(OpenError::Damaged { file: path, offset: 0, detail });
            }
            return Ok(checkpoint);
        }
        // It is written before anything else is, so without it there can be nothing.
        let log = self.log();
        let held = disk.list(&log).map_err(io_error("list", &log))?;
        if !held.is_empty() {
            let detail = "it is missing, though the log is not empty".into();
            return Err(OpenError::Damaged { file: path, offset: 0, detail });
        }
        self.write_checkpoint(disk, Checkpoint::FRESH).map_err(io_error("write", &path))?;
        Ok(Checkpoint::FRESH)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_back_and_no_changed_byte_goes_unnoticed() {
        let checkpoint = Checkpoint { base_id: 3, sequence: 1234, live_bytes: 99, fresh_percent: 5 };
        let text = checkpoint.encode().into_bytes();
        assert_eq!(Checkpoint::decode(&text), Some(checkpoint));
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert_eq!(Checkpoint::decode(&changed), None, "byte {at}");
            assert_eq!(Checkpoint::decode(&text[..at]), None, "cut at {at}");
        }
    }
}
