//! Listings: pages of a bucket's keys, across partitions; the same for gRPC and HTTP.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_proto::convert::kv::{mismatch, quorum_from_wire, timeout_from_wire};
use quorate_proto::v1::{KeysRequest, KeysResponse};
use quorate_protocol::Limits;
use quorate_protocol::id::PartitionId;
use quorate_protocol::operation::{
    Failure, List, Listed, Operation, OperationError, OperationResult, Outcome, Timed,
};

/// Says that a different encoding of the cursor follows.
const CURSOR_FORMAT: u8 = 1;

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    partition: u32,
    /// Keys greater than this one. No key is empty, so empty bytes can stand for none.
    after: Option<Bytes>,
}

impl Cursor {
    /// Format byte, the partition as two bytes with the greater first, the key.
    fn encode(&self) -> Bytes {
        let after = self.after.as_deref().unwrap_or_default();
        let mut bytes = Vec::with_capacity(3 + after.len());
        bytes.push(CURSOR_FORMAT);
        // Partitions are fewer than 2^16, and the cursor names one of them.
        bytes.extend_from_slice(&self.partition.to_be_bytes()[2..]);
        bytes.extend_from_slice(after);
        bytes.into()
    }

    fn decode(bytes: &Bytes) -> Option<Self> {
        let [CURSOR_FORMAT, high, low, ..] = bytes[..] else { return None };
        let after = bytes.slice(3..);
        let after = (!after.is_empty()).then_some(after);
        Some(Self { partition: u16::from_be_bytes([high, low]).into(), after })
    }
}

/// One page: lists partition after partition until the page is full, all are through, or half of the time is over, so
/// that the answer comes before its client stops waiting. A failure ends the page as well; it is the answer when there is
/// nothing else to say.
pub(crate) async fn page<F, Answer>(
    partitions: Option<usize>,
    limits: &Limits,
    request: KeysRequest,
    run: F,
) -> Result<KeysResponse, OperationError>
where
    F: Fn(Timed) -> Answer + Send,
    Answer: Future<Output = OperationResult> + Send,
{
    let started = Instant::now();
    let asked = Asked::read(partitions, limits, &request).map_err(OperationError::not_attempted)?;
    let time = if asked.timeout.is_zero() { limits.default_timeout } else { asked.timeout };
    let mut at = asked.start;
    let mut keys: Vec<Bytes> = Vec::new();
    let mut listed_any = false;
    while at.partition < asked.end && keys.len() < asked.limit {
        let elapsed = started.elapsed();
        if listed_any && elapsed >= time / 2 {
            break;
        }
        let timed = Timed {
            operation: Operation::List(List {
                bucket: request.bucket.clone(),
                partition: partition(at.partition)?,
                after: at.after.clone(),
                limit: u32::try_from(asked.limit - keys.len()).unwrap_or(u32::MAX),
                quorum: quorum_from_wire(request.quorum),
            }),
            // The first one carries the time as it was given, so that a bound that it breaks is named.
            timeout: if listed_any { time - elapsed } else { asked.timeout },
        };
        match run(timed).await {
            Ok(Outcome::List(Listed { keys: more, next })) => {
                keys.extend(more);
                at = match next {
                    Some(after) => Cursor { after: Some(after), ..at },
                    None => Cursor { partition: at.partition + 1, after: None },
                };
            }
            Ok(_) => return Err(mismatch()),
            Err(_) if listed_any => break,
            Err(error) => return Err(error),
        }
        listed_any = true;
    }
    let cursor = if at.partition < asked.end { at.encode() } else { Bytes::new() };
    Ok(KeysResponse { keys, cursor })
}

/// A request whose bounds hold.
struct Asked {
    start: Cursor,
    /// The partition to stop before.
    end: u32,
    limit: usize,
    timeout: Duration,
}

impl Asked {
    fn read(partitions: Option<usize>, limits: &Limits, request: &KeysRequest) -> Result<Self, Failure> {
        let invalid = |field, reason: String| Failure::Invalid { field, reason };
        let partitions = partitions.ok_or(Failure::NotBootstrapped)?;
        let all = u32::try_from(partitions).unwrap_or(u32::MAX);
        let (first, end) = request.partitions.map_or((0, all), |range| (range.first, range.end));
        if first > end || end > all {
            return Err(invalid("partition", format!("{first} to {end} is not within 0 to {all}")));
        }
        let limit = match request.limit as usize {
            0 => limits.list_keys,
            limit if limit <= limits.list_keys => limit,
            limit => {
                return Err(invalid("limit", format!("{limit} is not from 0 to {}", limits.list_keys)));
            }
        };
        let start = if request.cursor.is_empty() {
            Cursor { partition: first, after: None }
        } else {
            Cursor::decode(&request.cursor)
                .filter(|cursor| (first..end).contains(&cursor.partition))
                .ok_or_else(|| invalid("cursor", "it is not one of a listing of these partitions".into()))?
        };
        Ok(Self { start, end, limit, timeout: timeout_from_wire(request.timeout_ms) })
    }
}

fn partition(number: u32) -> Result<PartitionId, OperationError> {
    u16::try_from(number).map(PartitionId).map_err(|_| {
        let reason = format!("{number} is out of range");
        OperationError::not_attempted(Failure::Invalid { field: "partition", reason })
    })
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
