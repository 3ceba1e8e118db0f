//! Builds the simulator with a planted bug and counts the seeds that catch it.
#![expect(clippy::print_stdout, reason = "a chore talks to its user")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::Bug;
use super::copy::Copy;

/// A bug that this many seeds have caught is caught: the rest would only take time.
const ENOUGH: u64 = 10;
/// Seeds of the first run; each further run doubles what was done.
const FIRST_SEEDS: u64 = 250;

/// What the simulator says with `--json`.
#[derive(Debug, Default, Deserialize)]
struct Caught {
    seeds: u64,
    violations: u64,
    first_seed: Option<u64>,
    by_invariant: BTreeMap<String, u64>,
}

/// Hunts each bug through this many seeds and prints a table; returns what is wrong.
pub fn hunt_all(root: &Path, bugs: &[Bug], seeds: u64) -> anyhow::Result<Vec<String>> {
    let under = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    // Two at once would plant their bugs in one copy, and each would see the other's.
    std::fs::create_dir_all(under.join("planted"))?;
    let alone = std::fs::File::create(under.join("planted/lock"))?;
    alone.try_lock().with_context(|| {
        format!("another hunt is under way in {}: wait for its end, or set CARGO_TARGET_DIR", under.display())
    })?;
    let begun = Copy::new(root, under.join("planted/originals"))?;
    let bugs = &begun.patches(bugs)?;
    let copy = Copy::new(&begun.root, under.join("planted/sources"))?;
    let hunter = Hunter { copy, target: under.join("planted/target"), seeds };
    let mut wrong = hunter.check_healthy(bugs)?;
    println!(
        "{:<34} {:<12} {:>10} {:>24}   promise that broke first",
        "planted bug", "family", "first seed", "caught"
    );
    for bug in bugs {
        print!("{:<34} {:<12} ", bug.name, bug.family);
        std::io::stdout().flush()?;
        match hunter.hunt(bug) {
            Ok(caught) => {
                println!("{}", row(&caught));
                if caught.violations == 0 {
                    wrong.push(format!("{} was not caught in {seeds} seeds of {}", bug.name, bug.family));
                }
            }
            Err(error) => {
                println!("{}", error.to_string().lines().next().unwrap_or_default());
                wrong.push(format!("{}: {error:#}", bug.name));
            }
        }
    }
    Ok(wrong)
}

fn row(caught: &Caught) -> String {
    let share = 100.0 * caught.violations as f64 / caught.seeds.max(1) as f64;
    let first = caught.first_seed.map_or_else(|| "-".into(), |seed| seed.to_string());
    let mut invariants: Vec<_> = caught.by_invariant.iter().collect();
    invariants.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let list: Vec<String> = invariants.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let of = format!("{} of {} ({share:.1} %)", caught.violations, caught.seeds);
    format!("{first:>10} {of:>24}   {}", list.join(", "))
}

struct Hunter {
    copy: Copy,
    target: std::path::PathBuf,
    seeds: u64,
}

impl Hunter {
    /// Without a bug nothing may be caught, or being caught means nothing.
    fn check_healthy(&self, bugs: &[Bug]) -> anyhow::Result<Vec<String>> {
        self.build().context("building the simulator without a bug")?;
        let families: BTreeSet<&str> = bugs.iter().map(|bug| bug.family.as_str()).collect();
        let mut wrong = Vec::new();
        for family in families {
            let caught = self.run(family, 0..self.seeds)?;
            if caught.violations > 0 {
                let broken = caught.by_invariant.keys().cloned().collect::<Vec<_>>().join(", ");
                wrong.push(format!("without a bug, {} seeds of {family} break {broken}", caught.violations));
            }
        }
        Ok(wrong)
    }

    fn hunt(&self, bug: &Bug) -> anyhow::Result<Caught> {
        self.copy.plant(bug)?;
        let result = self.build().and_then(|()| self.run_until_caught(&bug.family));
        self.copy.restore()?;
        result
    }

    /// Runs more and more seeds until enough have caught the bug, or all were run.
    fn run_until_caught(&self, family: &str) -> anyhow::Result<Caught> {
        let mut all = Caught::default();
        while all.seeds < self.seeds && all.violations < ENOUGH {
            let end = self.seeds.min((2 * all.seeds).max(FIRST_SEEDS));
            let more = self.run(family, all.seeds..end)?;
            all.seeds = end;
            all.violations += more.violations;
            all.first_seed = all.first_seed.or(more.first_seed);
            for (invariant, count) in more.by_invariant {
                *all.by_invariant.entry(invariant).or_default() += count;
            }
        }
        Ok(all)
    }

    fn build(&self) -> anyhow::Result<()> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--package", "quorate-sim", "--bin", "quorate-sim"])
            .args(["--config", "profile.dev.debug=false"])
            .current_dir(&self.copy.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            // What a bug leaves unused is no error, and what is built for one bug serves the next.
            .env("RUSTFLAGS", "--cap-lints allow")
            .env("CARGO_INCREMENTAL", "1")
            .output()
            .context("running cargo build")?;
        if !output.status.success() {
            bail!("it does not build: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn run(&self, family: &str, seeds: Range<u64>) -> anyhow::Result<Caught> {
        let range = format!("{}..{}", seeds.start, seeds.end);
        let output = Command::new(self.target.join("debug/quorate-sim"))
            .args(["--family", family, "--seeds", &range, "--json"])
            .output()
            .context("running the simulator")?;
        // Panics of a planted bug go to the error stream; the summary is one line.
        let text = String::from_utf8_lossy(&output.stdout);
        let caught: Caught = serde_json::from_str(text.trim())
            .with_context(|| format!("the simulator ended with {}: {text}", output.status))?;
        let wanted = seeds.end - seeds.start;
        ensure!(caught.seeds == wanted, "only {} of {wanted} seeds were run", caught.seeds);
        Ok(caught)
    }
}
