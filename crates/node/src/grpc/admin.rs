//! Running a cluster.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_proto::convert::change::progress_to_wire;
use quorate_proto::convert::failure::field;
use quorate_proto::convert::layout::{
    bootstrap_from_wire, bucket_to_wire, cluster_id_to_wire, layout_to_wire,
};
use quorate_proto::v1;
use quorate_proto::v1::admin_server::Admin;
use quorate_proto::v1::{
    AlterBucketRequest, AntiEntropy, BootstrapRequest, BootstrapResponse, ChangeLayoutRequest,
    ChangeLayoutResponse, CreateBucketRequest, DrainRequest, DrainResponse, DropBucketRequest,
    GetLayoutRequest, GetLayoutResponse, InjectFaultsRequest, InjectFaultsResponse, ListBucketsRequest,
    ListBucketsResponse, PartitionState, Peer, RepairRequest, RepairResponse, StatusRequest, StatusResponse,
};
use quorate_protocol::PeerState;
use quorate_protocol::effect::BootstrapError;
use quorate_protocol::layout::{Layout, Member};
use quorate_protocol::operation::Failure;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::status::refused;
use super::{GrpcState, change, faults};
use crate::addresses::NodeAddresses;
use crate::distrusted;
use crate::driver::{BootstrapFailure, View};

/// What a drain takes when its request does not say: see `DrainRequest`.
const DRAIN_SETTLE_MS: u32 = 5_000;
const DRAIN_TIMEOUT_MS: u32 = 20_000;
const DRAIN_TIMEOUT_MS_MAX: u32 = 600_000;

pub(super) struct AdminService {
    state: GrpcState,
    started: Instant,
    /// True once the node stops.
    stopping: watch::Receiver<bool>,
}

impl AdminService {
    pub(super) fn new(state: GrpcState, stopping: watch::Receiver<bool>) -> Self {
        Self { state, started: Instant::now(), stopping }
    }

    async fn view(&self) -> Result<View, Status> {
        self.state.driver.view().await.ok_or_else(stopping)
    }

