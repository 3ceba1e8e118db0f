//! A new owner merges what enough old owners hold, each looked at after it had adopted the change: a write of before that is
//! still acknowledged has passed one of them. Then it counts where reads move to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Mark;
use crate::anti_entropy::Budget;
use crate::echo::LinkTime;
use crate::id::{Epoch, NodeId, PartitionId};
use crate::layout::Side;
use crate::message::{KeyRef, Message, PulledPage, Refusal, Surveyed, Tag};
use crate::node::Node;
use crate::time::Time;
use crate::turn::Turn;
use crate::version::EncodedContainer;
use crate::working_set::{Held, Task};

/// Partitions that are caught up with at once.
const AT_ONCE: usize = 4;
/// What was refused is asked again after this time.
const RETRY: Duration = Duration::from_millis(200);
/// A reply that has not come after this time is waited for no longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// The change that all this is about.
    change: Epoch,
    /// Partitions that are not caught up with.
    left: BTreeMap<PartitionId, Replica>,
    /// The requests and pages under way.
    asked: BTreeMap<Tag, PartitionId>,
    budget: Budget,
    pub(super) pulled_bytes: u64,
    due: Option<Time>,
}

#[derive(Debug, Default)]
struct Replica {
    /// Old owners all of whose data is merged.
    heard: BTreeSet<NodeId>,
    step: Step,
    /// When to begin, or to give up what is under way.
    timer: Time,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    Idle,
    Surveying {
        from: NodeId,
        tag: Tag,
    },
    Pulling {
        from: NodeId,
        tag: Tag,
        leaves: Vec<u16>,
        after: Option<KeyRef>,
    },
    /// Records of a page that are not merged yet.
    Merging {
        from: NodeId,
        tag: Tag,
        leaves: Vec<u16>,
        after: Option<KeyRef>,
        through: Option<KeyRef>,
        left: usize,
        failed: bool,
    },
}

impl Step {
    fn tag(&self) -> Option<Tag> {
        match self {
            Self::Idle => None,
            Self::Surveying { tag, .. } | Self::Pulling { tag, .. } | Self::Merging { tag, .. } => Some(*tag),
        }
    }
}

impl CatchUp {
    pub(super) fn new(bytes_per_s: u64) -> Self {
        Self {
            change: Epoch(0),
            left: BTreeMap::new(),
            asked: BTreeMap::new(),
            budget: Budget::new(bytes_per_s),
            pulled_bytes: 0,
            due: None,
        }
    }

    pub(super) fn next_timer(&self) -> Option<Time> {
        self.due
    }

    /// The partitions that are not caught up with, each with the old owners that all is merged of.
    pub(super) fn left(&self) -> impl Iterator<Item = (PartitionId, &BTreeSet<NodeId>)> {
        self.left.iter().map(|(&partition, replica)| (partition, &replica.heard))
    }

    /// Puts a partition into another step.
    fn set(&mut self, partition: PartitionId, step: Step, timer: Time) {
        let Some(replica) = self.left.get_mut(&partition) else { return };
        if let Some(tag) = replica.step.tag() {
            self.asked.remove(&tag);
        }
        if let Some(tag) = step.tag() {
            self.asked.insert(tag, partition);
        }
        (replica.step, replica.timer) = (step, timer);
    }

    fn under_way(&self) -> usize {
        self.left.values().filter(|replica| !matches!(replica.step, Step::Idle)).count()
    }
}

impl Node {
    /// Looks what is to be caught up with in the layout held.
    pub(super) fn catch_up_anew(&mut self, turn: &Turn<'_>) {
        let layout = self.layout.clone();
        let change = layout.as_deref().and_then(|layout| layout.change.as_deref());
        let mut before = std::mem::take(&mut self.transition.catch_up.left);
        self.transition.catch_up.asked.clear();
        self.transition.catch_up.due = None;
        let (Some(layout), Some(change)) = (layout.as_deref(), change) else { return };
        if self.transition.catch_up.change != change.began {
            before.clear();
            self.transition.catch_up.pulled_bytes = 0;
            self.transition.catch_up.change = change.began;
        }
        let me = self.config.node;
        for partition in layout.changing() {
            let done = self.transition.mark(partition, change.began).is_some_and(|(mark, _)| mark.caught_up);
            if layout.owners_of(partition, Side::New).contains(&me) && !done {
                let heard = before.remove(&partition).map(|replica| replica.heard).unwrap_or_default();
                let replica = Replica { heard, ..Replica::default() };
                self.transition.catch_up.left.insert(partition, replica);
            }
        }
        self.catch_up_soon(turn);
    }

