//! A core handles an event; what it wants is carried out, in order, unless the process dies in between.

use quorate_protocol::effect::Notice;
use quorate_protocol::layout::Side;
use quorate_protocol::message::Message;
use quorate_protocol::operation::OperationResult;
use quorate_protocol::store::Store;
use quorate_protocol::{Effect, Event, RequestId};

use super::queue::{Happening, ToNode};
use super::{World, disks};
use crate::checks::{self, Check, violation};
use crate::describe;
use crate::faults::{Fault, Moment};

/// More than any healthy node wants done because of one event.
const EFFECTS_MAX: usize = 10_000;

/// Requests of the driver that are no operations have ids from here on.
const BOOTSTRAP_REQUEST: u64 = 1 << 60;

impl World {
    /// Something happens to a life of a process, if that still runs; one that stands still gets to it later.
    pub(super) fn happen_to(&mut self, node: usize, life: u32, what: ToNode) -> Check {
        let host = &mut self.hosts[node];
        if host.life != life {
            return Ok(());
        }
        let Some(process) = &mut host.process else { return Ok(()) };
        if process.paused_until_us > self.now_us {
            let at_us = process.paused_until_us;
            if matches!(what, ToNode::Wake) && process.wake_us == Some(self.now_us) {
                process.wake_us = Some(at_us);
            }
            self.queue.plan(at_us, Happening::Node { node, life, what });
            return Ok(());
        }
        match what {
            ToNode::Batch { from, from_id, from_life, stamp, messages } => {
                if !self.hosts[from].may_speak(from_life) {
                    return Ok(());
                }
                self.trace_batch(from, node, &messages);
                self.handle(node, Event::Messages { from: from_id, stamp, messages })
            }
            ToNode::Synced(number) => self.synced(node, number),
            ToNode::Read { token, key, found } => {
                let result = found.unwrap_or_else(|| self.hosts[node].disk.get(&key));
                self.handle(node, Event::ReadDone { token, result })
            }
            ToNode::Started => self.handle(node, Event::Started),
            ToNode::Scanned { token, result, .. } => self.handle(node, Event::ScanDone { token, result }),
            ToNode::Wake => self.wake(node),
            ToNode::LinkUp { peer, peer_life, connection, epoch, clock } => {
                self.link_up(node, peer, peer_life, connection, (epoch, clock))
            }
            ToNode::LinkDown { peer, connection } => self.link_down(node, peer, connection),
            ToNode::Writable(writable) => {
                self.hosts[node].told_full_us = (!writable).then_some(self.now_us);
                self.note(node, || format!("its disk {} room", if writable { "has" } else { "has no" }));
                self.handle(node, Event::StoreWritable(writable))
            }
            ToNode::Request { attempt } => self.take_request(node, attempt),
            ToNode::Bootstrap => {
                let settings = self.settings.clone();
                self.handle(node, Event::Bootstrap { request: RequestId(BOOTSTRAP_REQUEST), settings })
            }
        }
    }

    /// A timer fires; the core hears of it when its time has come.
    fn wake(&mut self, node: usize) -> Check {
        let host = &mut self.hosts[node];
        let Some(process) = &mut host.process else { return Ok(()) };
        if process.wake_us != Some(self.now_us) {
            return Ok(());
        }
        process.wake_us = None;
        let due =
            process.node.next_deadline().is_some_and(|deadline| deadline <= host.clock.mono(self.now_us));
        if due {
            return self.handle(node, Event::Deadline);
        }
        self.plan_wake(node);
        Ok(())
    }

