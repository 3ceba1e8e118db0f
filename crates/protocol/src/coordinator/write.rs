//! The second half of puts and deletes: replicate the merged container, count durable acknowledgements, answer; then
//! wait a little for the other owners, and remember who has missed it.

use std::time::Duration;

use super::quorum::Tally;
use super::{Asked, Job, Running, Source, Target, timed_out};
use crate::commits::Waiter;
use crate::echo::LinkTime;
use crate::id::{Epoch, NodeId};
use crate::message::{KeyRef, Message, Place, Refusal, Tag};
use crate::node::Node;
use crate::operation::{OperationError, Outcome, Written};
use crate::store::CommitNumber;
use crate::time::Now;
use crate::turn::Turn;
use crate::version::{Container, Context, ContextToken, Dot, EncodedContainer};
use crate::working_set::Held;

/// What was not acknowledged after this time is sent again, remembered for its owner and, in sloppy mode, given to a
/// fallback: a link may have lost it.
const RESEND: Duration = Duration::from_millis(400);

#[derive(Debug)]
enum Kind {
    Put(Dot),
    Delete { after_read: bool },
}

/// A write that is done here and waits for acknowledgements.
#[derive(Debug)]
pub(crate) struct Writing {
    target: Target,
    kind: Kind,
    seen: Context,
    /// As this operation replicates it; the key may have moved on since.
    held: Held,
    /// The commit that makes it durable here; of a fallback together with the hints.
    own_commit: CommitNumber,
    tally: Tally,
    /// Owners that have not acknowledged it, this node not among them.
    missing: Vec<NodeId>,
    /// The hints taken for them, and their versions.
    hinted: Vec<(NodeId, u64)>,
    /// Replicas that have lost what they acknowledged, with the request that said so: one that comes again changes nothing.
    struck: Vec<(NodeId, Tag)>,
}

impl Writing {
    pub(super) fn of_put(target: Target, seen: Context, dot: Dot, held: Held, tally: Tally) -> Self {
        Self::new(target, Kind::Put(dot), seen, held, tally)
    }

    pub(super) fn of_delete(
        target: Target,
        seen: Context,
        after_read: bool,
        held: Held,
        tally: Tally,
    ) -> Self {
        Self::new(target, Kind::Delete { after_read }, seen, held, tally)
    }

    fn new(target: Target, kind: Kind, seen: Context, held: Held, tally: Tally) -> Self {
        let own_commit = held.commit;
        let (missing, hinted, struck) = (Vec::new(), Vec::new(), Vec::new());
        Self { target, kind, seen, held, own_commit, tally, missing, hinted, struck }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn seen(&self) -> &Context {
        &self.seen
    }

    /// Another epoch: who counts may be others, and nobody has been counted. A loss that this node itself has had stays.
    pub(super) fn count_anew(&mut self, target: Target, tally: Tally) {
        self.target = target;
        self.tally = tally;
        self.missing.clear();
    }

    /// The owners that have not acknowledged it.
    pub(super) fn take_missing(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.missing)
    }

    /// Whether a peer's acknowledgement is missing.
    pub(super) fn waits_for(&self, peer: NodeId) -> bool {
        let stands_in = |other: &super::quorum::StandIn| other.holder == peer && !self.tally.has(peer);
        self.missing.contains(&peer) || self.tally.stand_ins().iter().any(stands_in)
    }

    /// The time is over; some replica may have it.
    pub(super) fn expired(&self, token: ContextToken) -> OperationError {
        let failure = timed_out(self.tally.needed(), self.tally.counted());
        let read_for_it = matches!(self.kind, Kind::Delete { after_read: true });
        OperationError { context: read_for_it.then_some(token), ..OperationError::indeterminate(failure) }
    }
}

impl Node {
    /// The acknowledgements that a write needs.
    pub(super) fn write_tally(&self, target: &Target) -> Tally {
        let layout = self.layout.as_deref();
        let sides =
            layout.into_iter().flat_map(|layout| target.quorums.writing(layout, target.key.partition));
        Tally::of_write(sides)
    }

    /// The key has a new container at its coordinator. A fallback keeps it for all owners.
    pub(super) fn write_here(
        &mut self,
        turn: &mut Turn<'_>,
        target: &Target,
        container: Container,
        encoded: EncodedContainer,
    ) -> Held {
        match target.place {
            Place::Replica => self.hold_new(turn, &target.key, container, encoded),
            Place::Fallback => {
                let owners = self.owners_of(target);
                let records = Self::fallback_records(&owners, &target.key, encoded.0.len());
                let held = self.hold_with(turn, Place::Fallback, &target.key, container, encoded, records);
                self.kept_for(turn, &owners, &target.key, &held);
                held
            }
        }
    }

