//! Messages survive the way to the wire and back.

#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use std::time::Duration;

use prost::Message as _;
use quorate_protocol::operation::QuorumOptions;

use super::*;
use crate::convert::kv::tests::{operations, results};

const TAG: Tag = Tag(u64::MAX);
const EPOCH: Epoch = Epoch(7);

fn key() -> KeyRef {
    KeyRef { partition: PartitionId(u16::MAX), bucket: BucketId(u64::MAX), key: Bytes::from_static(b"k\xff") }
}

fn messages() -> Vec<Message> {
    let container = EncodedContainer(Bytes::from_static(b"\x01container"));
    let digest = Digest(u128::MAX - 5);
    let refusals =
        [Refusal::Epoch(EPOCH), Refusal::NotOwner, Refusal::Overloaded, Refusal::Storage, Refusal::Hole];
    let mut all = vec![Message::LayoutRequest, Message::LayoutOffer(Bytes::from_static(b"layout"))];
    for tag in [None, Some(TAG)] {
        all.push(Message::Replicate { tag, epoch: EPOCH, key: key(), container: container.clone() });
    }
    for have in [None, Some(digest)] {
        all.push(Message::Fetch { tag: TAG, epoch: EPOCH, key: key(), have });
    }
    for after in [None, Some(Bytes::new()), Some(Bytes::from_static(b"a"))] {
        let (partition, bucket) = (PartitionId(3), BucketId(4));
        all.push(Message::Scan { tag: TAG, epoch: EPOCH, partition, bucket, after: after.clone(), limit: 9 });
        let quorum = QuorumOptions { r: Some(1), ..Default::default() };
        let list = List { bucket: "b".into(), partition, after: after.clone(), limit: 9, quorum };
        let timed = Timed { operation: Operation::List(list), timeout: Duration::from_millis(5) };
        all.push(Message::Forward { tag: TAG, timed });
        let listed = Listed { keys: vec![Bytes::from_static(b"k")], next: after };
        all.push(Message::ForwardReply { tag: TAG, result: Ok(Outcome::List(listed)) });
    }
    all.push(Message::ReplicateReply { tag: TAG, epoch: EPOCH, result: Ok(()) });
    let empty = EncodedContainer(Bytes::new());
    all.push(Message::Heal { tag: TAG, epoch: EPOCH, key: key() });
    all.push(Message::HealReply { tag: TAG, epoch: EPOCH, result: Ok(container.clone()) });
    for fetched in [Fetched::Same, Fetched::Container(container), Fetched::Container(empty)] {
        all.push(Message::FetchReply { tag: TAG, epoch: EPOCH, result: Ok(fetched) });
    }
    let scanned = ScannedKey { key: Bytes::from_static(b"k"), digest, live: true, doubtful: false };
    let doubtful = ScannedKey { live: false, doubtful: true, ..scanned.clone() };
    let page = Scanned { keys: vec![scanned, doubtful], more: true };
    all.push(Message::ScanReply { tag: TAG, epoch: EPOCH, result: Ok(page) });
    for refusal in refusals {
        all.push(Message::ReplicateReply { tag: TAG, epoch: EPOCH, result: Err(refusal) });
        all.push(Message::FetchReply { tag: TAG, epoch: EPOCH, result: Err(refusal) });
        all.push(Message::ScanReply { tag: TAG, epoch: EPOCH, result: Err(refusal) });
        all.push(Message::HealReply { tag: TAG, epoch: EPOCH, result: Err(refusal) });
    }
    for operation in operations() {
        let timed = Timed { operation, timeout: Duration::from_millis(4999) };
        all.push(Message::Forward { tag: TAG, timed });
    }
    all.extend(results().into_iter().map(|result| Message::ForwardReply { tag: TAG, result }));
    all
}

#[test]
fn messages_come_back_as_they_went() {
    let hlc = Hlc { wall_ms: u64::MAX, counter: u32::MAX };
    let encoded = Bytes::from(batch_to_wire(hlc, messages()).encode_to_vec());
    let (read_hlc, read) = batch_from_wire(v1::Batch::decode(encoded).unwrap()).unwrap();
    assert_eq!(read_hlc, hlc);
    assert_eq!(read, messages());
}

#[test]
fn what_is_malformed_is_named() {
    use message::Kind;
    let wide = v1::KeyRef { partition: 1 << 16, ..Default::default() };
    let short = v1::ScannedKey { digest: Bytes::from_static(b"short"), ..Default::default() };
    let put = forward::Operation::Put(crate::v1::PutRequest::default());
    let kinds = [
        (None, "message.kind"),
        (Some(Kind::Replicate(v1::Replicate::default())), "key"),
        (Some(Kind::Replicate(v1::Replicate { key: Some(wide), ..Default::default() })), "key.partition"),
        (
            Some(Kind::Fetch(v1::Fetch {
                key: Some(v1::KeyRef::default()),
                have: Bytes::from_static(b"x"),
                ..Default::default()
            })),
            "fetch.have",
        ),
        (Some(Kind::FetchReply(v1::FetchReply { refusal: 99, ..Default::default() })), "refusal"),
        (Some(Kind::Scan(v1::Scan { partition: u32::MAX, ..Default::default() })), "scan.partition"),
        (
            Some(Kind::ScanReply(v1::ScanReply { keys: vec![short], ..Default::default() })),
            "scan_reply.digest",
        ),
        (Some(Kind::Forward(v1::Forward::default())), "forward.operation"),
        (Some(Kind::Forward(v1::Forward { operation: Some(put), ..Default::default() })), "operation_id"),
        (Some(Kind::ForwardReply(v1::ForwardReply::default())), "forward_reply.result"),
    ];
    for (kind, field) in kinds {
        assert_eq!(message_from_wire(v1::Message { kind }).unwrap_err().field, field);
    }
}
