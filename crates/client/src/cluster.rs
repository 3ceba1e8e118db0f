//! What a client knows of the cluster, and the task that keeps it fresh.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use quorate_proto::convert::layout::layout_from_wire;
use quorate_proto::convert::status::said;
use quorate_proto::v1;
use tokio::sync::Notify;
use tonic::Code;
use tracing::debug;

use crate::budget::RetryBudget;
use crate::client::Options;
use crate::link::{self, Link};
use crate::routing::Routing;

/// How long a node may take to say the layout.
const LAYOUT_TIMEOUT: Duration = Duration::from_secs(3);
/// At least this long between two looks at the layout.
const REFRESH_PAUSE: Duration = Duration::from_millis(50);

/// At least this long between two looks that refusals cause.
const REFUSED_PAUSE_MS: u64 = 200;

pub(crate) struct Cluster {
    pub(crate) options: Options,
    pub(crate) budget: RetryBudget,
    routing: RwLock<Arc<Routing>>,
    /// Of `routing`: looked at after every answer.
    epoch: AtomicU64,
    links: Links,
    born: Instant,
    /// When a refusal last made it look at the layout, in milliseconds since `born`.
    refused_ms: AtomicU64,
    /// Wakes the task that refreshes the layout and probes links that are down.
    wake: Arc<Notify>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("options", &self.options).finish_non_exhaustive()
    }
}

/// All links of a client, one for each address.
pub(crate) struct Links {
    seeds: Vec<Arc<Link>>,
    by_address: Mutex<BTreeMap<String, Arc<Link>>>,
    next_id: AtomicUsize,
    connect_timeout: Duration,
}

/// Why one node gave no layout.
#[derive(Debug)]
pub(crate) enum NoLayout {
    NotBootstrapped,
    Failed(String),
}

impl Links {
    /// To normalized addresses.
    pub(crate) fn new(seeds: Vec<String>, connect_timeout: Duration) -> Self {
        let mut links = Self {
            seeds: Vec::new(),
            by_address: Mutex::default(),
            next_id: AtomicUsize::new(0),
            connect_timeout,
        };
        links.seeds = seeds.into_iter().filter_map(|seed| links.get(seed)).collect();
        links
    }

    pub(crate) fn seeds(&self) -> &[Arc<Link>] {
        &self.seeds
    }

    /// The link to a normalized address.
    fn get(&self, address: String) -> Option<Arc<Link>> {
        let mut links = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&address) {
            return Some(link.clone());
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link::new(id, address.clone(), self.connect_timeout).ok()?);
        links.insert(address, link.clone());
        Some(link)
    }

    /// Forgets links that no routing uses.
    fn keep(&self, routing: &Routing) {
        let mut links = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, link| routing.links().any(|used| used.id == link.id));
    }

    /// What a node has said, as something to route by.
    pub(crate) fn routing(&self, answer: v1::GetLayoutResponse) -> Result<Routing, String> {
        let layout = answer.layout.ok_or("the answer has no layout")?;
        let layout = layout_from_wire(layout).map_err(|error| error.to_string())?;
        let addresses: BTreeMap<u64, String> =
            answer.addresses.into_iter().map(|peer| (peer.node_id, peer.grpc_address)).collect();
        let link_to = |node: u64| {
            let address = link::normalize(addresses.get(&node)?).ok()?;
            self.get(address)
        };
        let members = layout.members.iter().map(|member| link_to(member.node.0)).collect();
        Ok(Routing::new(layout, members, self.seeds.clone()))
    }
}

/// Asks one node for the layout.
pub(crate) async fn ask_layout(link: &Link) -> Result<v1::GetLayoutResponse, NoLayout> {
    let ask = async {
        let (channel, generation) = link.channel().await.map_err(NoLayout::Failed)?;
        match link::admin(channel).get_layout(v1::GetLayoutRequest {}).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) if status.code() == Code::FailedPrecondition => Err(NoLayout::NotBootstrapped),
            Err(status) => {
                link.drop_channel(generation).await;
                Err(NoLayout::Failed(said(&status)))
            }
        }
    };
    match tokio::time::timeout(LAYOUT_TIMEOUT, ask).await {
        Ok(answer) => answer,
        Err(_) => Err(NoLayout::Failed(format!("no answer in {LAYOUT_TIMEOUT:?}"))),
    }
}

