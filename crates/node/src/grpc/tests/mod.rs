//! A real client, a real socket and the real loop.
#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

mod rig;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use quorate_proto::convert::status::error_of_status;
use quorate_proto::v1;
use quorate_proto::v1::operation_error::Code as Kind;
use quorate_proto::v1::{request, response};
use quorate_protocol::store::StoreError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use rig::{NODE, PARTITIONS, Rig, founding};

fn put(key: &str, value: &str) -> v1::PutRequest {
    let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
    v1::PutRequest { key, value, ..Default::default() }
}

fn get(key: &str) -> v1::GetRequest {
    v1::GetRequest { key: Bytes::from(key.to_owned()), ..Default::default() }
}

fn asking(id: u64, operation: request::Operation) -> v1::Request {
    v1::Request { id, operation: Some(operation) }
}

#[tokio::test]
async fn a_value_expires_and_is_what_it_claims_to_be() {
    let rig = Rig::founded().await;
    let mut kv = rig.kv();
    let brief = v1::PutRequest { ttl_ms: Some(60_000), ..put("brief", "v") };
    kv.put(brief).await.unwrap();
    let found = kv.get(get("brief")).await.unwrap().into_inner();
    assert!(found.siblings[0].expires_at_ms.is_some_and(|expiry_ms| expiry_ms > 60_000));
    let endless = v1::PutRequest { ttl_ms: Some(315_619_200_001), ..put("brief", "v") };
    let refused = kv.put(endless).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(error_of_status(&refused).unwrap().field, "ttl");
    assert!(refused.message().contains("from 1 to 315619200000 ms"), "{}", refused.message());

    for (content_type, value, field) in [("application/json", "{", "value"), ("plain", "v", "content_type")] {
        let wrong = || v1::PutRequest { content_type: content_type.into(), ..put("k", value) };
        let refused = kv.put(wrong()).await.unwrap_err();
        assert_eq!(error_of_status(&refused).unwrap().field, field);
        let batch = v1::BatchRequest { requests: vec![asking(1, request::Operation::Put(wrong()))] };
        let answers = kv.batch(batch).await.unwrap().into_inner().responses;
        let Some(response::Result::Error(error)) = &answers[0].result else { panic!("{answers:?}") };
        assert_eq!(error.field, field);
    }
}

