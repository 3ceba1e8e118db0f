//! How consistent N, R and W really are: runs for measuring, where the families are for breaking.
//!
//! `plan` says what a run of a setting is like; `record` keeps what its clients saw; what that means is for
//! `quorate_observe`, which real processes ask too. All checks of the simulator watch these runs as well.

mod plan;
mod record;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use quorate_observe::{Analysis, History, Row, Setting};

use crate::checks::Violation;
use crate::trace::Tracer;
use crate::world::World;

pub use plan::plan_for;
pub(crate) use record::Recorder;

/// A promise that one run broke.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What was run,
    pub setting: Setting,
    /// with this seed.
    pub seed: u64,
    /// What was seen.
    pub violation: Violation,
}

/// What a sweep found.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// One for each setting, in their order.
    pub rows: Vec<Row>,
    /// Promises that broke.
    pub broken: Vec<Broken>,
}

/// What clients see in one run of a setting.
pub fn observe(setting: Setting, seed: u64) -> Result<History, Violation> {
    World::new(seed, plan_for(setting), Tracer::new(None))?.observe()
}

/// Runs every setting with the seeds 0 to `seeds - 1` on this many threads; `progress` hears how many settings are done.
/// The same for any number of threads.
pub fn sweep(settings: &[Setting], seeds: u64, threads: usize, progress: &(dyn Fn(usize) + Sync)) -> Sweep {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(settings.len()));
    let work = || {
        while let Some(&setting) = settings.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = run_setting(setting, seeds);
            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(one);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, settings.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = |setting: Setting| settings.iter().position(|&other| other == setting);
    found.sort_by_key(|(row, _)| place(row.setting));
    let mut sweep = Sweep::default();
    for (row, mut broken) in found {
        sweep.rows.push(row);
        sweep.broken.append(&mut broken);
    }
    sweep
}

fn run_setting(setting: Setting, seeds: u64) -> (Row, Vec<Broken>) {
    let mut analysis = Analysis::default();
    let mut broken = Vec::new();
    for seed in 0..seeds {
        match observe(setting, seed) {
            Ok(history) => analysis.add(&history),
            Err(violation) => broken.push(Broken { setting, seed, violation }),
        }
    }
    (Row { setting, figures: analysis.figures() }, broken)
}