    /// A member as this node sees it; where it is not known to be now, it is where the layout says.
    fn peer(&self, view: &View, member: &Member) -> Peer {
        let own = member.node == view.node;
        let known = if own { Some(self.state.addresses.own()) } else { self.state.addresses.of(member.node) };
        let NodeAddresses { peer, grpc, http } = known.unwrap_or_default();
        let verdict = view.verdict(member.node);
        Peer {
            node_id: member.node.0,
            name: member.name.clone(),
            reachable: own || view.reachable.binary_search(&member.node).is_ok(),
            grpc_address: grpc,
            http_address: http,
            peer_address: if peer.is_empty() { member.peer_address.clone() } else { peer },
            state: verdict.map_or(v1::PeerState::Unknown, |verdict| state_to_wire(verdict.state)).into(),
            state_ms: verdict
                .map_or(0, |verdict| u64::try_from(verdict.since.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn status_of(&self, view: &View, with_partitions: bool) -> StatusResponse {
        let own = self.state.addresses.own();
        let partitions = view.partitions();
        let layout = view.layout.as_deref();
        let members = layout.map(|layout| layout.members.as_slice()).unwrap_or_default();
        let others = members.iter().filter(|member| member.node != view.node);
        let disk_use = (self.state.disk_use)();
        StatusResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            node_id: view.node.0,
            cluster_id: layout.map_or_else(Bytes::new, |layout| cluster_id_to_wire(layout.cluster)),
            epoch: layout.map_or(0, |layout| layout.epoch.0),
            peers: others.map(|member| self.peer(view, member)).collect(),
            grpc_address: own.grpc,
            http_address: own.http,
            peer_address: own.peer,
            partitions_owned: partitions.owned,
            partitions_unavailable: partitions.unavailable,
            partitions_under_replicated: partitions.under_replicated,
            storage_bytes: disk_use.log_bytes + disk_use.base_bytes,
            storage_log_bytes: disk_use.log_bytes,
            uptime_ms: millis(self.started.elapsed()),
            storage_refusal: view.store_refusal.clone().unwrap_or_default(),
            anti_entropy: Some(anti_entropy(view, with_partitions)),
            unsafe_fault_injection: self.state.faults.allowed(),
            data_dir: self.state.data_dir.display().to_string(),
            damaged_keys: view.gauges.holes as u64,
            hints: Some(v1::Hints {
                count: view.gauges.hints as u64,
                fallback_bytes: view.gauges.fallback_bytes as u64,
                delivered: view.stats.hints_delivered,
                dropped: view.stats.hints_dropped,
            }),
            tombstones: view.gauges.forgettable as u64,
            membership: membership(view).into(),
            change: view.change.as_ref().map(progress_to_wire),
            configured_name: self.state.configured.name.clone(),
            configured_zone: self.state.configured.zone.clone(),
            configured_weight: self.state.configured.weight,
            draining: self.state.draining.has_begun(),
            set_aside_directories: u32::try_from(distrusted::count(&self.state.data_dir)).unwrap_or(u32::MAX),
        }
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn bootstrap(
        &self,
        request: Request<BootstrapRequest>,
    ) -> Result<Response<BootstrapResponse>, Status> {
        let settings = bootstrap_from_wire(request.into_inner())
            .map_err(|error| refused(Failure::Invalid { field: error.field, reason: error.reason }))?;
        let layout = self.state.driver.bootstrap(settings).await.map_err(|failure| match failure {
            BootstrapFailure::Refused(error) => not_founded(error),
            BootstrapFailure::Stopping => stopping(),
        })?;
        Ok(Response::new(BootstrapResponse { layout: Some(layout_to_wire(&layout)) }))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let view = self.view().await?;
        Ok(Response::new(self.status_of(&view, request.into_inner().partitions)))
    }

    async fn repair(&self, _request: Request<RepairRequest>) -> Result<Response<RepairResponse>, Status> {
        let view = self.view().await?;
        founded(view.layout.as_deref())?;
        self.state.driver.repair();
        Ok(Response::new(RepairResponse { partitions: view.partitions().owned }))
    }

    async fn get_layout(
        &self,
        _request: Request<GetLayoutRequest>,
    ) -> Result<Response<GetLayoutResponse>, Status> {
        let view = self.view().await?;
        let layout = founded(view.layout.as_deref())?;
        let addresses = layout.members.iter().map(|member| self.peer(&view, member)).collect();
        Ok(Response::new(GetLayoutResponse { layout: Some(layout_to_wire(layout)), addresses }))
    }

    async fn change_layout(
        &self,
        request: Request<ChangeLayoutRequest>,
    ) -> Result<Response<ChangeLayoutResponse>, Status> {
        let request = request.into_inner();
        change::change(&self.state, request.expected_epoch, request.preview, request.order).await
    }

    async fn create_bucket(
        &self,
        request: Request<CreateBucketRequest>,
    ) -> Result<Response<ChangeLayoutResponse>, Status> {
        let CreateBucketRequest { expected_epoch, bucket } = request.into_inner();
        let alteration = v1::Alteration { create: bucket.into_iter().collect(), ..Default::default() };
        change::alter(&self.state, expected_epoch, "bucket", alteration).await
    }

    async fn alter_bucket(
        &self,
        request: Request<AlterBucketRequest>,
    ) -> Result<Response<ChangeLayoutResponse>, Status> {
        let AlterBucketRequest { expected_epoch, sizes } = request.into_inner();
        let alteration = v1::Alteration { sizes: sizes.into_iter().collect(), ..Default::default() };
        change::alter(&self.state, expected_epoch, "sizes", alteration).await
    }

    async fn drop_bucket(
        &self,
        request: Request<DropBucketRequest>,
    ) -> Result<Response<ChangeLayoutResponse>, Status> {
        let DropBucketRequest { expected_epoch, bucket } = request.into_inner();
        let named = (!bucket.is_empty()).then_some(bucket);
        let alteration = v1::Alteration { drop: named.into_iter().collect(), ..Default::default() };
        change::alter(&self.state, expected_epoch, "bucket", alteration).await
    }

    async fn list_buckets(
        &self,
        _request: Request<ListBucketsRequest>,
    ) -> Result<Response<ListBucketsResponse>, Status> {
        let layout = self.state.driver.layout();
        let buckets = founded(layout.as_deref())?.buckets.iter().map(bucket_to_wire).collect();
        Ok(Response::new(ListBucketsResponse { buckets }))
    }

    async fn inject_faults(
        &self,
        request: Request<InjectFaultsRequest>,
    ) -> Result<Response<InjectFaultsResponse>, Status> {
        let view = self.view().await?;
        let asked = request.into_inner();
        let members = view.layout.as_deref().map(|layout| layout.members.as_slice());
        let faults = &self.state.faults;
        faults::set(faults, view.node, members, &asked)?;
        Ok(Response::new(faults::shown(faults)))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        let (settle, timeout) = drain_times(request.into_inner())?;
        let mut stopping_seen = self.stopping.clone();
        let stopped = async move {
            let _ = stopping_seen.wait_for(|stop| *stop).await;
        };
        let under_way = tokio::select! {
            under_way = self.state.draining.run(&self.state.driver, settle, timeout) => under_way,
            () = stopped => None,
        };
        Ok(Response::new(DrainResponse { operations: under_way.ok_or_else(stopping)? as u64 }))
    }
}

/// How long a drain is to serve on at least, and may take at most.
fn drain_times(asked: DrainRequest) -> Result<(Duration, Duration), Status> {
    let settle_ms = asked.settle_ms.unwrap_or(DRAIN_SETTLE_MS);
    let timeout_ms = asked.timeout_ms.unwrap_or(DRAIN_TIMEOUT_MS.max(settle_ms));
    let invalid = |field, reason| Err(refused(Failure::Invalid { field, reason }));
    if timeout_ms > DRAIN_TIMEOUT_MS_MAX {
        return invalid("timeout_ms", format!("{timeout_ms} is more than {DRAIN_TIMEOUT_MS_MAX}"));
    }
    if settle_ms > timeout_ms {
        return invalid("settle_ms", format!("{settle_ms} is more than the timeout, {timeout_ms}"));
    }
    Ok((Duration::from_millis(settle_ms.into()), Duration::from_millis(timeout_ms.into())))
}

fn membership(view: &View) -> v1::Membership {
    match view.layout {
        None => v1::Membership::None,
        Some(_) if view.has_left() => v1::Membership::Left,
        Some(_) if view.is_outside() => v1::Membership::None,
        Some(_) => v1::Membership::Member,
    }
}

fn state_to_wire(state: PeerState) -> v1::PeerState {
    match state {
        PeerState::Alive => v1::PeerState::Alive,
        PeerState::Suspect => v1::PeerState::Suspect,
        PeerState::Down => v1::PeerState::Down,
    }
}

fn anti_entropy(view: &View, with_partitions: bool) -> AntiEntropy {
    let state = &view.anti_entropy;
    let listed = state.partitions.iter().filter(|_| with_partitions).map(|partition| PartitionState {
        partition: partition.partition.0.into(),
        root: partition.root.map_or_else(Bytes::new, |(root, _)| root.to_be_bytes().to_vec().into()),
        keys: partition.root.map_or(0, |(_, keys)| keys),
        clean_ms: millis(partition.clean),
    });
    AntiEntropy {
        partitions_building: u32::try_from(state.building()).unwrap_or(u32::MAX),
        oldest_clean_ms: millis(state.oldest_clean()),
        keys_exchanged: view.stats.exchanged_keys,
        bytes_exchanged: view.stats.exchanged_bytes,
        exchanges: u32::try_from(state.exchanges).unwrap_or(u32::MAX),
        partitions: listed.collect(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn founded(layout: Option<&Layout>) -> Result<&Layout, Status> {
    layout.ok_or_else(|| refused(Failure::NotBootstrapped))
}

fn not_founded(error: BootstrapError) -> Status {
    let message = error.to_string();
    match error {
        BootstrapError::Invalid(invalid) => match field(&invalid.field) {
            // The detail can name only fields of the data plane; the reason names all others.
            "request" => refused(Failure::Invalid { field: "request", reason: message }),
            field => refused(Failure::Invalid { field, reason: invalid.reason }),
        },
        BootstrapError::NotAMember(_) => refused(Failure::Invalid { field: "request", reason: message }),
        BootstrapError::AlreadyBootstrapped(_) => Status::failed_precondition(message),
        BootstrapError::DiskFull => refused(Failure::DiskFull),
    }
}

pub(super) fn stopping() -> Status {
    Status::unavailable("the node is stopping")
}

#[cfg(test)]
mod tests {
    use quorate_protocol::id::{ClusterId, NodeId};
    use quorate_protocol::layout::InvalidSettings;
    use tonic::Code;

    use super::*;

    #[test]
    fn a_refused_bootstrap_says_what_is_wrong() {
        let invalid = |field: &str| {
            let reason = "0 is not from 1 to 3".into();
            not_founded(BootstrapError::Invalid(InvalidSettings { field: field.into(), reason }))
        };
        let cases = [
            (invalid("n"), Code::InvalidArgument, "n: 0 is"),
            (invalid("buckets.carts.n"), Code::InvalidArgument, "buckets.carts.n: 0 is"),
            (not_founded(BootstrapError::NotAMember(NodeId(9))), Code::InvalidArgument, "members: "),
            (
                not_founded(BootstrapError::AlreadyBootstrapped(ClusterId(9))),
                Code::FailedPrecondition,
                "already",
            ),
            (not_founded(BootstrapError::DiskFull), Code::ResourceExhausted, "disk"),
        ];
        for (status, code, part) in cases {
            assert_eq!(status.code(), code);
            assert!(status.message().contains(part), "{}", status.message());
        }
    }
}
