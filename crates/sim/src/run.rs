//! Runs seeds: one, or many on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::checks::{Violation, violation};
use crate::family::Family;
use crate::figures::Figures;
use crate::plan::Plan;
use crate::trace::{TraceSink, Tracer};
use crate::world::World;

/// How one seed ended.
#[derive(Clone, Debug)]
pub struct SeedReport {
    /// Which seed,
    pub seed: u64,
    /// of which family.
    pub family: Family,
    /// The hash of all that happened: the same for the same code, seed and family.
    pub trace_hash: u64,
    /// What was done.
    pub figures: Figures,
    /// The promise that was broken, if one was, and when in microseconds of the run.
    pub violation: Option<(u64, Violation)>,
}

impl SeedReport {
    /// The command that runs this seed again with a readable trace.
    pub fn replay(&self) -> String {
        format!("cargo run -p quorate-sim -- --family {} --seed {} --trace", self.family, self.seed)
    }
}

/// Runs one seed.
pub fn run_seed(seed: u64, family: Family, sink: Option<TraceSink>) -> SeedReport {
    let mut report = SeedReport { seed, family, trace_hash: 0, figures: Figures::default(), violation: None };
    // A panic anywhere in the core is a finding like any other.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut world = match World::new(seed, Plan::draw(seed, family), Tracer::new(sink)) {
            Ok(world) => world,
            Err(broken) => {
                report.violation = Some((0, broken));
                return;
            }
        };
        let outcome = world.run();
        report.violation = outcome.err().map(|broken| (world.now_us(), broken));
        report.trace_hash = world.trace_hash();
        report.figures = world.figures();
    }));
    if let Err(panic) = result {
        let words = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()))
            .unwrap_or_default();
        report.violation = Some((0, violation("panic", words)));
    }
    report
}

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many seeds were run.
    pub seeds: u64,
    /// All that was done.
    pub figures: Figures,
    /// The seeds that broke a promise, in order.
    pub failures: Vec<SeedReport>,
}

/// Runs these seeds on this many threads; `progress` hears now and then how many are done and how many have failed.
pub fn run_seeds(
    seeds: std::ops::Range<u64>,
    families: &[Family],
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let total = Mutex::new(Summary::default());
    let work = || {
        let mut mine = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let Some(&family) = families.get(usize::try_from(seed).unwrap_or(0) % families.len().max(1))
            else {
                break;
            };
            let report = run_seed(seed, family, None);
            mine.seeds += 1;
            mine.figures.add(&report.figures);
            if report.violation.is_some() {
                failed.fetch_add(1, Ordering::Relaxed);
                mine.failures.push(report);
            }
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_multiple_of(100) {
                progress(count, failed.load(Ordering::Relaxed));
            }
        }
        let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        total.seeds += mine.seeds;
        total.figures.add(&mine.figures);
        total.failures.append(&mut mine.failures);
    };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut summary = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    summary.failures.sort_by_key(|report| report.seed);
    summary
}
