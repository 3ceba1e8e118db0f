//! Messages survive the way to the wire and back.

#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use std::time::Duration;

use prost::Message as _;
use quorate_protocol::chain::Ballot;
use quorate_protocol::id::ActorId;
use quorate_protocol::message::Vote;
use quorate_protocol::message::{Compared, Differing, KeyDigest, KeysPage, PulledPage, Report, Surveyed};
use quorate_protocol::operation::QuorumOptions;

use super::*;
use crate::convert::kv::tests::{operations, results};

const TAG: Tag = Tag(u64::MAX);
const EPOCH: Epoch = Epoch(7);
const ECHO: LinkTime = LinkTime { start: StartId(u64::MAX - 1), at: Time(u64::MAX) };

fn key() -> KeyRef {
    KeyRef { partition: PartitionId(u16::MAX), bucket: BucketId(u64::MAX), key: Bytes::from_static(b"k\xff") }
}

fn messages() -> Vec<Message> {
    let container = EncodedContainer(Bytes::from_static(b"\x01container"));
    let digest = Digest(u128::MAX - 5);
    let refusals = [
        Refusal::Epoch(EPOCH),
        Refusal::NotOwner,
        Refusal::Overloaded,
        Refusal::Storage,
        Refusal::TooOld,
        Refusal::NothingKept,
        Refusal::Hole,
    ];
    let echo = ECHO;
    let mut all = vec![
        Message::Recall,
        Message::Recalled { life: None, departed: true },
        Message::Recalled {
            life: Some(Life { boot: 1, start: StartId(2), sequence: Sequence(3) }),
            departed: false,
        },
        Message::LayoutRequest,
        Message::LayoutOffer(Bytes::from_static(b"layout")),
        Message::Gossip(Bytes::from_static(b"packet")),
    ];
    for tag in [None, Some(TAG)] {
        all.push(Message::Replicate { tag, epoch: EPOCH, key: key(), container: container.clone(), echo });
    }
    let (target, hinted) = (NodeId(u64::MAX), container.clone());
    all.push(Message::StoreHint { tag: TAG, epoch: EPOCH, key: key(), target, container: hinted, echo });
    all.push(Message::Beat);
    let (tag, epoch, partition) = (TAG, EPOCH, PartitionId(7));
    let (keys, actors) = (vec![KeyDigest { key: key(), digest }], vec![ActorId(u64::MAX), ActorId(1)]);
    all.push(Message::PurgeAsk { tag, epoch, partition, keys: keys.clone(), actors: actors.clone() });
    let vote = Vote { confirmed: vec![true, false], mine: actors.clone() };
    all.push(Message::PurgeVote { tag, epoch, result: Ok(vote) });
    all.push(Message::PurgeVote { tag, epoch, result: Err(Refusal::Overloaded) });
    all.push(Message::Forget { epoch, keys, retired: actors, echo });
    for (have, place) in [(None, Place::Replica), (Some(digest), Place::Fallback)] {
        all.push(Message::Fetch { tag: TAG, epoch: EPOCH, key: key(), have, place });
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
    all.extend(anti_entropy_messages(&container, digest));
    all.extend(chain_messages());
    all.extend(transition_messages(&container));
    let empty = EncodedContainer(Bytes::new());
    for fetched in
        [Fetched::Same, Fetched::Container { container, echo }, Fetched::Container { container: empty, echo }]
    {
        all.push(Message::FetchReply { tag: TAG, epoch: EPOCH, result: Ok(fetched) });
    }
    all.push(Message::Heal { tag: TAG, epoch: EPOCH, key: key() });
    let healing = Healing { container: EncodedContainer(Bytes::from_static(b"\x01container")), echo };
    all.push(Message::HealReply { tag: TAG, epoch: EPOCH, result: Ok(healing) });
    all.push(Message::HealReply { tag: TAG, epoch: EPOCH, result: Err(Refusal::Hole) });
    let (key, live_until_ms) = (Bytes::from_static(b"k"), 1_750_000_000_000);
    let scanned = ScannedKey { key: key.clone(), digest, live_until_ms, doubtful: false };
    let doubtful = ScannedKey { key, digest, live_until_ms: 0, doubtful: true };
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

fn anti_entropy_messages(container: &EncodedContainer, digest: Digest) -> Vec<Message> {
    let (tag, epoch, partition) = (TAG, EPOCH, PartitionId(u16::MAX));
    let roots = vec![(PartitionId(0), u128::MAX - 1), (partition, 0)];
    let compared = Compared {
        differing: vec![
            Differing { partition, branches: vec![1, u128::MAX, 0] },
            Differing { partition: PartitionId(1), branches: Vec::new() },
        ],
        incomplete: vec![PartitionId(2)],
    };
    let page = |through| KeysPage { keys: vec![KeyDigest { key: key(), digest }], through };
    let mut all = vec![
        Message::Compare { tag, epoch, roots },
        Message::CompareReply { tag, epoch, result: Ok(compared) },
        Message::Leaves { tag, epoch, partition, branches: vec![0, 31] },
        Message::LeavesReply { tag, epoch, result: Ok(vec![7, u128::MAX]) },
        Message::Exchange { epoch, key: key(), container: container.clone(), echo: ECHO },
    ];
    for after in [None, Some(key())] {
        all.push(Message::Keys { tag, epoch, partition, leaves: vec![0, 1023], after: after.clone() });
        all.push(Message::KeysReply { tag, epoch, result: Ok(page(after)) });
    }
    for refusal in [Refusal::Epoch(EPOCH), Refusal::NotOwner, Refusal::Overloaded, Refusal::Storage] {
        all.push(Message::CompareReply { tag, epoch, result: Err(refusal) });
        all.push(Message::LeavesReply { tag, epoch, result: Err(refusal) });
        all.push(Message::KeysReply { tag, epoch, result: Err(refusal) });
    }
    all
}

fn chain_messages() -> Vec<Message> {
    let (epoch, layout) = (EPOCH, Bytes::from_static(b"layout"));
    let ballot = |round| Ballot { round, start: StartId(u64::MAX - round) };
    let (one, other) = (ballot(1), ballot(u64::MAX));
    vec![
        Message::Prepare { epoch, ballot: one },
        Message::Prepared { epoch, ballot: one, result: Ok(None) },
        Message::Prepared { epoch, ballot: other, result: Ok(Some((one, layout.clone()))) },
        Message::Prepared { epoch, ballot: one, result: Err(other) },
        Message::Accept { epoch, ballot: one, layout },
        Message::Accepted { epoch, ballot: one, result: Ok(()) },
        Message::Accepted { epoch, ballot: one, result: Err(other) },
    ]
}

fn transition_messages(container: &EncodedContainer) -> Vec<Message> {
    let (tag, epoch, partition) = (TAG, EPOCH, PartitionId(u16::MAX));
    let mut all = vec![
        Message::ReportAsk { epoch, sizes: false },
        Message::ReportAsk { epoch, sizes: true },
        Message::ReportReply { epoch, report: Report::default() },
    ];
    for sizes in [Some(Vec::new()), Some(vec![(partition, u64::MAX), (PartitionId(0), 0)])] {
        let report = Report {
            caught_up: vec![PartitionId(0), partition],
            handed_over: vec![PartitionId(3)],
            keeps_nothing: true,
            pulled_bytes: u64::MAX,
            sizes,
        };
        all.push(Message::ReportReply { epoch, report });
    }
    for (root, durable) in [(None, true), (Some(0), false), (Some(u128::MAX - 1), false)] {
        all.push(Message::Survey { tag, epoch, partition, root, durable });
    }
    for surveyed in [Surveyed::Same, Surveyed::Unknown, Surveyed::Leaves(vec![0, u128::MAX])] {
        all.push(Message::SurveyReply { tag, epoch, result: Ok(surveyed) });
    }
    for at in [None, Some(key())] {
        all.push(Message::Pull { tag, epoch, partition, leaves: vec![0, 1023], after: at.clone() });
        let page = PulledPage { records: vec![(key(), container.clone())], through: at, echo: ECHO };
        all.push(Message::PullReply { tag, epoch, result: Ok(page) });
    }
    for refusal in [Refusal::Epoch(EPOCH), Refusal::NotOwner, Refusal::Overloaded, Refusal::Hole] {
        all.push(Message::SurveyReply { tag, epoch, result: Err(refusal) });
        all.push(Message::PullReply { tag, epoch, result: Err(refusal) });
    }
    all
}

#[test]
fn messages_come_back_as_they_went() {
    let hlc = Hlc { wall_ms: u64::MAX, counter: u32::MAX };
    let start = StartId(1);
    let life = Some(Life { boot: 3, start, sequence: Sequence(u64::MAX) });
    let stamp = Stamp { hlc, clock: LinkTime { start, at: Time(2) }, life };
    let encoded = Bytes::from(batch_to_wire(stamp, messages()).encode_to_vec());
    let (read_stamp, read) = batch_from_wire(v1::Batch::decode(encoded).unwrap()).unwrap();
    assert_eq!(read_stamp, stamp);
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
        (
            Some(Kind::LeavesReply(v1::LeavesReply {
                leaves: Bytes::from_static(b"short"),
                ..Default::default()
            })),
            "leaves_reply.leaves",
        ),
        (Some(Kind::Keys(v1::Keys { leaves: vec![1 << 16], ..Default::default() })), "keys.leaves"),
        (Some(Kind::Exchange(v1::Exchange::default())), "key"),
        (Some(Kind::Prepare(v1::Prepare::default())), "prepare.ballot"),
        (Some(Kind::Accepted(v1::Accepted::default())), "accepted.ballot"),
        (
            Some(Kind::ReportReply(v1::ReportReply { caught_up: vec![1 << 16], ..Default::default() })),
            "report.caught_up",
        ),
        (
            Some(Kind::Survey(v1::Survey { root: Bytes::from_static(b"x"), ..Default::default() })),
            "survey.root",
        ),
        (Some(Kind::SurveyReply(v1::SurveyReply::default())), "survey_reply.result"),
        (Some(Kind::Pull(v1::Pull { leaves: vec![1 << 16], ..Default::default() })), "pull.leaves"),
        (Some(Kind::PullReply(v1::PullReply::default())), "clock"),
        (Some(Kind::Forward(v1::Forward { operation: Some(put), ..Default::default() })), "operation_id"),
        (Some(Kind::ForwardReply(v1::ForwardReply::default())), "forward_reply.result"),
    ];
    for (kind, field) in kinds {
        assert_eq!(message_from_wire(v1::Message { kind }).unwrap_err().field, field);
    }
}
