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
    /// A container that was read longer ago than this is not taken, by the receiver's clock. Tombstones are kept for more
    /// than twice as long. The same on all nodes.
    pub message_age: Duration,
    /// Keys whose tombstones this node watches at once, to forget them when their time has come.
    pub purge_keys: usize,
    /// Entries of a context beyond which those of retired actors are forgotten.
    pub context_entries: usize,
    /// Keys that owners missed and this node remembers to bring to them, at most; the rest is left to anti-entropy.
    pub hints: usize,
    /// Bytes of containers that this node keeps for owners that cannot be reached; past it sloppy writes are refused.
    pub fallback_bytes: usize,
    /// An owner away for longer than this is not remembered key by key any more: anti-entropy will bring all.
    pub hint_age: Duration,
    /// Bytes of hints brought to owners per second.
    pub hint_bytes_per_s: u64,
    /// Bytes of containers kept in memory beside those in use.
    pub cache_bytes: usize,
    /// A node that was started again waits no longer than this for what others know of it.
    pub start_wait: Duration,
    /// How often one other node is probed for life, while this one is well.
    pub probe_period: Duration,
    /// A probe that takes longer than this is tried by way of others; at most half the period is used.
    pub probe_timeout: Duration,
    /// The time that a node has to say that it is alive after somebody said that it does not answer.
    pub suspicion: Duration,
    /// Whether a read sends the union to the replicas that answered with less. Off only where anti-entropy is to be seen at
    /// work alone.
    pub read_repair: bool,
    /// How often each pair of owners compares its Merkle trees, a quarter more or less.
    pub exchange_interval: Duration,
    /// Bytes of containers that anti-entropy sends in a second, on average.
    pub exchange_bytes_per_s: u64,
    /// How often the background sweep begins to read all that this node holds. The first after a start, which builds the
    /// Merkle trees, begins at once.
    pub sweep_interval: Duration,
    /// Bytes that the sweep reads in a second, on average, where the partition has its Merkle tree already.
    pub sweep_bytes_per_s: u64,
    /// Bytes of containers that this node takes in a second, on average, when it becomes the owner of more.
    pub transfer_bytes_per_s: u64,
    /// The most keys that one page of the sweep or of an exchange reads.
    pub sweep_page_keys: usize,
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
            message_age: Duration::from_secs(600),
            purge_keys: 200_000,
            context_entries: 16,
            hints: 200_000,
            fallback_bytes: 1 << 30,
            hint_age: Duration::from_secs(3 * 3600),
            hint_bytes_per_s: 32 << 20,
            cache_bytes: 128 << 20,
            start_wait: Duration::from_secs(30),
            // Of five nodes one that dies is probed by some other within a second or two, so that all know of it within 5 s.
            probe_period: Duration::from_millis(500),
            probe_timeout: Duration::from_millis(200),
            suspicion: Duration::from_secs(2),
            read_repair: true,
            exchange_interval: Duration::from_secs(2),
            exchange_bytes_per_s: 8 << 20,
            sweep_interval: Duration::from_secs(24 * 3600),
            sweep_bytes_per_s: 8 << 20,
            transfer_bytes_per_s: 32 << 20,
            sweep_page_keys: 1000,
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
