//! The cluster of the tests that let whole cores talk: one partition, of which three nodes are owners, or all when they are fewer.

use quorate_protocol::id::{ClusterId, NodeId};
use quorate_protocol::layout::{Bootstrap, Layout, Member};

/// The layout of nodes 1 to `count`.
pub(crate) fn layout_of(count: u64) -> Layout {
    let member = |id: u64| Member {
        node: NodeId(id),
        name: format!("n{id}"),
        peer_address: format!("n{id}:1"),
        zone: String::new(),
        weight: 1,
    };
    let n = u32::try_from(count.min(3)).expect("it is 3 at most");
    let settings = Bootstrap {
        cluster: ClusterId(9),
        partitions: 1,
        n,
        r: n / 2 + 1,
        w: n / 2 + 1,
        members: (1..=count).map(member).collect(),
        buckets: Vec::new(),
    };
    Layout::first(&settings).expect("the settings are good")
}