    fn owners_of(&self, target: &Target) -> Vec<NodeId> {
        self.layout.as_ref().map_or(Vec::new(), |layout| layout.holders(target.key.partition))
    }

    /// The container is made and on its way to the disk: send it to all other owners, and wait.
    pub(super) fn write(&mut self, turn: &mut Turn<'_>, asked: Asked, mut writing: Writing) {
        let Asked { tag, source, began, deadline } = asked;
        let me = self.config.node;
        let owners = self.owners_of(&writing.target);
        match writing.target.place {
            Place::Replica => {
                writing.missing = owners.into_iter().filter(|&owner| owner != me).collect();
                for at in 0..writing.missing.len() {
                    let owner = writing.missing[at];
                    if self.links.is_live(owner) {
                        self.replicate(turn, tag, began, &writing, owner);
                    } else {
                        self.remember(turn, &mut writing, owner);
                    }
                }
            }
            // Its hints bring it to the owners.
            Place::Fallback => {
                let hints = self.keep_for_all(turn, &owners, &writing);
                writing.own_commit = writing.own_commit.max(hints);
            }
        }
        // This node is no peer of its own: it is not away.
        let away = |links: &crate::links::Links, primary| primary != me && !links.is_live(primary);
        self.fill_in(turn, tag, began, &mut writing, away);
        let timer = deadline.min(turn.time() + RESEND);
        let commit = writing.own_commit;
        let own_lost = writing.struck.iter().any(|&(struck, _)| struck == me);
        let job = Job::Write(writing);
        self.coordinator.put_back(tag, Box::new(Running { source, began, deadline, timer, job }));
        // What this node has lost itself stays lost, however durable its commit was.
        if own_lost {
            return;
        }
        if self.commits.is_durable(commit) {
            self.write_acknowledged(turn, tag, me);
        } else {
            self.commits.wait(commit, Waiter::Own(tag));
        }
    }

    /// A fallback that coordinates keeps the container for every owner, also for those that had it before; returns
    /// the commit that makes all these hints durable.
    fn keep_for_all(&mut self, turn: &mut Turn<'_>, owners: &[NodeId], writing: &Writing) -> CommitNumber {
        let key = &writing.target.key;
        let without: Vec<NodeId> =
            owners.iter().copied().filter(|&owner| self.hints.get(owner, key).is_none()).collect();
        let known = owners.iter().filter_map(|&owner| self.hints.get(owner, key)).map(|mark| mark.commit);
        let last = known.max().unwrap_or_default();
        if without.is_empty() {
            return last;
        }
        let records = Self::fallback_records(&without, key, writing.held.encoded.0.len());
        let commit = self.commits.issue(turn.effects, records);
        self.kept_for(turn, &without, key, &Held { commit, ..writing.held.clone() });
        commit
    }

    /// Sends the operation's container to an owner. On a link of a later life of the owner than the operation's
    /// beginning the container itself is too old to go out; what is held now covers it and is not.
    fn replicate(&self, turn: &mut Turn<'_>, tag: Tag, began: Now, writing: &Writing, owner: NodeId) {
        let key = &writing.target.key;
        let Some((container, echo)) = self.to_send(turn, began, writing, owner) else { return };
        let epoch = self.epoch();
        turn.send(owner, Message::Replicate { tag: Some(tag), epoch, key: key.clone(), container, echo });
    }

    fn to_send(
        &self,
        turn: &Turn<'_>,
        began: Now,
        writing: &Writing,
        to: NodeId,
    ) -> Option<(EncodedContainer, LinkTime)> {
        if !self.links.is_live(to) {
            return None;
        }
        if let Some(echo) = self.echoes.known_at(to, began.link) {
            return Some((writing.held.encoded.clone(), echo));
        }
        let newest = match writing.target.place {
            Place::Replica => self.working.peek(&writing.target.key),
            Place::Fallback => self.fallback.peek(&writing.target.key),
        }?;
        // After the loss of a record it may have seen the same and hold again what a delete had dropped.
        let includes = newest.container.includes(&writing.held.container);
        let echo = self.echoes.known_at(to, turn.now.link)?;
        includes.then(|| (newest.encoded.clone(), echo))
    }

