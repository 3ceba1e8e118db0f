//! Every source file: small enough to read, documented, nothing left undone, nothing impure in the core.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file may not be longer than this,
const LINES_MAX: usize = 600;
/// and ought not to be longer than this.
const LINES_GOOD: usize = 300;

/// What is left undone has no place in a commit. Put together here so that this file does not name itself.
const UNDONE: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("#[ign", "ore"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

/// What would make two runs of the core differ: its time, order and threads are arguments.
const IMPURE: [&str; 7] = [
    "std::collections::HashMap",
    "std::collections::HashSet",
    "Instant",
    "SystemTime",
    "thread::spawn",
    "std::fs",
    "std::net",
];

/// What a look at the sources found.
#[derive(Debug, Default)]
pub struct Report {
    /// What must not be.
    pub errors: Vec<String>,
    /// What ought not to be.
    pub warnings: Vec<String>,
}

/// Looks at every source file under the root.
pub fn check(root: &Path) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let text = fs::read_to_string(&file).with_context(|| format!("reading {name}"))?;
        check_file(&name, &text, &mut report);
    }
    Ok(report)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            let skipped =
                name == "target" || name == "node_modules" || (name.starts_with('.') && name != ".ci");
            if !skipped {
                collect(&path, files)?;
            }
        } else if is_source(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "proto" | "toml" | "sh" | "yaml" | "yml" | "md"))
        || path.parent().and_then(Path::file_name).is_some_and(|parent| parent == ".ci")
}

fn check_file(name: &str, text: &str, report: &mut Report) {
    let is_rust = name.ends_with(".rs");
    let is_prose = name.ends_with(".md");
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        if line.ends_with([' ', '\t']) {
            report.errors.push(format!("{name}:{at}: white space at the end of the line"));
        }
        if let Some(word) = UNDONE.into_iter().find(|word| !is_prose && line.contains(word)) {
            report.errors.push(format!("{name}:{at}: {word} is left to be done"));
        }
        if is_rust && name.starts_with("crates/protocol/src/") {
            // Prose may name what the code must not.
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE.into_iter().find(|word| mentions(code, word)) {
                report.errors.push(format!("{name}:{at}: {word} has no place in the core"));
            }
        }
    }
    if is_rust {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            report.errors.push(format!("{name} has {lines} lines, and at most {LINES_MAX} are taken"));
        } else if lines > LINES_GOOD {
            report.warnings.push(format!("{name} has {lines} lines, and {LINES_GOOD} are good"));
        }
        if !text.starts_with("//!") {
            report.errors.push(format!("{name} does not begin by saying what it is"));
        }
    }
}

/// Whether code names this, as a whole word; a path may be split by braces (`std::collections::{BTreeMap, HashMap}`).
fn mentions(code: &str, word: &str) -> bool {
    let whole = |code: &str, word: &str| {
        code.match_indices(word).any(|(at, _)| {
            let boundary =
                |neighbour: Option<char>| !neighbour.is_some_and(|c| c.is_alphanumeric() || c == '_');
            boundary(code[..at].chars().next_back()) && boundary(code[at + word.len()..].chars().next())
        })
    };
    match word.rsplit_once("::") {
        Some((path, last)) => {
            whole(code, word) || (code.contains(&format!("{path}::{{")) && whole(code, last))
        }
        None => whole(code, word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(name: &str, text: &str) -> usize {
        let mut report = Report::default();
        check_file(name, text, &mut report);
        report.errors.len()
    }

    #[test]
    fn each_rule_is_noticed() {
        assert_eq!(errors("crates/x/src/lib.rs", "//! Fine.\n\nfn f() {}\n"), 0);
        assert_eq!(errors("crates/x/src/lib.rs", "fn undocumented() {}\n"), 1);
        assert_eq!(errors("crates/x/src/lib.rs", "//! Space. \n"), 1);
        assert_eq!(errors("crates/x/src/lib.rs", &format!("//! Doc.\n// {}: later\n", UNDONE[0])), 1);
        assert_eq!(errors("README.md", &format!("No `{}`.\n", UNDONE[0])), 0);
        let long = format!("//! Doc.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(errors("crates/x/src/lib.rs", &long), 1);
    }

    #[test]
    fn the_core_is_kept_pure() {
        let file = "crates/protocol/src/x.rs";
        for code in [
            "use std::collections::HashMap;",
            "use std::collections::{BTreeMap, HashSet};",
            "let now = Instant::now();",
            "std::thread::spawn(f);",
        ] {
            assert_eq!(errors(file, &format!("//! Doc.\n{code}\n")), 1, "{code}");
        }
        for code in ["use hashbrown::HashMap;", "// Instant is not used.", "let instantly = 1;"] {
            assert_eq!(errors(file, &format!("//! Doc.\n{code}\n")), 0, "{code}");
        }
    }
}
