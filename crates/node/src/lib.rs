//! The Quorate node: the tokio shell around the pure protocol. The shell obeys; it never decides.
//!
//! `run` opens the store and starts the rest: `driver` is the loop that owns the state machine, `peers` the links to other nodes,
//! `grpc` and `http` what clients see.

pub mod addresses;
mod checkpoints;
mod clock;
pub mod config;
mod distrusted;
mod drain;
mod draining;
pub mod driver;
pub mod faults;
pub mod grpc;
pub mod http;
mod listing;
mod metrics;
pub mod observe;
pub mod offline;
mod peers;
mod run;
mod scrape;
pub mod start;
mod surfaces;

pub use drain::{DrainArgs, drain};
pub use draining::Draining;
pub use run::{End, Listening, run};
