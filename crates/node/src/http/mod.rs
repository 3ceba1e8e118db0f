//! HTTP and JSON for clients: keys and buckets, health, metrics, and the document that describes them.

mod answer;
mod body;
mod buckets;
mod error;
mod health;
mod key;
mod keys;
mod kv;
mod openapi;
mod parameters;
mod request;
mod router;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::future::BoxFuture;
use quorate_protocol::Limits;

use crate::draining::Draining;
use crate::driver::Driver;
use crate::observe::SharedObserver;

pub use openapi::document;
pub use router::{router, serve};

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    /// The way to the loop.
    pub driver: Driver,
    /// The node's bounds.
    pub limits: Arc<Limits>,
    /// Gives the text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>,
    /// Is told of every request for data.
    pub observer: SharedObserver,
    /// Where this node takes gRPC clients.
    pub grpc_address: String,
    /// Whether the node is about to be stopped.
    pub draining: Draining,
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").field("driver", &self.driver).finish_non_exhaustive()
    }
}
