//! Random changes of the layout, one after another, and disks that are lost for good: beside the troubles that come and go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quorate_proto::v1::change_layout_request::Order;
use quorate_proto::v1::{Alteration, BucketSizes, ChangeLayoutRequest, GetLayoutRequest, Layout, Member};
use rand::RngExt as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::{sleep, timeout};

use super::watch::until;
use super::{Cluster, PATIENCE, Process};

/// A node that stands does not answer.
const ANSWERS_IN: Duration = Duration::from_millis(500);
/// The voters are given some time.
const CHANGED_IN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Of the default bucket: n, r and w. Never is one disk enough for an acknowledgement, for one may be lost.
const SIZES: [(u32, u32, u32); 4] = [(3, 2, 2), (4, 2, 3), (3, 2, 2), (4, 3, 2)];

/// What is becoming of the members.
#[derive(Debug)]
enum Doing {
    /// Nothing but what the layout says.
    Nothing,
    /// This node leaves.
    Leaving { node: usize },
    /// This node is no member, and has an empty disk.
    Spare { node: usize },
    /// This node has lost its disk, and is to take the place of the one that it was.
    Wiped { node: usize, old: u64 },
}

/// See the module.
pub(crate) struct Changes {
    doing: Doing,
    sizes: usize,
    /// What is still to be dealt, the last first: whether a member leaves. A short run has sizes changed at least.
    deck: Vec<bool>,
    /// When the last lost disk was replaced: another one may be lost only when all owners have been equal since.
    replaced: Instant,
    /// How often each was begun.
    pub(crate) happened: BTreeMap<&'static str, usize>,
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self {
            doing: Doing::Nothing,
            sizes: 0,
            deck: vec![false],
            replaced: Instant::now(),
            happened: BTreeMap::new(),
        }
    }

    /// With no change under way: begins the next one, perhaps.
    pub(crate) async fn step(&mut self, cluster: &mut Cluster, rng: &mut ChaCha8Rng) {
        let Some(layout) = newest(cluster).await.filter(|layout| layout.change.is_none()) else { return };
        if self.go_on(cluster, &layout).await || !matches!(self.doing, Doing::Nothing) {
            return;
        }
        if self.deck.is_empty() {
            self.deck.extend([true, false, false]);
            self.deck.shuffle(rng);
        }
        if self.deck.pop() == Some(true) {
            let members: Vec<usize> =
                (0..cluster.nodes.len()).filter(|&at| is_member(&layout, cluster.nodes[at].id)).collect();
            let node = *members.choose(rng).expect("there are members");
            let remove = vec![cluster.nodes[node].id];
            if self.ask(cluster, "remove", Alteration { remove, ..Alteration::default() }).await {
                self.doing = Doing::Leaving { node };
            }
        } else {
            self.sizes = (self.sizes + 1) % SIZES.len();
            self.ask_sizes(cluster).await;
        }
    }

    /// After a calm: one disk is lost, with all that nobody else has. What follows goes on beside its replacement.
    pub(crate) async fn lose_a_disk(&mut self, cluster: &mut Cluster, rng: &mut ChaCha8Rng) {
        // Of what the one before had, all owners have their copy again.
        until("all owners are equal, now and then", PATIENCE, async || self.is_whole_again(cluster).await)
            .await;
        let node = rng.random_range(0..cluster.nodes.len());
        let old = cluster.nodes[node].id;
        cluster.nodes[node].wipe();
        *self.happened.entry("disk lost").or_default() += 1;
        self.doing = Doing::Wiped { node, old };
        if let Some(layout) = newest(cluster).await {
            self.go_on(cluster, &layout).await;
        }
    }

    /// Ends what was begun, with all nodes running: all are members, and n is 3.
    pub(crate) async fn settle(&mut self, cluster: &mut Cluster) {
        let begun = Instant::now();
        loop {
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {:?}, {:?}",
                self.doing,
                newest(cluster).await
            );
            sleep(LOOK).await;
            let Some(layout) = newest(cluster).await.filter(|layout| layout.change.is_none()) else {
                continue;
            };
            if self.go_on(cluster, &layout).await || !matches!(self.doing, Doing::Nothing) {
                continue;
            }
            if layout.n == 3 {
                return;
            }
            self.sizes = 0;
            self.ask_sizes(cluster).await;
        }
    }

    /// Takes the next step of what was begun; says whether it took one.
    async fn go_on(&mut self, cluster: &mut Cluster, layout: &Layout) -> bool {
        let here = |node: usize, cluster: &Cluster| is_member(layout, cluster.nodes[node].id);
        match self.doing {
            Doing::Nothing => false,
            Doing::Leaving { node } if here(node, cluster) => {
                // Nobody had agreed to it after all.
                self.doing = Doing::Nothing;
                false
            }
            Doing::Leaving { node } => {
                // An id is never used again.
                cluster.nodes[node].wipe();
                self.doing = Doing::Spare { node };
                true
            }
            Doing::Spare { node } | Doing::Wiped { node, .. } if here(node, cluster) => {
                if matches!(self.doing, Doing::Wiped { .. }) {
                    self.replaced = Instant::now();
                }
                self.doing = Doing::Nothing;
                false
            }
            Doing::Spare { node } => {
                let add = vec![cluster.nodes[node].member()];
                self.ask(cluster, "add", Alteration { add, ..Alteration::default() }).await;
                true
            }
            Doing::Wiped { node, old } => {
                let (add, lost) = (vec![cluster.nodes[node].member()], vec![old]);
                self.ask(cluster, "replace", Alteration { add, lost, ..Alteration::default() }).await;
                true
            }
        }
    }

    async fn ask_sizes(&mut self, cluster: &Cluster) -> bool {
        let (n, r, w) = SIZES[self.sizes];
        let sizes = vec![BucketSizes { bucket: String::new(), n: Some(n), r: Some(r), w: Some(w) }];
        self.ask(cluster, "n, r, w", Alteration { n: Some(n), sizes, ..Alteration::default() }).await
    }

    /// Asks the first node that answers; whether it was agreed to. It may have been all the same if not.
    async fn ask(&mut self, cluster: &Cluster, what: &'static str, alteration: Alteration) -> bool {
        let request =
            ChangeLayoutRequest { order: Some(Order::Alter(alteration)), ..ChangeLayoutRequest::default() };
        for node in cluster.running() {
            let asked = async { node.admin().change_layout(request.clone()).await };
            if let Ok(Ok(_)) = timeout(CHANGED_IN, asked).await {
                *self.happened.entry(what).or_default() += 1;
                return true;
            }
        }
        false
    }

    /// Whether all owners of all partitions have been equal since the last disk was replaced, and nobody keeps anything for them.
    async fn is_whole_again(&self, cluster: &Cluster) -> Result<(), String> {
        for node in &cluster.nodes {
            let status = node.status().await;
            let (hints, compared) = (status.hints.expect("it says"), status.anti_entropy.expect("it says"));
            let since = u128::from(compared.oldest_clean_ms) < self.replaced.elapsed().as_millis();
            if hints.count > 0 || compared.partitions_building > 0 || !since {
                let oldest = compared.oldest_clean_ms;
                return Err(format!("{:x}: {hints:?}, last clean {oldest} ms ago", node.id));
            }
        }
        Ok(())
    }
}

fn is_member(layout: &Layout, id: u64) -> bool {
    layout.members.iter().any(|member| member.node_id == id)
}

/// The newest layout that a node holds that answers.
async fn newest(cluster: &Cluster) -> Option<Layout> {
    let mut newest: Option<Layout> = None;
    for node in cluster.running() {
        if let Ok(Ok(answer)) = timeout(ANSWERS_IN, node.admin().get_layout(GetLayoutRequest {})).await {
            newest = newest.into_iter().chain(answer.into_inner().layout).max_by_key(|layout| layout.epoch);
        }
    }
    newest
}

impl Process {
    /// SIGKILL, and its disk is gone: it comes back at once as another node at the same addresses, which belongs to no cluster.
    pub(crate) fn wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.directory).expect("it is there");
        self.revive();
    }

    /// As a member, named by its id.
    pub(crate) fn member(&self) -> Member {
        Member {
            node_id: self.id,
            name: format!("{:x}", self.id),
            peer_address: format!("127.0.0.1:{}", self.ports[2]),
            ..Member::default()
        }
    }
}
