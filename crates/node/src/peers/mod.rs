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

use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::id::{NodeId, StartId};
use quorate_protocol::layout::Layout;
use quorate_protocol::message::Message;
use quorate_protocol::time::Hlc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::addresses::AddressBook;
use crate::driver::{Input, Outbox};
use crate::faults::Faults;
pub(crate) use registry::LinkFigures;
use registry::Registry;

/// A peer that has not answered a ping for this long is gone.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(1);
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

/// The links of this node.
#[derive(Clone)]
pub(crate) struct Peers {
    registry: Arc<Registry>,
}

impl Peers {
    /// No links yet; made before the loop, which sends through it.
    pub(crate) fn new(inputs: &mpsc::UnboundedSender<Input>, faults: Arc<Faults>) -> Self {
        Self { registry: Arc::new(Registry::new(inputs.clone(), faults)) }
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
        tokio::spawn(dialer::run(shared.clone(), seeds, shutdown.clone()));
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
    fn send(&mut self, to: NodeId, hlc: Hlc, messages: Vec<Message>) {
        self.registry.send(to, hlc, messages);
    }
}

/// Links that came up before there was a layout were not checked against its cluster: they are made anew.
async fn forget_links_of_no_cluster(shared: Arc<Shared>) {
    let mut layouts = shared.layouts.clone();
    if layouts.borrow().is_none() && layouts.changed().await.is_ok() {
        shared.registry.close_all();
    }
}
