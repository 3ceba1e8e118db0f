//! The layout of a cluster that `quorate dev` runs, and its nodes' processes, without holding up who writes meanwhile.

use std::time::{Duration, Instant};

use futures::future::join_all;
use quorate_proto::v1::admin_client::AdminClient;
use quorate_proto::v1::{ChangeStage, GetLayoutRequest, Layout, Membership, StatusRequest, StatusResponse};
use serde_json::Value;

use super::{Dev, PATIENCE, Said, run, scrape, signal};

/// Between two looks: a stage lasts half a second at least.
const LOOK: Duration = Duration::from_millis(10);
/// A node that is dead or stands does not answer.
const ANSWERS_IN: Duration = Duration::from_millis(500);

/// Runs a command.
pub(crate) async fn told(dev: &Dev, args: &[&str]) -> Said {
    let mut command = dev.command(args.iter().copied());
    tokio::task::spawn_blocking(move || run(&mut command)).await.expect("it does not panic")
}

/// Runs a command that succeeds, and returns what it has said.
pub(crate) async fn done(dev: &Dev, args: &[&str]) -> Value {
    let said = told(dev, &[args, &["--output", "json"]].concat()).await;
    assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
    serde_json::from_str(said.out.lines().next().unwrap_or("null")).expect("a line of JSON")
}

/// Runs a command that fails and says why.
pub(crate) async fn failed(dev: &Dev, args: &[&str], part: &str) {
    let said = told(dev, args).await;
    assert_eq!(said.code, Some(1), "{args:?}: {said:?}");
    assert!(said.err.contains(part), "{args:?}: {said:?}");
}

/// What `layout show` says.
pub(crate) async fn layout(dev: &Dev) -> Value {
    done(dev, &["layout", "show"]).await
}

/// The names of the members.
pub(crate) fn members(layout: &Value) -> Vec<&str> {
    let members = layout["members"].as_array().expect("members");
    members.iter().map(|member| member["name"].as_str().expect("a name")).collect()
}

/// No member has more than its share, rounded up, and every partition has its owners.
pub(crate) fn assert_even(layout: &Value) {
    let owned = layout["members"].as_array().expect("members").iter().map(|member| &member["owned"]);
    let owned: Vec<u64> = owned.map(|owned| owned.as_u64().expect("a number")).collect();
    let share = owned.iter().sum::<u64>().div_ceil(owned.len() as u64);
    assert!(owned.iter().all(|owned| *owned <= share), "{owned:?}");
    let n = layout["n"].as_u64();
    let owners = layout["owners"].as_array().expect("owners");
    assert!(owners.iter().all(|owners| owners.as_array().map(|owners| owners.len() as u64) == n));
}

/// A node as `dev` has it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) grpc: String,
    pid: u64,
}

impl Node {
    /// What it says of itself; none if it does not answer.
    pub(crate) async fn status(&self) -> Option<StatusResponse> {
        let asked = async { self.admin().await?.status(StatusRequest::default()).await.ok() };
        Some(tokio::time::timeout(ANSWERS_IN, asked).await.ok()??.into_inner())
    }

    /// The layout that it holds.
    async fn layout(&self) -> Option<Layout> {
        let asked = async { self.admin().await?.get_layout(GetLayoutRequest {}).await.ok() };
        tokio::time::timeout(ANSWERS_IN, asked).await.ok()??.into_inner().layout
    }

    async fn admin(&self) -> Option<AdminClient<tonic::transport::Channel>> {
        AdminClient::connect(format!("http://{}", self.grpc)).await.ok()
    }

    /// One of its metrics without labels, by its full name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let status = self.status().await.expect("it answers");
        scrape::metric(&status.http_address, name).await
    }

    /// SIGKILL, at once: the `dev` hears of it afterwards.
    pub(crate) fn kill(&self) {
        signal(self.pid, "-KILL");
    }
}

/// The nodes of a `dev` that has these processes now.
pub(crate) struct Ring<'a> {
    pub(crate) dev: &'a Dev,
    pub(crate) nodes: Vec<Node>,
}

