//! How far an import has come, kept in a file so that another run can go on there.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// Everything up to a line has been acknowledged; of later lines some may have been.
///
/// The run that goes on here puts those again under the same operation ids, which are a function of `import` and the
/// line's number, so that they take effect once. `import` is random: the same file imported a second time, after a
/// delete for example, is a new import, which nodes must not take for a retry of the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    version: u32,
    /// Names the import: 128 bits in hexadecimal.
    import: String,
    pub(crate) bucket: String,
    pub(crate) done: Mark,
}

/// A place between two lines of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// Lines before it.
    pub(crate) lines: u64,
    /// Bytes before it.
    pub(crate) bytes: u64,
    /// A hash of all lines before it: the input of the run that goes on must begin with the same ones.
    pub(crate) hash: u64,
}

impl Checkpoint {
    pub(crate) fn new(import: u128, bucket: &str) -> Self {
        Self {
            version: VERSION,
            import: format!("{import:032x}"),
            bucket: bucket.into(),
            done: Mark::default(),
        }
    }

    pub(crate) fn import(&self) -> Result<u128> {
        u128::from_str_radix(&self.import, 16).context("import: not 32 hexadecimal digits")
    }

    /// None: there is no such file.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("reading {}", path.display())),
        };
        let checkpoint: Self =
            serde_json::from_slice(&text).with_context(|| format!("{} is no checkpoint", path.display()))?;
        if checkpoint.version != VERSION {
            bail!("{}: checkpoints of version {} are not known", path.display(), checkpoint.version);
        }
        checkpoint.import().with_context(|| format!("{} is no checkpoint", path.display()))?;
        Ok(Some(checkpoint))
    }

    /// Replaces the file as a whole, so that it is never half written.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let write = || -> Result<()> {
            let mut name = path.as_os_str().to_owned();
            name.push(".new");
            let new = PathBuf::from(name);
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            Ok(())
        };
        write().with_context(|| format!("writing {}", path.display()))
    }
}

/// Keeps a second import off the same file while this one runs. The lock is a file beside it, for the checkpoint
/// itself is replaced all the time.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::create(PathBuf::from(name)).with_context(|| format!("locking {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("--resume: {} is in use by another import", path.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        assert_eq!(Checkpoint::load(&path).unwrap(), None);
        let mut checkpoint = Checkpoint::new(7, "carts");
        checkpoint.save(&path).unwrap();
        checkpoint.done = Mark { lines: 3, bytes: 100, hash: u64::MAX };
        checkpoint.save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), Some(checkpoint.clone()));
        assert_eq!(checkpoint.import().unwrap(), 7);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_imports_do_not_share_a_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        let first = lock(&path).unwrap();
        assert!(lock(&path).unwrap_err().to_string().contains("in use by another import"));
        drop(first);
        lock(&path).unwrap();
    }

    #[test]
    fn other_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        for text in ["", "{}", "hello", r#"{"version":1}"#] {
            fs::write(&path, text).unwrap();
            assert!(Checkpoint::load(&path).is_err(), "{text}");
        }
        Checkpoint { version: 9, ..Checkpoint::new(1, "") }.save(&path).unwrap();
        assert!(Checkpoint::load(&path).unwrap_err().to_string().contains("version 9"));
    }
}
