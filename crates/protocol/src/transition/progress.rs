//! How far this node is with a change of the layout, and what the change waits for: for people. Nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::drive::enough_caught_up;
use crate::id::{Epoch, NodeId, PartitionId};
use crate::layout::{Layout, Side, Stage};
use crate::message::{Message, Report};
use crate::node::Node;
use crate::time::Time;
use crate::turn::Turn;

/// Owners that have not said how much there is of a partition are asked again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How far a node is with the change under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The epoch that began the change.
    pub began: Epoch,
    /// How far the change is.
    pub stage: Stage,
    /// Whether nothing is moved until somebody resumes it.
    pub paused: bool,
    /// Partitions of the change that the node owns afterwards.
    pub gathers: u32,
    /// Those of them of which it holds all that it must.
    pub caught_up: u32,
    /// Partitions that it leaves, once reads have moved.
    pub leaves: u32,
    /// Those of them all of which is at enough new owners.
    pub handed_over: u32,
    /// Bytes that it has taken, in this life.
    pub taken_bytes: u64,
    /// Bytes that it has still to take, about: what it holds less of a partition than the owner that holds most.
    pub pending_bytes: u64,
    /// Partitions of which nobody has said yet how much there is; these are not among the bytes that it has to take.
    pub unmeasured: u32,
    /// Bytes that it takes in a second now.
    pub bytes_per_s: u64,
    /// Whether it is this node that proposes the next stage.
    pub drives: bool,
    /// What is to happen before the change goes on: what this node waits for, and when it proposes the next stage, what all do.
    pub waits: Vec<Wait>,
}

/// Something that a change waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// That somebody resumes it.
    Resume,
    /// That these nodes can be reached: the one that waits has to gather from them, or to hand over to them.
    Reach {
        /// Enough of these.
        nodes: Vec<NodeId>,
        /// Of so many partitions.
        partitions: u32,
    },
    /// That a new owner catches up.
    CatchUp {
        /// Which node.
        node: NodeId,
        /// With so many partitions.
        partitions: u32,
    },
    /// That an owner which leaves hands over what it holds.
    HandOver {
        /// Which node.
        node: NodeId,
        /// So many partitions.
        partitions: u32,
    },
    /// That an old owner says that it knows of this stage.
    Report {
        /// Which node.
        node: NodeId,
    },
    /// That a member which leaves brings what it keeps for others.
    Deliver {
        /// Which node.
        node: NodeId,
    },
    /// For the votes of a majority: these have not answered.
    Votes {
        /// Which nodes.
        nodes: Vec<NodeId>,
    },
}

/// How much there is to take, and how fast this goes.
#[derive(Debug, Default)]
pub(super) struct Measures {
    /// The change that all this is about.
    change: Epoch,
    /// Of partitions that this node has to catch up with: the bytes that the owner holds that holds most.
    sizes: BTreeMap<PartitionId, u64>,
    ask: Time,
    /// When it was looked at last, and what had been taken then.
    taken: Option<(Time, u64)>,
    bytes_per_s: u64,
}

impl Measures {
    /// The same for as long as it is the same change.
    pub(super) fn of(self, change: Epoch) -> Self {
        if self.change == change { self } else { Self { change, ..Self::default() } }
    }

    fn taken(&mut self, now: Time, bytes: u64) {
        if let Some((then, before)) = self.taken {
            let micros = u64::try_from(now.since(then).as_micros()).unwrap_or(u64::MAX).max(1);
            let rate = bytes.saturating_sub(before).saturating_mul(1_000_000) / micros;
            self.bytes_per_s = (2 * self.bytes_per_s.min(u64::MAX / 4) + rate) / 3;
        }
        self.taken = Some((now, bytes));
    }
}

impl Node {
    /// The bytes that this node holds of each partition whose tree is complete.
    pub(crate) fn partition_sizes(&self) -> Vec<(PartitionId, u64)> {
        let complete = self.trees.iter().filter_map(|(partition, tree)| Some((partition, tree?)));
        complete.map(|(partition, tree)| (partition, tree.bytes())).collect()
    }

