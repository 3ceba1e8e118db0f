//! Operators change the layout while everything goes wrong; disks are lost for good; and in the end every change ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_protocol::effect::ChangeError;
use quorate_protocol::id::{Epoch, NodeId};
use quorate_protocol::identity::{self, Betrayal};
use quorate_protocol::keys;
use quorate_protocol::layout::{
    Alteration, BucketSizes, Layout, Member, MemberSettings, Order, QuorumSizes, Stage,
};
use quorate_protocol::operation::{OperationResult, Outcome};
use quorate_protocol::store::{Store as _, StoreOp};
use quorate_protocol::{Event, RequestId};

use super::World;
use super::queue::Happening;
use crate::checks::{self, Check, violation};
use crate::describe;
use crate::disk::SimDisk;
use crate::faults::Fault;
use crate::moves::{MOVES, Move, MovesPlan};

/// Orders have ids from here on.
const ORDER_REQUEST: u64 = 1 << 61;
/// In peace a change ends within this time: members are asked every half second, and what was refused is asked again.
const CHANGE_US: u64 = 120_000_000;
/// More than any change needs.
const ROUNDS_MAX: u32 = 20;
/// An operator waits so long for a change that may never end.
const PATIENCE_US: u64 = 30_000_000;
/// In peace an order is carried out within this time.
const ORDER_US: u64 = 30_000_000;

/// What operators have done.
#[derive(Debug, Default)]
pub(super) struct Moves {
    given: u32,
    /// All layouts that anybody has adopted.
    layouts: BTreeMap<Epoch, Arc<Layout>>,
    /// The answer to the last order, in peace.
    answered: Option<Result<(), ChangeError>>,
    /// Identities that went with their disks.
    lost: BTreeSet<NodeId>,
    /// Members that were declared lost, or will be, and live on.
    given_up: BTreeSet<NodeId>,
    /// Of all these, the one that is still a member.
    missing: Option<NodeId>,
    /// Copies that somebody has made of disks, and of whose.
    copies: BTreeMap<usize, (NodeId, SimDisk)>,
}

impl Moves {
    /// The layout of an epoch that somebody has adopted.
    pub(super) fn layout_of(&self, epoch: Epoch) -> Option<&Layout> {
        self.layouts.get(&epoch).map(Arc::as_ref)
    }

    pub(super) fn was_lost(&self, node: NodeId) -> bool {
        self.lost.contains(&node)
    }
}

impl World {
    pub(super) fn plan_order(&mut self) {
        if let Some(moves) = &self.plan.moves {
            let at_us = self.now_us + self.rngs.faults.between(0, 2 * moves.every_us);
            self.queue.plan(at_us, Happening::Order);
        }
    }

    /// The newest layout that any node has adopted.
    pub(super) fn newest(&mut self, layout: &Arc<Layout>) {
        self.moves.layouts.entry(layout.epoch).or_insert_with(|| layout.clone());
        if layout.epoch <= self.layout.epoch {
            return;
        }
        self.figures.layouts += 1;
        self.figures.changes += u64::from(self.layout.stage() == Some(Stage::HandOver) && layout.is_stable());
        self.layout = layout.clone();
        if self.moves.missing.is_some_and(|missing| layout.member(missing).is_none()) {
            self.moves.missing = None;
        }
        let side = layout.reading_side();
        for key in &mut self.oracle.keys {
            if let Some(bucket) = layout.bucket_by_id(key.bucket.id) {
                let QuorumSizes { n, r, w } = layout.sizes(bucket, side);
                (key.bucket.n, key.bucket.r, key.bucket.w) = (n, r, w);
            }
        }
    }

    /// The layout that an answer was counted in.
    pub(super) fn counted_in(&self, result: &OperationResult) -> Arc<Layout> {
        let epoch = match result {
            Ok(Outcome::Put(written) | Outcome::Delete(written)) => Some(written.epoch),
            Ok(Outcome::Get(found)) => Some(found.epoch),
            Ok(Outcome::List(_)) | Err(_) => None,
        };
        let counted_in = epoch.and_then(|epoch| self.moves.layouts.get(&epoch));
        counted_in.unwrap_or(&self.layout).clone()
    }

    /// Whether no member is lost for good.
    pub(super) fn is_complete(&self) -> bool {
        self.moves.missing.is_none()
    }

    /// Whether what a node still has to say is not waited for.
    pub(super) fn was_given_up(&self, node: NodeId) -> bool {
        self.moves.given_up.contains(&node) && self.layout.departed.contains(&node)
    }

