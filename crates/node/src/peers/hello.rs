//! The first frame of each side: who is there, and whether the two belong together.

use bytes::Bytes;
use quorate_proto::peer::v1::{Frame, Hello, frame};
use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{Epoch, NodeId, StartId};
use quorate_protocol::time::Time;

use super::Shared;
use super::frames::frame_of;
use super::registry::Who;
use crate::addresses::{Addresses, NodeAddresses};
use crate::clock::link_time;

/// What this node says of itself.
pub(super) fn own(shared: &Shared) -> Frame {
    let layout = shared.layouts.borrow().clone();
    let addresses = shared.addresses.own();
    let digest = |digest: u128| Bytes::copy_from_slice(&digest.to_be_bytes());
    frame_of(frame::Kind::Hello(Hello {
        cluster_id: layout.as_ref().map_or_else(Bytes::new, |layout| digest(layout.cluster.0)),
        node_id: shared.node.0,
        start_id: shared.start.0,
        epoch: layout.as_ref().map_or(0, |layout| layout.epoch.0),
        layout_digest: layout.as_ref().map_or_else(Bytes::new, |layout| digest(layout.digest())),
        peer_address: addresses.peer,
        grpc_address: addresses.grpc,
        http_address: addresses.http,
        version: env!("CARGO_PKG_VERSION").into(),
        clock_micros: link_time().0,
    }))
}

/// Why two nodes do not belong together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Mismatch {
    #[error("the first frame is not a hello")]
    NoHello,
    #[error("node {0} is this node itself")]
    Self_(NodeId),
    #[error("it belongs to another cluster, {0}")]
    Cluster(String),
    #[error("it holds another layout under the same epoch {0}")]
    Layout(u64),
}

/// Checks the other side's first frame, and remembers where it says it is.
pub(super) fn check(shared: &Shared, frame: Option<Frame>, dialed_here: bool) -> Result<Who, Mismatch> {
    let Some(frame::Kind::Hello(hello)) = frame.and_then(|frame| frame.kind) else {
        return Err(Mismatch::NoHello);
    };
    let node = NodeId(hello.node_id);
    if node == shared.node {
        return Err(Mismatch::Self_(node));
    }
    if let Some(layout) = shared.layouts.borrow().as_ref()
        && !hello.cluster_id.is_empty()
    {
        if hello.cluster_id[..] != layout.cluster.0.to_be_bytes() {
            let hex = hello.cluster_id.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(Mismatch::Cluster(hex));
        }
        if hello.epoch == layout.epoch.0 && hello.layout_digest[..] != layout.digest().to_be_bytes() {
            return Err(Mismatch::Layout(hello.epoch));
        }
    }
    let addresses =
        NodeAddresses { peer: hello.peer_address, grpc: hello.grpc_address, http: hello.http_address };
    shared.addresses.learn(node, addresses);
    let start = StartId(hello.start_id);
    let clock = LinkTime { start, at: Time(hello.clock_micros) };
    Ok(Who { node, start, epoch: Epoch(hello.epoch), clock, dialed_here })
}
