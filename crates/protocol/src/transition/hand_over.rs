//! An old owner that leaves a partition makes sure that enough new owners durably hold all that it holds: what was acknowledged
//! by few, or by nobody but it, must not go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::ReadToken;
use crate::id::{NodeId, PartitionId};
use crate::layout::{Side, Stage};
use crate::message::{KeyRef, Message, Refusal, Surveyed, Tag};
use crate::node::Node;
use crate::replica::ScanFor;
use crate::store::{ScanPage, StoreError};
use crate::time::Time;
use crate::turn::Turn;

/// Partitions that are handed over at once.
const AT_ONCE: usize = 4;
/// What was refused is tried again after this time.
const RETRY: Duration = Duration::from_millis(200);
/// What has not come after this time is waited for no longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module. Of one epoch: a layout that declares a new owner lost makes all be looked at again.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    left: BTreeMap<PartitionId, Leaving>,
    done: BTreeSet<PartitionId>,
    /// Surveys and pushed records under way.
    asked: BTreeMap<Tag, PartitionId>,
    pages: BTreeMap<ReadToken, PartitionId>,
    due: Option<Time>,
}

#[derive(Debug, Default)]
struct Leaving {
    /// New owners that hold all of it.
    covered: BTreeSet<NodeId>,
    step: Step,
    timer: Time,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    Idle,
    Surveying {
        to: NodeId,
    },
    Reading {
        to: NodeId,
        leaves: BTreeSet<u16>,
        began: Time,
    },
    /// Records that are not acknowledged yet.
    Pushing {
        to: NodeId,
        leaves: BTreeSet<u16>,
        through: Option<KeyRef>,
        left: BTreeSet<Tag>,
    },
}

impl HandOver {
    pub(super) fn next_timer(&self) -> Option<Time> {
        self.due
    }

    /// The partitions that it leaves and that are not done, each with the new owners that hold all of it.
    pub(super) fn left(&self) -> impl Iterator<Item = (PartitionId, &BTreeSet<NodeId>)> {
        self.left.iter().map(|(&partition, leaving)| (partition, &leaving.covered))
    }

    /// The partitions that it leaves and that are done.
    pub(super) fn done(&self) -> impl Iterator<Item = PartitionId> {
        self.done.iter().copied()
    }

    fn set(&mut self, partition: PartitionId, step: Step, timer: Time) {
        self.asked.retain(|_, of| *of != partition);
        self.pages.retain(|_, of| *of != partition);
        if let Some(leaving) = self.left.get_mut(&partition) {
            (leaving.step, leaving.timer) = (step, timer);
        }
    }

    fn under_way(&self) -> usize {
        self.left.values().filter(|leaving| !matches!(leaving.step, Step::Idle)).count()
    }
}

impl Node {
    /// Looks what is to be handed over in the layout held.
    pub(super) fn hand_over_anew(&mut self, turn: &Turn<'_>) {
        self.transition.hand_over = HandOver::default();
        let Some(layout) = self.layout.clone().filter(|layout| layout.stage() == Some(Stage::HandOver))
        else {
            return;
        };
        let me = self.config.node;
        let leaves = |partition: &PartitionId| {
            layout.owners_of(*partition, Side::Old).contains(&me)
                && !layout.owners_of(*partition, Side::New).contains(&me)
        };
        let hand_over = &mut self.transition.hand_over;
        hand_over.left =
            layout.changing().filter(leaves).map(|partition| (partition, Leaving::default())).collect();
        hand_over.due = (!hand_over.left.is_empty()).then(|| turn.time());
    }

    /// Begins what may begin, and gives up what took too long.
    pub(super) fn wake_hand_over(&mut self, turn: &mut Turn<'_>) {
        let now = turn.time();
        if self.transition.hand_over.due.is_none_or(|due| due > now) {
            return;
        }
        let all: Vec<PartitionId> = self.transition.hand_over.left.keys().copied().collect();
        let paused =
            self.layout.as_deref().and_then(|layout| layout.change.as_deref()).is_some_and(|c| c.paused);
        for partition in all {
            if self.transition.hand_over.left.get(&partition).is_some_and(|leaving| leaving.timer <= now) {
                self.transition.hand_over.set(partition, Step::Idle, now);
                if !paused {
                    self.hand_over_next(turn, partition);
                }
            }
        }
        let hand_over = &mut self.transition.hand_over;
        hand_over.due = (!hand_over.left.is_empty()).then(|| now + RETRY);
    }

    /// Done with a partition, or on to the next new owner.
    fn hand_over_next(&mut self, turn: &mut Turn<'_>, partition: PartitionId) {
        let Some(layout) = self.layout.clone() else { return };
        let Some(needs) = layout.needs() else { return };
        let Some(leaving) = self.transition.hand_over.left.get(&partition) else { return };
        let new = layout.owners_of(partition, Side::New).iter().copied();
        let new: Vec<NodeId> = new.filter(|&owner| !layout.is_lost(owner)).collect();
        let covered = new.iter().filter(|owner| leaving.covered.contains(owner)).count();
        if covered >= needs.cover.min(new.len()) {
            let hand_over = &mut self.transition.hand_over;
            hand_over.left.remove(&partition);
            hand_over.done.insert(partition);
            // There is room for another one.
            hand_over.due = (!hand_over.left.is_empty()).then(|| turn.time());
            return;
        }
        // A record that is lost here cannot be handed over: it is healed first.
        if self.holes.any_in(partition) || self.transition.hand_over.under_way() >= AT_ONCE {
            return;
        }
        let Some(root) = self.trees.complete(partition).map(crate::merkle::Tree::root) else { return };
        let mut open = new.into_iter().filter(|owner| !leaving.covered.contains(owner));
        let Some(to) = open.find(|&owner| self.links.is_live(owner)) else { return };
        let (tag, epoch) = (self.coordinator.new_tag(), self.epoch());
        self.transition.hand_over.set(partition, Step::Surveying { to }, turn.time() + PATIENCE);
        self.transition.hand_over.asked.insert(tag, partition);
        turn.send(to, Message::Survey { tag, epoch, partition, root: Some(root), durable: true });
    }

