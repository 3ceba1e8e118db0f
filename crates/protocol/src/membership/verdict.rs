//! What a node knows of the others' lives.

use super::identity::MemberId;
use crate::id::NodeId;
use crate::time::Time;

/// What the gossip says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    /// It answers.
    Alive,
    /// It has not answered somebody, and has some time left to say that it is there. It is asked as before.
    Suspect,
    /// It was declared down. It is not asked until it says that it is there.
    Down,
}

/// What is known of another node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The verdict.
    pub state: PeerState,
    /// Since when it is that.
    pub since: Time,
    /// The name under which it is that.
    pub(super) name: MemberId,
}

/// A verdict has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// On whom.
    pub(crate) peer: NodeId,
    /// The new one; none when the node is forgotten.
    pub(crate) state: Option<PeerState>,
}

/// How the gossip goes, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GossipFigures {
    /// Verdicts that a node does not answer, seen since the start.
    pub suspicions: u64,
    /// Suspicions and declarations of this node that it has refuted since the start.
    pub refutations: u64,
    /// Nodes declared down since the start.
    pub declared_down: u64,
    /// By how much this node stretches its times for its own bad health, from 1 to 8.
    pub health_multiplier: u32,
}
