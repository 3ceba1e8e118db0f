//! What `/metrics` looks at, put together when it is asked.

use std::path::PathBuf;
use std::sync::Arc;

use quorate_storage::SledStore;

use crate::distrusted;
use crate::draining::Draining;
use crate::driver::Driver;
use crate::metrics::{Metrics, Sample, Volume};
use crate::peers::Peers;

/// Everything that has figures. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scrape {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) driver: Driver,
    pub(crate) store: Arc<SledStore>,
    pub(crate) peers: Peers,
    pub(crate) data_dir: PathBuf,
    pub(crate) draining: Draining,
}

impl Scrape {
    /// The text of a scrape.
    pub(crate) async fn text(self) -> String {
        let Some(view) = self.driver.view().await else {
            return String::from("# the node is stopping\n");
        };
        let volume = Volume::of(&self.data_dir).unwrap_or_else(|error| {
            tracing::warn!(%error, "the file system of the data does not say how full it is");
            Volume::default()
        });
        self.metrics.render(&Sample {
            view: &view,
            store: &self.store.stats(),
            links: self.peers.figures(),
            volume,
            set_aside: distrusted::count(&self.data_dir),
            draining: self.draining.has_begun(),
        })
    }
}
