//! Where the lines of an export go.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::output;

const BUFFER_BYTES: usize = 1 << 20;

/// A file or standard output, with everything kept back when it is to be sorted.
pub(super) struct Sink {
    writer: Box<dyn Write>,
    /// What the file is called while it is not complete, and then.
    names: Option<(PathBuf, PathBuf)>,
    kept: Option<Vec<(Bytes, Vec<u8>)>>,
}

impl Sink {
    /// None: standard output.
    pub(super) fn open(out: Option<&Path>, sort: bool) -> Result<Self> {
        let (writer, names): (Box<dyn Write>, _) = match out {
            None => (Box::new(output::bulk()), None),
            Some(out) => {
                let partial = beside(out, ".partial");
                (Box::new(create(&partial)?), Some((partial, out.to_owned())))
            }
        };
        Ok(Self { writer, names, kept: sort.then(Vec::new) })
    }

    pub(super) fn line(&mut self, key: Bytes, text: &[u8]) -> Result<()> {
        match &mut self.kept {
            Some(kept) => {
                kept.push((key, text.to_vec()));
                Ok(())
            }
            None => self.writer.write_all(text).context("writing the lines"),
        }
    }

    /// The file appears.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Some(mut kept) = self.kept.take() {
            kept.sort_unstable();
            for (_, text) in kept {
                self.writer.write_all(&text).context("writing the lines")?;
            }
        }
        self.writer.flush().context("writing the lines")?;
        drop(self.writer);
        if let Some((partial, out)) = self.names {
            std::fs::rename(&partial, &out).with_context(|| format!("renaming to {}", out.display()))?;
        }
        Ok(())
    }
}

/// A file to be written to.
pub(super) fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
}

/// `FILE.suffix` for `FILE`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
