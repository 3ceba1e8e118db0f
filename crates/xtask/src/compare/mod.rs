//! What `bench/compare` measured, as medians, ratios and a picture.

mod plot;
mod rows;
mod runs;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use runs::Runs;

/// Between these lines of a document is the table.
const BEGIN: &str = "<!-- compare: begin -->";
const END: &str = "<!-- compare: end -->";

/// Reads the runs, and writes `performance/compare.csv` and `performance/compare.svg` under this directory, and the table into its
/// `PERFORMANCE.md` if there is one with a place for it. Returns the table.
pub fn report(runs: &Path, out: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(runs).with_context(|| format!("reading {}", runs.display()))?;
    let runs = Runs::parse(&text)?;
    let rows = rows::rows(&runs);
    let table = table::markdown(&runs, &rows);
    let directory = out.join("performance");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    write(&directory.join("compare.csv"), &table::csv(&runs))?;
    write(&directory.join("compare.svg"), &plot::svg(&rows)?)?;
    let document = out.join("PERFORMANCE.md");
    if document.exists() {
        let text =
            fs::read_to_string(&document).with_context(|| format!("reading {}", document.display()))?;
        let text = insert(&text, &table).with_context(|| format!("in {}", document.display()))?;
        write(&document, &text)?;
    }
    Ok(table)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn insert(document: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = document.split_once(BEGIN).with_context(|| format!("there is no line {BEGIN}"))?;
    let (old, after) = rest.split_once(END).with_context(|| format!("there is no line {END}"))?;
    ensure!(!old.contains(BEGIN), "{BEGIN} is there twice");
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_last_one() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let once = insert(&document, "new").expect("there is a place");
        assert_eq!(once, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(insert(&once, "new").expect("there still is"), once);
        assert!(insert("nothing", "new").is_err());
    }
}
