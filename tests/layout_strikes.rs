//! Nodes die while the layout changes: the change goes on, or says whom it waits for, and nothing that was acknowledged is lost.
//!
//! `QUORATE_LONG=1` grows and shrinks ten times as often. `QUORATE_MIX_SEED` repeats who is killed.
#![expect(clippy::print_stdout, reason = "the figures are for who runs the tests")]

mod command;

use std::collections::BTreeMap;

use command::ring::{Ring, done, driver, is_in, layout, members, told};
use command::writers::{Ballast, Writers, get_from};
use command::{Dev, directory};
use quorate_proto::v1::{ChangeStage, Layout, StatusResponse};
use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

const STAGES: [ChangeStage; 2] = [ChangeStage::Gather, ChangeStage::HandOver];
/// Keys of 1 KiB, and a rate at which moving a node's share of them takes a second or more.
const KEYS: usize = 1_500;
const VALUE_BYTES: usize = 1 << 10;
const SLOW: [&str; 2] = ["--node-setting", "transfer_bytes_per_s=262144"];

/// Kills a random node as soon as the stage is entered, and starts it again when the others have noticed. Says whether it was in
/// that stage that the node died: the other one may end before all are there again.
async fn strike(ring: &mut Ring<'_>, stage: ChangeStage, rng: &mut ChaCha8Rng) -> bool {
    let entered = |layout: &Layout| is_in(layout, stage) || layout.change.is_none();
    ring.wait("the stage is entered", entered).await;
    let victim = ring.nodes.choose(rng).expect("there are nodes").clone();
    victim.kill();
    let struck = is_in(&ring.layout().await, stage);
    println!("{} killed in {stage:?}: {struck}", victim.name);
    ring.wait_gone(victim.id).await;
    ring.revive(&victim.name).await;
    struck
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_and_shrinks_while_nodes_are_killed_in_every_stage() {
    let seed = std::env::var("QUORATE_MIX_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("QUORATE_MIX_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let data = directory();
    let dev = Dev::start(data.path(), &SLOW);
    let ballast = Ballast::put(&dev, KEYS, VALUE_BYTES).await;
    let writers = Writers::start(&dev).await;
    let rounds = if std::env::var_os("QUORATE_LONG").is_some() { 10 } else { 1 };
    let mut struck: BTreeMap<ChangeStage, usize> = BTreeMap::new();
    for round in 0..rounds {
        // The founders stay: the clients start from their addresses.
        let (first, second) = (format!("node-{}", 2 * round + 4), format!("node-{}", 2 * round + 5));
        let changes = [
            (vec!["dev", "add", "--no-wait"], 4),
            (vec!["dev", "add", "--no-wait"], 5),
            (vec!["members", "remove", &first, "--no-wait"], 4),
            (vec!["members", "remove", &second, "--no-wait"], 3),
        ];
        for (change, nodes) in changes {
            done(&dev, &change).await;
            let mut ring = Ring::of(&dev).await;
            for stage in STAGES {
                *struck.entry(stage).or_default() += usize::from(strike(&mut ring, stage, &mut rng).await);
            }
            let after = ring.wait_stable().await;
            assert_eq!(after.members.len(), nodes, "{change:?}");
            if let ["members", "remove", gone, ..] = change[..] {
                done(&dev, &["dev", "remove", gone]).await;
            }
        }
    }
    let figures = writers.finish().await;
    ballast.check(&dev, 3).await;
    println!("{struck:?} of {} each; {figures:?}", 4 * rounds);
    for stage in STAGES {
        assert!(struck.get(&stage).is_some_and(|count| *count > rounds), "{stage:?}: {struck:?}");
    }
}

/// Kills the member that sees to the change in this stage of it.
async fn kill_driver(ring: &Ring<'_>, stage: ChangeStage) -> Option<command::ring::Node> {
    let during = ring.wait_stage(stage).await;
    let driver = ring.node(driver(&during)).clone();
    driver.kill();
    let hit = is_in(&ring.layout().await, stage);
    ring.wait_gone(driver.id).await;
    println!("{} killed in {stage:?}: {hit}", driver.name);
    hit.then_some(driver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_member_sees_to_the_change_when_the_one_that_did_is_dead() {
    let data = directory();
    // All are owners of all, so nobody is added and nobody leaves: no single node is needed.
    let dev = Dev::start(data.path(), &["--nodes", "5", "--n", "5"]);
    let writers = Writers::start(&dev).await;
    let mut ring = Ring::of(&dev).await;
    let mut sizes = [(2, 4), (3, 3)].into_iter().cycle();
    for stage in STAGES {
        let mut attempts = 0;
        loop {
            let (r, w) = sizes.next().expect("it goes on for ever");
            let [r_flag, w_flag] = [r, w].map(|size| size.to_string());
            done(&dev, &["layout", "apply", "--r", &r_flag, "--w", &w_flag, "--no-wait"]).await;
            let killed = kill_driver(&ring, stage).await;
            // It is dead still.
            let after = ring.wait_stable().await;
            let default = after.buckets.iter().find(|bucket| bucket.name == "default").expect("it is there");
            assert_eq!((default.r, default.w), (r, w));
            let name = ring.node(driver(&after)).name.clone();
            ring.revive(&name).await;
            attempts += 1;
            assert!(attempts < 5, "{stage:?} is always over before anybody can be killed in it");
            if killed.is_some() {
                break;
            }
        }
    }
    writers.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_and_dies_is_waited_for_until_he_is_declared_lost() {
    let data = directory();
    let dev = Dev::start(data.path(), &[&["--nodes", "4", "--n", "3"][..], &SLOW].concat());
    let ballast = Ballast::put(&dev, KEYS, VALUE_BYTES).await;
    let writers = Writers::start(&dev).await;
    let mut ring = Ring::of(&dev).await;
    // The one that sees to the change is the one that leaves.
    let leaver = ring.node(driver(&ring.layout().await)).clone();
    done(&dev, &["members", "remove", &leaver.name, "--no-wait"]).await;
    let killed = kill_driver(&ring, ChangeStage::Gather).await.expect("so slow that it is gathering still");
    assert_eq!(killed.id, leaver.id);
    // The new owners gather from the others; only what he alone may hold cannot be had.
    ring.wait_stage(ChangeStage::HandOver).await;
    let waits_for_him = |status: &StatusResponse| {
        let waits = status.change.iter().filter(|change| change.drives).flat_map(|change| &change.waits);
        waits.into_iter().any(|wait| wait.nodes == [leaver.id])
    };
    ring.wait_statuses("somebody says that it waits for him", |statuses| statuses.iter().any(waits_for_him))
        .await;
    let during = layout(&dev).await;
    let waits = during["change"]["waits"].to_string();
    assert!(waits.contains(&format!("{} to hand over ", leaver.name)), "{waits}");
    done(&dev, &["layout", "lost", &leaver.name]).await;
    let after = ring.wait_stable().await;
    assert!(after.members.len() == 3 && after.departed == [leaver.id], "{after:?}");
    // What comes back belongs to it no more.
    let data = data.path().to_str().expect("a path");
    assert_eq!(told(&dev, &["chaos", "revive", &leaver.name, "--data", data]).await.code, Some(0));
    ring = Ring::of(&dev).await;
    ring.wait_told(&leaver).await;
    get_from(&leaver.grpc, "", "ballast-0", None).await.expect_err("he has left");
    assert_eq!(members(&layout(&dev).await).len(), 3);
    writers.finish().await;
    ballast.check(&dev, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_during_the_whole_change_catches_up() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "5", "--n", "5"]);
    let writers = Writers::start(&dev).await;
    let mut ring = Ring::of(&dev).await;
    let away = ring.nodes[2].clone();
    away.kill();
    ring.wait_gone(away.id).await;
    let ballast = Ballast::put(&dev, 200, 100).await;
    done(&dev, &["layout", "apply", "--r", "2", "--w", "4"]).await;
    done(&dev, &["bucket", "create", "carts"]).await;
    let changed = ring.layout().await;
    ring.revive(&away.name).await;
    ring.wait_statuses("it holds the layout of the others", |statuses| {
        statuses.iter().any(|status| status.node_id == away.id && status.epoch >= changed.epoch)
    })
    .await;
    // Alone: with all that was written meanwhile, which hints bring to it.
    ballast.wait_held(&ring.node(away.id).grpc).await;
    writers.finish().await;
    assert_eq!(dev.run(["put", "--bucket", "carts", "k", "v", "--w", "5"]).code, Some(0));
}
