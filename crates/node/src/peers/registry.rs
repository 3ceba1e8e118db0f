//! Which link of each pair is in use, and the queue of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use quorate_protocol::Event;
use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{Epoch, NodeId, StartId};
use quorate_protocol::message::{Message, Stamp};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::frames::message_bytes;
use crate::driver::Input;
use crate::faults::Faults;

/// Bytes that may wait for one link; past it messages to that peer are lost.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Room beyond that for the gossip: a peer that is only slow must not look dead.
const GOSSIP_BYTES_MAX: usize = 1 << 20;

/// A turn's messages on their way into a link.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) stamp: Stamp,
    pub(super) messages: Vec<Message>,
    pub(super) bytes: usize,
    /// An injected fault holds it up until then.
    pub(super) held: Option<(NodeId, Instant)>,
}

/// The sending side of a link.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::UnboundedSender<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// The end of a queue that a link's stream reads.
#[derive(Debug)]
pub(super) struct QueueEnd {
    pub(super) receiver: mpsc::UnboundedReceiver<Outgoing>,
    pub(super) bytes: Arc<AtomicUsize>,
}

pub(super) fn queue() -> (Queue, QueueEnd) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let bytes = Arc::new(AtomicUsize::new(0));
    (Queue { sender, bytes: bytes.clone() }, QueueEnd { receiver, bytes })
}

/// Who is at the other end of a new link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) node: NodeId,
    pub(super) start: StartId,
    pub(super) epoch: Epoch,
    /// What its link clock showed.
    pub(super) clock: LinkTime,
    /// Whether this node dialed.
    pub(super) dialed_here: bool,
}

#[derive(Debug)]
struct Active {
    number: u64,
    who: Who,
    queue: Queue,
    close: Arc<Notify>,
}

/// What a link keeps while it is in use.
#[derive(Debug)]
pub(super) struct Registered {
    node: NodeId,
    number: u64,
    /// Told when another link takes its place.
    pub(super) close: Arc<Notify>,
}

/// Figures for metrics, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkFigures {
    /// Links in use.
    pub links: usize,
    /// Bytes that wait for links.
    pub queued_bytes: usize,
    /// Messages lost because their link's queue was full.
    pub dropped_messages: u64,
}

/// The links in use, one for each peer at most. The core hears of changes in their order.
#[derive(Debug)]
pub(crate) struct Registry {
    inputs: mpsc::UnboundedSender<Input>,
    faults: Arc<Faults>,
    active: Mutex<BTreeMap<NodeId, Active>>,
    next_number: AtomicU64,
    dropped: AtomicU64,
}

