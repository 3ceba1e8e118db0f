//! Whether the node lives, whether it should be sent requests, and its metrics.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use quorate_protocol::id::NodeId;
use quorate_protocol::layout::Layout;
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::error::{ApiError, Code, ErrorAnswer};
use crate::driver::{View, lacks_quorum};

/// A loop that does not turn for this long is taken for dead.
const ALIVE_WITHIN: Duration = Duration::from_secs(2);

/// The node lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HealthAnswer {
    /// `alive`
    status: &'static str,
    /// This node, 16 hexadecimal digits.
    node: String,
}

/// Whether requests should be sent to the node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadyAnswer {
    /// `ready` or `not_ready`
    status: &'static str,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Says whether the node's loop turns.
#[utoipa::path(get, path = "/healthz", tag = "node",
    responses((status = 200, description = "It does", body = HealthAnswer),
        (status = 503, description = "It does not", body = ErrorAnswer)))]
pub(super) async fn healthz(State(state): State<HttpState>) -> Response {
    match view(&state).await {
        Ok(view) => Json(HealthAnswer { status: "alive", node: view.node.to_string() }).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Says whether the node should be sent requests: it has a layout, others have vouched for it since its start, its
/// store takes writes, of at least one of its partitions enough owners can be reached, and it is not about to be stopped.
#[utoipa::path(get, path = "/readyz", tag = "node",
    responses((status = 200, description = "It should", body = ReadyAnswer),
        (status = 503, description = "It should not, and why", body = ReadyAnswer)))]
pub(super) async fn readyz(State(state): State<HttpState>) -> Response {
    let reason = match view(&state).await {
        Ok(_) if state.draining.has_begun() => Some("it is draining, for it is about to be stopped".into()),
        Ok(view) => not_ready(&view),
        Err(_) => Some("the node's loop does not answer".into()),
    };
    match reason {
        None => Json(ReadyAnswer { status: "ready", reason }).into_response(),
        Some(_) => {
            let answer = ReadyAnswer { status: "not_ready", reason };
            (StatusCode::SERVICE_UNAVAILABLE, Json(answer)).into_response()
        }
    }
}

/// The node's metrics, in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "node",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(state): State<HttpState>) -> Response {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], (state.metrics)().await).into_response()
}

async fn view(state: &HttpState) -> Result<View, ApiError> {
    let dead = |message: &str| ApiError::new(Code::NotAlive, message);
    match tokio::time::timeout(ALIVE_WITHIN, state.driver.view()).await {
        Ok(Some(view)) => Ok(view),
        Ok(None) => Err(dead("the node is stopping")),
        Err(_) => Err(dead(&format!("the node's loop did not turn for {ALIVE_WITHIN:?}"))),
    }
}

fn not_ready(view: &View) -> Option<String> {
    let Some(layout) = &view.layout else {
        return Some("the cluster is not bootstrapped".into());
    };
    if view.has_left() {
        return Some("this node has left the cluster".into());
    }
    if view.is_outside() {
        return Some("this node is not a member of the cluster: its change was cancelled".into());
    }
    if view.gauges.starting {
        return Some("it has just started, and waits to hear what others know of it".into());
    }
    if let Some(refusal) = &view.store_refusal {
        return Some(format!("the store takes no writes: {refusal}"));
    }
    let reason = "of none of its partitions enough owners can be reached";
    lacks_all_quorums(layout, view.node, &view.reachable).then(|| reason.into())
}

/// Whether `node` owns partitions, and of each of them fewer owners can be reached than the default bucket's quorums need. While it has
/// the quorum of some, it is of use: two of five nodes that are down take their quorums from most partitions' owners, and if all these
/// said that they are not ready, the rest of the data would be served by nobody.
fn lacks_all_quorums(layout: &Layout, node: NodeId, reachable: &[NodeId]) -> bool {
    let is_up = |owner: NodeId| owner == node || reachable.contains(&owner);
    let mut owned = layout.all_partitions().filter(|&partition| layout.is_owner(partition, node)).peekable();
    owned.peek().is_some() && owned.all(|partition| lacks_quorum(layout, partition, is_up))
}

#[cfg(test)]
mod tests {
    use quorate_protocol::GossipFigures;
    use quorate_protocol::id::ClusterId;
    use quorate_protocol::layout::{Bootstrap, Member};
    use quorate_protocol::stats::{Gauges, Stats};

    use super::*;

    fn view(reachable: &[u64]) -> View {
        view_of(3, reachable)
    }

    /// What node 1 of so many sees.
    fn view_of(nodes: u64, reachable: &[u64]) -> View {
        let member = |id: u64| Member {
            node: NodeId(id),
            name: format!("node-{id}"),
            peer_address: format!("node-{id}:7702"),
            zone: String::new(),
            weight: 1,
        };
        let settings = Bootstrap {
            cluster: ClusterId(1),
            partitions: 16,
            n: 3,
            r: 2,
            w: 2,
            members: (1..=nodes).map(member).collect(),
            buckets: Vec::new(),
        };
        let layout = Layout::first(&settings).expect("the settings are good");
        View {
            node: NodeId(1),
            layout: Some(layout.into()),
            reachable: reachable.iter().copied().map(NodeId).collect(),
            verdicts: Vec::new(),
            gossip: GossipFigures::default(),
            stats: Stats::default(),
            gauges: Gauges::default(),
            oldest_hint: Duration::ZERO,
            anti_entropy: quorate_protocol::stats::AntiEntropy::default(),
            change: None,
            store_refusal: None,
            awaited: 0,
        }
    }

    #[test]
    fn a_node_with_its_quorums_is_ready() {
        assert_eq!(not_ready(&view(&[2, 3])), None);
        assert_eq!(not_ready(&view(&[3])), None);
    }

    #[test]
    fn a_node_with_the_quorum_of_some_of_its_partitions_is_ready() {
        for reachable in [&[2][..], &[3, 4]] {
            let view = view_of(5, reachable);
            assert!(view.partitions().unavailable > 0, "some have lost their quorum");
            assert_eq!(not_ready(&view), None);
        }
        assert!(not_ready(&view_of(5, &[])).is_some());
    }

    #[test]
    fn the_reason_is_told() {
        let reason = |view: View| not_ready(&view).expect("it is not ready");
        assert!(reason(view(&[])).contains("of none of its partitions"));
        assert!(reason(View { layout: None, ..view(&[2, 3]) }).contains("not bootstrapped"));
        assert!(reason(View { node: NodeId(9), ..view(&[2, 3]) }).contains("not a member"));
        let mut layout = view(&[2, 3]).layout.as_deref().cloned().expect("it has one");
        layout.departed.insert(NodeId(9));
        let left = View { node: NodeId(9), layout: Some(layout.into()), ..view(&[2, 3]) };
        assert!(reason(left).contains("has left"));
        let full = View { store_refusal: Some("the disk is full".into()), ..view(&[2, 3]) };
        assert!(reason(full).contains("the disk is full"));
    }
}
