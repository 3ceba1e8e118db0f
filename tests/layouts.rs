//! The layout changes under load: nothing that was acknowledged is lost, no strict read is stale, no request of a client that
//! retries fails.

mod command;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use command::{Dev, Said, directory, is_running, run};
use quorate_client::{Client, Put};
use serde_json::Value;

/// Keys that each writer writes again and again.
const KEYS: usize = 40;
const WRITERS: usize = 3;

/// Writers, each the only one of its keys: what it reads must be what it wrote last.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<(Vec<u64>, u64)>>,
    client: Arc<Client>,
}

impl Writers {
    async fn start(dev: &Dev) -> Self {
        let endpoints: Vec<String> =
            dev.addresses().iter().map(|address| format!("http://{address}")).collect();
        let client = Arc::new(Client::connect(endpoints).await.expect("the cluster is there"));
        let stop = Arc::new(AtomicBool::new(false));
        let task = |writer| tokio::spawn(write(client.clone(), writer, stop.clone()));
        Self { tasks: (0..WRITERS).map(task).collect(), stop, client }
    }

    /// Stops them, and looks whether all they wrote is there. Returns how much that was.
    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut writes = 0;
        for (writer, task) in self.tasks.into_iter().enumerate() {
            let (last, count) = task.await.expect("no request fails, and no read is stale");
            writes += count;
            for (key, value) in last.iter().enumerate() {
                assert_eq!(read(&self.client, writer, key).await.0, *value, "writer {writer}, key {key}");
            }
        }
        assert!(writes > 100, "{writes} writes: hardly anything happened");
        writes
    }
}

fn name(writer: usize, key: usize) -> String {
    format!("writer-{writer}-key-{key}")
}

/// 0: it has no value.
async fn read(client: &Client, writer: usize, key: usize) -> (u64, quorate_client::Context) {
    let found = client.get(name(writer, key)).await.unwrap_or_else(|error| panic!("a get: {error}"));
    assert!(found.values.len() <= 1, "only one writes it: {found:?}");
    let value = found.values.first().map_or(0, |value| {
        std::str::from_utf8(&value.bytes).ok().and_then(|text| text.parse().ok()).expect("a number")
    });
    (value, found.context)
}