#[tokio::test]
async fn a_value_is_stored_read_replaced_and_deleted() {
    let rig = Rig::founded().await;
    let mut kv = rig.kv();
    let absent = kv.get(get("k")).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
    assert!(error_of_status(&absent).unwrap().context.is_empty());

    let first = kv.put(put("k", "one")).await.unwrap().into_inner();
    assert_eq!((first.primaries, first.epoch), (1, 1));
    let replacing = v1::PutRequest { context: first.context, ..put("k", "two") };
    kv.put(replacing).await.unwrap();
    let found = kv.get(get("k")).await.unwrap().into_inner();
    assert_eq!(found.siblings.len(), 1);
    assert_eq!(found.siblings[0].value, "two");

    let delete = v1::DeleteRequest { key: "k".into(), context: found.context, ..Default::default() };
    kv.delete(delete).await.unwrap();
    let deleted = error_of_status(&kv.get(get("k")).await.unwrap_err()).unwrap();
    assert_eq!(deleted.code(), Kind::NotFound);
    assert!(!deleted.context.is_empty(), "a deleted key has been seen");

    let misnamed = v1::PutRequest { operation_id: "short".into(), ..put("k", "v") };
    let refused = kv.put(misnamed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(error_of_status(&refused).unwrap().field, "operation_id");
    let heard = rig.heard.0.lock().clone();
    let expected = [
        (("delete", "success"), 1),
        (("get", "not_found"), 2),
        (("get", "success"), 1),
        (("put", "invalid"), 1),
        (("put", "success"), 2),
    ];
    assert_eq!(heard, BTreeMap::from(expected));
}

#[tokio::test]
async fn a_node_whose_loop_has_ended_sends_its_clients_to_others() {
    let rig = Rig::founded().await;
    let mut kv = rig.kv();
    rig.stalled.store(true, Ordering::Relaxed);
    let mut writer = rig.kv();
    let under_way = tokio::spawn(async move { writer.put(put("k", "v")).await });
    let mut batcher = rig.kv();
    let requests =
        vec![asking(1, request::Operation::Put(put("b", "v"))), asking(2, request::Operation::Get(get("k")))];
    let batch = tokio::spawn(async move { batcher.batch(v1::BatchRequest { requests }).await });
    while rig.driver.view().await.unwrap().awaited < 3 {
        tokio::task::yield_now().await;
    }
    (rig.fail)(&StoreError::Failed { detail: "for a test".into() });

    let lost = |status: &tonic::Status| {
        let error = error_of_status(status).unwrap();
        assert_eq!((error.code(), error.node), (Kind::CoordinatorLost, NODE));
        (status.code(), error.attempted)
    };
    let write = under_way.await.unwrap().unwrap_err();
    assert_eq!(lost(&write), (Code::Aborted, true), "a replica may have it");
    let answers = batch.await.unwrap().unwrap().into_inner().responses;
    let attempted = answers.into_iter().map(|answer| match answer.result.unwrap() {
        response::Result::Error(error) if error.code() == Kind::CoordinatorLost => error.attempted,
        other => panic!("{other:?}"),
    });
    assert_eq!(attempted.collect::<Vec<_>>(), [true, false], "a read changes nothing");
    assert!(rig.driver.view().await.is_none());
    assert_eq!(lost(&kv.put(put("k", "v")).await.unwrap_err()), (Code::Unavailable, false));
    assert_eq!(lost(&kv.get(get("k")).await.unwrap_err()), (Code::Unavailable, false));
    let late = v1::BatchRequest { requests: vec![asking(1, request::Operation::Put(put("b", "v")))] };
    let answers = kv.batch(late).await.unwrap().into_inner().responses;
    assert!(matches!(&answers[0].result, Some(response::Result::Error(error)) if !error.attempted));
    rig.stalled.store(false, Ordering::Relaxed);
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_each_for_itself() {
    let rig = Rig::founded().await;
    let mut kv = rig.kv();
    let requests = vec![
        asking(7, request::Operation::Put(put("a", "1"))),
        v1::Request { id: 7, operation: None },
        asking(9, request::Operation::Get(get(""))),
        asking(7, request::Operation::Put(put("b", "2"))),
    ];
    let answers = kv.batch(v1::BatchRequest { requests }).await.unwrap().into_inner().responses;
    let ids: Vec<_> = answers.iter().map(|answer| answer.id).collect();
    assert_eq!(ids, [7, 7, 9, 7]);
    let fields = answers.into_iter().map(|answer| match answer.result.unwrap() {
        response::Result::Put(_) => "stored".to_owned(),
        response::Result::Error(error) => error.field,
        other => panic!("{other:?}"),
    });
    assert_eq!(fields.collect::<Vec<_>>(), ["stored", "request", "key", "stored"]);
    let many = vec![asking(1, request::Operation::Get(get("a"))); 1001];
    let refused = kv.batch(v1::BatchRequest { requests: many }).await.unwrap_err();
    assert_eq!(error_of_status(&refused).unwrap().field, "requests");
}

#[tokio::test]
async fn every_live_key_is_listed_once() {
    let rig = Rig::founded().await;
    let mut kv = rig.kv();
    let name = |key| format!("key-{key:03}");
    for chunk in (0..200).collect::<Vec<_>>().chunks(50) {
        let puts = chunk.iter().map(|&key| asking(key, request::Operation::Put(put(&name(key), "v"))));
        kv.batch(v1::BatchRequest { requests: puts.collect() }).await.unwrap();
    }
    let gone = v1::DeleteRequest { key: name(0).into(), ..Default::default() };
    kv.delete(gone).await.unwrap();
    let mut keys = Vec::new();
    let mut request = v1::KeysRequest { limit: 7, ..Default::default() };
    loop {
        let page = kv.keys(request.clone()).await.unwrap().into_inner();
        assert!(page.keys.len() <= 7);
        keys.extend(page.keys);
        if page.cursor.is_empty() {
            break;
        }
        request.cursor = page.cursor;
    }
    keys.sort();
    assert_eq!(keys, (1..200).map(name).collect::<Vec<_>>());
    let unknown = v1::KeysRequest { bucket: "none".into(), ..Default::default() };
    let refused = kv.keys(unknown).await.unwrap_err();
    assert_eq!(error_of_status(&refused).unwrap().code(), Kind::UnknownBucket);
}

#[tokio::test]
async fn a_session_answers_everything_it_was_asked_and_then_ends() {
    let rig = Rig::founded().await;
    let messages = (0..100).map(|message| {
        let requests = (0..50).map(|at| {
            let id = message * 50 + at;
            match at % 3 {
                0 => asking(id, request::Operation::Put(put(&format!("k{}", id % 500), "v"))),
                1 => asking(id, request::Operation::Get(get(&format!("absent-{id}")))),
                _ => v1::Request { id, operation: None },
            }
        });
        v1::SessionRequest { requests: requests.collect() }
    });
    let stream = rig.kv().session(tokio_stream::iter(messages)).await.unwrap();
    let mut stream = stream.into_inner();
    let mut seen = vec![0; 5000];
    while let Some(message) = stream.message().await.unwrap() {
        for answer in message.responses {
            let id = answer.id as usize;
            seen[id] += 1;
            let result = answer.result.unwrap();
            match id % 50 % 3 {
                // One of many puts without a context may find the key full, or the node's queue.
                0 => assert!(matches!(result, response::Result::Put(_) | response::Result::Error(_))),
                1 => match result {
                    response::Result::Get(found) => assert!(found.siblings.is_empty()),
                    response::Result::Error(error) => assert_eq!(error.code(), Kind::Overloaded),
                    other => panic!("{other:?}"),
                },
                _ => assert!(matches!(result, response::Result::Error(error) if error.field == "request")),
            }
        }
    }
    assert!(seen.iter().all(|&count| count == 1));
    assert_eq!(rig.heard.0.lock().values().sum::<u64>(), 5000);
}

#[tokio::test]
async fn a_session_that_waits_ends_when_the_node_stops() {
    let rig = Rig::founded().await;
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut answers = rig.kv().session(stream).await.unwrap().into_inner();
    let request = asking(1, request::Operation::Put(put("k", "v")));
    requests.send(v1::SessionRequest { requests: vec![request] }).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().responses[0].id, 1);
    rig.stop.send(()).unwrap();
    assert_eq!(answers.message().await.unwrap(), None);
    drop((requests, answers, rig.channel));
    tokio::time::timeout(Duration::from_secs(5), rig.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_cluster_is_founded_once_and_described() {
    let rig = Rig::start().await;
    let mut admin = rig.admin();
    let before = admin.get_layout(v1::GetLayoutRequest {}).await.unwrap_err();
    assert_eq!(before.code(), Code::FailedPrecondition);
    assert_eq!(admin.repair(v1::RepairRequest {}).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(rig.kv().get(get("k")).await.unwrap_err().code(), Code::FailedPrecondition);
    let status = admin.status(v1::StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((status.node_id, status.epoch), (NODE, 0));
    assert_eq!((status.storage_bytes, status.storage_log_bytes), (42, 40));

    let layout = admin.bootstrap(founding()).await.unwrap().into_inner().layout;
    assert_eq!(admin.bootstrap(founding()).await.unwrap().into_inner().layout, layout);
    let other = v1::BootstrapRequest { partitions: 2 * PARTITIONS, ..founding() };
    assert_eq!(admin.bootstrap(other).await.unwrap_err().code(), Code::FailedPrecondition);

    let described = admin.get_layout(v1::GetLayoutRequest {}).await.unwrap().into_inner();
    assert_eq!(described.layout, layout);
    assert_eq!(described.addresses[0].grpc_address, rig.address.to_string());
    assert_eq!(described.addresses[0].peer_address, "peer:1");
    let buckets = admin.list_buckets(v1::ListBucketsRequest {}).await.unwrap().into_inner().buckets;
    assert_eq!(buckets[0].name, "default");
    let status = admin.status(v1::StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((status.epoch, status.partitions_owned), (1, PARTITIONS));
    assert!(rig.driver.layout().is_some());
    assert_eq!(status.anti_entropy.unwrap_or_default().partitions, []);
    let repair = admin.repair(v1::RepairRequest {}).await.unwrap().into_inner();
    assert_eq!(repair.partitions, PARTITIONS);
    let status = admin.status(v1::StatusRequest { partitions: true }).await.unwrap().into_inner();
    let shown: Vec<u32> =
        status.anti_entropy.unwrap_or_default().partitions.iter().map(|p| p.partition).collect();
    assert_eq!(shown, (0..PARTITIONS).collect::<Vec<_>>());
}

#[tokio::test]
async fn health_tells_whether_the_cluster_is_founded() {
    let rig = Rig::start().await;
    let mut health = HealthClient::new(rig.channel.clone());
    let mut watched =
        health.watch(HealthCheckRequest { service: "quorate.v1.Kv".into() }).await.unwrap().into_inner();
    let mut wait_for = async |wanted: i32| {
        while watched.message().await.unwrap() != Some(HealthCheckResponse { status: wanted }) {}
    };
    wait_for(2).await;
    rig.admin().bootstrap(founding()).await.unwrap();
    wait_for(1).await;
}

#[tokio::test]
async fn a_drained_node_serves_and_is_not_healthy() {
    let rig = Rig::founded().await;
    let mut health = HealthClient::new(rig.channel.clone());
    let watch = HealthCheckRequest { service: "quorate.v1.Kv".into() };
    let mut watched = health.watch(watch).await.unwrap().into_inner();
    while watched.message().await.unwrap() != Some(HealthCheckResponse { status: 1 }) {}
    let invalid = [
        (
            v1::DrainRequest { settle_ms: Some(20), timeout_ms: Some(10) },
            "settle_ms: 20 is more than the timeout, 10",
        ),
        (
            v1::DrainRequest { settle_ms: None, timeout_ms: Some(600_001) },
            "timeout_ms: 600001 is more than 600000",
        ),
    ];
    for (request, reason) in invalid {
        let refused = rig.admin().drain(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(reason), "{}", refused.message());
    }
    assert!(!rig.admin().status(v1::StatusRequest::default()).await.unwrap().get_ref().draining);
    let drained =
        rig.admin().drain(v1::DrainRequest { settle_ms: Some(10), timeout_ms: None }).await.unwrap();
    assert_eq!(drained.get_ref().operations, 0);
    assert_eq!(watched.message().await.unwrap(), Some(HealthCheckResponse { status: 2 }));
    assert!(rig.admin().status(v1::StatusRequest::default()).await.unwrap().get_ref().draining);
    rig.kv().put(put("k", "v")).await.unwrap();
    // The watch is still open: it does not hold the stop up.
    rig.stop.send(()).unwrap();
    while watched.message().await.is_ok_and(|message| message.is_some()) {}
    tokio::time::timeout(Duration::from_secs(5), rig.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn plain_http_is_told_which_port_it_meant() {
    let rig = Rig::start().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(b"GET /kv/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(answer.contains("http://host:7701"), "{answer}");
}

#[tokio::test]
async fn large_answers_of_a_session_come_in_several_messages() {
    let rig = Rig::founded().await;
    let large = "x".repeat(700 << 10);
    rig.kv().put(put("k", &large)).await.unwrap();
    let requests = (0..20).map(|id| asking(id, request::Operation::Get(get("k")))).collect();
    let stream = tokio_stream::iter([v1::SessionRequest { requests }]);
    let mut answers = rig.kv().session(stream).await.unwrap().into_inner();
    let mut answered = 0;
    while let Some(message) = answers.message().await.unwrap() {
        assert!(message.responses.len() <= 2, "a message is full with a mebibyte");
        answered += message.responses.len();
    }
    assert_eq!(answered, 20);
}

#[tokio::test]
async fn faults_are_taken_only_where_they_were_allowed_and_only_within_their_bounds() {
    let another = v1::Member { node_id: 0xB0B, name: "bob".into(), ..founding().members[0].clone() };
    let fault = v1::PeerFault { node_id: 0xB0B, drop: 0.5, delay_ms: 20, ..Default::default() };
    let inject = |faults: Vec<v1::PeerFault>, replace| v1::InjectFaultsRequest { faults, replace };

    let closed = Rig::founded().await;
    let refused = closed.admin().inject_faults(inject(Vec::new(), false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("--unsafe-fault-injection"), "{refused:?}");
    let status = closed.admin().status(v1::StatusRequest::default()).await.unwrap().into_inner();
    assert!(!status.unsafe_fault_injection);

    let open = Rig::start_with(true).await;
    let mut admin = open.admin();
    let mut founding = founding();
    founding.members.push(another);
    admin.bootstrap(founding).await.unwrap();
    assert!(admin.status(v1::StatusRequest::default()).await.unwrap().into_inner().unsafe_fault_injection);
    let set = admin.inject_faults(inject(vec![fault], true)).await.unwrap().into_inner();
    assert_eq!(set.faults, [fault]);
    for (wrong, told) in [
        (v1::PeerFault { drop: 2.0, ..fault }, "faults[0].drop: 2 is not from 0 to 1"),
        (v1::PeerFault { delay_jitter_ms: 60_001, ..fault }, "faults[0].delay_jitter_ms: 60001"),
        (v1::PeerFault { node_id: NODE, ..fault }, "is this node itself"),
        (v1::PeerFault { node_id: 5, ..fault }, "is no member"),
    ] {
        let refused = admin.inject_faults(inject(vec![wrong], true)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(told), "{refused:?}");
    }
    let twice = admin.inject_faults(inject(vec![fault, fault], true)).await.unwrap_err();
    assert!(twice.message().contains("faults[1].node_id") && twice.message().contains("twice"), "{twice:?}");
    let shown = admin.inject_faults(inject(Vec::new(), false)).await.unwrap().into_inner();
    assert_eq!(shown.faults, [fault], "what is refused changes nothing");
    assert_eq!(admin.inject_faults(inject(Vec::new(), true)).await.unwrap().into_inner().faults, []);
}
