//! A node from start to stop: opens the store, starts the loop, the links and the surfaces, and takes them down again.

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::BoxFuture;
use quorate_protocol::id::{NodeId, StartId};
use quorate_protocol::identity::{Betrayal, RecoverError, Recovered, recover};
use quorate_protocol::layout::Layout;
use quorate_protocol::store::StoreError;
use quorate_protocol::{Node, NodeConfig};
use quorate_storage::{OpenError, SledStore, StoreHooks, StoreOptions};
use rand::Rng as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::addresses::{AddressBook, NodeAddresses};
use crate::config::Settings;
use crate::distrusted::{self, Cause};
use crate::draining::Draining;
use crate::driver::{self, Ended, Inputs};
use crate::faults::Faults;
use crate::metrics::Metrics;
use crate::peers::{Peers, Shared};
use crate::scrape::Scrape;
use crate::surfaces::Surfaces;
use crate::{checkpoints, grpc, http};

/// Client operations that may wait for the loop, as a multiple of those that may be under way.
const QUEUED_FACTOR: usize = 2;

/// How long a node that is told to stop goes on with what its clients have under way.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// How long the last answers may take to leave when the loop has ended.
const TELL_WITHIN: Duration = Duration::from_secs(1);

/// How long the directory may still be in use when a node starts.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Where a node listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// For gRPC clients.
    pub grpc: SocketAddr,
    /// For HTTP clients.
    pub http: SocketAddr,
    /// For other nodes.
    pub peer: SocketAddr,
}

/// How a node ended, when nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop.
    Stopped,
    /// Its directory cannot be trusted: the next start sets it aside, and is another node's.
    Distrusted(Listening),
}

