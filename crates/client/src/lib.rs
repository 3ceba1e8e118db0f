//! The Rust client for Quorate.
//!
//! A [`Client`] knows the layout and sends each operation to an owner of its key, the first that can be reached. It
//! repeats what may be repeated, within a budget, and says of everything else whether it may have taken effect:
//! [`Error::NotAttempted`] or [`Error::Indeterminate`]. A [`Session`] does the same over one stream per node, many
//! operations under way at once: the way to go fast.
//!
//! ```no_run
//! use quorate_client::{Client, Put};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(["http://127.0.0.1:7700"]).await?;
//! client.put(Put::new("greeting", "hello")).await?;
//!
//! // What was read comes with a context; the put that carries it replaces what was read.
//! let found = client.get("greeting").await?;
//! for value in &found.values {
//!     println!("{:?}", value.bytes);
//! }
//! client.put(Put::new("greeting", "good morning").context(found.context)).await?;
//!
//! // Many at once: the requests that are ready at one moment travel in one message.
//! let session = client.session();
//! let (a, b) = tokio::join!(session.get("greeting"), session.get("farewell"));
//! assert!(a?.values.len() == 1 && b?.is_absent());
//! # Ok(())
//! # }
//! ```

mod attempt;
mod backoff;
mod budget;
mod client;
mod cluster;
mod error;
mod link;
mod operate;
mod operation;
mod routing;
mod session;
mod unary;
mod wire;

pub use budget::RetryOptions;
pub use client::{Client, ConnectError, Options};
pub use error::{Error, Reason};
pub use operation::{Context, Delete, Found, Get, KeysPage, ListKeys, Put, Value, Written};
pub use quorate_protocol::id::{NodeId, OperationId};
pub use quorate_protocol::layout::Layout;
pub use quorate_protocol::layout::QuorumMode;
pub use quorate_protocol::operation::{Failure, QuorumOptions, Ttl};
pub use session::Session;
