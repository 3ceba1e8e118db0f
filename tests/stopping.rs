//! A node that is told to stop: what clients have under way is answered, and what they do next is done by the others.
#![expect(clippy::print_stdout, reason = "the figures are for who runs the tests")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_proto::v1::{GetRequest, Quorum, Request, SessionRequest, request, response};
use support::load::{Clients, Load, put};
use support::scrape;
use support::{Cluster, detail};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nodes_stop_one_after_another_and_nobody_fails_twice() {
    let mut cluster = Cluster::start(3).await;
    let clients = Clients::of(&cluster, 0..3);
    let load = Load::start(&clients, "", 9, "a");
    sleep(SECOND).await;
    for node in 0..3 {
        let begun = Instant::now();
        cluster.nodes[node].signal("-TERM");
        assert_eq!(cluster.nodes[node].ended().await, Some(0));
        let took = begun.elapsed();
        println!("node {node} stopped under load in {took:?}");
        assert!(took < 10 * SECOND, "nothing took that long, and yet it waited");
        sleep(SECOND).await;
        cluster.nodes[node].revive();
        cluster.wait_linked().await;
    }
    sleep(SECOND).await;
    let ledger = load.stop().await;
    println!("{} acknowledged, {} puts by their second attempt", ledger.acknowledged, ledger.retried);
    assert!(ledger.failures.is_empty(), "{:?}", ledger.failures);
    assert!(ledger.acknowledged > 100, "{}", ledger.acknowledged);
    assert_eq!(ledger.check(&clients).await, Vec::<String>::new(), "of {} keys", ledger.keys());
}

/// What waits for an owner that stands still, on each of the surfaces, while the node that was asked is told to stop.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_answered() {
    let mut cluster = Cluster::start(3).await;
    cluster.nodes[0].kv().put(put("", "k", "v")).await.expect("all are there");
    let all_owners = GetRequest {
        key: Bytes::from_static(b"k"),
        quorum: Some(Quorum { r: Some(3), ..Quorum::default() }),
        timeout_ms: 8_000,
        ..GetRequest::default()
    };
    // So that it is not the connections that have to be made first.
    let mut kv = cluster.nodes[0].kv();
    kv.get(all_owners.clone()).await.expect("all are there");
    let mut admin = cluster.nodes[0].admin();
    admin.status(quorate_proto::v1::StatusRequest::default()).await.expect("it is running");

    cluster.nodes[2].signal("-STOP");
    let (requests, stream) = tokio::sync::mpsc::channel(4);
    let session = kv.session(tokio_stream(stream)).await.expect("it is running").into_inner();
    let asked = Request { id: 7, operation: Some(request::Operation::Get(all_owners.clone())) };
    requests.send(SessionRequest { requests: vec![asked] }).await.expect("it takes requests");
    let single = tokio::spawn(async move { kv.get(all_owners).await });
    let address = cluster.nodes[0].http_address();
    let over_http = tokio::spawn(async move { scrape::get(&address, "/kv/k?r=3&timeout_ms=8000").await });
    let streamed = tokio::spawn(async move {
        let mut session = session;
        let mut all = Vec::new();
        while let Some(message) = session.message().await.expect("it is not cut off") {
            all.extend(message.responses);
        }
        all
    });
    sleep(SECOND / 2).await;
    assert!(!single.is_finished() && !over_http.is_finished(), "they wait for the owner that stands");
    cluster.nodes[0].signal("-TERM");
    sleep(SECOND / 2).await;
    assert!(!single.is_finished() && !over_http.is_finished(), "they still wait for it");
    let begun = Instant::now();
    cluster.nodes[2].signal("-CONT");
    assert_eq!(cluster.nodes[0].ended().await, Some(0));
    println!("stopped {:?} after the last answer was possible", begun.elapsed());

    let found = single.await.expect("it is not cut off").unwrap_or_else(|status| panic!("{:?}", detail(&status)));
    assert_eq!(found.into_inner().siblings[0].value, "v");
    let answer = over_http.await.expect("it is not cut off");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('v'), "{answer}");
    let streamed = streamed.await.expect("it is not cut off");
    assert!(
        matches!(streamed.as_slice(), [answer] if answer.id == 7
            && matches!(&answer.result, Some(response::Result::Get(found)) if found.siblings.len() == 1)),
        "{streamed:?}"
    );
}

/// A connection that waits for its first request, and one that waits for its next, hold no stop up.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_hold_no_stop_up() {
    let mut cluster = Cluster::start(1).await;
    let node = &mut cluster.nodes[0];
    let mut kv = node.kv();
    kv.put(put("", "k", "v")).await.expect("it is running");
    let silent = [
        tokio::net::TcpStream::connect(node.http_address()).await.expect("it listens"),
        tokio::net::TcpStream::connect(node.grpc_address()).await.expect("it listens"),
    ];
    let (_requests, stream) = tokio::sync::mpsc::channel::<SessionRequest>(1);
    let _session = kv.session(tokio_stream(stream)).await.expect("it is running");
    sleep(SECOND / 5).await;
    let begun = Instant::now();
    node.signal("-TERM");
    assert_eq!(node.ended().await, Some(0));
    println!("stopped in {:?}", begun.elapsed());
    assert!(begun.elapsed() < 5 * SECOND, "{:?}", begun.elapsed());
    drop(silent);
}

fn tokio_stream<T: Send + 'static>(
    mut receiver: tokio::sync::mpsc::Receiver<T>,
) -> impl futures::Stream<Item = T> + Send + 'static {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}
