//! What is to happen, by time and, at one time, in the order in which it was planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bytes::Bytes;
use quorate_protocol::ReadToken;
use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{Epoch, NodeId};
use quorate_protocol::message::{Message, Stamp};
use quorate_protocol::store::{CommitNumber, ScanPage, StoreError};

/// Something that is to happen to one life of a node's process.
#[derive(Clone, Debug)]
pub(super) enum ToNode {
    /// A batch arrives.
    Batch { from: usize, from_id: NodeId, from_life: u32, stamp: Stamp, messages: Vec<Message> },
    /// The disk has synced.
    Synced(CommitNumber),
    /// A read of the disk is done; what it found, or nothing if the disk looks only now.
    Read { token: ReadToken, key: Bytes, found: Option<Result<Option<Bytes>, StoreError>> },
    /// A scan of the disk is done; of a whole partition in the background, or of a bucket for somebody who waits.
    Scanned { token: ReadToken, result: Result<ScanPage, StoreError>, background: bool },
    /// A timer fires.
    Wake,
    /// It learns that a connection is up.
    LinkUp { peer: usize, peer_life: u32, connection: u64, epoch: Epoch, clock: LinkTime },
    /// It learns that a connection is gone.
    LinkDown { peer: usize, connection: u64 },
    /// The disk has room, or has none.
    Writable(bool),
    /// Its process has started.
    Started,
    /// Somebody founds the cluster here.
    Bootstrap,
    /// A client's request arrives.
    Request { attempt: usize },
}

/// Something that is to happen.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// To one life of a process.
    Node { node: usize, life: u32, what: ToNode },
    /// Two nodes try to connect.
    Connect { a: usize, b: usize },
    /// A client does its next step.
    ClientStep(usize),
    /// A client waits no longer for this attempt.
    GiveUp { client: usize, attempt: usize },
    /// A random fault.
    RandomFault,
    /// An operator asks for another layout.
    Order,
    /// A process is started again.
    Restart(usize),
    /// A process that stood still goes on: its connections may have to be made anew.
    Resumed(usize),
    /// Cut directions are mended.
    Mend(Vec<(usize, usize)>),
}

struct Entry {
    at_us: u64,
    sequence: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, for the heap gives the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.sequence).cmp(&(self.at_us, self.sequence))
    }
}

/// The queue of all that is planned.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Entry>,
    planned: u64,
    /// Of these, how many are more than a timer, gossip or a client's patience.
    busy: u64,
}

impl Happening {
    /// Whether the cluster is not at rest while this is to come.
    fn is_business(&self) -> bool {
        match self {
            Self::Node { what: ToNode::Wake | ToNode::Scanned { background: true, .. }, .. } => false,
            // Replicas compare themselves, and nodes gossip, for ever.
            Self::Node { what: ToNode::Batch { messages, .. }, .. } => {
                !messages.iter().all(Message::is_background)
            }
            Self::Node { .. } => true,
            Self::Connect { .. } | Self::Restart(_) | Self::Resumed(_) | Self::Mend(_) => true,
            Self::ClientStep(_) | Self::GiveUp { .. } | Self::RandomFault | Self::Order => false,
        }
    }
}

impl Queue {
    /// Plans something.
    pub(super) fn plan(&mut self, at_us: u64, what: Happening) {
        self.planned += 1;
        self.busy += u64::from(what.is_business());
        self.heap.push(Entry { at_us, sequence: self.planned, what });
    }

    /// The next thing, and when.
    pub(super) fn next(&mut self) -> Option<(u64, Happening)> {
        let entry = self.heap.pop()?;
        self.busy -= u64::from(entry.what.is_business());
        Some((entry.at_us, entry.what))
    }

    /// How much is planned.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether anything is to come but timers, gossip and the patience of clients.
    pub(super) fn is_busy(&self) -> bool {
        self.busy > 0
    }
}