/// Runs a node until `shutdown` resolves, its store fails, or its directory cannot be trusted. `announce` gets the line that says where
/// it listens.
pub async fn run(
    settings: Settings,
    announce: bool,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<End> {
    tracing::info!(?settings, version = env!("CARGO_PKG_VERSION"), "starting");
    std::fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("data_dir: cannot make {}", settings.data_dir.display()))?;
    distrusted::set_aside(&settings.data_dir)?;
    let grpc_listener = listen("grpc_listen", &settings.grpc_listen).await?;
    let http_listener = listen("http_listen", &settings.http_listen).await?;
    let peer_listener = listen("peer_listen", &settings.peer_listen).await?;
    let listening = Listening {
        grpc: grpc_listener.local_addr()?,
        http: http_listener.local_addr()?,
        peer: peer_listener.local_addr()?,
    };
    let advertise = |address: SocketAddr| match &settings.advertise_host {
        Some(host) => format!("{host}:{}", address.port()),
        None => address.to_string(),
    };
    let addresses = NodeAddresses {
        grpc: advertise(listening.grpc),
        http: advertise(listening.http),
        peer: advertise(listening.peer),
    };
    if settings.advertise_host.is_none() && listening.grpc.ip().is_unspecified() {
        tracing::warn!("advertise_host is not set, and others cannot reach {}", addresses.grpc);
    }

    let metrics = Metrics::new().context("metrics")?;
    let inputs = Inputs::new();
    let start = StartId(rand::rng().next_u64());
    let (store, recovered) = match open_and_recover(&settings, start, &inputs, &metrics) {
        Err(error) if is_damage(&error) => {
            distrusted::mark(&settings.data_dir, Cause::Doubt, &format!("{error:#}"))?;
            return Ok(End::Distrusted(listening));
        }
        opened => opened?,
    };
    if !recovered.kept.holes.is_empty() {
        tracing::warn!(
            keys = recovered.kept.holes.len(),
            "damaged records of an earlier run are not healed yet"
        );
    }
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let node = Node::new(
        NodeConfig {
            node: recovered.node,
            start,
            boot: recovered.boot,
            seed,
            limits: settings.limits(),
            token_secret: settings.token_secret.clone(),
        },
        recovered.kept,
    );
    tracing::info!(node = %recovered.node, boot = recovered.boot, epoch = node.layout().map_or(0, |layout| layout.epoch.0), "recovered");

    if settings.unsafe_fault_injection {
        tracing::warn!(
            "UNSAFE FAULT INJECTION IS ON: whoever reaches {} can make this node lose messages",
            addresses.grpc
        );
    }
    let faults = Arc::new(Faults::new(settings.unsafe_fault_injection));
    let peers = Peers::new(&inputs.sender(), faults.clone());
    let peer_inputs = inputs.sender();
    let queued_max = settings.client_operations_max * QUEUED_FACTOR;
    let (driver, mut ended) = driver::start(node, store.clone(), peers.clone(), inputs, queued_max)?;
    let book = Arc::new(AddressBook::open(settings.data_dir.join("addresses.json"), addresses.clone()));
    let shared = Shared {
        node: recovered.node,
        start,
        layouts: driver.layouts(),
        addresses: book.clone(),
        registry: peers.registry(),
        inputs: peer_inputs,
    };
    let data_dir = settings.data_dir.canonicalize().unwrap_or_else(|_| settings.data_dir.clone());
    let draining = Draining::default();
    let mut surfaces = Surfaces::default();
    let (stop, stopping) = watch::channel(false);
    let links = tokio::spawn({
        let (peers, stopping, seeds) = (peers.clone(), stopping.clone(), settings.seeds.clone());
        async move { peers.run(peer_listener, seeds, shared, stopping).await }
    });
    let interval = Duration::from_secs(settings.checkpoint_interval_s);
    let checkpoints = tokio::spawn(checkpoints::keep(store.clone(), interval));
    let tidier = tokio::spawn(tidy(driver.layouts(), recovered.node, data_dir.clone()));
    let limits = Arc::new(settings.limits());
    let http_state = http::HttpState {
        driver: driver.clone(),
        limits: limits.clone(),
        metrics: Arc::new({
            let scrape = Scrape {
                metrics: metrics.clone(),
                driver: driver.clone(),
                store: store.clone(),
                peers: peers.clone(),
                data_dir: data_dir.clone(),
                draining: draining.clone(),
            };
            move || Box::pin(scrape.clone().text()) as BoxFuture<'static, String>
        }),
        observer: metrics.observer(),
        grpc_address: addresses.grpc.clone(),
        draining: draining.clone(),
    };
    surfaces.add("HTTP", http::serve(http_listener, http::router(http_state), surfaces.stopped()));
    let grpc_state = grpc::GrpcState {
        driver: driver.clone(),
        limits: limits.clone(),
        addresses: book,
        disk_use: Arc::new({
            let store = store.clone();
            move || {
                let stats = store.stats();
                grpc::DiskUse { log_bytes: stats.log_file_bytes, base_bytes: stats.base_bytes }
            }
        }),
        observer: metrics.observer(),
        faults,
        data_dir: data_dir.clone(),
        introducer: Arc::new(peers.clone()),
        configured: grpc::Configured {
            name: settings.name.clone(),
            zone: settings.zone.clone(),
            weight: settings.weight,
        },
        draining: draining.clone(),
    };
    surfaces.add("gRPC", grpc::serve(grpc_listener, grpc_state, surfaces.stopped()));
    // Who started the process may listen to the first line only, and this may be the second start in it.
    if announce && let Err(error) = print_announcement(recovered.node, &addresses) {
        tracing::warn!(%error, "nobody heard the announcement");
    }
    tracing::info!(?addresses, "listening");

    let ended = tokio::select! {
        () = shutdown => {
            tracing::info!("stopping: what is under way is finished first");
            draining.begin();
            tokio::select! {
                () = surfaces.finish(FINISH_WITHIN) => {
                    driver.stop();
                    ended.await
                }
                end = &mut ended => end,
            }
        }
        end = &mut ended => end,
    };
    // Who still waits is told that there will be no answer.
    surfaces.finish(TELL_WITHIN).await;
    tracing::info!("stopping");
    stop.send_replace(true);
    checkpoints.abort();
    tidier.abort();
    links.abort();
    match ended
        .context("the loop ended unexpectedly")?
        .context("the store failed; the node has to be started anew")?
    {
        Ended::GaveUp(betrayal) => {
            let left = matches!(betrayal, Betrayal::Departed { .. });
            let cause = if left { Cause::Left } else { Cause::Doubt };
            distrusted::mark(&settings.data_dir, cause, &betrayal.to_string())?;
            Ok(End::Distrusted(listening))
        }
        Ended::Stopped => {
            // Everything that was submitted is durable when the store is gone; a checkpoint makes the next start quick.
            let checkpoint = tokio::task::spawn_blocking(move || {
                quorate_protocol::store::Store::checkpoint(store.as_ref())
            });
            if let Ok(Err(error)) = checkpoint.await {
                tracing::warn!(%error, "no checkpoint");
            }
            Ok(End::Stopped)
        }
    }
}

