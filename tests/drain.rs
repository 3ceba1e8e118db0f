//! `quorate-node drain`: the hook that a platform runs before it stops a node, on the node's real process.
#![expect(clippy::print_stdout, reason = "the figures are for who runs the tests")]

#[path = "support/scrape.rs"]
mod scrape;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_proto::v1::admin_client::AdminClient;
use quorate_proto::v1::kv_client::KvClient;
use quorate_proto::v1::{BootstrapRequest, Member, PutRequest, StatusRequest};
use tonic::transport::Channel;

const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    child: Child,
    grpc: String,
    http: String,
}

impl Node {
    async fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quorate-node"))
            .args([
                "--announce",
                "--stop-with-stdin",
                "--grpc-listen",
                "0.0.0.0:0",
                "--http-listen",
                "127.0.0.1:0",
            ])
            .args(["--peer-listen", "127.0.0.1:0", "--advertise-host", "127.0.0.1", "--data-dir"])
            .arg(data)
            .env("QUORATE_FREE_RESERVE_BYTES", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it speaks");
        let announced: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
        let said = |field: &str| announced[field].as_str().expect("an address").to_owned();
        let port = |address: String| address.rsplit_once(':').expect("a port").1.to_owned();
        let http = format!("127.0.0.1:{}", port(said("http")));
        let node = Self { child, grpc: said("grpc"), http };
        let id = u64::from_str_radix(&said("node"), 16).expect("an id");
        let member =
            Member { node_id: id, name: "a".into(), peer_address: said("peer"), ..Member::default() };
        let founding = BootstrapRequest {
            cluster_id: Bytes::from_static(&[7; 16]),
            partitions: 8,
            members: vec![member],
            ..BootstrapRequest::default()
        };
        node.admin().bootstrap(founding).await.expect("it is fresh");
        let begun = Instant::now();
        while !scrape::get(&node.http, "/readyz").await.starts_with("HTTP/1.1 200") {
            assert!(begun.elapsed() < PATIENCE, "it does not get ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        node
    }

    fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc)).expect("an address").connect_lazy()
    }

    fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel())
    }

    /// The command as a hook runs it: it knows where the node listens, as the node does.
    fn drain(&self, arguments: &[&str]) -> Command {
        let port = self.grpc.rsplit_once(':').expect("a port").1;
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-node"));
        command.arg("drain").args(arguments).env("QUORATE_GRPC_LISTEN", format!("0.0.0.0:{port}"));
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_is_not_ready_serves_on_and_stops_without_a_failure() {
    let data = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(data.path()).await;
    // A client that does not look at readiness: it stops when the node no longer takes its puts.
    let mut kv = KvClient::new(node.channel());
    let (told, stopping) = tokio::sync::watch::channel(false);
    let client = tokio::spawn(async move {
        let mut served = 0;
        while !*stopping.borrow() {
            let put = PutRequest {
                key: format!("k{served}").into(),
                value: Bytes::from_static(b"v"),
                ..PutRequest::default()
            };
            kv.put(put).await.expect("a node that drains serves");
            served += 1;
        }
        served
    });
    let begun = Instant::now();
    let mut hook = node.drain(&["--settle-s", "2", "--timeout-s", "6"]);
    let hook = tokio::task::spawn_blocking(move || hook.output());
    let begun_draining = async {
        while !scrape::get(&node.http, "/readyz").await.starts_with("HTTP/1.1 503") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun_draining).await.expect("it says that it is not ready");
    assert!(!hook.is_finished(), "it serves on for a while first");
    let hook = hook.await.expect("it does not panic").expect("it starts");
    assert!(hook.status.success(), "{}", said(&hook));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2) && took < PATIENCE, "{took:?}");
    let ready = scrape::get(&node.http, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("draining"), "{ready}");
    assert_eq!(scrape::metric(&node.http, "quorate_draining").await, 1);
    assert!(node.admin().status(StatusRequest::default()).await.expect("it is running").get_ref().draining);
    told.send_replace(true);
    println!("drained in {took:?}, {} puts served meanwhile", client.await.expect("no put failed"));

    let stopped = Command::new("kill").args(["-TERM", &node.child.id().to_string()]).status();
    assert!(stopped.expect("kill exists").success());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = node.child.try_wait().expect("it is ours") {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not stop");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_is_wrong() {
    let data = tempfile::tempdir().expect("a directory");
    let node = Node::start(data.path()).await;
    let wrong = node.drain(&["--settle-s", "5", "--timeout-s", "4"]).output().expect("it starts");
    assert!(!wrong.status.success());
    assert!(said(&wrong).contains("--settle-s: 5 is more than --timeout-s, 4"), "{}", said(&wrong));
    let nobody = node.drain(&["--grpc-listen", "127.0.0.1:1"]).output().expect("it starts");
    assert!(!nobody.status.success());
    assert!(said(&nobody).contains("there is no node at 127.0.0.1:1"), "{}", said(&nobody));
    let ready = scrape::get(&node.http, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "nothing has happened to it: {ready}");
}
