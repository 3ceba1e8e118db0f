//! The loop itself: drain what has come, let the core handle it, carry out what it says, wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quorate_protocol::chain::Preview;
use quorate_protocol::effect::{BootstrapError, ChangeError};
use quorate_protocol::id::NodeId;
use quorate_protocol::identity::Betrayal;
use quorate_protocol::layout::Layout;
use quorate_protocol::message::{Message, Stamp};
use quorate_protocol::operation::{Failure, OperationError, Timed};
use quorate_protocol::store::{CommitNumber, Store, StoreError, StoreOp};
use quorate_protocol::time::{Now, Time};
use quorate_protocol::{Effect, Effects, Event, Node, Peer, RequestId};
use slab::Slab;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::answers::{Answers, answer_one};
use super::commits::CommitQueue;
use super::handle::{gone, refuse};
use super::input::{Input, Reply};
use super::log;
use super::readers::{Lookup, Readers};
use super::view::{Verdict, View};
use crate::clock::link_time;

/// Inputs that one turn takes at most, so that effects never wait long.
const TURN_INPUTS: usize = 512;
/// A turn's commits go to the store in batches of about this size: it takes none that is too large.
const BATCH_BYTES: usize = 32 << 20;
/// A stopping loop waits no longer than this for what is under way. What serves clients has stopped before it: that is what it
/// coordinates for other nodes, and writes that wait for the rest of their owners.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// Where the loop sends what is for peers. Never blocks; what cannot be sent is lost, as on a network.
pub trait Outbox: Send + 'static {
    /// Sends a turn's messages for one peer, with the core's clocks.
    fn send(&mut self, to: NodeId, stamp: Stamp, messages: Vec<Message>);
}

/// How full the store is, for refusing early.
pub trait StorePressure {
    /// 0.0 at rest, 1.0 when the store is about to make its writers wait.
    fn fraction(&self) -> f64;

    /// Whether a batch of some size would have to wait in it. Not when it refuses all: it says so at once.
    fn is_busy(&self) -> bool;
}

enum Waiting {
    Operation { reply: Reply, is_write: bool },
    Bootstrap(oneshot::Sender<Result<Arc<Layout>, BootstrapError>>),
    Change(oneshot::Sender<Result<Arc<Layout>, ChangeError>>),
    Preview(oneshot::Sender<Result<Preview, ChangeError>>),
}

/// Why the loop ended, when the store did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to stop.
    Stopped,
    /// The directory cannot be trusted.
    GaveUp(Betrayal),
}

/// Everything that the loop owns.
pub(super) struct Engine<S, O> {
    pub(super) node: Node,
    pub(super) store: Arc<S>,
    pub(super) outbox: O,
    pub(super) readers: Readers,
    pub(super) inputs: mpsc::UnboundedReceiver<Input>,
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) layout: watch::Sender<Option<Arc<Layout>>>,
    pub(super) state: State,
}

/// What the loop keeps between turns.
pub(super) struct State {
    origin: Instant,
    effects: Effects,
    waiting: Slab<Waiting>,
    commits: CommitQueue,
    store_refusal: Option<String>,
    stopping: Option<Instant>,
    betrayal: Option<Betrayal>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            effects: Effects::default(),
            waiting: Slab::new(),
            commits: CommitQueue::default(),
            store_refusal: None,
            stopping: None,
            betrayal: None,
        }
    }
}

