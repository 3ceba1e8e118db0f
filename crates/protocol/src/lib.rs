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
//! | `layout_chain` | which layout this node holds, and how it came to it |
//! | `coordinator/` | one operation from its client to its quorum and back |
//! | `replica` | what a node does for other nodes' operations |
//! | `holes` | records that cannot be read back, and how they are healed |
//! | `working_set`, `commits` | the newest containers, and who waits for which to be durable |

mod authors;
mod commits;
mod coordinator;
pub mod effect;
pub mod event;
mod holes;
pub mod id;
pub mod identity;
pub mod keys;
pub mod layout;
mod layout_chain;
pub mod limits;
mod links;
pub mod message;
pub mod node;
pub mod operation;
pub mod placement;
mod recent;
mod replica;
pub mod stats;
pub mod store;
pub mod time;
mod turn;
pub mod version;
mod working_set;

pub use effect::{Effect, Effects};
pub use event::{Event, ReadToken, RequestId};
pub use limits::Limits;
pub use node::{Node, NodeConfig};
