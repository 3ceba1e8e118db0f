//! What serves clients, from the start to the stop: a stop takes nothing new and lets what is under way be answered.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Servers that stop together. Dropped, they are cut off.
#[derive(Debug)]
pub(crate) struct Surfaces {
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

impl Default for Surfaces {
    fn default() -> Self {
        Self { stop: watch::Sender::new(false), servers: Vec::new() }
    }
}

impl Surfaces {
    /// Resolves when the servers are to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stop.subscribe();
        async move {
            // An error means that who would have told is gone: that is an end as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        }
    }

    /// Runs a server, which ends when [`stopped`](Self::stopped) has resolved and all it had taken is answered.
    pub(crate) fn add<E: Display>(
        &mut self,
        name: &'static str,
        server: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.servers.push(tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the {name} server has ended");
            }
        }));
    }

    /// Stops them, and waits until they have ended, but no longer than this.
    pub(crate) async fn finish(&mut self, within: Duration) {
        self.stop.send_replace(true);
        let all = async {
            while let Some(server) = self.servers.last_mut() {
                let _ = server.await;
                self.servers.pop();
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!(?within, "clients still wait for answers, or do not take them");
        }
    }
}

impl Drop for Surfaces {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}
