//! The Quorate data plane as a pure state machine.
//!
//! No runtime, clock, thread, socket, file or operating-system randomness: time, network and disk are arguments. A shell
//! feeds [`Event`]s to [`Node::handle`] and carries out the [`Effect`]s that come out. The same code runs in a real
//! node and in the simulator, which replays years of faults from a seed.
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`node`] | dispatch only |
//! | [`version`] | dots, contexts, containers: what a put, a delete and a merge do to a key |
//! | [`layout`], [`placement`] | who owns what |
//! | [`chain`] | which layout this node holds, and how the next one is agreed |
//! | `transition/` | how a change of the layout moves what it has to move |
//! | `coordinator/` | one operation from its client to its quorum and back |
//! | `membership/`, `links`, `liveness` | who is alive, who can be reached, hence who is asked |
//! | `replica` | what a node does for other nodes' operations |
//! | `hints` | what owners missed, and who brings it to them |
//! | `echo` | how old a message can be |
//! | [`merkle`], `anti_entropy/` | on what owners of a partition differ, and how they become equal |
//! | `sweep` | the background pass over all that is held |
//! | `purge/` | when a tombstone may be forgotten |
//! | `holes` | records that cannot be read back, and how they are healed |
//! | `records` | reading and replacing the records of keys |
//! | `working_set`, `commits` | the newest containers, and who waits for which to be durable |

mod anti_entropy;
mod authors;
pub mod chain;
mod commits;
mod coordinator;
pub mod echo;
pub mod effect;
pub mod event;
mod expiry;
mod hints;
mod holes;
pub mod id;
pub mod identity;
pub mod keys;
pub mod layout;
pub mod limits;
mod links;
mod liveness;
mod membership;
pub mod merkle;
pub mod message;
pub mod node;
pub mod operation;
pub mod placement;
mod purge;
mod recent;
mod records;
mod replica;
pub mod stats;
pub mod store;
mod sweep;
pub mod time;
mod transition;
mod turn;
pub mod version;
mod working_set;

pub use effect::{Effect, Effects};
pub use event::{Event, ReadToken, RequestId};
pub use limits::Limits;
pub use membership::{GossipFigures, Peer, PeerState};
pub use node::{Node, NodeConfig};
pub use transition::{Progress, Wait};