    /// Looks how fast this node takes what it has to, and asks the old owners how much there is.
    pub(super) fn measure(&mut self, turn: &mut Turn<'_>, layout: &Layout) {
        let now = turn.time();
        let (taken, measures) =
            (self.transition.catch_up.pulled_bytes, &mut self.transition.driving.measures);
        measures.taken(now, taken);
        if measures.ask > now {
            return;
        }
        measures.ask = now + ASK_AGAIN;
        let unmeasured = self.transition.catch_up.left().map(|(partition, _)| partition);
        let unmeasured = unmeasured.filter(|partition| !measures.sizes.contains_key(partition));
        let owners: BTreeSet<NodeId> =
            unmeasured.flat_map(|partition| layout.owners_of(partition, Side::Old)).copied().collect();
        for owner in owners {
            if owner != self.config.node && self.links.is_live(owner) {
                turn.send(owner, Message::ReportAsk { epoch: layout.epoch, sizes: true });
            }
        }
    }

    /// A member has said how much it holds.
    pub(super) fn measured(&mut self, layout: &Layout, from: NodeId, sizes: &[(PartitionId, u64)]) {
        let transition = &mut self.transition;
        let left: BTreeSet<PartitionId> =
            transition.catch_up.left().map(|(partition, _)| partition).collect();
        for (partition, bytes) in sizes {
            if left.contains(partition) && layout.owners_of(*partition, Side::Old).contains(&from) {
                let known = transition.driving.measures.sizes.entry(*partition).or_default();
                *known = (*known).max(*bytes);
            }
        }
    }

    /// How far this node is with the change under way, if one is.
    pub fn progress(&self) -> Option<Progress> {
        let layout = self.layout.as_deref()?;
        let change = layout.change.as_deref()?;
        let me = self.config.node;
        let (mut gathers, mut leaves) = (0, 0);
        for partition in layout.changing() {
            let is_new = layout.owners_of(partition, Side::New).contains(&me);
            gathers += u32::from(is_new);
            leaves += u32::from(!is_new && layout.owners_of(partition, Side::Old).contains(&me));
        }
        let transition = &self.transition;
        let measures = &transition.driving.measures;
        let (mut pending_bytes, mut unmeasured, mut open) = (0, 0, 0);
        for (partition, _) in transition.catch_up.left() {
            open += 1;
            let holds = self.trees.complete(partition).map(crate::merkle::Tree::bytes);
            let is_kept = layout.owners_of(partition, Side::Old).contains(&me);
            match (measures.sizes.get(&partition), holds) {
                (None, _) => unmeasured += 1,
                (Some(size), Some(holds)) => pending_bytes += size.saturating_sub(holds),
                // Its tree is being built, and it has about all of it.
                (Some(_), None) if is_kept => {}
                (Some(size), None) => pending_bytes += size,
            }
        }
        let drives = self.drives(layout);
        Some(Progress {
            began: change.began,
            stage: change.stage,
            paused: change.paused,
            gathers,
            caught_up: gathers.saturating_sub(open),
            leaves,
            handed_over: count(transition.hand_over.done()),
            taken_bytes: transition.catch_up.pulled_bytes,
            pending_bytes,
            unmeasured,
            bytes_per_s: measures.bytes_per_s,
            drives,
            waits: self.waits(layout, drives),
        })
    }

    fn waits(&self, layout: &Layout, drives: bool) -> Vec<Wait> {
        let mut waits = Vec::new();
        let paused = layout.change.as_deref().is_some_and(|change| change.paused);
        if paused {
            waits.push(Wait::Resume);
        }
        waits.extend(self.waits_to_reach(layout));
        if drives {
            let reports = &self.transition.driving.reports;
            waits.extend(match layout.stage() {
                None => Vec::new(),
                Some(Stage::Gather) => gather_waits(layout, reports),
                Some(Stage::HandOver) => hand_over_waits(layout, reports),
            });
        }
        let nodes = self.proposals.silent(&layout.voters);
        if !nodes.is_empty() {
            waits.push(Wait::Votes { nodes });
        }
        waits
    }

