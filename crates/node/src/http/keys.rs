//! Listing the keys of a bucket, page by page.

use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quorate_proto::convert::kv::{quorum_to_wire, timeout_to_wire};
use quorate_proto::v1::KeysRequest;
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::answer::KeyText;
use super::error::{ApiError, ErrorAnswer};
use super::key::bucket_name;
use super::openapi::ListParameters;
use super::parameters::{OF_LISTINGS, Parameters};
use crate::listing;

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeysAnswer {
    /// Keys with at least one live value.
    keys: Vec<KeyText>,
    /// Where to go on; absent at the end. A page can be short, or empty, and not be the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Lists the keys of a bucket, page by page, in a stable order that means nothing.
#[utoipa::path(get, path = "/buckets/{bucket}/keys", tag = "buckets",
    params(("bucket" = String, Path, description = "The bucket's name"), ListParameters),
    responses((status = 200, description = "A page", body = KeysAnswer),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn list_keys(State(state): State<HttpState>, request: Request) -> Response {
    let start = Instant::now();
    let result = page(&state, request.uri()).await;
    let (outcome, response) = match result {
        Ok(page) => ("success", Json(page).into_response()),
        Err(error) => (error.code.as_str(), error.into_response()),
    };
    state.observer.observed("keys", outcome, start.elapsed(), 1);
    response
}

async fn page(state: &HttpState, uri: &Uri) -> Result<KeysAnswer, ApiError> {
    let limits = &state.limits;
    let raw_bucket = uri.path().split('/').nth(2).unwrap_or_default();
    let bucket = bucket_name(raw_bucket)?;
    let parameters = Parameters::of_query(OF_LISTINGS, limits, uri.query())?;
    // There 0 stands for the most; here it is a mistake.
    if let Some(limit) = parameters.limit.filter(|&limit| limit == 0 || limit as usize > limits.list_keys) {
        return Err(ApiError::invalid("limit", format!("{limit} is not from 1 to {}", limits.list_keys)));
    }
    let cursor = parameters.cursor.as_deref().unwrap_or_default();
    let cursor = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| ApiError::invalid("cursor", "it is not one that a listing has given"))?;
    if parameters.cursor.is_some() && cursor.is_empty() {
        return Err(ApiError::invalid("cursor", "it is empty"));
    }
    let request = KeysRequest {
        bucket,
        cursor: cursor.into(),
        limit: parameters.limit.unwrap_or(0),
        partitions: None,
        quorum: quorum_to_wire(parameters.quorum),
        timeout_ms: timeout_to_wire(parameters.timeout),
    };
    let partitions = state.driver.layout().map(|layout| layout.partitions());
    let page = listing::page(partitions, limits, request, |timed| state.driver.run(timed)).await?;
    let cursor = (!page.cursor.is_empty()).then(|| URL_SAFE_NO_PAD.encode(&page.cursor));
    Ok(KeysAnswer { keys: page.keys.iter().map(|key| KeyText::new(key)).collect(), cursor })
}