    /// Lets the core handle an event, and carries out its effects.
    pub(super) fn handle(&mut self, node: usize, event: Event) -> Check {
        let host = &mut self.hosts[node];
        let Some(process) = &mut host.process else { return Ok(()) };
        let life = host.life;
        let mut effects = std::mem::take(&mut self.effects);
        let now = host.clock.now(self.now_us);
        process.wall_ms = now.wall_ms;
        self.oracle.saw_wall(now.wall_ms);
        let dropped_before = process.node.stats().hints_dropped;
        let scanned = matches!(event, Event::ScanDone { .. });
        process.node.handle(now, event, &mut effects);
        let has_dropped = process.node.stats().hints_dropped > dropped_before;
        checks::bounded(&process.node, &self.plan.limits)?;
        self.look_at_health(node);
        if effects.len() > EFFECTS_MAX {
            let count = effects.len();
            return Err(violation(
                "queues",
                format!("{} wants {count} things done at once", describe::node(node)),
            ));
        }
        let share = self.plan.faults.mid_event_crash;
        let dies_after = (!self.peace && self.rngs.faults.chance(share))
            .then(|| self.rngs.faults.below(effects.len() + 1));
        self.tracer.mix(effects.len() as u64);
        // With another layout everything is compared anew, at once.
        let adopts = |effect: &Effect| matches!(effect, Effect::LayoutAdopted(_));
        let anew = effects.iter().any(adopts);
        let mut committed = false;
        for (done, effect) in effects.drain().enumerate() {
            if dies_after == Some(done) {
                self.note(node, || format!("dies with {done} effects of this event carried out"));
                self.flush(node);
                self.crash(node);
            }
            if self.hosts[node].life != life || self.hosts[node].process.is_none() {
                break;
            }
            if let Effect::Commit { ops, .. } = &effect {
                committed = true;
                if has_dropped && !anew {
                    self.unremembered.dropped(node, &self.hosts, ops)?;
                }
            }
            self.carry_out(node, effect)?;
        }
        self.effects = effects;
        if committed {
            self.trees_are_right(node)?;
            self.unremembered.came_to(&self.hosts)?;
        }
        if committed || scanned {
            self.hints_are_known(node)?;
        }
        self.unremembered.compared_first(node, &self.hosts, has_dropped && !anew)?;
        self.flush(node);
        self.plan_wake(node);
        Ok(())
    }

    fn carry_out(&mut self, node: usize, effect: Effect) -> Check {
        match effect {
            Effect::Send { to, message } => self.send(node, to, message),
            Effect::Commit { number, ops } => self.commit(node, number, ops),
            Effect::Read { token, key } => {
                self.read(node, token, key);
                Ok(())
            }
            Effect::Scan { token, prefix, after, entries_max, bytes_max } => {
                let result = self.hosts[node].disk.scan(&prefix, after.as_deref(), entries_max, bytes_max);
                let background = prefix.len() < quorate_protocol::keys::DATA_PREFIX_BYTES;
                self.after_read(node, ToNode::Scanned { token, result, background });
                Ok(())
            }
            Effect::Answer { request, result } => self.answer(node, request, result),
            Effect::AnswerBootstrap { result, .. } => match result {
                Ok(layout) => self.witness.holds(node, Some(&layout)),
                // Its disk may be full at this moment; the driver asks again at the end.
                Err(error) => {
                    self.note(node, || format!("does not bootstrap: {error}"));
                    Ok(())
                }
            },
            // Operators here ask for no previews.
            Effect::AnswerPreview { .. } => Ok(()),
            Effect::AnswerChange { result, .. } => {
                self.order_answered(node, &result);
                Ok(())
            }
            Effect::GiveUp(betrayal) => self.gives_up(node, &betrayal),
            Effect::Notice(notice) => {
                match &notice {
                    Notice::RecordDamaged { .. } => self.figures.holes += 1,
                    Notice::RecordHealed { .. } => self.figures.healed += 1,
                    Notice::RecordLost { .. } | Notice::Standing { .. } => {}
                }
                self.note(node, || format!("{notice:?}"));
                Ok(())
            }
            Effect::LayoutAdopted(layout) => {
                self.note(node, || describe::layout(&layout));
                self.witness.holds(node, Some(&layout))?;
                let first = layout.epoch > self.layout.epoch;
                self.newest(&layout);
                self.unremembered.begins_anew(node);
                if first {
                    self.moment(node, Moment::AdoptedFirst)?;
                }
                self.moment(node, Moment::Adopted)
            }
            Effect::PeerChanged { peer, state } => self.judged(node, peer, state),
        }
    }

