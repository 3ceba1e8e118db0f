//! The chart's copies: a chart holds all that it installs, and these files are for others, too.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::sources::{DASHBOARDS, RULES, files};

/// Below the root of the sources.
const CHART_FILES: &str = "charts/quorate/files";

/// Each original and its copy.
fn pairs(root: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let mut pairs = Vec::new();
    for (from, ending, to) in [(DASHBOARDS, "json", "dashboards"), (RULES, "yaml", "rules")] {
        for original in files(&root.join(from), ending)? {
            let name = original.file_name().context("a file has a name")?.to_owned();
            pairs.push((original, root.join(CHART_FILES).join(to).join(name)));
        }
    }
    Ok(pairs)
}

/// Copies that differ from their original, or are not there.
pub fn drifted(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut drifted = Vec::new();
    for (original, copy) in pairs(root)? {
        let text = fs::read(&original).with_context(|| format!("reading {}", original.display()))?;
        if fs::read(&copy).ok() != Some(text) {
            let shown = copy.strip_prefix(root).unwrap_or(&copy).display();
            drifted.push(format!("{shown} is not what it copies: `cargo xtask dashboards --write`"));
        }
    }
    Ok(drifted)
}

/// Makes all copies anew.
pub fn write(root: &Path) -> anyhow::Result<()> {
    for (original, copy) in pairs(root)? {
        let directory = copy.parent().unwrap_or(root);
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        fs::copy(&original, &copy).with_context(|| format!("writing {}", copy.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_drifts_is_found_and_made_anew() {
        let root = tempfile::tempdir().expect("there is room");
        for (directory, name) in [(DASHBOARDS, "a.json"), (RULES, "b.yaml")] {
            fs::create_dir_all(root.path().join(directory)).expect("made");
            fs::write(root.path().join(directory).join(name), "first").expect("written");
        }
        assert_eq!(drifted(root.path()).expect("read").len(), 2);
        write(root.path()).expect("written");
        assert_eq!(drifted(root.path()).expect("read"), Vec::<String>::new());
        fs::write(root.path().join(RULES).join("b.yaml"), "second").expect("written");
        let found = drifted(root.path()).expect("read");
        assert!(found.len() == 1 && found[0].contains("charts/quorate/files/rules/b.yaml"), "{found:?}");
    }
}
