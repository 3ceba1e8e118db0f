//! Asking nodes: over `quorate.v1.Admin` only, at the address that the pod has now.
//!
//! An address says nothing about who answers there: pods come and go, and their addresses are used again. So who answers is
//! checked each time, by the name that the pod has given to its node, and before an order by the node's id, over the same connection.

use std::time::Duration;

use quorate_proto::convert::status::{change_error_of_status, said};
use quorate_proto::v1;
use quorate_proto::v1::admin_client::AdminClient;
use quorate_proto::v1::change_layout_error::Code;
use quorate_proto::v1::change_wait::Kind;
use tonic::transport::{Channel, Endpoint};

use crate::observed::{
    Answer, BucketSeen, ChangeSeen, LayoutSeen, MemberSeen, Membership, NodeSeen, ProgressSeen,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For a call that waits for no other node.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The voters are given some time, and so is a node that is to be added.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// For people.
    pub message: String,
    /// Whether that passes by itself: looking again is all there is to do.
    pub passes: bool,
    /// Whether another node may do it: this one has done nothing.
    pub ask_another: bool,
}

impl Refused {
    fn silent(message: String) -> Self {
        Self { message, passes: false, ask_another: true }
    }
}

/// How the node in a pod is. `host` is the pod's address, `pod` its name, and `peer_address` where its node must say that peers
/// reach it.
pub async fn status(host: &str, pod: &str, peer_address: &str) -> Answer {
    let told = async {
        let mut admin = connect(host, TIMEOUT).await?;
        let answer = admin.status(v1::StatusRequest::default()).await;
        answer.map(tonic::Response::into_inner).map_err(|status| said(&status))
    };
    match told.await {
        Ok(status) if status.configured_name == pod && status.peer_address == peer_address => {
            Answer::Told(Box::new(node_seen(&status)))
        }
        Ok(status) => Answer::Silent(format!(
            "the node that answers calls itself {} at {}",
            status.configured_name, status.peer_address
        )),
        Err(why) => Answer::Silent(why),
    }
}

/// The layout that the node at this address holds.
///
/// # Errors
/// When it does not answer, or holds none.
pub async fn layout(host: &str) -> Result<LayoutSeen, String> {
    let mut admin = connect(host, TIMEOUT).await?;
    let answer = admin.get_layout(v1::GetLayoutRequest {}).await.map_err(|status| said(&status))?;
    answer.into_inner().layout.map(layout_seen).ok_or_else(|| "it shows no layout".into())
}

/// Gives the node its first layout.
///
/// # Errors
/// When it does not answer, or belongs to another cluster already.
pub async fn bootstrap(host: &str, request: v1::BootstrapRequest) -> Result<(), String> {
    let mut admin = connect(host, CHANGE_TIMEOUT).await?;
    admin.bootstrap(request).await.map(|_| ()).map_err(|status| said(&status))
}

/// Asks the node of this id, which is to be at this address, for another layout.
///
/// # Errors
/// When another node is there, or it refuses; each says whether to ask another node, or later.
pub async fn change_layout(host: &str, id: u64, request: v1::ChangeLayoutRequest) -> Result<(), Refused> {
    let mut admin = connect(host, CHANGE_TIMEOUT).await.map_err(Refused::silent)?;
    let status = admin.status(v1::StatusRequest::default()).await;
    let status = status.map_err(|status| Refused::silent(said(&status)))?.into_inner();
    if status.node_id != id {
        return Err(Refused::silent("another node has this address by now".into()));
    }
    admin.change_layout(request).await.map(|_| ()).map_err(|status| refused(&status))
}

fn refused(status: &tonic::Status) -> Refused {
    let message = said(status);
    match change_error_of_status(status).map(|error| error.code()) {
        Some(Code::ChangedMeanwhile | Code::UnderWay | Code::Nothing | Code::NothingUnderWay) => {
            Refused { message, passes: true, ask_another: false }
        }
        Some(Code::Busy | Code::Starting | Code::Unreachable) => {
            Refused { message, passes: true, ask_another: true }
        }
        Some(Code::NotAMember | Code::NotBootstrapped | Code::DiskFull) => {
            Refused { message, passes: false, ask_another: true }
        }
        // It may have happened, or can never.
        _ => Refused { message, passes: false, ask_another: false },
    }
}

async fn connect(host: &str, timeout: Duration) -> Result<AdminClient<Channel>, String> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let url = format!("http://{host}:{}", crate::render::GRPC_PORT);
    let endpoint = Endpoint::from_shared(url).map_err(|_| format!("{host} is no address"))?;
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(timeout);
    // The timeouts of the transport are for each try: an address that nobody has may take several.
    match tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(AdminClient::new(channel)),
        Ok(Err(error)) => Err(innermost(&error)),
        Err(_) => Err("it cannot be connected to in time".into()),
    }
}