    /// Nodes without which this one cannot finish its part.
    fn waits_to_reach(&self, layout: &Layout) -> Option<Wait> {
        let needs = layout.needs()?;
        let accepts_loss = layout.change.as_deref().is_some_and(|change| change.accepts_loss);
        let (mut nodes, mut partitions) = (BTreeSet::new(), 0);
        let mut look =
            |side: Side, partition: PartitionId, has: &BTreeSet<NodeId>, needed: usize, all: bool| {
                let owners =
                    layout.owners_of(partition, side).iter().copied().filter(|&owner| !layout.is_lost(owner));
                let owners: Vec<NodeId> = owners.collect();
                let missing = |owner: &NodeId| {
                    *owner != self.config.node && !has.contains(owner) && !self.links.is_live(*owner)
                };
                let away: Vec<NodeId> = owners.iter().copied().filter(missing).collect();
                let needed = if all { needed.min(owners.len()) } else { needed };
                if owners.len() - away.len() < needed {
                    partitions += 1;
                    nodes.extend(away);
                }
            };
        for (partition, heard) in self.transition.catch_up.left() {
            look(Side::Old, partition, heard, needs.gathered_from, accepts_loss);
        }
        for (partition, covered) in self.transition.hand_over.left() {
            look(Side::New, partition, covered, needs.cover, true);
        }
        (partitions > 0).then(|| Wait::Reach { nodes: nodes.into_iter().collect(), partitions })
    }
}

fn count<T>(all: impl Iterator<Item = T>) -> u32 {
    u32::try_from(all.count()).unwrap_or(u32::MAX)
}

/// What the first stage waits for.
fn gather_waits(layout: &Layout, reports: &BTreeMap<NodeId, Report>) -> Vec<Wait> {
    let Some(needs) = layout.needs() else { return Vec::new() };
    let mut behind: BTreeMap<NodeId, u32> = BTreeMap::new();
    for partition in layout.changing() {
        if enough_caught_up(layout, &needs, reports, partition) {
            continue;
        }
        for &owner in layout.owners_of(partition, Side::New) {
            let caught_up = |report: &Report| report.caught_up.binary_search(&partition).is_ok();
            if !layout.is_lost(owner) && !reports.get(&owner).is_some_and(caught_up) {
                *behind.entry(owner).or_default() += 1;
            }
        }
    }
    behind.into_iter().map(|(node, partitions)| Wait::CatchUp { node, partitions }).collect()
}

/// What the second stage waits for.
fn hand_over_waits(layout: &Layout, reports: &BTreeMap<NodeId, Report>) -> Vec<Wait> {
    let Some(needs) = layout.needs() else { return Vec::new() };
    let (mut silent, mut open): (BTreeSet<NodeId>, BTreeMap<NodeId, u32>) = Default::default();
    for partition in layout.changing() {
        let new = layout.owners_of(partition, Side::New);
        let old = layout.owners_of(partition, Side::Old).iter().copied();
        let old: Vec<NodeId> = old.filter(|&owner| !layout.is_lost(owner)).collect();
        let unheard = || old.iter().copied().filter(|owner| !reports.contains_key(owner));
        if old.len() - unheard().count() < needs.know.min(old.len()) {
            silent.extend(unheard());
        }
        for &owner in old.iter().filter(|owner| !new.contains(owner)) {
            let handed_over = |report: &Report| report.handed_over.binary_search(&partition).is_ok();
            if !reports.get(&owner).is_some_and(handed_over) {
                *open.entry(owner).or_default() += 1;
            }
        }
    }
    let keeps = |node: &NodeId| !reports.get(node).is_some_and(|report| report.keeps_nothing);
    let leaving = layout.leaving().filter(|&node| !layout.is_lost(node)).filter(keeps);
    let handing = open.into_iter().map(|(node, partitions)| Wait::HandOver { node, partitions });
    handing
        .chain(leaving.map(|node| Wait::Deliver { node }))
        .chain(silent.into_iter().map(|node| Wait::Report { node }))
        .collect()
}
