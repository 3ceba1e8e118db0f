//! Listing the keys of a bucket, page by page.

use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use quorate_protocol::id::PartitionId;
use quorate_protocol::operation::{List, Operation, Outcome, Timed};
use serde::Serialize;
use utoipa::ToSchema;

use super::HttpState;
use super::answer::KeyText;
use super::buckets::not_bootstrapped;
use super::error::{ApiError, Code, ErrorAnswer};
use super::key::bucket_name;
use super::openapi::ListParameters;
use super::parameters::{OF_LISTINGS, Parameters};

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeysAnswer {
    /// Keys with at least one live value.
    keys: Vec<KeyText>,
    /// Where to go on; absent at the end. A page can be short, or empty, and not be the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Where a listing stands. Partition by partition, and in each in key order: what is written meanwhile does not move it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cursor {
    partition: u16,
    after: Option<Bytes>,
}

impl Cursor {
    fn encode(&self) -> String {
        let mut bytes = self.partition.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.after.as_deref().unwrap_or_default());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(text: &str, partitions: usize) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (partition, after) = bytes.split_first_chunk()?;
        let partition = u16::from_be_bytes(*partition);
        let after = (!after.is_empty()).then(|| Bytes::copy_from_slice(after));
        (usize::from(partition) < partitions).then_some(Self { partition, after })
    }
}

/// Lists the keys of a bucket, page by page, in a stable order that means nothing.
#[utoipa::path(get, path = "/buckets/{bucket}/keys", tag = "buckets",
    params(("bucket" = String, Path, description = "The bucket's name"), ListParameters),
    responses((status = 200, description = "A page", body = KeysAnswer),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn list_keys(State(state): State<HttpState>, request: Request) -> Response {
    let start = Instant::now();
    let result = page(&state, request.uri(), start).await;
    let (outcome, response) = match result {
        Ok(page) => ("success", Json(page).into_response()),
        Err(error) => (error.code.as_str(), error.into_response()),
    };
    state.observer.observed("keys", outcome, start.elapsed(), 1);
    response
}

async fn page(state: &HttpState, uri: &Uri, start: Instant) -> Result<KeysAnswer, ApiError> {
    let limits = &state.limits;
    let raw_bucket = uri.path().split('/').nth(2).unwrap_or_default();
    let bucket = bucket_name(raw_bucket)?;
    let parameters = Parameters::of_query(OF_LISTINGS, limits, uri.query())?;
    let limit = parameters.limit.map_or(limits.list_keys, |limit| limit as usize);
    if limit == 0 || limit > limits.list_keys {
        return Err(ApiError::invalid("limit", format!("{limit} is not from 1 to {}", limits.list_keys)));
    }
    let partitions = state.driver.layout().ok_or_else(not_bootstrapped)?.partitions();
    let mut cursor = match &parameters.cursor {
        None => Cursor::default(),
        Some(text) => Cursor::decode(text, partitions)
            .ok_or_else(|| ApiError::invalid("cursor", "it is not one that a listing has given"))?,
    };
    let time = if parameters.timeout.is_zero() { limits.default_timeout } else { parameters.timeout };
    let mut keys = Vec::new();
    loop {
        let wanted = limit - keys.len();
        let operation = Operation::List(List {
            bucket: bucket.clone(),
            partition: PartitionId(cursor.partition),
            after: cursor.after.take(),
            limit: u32::try_from(wanted).unwrap_or(u32::MAX),
            quorum: parameters.quorum,
        });
        let listed = match state.driver.run(Timed { operation, timeout: time }).await? {
            Outcome::List(listed) => listed,
            Outcome::Put(_) | Outcome::Get(_) | Outcome::Delete(_) => {
                return Err(ApiError::new(Code::Storage, "the node gave an answer to another question"));
            }
        };
        keys.extend(listed.keys.iter().map(|key| KeyText::new(key)));
        cursor.after = listed.next;
        if cursor.after.is_none() {
            cursor.partition += 1;
        }
        if usize::from(cursor.partition) >= partitions {
            return Ok(KeysAnswer { keys, cursor: None });
        }
        // A page that has come some way within half of its time is better than one that fails at its end.
        if keys.len() >= limit || start.elapsed() > time / 2 {
            return Ok(KeysAnswer { keys, cursor: Some(cursor.encode()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back() {
        for cursor in [
            Cursor::default(),
            Cursor { partition: 7, after: None },
            Cursor { partition: 259, after: Some(Bytes::from_static(b"a/\xff")) },
        ] {
            assert_eq!(Cursor::decode(&cursor.encode(), 512), Some(cursor));
        }
    }

    #[test]
    fn what_no_listing_gave_is_refused() {
        for text in ["", "AA", "*", "AgA"] {
            assert_eq!(Cursor::decode(text, 512), None, "{text}");
        }
    }
}
