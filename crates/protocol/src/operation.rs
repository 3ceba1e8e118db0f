//! What clients ask, what they are answered, and what went wrong.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::id::{Epoch, NodeId, OperationId, PartitionId};
use crate::layout::QuorumMode;
use crate::version::{ContentType, ContextToken, Sibling};

/// A request's own quorum settings; what is absent is the bucket's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumOptions {
    /// How many of the owners count: 1 to the bucket's n.
    pub n: Option<u32>,
    /// How many must answer a read: 1 to n.
    pub r: Option<u32>,
    /// How many must acknowledge a write: 1 to n.
    pub w: Option<u32>,
    /// How many of those that answer a read must be primaries: at most n.
    pub pr: Option<u32>,
    /// How many of those that acknowledge a write must be primaries: at most n.
    pub pw: Option<u32>,
    /// Whether fallbacks stand in for primaries that cannot be reached.
    pub mode: Option<QuorumMode>,
}

/// How long a value is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// As long as its bucket says.
    #[default]
    Bucket,
    /// Until it is replaced or deleted, whatever its bucket says.
    Never,
    /// This long: 1 ms to [`Limits::ttl`](crate::Limits). The coordinator's wall clock decides.
    After(Duration),
}

impl From<Duration> for Ttl {
    fn from(ttl: Duration) -> Self {
        Self::After(ttl)
    }
}

/// Store a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The bucket's name; empty: the default one.
    pub bucket: String,
    /// 1 to [`Limits::key_bytes`](crate::Limits) bytes.
    pub key: Bytes,
    /// Up to [`Limits::value_bytes`](crate::Limits) bytes.
    pub value: Bytes,
    /// What the value is.
    pub content_type: ContentType,
    /// What the client has seen of the key; empty: nothing.
    pub context: ContextToken,
    /// The same on every retry.
    pub operation: OperationId,
    /// How long the value is shown. A retry that finds the first attempt's value leaves it its time.
    pub ttl: Ttl,
    /// Quorums, where they are not the bucket's.
    pub quorum: QuorumOptions,
}

/// Read a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// The bucket's name; empty: the default one.
    pub bucket: String,
    /// 1 to [`Limits::key_bytes`](crate::Limits) bytes.
    pub key: Bytes,
    /// Quorums, where they are not the bucket's.
    pub quorum: QuorumOptions,
}

/// Delete what was seen of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The bucket's name; empty: the default one.
    pub bucket: String,
    /// 1 to [`Limits::key_bytes`](crate::Limits) bytes.
    pub key: Bytes,
    /// What the client has seen of the key; empty: what a read at R shows.
    pub context: ContextToken,
    /// Quorums, where they are not the bucket's.
    pub quorum: QuorumOptions,
}

/// One page of the keys of one partition of a bucket, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The bucket's name; empty: the default one.
    pub bucket: String,
    /// Which partition.
    pub partition: PartitionId,
    /// Where to go on: keys greater than this one.
    pub after: Option<Bytes>,
    /// The most keys to name: 1 to [`Limits::list_keys`](crate::Limits).
    pub limit: u32,
    /// Quorums, where they are not the bucket's.
    pub quorum: QuorumOptions,
}

/// Anything a client can ask of the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Store a value.
    Put(Put),
    /// Read a key.
    Get(Get),
    /// Delete a key.
    Delete(Delete),
    /// List keys.
    List(List),
}

/// A put or delete was carried out: what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Covers what the client's context covered, and this write.
    pub context: ContextToken,
    /// Primaries that hold it durably, so far.
    pub primaries: u32,
    /// Fallbacks that hold it durably for a primary that could not be reached; sloppy mode only.
    pub fallbacks: u32,
    /// The layout's epoch that it was counted in.
    pub epoch: Epoch,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The values whose time is not over; none when the key is absent; several when writes were concurrent.
    pub siblings: Vec<Sibling>,
    /// Covers all that was read; not empty for a deleted key.
    pub context: ContextToken,
    /// Primaries that answered.
    pub primaries: u32,
    /// Fallbacks that answered in place of a primary that could not be reached; sloppy mode only.
    pub fallbacks: u32,
    /// The layout's epoch that they were counted in.
    pub epoch: Epoch,
}

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Keys with at least one live value, in order.
    pub keys: Vec<Bytes>,
    /// Where to go on: after this key, which may itself not be live. None: the partition is at its end.
    pub next: Option<Bytes>,
}

