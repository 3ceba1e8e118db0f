//! Layouts as the nodes choose them, and what each node knows of them.

use std::collections::{BTreeMap, BTreeSet};

use quorate_controller::observed::{
    BucketSeen, ChangeSeen, DEFAULT_BUCKET, LayoutSeen, MemberSeen, Membership, NodeSeen, ProgressSeen,
};
use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order;

use super::{NodeId, World};

/// Ticks that a change takes while all that it needs run.
const CHANGE_TICKS: u32 = 4;

#[derive(Default)]
pub(crate) struct Quorate {
    /// All layouts, in order; the first has epoch 1.
    layouts: Vec<LayoutSeen>,
    /// The epoch that each node holds.
    known: BTreeMap<NodeId, u64>,
    departed: BTreeSet<NodeId>,
    /// Keys that each node keeps for others.
    hints: BTreeMap<NodeId, u64>,
    /// What the change under way leads to, and how many ticks are left.
    leads_to: Option<(LayoutSeen, u32)>,
}

impl Quorate {
    pub(crate) fn newest(&self) -> Option<&LayoutSeen> {
        self.layouts.last()
    }

    pub(crate) fn has_left(&self, node: NodeId) -> bool {
        self.departed.contains(&node)
    }

    pub(crate) fn knows(&self, node: NodeId) -> u64 {
        self.known.get(&node).copied().unwrap_or(0)
    }

    pub(crate) fn hints_of(&self, node: NodeId) -> u64 {
        self.hints.get(&node).copied().unwrap_or(0)
    }

    pub(super) fn is_moving(&self) -> bool {
        self.newest().is_some_and(|layout| layout.change.as_ref().is_some_and(|change| !change.paused))
            || self.hints.values().any(|&hints| hints > 0)
    }

    /// The newest of the layouts that these nodes hold.
    pub(super) fn newest_told<'a>(&self, nodes: impl Iterator<Item = &'a NodeSeen>) -> Option<LayoutSeen> {
        let epoch = nodes.map(|node| node.epoch).max().filter(|&epoch| epoch > 0)?;
        self.layouts.get(usize::try_from(epoch).ok()? - 1).cloned()
    }

    pub(super) fn node_seen(&self, id: NodeId, up: &BTreeMap<NodeId, i32>) -> NodeSeen {
        let epoch = self.knows(id);
        let held = usize::try_from(epoch).ok().and_then(|epoch| self.layouts.get(epoch.checked_sub(1)?));
        let membership = match held {
            None => Membership::None,
            Some(layout) if layout.member(id).is_some() => Membership::Member,
            Some(_) => Membership::Left,
        };
        let down = held.map_or(0, |layout| layout.members.iter().filter(|m| !up.contains_key(&m.id)).count());
        let spare =
            held.and_then(LayoutSeen::default_bucket).map_or(0, |bucket| bucket.n - bucket.r.max(bucket.w));
        let change = held.and_then(|layout| layout.change.as_ref());
        NodeSeen {
            id,
            cluster: held.map(|layout| layout.cluster.clone()).unwrap_or_default(),
            epoch,
            membership,
            version: "0.1.0".into(),
            change: change.map(|change| ProgressSeen {
                began: change.began,
                pending_bytes: 7,
                lacks_owners: false,
            }),
            hints: self.hints_of(id),
            partitions_unavailable: u32::from(down > spare as usize),
            partitions_under_replicated: u32::from(down > 0),
            storage_refusal: String::new(),
        }
    }

    pub(super) fn found(&mut self, request: &v1::BootstrapRequest) -> Result<(), String> {
        let members: Vec<MemberSeen> = request.members.iter().map(member_seen).collect();
        let bucket = BucketSeen { name: DEFAULT_BUCKET.into(), n: request.n, r: request.r, w: request.w };
        let layout = LayoutSeen {
            cluster: request.cluster_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            epoch: 1,
            partitions: request.partitions,
            n: request.n,
            members,
            // All members choose.
            voters: Vec::new(),
            buckets: vec![bucket],
            change: None,
        };
        if let Some(first) = self.layouts.first() {
            return if *first == layout { Ok(()) } else { Err("another cluster was founded".into()) };
        }
        // The others learn of it from the first.
        if let Some(first) = layout.members.first() {
            self.known.insert(first.id, 1);
        }
        self.layouts.push(layout);
        Ok(())
    }

    pub(super) fn order(
        &mut self,
        expected: u64,
        order: &Order,
        up: &BTreeMap<NodeId, i32>,
        ask: &[(i32, u64)],
    ) -> Result<(), String> {
        let mut layout = self.newest().ok_or("not founded")?.clone();
        let asked = ask.iter().map(|(_, id)| *id);
        let Some(asked) = asked.into_iter().find(|id| up.contains_key(id) && self.knows(*id) == layout.epoch)
        else {
            return Err("nobody that knows the newest layout was asked".into());
        };
        if layout.epoch != expected {
            return Err("changed meanwhile".into());
        }
        let voters: Vec<u64> =
            layout.members.iter().map(|member| member.id).filter(|&id| !layout.is_lost(id)).collect();
        if voters.iter().filter(|id| up.contains_key(id)).count() * 2 <= voters.len() {
            return Err("no majority".into());
        }
        layout.epoch += 1;
        match (order, &mut layout.change) {
            (Order::Alter(_), Some(_)) => return Err("a change is under way".into()),
            (Order::Alter(alteration), None) => {
                for added in &alteration.add {
                    if self.departed.contains(&added.node_id) || !up.contains_key(&added.node_id) {
                        return Err("who is added has left, or is not there".into());
                    }
                }
                self.known.insert(asked, layout.epoch);
                self.begin(layout, alteration);
                return Ok(());
            }
            (Order::Pause(_), Some(change)) => change.paused = true,
            (Order::Resume(_), Some(change)) => change.paused = false,
            (Order::DeclareLost(lost), Some(change)) => change.lost.extend(&lost.nodes),
            _ => return Err("no such order".into()),
        }
        // Who was asked knows it first.
        self.known.insert(asked, layout.epoch);
        self.layouts.push(layout);
        Ok(())
    }

    fn begin(&mut self, mut layout: LayoutSeen, alteration: &v1::Alteration) {
        let mut after = layout.clone();
        let gone: Vec<u64> = alteration.remove.iter().chain(&alteration.lost).copied().collect();
        after.members.retain(|member| !gone.contains(&member.id));
        after.members.extend(alteration.add.iter().map(member_seen));
        after.n = alteration.n.unwrap_or(after.n);
        for sizes in &alteration.sizes {
            for bucket in after.buckets.iter_mut().filter(|bucket| {
                bucket.name == sizes.bucket || sizes.bucket.is_empty() && bucket.name == DEFAULT_BUCKET
            }) {
                bucket.n = sizes.n.unwrap_or(bucket.n);
                bucket.r = sizes.r.unwrap_or(bucket.r);
                bucket.w = sizes.w.unwrap_or(bucket.w);
            }
        }
        layout.members.extend(alteration.add.iter().map(member_seen));
        layout.change = Some(ChangeSeen {
            began: layout.epoch,
            paused: false,
            added: alteration.add.iter().map(|member| member.node_id).collect(),
            members: after.members.iter().map(|member| member.id).collect(),
            lost: alteration.lost.clone(),
            sizes: !alteration.sizes.is_empty(),
        });
        self.layouts.push(layout);
        self.leads_to = Some((after, CHANGE_TICKS));
    }
}