impl<S, O> Engine<S, O>
where
    S: Store + StorePressure + Send + Sync + 'static,
    O: Outbox,
{
    /// Turns until told to stop, until the node gives its directory up, or until the store fails. Who waits for an answer then gets one.
    pub(super) async fn run(mut self) -> Result<Ended, StoreError> {
        let ended = self.turn().await;
        let node = self.node.id();
        for waiting in self.state.waiting.drain() {
            if let Waiting::Operation { reply, is_write } = waiting {
                answer_one(reply, Err(gone(node, is_write)));
            }
        }
        self.inputs.close();
        while let Ok(input) = self.inputs.try_recv() {
            refuse(node, input);
        }
        ended
    }

    async fn turn(&mut self) -> Result<Ended, StoreError> {
        let mut inputs = Vec::with_capacity(TURN_INPUTS);
        self.handle(Event::Started);
        self.carry_out()?;
        loop {
            let wake = self.wake_at();
            tokio::select! {
                biased;
                // Links and clients notice when the loop takes nothing, and hold back.
                count = self.inputs.recv_many(&mut inputs, TURN_INPUTS), if !self.state.commits.are_held_up() => {
                    if count == 0 {
                        return Ok(Ended::Stopped);
                    }
                }
                () = sleep_until(wake.into()) => {}
            }
            let pressed = self.store.fraction() > 0.75;
            for input in inputs.drain(..) {
                self.take(input, pressed)?;
            }
            let now = self.now();
            if self.node.next_deadline().is_some_and(|deadline| deadline <= now.mono) {
                self.node.handle(now, Event::Deadline, &mut self.state.effects);
            }
            self.carry_out()?;
            if let Some(betrayal) = self.state.betrayal {
                return Ok(Ended::GaveUp(betrayal));
            }
            if let Some(since) = self.state.stopping
                && (self.is_idle() || since.elapsed() > STOP_WITHIN)
            {
                return Ok(Ended::Stopped);
            }
        }
    }

    fn is_idle(&self) -> bool {
        let gauges = self.node.gauges();
        self.state.waiting.is_empty() && gauges.operations == 0 && gauges.lingering == 0
    }

    fn wake_at(&self) -> Instant {
        let state = &self.state;
        let mut wake = Instant::now() + Duration::from_secs(3600);
        if let Some(deadline) = self.node.next_deadline() {
            wake = wake.min(state.origin + Duration::from_micros(deadline.0));
        }
        if let Some(retry) = state.commits.retry_at() {
            wake = wake.min(retry);
        }
        match state.stopping {
            Some(since) => wake.min(since + STOP_WITHIN),
            None => wake,
        }
    }

    fn now(&self) -> Now {
        let mono = u64::try_from(self.state.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono: Time(mono),
            link: link_time(),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn take(&mut self, input: Input, pressed: bool) -> Result<(), StoreError> {
        match input {
            Input::Operations(operations) => {
                self.queued.fetch_sub(operations.len(), Ordering::Relaxed);
                for (timed, reply) in operations {
                    self.begin(timed, reply, pressed);
                }
            }
            Input::Bootstrap { settings, reply } => {
                let request = RequestId(self.state.waiting.insert(Waiting::Bootstrap(reply)) as u64);
                self.handle(Event::Bootstrap { request, settings });
            }
            Input::Change { expected, order, reply } => {
                let request = RequestId(self.state.waiting.insert(Waiting::Change(reply)) as u64);
                tracing::info!(
                    ?order,
                    expected = expected.map_or(0, |epoch| epoch.0),
                    "a change of the layout is asked for"
                );
                self.handle(Event::Change { request, expected, order });
            }
            Input::Preview { expected, order, reply } => {
                let request = RequestId(self.state.waiting.insert(Waiting::Preview(reply)) as u64);
                self.handle(Event::Preview { request, expected, order });
            }
            Input::Peer(event, permit) => {
                self.handle(event);
                drop(permit);
            }
            Input::Durable(number) => {
                if let Some(through) = self.state.commits.durable(number) {
                    let sequence = self.store.sequence();
                    self.handle(Event::Durable { through, sequence });
                }
            }
            Input::Reads(events) => events.into_iter().for_each(|event| self.handle(event)),
            Input::Repair => self.handle(Event::Repair),
            Input::View(reply) => {
                let _ = reply.send(self.view());
            }
            Input::StoreFailed(error) => return Err(error),
            Input::Stop => self.state.stopping = Some(Instant::now()),
        }
        Ok(())
    }

    fn begin(&mut self, timed: Timed, reply: Reply, pressed: bool) {
        if self.state.stopping.is_some() || (pressed && timed.operation.is_write()) {
            let reason = if pressed { "the disk does not keep up" } else { "the node is stopping" };
            let error = OperationError::not_attempted(Failure::Overloaded(reason.into()));
            answer_one(reply, Err(error));
            return;
        }
        let waiting = Waiting::Operation { reply, is_write: timed.operation.is_write() };
        let request = RequestId(self.state.waiting.insert(waiting) as u64);
        self.handle(Event::Client { request, timed });
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        self.node.handle(now, event, &mut self.state.effects);
    }

    fn view(&self) -> View {
        let now = self.now().mono;
        let verdict =
            |(node, peer): (NodeId, &Peer)| Verdict { node, state: peer.state, since: now.since(peer.since) };
        View {
            node: self.node.id(),
            layout: self.node.layout().cloned(),
            reachable: self.node.live_peers().collect(),
            verdicts: self.node.peers().map(verdict).collect(),
            gossip: self.node.gossip(),
            stats: self.node.stats().clone(),
            gauges: self.node.gauges(),
            oldest_hint: self.node.oldest_hint(now),
            anti_entropy: self.node.anti_entropy(now),
            change: self.node.progress(),
            store_refusal: self.state.store_refusal.clone(),
            awaited: self.state.waiting.len(),
        }
    }

    /// Carries out all effects of a turn, like with like. Commits go in before the reads that must see them.
    fn carry_out(&mut self) -> Result<(), StoreError> {
        let mut ops: Vec<StoreOp> = Vec::new();
        let mut bytes = 0;
        let mut batches: Vec<(CommitNumber, Vec<StoreOp>)> = Vec::new();
        let mut through = CommitNumber(0);
        let mut lookups = Vec::new();
        let mut sends: Vec<(NodeId, Vec<Message>)> = Vec::new();
        let mut answers = Answers::default();
        let mut effects = std::mem::take(&mut self.state.effects);
        for effect in effects.drain() {
            match effect {
                Effect::Send { to, message } => match sends.iter_mut().find(|(peer, _)| *peer == to) {
                    Some((_, messages)) => messages.push(message),
                    None => sends.push((to, vec![message])),
                },
                Effect::Commit { number, ops: more } => {
                    let more_bytes: usize = more.iter().map(op_bytes).sum();
                    if bytes > 0 && bytes + more_bytes > BATCH_BYTES {
                        batches.push((through, std::mem::take(&mut ops)));
                        bytes = 0;
                    }
                    through = number;
                    bytes += more_bytes;
                    ops.extend(more);
                }
                Effect::Read { token, key } => lookups.push(Lookup::Key { token, key }),
                Effect::Scan { token, prefix, after, entries_max, bytes_max } => {
                    lookups.push(Lookup::Page { token, prefix, after, entries_max, bytes_max });
                }
                Effect::Answer { request, result } => {
                    if let Some(Waiting::Operation { reply, .. }) = self.take_waiting(request) {
                        answers.add(reply, result);
                    }
                }
                Effect::AnswerBootstrap { request, result } => {
                    if let Some(Waiting::Bootstrap(reply)) = self.take_waiting(request) {
                        let _ = reply.send(result);
                    }
                }
                Effect::AnswerChange { request, result } => {
                    if let Some(Waiting::Change(reply)) = self.take_waiting(request) {
                        let _ = reply.send(result);
                    }
                }
                Effect::AnswerPreview { request, result } => {
                    if let Some(Waiting::Preview(reply)) = self.take_waiting(request) {
                        let _ = reply.send(result);
                    }
                }
                Effect::GiveUp(betrayal) => self.state.betrayal = Some(betrayal),
                Effect::Notice(notice) => log::notice(&notice),
                Effect::LayoutAdopted(layout) => {
                    let (stage, members) = (layout.stage(), layout.members.len());
                    tracing::info!(epoch = %layout.epoch, ?stage, members, "layout adopted");
                    self.layout.send_replace(Some(layout));
                }
                Effect::PeerChanged { peer, state } => log::verdict(peer, state),
            }
        }
        self.state.effects = effects;
        if !ops.is_empty() || self.state.commits.retry_at().is_some() {
            for (through, ops) in batches {
                self.state.commits.submit(self.store.as_ref(), through, ops)?;
            }
            let refusal = self.state.commits.submit(self.store.as_ref(), through, ops)?;
            self.store_refusal_is(refusal);
        }
        let now = self.now();
        for (to, messages) in sends {
            self.outbox.send(to, self.node.stamp(now, to), messages);
        }
        self.readers.submit(lookups);
        answers.send();
        Ok(())
    }

    fn take_waiting(&mut self, request: RequestId) -> Option<Waiting> {
        self.state.waiting.try_remove(usize::try_from(request.0).ok()?)
    }

    fn store_refusal_is(&mut self, refusal: Option<String>) {
        if refusal.is_some() == self.state.store_refusal.is_some() {
            return;
        }
        match &refusal {
            Some(detail) => tracing::error!(detail, "the store takes no writes"),
            None => tracing::info!("the store takes writes again"),
        }
        let now = self.now();
        self.node.handle(now, Event::StoreWritable(refusal.is_none()), &mut self.state.effects);
        self.state.store_refusal = refusal;
    }
}

fn op_bytes(op: &StoreOp) -> usize {
    match op {
        StoreOp::Put { key, value } => key.len() + value.len(),
        StoreOp::Delete { key } => key.len(),
    }
}
