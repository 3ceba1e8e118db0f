//! Writers that know what they must read, and keys that nobody touches again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use quorate_client::{Client, Context, Get, Put, QuorumOptions, Value};
use quorate_proto::v1::kv_client::KvClient;
use quorate_proto::v1::{GetRequest, Quorum};
use tonic::Status;
use tonic::transport::Channel;

use super::{Dev, PATIENCE};

/// Keys that each writer writes again and again.
const KEYS: usize = 40;
const WRITERS: usize = 3;
/// Keys of the ballast that are put or read at a time.
const IN_FLIGHT: usize = 16;

/// Writers, each the only one of its keys: what it reads must be what it wrote last.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Written>>,
    client: Arc<Client>,
}

/// What a writer has done.
#[derive(Default)]
struct Written {
    /// Of each key the last value that was acknowledged; 0: none.
    last: Vec<u64>,
    /// Writes that were acknowledged.
    count: u64,
    /// Reads that found more than one value.
    siblings: u64,
}

/// What all writers have done.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) writes: u64,
    /// Reads that found an older value beside the last: a write that was tried twice may come back so from a node that was
    /// killed after the first try.
    pub(crate) siblings: u64,
}

impl Writers {
    pub(crate) async fn start(dev: &Dev) -> Self {
        let client = Arc::new(client(dev).await);
        let stop = Arc::new(AtomicBool::new(false));
        let task = |writer| tokio::spawn(write(client.clone(), writer, stop.clone()));
        Self { tasks: (0..WRITERS).map(task).collect(), stop, client }
    }

    /// Stops them, and looks whether all they wrote is there.
    pub(crate) async fn finish(self) -> Figures {
        self.stop.store(true, Ordering::Relaxed);
        let mut figures = Figures { writes: 0, siblings: 0 };
        for (writer, task) in self.tasks.into_iter().enumerate() {
            let written = task.await.expect("no request fails, and no read is stale");
            figures.writes += written.count;
            figures.siblings += written.siblings;
            for (key, value) in written.last.iter().enumerate() {
                read(&self.client, &name(writer, key), *value).await;
            }
        }
        assert!(figures.writes > 100, "{figures:?}: hardly anything happened");
        figures
    }
}

async fn client(dev: &Dev) -> Client {
    let endpoints = dev.addresses().into_iter().map(|address| format!("http://{address}"));
    Client::connect(endpoints).await.expect("the cluster is there")
}

/// One of the keys that are written.
pub(crate) fn name(writer: usize, key: usize) -> String {
    format!("writer-{writer}-key-{key}")
}

/// Reads a key whose last acknowledged value is this; 0: it has none. Says how many values were found.
async fn read(client: &Client, key: &str, last: u64) -> (usize, Context) {
    let found = client.get(key.to_owned()).await.unwrap_or_else(|error| panic!("a get of {key}: {error}"));
    let number = |value: &Value| {
        std::str::from_utf8(&value.bytes).ok().and_then(|text| text.parse::<u64>().ok()).expect("a number")
    };
    let values: Vec<u64> = found.values.iter().map(number).collect();
    assert_eq!(values.iter().copied().max().unwrap_or(0), last, "a stale read of {key}: {values:?}");
    (values.len(), found.context)
}

async fn write(client: Arc<Client>, writer: usize, stop: Arc<AtomicBool>) -> Written {
    let mut written = Written { last: vec![0; KEYS], ..Written::default() };
    while !stop.load(Ordering::Relaxed) {
        let key = usize::try_from(written.count).unwrap_or(0) % KEYS;
        let (values, context) = read(&client, &name(writer, key), written.last[key]).await;
        written.siblings += u64::from(values > 1);
        let value = written.count + 1;
        let put = Put::new(name(writer, key), value.to_string()).context(context);
        client.put(put).await.unwrap_or_else(|error| panic!("a put: {error}"));
        (written.last[key], written.count) = (value, value);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    written
}

/// Asks this node and no other for the values of a key, which it hears from so many owners.
pub(crate) async fn get_from(
    address: &str,
    bucket: &str,
    key: &str,
    r: Option<u32>,
) -> Result<Vec<Bytes>, Status> {
    let connected = KvClient::connect(format!("http://{address}")).await;
    get_by(connected.map_err(|error| Status::unavailable(error.to_string()))?, bucket, key, r).await
}

async fn get_by(
    mut kv: KvClient<Channel>,
    bucket: &str,
    key: &str,
    r: Option<u32>,
) -> Result<Vec<Bytes>, Status> {
    let quorum = Some(Quorum { r, ..Quorum::default() });
    let get = GetRequest { bucket: bucket.to_owned(), key: key.to_owned().into(), quorum, timeout_ms: 5_000 };
    let found = kv.get(get).await?.into_inner();
    Ok(found.siblings.into_iter().map(|sibling| sibling.value).collect())
}

/// Keys that are written once, so that a change has something to move.
pub(crate) struct Ballast {
    bucket: &'static str,
    keys: usize,
    value_bytes: usize,
}

impl Ballast {
    /// Puts them.
    pub(crate) async fn put(dev: &Dev, keys: usize, value_bytes: usize) -> Self {
        Self::put_in(dev, "default", keys, value_bytes).await
    }

    /// Puts them in this bucket.
    pub(crate) async fn put_in(dev: &Dev, bucket: &'static str, keys: usize, value_bytes: usize) -> Self {
        let ballast = Self { bucket, keys, value_bytes };
        let client = &client(dev).await;
        let put = |key| {
            let put = Put::new(Self::name(key), ballast.value(key)).bucket(bucket);
            async move { client.put(put).await.unwrap_or_else(|error| panic!("a put of ballast: {error}")) }
        };
        stream::iter(0..keys).map(put).buffer_unordered(IN_FLIGHT).for_each(|_| async {}).await;
        ballast
    }

    /// Reads them, each from so many owners.
    pub(crate) async fn check(&self, dev: &Dev, r: u32) {
        let client = &client(dev).await;
        let get = |key| async move {
            let quorum = QuorumOptions { r: Some(r), ..Default::default() };
            let found = client.get(Get::new(Self::name(key)).bucket(self.bucket).quorum(quorum)).await;
            let found = found.unwrap_or_else(|error| panic!("a get of ballast: {error}"));
            let values: Vec<&[u8]> = found.values.iter().map(|value| &value.bytes[..]).collect();
            assert_eq!(values, [&self.value(key)[..]], "{}", Self::name(key));
        };
        stream::iter(0..self.keys).map(get).buffer_unordered(IN_FLIGHT).for_each(|()| async {}).await;
    }

    /// Waits until this node alone has them all, which is an owner of all.
    pub(crate) async fn wait_held(&self, address: &str) {
        let kv = &KvClient::connect(format!("http://{address}")).await.expect("it listens");
        let wait = |key| async move {
            let expected = Some(vec![self.value(key).into()]);
            let begun = Instant::now();
            while get_by(kv.clone(), self.bucket, &Self::name(key), Some(1)).await.ok() != expected {
                assert!(begun.elapsed() < PATIENCE, "{} is not there", Self::name(key));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        stream::iter(0..self.keys).map(wait).buffer_unordered(IN_FLIGHT).for_each(|()| async {}).await;
    }

    fn name(key: usize) -> String {
        format!("ballast-{key}")
    }

    fn value(&self, key: usize) -> Vec<u8> {
        let mut value = format!("{key} ").into_bytes();
        value.resize(self.value_bytes, b'x');
        value
    }
}
