//! All that a node can ask of the world.

use std::sync::Arc;

use bytes::Bytes;

use crate::chain::Preview;
use crate::event::{ReadToken, RequestId};
use crate::id::{Epoch, NodeId};
use crate::identity::Betrayal;
use crate::layout::Layout;
use crate::membership::PeerState;
use crate::message::{KeyRef, Message};
use crate::operation::OperationResult;
use crate::store::{CommitNumber, StoreOp};

/// Why a bootstrap was refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BootstrapError {
    /// The settings make no layout.
    #[error(transparent)]
    Invalid(#[from] crate::layout::InvalidSettings),
    /// This node is not among the members.
    #[error("members: {0}, the node that was asked, is not among them")]
    NotAMember(NodeId),
    /// The node holds another layout already.
    #[error("the node belongs to cluster {0} already, with other settings")]
    AlreadyBootstrapped(crate::id::ClusterId),
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
}

/// Why the layout was not changed as asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChangeError {
    /// There is no layout with such a successor.
    #[error(transparent)]
    Order(#[from] crate::layout::OrderError),
    /// The node has no layout.
    #[error("the node belongs to no cluster yet")]
    NotBootstrapped,
    /// The node belongs to the cluster no more.
    #[error("the node is no member of the cluster any more")]
    NotAMember,
    /// The node was started again, and waits to hear what others know of it.
    #[error("the node has just started, and waits for word from the others: try again, or ask another")]
    Starting,
    /// Somebody else has changed the layout.
    #[error("the layout was changed meanwhile: its epoch is {} now", epoch.0)]
    ChangedMeanwhile {
        /// The epoch held now.
        epoch: Epoch,
    },
    /// A node that is to be added cannot be reached from here.
    #[error("add: {0} cannot be reached from the node that was asked")]
    Unreachable(NodeId),
    /// Another request is under way at this node.
    #[error("another request to change the layout is under way here: try again")]
    Busy,
    /// Too few voters have answered. What was asked may still happen.
    #[error(
        "{needed} voters have to agree, and these have not answered: {}; it may still happen",
        names(silent)
    )]
    NoMajority {
        /// How many have to.
        needed: usize,
        /// Who has not.
        silent: Vec<NodeId>,
    },
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ")
}

/// Something to do. The shell carries effects out in their order and reports back by [`Event`](crate::Event)s.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send to a peer, if the link is up; otherwise forget it.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Make these changes durable, together; then say [`Durable`](crate::Event::Durable). Every later read sees them
    /// at once. Several commits may become one batch, in order.
    Commit {
        /// 1, 2, 3, ... in each life of the core.
        number: CommitNumber,
        /// The changes.
        ops: Vec<StoreOp>,
    },
    /// Read a key of the store, commits before this effect included; then say [`ReadDone`](crate::Event::ReadDone).
    Read {
        /// Names the result.
        token: ReadToken,
        /// The store's whole key.
        key: Bytes,
    },
    /// Scan the store, commits before this effect included; then say [`ScanDone`](crate::Event::ScanDone).
    Scan {
        /// Names the result.
        token: ReadToken,
        /// The prefix of the store's keys.
        prefix: Bytes,
        /// Only keys greater than this one.
        after: Option<Bytes>,
        /// The most entries.
        entries_max: usize,
        /// No more entries once they are larger than this.
        bytes_max: usize,
    },
    /// Answer a client.
    Answer {
        /// Whom.
        request: RequestId,
        /// What.
        result: OperationResult,
    },
    /// Answer who asked for a bootstrap.
    AnswerBootstrap {
        /// Whom.
        request: RequestId,
        /// The layout that the node now holds, durably.
        result: Result<Arc<Layout>, BootstrapError>,
    },
    /// Answer who asked for another layout.
    AnswerChange {
        /// Whom.
        request: RequestId,
        /// The layout that was asked for, chosen and held durably here.
        result: Result<Arc<Layout>, ChangeError>,
    },
    /// Answer who asked what another layout would move.
    AnswerPreview {
        /// Whom.
        request: RequestId,
        /// What would follow, or why nothing would.
        result: Result<Preview, ChangeError>,
    },
    /// The node now holds this layout, durably.
    LayoutAdopted(Arc<Layout>),
    /// The gossip says something else of a node than before.
    PeerChanged {
        /// Of whom.
        peer: NodeId,
        /// What it says now; none when it has forgotten the node.
        state: Option<PeerState>,
    },
    /// This directory cannot be trusted: stop, set it aside, and start with an empty one, as another node. The core does nothing more.
    GiveUp(Betrayal),
    /// For the log; nothing is to be done.
    Notice(Notice),
}

/// Something that the people who run a node want to read of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A stored record cannot be read back.
    RecordDamaged {
        /// Whose.
        key: KeyRef,
        /// What is wrong with it.
        detail: String,
    },
    /// The key of a damaged record holds again all that the other owners hold, or what was in memory.
    RecordHealed {
        /// Which.
        key: KeyRef,
    },
    /// The node takes part from now on.
    Standing {
        /// Whether it has heard from all that it waited for. If not, some other node may know that the directory is an old copy.
        vouched: bool,
    },
    /// There is no other owner of a damaged record: what it held is gone.
    RecordLost {
        /// Whose.
        key: KeyRef,
    },
}

/// The effects of handling events, in order.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
}

impl Effects {
    /// Adds one.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Takes them all, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.list.drain(..)
    }

    /// Looks at them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Effect> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
