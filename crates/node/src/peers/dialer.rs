//! The side of a link that dials: members without a link, and seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::peer::v1::peer_client::PeerClient;
use quorate_protocol::id::NodeId;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Endpoint;

use super::hello::Mismatch;
use super::registry::queue;
use super::server::FRAME_BYTES_MAX;
use super::{Introduced, PING_INTERVAL, PING_TIMEOUT, Shared, hello, link};
use crate::addresses::Addresses as _;

/// How often it is looked whether somebody is to be dialed.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// Connecting and shaking hands may take this long.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// When an address is dialed next.
struct Target {
    backoff: Duration,
    due: Instant,
    /// Who was there last time; a seed is not dialed while it is linked.
    node: Option<NodeId>,
    dialing: bool,
}

/// Dials until told to stop.
pub(super) async fn run(
    shared: Arc<Shared>,
    seeds: Vec<String>,
    introduced: Arc<Introduced>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut targets: BTreeMap<String, Target> = BTreeMap::new();
    let mut dials: JoinSet<(String, Result<NodeId, DialError>)> = JoinSet::new();
    loop {
        let now = Instant::now();
        let named: Vec<String> = seeds.iter().cloned().chain(introduced.addresses()).collect();
        for address in wanted(&shared, &named, &targets) {
            let target = targets.entry(address.clone()).or_insert(Target {
                backoff: BACKOFF_FIRST,
                due: now,
                node: None,
                dialing: false,
            });
            if !target.dialing && target.due <= now {
                target.dialing = true;
                let shared = shared.clone();
                dials.spawn(async move {
                    let result = match timeout(DIAL_TIMEOUT, dial(&shared, &address)).await {
                        Ok(result) => result,
                        Err(_) => Err(DialError::Unreachable("it does not answer".into())),
                    };
                    (address, result)
                });
            }
        }
        tokio::select! {
            Some(Ok((address, result))) = dials.join_next() => {
                if let Some(target) = targets.get_mut(&address) {
                    settle(target, &address, result);
                }
            }
            () = sleep_until(now + LOOK_INTERVAL) => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
    }
}

/// The addresses of members without a link, and those named otherwise that are not known to be linked.
fn wanted(shared: &Shared, named: &[String], targets: &BTreeMap<String, Target>) -> BTreeSet<String> {
    let own = shared.addresses.own().peer;
    let mut wanted = BTreeSet::new();
    if let Some(layout) = shared.layouts.borrow().as_ref() {
        for member in &layout.members {
            if member.node != shared.node && !shared.registry.is_linked(member.node) {
                let known = shared.addresses.of(member.node).map(|addresses| addresses.peer);
                // The one in the layout too: what was learned may be out of date.
                wanted.extend(known.filter(|address| !address.is_empty()));
                wanted.insert(member.peer_address.clone());
            }
        }
    }
    for seed in named {
        let linked = targets.get(seed).and_then(|target| target.node);
        if !linked.is_some_and(|node| node == shared.node || shared.registry.is_linked(node)) {
            wanted.insert(seed.clone());
        }
    }
    wanted.remove(&own);
    wanted
}

fn settle(target: &mut Target, address: &str, result: Result<NodeId, DialError>) {
    target.dialing = false;
    let failed = match result {
        Ok(node) => {
            target.node = Some(node);
            false
        }
        Err(DialError::Refused(reason)) => {
            tracing::warn!(address, reason, "no link");
            true
        }
        Err(DialError::Itself(node)) => {
            target.node = Some(node);
            true
        }
        Err(DialError::Unreachable(reason)) => {
            tracing::debug!(address, reason, "no link");
            true
        }
    };
    target.backoff = if failed { (target.backoff * 2).min(BACKOFF_MAX) } else { BACKOFF_FIRST };
    // Jitter keeps nodes that lost each other from meeting in step.
    target.due = Instant::now() + target.backoff.mul_f64(rand::rng().random_range(0.5..1.0));
}

enum DialError {
    /// Nobody there, or nobody who speaks this.
    Unreachable(String),
    /// Somebody is there, and the two do not belong together (or have a better link).
    Refused(String),
    /// The address is this node's own.
    Itself(NodeId),
}

async fn dial(shared: &Arc<Shared>, address: &str) -> Result<NodeId, DialError> {
    let unreachable = |error: &dyn std::error::Error| DialError::Unreachable(error.to_string());
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| unreachable(&error))?
        .connect_timeout(DIAL_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .connect()
        .await
        .map_err(|error| unreachable(&error))?;
    let (queue, queue_end) = queue();
    let frames = link::outgoing(hello::own(shared), queue_end, shared.registry.faults().clone());
    let mut client = PeerClient::new(channel).max_decoding_message_size(FRAME_BYTES_MAX);
    let mut incoming = match client.link(frames).await {
        Ok(response) => response.into_inner(),
        // The other side has kept the link that it dialed itself: there is one.
        Err(status) if status.code() == tonic::Code::AlreadyExists => {
            return Err(DialError::Unreachable(status.message().into()));
        }
        Err(status) if status.code() == tonic::Code::FailedPrecondition => {
            return Err(DialError::Refused(status.message().into()));
        }
        Err(status) => return Err(unreachable(&status)),
    };
    let first = incoming.message().await.map_err(|status| unreachable(&status))?;
    let who = match hello::check(shared, first, true) {
        Ok(who) => who,
        Err(Mismatch::Self_(node)) => return Err(DialError::Itself(node)),
        Err(mismatch) => return Err(DialError::Refused(mismatch.to_string())),
    };
    if shared.registry.faults().is_cut(who.node) {
        return Err(DialError::Unreachable("an injected fault cuts the two off from each other".into()));
    }
    if let Some(registered) = shared.registry.register(shared.node, who, queue) {
        tokio::spawn(link::read(shared.clone(), who.node, registered, incoming));
    }
    Ok(who.node)
}
