//! Who a node is, and whether its directory can be trusted.
//!
//! A node must never count for what its directory no longer holds. A directory that was rolled back, restored from a copy or cloned
//! looks whole; only others can tell. So each start is recorded before the node speaks, with how far the directory went before it;
//! peers remember the highest (boot, start, sequence) that a node has shown them; and a node that has started asks them, and takes part
//! only when they have answered. What does not fit betrays it: it gives up its identity, and starts as another node.
//!
//! | file | what it does |
//! | --- | --- |
//! | `recover` | reads a directory at the start, and records the start in it |
//! | `lives` | what a node knows of the lives of others, durably |
//! | `recall` | asks and answers, waits, gives up |
//! | `asks` | when those are asked again that have not answered |

mod asks;
mod lives;
mod recall;
mod recover;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::chain::Acceptor;
use crate::id::{NodeId, PartitionId, StartId};
use crate::layout::Layout;
use crate::message::KeyRef;
use crate::store::Sequence;
use crate::transition::Mark;
pub(crate) use lives::Lives;
pub use lives::decode_lives;
use lives::encode_lives;
pub(crate) use recall::Standing;
pub use recover::{ForceError, RecoverError, boots, force_lost, forget_lives, recover};

/// A life of a node: what a process has shown of itself, or what a directory says of a process that it had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Which start of its directory: 1, 2, 3, ...
    pub boot: u64,
    /// Its random name.
    pub start: StartId,
    /// How far the directory's history went: at least, as seen by others; at the life's end, in the directory itself.
    pub sequence: Sequence,
}

/// What shows that a directory cannot be trusted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Betrayal {
    /// Another node has seen more of a life than the directory holds.
    #[error(
        "{by} has seen boot {} up to sequence {}, and this directory {}: it is an old copy, or was rolled back",
        seen.boot, seen.sequence.0, holds(*.held)
    )]
    RolledBack {
        /// Who.
        by: NodeId,
        /// What it has seen.
        seen: Life,
        /// How far that life went as the directory has it, if it has it.
        held: Option<Sequence>,
    },
    /// Another node has seen another process of the same directory, as new as this one.
    #[error("{by} has seen another process start on a copy of this directory, as boot {}", seen.boot)]
    TwoLives {
        /// Who.
        by: NodeId,
        /// What it has seen.
        seen: Life,
    },
    /// The node has left its cluster, or was declared lost.
    #[error(
        "{by} says that this node has left the cluster, or was declared lost: its identity is never used again"
    )]
    Departed {
        /// Who.
        by: NodeId,
    },
}

fn holds(held: Option<Sequence>) -> String {
    held.map_or("knows nothing of it".into(), |sequence| format!("has it end at {}", sequence.0))
}

/// What a start found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Who the node is.
    pub node: NodeId,
    /// How often it was started, this start included: 1 in a new directory.
    pub boot: u64,
    /// What its earlier lives have left.
    pub kept: Kept,
}

/// What a directory keeps beside the data, for the next life of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The layout that it held, if it is bootstrapped.
    pub layout: Option<Layout>,
    /// The keys whose records were damaged and are not healed yet.
    pub holes: Vec<KeyRef>,
    /// What it has promised as a voter.
    pub acceptor: Acceptor,
    /// What it has done for changes of the layout, by partition.
    pub marks: BTreeMap<PartitionId, Mark>,
    /// Its earlier lives, by boot, each with how far it went.
    pub past: BTreeMap<u64, Life>,
    /// The highest life that each other node has shown.
    pub lives: BTreeMap<NodeId, Life>,
    /// How far its history goes, the record of this start included.
    pub sequence: Sequence,
}
