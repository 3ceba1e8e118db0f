//! What becomes of single nodes in changes of the layout: who slept through one, who lost his disk, who keeps data for others.

mod command;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use command::ring::{Node, Ring, done, is_in};
use command::writers::{Ballast, get_from};
use command::{Dev, directory, eventually};
use quorate_proto::v1::change_wait::Kind;
use quorate_proto::v1::kv_client::KvClient;
use quorate_proto::v1::{ChangeStage, PutRequest, StatusResponse};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;

/// Puts that one node has under way at any time.
const UNDER_WAY: usize = 24;
/// No operation gives up while its node is paused.
const TIMEOUT_MS: u32 = 60_000;

async fn kv(node: &Node) -> KvClient<Channel> {
    KvClient::connect(format!("http://{}", node.grpc)).await.expect("the node listens")
}

async fn put(mut kv: KvClient<Channel>, key: String) -> Result<String, Status> {
    let bytes = Bytes::from(key.clone());
    let put =
        PutRequest { key: bytes.clone(), value: bytes, timeout_ms: TIMEOUT_MS, ..PutRequest::default() };
    kv.put(put).await.map(|_| key)
}

/// Puts at one node and no other, each of a key of its own; the node answers when it can.
struct Puts {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Puts {
    async fn start(node: &Node, name: &'static str) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = Vec::new();
        for task in 0..UNDER_WAY {
            let (kv, stop, count) = (kv(node).await, stop.clone(), acknowledged.clone());
            tasks.push(tokio::spawn(async move {
                let mut keys = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // A node that is no member any more refuses them all.
                    let Ok(key) = put(kv.clone(), format!("{name}-{task}-{number}")).await else { break };
                    keys.push(key);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                keys
            }));
        }
        Self { stop, acknowledged, tasks }
    }

    /// Waits until many are under way, and none is acknowledged any more once `pause` has been done.
    async fn interrupt(&self, pause: impl AsyncFnOnce()) {
        let count = || self.acknowledged.load(Ordering::Relaxed);
        eventually("puts are acknowledged", || count() > 2 * UNDER_WAY);
        pause().await;
        // What had been answered before is on its way for a moment; each of the others waits for the one that it has sent.
        let mut before = count();
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if count() == before {
                break;
            }
            before = count();
        }
        assert!(self.tasks.iter().all(|task| !task.is_finished()), "each has one under way");
    }

    /// The keys that were acknowledged, those included that were interrupted.
    async fn finish(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut keys = Vec::new();
        for task in self.tasks {
            keys.extend(task.await.expect("it ends"));
        }
        keys
    }
}

async fn chaos(dev: &Dev, action: &str, node: &Node) {
    let data = dev.ready["data"].as_str().expect("a directory");
    done(dev, &["chaos", action, &node.name, "--data", data]).await;
}

