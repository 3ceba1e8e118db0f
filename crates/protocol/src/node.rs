//! One node: events in, effects out.

use std::sync::Arc;

use crate::effect::Effects;
use crate::event::Event;
use crate::id::{NodeId, StartId};
use crate::layout::Layout;
use crate::limits::Limits;
use crate::time::{Hlc, Now, Time};

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Who it is: minted with its directory.
    pub node: NodeId,
    /// Which life this is: minted at this start.
    pub start: StartId,
    /// Seeds all randomness of the core. From the operating system in a real node; never the same in two lives.
    pub seed: [u8; 32],
    /// Bounds.
    pub limits: Limits,
    /// Seals context tokens; the same on all nodes. None: derived from the cluster's id.
    pub token_secret: Option<String>,
}

/// Counters since the start, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Read repairs sent to stale replicas.
    pub read_repairs: u64,
}

/// The state machine of one node.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    layout: Option<Arc<Layout>>,
    stats: Stats,
}

impl Node {
    /// A node as it is after a start, with the layout that it held before, if any.
    pub fn new(config: NodeConfig, layout: Option<Layout>) -> Self {
        Self {
            config,
            layout: layout.map(Arc::new),
            stats: Stats::default(),
        }
    }

    /// Handles one event at a time; what is to be done comes out in order.
    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Effects) {
        let _ = (now, event, effects, &self.config);
    }

    /// When [`Event::Deadline`] is due next.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// The layout held, if any.
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.layout.as_ref()
    }

    /// The hybrid clock, for the batches sent to peers.
    pub fn hlc(&self) -> Hlc {
        Hlc::default()
    }

    /// Counters, for metrics.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
