//! The way to one node.

use std::sync::Mutex as SyncMutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorate_proto::v1::admin_client::AdminClient;
use quorate_proto::v1::kv_client::KvClient;
use tokio::sync::Mutex;
use tonic::transport::{Channel, Endpoint};

use crate::backoff;

/// The largest answer that is taken: a read of many large siblings, or a message full of them.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Large enough that one stream of a fast session never waits for a window.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A node that hangs is given up sooner than the default timeout, so that another can still be asked.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// One node's address, the connection to it, and whether it answered last time.
#[derive(Debug)]
pub(crate) struct Link {
    /// Unique in its client and never used again.
    pub(crate) id: usize,
    /// `http://host:port`.
    pub(crate) address: String,
    endpoint: Endpoint,
    connection: Mutex<Connection>,
    up: AtomicBool,
    down: SyncMutex<Down>,
}

#[derive(Debug, Default)]
struct Connection {
    channel: Option<Channel>,
    generation: u64,
}

#[derive(Debug)]
struct Down {
    probes: u32,
    probe_at: Instant,
}

/// Brings an address into the form that links are known by: `http://host:port`.
pub(crate) fn normalize(address: &str) -> Result<String, String> {
    let bare = match address.split_once("://") {
        None => address,
        Some(("http", rest)) => rest,
        Some((scheme, _)) => return Err(format!("{scheme}:// is not spoken, only http://")),
    };
    let bare = bare.trim_end_matches('/');
    if bare.is_empty() {
        return Err("it is empty".into());
    }
    let uri: tonic::codegen::http::Uri =
        format!("http://{bare}").parse().map_err(|error| format!("{error}"))?;
    if uri.path() != "/" || uri.query().is_some() {
        return Err("it is host:port, without a path".into());
    }
    if uri.port_u16().is_none() {
        return Err("it has no port".into());
    }
    Ok(format!("http://{bare}"))
}

impl Link {
    /// To a [`normalize`]d address.
    pub(crate) fn new(id: usize, address: String, connect_timeout: Duration) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(address.clone())
            .map_err(|error| describe(&error))?
            .connect_timeout(connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self {
            id,
            address,
            endpoint,
            connection: Mutex::default(),
            up: AtomicBool::new(true),
            down: SyncMutex::new(Down { probes: 0, probe_at: Instant::now() }),
        })
    }

    /// Whether there is no reason to think that it does not answer.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(crate) fn mark_up(&self) {
        self.up.store(true, Ordering::Relaxed);
        self.down.lock().unwrap_or_else(PoisonError::into_inner).probes = 0;
    }

    /// It did not answer; it is probed after a pause that grows from probe to probe.
    pub(crate) fn mark_down(&self) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        // The first probe comes late enough that a restarting process has a chance: pause 3 is 80 ms.
        down.probe_at = Instant::now() + backoff::pause(3 + down.probes);
        down.probes = down.probes.saturating_add(1);
        self.up.store(false, Ordering::Relaxed);
    }

    /// When to look after a link that is down.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.is_up()).then_some(down.probe_at)
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Result<Channel, String> {
        self.endpoint.connect().await.map_err(|error| describe(&error))
    }

    /// The connection that unary calls share, made if there is none. With it comes its number, for
    /// [`drop_channel`](Self::drop_channel).
    pub(crate) async fn channel(&self) -> Result<(Channel, u64), String> {
        // Held while connecting, so that those who come meanwhile wait for the same connection.
        let mut connection = self.connection.lock().await;
        if let Some(channel) = &connection.channel {
            return Ok((channel.clone(), connection.generation));
        }
        let channel = self.connect().await?;
        connection.channel = Some(channel.clone());
        connection.generation += 1;
        Ok((channel, connection.generation))
    }

    /// Gives up the shared connection of this number. The channel would reconnect by itself, but then a call that
    /// never went out looks like one that was lost.
    pub(crate) async fn drop_channel(&self, generation: u64) {
        let mut connection = self.connection.lock().await;
        if connection.generation == generation {
            connection.channel = None;
        }
    }
}

pub(crate) fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub(crate) fn admin(channel: Channel) -> AdminClient<Channel> {
    AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// An error with all its causes, for the outermost often says just "transport error".
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_one_form() {
        for address in ["127.0.0.1:7700", "http://127.0.0.1:7700", "http://127.0.0.1:7700/"] {
            assert_eq!(normalize(address).unwrap(), "http://127.0.0.1:7700");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for address in ["", "http://", "https://a:1", "a", "a:1/path", "a b:1", "a:99999"] {
            assert!(normalize(address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_link_goes_down_and_up() {
        let link = Link::new(0, normalize("127.0.0.1:1").unwrap(), Duration::from_secs(1)).unwrap();
        assert!(link.is_up() && link.probe_at().is_none());
        link.mark_down();
        let first = link.probe_at().unwrap();
        (0..6).for_each(|_| link.mark_down());
        assert!(link.probe_at().unwrap() > first, "the pause grows from probe to probe");
        link.mark_up();
        assert!(link.is_up() && link.probe_at().is_none());
    }
}
