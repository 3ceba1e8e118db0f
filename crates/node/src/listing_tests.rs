//! Pages of keys: cursors, bounds, and what a page says of the next.

#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use std::future::ready;

use quorate_proto::v1::PartitionRange;

use super::*;

const PARTITIONS: usize = 8;

/// Partition 0 is empty, partition p holds p keys; a page of one partition names at most two.
fn list(timed: &Timed) -> OperationResult {
    let Operation::List(list) = &timed.operation else { panic!("not a listing") };
    let partition = list.partition.0;
    let all = (0..partition).map(|key| Bytes::from(format!("{partition}-{key}")));
    let rest: Vec<_> = all.filter(|key| list.after.as_ref().is_none_or(|after| key > after)).collect();
    let take = rest.len().min(2).min(list.limit as usize);
    let next = (take < rest.len()).then(|| rest[take - 1].clone());
    Ok(Outcome::List(Listed { keys: rest[..take].to_vec(), next }))
}

async fn listing(request: KeysRequest) -> Result<KeysResponse, OperationError> {
    page(Some(PARTITIONS), &Limits::default(), request, |timed| ready(list(&timed))).await
}

#[tokio::test]
async fn pages_of_every_size_name_every_key_once() {
    for limit in 0..30 {
        let mut request = KeysRequest { limit, ..Default::default() };
        let mut keys = Vec::new();
        loop {
            let page = listing(request.clone()).await.unwrap();
            assert!(limit == 0 || page.keys.len() <= limit as usize);
            keys.extend(page.keys);
            if page.cursor.is_empty() {
                break;
            }
            request.cursor = page.cursor;
        }
        let expected: Vec<_> = (0..8).flat_map(|p| (0..p).map(move |k| format!("{p}-{k}"))).collect();
        assert_eq!(keys, expected);
    }
}

#[tokio::test]
async fn a_range_of_partitions_is_kept_to() {
    let partitions = Some(PartitionRange { first: 2, end: 4 });
    let page = listing(KeysRequest { partitions, ..Default::default() }).await.unwrap();
    assert_eq!(page.keys, ["2-0", "2-1", "3-0", "3-1", "3-2"]);
    assert!(page.cursor.is_empty());
}

#[tokio::test]
async fn bounds_are_named() {
    let range = |first, end| Some(PartitionRange { first, end });
    let cursor = Cursor { partition: 5, after: None }.encode();
    let cases = [
        (KeysRequest { limit: 1001, ..Default::default() }, "limit"),
        (KeysRequest { partitions: range(0, 9), ..Default::default() }, "partition"),
        (KeysRequest { partitions: range(3, 2), ..Default::default() }, "partition"),
        (KeysRequest { cursor: Bytes::from_static(b"junk"), ..Default::default() }, "cursor"),
        (KeysRequest { cursor, partitions: range(0, 5), ..Default::default() }, "cursor"),
    ];
    for (request, expected) in cases {
        let failure = listing(request).await.unwrap_err().failure;
        assert!(matches!(failure, Failure::Invalid { field, .. } if field == expected), "{failure}");
    }
    let limits = Limits::default();
    let unfounded = page(None, &limits, KeysRequest::default(), |timed| ready(list(&timed))).await;
    assert_eq!(unfounded.unwrap_err().failure, Failure::NotBootstrapped);
}

#[tokio::test]
async fn a_failure_ends_the_page_and_is_the_next_ones_answer() {
    let run = |timed: Timed| {
        let Operation::List(wanted) = &timed.operation else { panic!("not a listing") };
        let shortfall = Failure::QuorumUnavailable { needed: 2, reachable: 1 };
        ready(match wanted.partition {
            PartitionId(3) => Err(OperationError::not_attempted(shortfall)),
            _ => list(&timed),
        })
    };
    let limits = Limits::default();
    let first = page(Some(PARTITIONS), &limits, KeysRequest::default(), run).await.unwrap();
    assert_eq!(first.keys, ["1-0", "2-0", "2-1"]);
    let request = KeysRequest { cursor: first.cursor, ..Default::default() };
    let failure = page(Some(PARTITIONS), &limits, request, run).await.unwrap_err().failure;
    assert_eq!(failure, Failure::QuorumUnavailable { needed: 2, reachable: 1 });
}

#[tokio::test]
async fn a_page_ends_when_half_of_its_time_is_over() {
    let run = async |timed: Timed| {
        tokio::time::sleep(Duration::from_millis(30)).await;
        list(&timed)
    };
    let request = KeysRequest { timeout_ms: 40, ..Default::default() };
    let page = page(Some(PARTITIONS), &Limits::default(), request, run).await.unwrap();
    assert!(page.keys.is_empty());
    assert_eq!(Cursor::decode(&page.cursor), Some(Cursor { partition: 1, after: None }));
}

#[test]
fn cursors_come_back_as_they_went() {
    for after in [None, Some(Bytes::from_static(b"\0")), Some(Bytes::from(vec![0xff; 1024]))] {
        let cursor = Cursor { partition: 0x7fff, after };
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
    }
    assert_eq!(Cursor::decode(&Bytes::from_static(b"\x02\0\0")), None);
    assert_eq!(Cursor::decode(&Bytes::from_static(b"\x01\0")), None);
}
