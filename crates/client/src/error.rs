//! What can go wrong, and what is then known about the data.

use quorate_protocol::id::{NodeId, OperationId};
use thiserror::Error;

use crate::operation::Context;

/// A failed operation. The variant says whether state may have changed; the [`Reason`] says why it failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// It has no effect, now or later: asking again is safe, also elsewhere and under another operation id. Reads
    /// always fail this way.
    #[error("{reason} (nothing was changed)")]
    NotAttempted {
        /// Why it failed.
        reason: Reason,
    },
    /// Some replica may have it: it can surface later. A put may be repeated only under the same operation id, a
    /// delete only with a context.
    #[error("{reason} (it may have taken effect)")]
    Indeterminate {
        /// Why it failed.
        reason: Reason,
        /// Of a put: the id to repeat it under.
        operation: Option<OperationId>,
        /// Of a delete without context that failed after its read: the context to repeat it with.
        context: Option<Context>,
    },
}

impl Error {
    /// Why it failed.
    pub fn reason(&self) -> &Reason {
        match self {
            Self::NotAttempted { reason } | Self::Indeterminate { reason, .. } => reason,
        }
    }

    /// Whether state may have changed all the same.
    pub fn is_indeterminate(&self) -> bool {
        matches!(self, Self::Indeterminate { .. })
    }

    pub(crate) fn not_attempted(reason: Reason) -> Self {
        Self::NotAttempted { reason }
    }

    pub(crate) fn indeterminate(reason: Reason) -> Self {
        Self::Indeterminate { reason, operation: None, context: None }
    }
}

impl Reason {
    /// Whether the same operation may go well another time or elsewhere. False: it would fail again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotBootstrapped
            | Self::Overloaded(_)
            | Self::DiskFull
            | Self::QuorumUnavailable { .. }
            | Self::TimedOut { .. }
            | Self::CoordinatorLost(_)
            | Self::Storage(_)
            | Self::Unreachable { .. }
            | Self::ConnectionLost { .. }
            | Self::NoAnswer { .. } => true,
            Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::UnknownBucket(_)
            | Self::ReadFirst(_)
            | Self::Protocol { .. } => false,
        }
    }
}

/// Why an operation failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A field of the request breaks a bound.
    #[error("{message}")]
    Invalid {
        /// Which field.
        field: String,
        /// The field and the bound, in words.
        message: String,
    },
    /// A field is larger than what is taken.
    #[error("{field}: {bytes} bytes, and at most {max_bytes} are taken")]
    TooLarge {
        /// Which field.
        field: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// No bucket has this name.
    #[error("{0}")]
    UnknownBucket(String),
    /// The node asked belongs to no cluster yet.
    #[error("the cluster is not bootstrapped")]
    NotBootstrapped,
    /// Read the key, and send the context that comes with it.
    #[error("{0}")]
    ReadFirst(String),
    /// Too much is under way there; trying again later may succeed.
    #[error("{0}")]
    Overloaded(String),
    /// The disk of the node that coordinates is full.
    #[error("the disk is full")]
    DiskFull,
    /// Not enough replicas can be reached.
    #[error("quorum not reachable: {needed} needed, {reachable} reachable")]
    QuorumUnavailable {
        /// How many have to answer.
        needed: u64,
        /// How many can be asked.
        reachable: u64,
    },
    /// Not enough replicas answered in time.
    #[error("timed out: {needed} needed, {answered} answered")]
    TimedOut {
        /// How many had to answer.
        needed: u64,
        /// How many did.
        answered: u64,
    },
    /// The node that was to coordinate went away.
    #[error("the coordinator {0} went away")]
    CoordinatorLost(NodeId),
    /// The coordinator's own storage failed.
    #[error("{0}")]
    Storage(String),
    /// No connection could be made.
    #[error("cannot connect to {address}: {message}")]
    Unreachable {
        /// Where to.
        address: String,
        /// What the network said.
        message: String,
    },
    /// The connection broke after the request had gone out.
    #[error("lost the connection to {address}: {message}")]
    ConnectionLost {
        /// Where to.
        address: String,
        /// What the network said.
        message: String,
    },
    /// Nothing came back in time.
    #[error("no answer from {address} in time")]
    NoAnswer {
        /// From where.
        address: String,
    },
    /// The other side does not speak as a Quorate node of this version does.
    #[error("{address} answered out of protocol: {message}")]
    Protocol {
        /// Who.
        address: String,
        /// What it said.
        message: String,
    },
}
