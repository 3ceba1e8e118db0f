//! A node with nothing but the HTTP surface, and a client that sends exactly the bytes it is told to.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use quorate_protocol::id::{ClusterId, NodeId, StartId};
use quorate_protocol::layout::{Bootstrap, BucketSettings, ConflictPolicy, Member, QuorumMode};
use quorate_protocol::message::{Message, Stamp};
use quorate_protocol::{Limits, Node, NodeConfig};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::draining::Draining;
use crate::driver::{self, Driver, Inputs, Outbox};
use crate::http::{HttpState, router, serve};
use crate::observe::Observer;

/// A network without other nodes.
struct Nowhere;

impl Outbox for Nowhere {
    fn send(&mut self, _: NodeId, _: Stamp, _: Vec<Message>) {}
}

struct Deaf;

impl Observer for Deaf {
    fn observed(&self, _: &'static str, _: &'static str, _: Duration, _: u64) {}
}

/// A node that serves HTTP until it is dropped.
pub(super) struct Served {
    pub(super) driver: Driver,
    pub(super) address: std::net::SocketAddr,
    pub(super) draining: Draining,
    _data: tempfile::TempDir,
}

/// An answer, its body as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }

    /// The context of the body.
    pub(super) fn context(&self) -> String {
        self.json()["context"].as_str().expect("there is a context").to_owned()
    }

    /// The code and the field of an error.
    pub(super) fn error(&self) -> (String, Option<String>) {
        let error = &self.json()["error"];
        assert!(error["message"].is_string(), "{error}");
        let code = error["code"].as_str().expect("an error has a code");
        (code.to_owned(), error["field"].as_str().map(str::to_owned))
    }
}

impl Served {
    /// A cluster of this many members, of which one is there. None: not bootstrapped.
    pub(super) async fn start(members: Option<u64>) -> Self {
        let data = tempfile::tempdir().expect("there is room for a directory");
        let inputs = Inputs::new();
        let hooks = StoreHooks { on_durable: Box::new(inputs.on_durable()), ..StoreHooks::default() };
        let store = SledStore::open(data.path(), StoreOptions::default(), hooks).expect("the store opens");
        let limits = Limits { default_timeout: Duration::from_millis(300), ..Limits::default() };
        let config = NodeConfig {
            node: NodeId(1),
            start: StartId(1),
            boot: 1,
            seed: [7; 32],
            limits: limits.clone(),
            token_secret: None,
        };
        let (driver, _) = driver::start(
            Node::new(config, quorate_protocol::identity::Kept::default()),
            Arc::new(store),
            Nowhere,
            inputs,
            100,
        )
        .expect("it starts");
        if let Some(members) = members {
            driver.bootstrap(settings(members)).await.expect("it is bootstrapped");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let draining = Draining::default();
        let state = HttpState {
            driver: driver.clone(),
            limits: Arc::new(limits),
            metrics: Arc::new(|| async { "quorate_info 1\n".to_owned() }.boxed()),
            observer: Arc::new(Deaf),
            grpc_address: "host:7700".into(),
            draining: draining.clone(),
        };
        tokio::spawn(serve(listener, router(state), std::future::pending()));
        Self { driver, address, draining, _data: data }
    }

    /// Sends these bytes and reads the answer to its end.
    pub(super) async fn send(&self, bytes: &[u8]) -> Answer {
        read(self.sent(bytes).await).await
    }

    /// Sends these bytes, says that no more will come, and reads the answer to its end.
    pub(super) async fn send_all(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.sent(bytes).await;
        stream.shutdown().await.expect("the connection is there");
        read(stream).await
    }

    async fn sent(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(bytes).await.expect("it takes the request");
        stream
    }

    /// A request with a body; each header as it stands in the request.
    pub(super) async fn request(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        self.send(&[head.as_bytes(), body].concat()).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"").await
    }

    pub(super) async fn put(&self, path: &str, body: &str) -> Answer {
        self.request("PUT", path, &["Content-Type: application/json"], body.as_bytes()).await
    }

    pub(super) async fn put_raw(&self, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let headers = [&["Content-Type: application/octet-stream"], headers].concat();
        self.request("PUT", path, &headers, body).await
    }
}

fn settings(members: u64) -> Bootstrap {
    let member = |id: u64| Member {
        node: NodeId(id),
        name: format!("node-{id}"),
        peer_address: format!("node-{id}:7702"),
        zone: String::new(),
        weight: 1,
    };
    let n = u32::try_from(members).expect("a few");
    let quorum = n / 2 + 1;
    Bootstrap {
        cluster: ClusterId(1),
        partitions: 8,
        n,
        r: quorum,
        w: quorum,
        members: (1..=members).map(member).collect(),
        buckets: vec![BucketSettings {
            name: "profiles".into(),
            n: None,
            r: None,
            w: None,
            conflict: ConflictPolicy::LastWriterWins,
            mode: QuorumMode::Strict,
            ttl: Some(std::time::Duration::from_secs(3600)),
        }],
    }
}

async fn read(mut stream: TcpStream) -> Answer {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it answers");
    parse(&answer)
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("the head has an end");
    let head = std::str::from_utf8(&answer[..end]).expect("the head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer { status: status.expect("it has a status"), headers, body: answer[end + 4..].to_vec() }
}