    fn answer(&mut self, node: usize, request: RequestId, result: OperationResult) -> Check {
        let attempt = usize::try_from(request.0).unwrap_or(usize::MAX);
        let Some(record) = self.oracle.attempts.get(attempt) else {
            return Err(violation(
                "answers",
                format!("{} answers {request:?}, which nobody asked", describe::node(node)),
            ));
        };
        let (operation, client) = (record.operation, record.client);
        checks::identity::answers(&self.hosts[node], &result)?;
        let late_us = self.late_us(node, attempt);
        self.tracer.mix(request.0);
        self.tracer.line(self.now_us, || {
            let what = describe::operation_name(&self.oracle, operation);
            format!("{} answers {what}: {}", describe::node(node), describe::outcome(&result))
        });
        let key = self.oracle.operations[operation].key;
        if key.is_some_and(|key| self.coordinates_itself(node, key, operation)) {
            checks::told(&result, self.handled_at_ms(node))?;
        }
        let held = self.counted_in(&result);
        let mut disks = key.map(|key| disks(&held, &self.hosts, &self.oracle, key));
        // An answer that was long on its way: who has left since has deleted what it had.
        if let (Some(disks), Some(key)) = (&mut disks, key) {
            let partition = self.oracle.keys[key].partition;
            let stays = |side: &Side| {
                let mut owners = held.owners_of(partition, *side).iter();
                owners.all(|owner| self.moves.was_lost(*owner) || self.layout.is_holder(partition, *owner))
            };
            let mut stays = held.writing_sides(partition).iter().map(stays);
            disks.sides.retain(|_| stays.next().unwrap_or(true));
        }
        checks::answered(&mut self.oracle, attempt, &result, disks.as_ref(), late_us)?;
        self.figures.count(&self.oracle.operations[operation].operation, &result);
        let moment = match (&result, self.oracle.operations[operation].operation.is_write()) {
            (Ok(_), true) => Some(Moment::Acknowledged),
            (Ok(_), false) => Some(Moment::ReadAnswered),
            (Err(_), _) => None,
        };
        self.client_answered(client, attempt, result);
        match moment {
            Some(moment) => self.moment(node, moment),
            None => Ok(()),
        }
    }

    /// Whether a node does an operation itself and does not forward it: one of the owners that count.
    fn coordinates_itself(&self, node: usize, key: usize, operation: usize) -> bool {
        if self.plan.moves.is_some() {
            return false;
        }
        let owners = self.layout.owners(self.oracle.keys[key].partition).iter();
        let n = self.oracle.operations[operation].quorum.n as usize;
        // An owner whose record was damaged, in this life or an earlier one, may have passed it on.
        let passes_on = self.plan.faults.may_do(|fault| fault == Fault::DamagedRecord);
        !passes_on && owners.take(n).any(|owner| *owner == self.hosts[node].id)
    }

    /// What a node's wall clock showed when it began to handle what it is handling; by now it may have jumped.
    pub(super) fn handled_at_ms(&self, node: usize) -> u64 {
        self.hosts[node].process.as_ref().map_or(0, |process| process.wall_ms)
    }

    /// How much too late an answer comes, beyond what timers and drift excuse.
    fn late_us(&self, node: usize, attempt: usize) -> u64 {
        let host = &self.hosts[node];
        let attempt = &self.oracle.attempts[attempt];
        let Some(process) = &host.process else { return 0 };
        // While it stood still it could not answer.
        if host.clock.mono(process.paused_until_us) >= attempt.started {
            return 0;
        }
        let took = host.clock.mono(self.now_us).since(attempt.started).as_micros();
        let allowed = u128::from(attempt.timeout_us) + u128::from(self.plan.clock.timer_lag_us) * 2 + 1_000;
        u64::try_from(took.saturating_sub(allowed)).unwrap_or(u64::MAX)
    }

    /// Plans the wake-up that the core asks for, unless one as early is planned.
    fn plan_wake(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let Some(process) = &mut host.process else { return };
        let Some(deadline) = process.node.next_deadline() else { return };
        let due_us = host.clock.world_time(deadline).max(self.now_us);
        let lag_us = self.plan.clock.timer_lag_us;
        if process.wake_us.is_some_and(|planned| planned <= due_us + lag_us) {
            return;
        }
        let at_us = due_us + self.rngs.lives.between(0, lag_us);
        process.wake_us = Some(at_us);
        let life = host.life;
        self.queue.plan(at_us, Happening::Node { node, life, what: ToNode::Wake });
    }

    /// A line of the trace about a node.
    pub(super) fn note(&mut self, node: usize, words: impl FnOnce() -> String) {
        self.tracer.line(self.now_us, || format!("{} {}", describe::node(node), words()));
    }

    fn trace_batch(&mut self, from: usize, to: usize, messages: &[Message]) {
        self.tracer.mix((from * self.hosts.len() + to) as u64);
        if self.tracer.is_read() {
            for message in messages {
                let words = describe::message(&self.oracle, message);
                self.tracer.line(self.now_us, || {
                    format!("{} hears from {}: {words}", describe::node(to), describe::node(from))
                });
            }
        }
    }
}
