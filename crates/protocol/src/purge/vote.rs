//! What a member says when it is asked whether something may be forgotten.

use crate::echo::LinkTime;
use crate::id::{ActorId, Epoch, NodeId, PartitionId};
use crate::message::{KeyDigest, Message, Place, Refusal, Tag, Vote};
use crate::node::Node;
use crate::store::StoreOp;
use crate::time::Time;
use crate::turn::Turn;
use crate::version::{Container, Digest};
use crate::working_set::{Held, Task};
use crate::{keys, message::KeyRef};

impl Node {
    /// The first owner of a partition asks.
    pub(crate) fn on_purge_ask(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        (tag, epoch): (Tag, Epoch),
        partition: PartitionId,
        keys: &[KeyDigest],
        actors: &[ActorId],
    ) {
        let stable = self.layout.as_ref().is_some_and(|layout| layout.is_stable());
        let stable = if stable { Ok(()) } else { Err(Refusal::NotOwner) };
        let fenced = self.fence_member(turn, from, epoch).and(stable);
        let result = fenced.map(|()| self.vote(turn, partition, keys, actors));
        if result.is_ok() {
            self.watch(turn, partition, keys);
        }
        turn.send(from, Message::PurgeVote { tag, epoch: self.epoch(), result });
    }

    /// Whether this node holds exactly these containers, and no hints, for long enough; and which actors are its own.
    pub(super) fn vote(
        &mut self,
        turn: &Turn<'_>,
        partition: PartitionId,
        keys: &[KeyDigest],
        actors: &[ActorId],
    ) -> Vote {
        let commits = &self.commits;
        self.purge.candidates.mature(turn.now.link, |number| commits.is_durable(number));
        self.hints.mature(turn.now.link, |number| commits.is_durable(number));
        let owner = self.layout.as_ref().is_some_and(|layout| layout.is_owner(partition, self.config.node));
        let no_hints = self.is_long_ago(turn, self.hints.none_since(partition));
        let exactly = |asked: &KeyDigest| match self.purge.candidates.get(&asked.key) {
            Some(candidate) => candidate.digest == asked.digest && self.is_long_ago(turn, candidate.since),
            None => false,
        };
        let holds =
            |asked: &KeyDigest| no_hints && asked.key.partition == partition && (!owner || exactly(asked));
        let confirmed = keys.iter().map(holds).collect();
        let mine = actors.iter().copied().filter(|&actor| self.authors.has(actor)).collect();
        Vote { confirmed, mine }
    }

    /// Keys that another owner would forget and that are not watched here are from now on, where they are as it says.
    fn watch(&mut self, turn: &mut Turn<'_>, partition: PartitionId, keys: &[KeyDigest]) {
        let me = self.config.node;
        if !self.layout.as_ref().is_some_and(|layout| layout.is_owner(partition, me)) {
            return;
        }
        for asked in keys {
            if asked.key.partition == partition && self.purge.candidates.get(&asked.key).is_none() {
                self.purge.candidates.make_room(self.config.limits.purge_keys);
                self.with_key(turn, &asked.key, Task::Consider);
            }
        }
    }

    /// Longer ago than twice the message bound.
    pub(super) fn is_long_ago(&self, turn: &Turn<'_>, since: Option<Time>) -> bool {
        since.is_some_and(|since| turn.now.link.since(since) > self.config.limits.message_age * 2)
    }

    /// Everybody has confirmed: forget.
    pub(crate) fn on_forget(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        keys: Vec<KeyDigest>,
        retired: &[ActorId],
        echo: LinkTime,
    ) {
        if !self.is_fresh(turn, echo) {
            self.stats.too_old += 1;
            return;
        }
        for KeyDigest { key, digest } in keys {
            if self.fence(turn, from, epoch, key.partition, key.bucket, Place::Replica).is_ok() {
                self.with_key(turn, &key, Task::Forget { digest, retired: retired.to_vec(), echo });
            }
        }
    }

    /// The newest container of a key that may be forgotten is here.
    pub(crate) fn forget_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        digest: Digest,
        retired: &[ActorId],
        echo: LinkTime,
    ) {
        // Something new was written since, or it waited for the store through a long pause.
        if held.digest != digest || !self.is_fresh(turn, echo) || !self.writable {
            return;
        }
        if held.container.siblings.is_empty() {
            let gone = StoreOp::Delete { key: keys::record(Place::Replica, key) };
            let commit = self.commits.issue(turn.effects, vec![gone]);
            self.stats.tombstones_purged += 1;
            self.replaced(key, Held::absent(commit));
            return;
        }
        let mut container = held.container.as_ref().clone();
        let before = container.context.vector().len();
        container.retire(retired);
        if container.context.vector().len() < before {
            self.stats.actors_pruned += (before - container.context.vector().len()) as u64;
            let encoded = container.pack();
            self.hold_new(turn, key, container, encoded);
        }
    }

    /// Whether something of a record could be forgotten and it is not being watched.
    pub(crate) fn could_forget(&self, key: &KeyRef, container: &Container) -> bool {
        let limits = &self.config.limits;
        let room = self.purge.candidates.len() < limits.purge_keys;
        let long = container.context.vector().len() > limits.context_entries;
        room && (container.siblings.is_empty() || long) && self.purge.candidates.get(key).is_none()
    }

    /// The sweep came by a record of which something could be forgotten.
    pub(crate) fn consider_loaded(&mut self, key: &KeyRef, held: &Held) {
        let limits = &self.config.limits;
        let newest = (held.container.as_ref(), held.digest);
        self.purge.candidates.note(key, newest, held.commit, limits.purge_keys, limits.context_entries);
    }
}