/// Says what was set aside; deletes, once the node is a member and no change is under way, what nobody misses of it.
async fn tidy(mut layouts: watch::Receiver<Option<Arc<Layout>>>, node: NodeId, data_dir: PathBuf) {
    if distrusted::count(&data_dir) == 0 {
        return;
    }
    let settled = |layout: &Option<Arc<Layout>>| {
        layout.as_ref().is_some_and(|layout| layout.member(node).is_some() && layout.stage().is_none())
    };
    if layouts.wait_for(settled).await.is_err() {
        return;
    }
    match tokio::task::spawn_blocking(move || distrusted::discard_left(&data_dir)).await {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(kept)) => {
            tracing::warn!(kept, "stores that were set aside are still there, for people to look at")
        }
        Ok(Err(error)) => tracing::warn!("what was set aside is not deleted: {error:#}"),
    }
}

/// Opens the store, and records the start in it.
fn open_and_recover(
    settings: &Settings,
    start: StartId,
    inputs: &Inputs,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Arc<SledStore>, Recovered)> {
    let store = Arc::new(open_store(settings, inputs, metrics)?);
    let recovered = recover(store.as_ref(), NodeId(rand::rng().next_u64()), start)
        .with_context(|| format!("data_dir: {}", settings.data_dir.display()))?;
    Ok((store, recovered))
}

/// Whether the directory was opened and holds what nobody wrote: then it cannot be trusted. What the system refuses says nothing of it.
fn is_damage(error: &anyhow::Error) -> bool {
    let opened = matches!(error.downcast_ref(), Some(OpenError::Damaged { .. }));
    let record = matches!(
        error.downcast_ref(),
        Some(RecoverError::Record { .. } | RecoverError::Store(StoreError::Corrupt { .. }))
    );
    opened || record
}

async fn listen(field: &str, address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{field}: cannot listen on {address}"))
}

fn open_store(settings: &Settings, inputs: &Inputs, metrics: &Arc<Metrics>) -> anyhow::Result<SledStore> {
    let options = StoreOptions {
        cache_bytes: settings.store_cache_bytes,
        free_reserve_bytes: settings.free_reserve_bytes,
        ..StoreOptions::default()
    };
    let hooks = || StoreHooks {
        on_durable: Box::new(inputs.on_durable()),
        on_failed: Box::new(inputs.on_failed()),
        observer: metrics.store_observer(),
    };
    let directory: &Path = &settings.data_dir.join(distrusted::STORE);
    let store = open_unlocked(directory, &options, hooks)
        .with_context(|| format!("data_dir: cannot open the store in {}", directory.display()))?;
    tracing::info!(report = ?store.open_report(), "store opened");
    Ok(store)
}

/// A node that was here before may still be on its way out: it gets some time.
fn open_unlocked(
    directory: &Path,
    options: &StoreOptions,
    hooks: impl Fn() -> StoreHooks,
) -> Result<SledStore, OpenError> {
    let started = Instant::now();
    loop {
        match SledStore::open(directory, options.clone(), hooks()) {
            Err(OpenError::Locked { .. }) if started.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(100));
            }
            result => return result,
        }
    }
}

fn print_announcement(node: NodeId, addresses: &NodeAddresses) -> std::io::Result<()> {
    let line = serde_json::json!({
        "node": node.to_string(),
        "grpc": addresses.grpc,
        "http": addresses.http,
        "peer": addresses.peer,
        "pid": std::process::id(),
    });
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}
