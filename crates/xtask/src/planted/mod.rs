//! Deliberate bugs, each a patch in `crates/sim/planted`: planted one by one in a copy of the sources, built and hunted for.
//!
//! A simulator that finds nothing proves nothing until it is known what it would find. A patch begins with
//!
//! ```text
//! Rule: the rule that is broken, in a line
//! Family: the family of seeds to hunt in
//! ```
//! and goes on with words about it and then a unified diff.

mod copy;
mod hunt;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

pub use copy::not_applying;
pub use hunt::hunt_all;

/// A planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// The patch file's name without its ending.
    pub name: String,
    /// The rule that it breaks.
    pub rule: String,
    /// The family to hunt in.
    pub family: String,
    /// The patch.
    pub patch: PathBuf,
}

/// Which bugs to hunt.
#[derive(Clone, Debug)]
pub enum Selection {
    /// All.
    All,
    /// These, by name.
    Names(Vec<String>),
    /// Every third, beginning with this one.
    Third(u8),
}

impl Selection {
    /// Chooses.
    pub fn of(&self, bugs: Vec<Bug>) -> anyhow::Result<Vec<Bug>> {
        match self {
            Self::All => Ok(bugs),
            Self::Third(third) => Ok(bugs.into_iter().skip((*third).into()).step_by(3).collect()),
            Self::Names(names) => names
                .iter()
                .map(|name| {
                    let found = bugs.iter().find(|bug| bug.name == *name);
                    found.cloned().with_context(|| format!("no planted bug is named {name}"))
                })
                .collect(),
        }
    }
}

/// Reads all patches, sorted by name.
pub fn read(root: &Path) -> anyhow::Result<Vec<Bug>> {
    let directory = root.join("crates/sim/planted");
    let mut bugs = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("listing {}", directory.display()))? {
        let patch = entry?.path();
        if patch.extension().is_some_and(|extension| extension == "patch") {
            let text = fs::read_to_string(&patch).with_context(|| format!("reading {}", patch.display()))?;
            bugs.push(parse(&patch, &text)?);
        }
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

fn parse(patch: &Path, text: &str) -> anyhow::Result<Bug> {
    let name = patch.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let (head, _) =
        text.split_once("\n--- ").with_context(|| format!("{name} has no diff that begins with `--- `"))?;
    let field = |label: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(label));
        line.map(|value| value.trim().to_owned()).with_context(|| format!("{name} has no line `{label} ...`"))
    };
    let (rule, family) = (field("Rule:")?, field("Family:")?);
    ensure!(!rule.is_empty() && !family.is_empty(), "{name} has an empty field");
    if head.lines().count() < 4 {
        bail!("{name} does not explain itself");
    }
    Ok(Bug { name, rule, family, patch: patch.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "Rule: r\nFamily: mix\n\nWords.\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

    #[test]
    fn a_patch_says_what_it_is() {
        let bug = parse(Path::new("d/some-bug.patch"), PATCH).expect("it is whole");
        assert_eq!((bug.name.as_str(), bug.rule.as_str(), bug.family.as_str()), ("some-bug", "r", "mix"));
        assert!(parse(Path::new("x.patch"), &PATCH.replace("Family", "Tribe")).is_err());
        assert!(parse(Path::new("x.patch"), "Rule: r\nFamily: mix\n").is_err());
    }

    #[test]
    fn thirds_are_disjoint_and_whole() {
        let bug = |name: &str| Bug {
            name: name.into(),
            rule: "r".into(),
            family: "mix".into(),
            patch: PathBuf::new(),
        };
        let bugs: Vec<Bug> = ["a", "b", "c", "d"].into_iter().map(bug).collect();
        let mut all: Vec<Bug> = (0..3)
            .flat_map(|third| Selection::Third(third).of(bugs.clone()).expect("thirds exist"))
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(all, bugs);
        assert!(Selection::Names(vec!["z".into()]).of(bugs).is_err());
    }
}
