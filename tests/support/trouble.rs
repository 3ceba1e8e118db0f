//! Random troubles: nodes killed, standing, cut off, losing messages; one or two at a time, each for a while. Meanwhile the
//! layout changes, and disks are lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quorate_proto::v1::PeerFault;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use super::Cluster;
use super::changes::Changes;

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stand,
    /// All messages to and from it are lost.
    Cut,
    /// All messages to it are lost.
    Deaf,
    /// All messages from it are lost.
    Mute,
    /// Every third message from it is lost, and the others are late.
    Lossy,
}

const ALL: [Trouble; 6] =
    [Trouble::Kill, Trouble::Stand, Trouble::Cut, Trouble::Deaf, Trouble::Mute, Trouble::Lossy];

/// After so many rounds nothing happens for a while.
const CALM_EVERY: usize = 4;

/// Goes on for so long, and mends everything; returns how often each trouble was there, and each change. In between there are
/// times of `calm`, without any, at the end of which it calls `look`.
pub(crate) async fn mix(
    cluster: &mut Cluster,
    seed: u64,
    lasts: Duration,
    calm: Duration,
    mut look: impl AsyncFnMut(&Cluster),
) -> (BTreeMap<Trouble, usize>, BTreeMap<&'static str, usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let begun = Instant::now();
    let (mut happened, mut changes) = (BTreeMap::new(), Changes::new());
    let nodes: Vec<usize> = (0..cluster.nodes.len()).collect();
    // Dealt like cards, so that each comes in its turn, on a slow machine after the time is over.
    let mut deck: Vec<Trouble> = Vec::new();
    for round in 1.. {
        if begun.elapsed() >= lasts && happened.len() == ALL.len() {
            break;
        }
        changes.step(cluster, &mut rng).await;
        let count = rng.random_range(1..=2);
        let chosen: Vec<usize> = nodes.sample(&mut rng, count).copied().collect();
        let mut broken = Vec::new();
        for node in chosen {
            if deck.is_empty() {
                deck.extend(ALL);
                deck.shuffle(&mut rng);
            }
            let trouble = deck.pop().expect("it was filled");
            inflict(cluster, node, trouble).await;
            *happened.entry(trouble).or_insert(0) += 1;
            broken.push((node, trouble));
            sleep(Duration::from_millis(rng.random_range(0..500))).await;
        }
        // Sometimes before anybody has noticed, sometimes long after.
        sleep(Duration::from_millis(rng.random_range(300..6_000))).await;
        for (node, trouble) in broken {
            mend(cluster, node, trouble).await;
            sleep(Duration::from_millis(rng.random_range(0..500))).await;
        }
        sleep(Duration::from_millis(rng.random_range(0..2_000))).await;
        if round % CALM_EVERY == 0 {
            changes.settle(cluster).await;
            cluster.wait_linked().await;
            sleep(calm).await;
            look(cluster).await;
            changes.lose_a_disk(cluster, &mut rng).await;
        }
    }
    changes.settle(cluster).await;
    cluster.wait_linked().await;
    (happened, changes.happened)
}

async fn inflict(cluster: &mut Cluster, node: usize, trouble: Trouble) {
    let (drop, receive_drop, delay_ms) = match trouble {
        Trouble::Kill => return cluster.nodes[node].kill(),
        Trouble::Stand => return cluster.nodes[node].signal("-STOP"),
        Trouble::Cut => (1.0, 1.0, 0),
        Trouble::Deaf => (0.0, 1.0, 0),
        Trouble::Mute => (1.0, 0.0, 0),
        Trouble::Lossy => (0.33, 0.0, 20),
    };
    let fault = |node_id| PeerFault { node_id, drop, receive_drop, delay_ms, delay_jitter_ms: delay_ms };
    // Its peers are the members of the layout that it holds, which may be about to be another.
    while !cluster.nodes[node].inject_for_peers(fault).await {}
}

async fn mend(cluster: &mut Cluster, node: usize, trouble: Trouble) {
    match trouble {
        Trouble::Kill => cluster.nodes[node].revive(),
        Trouble::Stand => cluster.nodes[node].signal("-CONT"),
        Trouble::Cut | Trouble::Deaf | Trouble::Mute | Trouble::Lossy => {
            cluster.nodes[node].inject(Vec::new()).await;
        }
    }
}
