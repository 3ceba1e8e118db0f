//! One link in use: what comes in goes to the loop, what the loop sends goes out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{Stream, StreamExt as _, stream};
use quorate_proto::convert::peer::batch_from_wire;
use quorate_proto::peer::v1::Frame;
use quorate_protocol::Event;
use quorate_protocol::id::NodeId;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::Shared;
use super::frames::{Assembly, frames};
use super::registry::{QueueEnd, Registered};
use crate::driver::Input;
use crate::faults::Faults;

/// Batches of one link that may wait for the loop; past it the link is read no further, and the sender notices.
const WAITING_BATCHES: usize = 256;

/// The frames of a link's sending side: the hello first, then what is queued.
pub(super) fn outgoing(
    hello: Frame,
    queue: QueueEnd,
    faults: Arc<Faults>,
) -> impl Stream<Item = Frame> + Send + 'static {
    let QueueEnd { receiver, bytes } = queue;
    let in_time = UnboundedReceiverStream::new(receiver).then(move |outgoing| {
        let faults = faults.clone();
        async move {
            if let Some((to, until)) = outgoing.held {
                faults.hold(to, until).await;
            }
            outgoing
        }
    });
    let batches = in_time.flat_map(move |outgoing| {
        bytes.fetch_sub(outgoing.bytes, Ordering::Relaxed);
        stream::iter(frames(outgoing))
    });
    stream::iter([hello]).chain(batches)
}

/// Reads a link until it ends, or until another takes its place.
pub(super) async fn read(
    shared: Arc<Shared>,
    peer: NodeId,
    registered: Registered,
    mut incoming: Streaming<Frame>,
) {
    tracing::info!(%peer, "link up");
    let reason = tokio::select! {
        reason = read_frames(&shared, peer, &mut incoming) => reason,
        () = registered.close.notified() => "another link takes its place".to_owned(),
    };
    shared.registry.deregister(&registered);
    tracing::info!(%peer, reason, "link down");
}

async fn read_frames(shared: &Shared, from: NodeId, incoming: &mut Streaming<Frame>) -> String {
    let places = Arc::new(Semaphore::new(WAITING_BATCHES));
    let mut assembly = Assembly::default();
    loop {
        let frame = match incoming.message().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the peer ended it".into(),
            Err(status) => return status.message().to_owned(),
        };
        let batch = match assembly.take(frame) {
            Ok(Some(batch)) => batch,
            Ok(None) => continue,
            Err(reason) => return reason,
        };
        let (hlc, mut messages) = match batch_from_wire(batch) {
            Ok(batch) => batch,
            Err(error) => return error.to_string(),
        };
        shared.registry.faults().receiving(from, &mut messages);
        if messages.is_empty() {
            continue;
        }
        let Ok(place) = places.clone().acquire_owned().await else { return "the node is stopping".into() };
        if shared.inputs.send(Input::Peer(Event::Messages { from, hlc, messages }, Some(place))).is_err() {
            return "the node is stopping".into();
        }
    }
}
