//! On the way out: a node that is about to be stopped says that it is not ready, and serves on until nobody sends it anything.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::driver::Driver;

/// How often a draining node looks whether anything is under way.
const LOOK: Duration = Duration::from_millis(20);

/// Whether the node is draining. Cheap to clone; what one clone is told all know. There is no way back but a new start.
#[derive(Clone, Debug)]
pub struct Draining(watch::Sender<bool>);

impl Default for Draining {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Draining {
    /// From now on the node is not ready.
    pub fn begin(&self) {
        if !self.0.send_replace(true) {
            tracing::info!("draining: the node says that it is not ready, and serves on");
        }
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it has begun.
    pub async fn begun(&self) {
        // This is one of the senders, so there is always one.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }

    /// Begins, serves on for `settle` at least, and then until no operation is under way or `timeout` is over, counted from the call.
    /// Returns how many are under way then; none when the node stops first.
    pub async fn run(&self, driver: &Driver, settle: Duration, timeout: Duration) -> Option<usize> {
        let started = Instant::now();
        self.begin();
        tokio::time::sleep(settle).await;
        loop {
            let under_way = driver.view().await?.under_way();
            if under_way == 0 || started.elapsed() >= timeout {
                tracing::info!(under_way, took = ?started.elapsed(), "drained");
                return Some(under_way);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