impl Cluster {
    /// Starts the task that keeps `routing` fresh; it ends with the last reference to the cluster.
    pub(crate) fn start(options: Options, links: Links, routing: Routing) -> Arc<Self> {
        let cluster = Arc::new(Self {
            budget: RetryBudget::new(options.retries.clone(), Instant::now()),
            options,
            epoch: AtomicU64::new(routing.epoch().0),
            routing: RwLock::new(Arc::new(routing)),
            links,
            born: Instant::now(),
            refused_ms: AtomicU64::new(0),
            wake: Arc::default(),
        });
        tokio::spawn(maintain(Arc::downgrade(&cluster), cluster.wake.clone()));
        cluster
    }

    pub(crate) fn routing(&self) -> Arc<Routing> {
        self.routing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An answer was counted in this epoch: a newer one than ours means that our layout is old.
    pub(crate) fn saw_epoch(&self, epoch: u64) {
        if epoch > self.epoch.load(Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    /// A node has refused something for a reason that another layout may have: it is looked at again, and not too often, for a
    /// quorum may be missing for long.
    pub(crate) fn refused(&self) {
        let now = self.born.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let before = self.refused_ms.load(Ordering::Relaxed);
        if now >= before.saturating_add(REFUSED_PAUSE_MS)
            && self.refused_ms.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.wake.notify_one();
        }
    }

    /// A node could not be reached or went away.
    pub(crate) fn lost(&self, link: &Link) {
        link.mark_down();
        self.wake.notify_one();
    }

    fn next_probe(&self) -> Option<Instant> {
        self.routing().links().filter_map(|link| link.probe_at()).min()
    }

    /// Takes up the layout of the first node that says it.
    async fn refresh(&self) {
        let routing = self.routing();
        for link in routing.links().filter(|link| link.is_up()) {
            let answer = match ask_layout(link).await {
                Ok(answer) => answer,
                Err(NoLayout::NotBootstrapped) => continue,
                Err(NoLayout::Failed(message)) => {
                    debug!(address = link.address, message, "no layout");
                    link.mark_down();
                    continue;
                }
            };
            match self.links.routing(answer) {
                Ok(fresh) if fresh.epoch() >= routing.epoch() => return self.install(fresh),
                Ok(old) => debug!(address = link.address, epoch = %old.epoch(), "an old layout"),
                Err(message) => debug!(address = link.address, message, "not a layout"),
            }
        }
    }

    fn install(&self, routing: Routing) {
        self.links.keep(&routing);
        self.epoch.store(routing.epoch().0, Ordering::Relaxed);
        *self.routing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routing);
    }

    /// Looks whether links that are down come up again; operations need not find out.
    async fn probe(&self) {
        let now = Instant::now();
        for link in self.routing().links() {
            if link.probe_at().is_some_and(|at| at <= now) {
                match ask_layout(link).await {
                    Ok(_) => link.mark_up(),
                    Err(_) => link.mark_down(),
                }
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

async fn maintain(cluster: Weak<Cluster>, wake: Arc<Notify>) {
    loop {
        let Some(next_probe) = cluster.upgrade().map(|cluster| cluster.next_probe()) else {
            return;
        };
        match next_probe {
            None => wake.notified().await,
            Some(at) => {
                // Early or in time: what is due is seen below.
                let _ = tokio::time::timeout_at(at.into(), wake.notified()).await;
            }
        }
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.probe().await;
        cluster.refresh().await;
        drop(cluster);
        tokio::time::sleep(REFRESH_PAUSE).await;
    }
}