    /// A new owner has shown what it durably holds.
    pub(super) fn hand_over_surveyed(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        result: Result<Surveyed, Refusal>,
    ) {
        let Some(&partition) = self.transition.hand_over.asked.get(&tag) else { return };
        let Some(leaving) = self.transition.hand_over.left.get(&partition) else { return };
        if !matches!(leaving.step, Step::Surveying { to } if to == from) {
            return;
        }
        let leaves = match (result, self.trees.complete(partition)) {
            (Ok(Surveyed::Same), _) => Vec::new(),
            (Ok(Surveyed::Leaves(theirs)), Some(tree)) => self.differing(tree, &theirs),
            (Ok(Surveyed::Leaves(_) | Surveyed::Unknown) | Err(_), _) => {
                self.transition.hand_over.set(partition, Step::Idle, turn.time() + RETRY);
                return;
            }
        };
        if leaves.is_empty() {
            self.covered(turn, partition, from);
        } else {
            self.read_to_push(turn, partition, from, leaves.into_iter().collect(), None);
        }
    }

    fn covered(&mut self, turn: &mut Turn<'_>, partition: PartitionId, by: NodeId) {
        self.transition.hand_over.set(partition, Step::Idle, turn.time());
        if let Some(leaving) = self.transition.hand_over.left.get_mut(&partition) {
            leaving.covered.insert(by);
        }
        self.hand_over_next(turn, partition);
    }

    fn read_to_push(
        &mut self,
        turn: &mut Turn<'_>,
        partition: PartitionId,
        to: NodeId,
        leaves: BTreeSet<u16>,
        after: Option<&KeyRef>,
    ) {
        let token = self.scans.begin(ScanFor::HandOver, None);
        let step = Step::Reading { to, leaves, began: turn.now.link };
        self.transition.hand_over.set(partition, step, turn.time() + PATIENCE);
        self.transition.hand_over.pages.insert(token, partition);
        self.scan_partition(turn, token, partition, after);
    }

    /// A page of what is to be handed over is here.
    pub(crate) fn hand_over_page(
        &mut self,
        turn: &mut Turn<'_>,
        token: ReadToken,
        result: Result<ScanPage, StoreError>,
    ) {
        let Some(partition) = self.transition.hand_over.pages.remove(&token) else { return };
        let Some(leaving) = self.transition.hand_over.left.get_mut(&partition) else { return };
        let Step::Reading { to, leaves, began } = std::mem::take(&mut leaving.step) else { return };
        let page = self.records_in(turn, &leaves, result);
        let echo = self.echoes.known_at(to, began).filter(|_| self.links.is_live(to));
        let (Ok((records, through)), Some(echo)) = (page, echo) else {
            self.transition.hand_over.set(partition, Step::Idle, turn.time() + RETRY);
            return;
        };
        let epoch = self.epoch();
        let mut left = BTreeSet::new();
        for (key, container) in records {
            let tag = self.coordinator.new_tag();
            left.insert(tag);
            turn.send(to, Message::Replicate { tag: Some(tag), epoch, key, container, echo });
        }
        let tags: Vec<Tag> = left.iter().copied().collect();
        let step = Step::Pushing { to, leaves, through, left };
        self.transition.hand_over.set(partition, step, turn.time() + PATIENCE);
        self.transition.hand_over.asked.extend(tags.into_iter().map(|tag| (tag, partition)));
        self.push_on(turn, partition);
    }

    /// A new owner has a record durably, or has refused it; false: it was not this that was asked.
    pub(crate) fn hand_over_answered(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        done: bool,
    ) -> bool {
        let Some(&partition) = self.transition.hand_over.asked.get(&tag) else { return false };
        let Some(leaving) = self.transition.hand_over.left.get_mut(&partition) else { return true };
        let Step::Pushing { to, left, .. } = &mut leaving.step else { return true };
        if *to != from {
            return true;
        }
        if done {
            left.remove(&tag);
            self.transition.hand_over.asked.remove(&tag);
            self.push_on(turn, partition);
        } else {
            self.transition.hand_over.set(partition, Step::Idle, turn.time() + RETRY);
        }
        true
    }

    /// With a page acknowledged: the next one, or the end.
    fn push_on(&mut self, turn: &mut Turn<'_>, partition: PartitionId) {
        let Some(leaving) = self.transition.hand_over.left.get_mut(&partition) else { return };
        let Step::Pushing { to, leaves, through, left } = &mut leaving.step else { return };
        if !left.is_empty() {
            return;
        }
        let (to, leaves, through) = (*to, std::mem::take(leaves), through.take());
        match through {
            Some(through) => self.read_to_push(turn, partition, to, leaves, Some(&through)),
            None => self.covered(turn, partition, to),
        }
    }
}
