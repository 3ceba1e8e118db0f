//! All that can happen to a node.

use bytes::Bytes;

use crate::echo::LinkTime;
use crate::id::{Epoch, NodeId};
use crate::layout::{Bootstrap, Order};
use crate::message::{Message, Stamp};
use crate::operation::Timed;
use crate::store::{CommitNumber, ScanPage, Sequence, StoreError};

/// The shell's name for a client request; it comes back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The core's name for a read of the store; it comes back with the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadToken(pub u64);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client wants something.
    Client {
        /// For the answer.
        request: RequestId,
        /// What, and in how much time.
        timed: Timed,
    },
    /// Somebody wants this node to hold the first layout of a cluster.
    Bootstrap {
        /// For the answer.
        request: RequestId,
        /// What the layout is a function of.
        settings: Bootstrap,
    },
    /// Somebody wants another layout.
    Change {
        /// For the answer.
        request: RequestId,
        /// The epoch that the asker has seen: with another one nothing is done.
        expected: Option<Epoch>,
        /// What is to be done.
        order: Order,
    },
    /// Somebody wants to know what another layout would move; nothing is changed.
    Preview {
        /// For the answer.
        request: RequestId,
        /// The epoch that the asker has seen: with another one there is no preview.
        expected: Option<Epoch>,
        /// What would be done.
        order: Order,
    },
    /// The process has started; the first event of a life.
    Started,
    /// The link to a peer came up: both sides have shown identity and cluster.
    LinkUp {
        /// Who is there.
        peer: NodeId,
        /// The epoch that the peer holds; 0 before it has a layout.
        epoch: Epoch,
        /// What the peer's link clock showed.
        clock: LinkTime,
    },
    /// The link to a peer is gone; what was sent on it may be lost.
    LinkDown {
        /// Who was there.
        peer: NodeId,
    },
    /// A batch came from a peer.
    Messages {
        /// Who sent it: the link has established that.
        from: NodeId,
        /// The sender's clocks when it did.
        stamp: Stamp,
        /// In the order of sending.
        messages: Vec<Message>,
    },
    /// Storage reports.
    Durable {
        /// Every [`Commit`](crate::Effect::Commit) up to this number is durable.
        through: CommitNumber,
        /// How far the directory's history goes now.
        sequence: Sequence,
    },
    /// A [`Read`](crate::Effect::Read) is done.
    ReadDone {
        /// Which.
        token: ReadToken,
        /// The value, if there is one.
        result: Result<Option<Bytes>, StoreError>,
    },
    /// A [`Scan`](crate::Effect::Scan) is done.
    ScanDone {
        /// Which.
        token: ReadToken,
        /// The page.
        result: Result<ScanPage, StoreError>,
    },
    /// Somebody wants all replicas that this node owns compared with the other owners' now, and made equal.
    Repair,
    /// The store takes writes, or does not for want of room.
    StoreWritable(bool),
    /// The time that [`Node::next_deadline`](crate::Node::next_deadline) named has come.
    Deadline,
}
