//! What can go wrong, and what is then known about the data.

use quorate_protocol::id::OperationId;
use quorate_protocol::operation::Failure;
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

/// Why an operation failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A node says so.
    #[error(transparent)]
    Node(#[from] Failure),
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

impl Reason {
    /// Whether the same operation may go well another time or elsewhere. False: it would fail again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Node(failure) => match failure {
                Failure::NotBootstrapped
                | Failure::NotAMember
                | Failure::Starting
                | Failure::Overloaded(_)
                | Failure::DiskFull
                | Failure::QuorumUnavailable { .. }
                | Failure::TimedOut { .. }
                | Failure::CoordinatorLost(_)
                | Failure::Storage(_) => true,
                Failure::Invalid { .. }
                | Failure::TooLarge { .. }
                | Failure::UnknownBucket(_)
                | Failure::ReadFirst(_) => false,
            },
            Self::Unreachable { .. } | Self::ConnectionLost { .. } | Self::NoAnswer { .. } => true,
            Self::Protocol { .. } => false,
        }
    }

    /// Whether the key has to be read, and the operation sent with the context that comes with it.
    pub fn is_read_first(&self) -> bool {
        matches!(self, Self::Node(Failure::ReadFirst(_)))
    }
}