impl<'a> Ring<'a> {
    pub(crate) async fn of(dev: &'a Dev) -> Self {
        let data = dev.ready["data"].as_str().expect("a directory");
        let shown = done(dev, &["chaos", "show", "--data", data]).await;
        let node = |node: &Value| {
            let text = |field: &str| node[field].as_str().expect("a text").to_owned();
            Node {
                name: text("name"),
                id: u64::from_str_radix(&text("id"), 16).expect("an id"),
                grpc: text("grpc"),
                pid: node["pid"].as_u64().unwrap_or_default(),
            }
        };
        Self { dev, nodes: shown["nodes"].as_array().expect("nodes").iter().map(node).collect() }
    }

    pub(crate) fn node(&self, id: u64) -> &Node {
        self.nodes.iter().find(|node| node.id == id).unwrap_or_else(|| panic!("no node {id:016x}"))
    }

    /// The newest layout that a node holds that answers; on a machine that is overrun none may at first.
    pub(crate) async fn layout(&self) -> Layout {
        let begun = Instant::now();
        loop {
            let layouts = join_all(self.nodes.iter().map(Node::layout)).await;
            if let Some(newest) = layouts.into_iter().flatten().max_by_key(|layout| layout.epoch) {
                return newest;
            }
            assert!(begun.elapsed() < PATIENCE, "no node answers");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the newest layout is so.
    pub(crate) async fn wait(&self, what: &str, is_so: impl Fn(&Layout) -> bool) -> Layout {
        let begun = Instant::now();
        loop {
            let layout = self.layout().await;
            if is_so(&layout) {
                return layout;
            }
            let change = layout.change.as_ref().map(|change| (change.stage(), change.paused));
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}: {change:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until this stage of a change is entered.
    pub(crate) async fn wait_stage(&self, stage: ChangeStage) -> Layout {
        self.wait(&format!("{stage:?}"), |layout| is_in(layout, stage)).await
    }

    /// Waits until no change is under way.
    pub(crate) async fn wait_stable(&self) -> Layout {
        self.wait("the change ends", |layout| layout.change.is_none()).await
    }

    /// Waits until this is so of what the nodes say that answer.
    pub(crate) async fn wait_statuses(&self, what: &str, is_so: impl Fn(&[StatusResponse]) -> bool) {
        let begun = Instant::now();
        loop {
            let statuses = join_all(self.nodes.iter().map(Node::status)).await;
            let statuses: Vec<StatusResponse> = statuses.into_iter().flatten().collect();
            if is_so(&statuses) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}: {statuses:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a node that is no member any more knows it: it is told on its next link, and starts again as another.
    pub(crate) async fn wait_told(&self, gone: &Node) {
        self.wait_statuses("it is told that it is no member any more", |statuses| {
            let mut here = statuses.iter().filter(|status| status.grpc_address == gone.grpc);
            here.any(|status| status.node_id != gone.id || status.membership() == Membership::Left)
        })
        .await;
    }

    /// Waits until all others that answer have noticed that a node is not there.
    pub(crate) async fn wait_gone(&self, gone: u64) {
        let notices =
            |status: &StatusResponse| status.peers.iter().all(|peer| peer.node_id != gone || !peer.reachable);
        self.wait_statuses("the others notice", |statuses| {
            let mut others = statuses.iter().filter(|status| status.node_id != gone);
            others.all(notices)
        })
        .await;
    }

    /// Starts a node again that is dead, and waits until all see each other.
    pub(crate) async fn revive(&mut self, name: &str) {
        let data = self.dev.ready["data"].as_str().expect("a directory");
        done(self.dev, &["chaos", "revive", name, "--data", data]).await;
        *self = Self::of(self.dev).await;
        let count = self.nodes.len();
        self.wait_statuses("all see each other", |statuses| {
            statuses.len() == count
                && statuses.iter().all(|status| status.peers.iter().all(|peer| peer.reachable))
        })
        .await;
    }
}

/// Whether a layout is in this stage of a change.
pub(crate) fn is_in(layout: &Layout, stage: ChangeStage) -> bool {
    layout.change.as_ref().is_some_and(|change| change.stage() == stage)
}

/// Which of the members sees to the change while it lives: the first.
pub(crate) fn driver(layout: &Layout) -> u64 {
    layout.members.first().expect("members").node_id
}
