//! Why a store could not be opened.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a store could not be opened. Nothing in the directory was given up: what could be read before can be read after.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process (or another store of this process) has the directory open.
    #[error("{} is in use by another process", directory.display())]
    Locked {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The directory holds files but no store.
    #[error("{} is neither empty nor a Quorate store: it holds {found:?} but no file FORMAT", directory.display())]
    NotAStore {
        /// The store's directory.
        directory: PathBuf,
        /// One of the files found.
        found: String,
    },
    /// The store was written by another version.
    #[error("{} has the format {found:?} (file FORMAT); this program reads only {expected:?}", directory.display())]
    Version {
        /// The store's directory.
        directory: PathBuf,
        /// What the file FORMAT says.
        found: String,
        /// What this program writes.
        expected: &'static str,
    },
    /// A file's content is not what was written and synced. The directory cannot be trusted.
    #[error("{} is damaged at byte {offset}: {detail}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        detail: String,
    },
    /// Sled cannot be used: for want of space, or not even with new files. (Damaged files of it are no reason: they are built anew.)
    #[error("sled cannot be used in {}: {detail}", directory.display())]
    Base {
        /// Sled's directory.
        directory: PathBuf,
        /// What sled says.
        detail: String,
    },
    /// The system refused an operation on a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The options contradict each other.
    #[error("the store's options are wrong: {detail}")]
    Options {
        /// Which and why.
        detail: String,
    },
}

/// Names the operation and the file of an io error; for `map_err`.
pub(crate) fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { action, path: path.to_path_buf(), source }
}