    /// There is something to do, perhaps.
    pub(super) fn catch_up_soon(&mut self, turn: &Turn<'_>) {
        let catch_up = &mut self.transition.catch_up;
        catch_up.due = (!catch_up.left.is_empty()).then(|| turn.time());
    }

    /// Begins what may begin, and gives up what took too long.
    pub(super) fn wake_catch_up(&mut self, turn: &mut Turn<'_>) {
        let now = turn.time();
        if self.transition.catch_up.due.is_none_or(|due| due > now) {
            return;
        }
        self.transition.catch_up.budget.refill(now);
        let paused =
            self.layout.as_deref().and_then(|layout| layout.change.as_deref()).is_some_and(|c| c.paused);
        let all: Vec<PartitionId> = self.transition.catch_up.left.keys().copied().collect();
        for partition in all {
            if self.transition.catch_up.left.get(&partition).is_some_and(|replica| replica.timer <= now) {
                // What a pause has held up, or no reply came for.
                self.transition.catch_up.set(partition, Step::Idle, now);
                if !paused && self.writable {
                    self.catch_up_with(turn, partition);
                }
            }
        }
        let catch_up = &mut self.transition.catch_up;
        catch_up.due = (!catch_up.left.is_empty()).then(|| now + RETRY);
    }

    /// Done with a partition, or on to the next old owner.
    fn catch_up_with(&mut self, turn: &mut Turn<'_>, partition: PartitionId) {
        let Some(layout) = self.layout.clone() else { return };
        let (Some(change), Some(needs)) = (layout.change_of(partition), layout.needs()) else { return };
        // A kept owner's tree may be still being built; what was moved before a restart is in it then.
        let tree = self.trees.complete(partition).map(crate::merkle::Tree::root);
        let (Some(root), false) =
            (tree, self.transition.is_wiping(partition) || self.holes.any_in(partition))
        else {
            return;
        };
        let Some(replica) = self.transition.catch_up.left.get(&partition) else { return };
        let me = self.config.node;
        let old: Vec<NodeId> = {
            let old = layout.owners_of(partition, Side::Old).iter().copied();
            old.filter(|&owner| !layout.is_lost(owner)).collect()
        };
        let gathered = old.iter().filter(|&&owner| owner == me || replica.heard.contains(&owner)).count();
        let enough =
            if change.accepts_loss { needs.gathered_from.min(old.len()) } else { needs.gathered_from };
        if gathered >= enough {
            self.transition.catch_up.left.remove(&partition);
            self.set_mark(turn, partition, Mark { change: change.began, caught_up: true });
            return;
        }
        let catch_up = &self.transition.catch_up;
        if catch_up.under_way() >= AT_ONCE || catch_up.budget.is_spent() {
            return;
        }
        let fresh = old
            .into_iter()
            .filter(|&owner| owner != me && !replica.heard.contains(&owner) && self.links.is_live(owner));
        let Some(from) = fresh.min_by_key(|&owner| self.links.distance_us(owner)) else { return };
        let (tag, epoch) = (self.coordinator.new_tag(), self.epoch());
        self.transition.catch_up.set(partition, Step::Surveying { from, tag }, turn.time() + PATIENCE);
        let (root, durable) = (Some(root), false);
        turn.send(from, Message::Survey { tag, epoch, partition, root, durable });
    }

    /// An old owner has shown its tree.
    pub(super) fn catch_up_surveyed(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        result: Result<Surveyed, Refusal>,
    ) {
        let Some(&partition) = self.transition.catch_up.asked.get(&tag) else { return };
        let Some(replica) = self.transition.catch_up.left.get(&partition) else { return };
        if !matches!(replica.step, Step::Surveying { from: asked, .. } if asked == from) {
            return;
        }
        let leaves = match (result, self.trees.complete(partition)) {
            (Ok(Surveyed::Same), _) => None,
            (Ok(Surveyed::Leaves(theirs)), Some(tree)) => {
                Some(self.differing(tree, &theirs)).filter(|leaves| !leaves.is_empty())
            }
            (Ok(Surveyed::Leaves(_) | Surveyed::Unknown), _) => Some(Vec::new()),
            (Err(_), _) => {
                self.transition.catch_up.set(partition, Step::Idle, turn.time() + RETRY);
                return;
            }
        };
        match leaves {
            None => self.catch_up_heard(turn, partition, from),
            Some(leaves) => self.pull(turn, partition, from, leaves, None),
        }
    }