/// What became of an operation that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a put.
    Put(Written),
    /// Of a get.
    Get(Found),
    /// Of a delete.
    Delete(Written),
    /// Of a listing.
    List(Listed),
}

/// Whether state may have changed although the operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// Nothing was sent and nothing stored: it has no effect, now or later.
    NotAttempted,
    /// Some replica may have it: it can surface later.
    Indeterminate,
}

/// Why an operation failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// A field of the request breaks a bound.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// The bound that it breaks.
        reason: String,
    },
    /// A field is larger than what is taken.
    #[error("{field}: {bytes} bytes, and at most {max_bytes} are taken")]
    TooLarge {
        /// Which field.
        field: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        max_bytes: usize,
    },
    /// No bucket has this name.
    #[error("bucket: there is none named {0:?}")]
    UnknownBucket(String),
    /// The node has no layout yet.
    #[error("the cluster is not bootstrapped")]
    NotBootstrapped,
    /// The node was started again, and waits to hear what others know of it.
    #[error("this node has just started, and waits for word from the others")]
    Starting,
    /// The node has left the cluster: it may serve nothing of what its disk still holds.
    #[error("this node is no member of the cluster any more")]
    NotAMember,
    /// The key holds too much for a write that has seen none of it, or the context is too scattered.
    #[error("read first: {0}")]
    ReadFirst(String),
    /// Too much is under way here; trying again later may succeed.
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// The disk of the node that coordinates is full.
    #[error("the disk is full")]
    DiskFull,
    /// Not enough replicas can be reached.
    #[error("quorum not reachable: {needed} needed, {reachable} reachable")]
    QuorumUnavailable {
        /// How many have to answer.
        needed: u32,
        /// How many can be asked.
        reachable: u32,
    },
    /// The time was over before enough replicas had answered.
    #[error("timed out: {needed} needed, {answered} answered")]
    TimedOut {
        /// How many had to answer.
        needed: u32,
        /// How many did.
        answered: u32,
    },
    /// The node that was to coordinate went away.
    #[error("the coordinator {0} went away")]
    CoordinatorLost(NodeId),
    /// The coordinator's own storage could not give or take what it had to.
    #[error("storage: {0}")]
    Storage(String),
}

/// A failed operation: why, and whether it may have had an effect all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// Why.
    pub failure: Failure,
    /// Whether state may have changed.
    pub attempted: Attempted,
    /// Of a delete without context that failed after its read: what it saw. A retry sends it.
    pub context: Option<ContextToken>,
}

impl OperationError {
    /// A failure that nothing was sent for.
    pub fn not_attempted(failure: Failure) -> Self {
        Self { failure, attempted: Attempted::NotAttempted, context: None }
    }

    /// A failure after something was sent.
    pub fn indeterminate(failure: Failure) -> Self {
        Self { failure, attempted: Attempted::Indeterminate, context: None }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)?;
        match self.attempted {
            Attempted::NotAttempted => f.write_str(" (nothing was changed)"),
            Attempted::Indeterminate => f.write_str(" (it may have taken effect)"),
        }
    }
}

impl std::error::Error for OperationError {}

/// How an operation ended.
pub type OperationResult = Result<Outcome, OperationError>;

impl Operation {
    /// The quorums asked for.
    pub fn quorum(&self) -> &QuorumOptions {
        match self {
            Self::Put(put) => &put.quorum,
            Self::Get(get) => &get.quorum,
            Self::Delete(delete) => &delete.quorum,
            Self::List(list) => &list.quorum,
        }
    }

    /// The bucket's name; empty: the default one.
    pub fn bucket(&self) -> &str {
        match self {
            Self::Put(put) => &put.bucket,
            Self::Get(get) => &get.bucket,
            Self::Delete(delete) => &delete.bucket,
            Self::List(list) => &list.bucket,
        }
    }

    /// The user's key; none for a listing.
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Put(put) => Some(&put.key),
            Self::Get(get) => Some(&get.key),
            Self::Delete(delete) => Some(&delete.key),
            Self::List(_) => None,
        }
    }

    /// The bytes that it brings.
    pub fn value_bytes(&self) -> usize {
        match self {
            Self::Put(put) => put.key.len() + put.value.len(),
            Self::Get(_) | Self::Delete(_) | Self::List(_) => 0,
        }
    }

    /// Whether it can change anything.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Put(_) | Self::Delete(_))
    }
}

/// An operation with the time that it has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// What to do.
    pub operation: Operation,
    /// In how much time; zero: the node's default.
    pub timeout: Duration,
}
