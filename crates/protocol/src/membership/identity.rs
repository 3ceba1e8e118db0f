//! Under which name a node is known to the gossip.

use foca::Identity;
use serde::{Deserialize, Serialize};

use crate::id::NodeId;

/// One node in one life, and how often it has come back in that life from being declared down. Of two with the same
/// node the later one holds: that a name was declared down is final, so whoever is alive takes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberId {
    /// Who.
    pub(crate) node: NodeId,
    /// Which life: a durable count of the starts of its directory, at least 1.
    pub(crate) boot: u64,
    /// How often it was declared down in this life and has taken a new name.
    pub(crate) rejoined: u32,
}

impl MemberId {
    /// A node of which nothing but its id is known; it answers to this when somebody announces himself.
    pub(crate) fn of_any_life(node: NodeId) -> Self {
        Self { node, boot: 0, rejoined: 0 }
    }
}

impl Identity for MemberId {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { rejoined: self.rejoined.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        (self.boot, self.rejoined) > (other.boot, other.rejoined)
    }
}
