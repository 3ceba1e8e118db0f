//! The seed corpus: first that runs can be trusted to repeat, then that no promise breaks in any of them.
//!
//! `QUORATE_SIM_SEEDS` says how many seeds to run, 2,000 otherwise. A failure names the command that replays it.
#![expect(clippy::print_stdout, reason = "the figures are for who runs the tests")]

use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;
use std::time::Instant;

use quorate_observe::{Faults, Keys, Mode, Row, Setting, csv, svg, table};
use quorate_sim::observe::{observe, sweep};
use quorate_sim::{FAMILIES, Family, Figures, SeedReport, run_seed, run_seeds};

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

/// Each of these broke a promise once.
#[test]
fn what_broke_once_holds() {
    let seeds = [
        // A coordinator that had lost its own part of a write counted it again when another owner told of a loss.
        (Family::BadDisk, 266),
        // A delete whose coordinator had lost its record was sent again as what was gathered since: with what it had deleted.
        (Family::BadDisk, 4804),
        // A node that stood still for two minutes found thousands of questions of one peer.
        (Family::Expiry, 893),
        // Long quiet runs, mostly heartbeats, were taken for endless ones.
        (Family::BadDisk, 1078),
        (Family::Retry, 1285),
        // A record was healed from owners, none of which had heard of what a fallback kept beside it: one disk has it until the hint comes.
        (Family::BadDisk, 330),
    ];
    let summaries =
        seeds.map(|(family, seed): (Family, u64)| run_seeds(seed..seed + 1, &[family], 1, &|_, _| {}));
    for summary in summaries {
        assert_eq!(summary.seeds, 1);
        assert!(summary.failures.is_empty(), "{} promises broke", summary.failures.len());
    }
}

/// How many seeds to run.
fn corpus() -> u64 {
    match std::env::var("QUORATE_SIM_SEEDS") {
        Ok(count) => count.parse().expect("QUORATE_SIM_SEEDS is a number"),
        Err(_) => SEEDS,
    }
}

/// Runs the corpus over these families, of which no run may break a promise.
fn run_corpus(families: &[Family]) -> Figures {
    let seeds = corpus();
    let threads = available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    let summary = run_seeds(0..seeds, families, threads, &|_, _| {});
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
    summary.figures
}

fn assert_happened<const N: usize>(happened: [(&str, u64); N]) {
    assert_floors(happened.map(|(what, count)| (what, count, SEEDS / 10)));
}

/// What happened, how often, and how often at least in the usual number of seeds.
fn assert_floors<const N: usize>(floors: [(&str, u64, u64); N]) {
    let seeds = corpus();
    for (what, count, floor) in floors {
        let floor = floor * seeds / SEEDS;
        assert!(count >= floor, "there were only {count} {what} in {seeds} seeds, not {floor}");
    }
}

#[test]
fn no_promise_breaks_while_the_layout_changes() {
    let changing = [Family::Moves, Family::Reshape, Family::Replace, Family::Rivals, Family::Rollback];
    let figures = run_corpus(&changing);
    assert_happened([
        ("layouts", figures.layouts),
        ("finished changes", figures.changes),
        ("lost disks", figures.disks_lost),
        ("disks that were put back", figures.rolled_back),
        ("identities given up", figures.given_up),
    ]);
}

#[test]
fn no_promise_breaks() {
    let figures = run_corpus(&FAMILIES);
    // A corpus in which nothing happens proves nothing.
    assert_happened([
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
    ]);
    // What takes several things to come about: about half of what there was when this was written.
    assert_floors([
        ("hints delivered", figures.hints_delivered, 4_000),
        ("tombstones forgotten", figures.forgotten, 120),
        ("entries of retired actors forgotten", figures.actors_pruned, 340),
        ("expired values dropped", figures.expired_values, 750),
        ("damaged records met", figures.holes, 190),
        ("damaged records healed", figures.healed, 190),
        ("verdicts of down", figures.declared_down, 2_200),
        ("deaths that had to be noticed", figures.deaths_noticed, 50),
    ]);
}

