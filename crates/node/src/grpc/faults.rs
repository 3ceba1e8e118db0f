//! Breaking a cluster on purpose: what `Admin.InjectFaults` takes and shows.

use std::time::Duration;

use quorate_proto::v1;
use quorate_protocol::id::NodeId;
use quorate_protocol::layout::Member;
use tonic::Status;

use crate::faults::{Faults, FaultsRefused, PeerFault};

/// Does what a request asks for; `members` as far as there is a layout.
pub(super) fn set(
    faults: &Faults,
    me: NodeId,
    members: Option<&[Member]>,
    asked: &v1::InjectFaultsRequest,
) -> Result<(), Status> {
    if faults.allowed() {
        check_peers(me, members, &asked.faults)?;
    }
    let asked_faults: Vec<(NodeId, PeerFault)> = asked.faults.iter().map(from_wire).collect();
    faults.set(&asked_faults, asked.replace).map_err(|refused| match refused {
        FaultsRefused::Off => Status::failed_precondition(refused.to_string()),
        FaultsRefused::Invalid { .. } => Status::invalid_argument(refused.to_string()),
    })
}

/// What is in effect.
pub(super) fn shown(faults: &Faults) -> v1::InjectFaultsResponse {
    v1::InjectFaultsResponse {
        faults: faults.list().iter().map(to_wire).collect(),
        lost_messages: faults.lost(),
    }
}

/// A fault of nobody would look like one that does nothing.
fn check_peers(me: NodeId, members: Option<&[Member]>, faults: &[v1::PeerFault]) -> Result<(), Status> {
    let mut named = Vec::with_capacity(faults.len());
    for (at, fault) in faults.iter().enumerate() {
        let node = NodeId(fault.node_id);
        let is_member = |members: &[Member]| members.iter().any(|member| member.node == node);
        let reason = if node == me {
            "is this node itself"
        } else if !members.is_none_or(is_member) {
            "is no member of the cluster"
        } else if named.contains(&node) {
            "is named twice"
        } else {
            named.push(node);
            continue;
        };
        return Err(Status::invalid_argument(format!("faults[{at}].node_id: {node} {reason}")));
    }
    Ok(())
}

fn from_wire(fault: &v1::PeerFault) -> (NodeId, PeerFault) {
    let taken = PeerFault {
        drop: fault.drop,
        receive_drop: fault.receive_drop,
        delay: Duration::from_millis(fault.delay_ms.into()),
        delay_jitter: Duration::from_millis(fault.delay_jitter_ms.into()),
    };
    (NodeId(fault.node_id), taken)
}

fn to_wire((node, fault): &(NodeId, PeerFault)) -> v1::PeerFault {
    let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    v1::PeerFault {
        node_id: node.0,
        drop: fault.drop,
        receive_drop: fault.receive_drop,
        delay_ms: ms(fault.delay),
        delay_jitter_ms: ms(fault.delay_jitter),
    }
}
