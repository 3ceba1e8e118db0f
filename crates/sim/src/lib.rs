//! Deterministic simulation of whole clusters: years of faults on one thread, replayed exactly from a seed.
//!
//! * `rng`, `clock`, `network`, `disk`: randomness, time, links and storage, all simulated; `host` puts a process on them.
//! * `world` runs it all; `plan` and `family` draw what a seed is like; `faults` says what can go wrong and when.
//! * `workload` is what clients do, `oracle` what they were told and may rely on; `checks` has a file for each promise.
//! * `observe` measures what clients see: latency, stale reads, time to visibility, over sweeps of N, R and W.
//! * `cost` counts messages without faults, beside a model of how many there have to be.
//! * `run` runs seeds, `trace` and `describe` make a run readable.
//!
//! `planted/` holds deliberate bugs as patches; `cargo xtask planted` proves that each is caught.

pub mod checks;
pub mod clock;
pub mod cost;
pub mod describe;
pub mod disk;
pub mod family;
pub mod faults;
pub mod figures;
pub mod host;
pub mod moves;
pub mod network;
pub mod observe;
pub mod oracle;
pub mod plan;
pub mod rng;
pub mod run;
pub mod trace;
pub mod workload;
pub mod world;

pub use disk::SimDisk;
pub use family::{FAMILIES, Family};
pub use figures::Figures;
pub use run::{SeedReport, Summary, run_seed, run_seeds};
