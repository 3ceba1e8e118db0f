//! What gRPC clients see.
//!
//! | file | what it does |
//! | --- | --- |
//! | `server` | listens, and puts the services together |
//! | `kv`, `keys`, `session` | the data plane: single calls and batches, listings, streams |
//! | `admin`, `change`, `faults` | running a cluster, giving it another layout, and breaking it |
//! | `status` | failures as gRPC statuses |

mod admin;
mod change;
mod faults;
mod kv;
mod server;
mod session;
mod status;
mod value;

use std::path::PathBuf;
use std::sync::Arc;

use quorate_protocol::Limits;
use quorate_protocol::id::OperationId;

pub use server::{ServeError, serve};

use crate::addresses::Addresses;
use crate::draining::Draining;
use crate::driver::Driver;
use crate::faults::Faults;
use crate::observe::SharedObserver;
use crate::peers::Introducer;

/// What the services stand on.
#[derive(Clone)]
pub struct GrpcState {
    /// The loop.
    pub driver: Driver,
    /// What the loop holds operations to.
    pub limits: Arc<Limits>,
    /// Where nodes are reached.
    pub addresses: Arc<dyn Addresses>,
    /// How much the store takes on disk.
    pub disk_use: Arc<dyn Fn() -> DiskUse + Send + Sync>,
    /// Hears of every operation.
    pub observer: SharedObserver,
    /// What goes wrong on purpose.
    pub faults: Arc<Faults>,
    /// Where the node keeps its data, for who asks.
    pub data_dir: PathBuf,
    /// Makes nodes known that are to be added.
    pub introducer: Arc<dyn Introducer>,
    /// What the node says of itself to who adds it to a cluster.
    pub configured: Configured,
    /// Whether the node is about to be stopped.
    pub draining: Draining,
}

/// What a store takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes of the commit log's files, space that is kept ready for use included.
    pub log_bytes: u64,
    /// Bytes of all other files.
    pub base_bytes: u64,
}

/// What a node is to be in a cluster, as its configuration says.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// A label for people.
    pub name: String,
    /// Its failure zone.
    pub zone: String,
    /// Its share of the data.
    pub weight: u32,
}

impl std::fmt::Debug for GrpcState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcState").field("driver", &self.driver).finish_non_exhaustive()
    }
}

/// What operations that could not be read are called in metrics.
const MALFORMED: &str = "malformed";

/// Names a put that its client has not named, and so does not mean to repeat.
fn mint() -> OperationId {
    OperationId(rand::random())
}

#[cfg(test)]
mod tests;