/// That all of these are there, asked of a node that is a member.
async fn assert_readable(node: &Node, keys: &[String]) {
    for key in keys {
        let found = get_from(&node.grpc, "", key, None).await;
        let found = found.unwrap_or_else(|status| panic!("{key} was acknowledged: {status}"));
        assert_eq!(found, [key.as_bytes()], "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_slept_through_a_change_reads_and_acknowledges_by_the_new_quorums() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "5", "--n", "5"]);
    let ring = Ring::of(&dev).await;
    let (sleeper, other) = (ring.nodes[1].clone(), ring.nodes[0].clone());
    let puts = Puts::start(&sleeper, "in-flight").await;
    puts.interrupt(async || chaos(&dev, "pause", &sleeper).await).await;
    // Its links seem to be up still, so that it may wake on them, and meet what was asked of it before the news.
    // By the old quorums, a read of three owners of five may miss what two have acknowledged by the new ones.
    let changed = done(&dev, &["layout", "apply", "--r", "4", "--w", "2", "--endpoint", &other.grpc]).await;
    assert_eq!(changed["outcome"], "done", "{changed}");
    let written: Vec<String> = (0..40).map(|number| format!("meanwhile-{number}")).collect();
    for key in &written {
        put(kv(&other).await, key.clone()).await.expect("two owners are enough");
    }
    let reads = written.iter().cloned().map(|key| {
        let address = sleeper.grpc.clone();
        tokio::spawn(async move { (get_from(&address, "", &key, None).await, key) })
    });
    let reads: Vec<_> = reads.collect();
    // They are in the sleeper's sockets by then: it meets them first when it wakes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    chaos(&dev, "resume", &sleeper).await;
    let mut answered = 0;
    for read in reads {
        // That it is too late to answer is no answer.
        if let (Ok(found), key) = read.await.expect("it ends") {
            assert_eq!(found, [key.as_bytes()], "a stale read by the old quorum");
            answered += 1;
        }
    }
    let acknowledged = puts.finish().await;
    assert_readable(&other, &acknowledged).await;
    // Nothing is wrong with it any more.
    assert_readable(&sleeper, &written).await;
    let epoch = ring.layout().await.epoch;
    assert_eq!(sleeper.status().await.map(|status| status.epoch), Some(epoch));
    assert!(answered > 0 || !acknowledged.is_empty(), "it never did anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_was_given_up_while_it_slept_acknowledges_nothing_that_is_not_there() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "4", "--n", "3"]);
    let ring = Ring::of(&dev).await;
    let (sleeper, other) = (ring.nodes[1].clone(), ring.nodes[0].clone());
    let puts = Puts::start(&sleeper, "in-flight").await;
    puts.interrupt(async || chaos(&dev, "pause", &sleeper).await).await;
    ring.wait_gone(sleeper.id).await;
    let changed = done(&dev, &["layout", "lost", &sleeper.name, "--endpoint", &other.grpc]).await;
    assert_eq!(changed["outcome"], "done", "{changed}");
    // It owns nothing any more, and does not know it: these it meets first when it wakes.
    let late = (0..100).map(|number| {
        let sleeper = sleeper.clone();
        tokio::spawn(async move { put(kv(&sleeper).await, format!("late-{number}")).await })
    });
    let late: Vec<_> = late.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    chaos(&dev, "resume", &sleeper).await;
    let mut acknowledged = puts.finish().await;
    for put in late {
        acknowledged.extend(put.await.expect("it ends").ok());
    }
    assert_readable(&other, &acknowledged).await;
    ring.wait_told(&sleeper).await;
    put(kv(&sleeper).await, "after".into()).await.expect_err("it is no member");
    get_from(&sleeper.grpc, "", &acknowledged[0], Some(1)).await.expect_err("it serves nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_disk_is_replaced_and_its_place_rebuilt() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    let ballast = Ballast::put(&dev, 1_000, 500).await;
    let mut ring = Ring::of(&dev).await;
    let old = ring.nodes[1].clone();
    chaos(&dev, "kill", &old).await;
    ring.wait_gone(old.id).await;
    let place = data.path().join(&old.name);
    std::fs::rename(&place, data.path().join("moved away")).expect("it is there");
    chaos(&dev, "revive", &old).await;
    ring = Ring::of(&dev).await;
    let new = ring.nodes.iter().find(|node| node.name == old.name).expect("it is there").clone();
    assert!(new.id != old.id && new.grpc == old.grpc, "another node at the same address: {new:?}");
    get_from(&new.grpc, "", "ballast-0", Some(1)).await.expect_err("it belongs to no cluster");

    let with = format!("{},name={}-again", new.grpc, old.name);
    let replace = ["members", "replace", &old.name, "--with", &with, "--lost"];
    let replaced = done(&dev, &replace).await;
    assert_eq!(replaced["outcome"], "done", "{replaced}");
    let layout = ring.layout().await;
    assert_eq!((layout.members.len(), &layout.departed[..]), (3, &[old.id][..]));
    // From all three owners, and from it alone: it owns everything.
    ballast.check(&dev, 3).await;
    ballast.wait_held(&new.grpc).await;
    // Two of three are enough again, whichever they are.
    chaos(&dev, "kill", &ring.nodes[0]).await;
    ring.wait_gone(ring.nodes[0].id).await;
    ballast.check(&dev, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_hints_that_count_brings_them_before_he_leaves() {
    let data = directory();
    // So slowly that the removal has to wait for it.
    let flags = [
        "--nodes",
        "5",
        "--n",
        "3",
        "--bucket",
        "sloppy:mode=sloppy,w=3",
        "--node-setting",
        "hint_bytes_per_s=16384",
    ];
    let dev = Dev::start(data.path(), &flags);
    let mut ring = Ring::of(&dev).await;
    let away = ring.nodes[2].clone();
    chaos(&dev, "kill", &away).await;
    ring.wait_gone(away.id).await;
    // All three must have it, or somebody in their place.
    let ballast = Ballast::put_in(&dev, "sloppy", 300, 1 << 10).await;
    let mut most: Option<StatusResponse> = None;
    for node in &ring.nodes {
        let kept = |status: &StatusResponse| status.hints.map_or(0, |hints| hints.fallback_bytes);
        let status = node.status().await;
        most = most.into_iter().chain(status).max_by_key(kept);
    }
    let keeper = most.expect("nodes answer");
    let kept = keeper.hints.expect("it says");
    assert!(kept.fallback_bytes > 50_000, "{kept:?}");
    let keeper = ring.node(keeper.node_id).clone();
    done(&dev, &["members", "remove", &keeper.name, "--no-wait"]).await;
    ring.revive(&away.name).await;
    let brings = |status: &StatusResponse| {
        let waits = status.change.iter().flat_map(|change| &change.waits);
        waits.into_iter().any(|wait| wait.kind() == Kind::Deliver && wait.nodes == [keeper.id])
    };
    ring.wait_statuses("it is waited for", |statuses| statuses.iter().any(brings)).await;
    assert!(is_in(&ring.layout().await, ChangeStage::HandOver));
    let after = ring.wait_stable().await;
    assert_eq!(after.departed, [keeper.id]);
    let left = keeper.status().await.and_then(|status| status.hints).expect("its process is there");
    assert!(left.fallback_bytes == 0 && left.dropped == 0, "{left:?}");
    chaos(&dev, "kill", &keeper).await;
    ballast.check(&dev, 3).await;
}
