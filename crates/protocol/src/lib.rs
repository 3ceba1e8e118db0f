//! The Quorate data plane as a pure state machine.
//!
//! No runtime, clock, thread, socket, file or operating-system randomness: time, network and disk are arguments. A shell
//! feeds [`Event`]s to [`Node::handle`] and carries out the [`Effect`]s that come out. The same code runs in a real
//! node and in the simulator, which replays years of faults from a seed.

pub mod effect;
pub mod event;
pub mod id;
pub mod identity;
pub mod keys;
pub mod layout;
pub mod limits;
pub mod message;
pub mod node;
pub mod operation;
pub mod placement;
pub mod store;
pub mod time;
pub mod version;

pub use effect::{Effect, Effects};
pub use event::{Event, ReadToken, RequestId};
pub use limits::Limits;
pub use node::{Node, NodeConfig};
