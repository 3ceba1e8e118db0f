//! Links to the other nodes: one stream between a pair, used in both directions, carrying batches.
//!
//! Both sides dial; [`registry`] keeps one link of a pair, and the core hears when it comes up and when it is gone. What is sent
//! while there is none is lost, as on any network: the protocol expects that.

mod dialer;
mod frames;
mod hello;
mod link;
mod registry;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use quorate_protocol::id::{NodeId, StartId};
use quorate_protocol::layout::Layout;
use quorate_protocol::message::{Message, Stamp};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::addresses::AddressBook;
use crate::driver::{Input, Outbox};
use crate::faults::Faults;
pub(crate) use registry::LinkFigures;
use registry::Registry;

/// A peer that has not answered a ping for this long is gone.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(1);
/// A node that is to be added has this long to take a link.
const INTRODUCED_FOR: Duration = Duration::from_secs(3);
const LINK_LOOK: Duration = Duration::from_millis(20);
/// How long the answer to a ping may take.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// All that links have to do with this node's identity.
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) start: StartId,
    pub(crate) layouts: watch::Receiver<Option<Arc<Layout>>>,
    pub(crate) addresses: Arc<AddressBook>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) inputs: mpsc::UnboundedSender<Input>,
}

/// Makes a link to a node that no layout names yet.
pub trait Introducer: Send + Sync {
    /// Dials this node at its peer address; resolves when it is linked, or does not answer.
    fn introduce(&self, node: NodeId, address: String) -> BoxFuture<'static, ()>;
}

/// Peer addresses that are dialed for a while, although neither a layout nor the configuration names them.
#[derive(Debug, Default)]
pub(crate) struct Introduced(Mutex<BTreeMap<String, Instant>>);

impl Introduced {
    fn add(&self, address: String) {
        self.0.lock().insert(address, Instant::now() + INTRODUCED_FOR);
    }

    /// Those that are to be dialed now.
    fn addresses(&self) -> Vec<String> {
        let mut introduced = self.0.lock();
        let now = Instant::now();
        introduced.retain(|_, until| *until > now);
        introduced.keys().cloned().collect()
    }
}

/// The links of this node.
#[derive(Clone)]
pub(crate) struct Peers {
    registry: Arc<Registry>,
    introduced: Arc<Introduced>,
}

impl Introducer for Peers {
    fn introduce(&self, node: NodeId, address: String) -> BoxFuture<'static, ()> {
        let peers = self.clone();
        Box::pin(async move {
            if address.is_empty() || peers.registry.is_linked(node) {
                return;
            }
            peers.introduced.add(address);
            let linked = async {
                while !peers.registry.is_linked(node) {
                    tokio::time::sleep(LINK_LOOK).await;
                }
            };
            // The core says what it means that there is no link.
            let _ = tokio::time::timeout(INTRODUCED_FOR, linked).await;
        })
    }
}

impl Peers {
    /// No links yet; made before the loop, which sends through it.
    pub(crate) fn new(inputs: &mpsc::UnboundedSender<Input>, faults: Arc<Faults>) -> Self {
        Self { registry: Arc::new(Registry::new(inputs.clone(), faults)), introduced: Arc::default() }
    }

    /// Takes links on `listener` and dials members and seeds, until `shutdown`.
    pub(crate) async fn run(
        &self,
        listener: TcpListener,
        seeds: Vec<String>,
        shared: Shared,
        shutdown: watch::Receiver<bool>,
    ) -> Result<(), tonic::transport::Error> {
        let shared = Arc::new(shared);
        tokio::spawn(dialer::run(shared.clone(), seeds, self.introduced.clone(), shutdown.clone()));
        tokio::spawn(forget_links_of_no_cluster(shared.clone()));
        server::serve(listener, shared, shutdown).await
    }

    /// Figures for metrics.
    pub(crate) fn figures(&self) -> LinkFigures {
        self.registry.figures()
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }
}

impl Outbox for Peers {
    fn send(&mut self, to: NodeId, stamp: Stamp, messages: Vec<Message>) {
        self.registry.send(to, stamp, messages);
    }
}

/// Links that came up before there was a layout were not checked against its cluster: they are made anew.
async fn forget_links_of_no_cluster(shared: Arc<Shared>) {
    let mut layouts = shared.layouts.clone();
    if layouts.borrow().is_none() && layouts.changed().await.is_ok() {
        shared.registry.close_all();
    }
}