fn member_seen(member: &v1::Member) -> MemberSeen {
    MemberSeen { id: member.node_id, name: member.name.clone(), zone: member.zone.clone(), partitions: 1 }
}

impl World {
    pub(super) fn quorate_goes_on(&mut self) {
        let up = self.running();
        let quorate = &mut self.quorate;
        let Some(newest) = quorate.newest().cloned() else { return };
        if up.keys().any(|&id| quorate.knows(id) == newest.epoch) {
            let told = |id: u64| newest.member(id).is_some() || quorate.knows(id) > 0;
            let told: Vec<u64> = up.keys().copied().filter(|&id| told(id)).collect();
            quorate.known.extend(told.into_iter().map(|id| (id, newest.epoch)));
        }
        let down =
            newest.members.iter().any(|member| !up.contains_key(&member.id) && !newest.is_lost(member.id));
        for &id in up.keys() {
            let hints = if down && newest.member(id).is_some() { 5 } else { 0 };
            quorate.hints.insert(id, hints);
        }
        quorate.hints.retain(|id, _| up.contains_key(id));
        let Some(change) = newest.change.as_ref().filter(|change| !change.paused) else { return };
        let all_there = newest
            .members
            .iter()
            .filter(|member| !change.lost.contains(&member.id))
            .all(|member| up.contains_key(&member.id) && quorate.knows(member.id) == newest.epoch);
        let Some((after, left)) = &mut quorate.leads_to else { return };
        *left = left.saturating_sub(u32::from(all_there));
        if *left > 0 {
            return;
        }
        let mut after = after.clone();
        after.epoch = newest.epoch + 1;
        let gone = newest.members.iter().filter(|member| after.member(member.id).is_none());
        quorate.departed.extend(gone.map(|member| member.id));
        // One of those that decide it knows it first.
        if let Some(first) = after.members.iter().find(|member| up.contains_key(&member.id)) {
            quorate.known.insert(first.id, after.epoch);
        }
        quorate.layouts.push(after);
        quorate.leads_to = None;
    }
}