/// The outermost error often says just "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn hexadecimal(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn node_seen(status: &v1::StatusResponse) -> NodeSeen {
    NodeSeen {
        id: status.node_id,
        cluster: hexadecimal(&status.cluster_id),
        epoch: status.epoch,
        membership: match status.membership() {
            v1::Membership::None => Membership::None,
            v1::Membership::Member => Membership::Member,
            v1::Membership::Left => Membership::Left,
        },
        version: status.version.clone(),
        change: status.change.as_ref().map(|change| ProgressSeen {
            began: change.began,
            pending_bytes: change.bytes_pending,
            // All that are left answer, and these are too few.
            lacks_owners: change.waits.iter().any(|wait| wait.kind() == Kind::Reach && wait.nodes.is_empty()),
        }),
        hints: status.hints.map_or(0, |hints| hints.count),
        partitions_unavailable: status.partitions_unavailable,
        partitions_under_replicated: status.partitions_under_replicated,
        storage_refusal: status.storage_refusal.clone(),
    }
}

fn layout_seen(layout: v1::Layout) -> LayoutSeen {
    let partitions = u32::try_from(layout.owners.len()).unwrap_or(u32::MAX);
    let mut owned = vec![0_u32; layout.members.len()];
    for owner in layout.owners.iter().flat_map(|owners| &owners.members) {
        if let Some(owned) = owned.get_mut(*owner as usize) {
            *owned += 1;
        }
    }
    let change = layout.change.map(|change| ChangeSeen {
        began: change.began,
        paused: change.paused,
        sizes: !change.sizes.is_empty() || change.n != layout.n,
        added: change.added,
        members: change.members.iter().map(|member| member.node_id).collect(),
        lost: change.lost,
    });
    let members = layout.members.into_iter().zip(owned).map(|(member, partitions)| MemberSeen {
        id: member.node_id,
        name: member.name,
        zone: member.zone,
        partitions,
    });
    let buckets = layout.buckets.into_iter().map(|bucket| BucketSeen {
        name: bucket.name,
        n: bucket.n,
        r: bucket.r,
        w: bucket.w,
    });
    LayoutSeen {
        cluster: hexadecimal(&layout.cluster_id),
        epoch: layout.epoch,
        partitions,
        n: layout.n,
        members: members.collect(),
        voters: layout.voters,
        buckets: buckets.collect(),
        change,
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::convert::status::status_with_change_error;
    use quorate_proto::v1::ChangeLayoutError;

    use super::*;

    #[test]
    fn a_refusal_says_whether_to_ask_another_node_or_later() {
        let cases = [
            (Code::ChangedMeanwhile, true, false),
            (Code::Busy, true, true),
            (Code::Starting, true, true),
            (Code::NotAMember, false, true),
            (Code::NoMajority, false, false),
            (Code::Invalid, false, false),
        ];
        for (code, passes, ask_another) in cases {
            let error = ChangeLayoutError { code: code.into(), message: "why".into(), ..Default::default() };
            let status = status_with_change_error(tonic::Code::FailedPrecondition, &error);
            assert_eq!(refused(&status), Refused { message: "why".into(), passes, ask_another }, "{code:?}");
        }
        let broken = refused(&tonic::Status::unavailable("broken pipe"));
        assert!(!broken.passes && !broken.ask_another, "it may have happened");
    }

    #[test]
    fn a_node_tells_when_too_few_owners_are_left() {
        let wait = |kind: Kind, nodes: &[u64]| v1::ChangeWait {
            kind: kind.into(),
            nodes: nodes.to_vec(),
            partitions: 3,
        };
        let seen = |waits: Vec<v1::ChangeWait>| {
            let change = Some(v1::ChangeProgress { began: 7, waits, ..Default::default() });
            node_seen(&v1::StatusResponse { change, ..Default::default() }).change
        };
        let expected = |lacks_owners| Some(ProgressSeen { began: 7, pending_bytes: 0, lacks_owners });
        assert_eq!(seen(vec![wait(Kind::CatchUp, &[1]), wait(Kind::Reach, &[])]), expected(true));
        assert_eq!(seen(vec![wait(Kind::Reach, &[2])]), expected(false), "that one may come back");
        assert_eq!(seen(vec![wait(Kind::Resume, &[])]), expected(false));
    }

    #[test]
    fn a_layout_tells_how_much_each_member_owns_and_what_is_becoming_of_it() {
        let member = |node_id, name: &str| v1::Member { node_id, name: name.into(), ..Default::default() };
        let owners = |members: &[u32]| v1::Owners { members: members.to_vec() };
        let change = v1::Change { began: 7, n: 2, members: vec![member(2, "b")], ..Default::default() };
        let layout = layout_seen(v1::Layout {
            cluster_id: vec![0xAB; 16].into(),
            epoch: 7,
            n: 1,
            members: vec![member(1, "a"), member(2, "b")],
            owners: vec![owners(&[0]), owners(&[1]), owners(&[0])],
            change: Some(change),
            ..Default::default()
        });
        assert_eq!((layout.cluster.as_str(), layout.partitions), ("ab".repeat(16).as_str(), 3));
        assert_eq!(layout.members.iter().map(|member| member.partitions).collect::<Vec<_>>(), [2, 1]);
        assert!(layout.leaves(1) && !layout.leaves(2) && layout.change.is_some_and(|change| change.sizes));
    }
}
