//! Dashboards and alerts against nodes that run: everything they name is exported, and a real Prometheus fires and resolves.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_dashboards::{Part, Prometheus, Scrape, fetch, missing, picture};
use quorate_proto::v1::change_layout_request::Order;
use quorate_proto::v1::{
    Alteration, BucketSizes, ChangeLayoutRequest, DeleteRequest, GetRequest, KeysRequest, Quorum,
};
use serde_json::Value;
use support::load::put;
use support::watch::until;
use support::{Cluster, scrape};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "shop";
const CLUSTER: &str = "carts";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_path_buf()
}

fn get(key: &str, r: Option<u32>) -> GetRequest {
    GetRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        quorum: Some(Quorum { r, ..Quorum::default() }),
        timeout_ms: 1_000,
        ..GetRequest::default()
    }
}

/// Some of everything: siblings, failures, hints that are delivered, a change of the layout.
async fn traffic(cluster: &mut Cluster) {
    let mut kv = cluster.nodes[0].kv();
    for at in 0..50 {
        kv.put(put("", &format!("k{}", at % 25), format!("{at}"))).await.expect("all are there");
    }
    let found = kv.get(get("k1", None)).await.expect("all are there").into_inner();
    assert!(found.siblings.len() > 1, "two puts without a context are concurrent");
    let delete = DeleteRequest { key: Bytes::from_static(b"k1"), ..DeleteRequest::default() };
    kv.delete(delete).await.expect("all are there");
    kv.get(get("k1", None)).await.expect_err("it is deleted");
    kv.keys(KeysRequest::default()).await.expect("all are there");

    cluster.nodes[2].kill();
    cluster.wait_noticed(&[2]).await;
    for at in 0..20 {
        kv.put(put("", &format!("h{at}"), "missed by one")).await.expect("two of three are enough");
    }
    kv.get(get("h1", Some(3))).await.expect_err("there are not three");
    assert!(cluster.nodes[0].metric("quorate_hints").await > 0);
    sleep(Duration::from_millis(2_100)).await;
    assert!(cluster.nodes[0].metric("quorate_hints_oldest_seconds").await >= 1);
    cluster.nodes[2].revive();
    cluster.wait_linked().await;
    cluster.wait_equal(PATIENCE).await;
    assert_eq!(cluster.nodes[0].metric("quorate_hints_oldest_seconds").await, 0);

    let sizes = vec![BucketSizes { r: Some(3), w: Some(2), ..BucketSizes::default() }];
    let order = Order::Alter(Alteration { sizes, ..Alteration::default() });
    let change = ChangeLayoutRequest { order: Some(order), ..ChangeLayoutRequest::default() };
    let epoch = cluster.nodes[0].status().await.epoch;
    cluster.nodes[0].admin().change_layout(change).await.expect("it is begun");
    until("the change is done", PATIENCE, async || match cluster.nodes[0].status().await {
        status if status.epoch > epoch && status.change.is_none() => Ok(()),
        status => Err(format!("{:?}", status.change)),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dashboards_and_alerts_name_is_exported() {
    let mut cluster = Cluster::start(3).await;
    traffic(&mut cluster).await;
    let mut all = Scrape::default();
    for node in &cluster.nodes {
        let answer = scrape::get(&node.http_address(), "/metrics").await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        all.add(body).expect("it is Prometheus' text format");
        assert!(
            node.metric("quorate_data_volume_size_bytes").await
                > node.metric("quorate_data_volume_free_bytes").await
        );
    }
    let missing = missing(&root(), Part::Nodes, &all).expect("the manifests can be read");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// A Prometheus of its own, that scrapes the nodes every second and whose alerts wait for two.
struct Watcher {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Watcher {
    fn start(cluster: &Cluster) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let rules = fs::read_to_string(root().join("manifests/rules/quorate.yaml")).expect("they are there");
        let hurried: Vec<String> = rules
            .lines()
            .map(|line| match line.split_once("for: ") {
                Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 2s"),
                _ => line.to_owned(),
            })
            .collect();
        fs::write(directory.path().join("rules.yaml"), hurried.join("\n")).expect("written");
        let targets: Vec<String> = (0..)
            .zip(&cluster.nodes)
            .map(|(at, node)| {
                format!(
                    "      - targets: [\"{}\"]\n        labels: {{namespace: {NAMESPACE}, cluster: {CLUSTER}, pod: {CLUSTER}-{at}}}",
                    node.http_address()
                )
            })
            .collect();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yaml]\nscrape_configs:\n  - job_name: quorate\n    static_configs:\n{}\n",
            targets.join("\n")
        );
        fs::write(directory.path().join("prometheus.yaml"), config).expect("written");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let path = |name: &str| directory.path().join(name).display().to_string();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yaml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log")).expect("written"))
            .spawn()
            .expect("it starts");
        Self { child, url: format!("http://{address}"), _directory: directory }
    }

    /// The states of the alerts of this name: pending or firing.
    async fn alerts(&self, name: &'static str) -> Result<Vec<String>, String> {
        let url = format!("{}/api/v1/alerts", self.url);
        let text = tokio::task::spawn_blocking(move || fetch(&url)).await.expect("it does not panic");
        let answer: Value = serde_json::from_str(&text.map_err(|error| format!("{error:#}"))?).expect("JSON");
        let alerts = answer["data"]["alerts"].as_array().expect("a list").iter();
        let named = alerts.filter(|alert| alert["labels"]["alertname"] == name);
        Ok(named
            .inspect(|alert| assert_eq!(alert["labels"]["cluster"], CLUSTER, "{alert}"))
            .map(|alert| alert["state"].as_str().expect("a state").to_owned())
            .collect())
    }

    async fn wait_for(&self, name: &'static str, wanted: &[&str]) -> Duration {
        until(&format!("{name} is {wanted:?}"), PATIENCE, async || match self.alerts(name).await? {
            states if states == wanted => Ok(()),
            states => Err(format!("{states:?}")),
        })
        .await
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_fires_in_a_real_prometheus_and_resolves() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        println!("SKIPPED: prometheus is not installed");
        return;
    }
    let mut cluster = Cluster::start(3).await;
    let begun = Instant::now();
    let watcher = Watcher::start(&cluster);
    watcher.wait_for("QuorateUnderReplicated", &[]).await;
    traffic(&mut cluster).await;
    watcher.wait_for("QuorateUnderReplicated", &[]).await;
    cluster.nodes[2].kill();
    let took = watcher.wait_for("QuorateUnderReplicated", &["firing"]).await;
    println!("fires {took:?} after the kill, where it has to hold for 2 s");
    cluster.nodes[2].revive();
    let took = watcher.wait_for("QuorateUnderReplicated", &[]).await;
    println!("resolved {took:?} after the node was started again");

    let drawn = tokio::task::spawn_blocking(move || {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("a clock")
            .as_secs_f64();
        let prometheus = Prometheus { url: watcher.url.clone() };
        let time = (now - begun.elapsed().as_secs_f64(), now);
        picture(&root(), "quorate", &prometheus, (NAMESPACE, CLUSTER), time)
    });
    let drawn = drawn.await.expect("it does not panic").expect("there are series");
    assert!(drawn.contains("Partitions under-replicated") && drawn.contains("carts-1"), "{drawn:.500}");
    assert!(drawn.matches("<polyline").count() > 40, "{}", drawn.matches("<polyline").count());
}