impl Registry {
    pub(super) fn new(inputs: mpsc::UnboundedSender<Input>, faults: Arc<Faults>) -> Self {
        Self {
            inputs,
            faults,
            active: Mutex::default(),
            next_number: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// What goes wrong on purpose.
    pub(super) fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// Puts a link to use, unless a better one of the same pair is: of two between the same lives, both sides keep
    /// the one that the lower id dialed. A new life of the peer always wins.
    pub(super) fn register(&self, me: NodeId, who: Who, queue: Queue) -> Option<Registered> {
        let dialed_by_lower = |who: &Who| who.dialed_here == (me < who.node);
        let mut active = self.active.lock();
        if let Some(old) = active.get(&who.node) {
            if old.who.start == who.start && dialed_by_lower(&old.who) && !dialed_by_lower(&who) {
                return None;
            }
            old.close.notify_one();
            self.tell(Event::LinkDown { peer: who.node });
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let close = Arc::new(Notify::new());
        active.insert(who.node, Active { number, who, queue, close: close.clone() });
        self.tell(Event::LinkUp { peer: who.node, epoch: who.epoch, clock: who.clock });
        Some(Registered { node: who.node, number, close })
    }

    /// A link has ended; nothing happens when another has taken its place.
    pub(super) fn deregister(&self, registered: &Registered) {
        let mut active = self.active.lock();
        if active.get(&registered.node).is_some_and(|link| link.number == registered.number) {
            active.remove(&registered.node);
            self.tell(Event::LinkDown { peer: registered.node });
        }
    }

    /// Ends all links; they are made anew.
    pub(super) fn close_all(&self) {
        for link in self.active.lock().values() {
            link.close.notify_one();
        }
    }

    /// Whether there is a link to this node.
    pub(super) fn is_linked(&self, node: NodeId) -> bool {
        self.active.lock().contains_key(&node)
    }

    /// Queues messages; without a link, or when its queue is full, they are lost.
    pub(super) fn send(&self, to: NodeId, stamp: Stamp, mut messages: Vec<Message>) {
        let active = self.active.lock();
        let Some(link) = active.get(&to) else { return };
        let held = self.faults.sending(to, &mut messages).map(|until| (to, until));
        let count = messages.len();
        let mut bytes: usize = messages.iter().map(message_bytes).sum();
        // Only this queues, under the lock; what is sent meanwhile makes more room.
        let queued = link.queue.bytes.load(Ordering::Relaxed);
        if queued + bytes > QUEUE_BYTES_MAX {
            messages.retain(|message| matches!(message, Message::Gossip(_) | Message::Beat));
            bytes = messages.iter().map(message_bytes).sum();
            if queued + bytes > QUEUE_BYTES_MAX + GOSSIP_BYTES_MAX {
                messages.clear();
            }
            self.dropped.fetch_add((count - messages.len()) as u64, Ordering::Relaxed);
        }
        if !messages.is_empty() {
            link.queue.bytes.fetch_add(bytes, Ordering::Relaxed);
            let _ = link.queue.sender.send(Outgoing { stamp, messages, bytes, held });
        }
    }

    /// For metrics.
    pub(super) fn figures(&self) -> LinkFigures {
        let active = self.active.lock();
        LinkFigures {
            links: active.len(),
            queued_bytes: active.values().map(|link| link.queue.bytes.load(Ordering::Relaxed)).sum(),
            dropped_messages: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn tell(&self, event: Event) {
        let _ = self.inputs.send(Input::Peer(event, None));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_full_queue_has_room_for_the_gossip() {
        let (inputs, _events) = mpsc::unbounded_channel();
        let registry = Registry::new(inputs, Arc::new(Faults::new(false)));
        let (queue, mut end) = queue();
        let peer = NodeId(2);
        let who = Who {
            node: peer,
            start: StartId(1),
            epoch: Epoch(1),
            clock: LinkTime::default(),
            dialed_here: true,
        };
        registry.register(NodeId(1), who, queue).expect("it is the only link");
        let data = || Message::LayoutOffer(Bytes::from(vec![0; QUEUE_BYTES_MAX / 4]));
        let gossip = || Message::Gossip(Bytes::from(vec![0; GOSSIP_BYTES_MAX / 4]));
        for _ in 0..8 {
            registry.send(peer, Stamp::default(), vec![data(), gossip()]);
        }
        let mut counts = (0_u64, 0_u64);
        while let Ok(outgoing) = end.receiver.try_recv() {
            let (gossip, data): (Vec<_>, Vec<_>) = outgoing
                .messages
                .into_iter()
                .partition(|message| matches!(message, Message::Gossip(_) | Message::Beat));
            counts = (counts.0 + data.len() as u64, counts.1 + gossip.len() as u64);
        }
        assert_eq!(counts.0, 3, "a fourth would be past the bound");
        assert!(counts.1 > 3, "{} packets of gossip were queued", counts.1);
        let figures = registry.figures();
        assert!(figures.queued_bytes <= QUEUE_BYTES_MAX + GOSSIP_BYTES_MAX);
        assert_eq!(figures.dropped_messages, 16 - counts.0 - counts.1);
    }
}
