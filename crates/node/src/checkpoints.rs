//! Checkpoints in quiet times.
//!
//! The store makes one whenever its log has grown by much. A node with little to do would keep its last writes in memory
//! and log for good, and the space of what was deleted: the store gives space back at checkpoints only.

use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::store::Store as _;
use quorate_storage::SledStore;

/// Has the store make a checkpoint after every interval in which it took something and made none itself.
pub(crate) async fn keep(store: Arc<SledStore>, interval: Duration) {
    let mut seen = store.stats();
    let mut covered = 0;
    loop {
        tokio::time::sleep(interval).await;
        let now = store.stats();
        if now.checkpoints == seen.checkpoints && now.batches != covered {
            let made = tokio::task::spawn_blocking({
                let store = store.clone();
                move || store.checkpoint()
            });
            match made.await {
                Ok(Ok(())) => covered = now.batches,
                // It is tried again; a store that has failed ends the node.
                Ok(Err(error)) => tracing::warn!(%error, "no checkpoint"),
                Err(_) => return,
            }
        }
        seen = store.stats();
    }
}