    /// All that an old owner held is merged.
    fn catch_up_heard(&mut self, turn: &mut Turn<'_>, partition: PartitionId, from: NodeId) {
        self.transition.catch_up.set(partition, Step::Idle, turn.time());
        if let Some(replica) = self.transition.catch_up.left.get_mut(&partition) {
            replica.heard.insert(from);
        }
        self.catch_up_soon(turn);
        self.wake_catch_up(turn);
    }

    /// Asks for a page.
    fn pull(
        &mut self,
        turn: &mut Turn<'_>,
        partition: PartitionId,
        from: NodeId,
        leaves: Vec<u16>,
        after: Option<KeyRef>,
    ) {
        let (tag, epoch) = (self.coordinator.new_tag(), self.epoch());
        let step = Step::Pulling { from, tag, leaves: leaves.clone(), after: after.clone() };
        self.transition.catch_up.set(partition, step, turn.time() + PATIENCE);
        turn.send(from, Message::Pull { tag, epoch, partition, leaves, after });
    }

    /// A page is here: all of it is merged before the next is asked for.
    pub(crate) fn on_pull_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<PulledPage, Refusal>,
    ) {
        // Of another epoch nothing is taken; it is asked for again soon.
        let result = if epoch == self.epoch() { result } else { Err(Refusal::Epoch(epoch)) };
        let Some(&partition) = self.transition.catch_up.asked.get(&tag) else { return };
        let Some(replica) = self.transition.catch_up.left.get_mut(&partition) else { return };
        let Step::Pulling { from: asked, leaves, after, .. } = &mut replica.step else { return };
        if *asked != from {
            return;
        }
        let (leaves, after) = (std::mem::take(leaves), after.take());
        let Ok(PulledPage { records, through, echo }) = result else {
            self.transition.catch_up.set(partition, Step::Idle, turn.time() + RETRY);
            return;
        };
        let bytes: usize = records.iter().map(|(key, container)| key.key.len() + container.0.len()).sum();
        self.transition.catch_up.pulled_bytes += bytes as u64;
        self.transition.catch_up.budget.spend(bytes);
        self.stats.transferred_keys += records.len() as u64;
        self.stats.transferred_bytes += bytes as u64;
        let tag = self.coordinator.new_tag();
        let left = records.len() + 1;
        let step = Step::Merging { from, tag, leaves, after, through, left, failed: false };
        self.transition.catch_up.set(partition, step, turn.time() + PATIENCE);
        for (key, container) in records {
            // Only what was asked for.
            if key.partition == partition {
                self.with_key(turn, &key, Task::Pulled { tag, container, echo });
            } else {
                self.pulled(turn, tag, false);
            }
        }
        self.pulled(turn, tag, true);
    }

    /// The container of a pulled key is here.
    pub(crate) fn pulled_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        tag: Tag,
        incoming: EncodedContainer,
        echo: LinkTime,
    ) {
        let merged = self.merge_in(turn, key, held, incoming, echo).is_ok();
        self.pulled(turn, tag, merged);
    }

    /// One record of a page is merged, or could not be.
    pub(crate) fn pulled(&mut self, turn: &mut Turn<'_>, tag: Tag, merged: bool) {
        let Some(&partition) = self.transition.catch_up.asked.get(&tag) else { return };
        let Some(replica) = self.transition.catch_up.left.get_mut(&partition) else { return };
        let Step::Merging { from, leaves, after, through, left, failed, .. } = &mut replica.step else {
            return;
        };
        *left -= 1;
        *failed |= !merged;
        if *left > 0 {
            return;
        }
        let (from, leaves) = (*from, std::mem::take(leaves));
        let (after, through, failed) = (after.take(), through.take(), *failed);
        match (failed, through) {
            (true, _) => {
                drop((leaves, after));
                self.transition.catch_up.set(partition, Step::Idle, turn.time() + RETRY);
            }
            (false, None) => self.catch_up_heard(turn, partition, from),
            // The leaves that are merged are found equal when it goes on.
            (false, Some(_)) if self.transition.catch_up.budget.is_spent() => {
                self.transition.catch_up.set(partition, Step::Idle, turn.time() + RETRY);
            }
            (false, through) => self.pull(turn, partition, from, leaves, through),
        }
    }
}