    /// An owner has missed it for now: it will be brought.
    pub(super) fn remember(&mut self, turn: &mut Turn<'_>, writing: &mut Writing, owner: NodeId) {
        let known = writing.hinted.iter().any(|hinted| hinted.0 == owner);
        if writing.target.place == Place::Replica
            && !known
            && let Some(version) = self.remember_missed(turn, owner, &writing.target.key)
        {
            writing.hinted.push((owner, version));
        }
    }

    /// In sloppy mode: the next fallbacks stand in for primaries that are away, as many as are.
    fn fill_in(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        began: Now,
        writing: &mut Writing,
        away: impl Fn(&crate::links::Links, NodeId) -> bool,
    ) {
        if !writing.target.quorums.sloppy {
            return;
        }
        let me = self.config.node;
        let Some(layout) = self.layout.clone() else { return };
        for holder in layout.fallbacks(writing.target.key.partition) {
            let asked = writing.tally.stand_ins().iter().any(|other| other.holder == holder);
            // An owner's own hint never counts beside its own copy; a fallback's own does.
            if asked || (holder != me && !self.links.is_live(holder)) {
                continue;
            }
            // This node has no link to itself, and has not acknowledged its own commit yet: it is not away all the same. A hint
            // for it would count for nothing as soon as it has.
            let is_away = |primary| primary != me && away(&self.links, primary);
            let Some(target) = writing.tally.next_target(is_away) else {
                return;
            };
            writing.tally.add_stand_in(holder, target);
            if holder != me {
                self.store_hint(turn, tag, began, writing, holder, target);
            }
        }
    }

    fn store_hint(
        &self,
        turn: &mut Turn<'_>,
        tag: Tag,
        began: Now,
        writing: &Writing,
        holder: NodeId,
        target: NodeId,
    ) {
        let Some((container, echo)) = self.to_send(turn, began, writing, holder) else { return };
        let (epoch, key) = (self.epoch(), writing.target.key.clone());
        turn.send(holder, Message::StoreHint { tag, epoch, key, target, container, echo });
    }

    /// Some acknowledgements are missing. What is answered is left to the hints; what is not is sent again.
    pub(super) fn write_step(&mut self, turn: &mut Turn<'_>, tag: Tag, mut running: Box<Running>) {
        let began = running.began;
        if let Job::Write(writing) = &mut running.job {
            for owner in writing.missing.clone() {
                self.remember(turn, writing, owner);
            }
            if matches!(running.source, Source::Answered) {
                return;
            }
            for &owner in &writing.missing {
                if self.links.is_live(owner) {
                    self.replicate(turn, tag, began, writing, owner);
                }
            }
            let stand_ins: Vec<_> = writing.tally.stand_ins().to_vec();
            for other in stand_ins {
                if !writing.tally.has(other.holder) && other.holder != self.config.node {
                    if !self.links.is_live(other.holder) {
                        writing.tally.fail(other.holder);
                        continue;
                    }
                    self.store_hint(turn, tag, began, writing, other.holder, other.target);
                }
            }
            let me = self.config.node;
            self.fill_in(turn, tag, began, writing, |_, primary| primary != me);
        }
        running.timer = running.deadline.min(turn.time() + RESEND);
        self.coordinator.put_back(tag, running);
    }

    /// A replica has lost its record of a key: what it acknowledged counts no more for the writes of the key that are under way,
    /// also not what it sent before and that is still to come. So they go on under other names, and all who are not counted are
    /// asked under these. `request` is what told of the loss.
    pub(crate) fn strike(&mut self, turn: &mut Turn<'_>, key: &KeyRef, replica: NodeId, request: Tag) {
        let of_key = |running: &Running| match &running.job {
            Job::Write(writing) => {
                writing.target.key == *key && !writing.struck.contains(&(replica, request))
            }
            Job::Put(_) | Job::Get(_) | Job::Delete(_) | Job::List(_) | Job::Forward(_) => false,
        };
        let running = self.coordinator.running.iter();
        let struck: Vec<Tag> = running.filter(|(_, running)| of_key(running)).map(|(&tag, _)| tag).collect();
        let me = self.config.node;
        for tag in struck {
            let Some(mut running) = self.coordinator.take(tag) else { continue };
            let Job::Write(writing) = &mut running.job else { continue };
            writing.tally.uncount(replica);
            writing.struck.push((replica, request));
            if replica != me && !writing.missing.contains(&replica) && writing.target.place == Place::Replica
            {
                writing.missing.push(replica);
            }
            let commit = writing.own_commit;
            // What this node has lost itself stays lost, however durable its commit was.
            let own_lost = writing.struck.iter().any(|&(struck, _)| struck == me);
            let own_waits = !own_lost && !writing.tally.has(me);
            let tag = self.coordinator.insert(*running);
            if own_waits {
                self.commits.wait(commit, Waiter::Own(tag));
            }
            if let Some(running) = self.coordinator.take(tag) {
                self.write_step(turn, tag, running);
            }
        }
    }

