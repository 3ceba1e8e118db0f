//! Every bound in one place.

use std::time::Duration;

/// The longest time for which a value can be stored: ten years.
pub const TTL_MAX: Duration = Duration::from_secs(3_653 * 86_400);

/// What is refused, and when. A node's configuration may change each; the bounds on keys and values must agree
/// across a cluster only in so far as its clients expect it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest key.
    pub key_bytes: usize,
    /// The longest value.
    pub value_bytes: usize,
    /// The longest media type.
    pub content_type_bytes: usize,
    /// At this many siblings writes without a context are refused; merges never are.
    pub siblings: usize,
    /// Past this many value bytes in one container writes without a context are refused.
    pub container_bytes: usize,
    /// More dots beyond the vector than this in a client's context: it has to read first.
    pub cloud_dots: usize,
    /// The longest time after which a value may be asked to expire.
    pub ttl: Duration,
    /// The longest time an operation may be given.
    pub timeout: Duration,
    /// The time an operation gets that names none.
    pub default_timeout: Duration,
    /// Client operations under way at once, forwarded ones included; past it they are refused.
    pub client_operations: usize,
    /// Replica requests under way at once, which have their own room.
    pub replica_requests: usize,
    /// The most keys that one page of a listing names.
    pub list_keys: usize,
    /// Bytes of containers kept in memory beside those in use.
    pub cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 1024,
            value_bytes: 1 << 20,
            content_type_bytes: 255,
            siblings: 100,
            container_bytes: 4 << 20,
            cloud_dots: 256,
            ttl: TTL_MAX,
            timeout: Duration::from_secs(60),
            default_timeout: Duration::from_secs(5),
            client_operations: 4096,
            replica_requests: 16384,
            list_keys: 1000,
            cache_bytes: 128 << 20,
        }
    }
}

/// A time to live in milliseconds, or why it cannot be one.
pub(crate) fn ttl_ms(ttl: Duration, max: Duration) -> Result<u64, String> {
    let (asked_ms, max_ms) = (ttl.as_millis(), max.as_millis());
    match u64::try_from(asked_ms) {
        Ok(ms) if ms > 0 && asked_ms <= max_ms => Ok(ms),
        _ => Err(format!("{asked_ms} ms is not from 1 to {max_ms} ms")),
    }
}
