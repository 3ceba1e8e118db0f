//! Which buckets there are.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use quorate_protocol::layout::{Bucket, ConflictPolicy, QuorumMode};
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::error::{ApiError, Code, ErrorAnswer};
use super::parameters::{NONE, Parameters};

/// The buckets of the cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BucketsAnswer {
    /// The layout's epoch that they are part of.
    epoch: u64,
    /// Sorted by name.
    buckets: Vec<BucketAnswer>,
}

/// A bucket and its properties.
#[derive(Debug, Serialize, ToSchema)]
struct BucketAnswer {
    name: String,
    /// How many of a partition's owners count towards quorums.
    n: u32,
    /// How many of them must answer a read.
    r: u32,
    /// How many of them must acknowledge a write.
    w: u32,
    conflict: ConflictName,
    mode: ModeName,
    /// How long values are shown whose put does not say, in milliseconds; absent: until they are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

/// What becomes of concurrent writes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ConflictName {
    /// All are kept and shown until a later write has seen them.
    Siblings,
    /// The last by hybrid clock is shown.
    Lww,
}

/// Who may stand in for an owner that cannot be reached.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    /// Nobody: only owners count.
    Strict,
    /// The next nodes in the partition's order.
    Sloppy,
}

impl From<&Bucket> for BucketAnswer {
    fn from(bucket: &Bucket) -> Self {
        let conflict = match bucket.conflict {
            ConflictPolicy::Siblings => ConflictName::Siblings,
            ConflictPolicy::LastWriterWins => ConflictName::Lww,
        };
        let mode = match bucket.mode {
            QuorumMode::Strict => ModeName::Strict,
            QuorumMode::Sloppy => ModeName::Sloppy,
        };
        let Bucket { n, r, w, ttl_ms, .. } = *bucket;
        Self { name: bucket.name.clone(), n, r, w, conflict, mode, ttl_ms }
    }
}

/// Lists the buckets with their properties.
#[utoipa::path(get, path = "/buckets", tag = "buckets",
    responses((status = 200, description = "The buckets", body = BucketsAnswer),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn list_buckets(State(state): State<HttpState>, request: Request) -> Response {
    if let Err(error) = Parameters::of_query(NONE, &state.limits, request.uri().query()) {
        return error.into_response();
    }
    match state.driver.layout() {
        Some(layout) => {
            let buckets = layout.buckets.iter().map(BucketAnswer::from).collect();
            Json(BucketsAnswer { epoch: layout.epoch.0, buckets }).into_response()
        }
        None => not_bootstrapped().into_response(),
    }
}

/// The node has no layout yet.
pub(super) fn not_bootstrapped() -> ApiError {
    ApiError::new(Code::NotBootstrapped, "the cluster is not bootstrapped")
}
