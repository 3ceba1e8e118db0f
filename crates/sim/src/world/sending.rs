//! What a core sends: looked at, put together by destination, handed to the network.

use quorate_protocol::id::NodeId;
use quorate_protocol::message::{KeyRef, Message};

use super::World;
use super::queue::{Happening, ToNode};
use crate::checks::{self, Asked, Check, violation};
use crate::describe;
use crate::faults::Moment;
use crate::oracle::KeyHistory;

impl World {
    pub(super) fn send(&mut self, node: usize, to: NodeId, message: Message) -> Check {
        checks::identity::sends(&self.hosts[node], &message)?;
        let Some(peer) = self.hosts.iter().position(|host| host.speaks_as() == to) else {
            // Its disk was lost, and it is another node now.
            if self.moves.was_lost(to) {
                return Ok(());
            }
            return Err(violation(
                "answers",
                format!("{} sends to {to}, who does not exist", describe::node(node)),
            ));
        };
        let holds_down = |process: &crate::host::Process| process.holds_down.contains(&peer);
        let is_down = self.hosts[node].process.as_ref().is_some_and(holds_down);
        checks::liveness::may_ask(node, peer, is_down, &message)?;
        // Where the plan says so, anti-entropy does nothing before all faults are over.
        if message.is_comparison() {
            let off = !self.peace && !self.plan.exchange_in_trouble;
            if off || self.rngs.links.chance(self.plan.comparisons_lost) {
                return Ok(());
            }
        }
        self.look_at_request(node, peer, &message)?;
        let moment = match &message {
            Message::Replicate { key, container, .. }
            | Message::StoreHint { key, container, .. }
            | Message::Exchange { key, container, .. } => {
                let known = |history: &KeyHistory| history.key == key.key && history.bucket.id == key.bucket;
                if let Some(at) = self.oracle.keys.iter().position(known) {
                    let by = self.maker(node);
                    checks::observed(&mut self.oracle, at, container, by)?;
                }
                Some(Moment::Replicated)
            }
            Message::ReplicateReply { result: Ok(()), .. } => Some(Moment::ReplicaAcknowledged),
            Message::FetchReply { result: Ok(_), .. } => Some(Moment::Fetched),
            Message::ForwardReply { result, .. } => {
                checks::told(result, self.handled_at_ms(node))?;
                None
            }
            Message::Forward { .. } => Some(Moment::Forwarded),
            Message::PurgeVote { .. } => Some(Moment::Voted),
            _ => None,
        };
        match self.outbox.iter_mut().find(|(destination, _)| *destination == peer) {
            Some((_, batch)) if !self.plan.network.split_batches => batch.push(message),
            _ => self.outbox.push((peer, vec![message])),
        }
        match moment {
            Some(moment) => self.moment(node, moment),
            None => Ok(()),
        }
    }

    /// Remembers what is asked of a replica, and holds what it answers against that.
    fn look_at_request(&mut self, node: usize, peer: usize, message: &Message) -> Check {
        match message {
            Message::Replicate { tag: Some(tag), key, .. } | Message::Fetch { tag, key, .. } => {
                self.requests.insert((node, *tag), Asked::Key(key.clone()));
            }
            Message::Scan { tag, partition, bucket, after, .. } => {
                let key = after.clone().unwrap_or_default();
                let after = KeyRef { partition: *partition, bucket: *bucket, key };
                self.requests.insert((node, *tag), Asked::After(after));
            }
            Message::ReplicateReply { tag, result: Ok(()), epoch }
            | Message::FetchReply { tag, result: Ok(_), epoch } => {
                if let Some(asked) = self.requests.get(&(peer, *tag)) {
                    checks::counts(&self.hosts[node].disk, asked, None)?;
                    let serves = matches!(message, Message::FetchReply { .. });
                    if let Some(layout) = self.moves.layout_of(*epoch) {
                        checks::answers_as_owner(layout, self.hosts[node].id, asked, serves)?;
                    }
                }
            }
            Message::ScanReply { tag, result: Ok(page), .. } => {
                if let Some(asked) = self.requests.get(&(peer, *tag)) {
                    checks::counts(&self.hosts[node].disk, asked, Some(page))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Hands what was to be sent to the network.
    pub(super) fn flush(&mut self, node: usize) {
        if self.outbox.is_empty() {
            return;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        let host = &self.hosts[node];
        if let Some(process) = &host.process {
            let (life, now) = (host.life, host.clock.now(self.now_us));
            for (to, messages) in outbox.drain(..) {
                self.tracer.mix(messages.len() as u64);
                if !process.links.contains_key(&to) {
                    continue;
                }
                let to_life = self.hosts[to].life;
                let stamp = process.node.stamp(now, self.hosts[to].speaks_as());
                let mut plan = |at_us, messages| {
                    let what = ToNode::Batch {
                        from: node,
                        from_id: process.node.id(),
                        from_life: life,
                        stamp,
                        messages,
                    };
                    self.queue.plan(at_us, Happening::Node { node: to, life: to_life, what });
                };
                match self.network.send(node, to, self.now_us) {
                    [Some(once), Some(again)] => {
                        plan(once, messages.clone());
                        plan(again, messages);
                    }
                    [Some(once), None] => plan(once, messages),
                    [None, _] => {}
                }
            }
        }
        outbox.clear();
        self.outbox = outbox;
    }
}