    /// The machines that are members.
    pub(super) fn members(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|&node| self.layout.member(self.hosts[node].id).is_some()).collect()
    }

    /// Somebody gives an order, or a disk is lost.
    pub(super) fn order(&mut self) -> Check {
        let Some(moves) = self.plan.moves.clone().filter(|_| !self.peace) else { return Ok(()) };
        if self.moves.given >= moves.budget {
            return Ok(());
        }
        self.moves.given += 1;
        self.plan_order();
        if moves.loses_disks && self.moves.missing.is_none() && self.rngs.faults.chance(0.25) {
            return self.lose_disk();
        }
        if moves.rolls_back && self.rngs.faults.chance(0.5) {
            self.copy_disk();
        }
        if moves.rolls_back && self.moves.missing.is_none() && self.rngs.faults.chance(0.4) {
            return self.roll_back();
        }
        if moves.gives_up && self.moves.missing.is_none() && self.rngs.faults.chance(0.25) {
            return self.declare_lost_too_early();
        }
        self.order_of(&moves)?;
        if moves.rivals && self.rngs.faults.chance(0.4) {
            self.order_of(&moves)?;
        }
        Ok(())
    }

    fn order_of(&mut self, moves: &MovesPlan) -> Check {
        let Some(at) = self.rngs.faults.weighted(&moves.weights) else { return Ok(()) };
        let Some(order) = self.draw_order(MOVES[at]) else { return Ok(()) };
        let members = self.members();
        let node = *self.rngs.faults.pick(&members);
        if !self.hosts[node].is_awake(self.now_us) {
            return Ok(());
        }
        self.give(node, order)
    }

    fn give(&mut self, node: usize, order: Order) -> Check {
        self.note(node, || format!("is asked: {order:?}"));
        let expected = self.rngs.faults.chance(0.5).then_some(self.layout.epoch);
        let request = RequestId(ORDER_REQUEST + u64::from(self.moves.given));
        self.handle(node, Event::Change { request, expected, order })
    }

    pub(super) fn order_answered(&mut self, node: usize, result: &Result<Arc<Layout>, ChangeError>) {
        self.note(node, || match result {
            Ok(layout) => format!("says that epoch {} is as ordered", layout.epoch),
            Err(error) => format!("does not change the layout: {error}"),
        });
        self.moves.answered = Some(result.as_ref().map(drop).map_err(Clone::clone));
    }

    /// What could be asked now, given what everybody can know.
    fn draw_order(&mut self, of: Move) -> Option<Order> {
        let layout = self.layout.clone();
        let members: Vec<NodeId> = layout.members.iter().map(|member| member.node).collect();
        let missing = self.moves.missing;
        if let Some(missing) = missing.filter(|_| !layout.is_stable()) {
            let declared = layout.is_lost(missing);
            return Some(if declared { Order::Resume } else { Order::DeclareLost(vec![missing]) });
        }
        let mut alteration = Alteration::default();
        match of {
            Move::Cancel => return Some(Order::Cancel),
            Move::Pause => return Some(Order::Pause),
            Move::Resume => return Some(Order::Resume),
            Move::Add => alteration.add.extend(self.spare()),
            Move::Remove => alteration.remove.push(*self.rngs.faults.pick(&members)),
            Move::Replace => {
                alteration.add.extend(self.spare());
                alteration.remove.push(*self.rngs.faults.pick(&members));
            }
            Move::Weigh => {
                let node = *self.rngs.faults.pick(&members);
                let weight = u32::try_from(self.rngs.faults.between(1, 3)).unwrap_or(1);
                alteration.set.push(MemberSettings { node, zone: None, weight: Some(weight) });
            }
            Move::Resize => {
                let sizes = self.plan.moves.as_ref()?.sizes.clone();
                let QuorumSizes { n, r, w } = *self.rngs.faults.pick(&sizes);
                alteration.n = Some(n);
                let sized = |bucket: &quorate_protocol::layout::Bucket| BucketSizes {
                    bucket: bucket.name.clone(),
                    n: Some(n),
                    r: Some(r),
                    w: Some(w),
                };
                alteration.sizes = layout.buckets.iter().map(sized).collect();
            }
        }
        // What is lost is replaced first.
        if let Some(missing) = missing {
            alteration.remove.clear();
            alteration.set.retain(|settings| settings.node != missing);
            alteration.lost.push(missing);
            if members.len() <= layout.n as usize && alteration.add.is_empty() {
                alteration.add.extend(self.spare());
            }
        }
        (alteration != Alteration::default()).then_some(Order::Alter(alteration))
    }

    /// A machine that could become a member.
    fn spare(&mut self) -> Option<Member> {
        let could = |node: &usize| {
            let host = &self.hosts[*node];
            let id = host.id;
            let is_new = self.layout.member(id).is_none() && !self.layout.departed.contains(&id);
            is_new && !host.is_impostor() && host.process.is_some()
        };
        let spares: Vec<usize> = (0..self.hosts.len()).filter(could).collect();
        if spares.is_empty() {
            return None;
        }
        let at = *self.rngs.faults.pick(&spares);
        Some(Member {
            node: self.hosts[at].id,
            name: describe::node(at),
            peer_address: format!("{}:7702", describe::node(at)),
            zone: format!("zone{}", at % self.plan.zones),
            weight: 1,
        })
    }

    /// A disk is lost for good: its machine comes back as another node. Writes survive it whose w is more than 1, one at a time.
    fn lose_disk(&mut self) -> Check {
        if !self.survives_a_loss() {
            return Ok(());
        }
        let members = self.members();
        let node = *self.rngs.faults.pick(&members);
        let id = self.hosts[node].id;
        self.note(node, || "loses its disk for good".into());
        self.figures.disks_lost += 1;
        self.becomes_another(node, id);
        self.moves.missing = Some(id);
        Ok(())
    }

    /// Whether all that was promised survives the loss of a member's disk at this moment.
    fn survives_a_loss(&self) -> bool {
        let survives = self.oracle.keys.iter().all(|key| key.least_w() > 1);
        let troubled = (0..self.oracle.keys.len()).any(|key| self.disks(key).troubled > 0);
        let is_founded = self.hosts.iter().any(|host| host.epoch().0 > 0);
        survives && !troubled && is_founded && self.outlives_a_member()
    }

    /// Operators believe that a member is lost for good, and it lives on, cut off or not. Neither writes with w = 1 nor reads with
    /// r = 1 promise anything then.
    fn declare_lost_too_early(&mut self) -> Check {
        let survives = self.oracle.keys.iter().all(|key| key.least_w() > 1 && key.bucket.r > 1);
        if !survives || !self.outlives_a_member() || self.hosts.iter().all(|host| host.epoch().0 == 0) {
            return Ok(());
        }
        let members = self.members();
        let node = *self.rngs.faults.pick(&members);
        self.note(node, || "is given up, and lives on".into());
        self.moves.given_up.insert(self.hosts[node].id);
        self.moves.missing = Some(self.hosts[node].id);
        let fault = *self.rngs.faults.pick(&[
            Fault::Isolate,
            Fault::Isolate,
            Fault::Split,
            Fault::Deafen,
            Fault::Pause,
        ]);
        self.inject(fault, node)
    }

    /// Whether there are voters enough without any one of them, also after the change under way: a majority that is lost needs
    /// an operator at every node.
    fn outlives_a_member(&self) -> bool {
        let after = self.layout.change.as_ref().map_or(usize::MAX, |change| change.members.len());
        self.layout.voters.len().min(after) > 2
    }

    /// A machine that could become a member, if need be one that has left and was never started again.
    fn spare_or_renewed(&mut self) -> Result<Option<Member>, checks::Violation> {
        if let Some(spare) = self.spare() {
            return Ok(Some(spare));
        }
        if let Some(node) =
            (0..self.hosts.len()).find(|&node| self.layout.departed.contains(&self.hosts[node].id))
        {
            // It asks what others know of it, and gives up.
            self.crash(node);
            let (id, until_us) = (self.hosts[node].id, self.now_us + ORDER_US);
            while self.hosts[node].id == id || self.hosts[node].process.is_none() {
                if self.now_us > until_us {
                    return Err(violation(
                        "identity",
                        format!("{} has left, and does not give up", describe::node(node)),
                    ));
                }
                self.step()?;
            }
        }
        Ok(self.spare())
    }

    /// A machine was started: has it left, and does everybody know?
    pub(super) fn was_started(&mut self, node: usize) {
        let knows = |member: usize| self.hosts[member].epoch() == self.layout.epoch;
        let everybody_knows = self.members().into_iter().all(knows);
        let has_left = self.layout.departed.contains(&self.hosts[node].id);
        self.hosts[node].has_to_give_up = has_left && everybody_knows;
    }

    /// A node gives its identity up: its directory is set aside, and the machine comes back as another node.
    pub(super) fn gives_up(&mut self, node: usize, betrayal: &Betrayal) -> Check {
        let id = self.hosts[node].speaks_as();
        self.note(node, || format!("gives up: {betrayal}"));
        checks::identity::gives_up(&self.hosts[node], betrayal, self.layout.departed.contains(&id))?;
        self.figures.given_up += 1;
        self.becomes_another(node, id);
        Ok(())
    }

    /// A machine's process ends, and its disk is empty from now on.
    fn becomes_another(&mut self, node: usize, id: NodeId) {
        self.crash(node);
        self.hosts[node].disk = SimDisk::default();
        self.hosts[node].boot = 0;
        self.hosts[node].impostor_of = None;
        self.hosts[node].has_to_give_up = false;
        self.is_nobody(node, id);
        self.moves.copies.remove(&node);
    }

    /// A machine counts for nobody until it starts; and nothing that it has said is heard any more.
    fn is_nobody(&mut self, node: usize, id: NodeId) {
        let life = self.hosts[node].life;
        self.hosts[node].silenced.push(life);
        self.hosts[node].life += 1;
        self.hosts[node].id = NodeId(0);
        self.witness.is_new(node);
        self.deaths[node] = None;
        self.moves.lost.insert(id);
    }

    /// Somebody copies a member's directory while it runs.
    fn copy_disk(&mut self) {
        let members = self.members();
        let node = *self.rngs.faults.pick(&members);
        let copy = self.hosts[node].disk.clone();
        copy.crash(&mut self.rngs.disk);
        self.moves.copies.insert(node, (self.hosts[node].id, copy));
        self.note(node, || "its disk is copied".into());
    }

    /// A member's disk is put back to a copy of what it was, and all others can know. Survived by the same as a lost disk.
    fn roll_back(&mut self) -> Check {
        let members = self.members();
        let can_tell = |of: &usize| {
            let Some((id, copy)) = self.moves.copies.get(of) else { return false };
            let mut others = members.iter().filter(|other| *other != of);
            *id == self.hosts[*of].id && others.all(|&other| knows_more(&self.hosts[other].disk, *id, copy))
        };
        let Some(&node) = members.iter().find(|node| can_tell(node)).filter(|_| self.survives_a_loss())
        else {
            return Ok(());
        };
        let Some((id, copy)) = self.moves.copies.remove(&node) else { return Ok(()) };
        self.crash(node);
        self.note(node, || "its disk is put back".into());
        self.figures.rolled_back += 1;
        self.hosts[node].boot =
            identity::boots(&copy).map_err(|error| violation("lives", error.to_string()))?;
        self.hosts[node].disk = copy;
        self.hosts[node].impostor_of = Some(id);
        self.is_nobody(node, id);
        self.moves.missing = Some(id);
        Ok(())
    }

    /// Whether a node deletes what it does not own, or not since long.
    pub(super) fn clears(&self, node: usize, ops: &[StoreOp]) -> bool {
        let process = self.hosts[node].process.as_ref();
        let holds = |op: &StoreOp| {
            let key = keys::key_of(op.key());
            key.is_none_or(|key| process.is_none_or(|process| process.node.holds(key.partition)))
        };
        // What is known of others goes with any commit.
        let mut ops = ops.iter().filter(|op| op.key() != keys::LIVES);
        ops.all(|op| matches!(op, StoreOp::Delete { .. }) && !holds(op))
    }

    /// In peace: every change ends by itself, when nothing is lost and nobody has paused it.
    pub(super) fn end_changes(&mut self) -> Check {
        if self.plan.moves.is_none() {
            return Ok(());
        }
        self.everyone_sees_everyone()?;
        let mut rounds = 0;
        while !self.layout.is_stable() || self.moves.missing.is_some() {
            rounds += 1;
            if rounds > ROUNDS_MAX {
                let layout = describe::layout(&self.layout);
                return Err(violation(
                    "transition",
                    format!("operators do what they can, and it is: {layout}"),
                ));
            }
            self.see_to_the_change()?;
        }
        self.settle()?;
        self.everyone_has_the_newest()
    }

    /// What operators would do about what stands in the way of the cluster's rest.
    fn see_to_the_change(&mut self) -> Check {
        let stage = self.layout.stage();
        if self.layout.change.as_ref().is_some_and(|change| change.paused) {
            return self.order_in_peace(&Order::Resume);
        }
        match (self.moves.missing, stage) {
            (Some(missing), Some(_)) if !self.layout.is_lost(missing) => {
                self.order_in_peace(&Order::DeclareLost(vec![missing]))
            }
            // Without him there may be too few who can catch up: that does not end, and is cancelled.
            (Some(_), Some(Stage::Gather)) => {
                let until_us = self.now_us + PATIENCE_US;
                while self.layout.stage() == Some(Stage::Gather) && self.now_us < until_us {
                    self.step()?;
                }
                if self.layout.stage() == stage { self.order_in_peace(&Order::Cancel) } else { Ok(()) }
            }
            (Some(missing), None) => {
                let one_fewer = self.layout.members.len() > self.layout.n as usize;
                let add = if one_fewer { None } else { self.spare_or_renewed()? };
                let (add, lost) = (add.into_iter().collect(), vec![missing]);
                self.order_in_peace(&Order::Alter(Alteration { add, lost, ..Alteration::default() }))
            }
            (_, Some(_)) => self.until_another_stage(),
            (None, None) => Ok(()),
        }
    }

    fn order_in_peace(&mut self, order: &Order) -> Check {
        // Who was just started may wait for one that is lost.
        let patience_us =
            ORDER_US + u64::try_from(self.plan.limits.start_wait.as_micros()).unwrap_or(u64::MAX / 8);
        let mut until_us = self.now_us + patience_us;
        loop {
            self.moves.answered = None;
            self.moves.given += 1;
            let members = self.members();
            let awake = |node: &&usize| self.hosts[**node].epoch() == self.layout.epoch;
            let Some(&node) = members.iter().find(awake) else {
                self.step()?;
                continue;
            };
            self.give(node, order.clone())?;
            let answered = loop {
                match self.moves.answered.take() {
                    Some(answered) => break answered,
                    None => self.step()?,
                }
            };
            match answered {
                Ok(()) => return Ok(()),
                // It ended meanwhile, or others were faster.
                Err(ChangeError::Order(_)) => return Ok(()),
                Err(_) if self.now_us > until_us && self.force_lost()? => {
                    until_us = self.now_us + patience_us
                }
                Err(error) if self.now_us > until_us => {
                    let detail = format!("all is well, and {order:?} fails: {error}");
                    return Err(violation("availability", detail));
                }
                Err(_) => self.step()?,
            }
        }
    }

    /// Of two voters one is lost: an operator gives its vote to the other, in that one's directory. Returns whether it was so.
    fn force_lost(&mut self) -> Result<bool, checks::Violation> {
        let Some(missing) = self.moves.missing.filter(|missing| self.layout.voters.contains(missing)) else {
            return Ok(false);
        };
        let holds = |node: &usize| self.hosts[*node].epoch() == self.layout.epoch;
        let Some(node) = self.members().into_iter().find(holds).filter(|_| self.layout.voters.len() == 2)
        else {
            return Ok(false);
        };
        self.crash(node);
        let forced = identity::force_lost(&self.hosts[node].disk, &BTreeSet::from([missing]));
        let forced =
            forced.map_err(|error| violation("transition", format!("a layout is not forced: {error}")))?;
        self.note(node, || format!("its directory holds epoch {} now, by force", forced.epoch));
        self.newest(&Arc::new(forced));
        Ok(true)
    }

    fn until_another_stage(&mut self) -> Check {
        let (epoch, until_us) = (self.layout.epoch, self.now_us + CHANGE_US);
        while self.layout.epoch == epoch {
            if self.now_us > until_us {
                return Err(violation(
                    "transition",
                    format!("it does not end: {}", describe::layout(&self.layout)),
                ));
            }
            self.step()?;
        }
        Ok(())
    }

    fn everyone_has_the_newest(&mut self) -> Check {
        let until_us = self.now_us + ORDER_US;
        while let Some(node) =
            self.members().into_iter().find(|&node| self.hosts[node].epoch() != self.layout.epoch)
        {
            if self.now_us > until_us {
                let name = describe::node(node);
                let detail = format!("{name} does not hold the layout of epoch {}", self.layout.epoch);
                return Err(violation("epochs", detail));
            }
            self.step()?;
        }
        Ok(())
    }

    /// All is at rest: what was moved is gone where it was.
    pub(super) fn nobody_keeps_what_is_not_his(&mut self) -> Check {
        for host in &self.hosts {
            checks::identity::has_given_up(host)?;
        }
        for node in self.members() {
            checks::cleared(&self.layout, &self.hosts[node], &describe::node(node))?;
        }
        Ok(())
    }
}

/// Whether a node has durably seen more of another than a copy of that one's directory holds.
fn knows_more(disk: &SimDisk, of: NodeId, copy: &SimDisk) -> bool {
    let lives = disk.synced_value(keys::LIVES).and_then(|bytes| identity::decode_lives(&bytes).ok());
    let seen = lives.and_then(|lives| lives.get(&of).copied());
    let boots = identity::boots(copy).unwrap_or(u64::MAX);
    seen.is_some_and(|seen| seen.boot > boots || seen.sequence > copy.sequence())
}
