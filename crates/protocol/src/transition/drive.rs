//! The next stage of a change is proposed by a member that has heard from enough others, in this epoch, that all is done that it
//! needs. Any member may; the first of those that are alive does, so that it is not done by all.

use std::collections::BTreeMap;
use std::time::Duration;

use super::progress::Measures;
use crate::id::{Epoch, NodeId, PartitionId};
use crate::layout::{Layout, Needs, Side, Stage};
use crate::message::{Message, Report};
use crate::node::Node;
use crate::time::Time;
use crate::turn::Turn;

/// How often the members are asked.
const STEP: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Driving {
    /// What members have said in the present epoch.
    pub(super) reports: BTreeMap<NodeId, Report>,
    due: Option<Time>,
    /// How much this node has to take, and how fast it does.
    pub(super) measures: Measures,
}

impl Driving {
    pub(super) fn next_timer(&self) -> Option<Time> {
        self.due
    }
}

impl Node {
    /// Another layout is held: what was said before counts no more.
    pub(super) fn drive_anew(&mut self, turn: &Turn<'_>) {
        let changing = self.layout.as_ref().is_some_and(|layout| !layout.is_stable());
        let due = changing.then(|| turn.time() + STEP);
        let began = self.layout.as_deref().and_then(|layout| Some(layout.change.as_deref()?.began));
        let measures = std::mem::take(&mut self.transition.driving.measures).of(began.unwrap_or_default());
        self.transition.driving = Driving { reports: BTreeMap::new(), due, measures };
    }

    /// Asks the others, and proposes the next stage when it is time.
    pub(super) fn wake_driving(&mut self, turn: &mut Turn<'_>) {
        if self.transition.driving.due.is_none_or(|due| due > turn.time()) {
            return;
        }
        self.transition.driving.due = Some(turn.time() + STEP);
        let Some(layout) = self.layout.clone() else { return };
        self.measure(turn, &layout);
        if !self.drives(&layout) {
            return;
        }
        let me = self.config.node;
        let own = self.report(false);
        self.transition.driving.reports.insert(me, own);
        let epoch = layout.epoch;
        for member in &layout.members {
            if member.node != me && self.links.is_live(member.node) {
                turn.send(member.node, Message::ReportAsk { epoch, sizes: false });
            }
        }
        self.propose_next(turn, &layout);
    }

    /// Whether it is this node's turn to see to the change.
    pub(super) fn drives(&self, layout: &Layout) -> bool {
        let me = self.config.node;
        let alive = |node: &NodeId| *node == me || (self.links.is_live(*node) && !layout.is_lost(*node));
        layout.members.iter().map(|member| member.node).find(alive) == Some(me)
    }

    /// A member wants to know how far this one is.
    pub(crate) fn on_report_ask(&mut self, turn: &mut Turn<'_>, from: NodeId, epoch: Epoch, sizes: bool) {
        if self.fence_member(turn, from, epoch).is_ok() {
            let report = self.report(sizes);
            turn.send(from, Message::ReportReply { epoch, report });
        }
    }

    /// A member has said how far it is.
    pub(crate) fn on_report(&mut self, turn: &mut Turn<'_>, from: NodeId, epoch: Epoch, report: Report) {
        let Some(layout) = self.layout.clone().filter(|layout| layout.epoch == epoch) else { return };
        if let Some(sizes) = &report.sizes {
            self.preview_heard(turn, from, sizes);
            self.measured(&layout, from, sizes);
        }
        if layout.is_stable() {
            return;
        }
        self.transition.driving.reports.insert(from, report);
        if self.drives(&layout) {
            self.propose_next(turn, &layout);
        }
    }

    /// How far this node is.
    pub(crate) fn report(&self, sizes: bool) -> Report {
        let Some(layout) = self.layout.as_deref() else { return Report::default() };
        Report {
            caught_up: layout.changing().filter(|&partition| self.has_caught_up(partition)).collect(),
            handed_over: self.transition.hand_over.done().collect(),
            keeps_nothing: self.keeps_no_data(),
            pulled_bytes: self.transition.catch_up.pulled_bytes,
            sizes: sizes.then(|| self.partition_sizes()),
        }
    }

    /// Proposes the next stage, if all has been done.
    fn propose_next(&mut self, turn: &mut Turn<'_>, layout: &Layout) {
        let paused = layout.change.as_deref().is_none_or(|change| change.paused);
        if paused || self.proposals.is_busy() || !is_done(layout, &self.transition.driving.reports) {
            return;
        }
        if let Some(next) = layout.advanced() {
            self.propose(turn, None, Some(next));
        }
    }
}

/// Whether the present stage has done what the next needs.
fn is_done(layout: &Layout, reports: &BTreeMap<NodeId, Report>) -> bool {
    let Some(needs) = layout.needs() else { return false };
    match layout.stage() {
        None => false,
        Some(Stage::Gather) => {
            layout.changing().all(|partition| enough_caught_up(layout, &needs, reports, partition))
        }
        Some(Stage::HandOver) => {
            let all_left = layout.leaving().all(|node| {
                layout.is_lost(node) || reports.get(&node).is_some_and(|report| report.keeps_nothing)
            });
            all_left
                && layout.changing().all(|partition| old_lists_can_go(layout, &needs, reports, partition))
        }
    }
}

/// Every added owner, and enough new owners in all, have caught up.
pub(super) fn enough_caught_up(
    layout: &Layout,
    needs: &Needs,
    reports: &BTreeMap<NodeId, Report>,
    partition: PartitionId,
) -> bool {
    let caught_up = |node: &NodeId| {
        reports.get(node).is_some_and(|report| report.caught_up.binary_search(&partition).is_ok())
            && !layout.is_lost(*node)
    };
    let (old, new) = (layout.owners_of(partition, Side::Old), layout.owners_of(partition, Side::New));
    new.iter().filter(|node| !old.contains(node)).all(caught_up)
        && new.iter().filter(|node| caught_up(node)).count() >= needs.caught_up
}

/// Enough old owners know that reads have moved, and those that leave have handed over what they hold.
fn old_lists_can_go(
    layout: &Layout,
    needs: &Needs,
    reports: &BTreeMap<NodeId, Report>,
    partition: PartitionId,
) -> bool {
    let (old, new) = (layout.owners_of(partition, Side::Old), layout.owners_of(partition, Side::New));
    let alive: Vec<NodeId> = old.iter().copied().filter(|&node| !layout.is_lost(node)).collect();
    let know = alive.iter().filter(|node| reports.contains_key(node)).count();
    let handed_over = |node: &&NodeId| {
        reports.get(*node).is_some_and(|report| report.handed_over.binary_search(&partition).is_ok())
    };
    know >= needs.know.min(alive.len())
        && alive.iter().filter(|node| !new.contains(node)).all(|node| handed_over(&node))
}
