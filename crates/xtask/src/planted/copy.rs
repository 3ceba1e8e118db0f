//! A copy of the sources, in which bugs are planted. Files that do not change keep their times, so that building one
//! bug after another compiles only what it has to. It is a copy of a copy: the first is of the moment when the hunt began, so that
//! whoever works on the sources meanwhile does not change what the next bug is planted in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::Bug;

/// What of the workspace is copied.
const COPIED: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "build.rs", "rustfmt.toml", "crates", "proto", "tests", ".cargo"];

/// A copy of the sources.
#[derive(Debug)]
pub(super) struct Copy {
    original: PathBuf,
    /// Where it is.
    pub(super) root: PathBuf,
}

impl Copy {
    /// Makes a copy, or brings the one of an earlier run up to date.
    pub(super) fn new(original: &Path, root: PathBuf) -> anyhow::Result<Self> {
        let copy = Self { original: original.to_path_buf(), root };
        copy.restore()?;
        Ok(copy)
    }

    /// Makes every file as it is in the original.
    pub(super) fn restore(&self) -> anyhow::Result<()> {
        for name in COPIED {
            let (from, to) = (self.original.join(name), self.root.join(name));
            if from.exists() {
                mirror(&from, &to).with_context(|| format!("copying {name}"))?;
            }
        }
        Ok(())
    }

    /// These bugs of the original as the copy has them.
    pub(super) fn patches(&self, bugs: &[Bug]) -> anyhow::Result<Vec<Bug>> {
        let copied = |bug: &Bug| {
            let patch = self.root.join(bug.patch.strip_prefix(&self.original)?);
            Ok(Bug { patch, ..bug.clone() })
        };
        bugs.iter().map(copied).collect()
    }

    /// Plants a bug.
    pub(super) fn plant(&self, bug: &Bug) -> anyhow::Result<()> {
        self.git_apply(&[], bug)
    }

    fn git_apply(&self, options: &[&str], bug: &Bug) -> anyhow::Result<()> {
        let output = Command::new("git")
            .args(["apply", "--whitespace=nowarn"])
            .args(options)
            .arg(fs::canonicalize(&bug.patch)?)
            .current_dir(&self.root)
            // The copy is no repository, although it may lie in one.
            .env("GIT_CEILING_DIRECTORIES", self.root.parent().unwrap_or(&self.root))
            .output()
            .context("running git apply")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("{} no longer applies: {}", bug.name, why.trim());
        }
        Ok(())
    }
}

/// Makes `to` like `from`; files with equal contents are left alone.
fn mirror(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_file() {
        let wanted = fs::read(from)?;
        if fs::read(to).ok().as_ref() != Some(&wanted) {
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(to, wanted)?;
        }
        return Ok(());
    }
    fs::create_dir_all(to)?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() != "target" {
            mirror(&entry.path(), &to.join(entry.file_name()))?;
            names.insert(entry.file_name());
        }
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
    }
    Ok(())
}

/// The bugs whose patches do not apply to the sources as they are.
pub fn not_applying(root: &Path, bugs: &[Bug]) -> anyhow::Result<Vec<String>> {
    let copy = Copy { original: root.to_path_buf(), root: root.to_path_buf() };
    let failing = bugs.iter().filter_map(|bug| copy.git_apply(&["--check"], bug).err());
    Ok(failing.map(|error| error.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_edits_the_sources_does_not_disturb_a_hunt() {
        let directory = std::env::temp_dir().join(format!("quorate-planted-{}", std::process::id()));
        let original = directory.join("workspace");
        let write = |path: &str, text: &str| {
            let path = original.join(path);
            path.parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::write(path, text))
                .expect("written");
        };
        write("crates/a.rs", "a\n");
        write(
            "crates/sim/planted/bug.patch",
            "Rule: r\nFamily: f\n\nWords.\n--- a/crates/a.rs\n+++ b/crates/a.rs\n@@ -1 +1 @@\n-a\n+b\n",
        );
        let bugs = super::super::read(&original).expect("they are whole");

        let begun = Copy::new(&original, directory.join("originals")).expect("copied");
        let bugs = begun.patches(&bugs).expect("they are in the copy");
        let copy = Copy::new(&begun.root, directory.join("sources")).expect("copied");
        write("crates/a.rs", "something else\n");
        write("crates/sim/planted/bug.patch", "no patch any more");
        copy.restore().expect("restored");
        copy.plant(&bugs[0]).expect("it applies");
        assert_eq!(fs::read_to_string(copy.root.join("crates/a.rs")).expect("it is there"), "b\n");
        fs::remove_dir_all(directory).expect("it is there");
    }
}