    /// A link came up: what was sent on the one before may be lost.
    pub(super) fn write_resend(
        &self,
        turn: &mut Turn<'_>,
        tag: Tag,
        began: Now,
        writing: &Writing,
        peer: NodeId,
    ) {
        if writing.waits_for(peer) {
            self.replicate(turn, tag, began, writing, peer);
        }
    }

    /// A replica has answered.
    pub(crate) fn on_replicate_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<(), Refusal>,
    ) {
        // A refusal, or an acknowledgement of another epoch, counts nothing; the write is sent again in a while.
        let current = self.layout.as_ref().is_some_and(|layout| layout.epoch == epoch);
        if self.hand_over_answered(turn, from, tag, result.is_ok() && current) {
            return;
        }
        if !self.coordinator.running.contains_key(&tag) {
            self.hint_answered(turn, from, tag, result.is_ok() && current);
        } else if result.is_ok() && current {
            self.write_acknowledged(turn, tag, from);
        } else if result.is_err() {
            self.stand_in_refused(turn, tag, from);
        }
    }

    /// A fallback does not keep what it was to keep: the next one is asked.
    fn stand_in_refused(&mut self, turn: &mut Turn<'_>, tag: Tag, holder: NodeId) {
        let Some(mut running) = self.coordinator.take(tag) else { return };
        let began = running.began;
        if let Job::Write(writing) = &mut running.job
            && writing.tally.fail(holder)
        {
            let me = self.config.node;
            self.fill_in(turn, tag, began, writing, |links, primary| {
                primary != me && !links.is_live(primary)
            });
        }
        self.coordinator.put_back(tag, running);
    }

    /// The state that covers a write is durable at a replica.
    pub(crate) fn write_acknowledged(&mut self, turn: &mut Turn<'_>, tag: Tag, replica: NodeId) {
        let Some(running) = self.coordinator.running.get_mut(&tag) else {
            return;
        };
        let Job::Write(writing) = &mut running.job else {
            return;
        };
        writing.tally.count(replica);
        writing.missing.retain(|&owner| owner != replica);
        let hinted = writing.hinted.iter().find(|hinted| hinted.0 == replica).copied();
        let met = writing.tally.is_met();
        let everybody = writing.missing.is_empty();
        if let Some((owner, version)) = hinted {
            let key = writing.target.key.clone();
            self.missed_no_more(turn, owner, &key, version);
        }
        if !met {
            return;
        }
        let Some(mut running) = self.coordinator.take(tag) else {
            return;
        };
        let source = std::mem::replace(&mut running.source, Source::Answered);
        let first = !matches!(source, Source::Answered);
        if first && let Job::Write(writing) = &running.job {
            let outcome = self.written(writing);
            self.finish(turn, source, Ok(outcome));
        }
        if everybody {
            return;
        }
        // One owner that stalls must not let all that it owes pile up here.
        if self.coordinator.lingering() < 2 * self.config.limits.client_operations {
            self.coordinator.put_back(tag, running);
        } else {
            self.write_step(turn, tag, running);
        }
    }

    fn written(&self, writing: &Writing) -> Outcome {
        let dot = match writing.kind {
            Kind::Put(dot) => Some(dot),
            Kind::Delete { .. } => None,
        };
        let (primaries, fallbacks) = (writing.tally.primaries(), writing.tally.fallbacks());
        // A fallback's vector says nothing of what its owners have seen.
        let at_quorum = writing.tally.is_at_bucket_quorum() && writing.target.place == Place::Replica;
        let context = writing.held.container.answer_context(&writing.seen, dot, at_quorum);
        let context = self.token_of(&writing.target, &context);
        let written = Written { context, primaries, fallbacks, epoch: self.epoch() };
        match writing.kind {
            Kind::Put(_) => Outcome::Put(written),
            Kind::Delete { .. } => Outcome::Delete(written),
        }
    }
}
