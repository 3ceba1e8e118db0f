//! What comes to the loop.

use std::sync::Arc;

use quorate_protocol::Event;
use quorate_protocol::chain::Preview;
use quorate_protocol::effect::{BootstrapError, ChangeError};
use quorate_protocol::id::Epoch;
use quorate_protocol::layout::{Bootstrap, Layout, Order};
use quorate_protocol::operation::{OperationResult, Timed};
use quorate_protocol::store::{CommitNumber, StoreError};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::handle::SessionAnswers;
use super::view::View;

/// Where an operation's answer goes.
#[derive(Debug)]
pub(crate) enum Reply {
    /// To the one who waits for it.
    One(oneshot::Sender<OperationResult>),
    /// Into a session, together with others.
    Session {
        /// The session's name for it.
        id: u64,
        /// The session.
        answers: mpsc::UnboundedSender<SessionAnswers>,
    },
}

/// Something for the loop to do.
#[derive(Debug)]
pub(crate) enum Input {
    /// Client operations.
    Operations(Vec<(Timed, Reply)>),
    /// The first layout.
    Bootstrap {
        /// What it is a function of.
        settings: Bootstrap,
        /// Who waits.
        reply: oneshot::Sender<Result<Arc<Layout>, BootstrapError>>,
    },
    /// Another layout.
    Change {
        /// The epoch that the asker has seen.
        expected: Option<Epoch>,
        /// What is asked.
        order: Order,
        /// Who waits.
        reply: oneshot::Sender<Result<Arc<Layout>, ChangeError>>,
    },
    /// What another layout would move.
    Preview {
        /// The epoch that the asker has seen.
        expected: Option<Epoch>,
        /// What is asked.
        order: Order,
        /// Who waits.
        reply: oneshot::Sender<Result<Preview, ChangeError>>,
    },
    /// Events of links; the permit holds the link's place in the queue until they are handled.
    Peer(Event, Option<OwnedSemaphorePermit>),
    /// The store has made batches durable, up to its own number.
    Durable(CommitNumber),
    /// The store can no longer be trusted.
    StoreFailed(StoreError),
    /// Reads and scans are done.
    Reads(Vec<Event>),
    /// All that this node owns is to be compared with the other owners' now.
    Repair,
    /// Somebody wants to know what the loop sees.
    View(oneshot::Sender<View>),
    /// Finish what is under way, then stop.
    Stop,
}
