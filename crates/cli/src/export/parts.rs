//! What an export has done so far, kept so that another run can go on: a file for each slice that is complete.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::sink::{Sink, beside, create};
use crate::lines;

const ABOUT: &str = "about.json";

/// What the parts are parts of; another run has to be of the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) cluster: String,
    pub(super) bucket: String,
    pub(super) partitions: u32,
}

/// A directory of parts.
pub(super) struct Parts {
    directory: PathBuf,
    /// Parts that are being written.
    open: BTreeMap<u32, BufWriter<File>>,
    /// Keeps another export off the directory.
    _lock: File,
}

impl Parts {
    /// The parts that belong to this file; there may be some already.
    pub(super) fn open(out: &Path, about: &About) -> Result<Self> {
        let directory = beside(out, ".parts");
        fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        let lock = lock(&directory)?;
        let path = directory.join(ABOUT);
        match fs::read(&path) {
            Ok(text) => {
                let known: About = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is not what `export` has written", path.display()))?;
                ensure!(known == *about, "{} is of another export: remove it", directory.display());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let new = directory.join("about.new");
                let written =
                    fs::write(&new, serde_json::to_vec(about)?).and_then(|()| fs::rename(&new, &path));
                written.with_context(|| format!("writing {}", path.display()))?;
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
        Ok(Self { directory, open: BTreeMap::new(), _lock: lock })
    }

    /// Whether all of a slice is there.
    pub(super) fn has(&self, slice: u32) -> bool {
        self.part(slice).exists()
    }

    pub(super) fn line(&mut self, slice: u32, text: &[u8]) -> Result<()> {
        self.writer(slice)?.write_all(text).context("writing the lines")
    }

    /// All of this slice has been written.
    pub(super) fn complete(&mut self, slice: u32) -> Result<()> {
        // Also when it has no line: then an empty part says so.
        self.writer(slice)?.flush().context("writing the lines")?;
        let part = self.part(slice);
        if let Some(writer) = self.open.remove(&slice) {
            let synced = writer.into_inner().context("writing the lines")?.sync_all();
            let renamed = synced.and_then(|()| fs::rename(beside(&part, ".new"), &part));
            renamed.with_context(|| format!("writing {}", part.display()))?;
        }
        Ok(())
    }

    /// Puts everything into the file, and the parts away. How many lines and bytes there were.
    pub(super) fn assemble(self, slices: &[u32], mut sink: Sink) -> Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        let mut text = Vec::new();
        for &slice in slices {
            let part = self.part(slice);
            let trouble = || format!("reading {}", part.display());
            let mut reader = BufReader::new(File::open(&part).with_context(trouble)?);
            loop {
                text.clear();
                let read = reader.read_until(b'\n', &mut text).with_context(trouble)?;
                if read == 0 {
                    break;
                }
                let line =
                    lines::read(text.trim_ascii_end()).map_err(anyhow::Error::msg).with_context(trouble)?;
                sink.line(line.key, &text)?;
                count += 1;
                bytes += read as u64;
            }
        }
        sink.finish()?;
        fs::remove_dir_all(&self.directory)
            .with_context(|| format!("removing {}", self.directory.display()))?;
        Ok((count, bytes))
    }

    fn part(&self, slice: u32) -> PathBuf {
        self.directory.join(format!("{slice:05}.jsonl"))
    }

    fn writer(&mut self, slice: u32) -> Result<&mut BufWriter<File>> {
        let path = beside(&self.part(slice), ".new");
        Ok(match self.open.entry(slice) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(create(&path)?),
        })
    }
}

fn lock(directory: &Path) -> Result<File> {
    let trouble = || format!("locking {}", directory.display());
    let file = File::create(directory.join("lock")).with_context(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("--resume: {} is in use by another export", directory.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(trouble),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    fn about(bucket: &str) -> About {
        About { cluster: "c".into(), bucket: bucket.into(), partitions: 8 }
    }

    #[test]
    fn complete_parts_outlive_the_run_and_become_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let mut parts = Parts::open(&out, &about("")).unwrap();
        parts.line(4, b"{\"key\":\"b\",\"value\":1}\n").unwrap();
        parts.line(0, b"{\"key\":\"half\",").unwrap();
        parts.complete(4).unwrap();
        let second = Parts::open(&out, &about("")).err().map(|error| error.to_string());
        assert!(second.unwrap().contains("in use by another export"));
        drop(parts);

        assert!(Parts::open(&out, &about("other")).is_err());
        let mut parts = Parts::open(&out, &about("")).unwrap();
        assert!(parts.has(4) && !parts.has(0));
        parts.line(0, b"{\"key\":\"c\",\"value\":2}\n").unwrap();
        parts.line(0, b"{\"key\":\"a\",\"value\":3}\n").unwrap();
        parts.complete(0).unwrap();
        parts.complete(6).unwrap();
        let sink = Sink::open(Some(&out), true).unwrap();
        assert_eq!(parts.assemble(&[0, 4, 6], sink).unwrap(), (3, 66));
        let expected =
            "{\"key\":\"a\",\"value\":3}\n{\"key\":\"b\",\"value\":1}\n{\"key\":\"c\",\"value\":2}\n";
        assert_eq!(fs::read_to_string(&out).unwrap(), expected);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
