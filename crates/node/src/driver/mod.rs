//! The one loop that owns the protocol's state machine: it feeds events in and carries effects out, and decides nothing.

mod answers;
mod commits;
mod engine;
mod handle;
mod input;
mod log;
mod readers;
mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use quorate_protocol::Node;
use quorate_protocol::store::{CommitNumber, Store, StoreError};
use quorate_storage::SledStore;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use engine::Ended;
pub use engine::{Outbox, StorePressure};
pub use handle::{BootstrapFailure, ChangeFailure, Driver, SessionAnswers};
pub(crate) use input::Input;
pub(crate) use view::lacks_quorum;
pub use view::{PartitionCounts, View};

use engine::{Engine, State};
use readers::Readers;

/// Threads that read the store.
const READERS: usize = 2;
/// A store that is as full as this is left alone until it has moved something on.
const BUSY_FRACTION: f64 = 0.9;

/// The two ends of the loop's inputs, made before the store and the links that send to it.
pub(crate) struct Inputs {
    sender: mpsc::UnboundedSender<Input>,
    receiver: mpsc::UnboundedReceiver<Input>,
}

impl Inputs {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { sender, receiver }
    }

    /// For those who send events of links.
    pub(crate) fn sender(&self) -> mpsc::UnboundedSender<Input> {
        self.sender.clone()
    }

    /// For the store: tells the loop that it has failed.
    pub(crate) fn on_failed(&self) -> impl Fn(&StoreError) + Send + Sync + use<> {
        let sender = self.sender.clone();
        move |error| {
            let _ = sender.send(Input::StoreFailed(error.clone()));
        }
    }

    /// For the store: tells the loop up to where it is durable.
    pub(crate) fn on_durable(&self) -> impl Fn(CommitNumber) + Send + Sync + use<> {
        let sender = self.sender.clone();
        move |number| {
            let _ = sender.send(Input::Durable(number));
        }
    }
}

impl StorePressure for SledStore {
    fn fraction(&self) -> f64 {
        self.pressure().fraction()
    }

    fn is_busy(&self) -> bool {
        let pressure = self.pressure();
        !pressure.full && pressure.fraction() >= BUSY_FRACTION
    }
}

/// Starts the loop, as a task of the runtime that serves connections too: what a connection has brought is handled, and what is answered
/// goes out, without another thread being woken, and what comes meanwhile makes the next turn larger. The receiver hears how it ended.
pub(crate) fn start<S, O>(
    node: Node,
    store: Arc<S>,
    outbox: O,
    inputs: Inputs,
    queued_max: usize,
) -> std::io::Result<(Driver, oneshot::Receiver<Result<Ended, StoreError>>)>
where
    S: Store + StorePressure + Send + Sync + 'static,
    O: Outbox,
{
    let (layout, layout_seen) = watch::channel(node.layout().cloned());
    let readers = Readers::start(READERS, &store, &inputs.sender)?;
    let queued = Arc::new(AtomicUsize::new(0));
    let driver = Driver {
        node: node.id(),
        inputs: inputs.sender,
        queued: queued.clone(),
        queued_max,
        layout: layout_seen,
    };
    let engine =
        Engine { node, store, outbox, readers, inputs: inputs.receiver, queued, layout, state: State::new() };
    let (ended, end) = oneshot::channel();
    tokio::spawn(async move {
        let _ = ended.send(engine.run().await);
    });
    Ok((driver, end))
}
