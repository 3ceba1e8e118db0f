//! Ctrl-C and SIGTERM.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals closer together than this are one: some tools send two, and a terminal sends one to a whole group that passes it on.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// Hears them from its making on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    last: Option<Instant>,
}

impl Signals {
    pub(crate) fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            last: None,
        })
    }

    /// Resolves at the next one.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            if self.last.is_none_or(|last| last.elapsed() >= ONE_SIGNAL) {
                self.last = Some(Instant::now());
                return;
            }
        }
    }
}
