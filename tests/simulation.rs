//! The seed corpus: first that runs can be trusted to repeat, then that no promise breaks in any of them.
//!
//! `QUORATE_SIM_SEEDS` says how many seeds to run, 2,000 otherwise. A failure names the command that replays it.
#![expect(clippy::print_stdout, reason = "the figures are for who runs the tests")]

use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;
use std::time::Instant;

use quorate_sim::{FAMILIES, Family, SeedReport, run_seed, run_seeds};

const SEEDS: u64 = 2000;

fn traced(seed: u64, family: Family) -> (SeedReport, Vec<String>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let keep = move |line| sink.lock().expect("no reader panics").push(line);
    let report = run_seed(seed, family, Some(Box::new(keep)));
    let lines = std::mem::take(&mut *lines.lock().expect("no reader panics"));
    (report, lines)
}

#[test]
fn one_seed_is_one_run() {
    for family in FAMILIES {
        for seed in 0..8 {
            let (first, first_lines) = traced(seed, family);
            let (second, second_lines) = traced(seed, family);
            assert!(first_lines == second_lines, "seed {seed} of {family}: the traces of two runs differ");
            assert_eq!(first.trace_hash, second.trace_hash, "seed {seed} of {family}");
            assert_eq!(first.figures, second.figures, "seed {seed} of {family}");
            // Nobody has to read for it to be the same run.
            let unread = run_seed(seed, family, None);
            assert_eq!(
                first.trace_hash, unread.trace_hash,
                "seed {seed} of {family}: a reader changes the run"
            );
        }
    }
    let (mix, crash) = (run_seed(1, Family::Mix, None), run_seed(1, Family::Crash, None));
    assert_ne!(mix.trace_hash, crash.trace_hash, "another family is another run");
    assert_ne!(mix.trace_hash, run_seed(2, Family::Mix, None).trace_hash, "another seed is another run");
}

#[test]
fn no_promise_breaks() {
    let seeds = match std::env::var("QUORATE_SIM_SEEDS") {
        Ok(count) => count.parse().expect("QUORATE_SIM_SEEDS is a number"),
        Err(_) => SEEDS,
    };
    let threads = available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    let summary = run_seeds(0..seeds, &FAMILIES, threads, &|_, _| {});
    let took = started.elapsed().as_secs_f64();
    println!("{} seeds in {took:.1} s, {} violations", summary.seeds, summary.failures.len());
    println!("{:#?}", summary.figures);
    assert_eq!(summary.seeds, seeds, "every seed is run");

    let broken: Vec<String> = summary
        .failures
        .iter()
        .filter_map(|report| {
            let (_, broken) = report.violation.as_ref()?;
            Some(format!("{}: {}\n  {}", broken.invariant, broken.detail, report.replay()))
        })
        .take(20)
        .collect();
    assert!(broken.is_empty(), "{} seeds broke a promise:\n{}", summary.failures.len(), broken.join("\n"));

    // A corpus in which nothing happens proves nothing.
    let figures = summary.figures;
    let happened = [
        ("puts", figures.puts),
        ("deletes", figures.deletes),
        ("gets", figures.gets),
        ("lists", figures.lists),
        ("refusals", figures.refused),
        ("indeterminate answers", figures.indeterminate),
        ("retries", figures.retries),
        ("crashes", figures.crashes),
        ("pauses", figures.pauses),
        ("cuts", figures.cuts),
        ("faults of disks", figures.disk_faults),
        ("jumps of wall clocks", figures.wall_jumps),
        ("lost batches", figures.batches_lost),
        ("doubled batches", figures.batches_doubled),
        ("read repairs", figures.read_repairs),
    ];
    for (what, count) in happened {
        assert!(count >= seeds / 10, "there were only {count} {what} in {seeds} seeds");
    }
}
