//! The one loop that owns the protocol's state machine: it feeds events in and carries effects out, and decides nothing.

mod handle;
mod input;
mod view;

pub use handle::{BootstrapFailure, Driver, SessionAnswers};
pub use view::{PartitionCounts, View};