/// The rows of a sweep, and every promise that broke in it.
fn observed(settings: &[Setting], seeds: u64, threads: usize) -> Vec<Row> {
    let found = sweep(settings, seeds, threads, &|_| {});
    let broken: Vec<_> = found.broken.iter().map(|broken| format!("{broken:?}")).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    found.rows
}

#[test]
fn quorums_that_meet_are_never_stale_and_those_that_do_not_sometimes_are() {
    let settings = Setting::sweep(&Keys::ALL, &Faults::ALL, &[Mode::Strict], &[1, 3, 5], None, None);
    let rows = observed(&settings, 2, available_parallelism().map_or(1, usize::from));
    println!("{}", table(&rows));
    assert_eq!(rows.iter().map(|row| row.setting).collect::<Vec<_>>(), settings);
    for row in &rows {
        assert!(!row.is_broken(), "{}: {:?}", row.setting, row.figures);
        assert_eq!(row.figures.unnamed, 0, "{}: every acknowledged write is known by name", row.setting);
        assert!(row.figures.reads > 20 && row.figures.probes > 20, "{}: {:?}", row.setting, row.figures);
        if row.setting.faults == Faults::None {
            let failed = row.figures.refused + row.figures.timed_out;
            assert_eq!(failed, 0, "{}: nothing goes wrong, and something fails", row.setting);
        }
    }
    let of = |keys, faults, n, r, w| {
        let setting = Setting { keys, faults, mode: Mode::Strict, n, r, w };
        rows.iter().find(|row| row.setting == setting).expect("it was run").figures
    };
    // What says 0 of everything proves nothing.
    let weak = of(Keys::Clustered, Faults::Light, 3, 1, 1);
    assert!(weak.stale > 0 && weak.missed_max > 0 && weak.visible_us.p99 > 0, "{weak:?}");
    assert!(of(Keys::Clustered, Faults::Heavy, 5, 1, 1).stale_rate > weak.stale_rate, "faults make it worse");
    assert!(of(Keys::Spread, Faults::Light, 3, 1, 1).stale_rate < weak.stale_rate, "hot keys make it worse");
    assert!(
        of(Keys::Clustered, Faults::Heavy, 5, 5, 5).failure_rate() > 0.0,
        "all of five are not always there"
    );
    // What there is to see can be written down.
    assert_eq!(csv(&rows).lines().count(), 1 + rows.len());
    assert!(svg(&rows, "a sweep").expect("it is drawn").ends_with("</svg>\n"));
}

#[test]
fn stand_ins_keep_writes_going_and_promise_no_fresh_reads() {
    let settings = Setting::of_quorums(&Keys::ALL, &[Faults::Heavy], &Mode::ALL, &[(3, 2, 2), (5, 3, 3)]);
    let rows = observed(&settings, 4, available_parallelism().map_or(1, usize::from));
    println!("{}", table(&rows));
    let of = |mode: Mode, count: fn(&Row) -> u64| -> u64 {
        rows.iter().filter(|row| row.setting.mode == mode).map(count).sum()
    };
    let stale = |row: &Row| row.figures.stale_answers();
    assert_eq!(of(Mode::Strict, stale), 0);
    assert!(of(Mode::Sloppy, stale) > 0, "what says 0 of everything proves nothing");
    assert!(rows.iter().all(|row| !row.is_broken()), "nothing was promised");
    let failed = |row: &Row| row.figures.refused + row.figures.timed_out;
    assert!(of(Mode::Sloppy, failed) < of(Mode::Strict, failed), "that is what they are for");
}

#[test]
fn a_setting_and_a_seed_are_one_history() {
    let (keys, faults) = ([Keys::Clustered], [Faults::Heavy]);
    let settings = Setting::sweep(&keys, &faults, &Mode::ALL, &[3], Some(&[1, 2]), Some(&[1]));
    for &setting in &settings {
        let first = observe(setting, 7).expect("no promise breaks");
        assert!(first == observe(setting, 7).expect("no promise breaks"), "{setting}: two runs differ");
        assert!(
            first != observe(setting, 8).expect("no promise breaks"),
            "{setting}: another seed is another run"
        );
    }
    assert_eq!(observed(&settings, 3, 1), observed(&settings, 3, 2), "the number of threads decides nothing");
}