async fn write(client: Arc<Client>, writer: usize, stop: Arc<AtomicBool>) -> (Vec<u64>, u64) {
    let (mut last, mut count) = (vec![0; KEYS], 0);
    while !stop.load(Ordering::Relaxed) {
        let key = usize::try_from(count).unwrap_or(0) % KEYS;
        let (value, context) = read(&client, writer, key).await;
        assert_eq!(value, last[key], "a stale read of {}", name(writer, key));
        count += 1;
        let put = Put::new(name(writer, key), count.to_string()).context(context);
        client.put(put).await.unwrap_or_else(|error| panic!("a put: {error}"));
        last[key] = count;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (last, count)
}

/// Runs a command without holding up the writers.
async fn told(dev: &Dev, args: &[&str]) -> Said {
    let mut command = dev.command(args.iter().copied());
    tokio::task::spawn_blocking(move || run(&mut command)).await.expect("it does not panic")
}

async fn done(dev: &Dev, args: &[&str]) -> Value {
    let said = told(dev, &[args, &["--output", "json"]].concat()).await;
    assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
    serde_json::from_str(said.out.lines().next().unwrap_or("null")).expect("a line of JSON")
}

async fn layout(dev: &Dev) -> Value {
    done(dev, &["layout", "show"]).await
}

async fn failed(dev: &Dev, args: &[&str], part: &str) {
    let said = told(dev, args).await;
    assert_eq!(said.code, Some(1), "{args:?}: {said:?}");
    assert!(said.err.contains(part), "{args:?}: {said:?}");
}

fn members(layout: &Value) -> Vec<&str> {
    let members = layout["members"].as_array().expect("members");
    members.iter().map(|member| member["name"].as_str().expect("a name")).collect()
}

/// No member has more than its share, rounded up, and every partition has its owners.
fn assert_even(layout: &Value) {
    let owned = layout["members"].as_array().expect("members").iter().map(|member| &member["owned"]);
    let owned: Vec<u64> = owned.map(|owned| owned.as_u64().expect("a number")).collect();
    let share = owned.iter().sum::<u64>().div_ceil(owned.len() as u64);
    assert!(owned.iter().all(|owned| *owned <= share), "{owned:?}");
    let n = layout["n"].as_u64();
    let owners = layout["owners"].as_array().expect("owners");
    assert!(owners.iter().all(|owners| owners.as_array().map(|owners| owners.len() as u64) == n));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_and_shrinks_under_a_writer() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    let writers = Writers::start(&dev).await;
    for nodes in [4, 5] {
        let added = done(&dev, &["dev", "add"]).await;
        assert_eq!((&added["stable"], &added["outcome"]), (&true.into(), &"done".into()), "{added}");
        assert!(added["plan"]["partitions"].as_u64().is_some_and(|partitions| partitions > 0), "{added}");
        let layout = layout(&dev).await;
        assert_eq!(members(&layout).len(), nodes);
        assert_even(&layout);
    }
    // The one that drives changes is among those that leave.
    for (gone, nodes) in [("node-1", 4), ("node-5", 3)] {
        let pid = done(&dev, &["chaos", "show"]).await["nodes"]
            .as_array()
            .and_then(|nodes| nodes.iter().find(|node| node["name"] == gone)?["pid"].as_u64());
        done(&dev, &["dev", "remove", gone, "--data", data.path().to_str().expect("a path")]).await;
        let layout = layout(&dev).await;
        assert_eq!(members(&layout).len(), nodes);
        assert!(!members(&layout).contains(&gone));
        assert_even(&layout);
        assert!(pid.is_none_or(|pid| !is_running(pid)), "{gone} is stopped");
    }
    writers.finish().await;
    assert_eq!(dev.stop(), Some(0));
    // The next one starts those that are left, with all they hold.
    let dev = Dev::start(data.path(), &[]);
    assert_eq!(members(&layout(&dev).await), ["node-2", "node-3", "node-4"]);
    assert_eq!(told(&dev, &["get", &name(0, 0)]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quorums_and_buckets_change_under_a_writer() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "4", "--n", "3"]);
    let writers = Writers::start(&dev).await;
    for (n, r, w) in [("4", "2", "3"), ("3", "2", "2"), ("3", "1", "3"), ("3", "3", "1"), ("3", "2", "2")] {
        let changed = done(&dev, &["layout", "apply", "--n", n, "--r", r, "--w", w]).await;
        assert_eq!(changed["outcome"], "done", "{changed}");
        let layout = layout(&dev).await;
        let default = &layout["buckets"][0];
        let now = ["n", "r", "w"].map(|field| default[field].to_string());
        assert_eq!(now, [n, r, w]);
        assert_even(&layout);
    }
    done(&dev, &["bucket", "create", "carts:conflict=lww,w=3"]).await;
    assert_eq!(told(&dev, &["put", "--bucket", "carts", "k", "v"]).await.code, Some(0));
    let altered = done(&dev, &["bucket", "alter", "carts", "--w", "1", "--r", "3"]).await;
    assert_eq!(altered["outcome"], "done", "{altered}");
    let carts = done(&dev, &["bucket", "list"]).await;
    let carts = carts.as_array().expect("buckets").iter().find(|bucket| bucket["name"] == "carts").cloned();
    assert_eq!(carts.map(|carts| (carts["r"].clone(), carts["w"].clone())), Some((3.into(), 1.into())));
    failed(&dev, &["bucket", "create", "carts"], "there is a bucket \"carts\" already").await;
    done(&dev, &["bucket", "drop", "carts", "--yes"]).await;
    failed(&dev, &["get", "--bucket", "carts", "k"], "carts").await;
    // Its name is free, and nothing of it is left.
    done(&dev, &["bucket", "create", "carts"]).await;
    assert_eq!(told(&dev, &["get", "--bucket", "carts", "k"]).await.code, Some(3));
    writers.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_and_what_is_begun_can_be_cancelled() {
    let data = directory();
    // So slow that nothing ends by itself.
    let dev =
        Dev::start(data.path(), &["--nodes", "4", "--n", "3", "--node-setting", "transfer_bytes_per_s=1"]);
    failed(&dev, &["layout", "apply", "--n", "5"], "n: 5 is not from 1 to 4").await;
    failed(&dev, &["layout", "apply", "--w", "4"], "buckets.default.w: 4 is not from 1 to 3").await;
    failed(&dev, &["layout", "apply"], "nothing would be different").await;
    failed(&dev, &["members", "remove", "node-9"], "there is no member of that name").await;
    failed(&dev, &["members", "remove", "1", "2"], "n: 3 is not from 1 to 2").await;
    failed(&dev, &["members", "add", "127.0.0.1:1"], "cannot connect").await;
    failed(&dev, &["members", "add", dev.addresses()[1]], "is a member already").await;
    failed(&dev, &["bucket", "drop", "default", "--yes"], "every cluster has the default bucket").await;
    for order in ["pause", "resume", "cancel", "accept-loss"] {
        failed(&dev, &["layout", order], "no change is under way").await;
    }
    let writers = Writers::start(&dev).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = layout(&dev).await;

    // Two at once: one of them is told.
    let asks = [["members", "remove", "node-4", "--no-wait"], ["members", "remove", "node-3", "--no-wait"]];
    let (one, other) = tokio::join!(told(&dev, &asks[0]), told(&dev, &asks[1]));
    let mut codes = [one.code, other.code];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(1)], "{one:?} {other:?}");
    let refused = if one.code == Some(1) { one } else { other };
    let told_why = ["changed meanwhile", "under way"].iter().any(|why| refused.err.contains(why));
    assert!(told_why, "{refused:?}");

    let during = layout(&dev).await;
    assert_eq!(during["change"]["stage"], "gather", "{during}");
    assert!(during["change"]["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty()), "{during}");
    failed(&dev, &["layout", "apply", "--r", "1"], "a change is under way").await;
    done(&dev, &["layout", "pause"]).await;
    let paused = layout(&dev).await;
    assert_eq!(paused["change"]["paused"], true);
    let waits = paused["change"]["waits"].to_string();
    assert!(waits.contains("somebody to resume it"), "{waits}");
    failed(&dev, &["layout", "pause"], "nothing would be different").await;
    done(&dev, &["layout", "resume"]).await;
    done(&dev, &["layout", "cancel"]).await;
    let after = layout(&dev).await;
    assert_eq!((&after["owners"], &after["members"]), (&before["owners"], &before["members"]));
    assert!(after["change"].is_null());
    writers.finish().await;
}

#[test]
fn the_ring_is_drawn() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1", "--n", "1"]);
    let file = data.path().join("ring.svg");
    let said = dev.run(["layout", "show", "--svg", file.to_str().expect("a path")]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("the first owner of each partition:"), "{said:?}");
    let picture = std::fs::read_to_string(file).expect("it is written");
    assert_eq!(picture.matches("<path").count(), 256);
    assert!(picture.contains("node-1: 100.0 %"));
}
