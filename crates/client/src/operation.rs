//! What can be asked, and what is answered.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::id::OperationId;
use quorate_protocol::operation::{QuorumOptions, Ttl};
use quorate_protocol::version::Dot;

/// What a client has seen of one key: opaque, sent with the next put or delete of that key, and of no other.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Context(Bytes);

impl Context {
    /// Whether it says nothing: its bearer has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The token, for keeping it elsewhere.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl From<Bytes> for Context {
    fn from(token: Bytes) -> Self {
        Self(token)
    }
}

impl From<Vec<u8>> for Context {
    fn from(token: Vec<u8>) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} bytes)", self.0.len())
    }
}

macro_rules! common_setters {
    () => {
        /// In this bucket; without, in the default one.
        #[must_use]
        pub fn bucket(mut self, bucket: impl Into<String>) -> Self {
            self.bucket = bucket.into();
            self
        }

        /// With quorums other than the bucket's.
        #[must_use]
        pub fn quorum(mut self, quorum: QuorumOptions) -> Self {
            self.quorum = quorum;
            self
        }

        /// In this time, retries included; without, in the client's [`Options::timeout`](crate::Options). At most
        /// 60 seconds.
        #[must_use]
        pub fn timeout(mut self, timeout: Duration) -> Self {
            self.timeout = Some(timeout);
            self
        }
    };
}

/// Read a key.
#[derive(Clone, Debug)]
pub struct Get {
    pub(crate) bucket: String,
    pub(crate) key: Bytes,
    pub(crate) quorum: QuorumOptions,
    pub(crate) timeout: Option<Duration>,
}

impl Get {
    /// Reads this key.
    pub fn new(key: impl Into<Bytes>) -> Self {
        Self { bucket: String::new(), key: key.into(), quorum: QuorumOptions::default(), timeout: None }
    }

    common_setters!();
}

impl<K: Into<Bytes>> From<K> for Get {
    fn from(key: K) -> Self {
        Self::new(key)
    }
}

/// Store a value.
#[derive(Clone, Debug)]
pub struct Put {
    pub(crate) bucket: String,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) content_type: String,
    pub(crate) context: Context,
    pub(crate) operation: OperationId,
    pub(crate) ttl: Ttl,
    pub(crate) quorum: QuorumOptions,
    pub(crate) timeout: Option<Duration>,
}

impl Put {
    /// Stores this value under this key, beside what is there: a put replaces only what its context has seen.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self {
            bucket: String::new(),
            key: key.into(),
            value: value.into(),
            content_type: String::new(),
            context: Context::default(),
            operation: OperationId(rand::random()),
            ttl: Ttl::Bucket,
            quorum: QuorumOptions::default(),
            timeout: None,
        }
    }

    /// In place of what this context, from an earlier answer about this key, has seen.
    #[must_use]
    pub fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// The value's media type; without, `application/octet-stream`.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Shown for this long only ([`Duration`], from 1 ms to ten years), or for ever ([`Ttl::Never`]); without, as the
    /// bucket says. The clock of the node that stores the value decides.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Under this name instead of a random one. For a writer that repeats a put whose outcome it does not know, also
    /// after its own restart: the same put under the same name takes effect once.
    #[must_use]
    pub fn operation(mut self, operation: OperationId) -> Self {
        self.operation = operation;
        self
    }

    common_setters!();
}

/// Delete what was seen of a key.
#[derive(Clone, Debug)]
pub struct Delete {
    pub(crate) bucket: String,
    pub(crate) key: Bytes,
    pub(crate) context: Context,
    pub(crate) quorum: QuorumOptions,
    pub(crate) timeout: Option<Duration>,
}

impl Delete {
    /// Deletes this key: all that its context has seen, or, without one, all that a read shows.
    pub fn new(key: impl Into<Bytes>) -> Self {
        Self {
            bucket: String::new(),
            key: key.into(),
            context: Context::default(),
            quorum: QuorumOptions::default(),
            timeout: None,
        }
    }

    /// Only what this context, from an earlier answer about this key, has seen.
    #[must_use]
    pub fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    common_setters!();
}

impl<K: Into<Bytes>> From<K> for Delete {
    fn from(key: K) -> Self {
        Self::new(key)
    }
}

/// List the keys of a bucket, a page at a time.
#[derive(Clone, Debug, Default)]
pub struct ListKeys {
    pub(crate) bucket: String,
    pub(crate) cursor: Bytes,
    pub(crate) limit: u32,
    pub(crate) partitions: Option<Range<u32>>,
    pub(crate) quorum: QuorumOptions,
    pub(crate) timeout: Option<Duration>,
}

impl ListKeys {
    /// The first page of the default bucket.
    pub fn new() -> Self {
        Self::default()
    }

    /// The page that follows the one with this [`KeysPage::next`].
    #[must_use]
    pub fn after(mut self, cursor: Bytes) -> Self {
        self.cursor = cursor;
        self
    }

    /// At most this many keys in a page; 1000 without, and at most.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Only keys of these partitions, so that several can list side by side. How many there are:
    /// [`Layout::partitions`](crate::Layout::partitions).
    #[must_use]
    pub fn partitions(mut self, partitions: Range<u32>) -> Self {
        self.partitions = Some(partitions);
        self
    }

    common_setters!();
}

/// One of the values of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// As they were stored.
    pub bytes: Bytes,
    /// Their media type; empty: `application/octet-stream`.
    pub content_type: String,
    /// The name of the write that stored them.
    pub dot: Option<Dot>,
    /// From when on they are no longer shown: milliseconds since the Unix epoch. None: they stay.
    pub expires_at_ms: Option<u64>,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// None when the key is absent; several when writes were concurrent.
    pub values: Vec<Value>,
    /// For the next put or delete of this key. Not empty for a deleted key.
    pub context: Context,
    /// Owners that answered; 0 when the node did not say.
    pub primaries: u32,
    /// Others that answered in place of an owner that could not be reached; sloppy mode only.
    pub fallbacks: u32,
    /// The layout's epoch that they were counted in; 0 when the node did not say.
    pub epoch: u64,
}

impl Found {
    /// Whether the key has no value.
    pub fn is_absent(&self) -> bool {
        self.values.is_empty()
    }
}

/// A put or delete was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Covers what the operation's context covered, and the write: for the next put or delete of this key.
    pub context: Context,
    /// Owners that hold it durably, as far as the answer waited for them.
    pub primaries: u32,
    /// Others that hold it durably for an owner that could not be reached; sloppy mode only.
    pub fallbacks: u32,
    /// The layout's epoch that they were counted in.
    pub epoch: u64,
}

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysPage {
    /// By partition, and within one in byte order. Can be empty although more follow.
    pub keys: Vec<Bytes>,
    /// Where the next page begins ([`ListKeys::after`]); none: this was the last.
    pub next: Option<Bytes>,
}
