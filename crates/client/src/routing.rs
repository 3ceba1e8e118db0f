//! Which node to ask about a key.

use std::sync::Arc;

use quorate_protocol::id::{Epoch, PartitionId};
use quorate_protocol::layout::Layout;

use crate::link::Link;

/// One layout with the links to its members.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) layout: Arc<Layout>,
    /// In the order of the layout's members; absent when nobody knows where clients reach it.
    members: Vec<Option<Arc<Link>>>,
    /// What the client was given to start from: for when no member can be reached directly.
    seeds: Vec<Arc<Link>>,
}

/// The links that an operation has already gone to.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<usize>);

impl Routing {
    pub(crate) fn new(layout: Layout, members: Vec<Option<Arc<Link>>>, seeds: Vec<Arc<Link>>) -> Self {
        Self { layout: Arc::new(layout), members, seeds }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.layout.epoch
    }

    /// A key's partition. A bucket that this layout does not know may exist all the same: any node can say.
    pub(crate) fn partition_of(&self, bucket: &str, key: &[u8]) -> PartitionId {
        self.layout.bucket(bucket).map_or(PartitionId(0), |bucket| self.layout.partition_of(bucket.id, key))
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.members.iter().flatten().chain(&self.seeds)
    }

    /// Where to send an operation on this partition next: an owner in order of preference, then any member, then
    /// a seed; those that are down last; and from the beginning when all were tried.
    pub(crate) fn pick(&self, partition: PartitionId, tried: &mut Tried) -> Option<Arc<Link>> {
        // The usual case, without looking at the rest.
        if let Some(first) = self.owners(partition).next()
            && first.is_up()
            && tried.0.is_empty()
        {
            tried.0.push(first.id);
            return Some(first.clone());
        }
        let in_order = || self.owners(partition).chain(self.links());
        let find = |tried: &Tried| {
            let untried = || in_order().filter(|link| !tried.0.contains(&link.id));
            untried().find(|link| link.is_up()).or_else(|| untried().next())
        };
        let found = find(tried).or_else(|| {
            tried.0.clear();
            find(tried)
        })?;
        tried.0.push(found.id);
        Some(found.clone())
    }

    /// Whether a node that is thought to answer has not been tried.
    pub(crate) fn has_untried(&self, tried: &Tried) -> bool {
        self.links().any(|link| link.is_up() && !tried.0.contains(&link.id))
    }

    fn owners(&self, partition: PartitionId) -> impl Iterator<Item = &Arc<Link>> {
        self.layout.owners(partition).iter().filter_map(|&owner| {
            let members = &self.layout.members;
            let at = members.binary_search_by_key(&owner, |member| member.node).ok()?;
            self.members.get(at)?.as_ref()
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use std::time::Duration;

    use quorate_protocol::id::{ClusterId, NodeId};
    use quorate_protocol::layout::{Bootstrap, Member};

    use super::*;

    fn link(id: usize) -> Arc<Link> {
        let address = format!("http://127.0.0.1:{}", 1000 + id);
        Arc::new(Link::new(id, address, Duration::from_secs(1)).unwrap())
    }

    fn routing(nodes: usize, n: u32) -> Routing {
        let member = |node: usize| Member {
            node: NodeId(node as u64),
            name: String::new(),
            peer_address: "a:1".into(),
            zone: String::new(),
            weight: 1,
        };
        let settings = Bootstrap {
            cluster: ClusterId(1),
            partitions: 8,
            n,
            r: 1,
            w: 1,
            members: (0..nodes).map(member).collect(),
            buckets: Vec::new(),
        };
        let layout = Layout::first(&settings).unwrap();
        let members = (0..nodes).map(|node| Some(link(node))).collect();
        Routing::new(layout, members, vec![link(100)])
    }

    fn order(routing: &Routing, partition: PartitionId, count: usize) -> Vec<usize> {
        let mut tried = Tried::default();
        (0..count).map(|_| routing.pick(partition, &mut tried).unwrap().id).collect()
    }

    #[test]
    fn owners_come_in_order_then_members_then_seeds_then_again() {
        let routing = routing(4, 2);
        let partition = routing.partition_of("", b"key");
        let owners: Vec<usize> =
            routing.layout.owners(partition).iter().map(|owner| owner.0 as usize).collect();
        let order = order(&routing, partition, 6);
        assert_eq!(order[..2], owners);
        let mut all = order[..4].to_vec();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert_eq!(order[4], 100);
        assert_eq!(order[5], owners[0]);
    }

    #[test]
    fn those_that_are_down_come_last() {
        let routing = routing(3, 3);
        let partition = PartitionId(0);
        let usual = order(&routing, partition, 3);
        routing.members[usual[0]].as_ref().unwrap().mark_down();
        assert_eq!(order(&routing, partition, 4), [usual[1], usual[2], 100, usual[0]]);
    }

    #[test]
    fn a_member_without_address_is_passed_over() {
        let mut routing = routing(3, 3);
        let partition = PartitionId(0);
        let usual = order(&routing, partition, 3);
        routing.members[usual[0]] = None;
        assert_eq!(order(&routing, partition, 3), [usual[1], usual[2], 100]);
    }

    #[test]
    fn the_key_decides_the_partition() {
        let routing = routing(3, 3);
        let bucket = routing.layout.bucket("default").unwrap().id;
        assert_eq!(routing.partition_of("", b"a"), routing.layout.partition_of(bucket, b"a"));
        let all: std::collections::BTreeSet<PartitionId> =
            (0..200_u32).map(|key| routing.partition_of("default", &key.to_le_bytes())).collect();
        assert_eq!(all.len(), 8);
    }
}
