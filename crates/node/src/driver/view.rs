//! What the loop sees, for status, readiness and metrics.

use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::id::{NodeId, PartitionId};
use quorate_protocol::layout::{Layout, QuorumSizes, Side};
use quorate_protocol::{GossipFigures, PeerState, Progress};

/// What the gossip says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which node.
    pub node: NodeId,
    /// What it is held to be.
    pub state: PeerState,
    /// For how long already.
    pub since: Duration,
}
use quorate_protocol::stats::{AntiEntropy, Gauges, Stats};

/// A snapshot taken by the loop.
#[derive(Clone, Debug)]
pub struct View {
    /// This node.
    pub node: NodeId,
    /// The layout held, if any.
    pub layout: Option<Arc<Layout>>,
    /// Peers that operations ask: their links are up, and they were not declared down. Sorted.
    pub reachable: Vec<NodeId>,
    /// What the gossip says of the nodes that it knows, by node.
    pub verdicts: Vec<Verdict>,
    /// How the gossip goes.
    pub gossip: GossipFigures,
    /// Counters since the start.
    pub stats: Stats,
    /// What there is now.
    pub gauges: Gauges,
    /// For how long the oldest hint has been waiting.
    pub oldest_hint: Duration,
    /// How far anti-entropy is.
    pub anti_entropy: AntiEntropy,
    /// This node's part of the change of the layout that is under way, if one is.
    pub change: Option<Progress>,
    /// Why the store takes no writes; none when it does.
    pub store_refusal: Option<String>,
    /// Requests of this node's own clients that wait for their answer.
    pub awaited: usize,
}

/// How many partitions this node can serve, as far as it sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionCounts {
    /// Of which this node is an owner.
    pub owned: u32,
    /// Of which fewer owners than the default bucket's r or w can be reached.
    pub unavailable: u32,
    /// Of which some owner cannot be reached.
    pub under_replicated: u32,
}

impl View {
    /// Operations under way: of this node's clients, and those that it coordinates for other nodes.
    pub fn under_way(&self) -> usize {
        self.awaited.max(self.gauges.operations)
    }

    /// Whether the node has left the cluster whose layout it holds.
    pub fn has_left(&self) -> bool {
        self.layout.as_ref().is_some_and(|layout| layout.member(self.node).is_none())
    }

    /// What the gossip says of a node, if anything.
    pub fn verdict(&self, node: NodeId) -> Option<&Verdict> {
        let at = self.verdicts.binary_search_by_key(&node, |verdict| verdict.node).ok()?;
        self.verdicts.get(at)
    }

    /// How many other members of the layout the gossip holds to be this.
    pub fn members(&self, state: PeerState) -> usize {
        let members = self.layout.iter().flat_map(|layout| &layout.members);
        members
            .filter(|member| self.verdict(member.node).is_some_and(|verdict| verdict.state == state))
            .count()
    }

    /// Counts partitions by what can be reached from here.
    pub fn partitions(&self) -> PartitionCounts {
        let mut counts = PartitionCounts::default();
        let Some(layout) = &self.layout else { return counts };
        for partition in layout.all_partitions() {
            let owners = layout.owners(partition);
            let up = |owner: &NodeId| *owner == self.node || self.reachable.binary_search(owner).is_ok();
            counts.owned += u32::from(owners.contains(&self.node));
            counts.unavailable += u32::from(lacks_quorum(layout, partition, |node| up(&node)));
            counts.under_replicated += u32::from(owners.iter().any(|owner| !up(owner)));
        }
        counts
    }
}

/// Whether of a partition fewer owners can be reached than the default bucket's quorums need: those that answer reads, and in a
/// change those on either side that acknowledge writes.
pub(crate) fn lacks_quorum(layout: &Layout, partition: PartitionId, is_up: impl Fn(NodeId) -> bool) -> bool {
    let Some(bucket) = layout.bucket("") else { return false };
    let lacks = |side: Side, of: fn(QuorumSizes) -> u32| {
        let sizes = layout.sizes(bucket, side);
        let counting = layout.owners_of(partition, side).iter().take(sizes.n as usize);
        counting.filter(|&&node| is_up(node)).count() < of(sizes) as usize
    };
    let writes = layout.writing_sides(partition).iter();
    lacks(layout.reading_side(), |sizes| sizes.r) || writes.copied().any(|side| lacks(side, |sizes| sizes.w))
}
