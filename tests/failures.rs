//! Failures are the normal case: five real processes, each of the ways in which they fail, and what is promised then.
//!
//! `QUORATE_LONG=1` gives each failure the time that it would have in earnest (some 15 minutes in all).
#![expect(clippy::print_stdout, reason = "the figures are for who runs the tests")]

mod support;

use std::time::{Duration, Instant};

use quorate_proto::v1::operation_error::Code;
use quorate_proto::v1::{KeysRequest, PeerFault};
use support::ledger::Ledger;
use support::load::{Clients, Load, put};
use support::watch::until;
use support::{Cluster, detail};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;
use tonic::Status;

const SECOND: Duration = Duration::from_secs(1);

/// One cluster at a time: the times that are promised are those of a machine that is not overrun.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// The second where there is time.
fn short_or_long<T>(short: T, long: T) -> T {
    if std::env::var_os("QUORATE_LONG").is_some() { long } else { short }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_noticed_without_requests_written_around_and_healed_by_hints() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(5).await;
    cluster.nodes[4].kill();
    let took = cluster.wait_down(4, 5 * SECOND).await;
    println!("killed in peace: down for all others after {took:?}");
    cluster.nodes[4].revive();
    cluster.wait_linked().await;

    let clients = Clients::of(&cluster, 0..5);
    let load = Load::start(&clients, "", 9, "a");
    sleep(SECOND).await;
    cluster.nodes[2].kill();
    let took = cluster.wait_down(2, 5 * SECOND).await;
    println!("killed under load: down for all others after {took:?}");
    sleep(short_or_long(3, 60) * SECOND).await;
    let mut hints = 0;
    for node in cluster.running() {
        hints += node.status().await.hints.expect("it says").count;
    }
    let ledger = load.stop().await;
    println!(
        "{} acknowledged, {} puts by their second attempt, {hints} hints",
        ledger.acknowledged, ledger.retried
    );
    assert!(ledger.failures.is_empty(), "{:?}", ledger.failures);
    assert!(hints > 0, "nobody remembers what it has missed");
    cluster.nodes[2].revive();
    let took = cluster.wait_equal(30 * SECOND).await;
    let mut delivered = 0;
    for node in &cluster.nodes {
        delivered += node.status().await.hints.expect("it says").delivered;
    }
    println!("restarted: {delivered} hints delivered, all owners equal after {took:?}");
    assert!(delivered > 0);
    assert_eq!(ledger.check(&clients).await, Vec::<String>::new(), "of {} keys", ledger.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn anti_entropy_alone_makes_owners_equal_after_messages_were_lost() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(5, &[("hints_max", "0"), ("read_repair", "false")]).await;
    // One node hears and says nothing; the others lose every tenth message.
    let lose = |other: usize, fraction: f64| PeerFault {
        node_id: cluster.nodes[other].id,
        drop: fraction,
        receive_drop: if fraction < 1.0 { 0.0 } else { 1.0 },
        ..PeerFault::default()
    };
    for (at, node) in cluster.nodes.iter().enumerate() {
        let others = (0..5).filter(|other| *other != at);
        let faults = others.map(|other| lose(other, if at == 4 || other == 4 { 1.0 } else { 0.1 }));
        node.inject(faults.collect()).await;
    }
    let mut load = tokio::task::JoinSet::new();
    let clients = Clients::of(&cluster, 0..4);
    let (begun, lasts) = (Instant::now(), short_or_long(8, 60) * SECOND);
    for writer in 0..8 {
        let clients = clients.clone();
        load.spawn(async move {
            let mut ledger = Ledger::default();
            for number in 0.. {
                if begun.elapsed() >= lasts {
                    break;
                }
                // Nothing is ever read: reads repair nothing here, and yet.
                let key = format!("{writer}-{number}");
                if clients.put(writer + number, put("", &key, key.clone())).await.is_ok() {
                    ledger.expect("", &key, &key);
                }
            }
            ledger
        });
    }
    let mut ledger = Ledger::default();
    while let Some(one) = load.join_next().await {
        ledger.add(one.expect("a writer ends"));
    }
    let mut lost = 0;
    for node in &cluster.nodes {
        lost += node.lost_messages().await;
    }
    cluster.heal().await;
    let took = cluster.wait_equal(60 * SECOND).await;
    let (mut exchanged, mut delivered, mut repairs) = (0, 0, 0);
    for node in &cluster.nodes {
        let status = node.status().await;
        exchanged += status.anti_entropy.expect("it says").keys_exchanged;
        delivered += status.hints.expect("it says").delivered;
        repairs += node.metric("quorate_read_repairs_total").await;
    }
    println!(
        "{} keys acknowledged, {lost} messages lost; {exchanged} containers exchanged, all owners equal {took:?} after healing",
        ledger.keys()
    );
    assert_eq!((delivered, repairs), (0, 0), "anti-entropy was not alone");
    assert!(ledger.keys() > 0 && exchanged > 0);
    let all = Clients::of(&cluster, 0..5);
    assert_eq!(ledger.check(&all).await, Vec::<String>::new(), "of {} keys", ledger.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_refuses_strictly_accepts_sloppily_and_heals_into_siblings() {
    let _alone = alone().await;
    let cluster = Cluster::start(5).await;
    let sides: [&[usize]; 2] = [&[0, 1], &[2, 3, 4]];
    let clients = sides.map(|side| Clients::of(&cluster, side.iter().copied()));
    cluster.cut(&sides).await;
    let mut ledger = Ledger::default();
    // Until the cut is noticed, what is passed on to the other side is lost; what is acknowledged is not.
    let begun = Instant::now();
    let mut early = 0;
    while !cluster.have_noticed(&sides).await {
        assert!(begun.elapsed() < 10 * SECOND, "the cut is not noticed");
        for (side, clients) in clients.iter().enumerate() {
            let (key, bucket) = (format!("early-{early}"), ["", "sloppy"][early / 2 % 2]);
            let line = format!("{early} of side {side}");
            if clients.put(early, put(bucket, &key, line.clone())).await.is_ok() {
                ledger.expect(bucket, &key, &line);
            }
        }
        early += 1;
    }
    println!("cut: noticed by all after {:?}; {early} keys tried until then", begun.elapsed());

    let begun = Instant::now();
    let keys = short_or_long(100, 2_000);
    let (mut refused, mut fallbacks) = ([0; 2], [0; 2]);
    for round in 0..keys {
        for (side, clients) in clients.iter().enumerate() {
            let (strict, sloppy) = (format!("strict-{round}"), format!("sloppy-{round}"));
            let line = format!("{round} of side {side}");
            match clients.put(round, put("", &strict, line.clone())).await {
                Ok(_) => ledger.expect("", &strict, &line),
                Err(status) => {
                    let error = detail(&status);
                    assert_eq!((error.code(), error.attempted), (Code::QuorumUnavailable, false), "{status}");
                    refused[side] += 1;
                }
            }
            let written = clients.put(round, put("sloppy", &sloppy, line.clone())).await;
            let (written, _) = written.unwrap_or_else(|status| panic!("side {side}: {status}"));
            assert!(written.primaries + written.fallbacks >= 2);
            fallbacks[side] += usize::from(written.fallbacks > 0);
            ledger.expect("sloppy", &sloppy, &line);
        }
    }
    println!(
        "in {:?}, of {keys} keys on each side: strictly {refused:?} refused; sloppily all accepted, {fallbacks:?} with fallbacks",
        begun.elapsed()
    );
    // No key has a quorum on both sides, and each has it on one. One that has it on the other needs a fallback here.
    assert_eq!(refused[0] + refused[1], keys, "{refused:?}");
    assert!(refused.iter().all(|&refused| refused > 0) && fallbacks.iter().all(|&some| some > 0));
    cluster.heal().await;
    let took = cluster.wait_equal(30 * SECOND).await;
    println!("all owners of all keys equal {took:?} after healing");
    let all = Clients::of(&cluster, 0..5);
    assert_eq!(ledger.check(&all).await, Vec::<String>::new(), "of {} keys", ledger.keys());
    for round in 0..keys {
        let found = all.get(round, "sloppy", &format!("sloppy-{round}")).await.expect("all are there");
        assert_eq!(found.siblings.len(), 2, "they were concurrent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_while_an_owner_was_down_stays_deleted_and_gives_its_space_back() {
    let _alone = alone().await;
    let settings = [("message_age_ms", "1000"), ("checkpoint_interval_s", "1"), ("sweep_interval_s", "5")];
    let mut cluster = Cluster::start_with(5, &settings).await;
    let clients = Clients::of(&cluster, 0..4);
    let (keys, value_bytes) = (short_or_long(2_000, 10_000), 24 << 10);
    let begun = Instant::now();
    in_parallel(keys, |key| {
        let clients = clients.clone();
        async move {
            // Nothing that the disk could make smaller.
            let value: Vec<u8> = (0..value_bytes).map(|_| rand::random()).collect();
            patiently(|| clients.put(key, put("", &format!("k{key}"), value.clone()))).await;
        }
    })
    .await;
    println!("{keys} keys of {value_bytes} bytes written in {:?}", begun.elapsed());
    cluster.wait_equal(60 * SECOND).await;
    // Of all that was written, by attempts that were not answered in time, too.
    let contexts = in_parallel(keys, |key| {
        let (clients, name) = (clients.clone(), format!("k{key}"));
        async move { patiently(|| clients.get(key, "", &name)).await.context }
    })
    .await;
    sleep(2 * SECOND).await;
    let mib = |(all, base): (u64, u64)| (all >> 20, base >> 20);
    let before: Vec<_> = cluster.nodes.iter().map(|node| mib(node.store_bytes())).collect();
    cluster.nodes[4].kill();
    cluster.wait_down(4, 5 * SECOND).await;
    let begun = Instant::now();
    in_parallel(keys, |key| {
        let (clients, name, context) = (clients.clone(), format!("k{key}"), contexts[key].clone());
        async move { patiently(|| clients.delete(key, "", &name, context.clone())).await }
    })
    .await;
    println!("deleted in {:?}", begun.elapsed());
    // Long enough for all of them to be forgotten, were nobody down.
    sleep(5 * SECOND).await;
    for node in cluster.running() {
        let status = node.status().await;
        let held: u64 =
            status.anti_entropy.iter().flat_map(|state| &state.partitions).map(|state| state.keys).sum();
        assert_eq!(status.tombstones, held, "every tombstone waits for the member that is down");
        assert!(held > 0);
    }
    cluster.nodes[4].revive();
    let took = cluster.wait_equal(60 * SECOND).await;
    println!("returned: all owners equal after {took:?}");
    let forgotten = until("all tombstones are forgotten on all owners", 60 * SECOND, async || {
        let held = cluster.keys_held().await;
        if held == 0 { Ok(()) } else { Err(format!("{held} are held")) }
    })
    .await;
    let segments = 8 * (8 << 20);
    let given_back = until("the space comes back", 120 * SECOND, async || {
        let bases: Vec<u64> = cluster.nodes.iter().map(|node| node.store_bytes().1).collect();
        if bases.iter().all(|&base| base <= segments) { Ok(()) } else { Err(format!("{bases:?}")) }
    })
    .await;
    let after: Vec<_> = cluster.nodes.iter().map(|node| mib(node.store_bytes())).collect();
    println!(
        "forgotten after {forgotten:?}; space given back after {given_back:?}: MiB in all and behind the log {before:?} -> {after:?}"
    );
    let all = Clients::of(&cluster, 0..5);
    for key in 0..keys {
        let found = all.get(key, "", &format!("k{key}")).await.expect("all are there");
        assert!(found.siblings.is_empty(), "k{key} came back");
    }
    for node in &cluster.nodes {
        let listed = node.kv().keys(KeysRequest::default()).await.expect("all are there").into_inner();
        assert!(listed.keys.is_empty(), "{:?}", listed.keys);
    }
}

/// Does it until it goes well: what only prepares a test may take its time on a slow machine.
async fn patiently<T, F: Future<Output = Result<T, Status>>>(operation: impl Fn() -> F) -> T {
    let begun = Instant::now();
    loop {
        match operation().await {
            Ok(done) => return done,
            Err(status) => assert!(begun.elapsed() < 60 * SECOND, "it never goes well: {status}"),
        }
        sleep(SECOND / 2).await;
    }
}

/// Does it for 0 to before `count`, sixteen at a time; returns the outcomes in order.
async fn in_parallel<T, F>(count: usize, operation: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    use futures::StreamExt as _;
    let running = futures::stream::iter((0..count).map(|at| tokio::spawn(operation(at)))).buffered(16);
    running.map(|outcome| outcome.expect("it ends")).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_queues_are_bounded_while_a_peer_stands_and_is_dead() {
    let _alone = alone().await;
    const HINTS: u64 = 500;
    const MIB: u64 = 1 << 20;
    let hints = HINTS.to_string();
    let settings =
        [("hints_max", hints.as_str()), ("cache_bytes", "16777216"), ("store_cache_bytes", "16777216")];
    let mut cluster = Cluster::start_with(5, &settings).await;
    let (stands, dead) = short_or_long((7 * SECOND, 8 * SECOND), (60 * SECOND, 600 * SECOND));
    let lasts = stands + dead;
    let clients = Clients::of(&cluster, 0..4);
    let load = Load::start(&clients, "", 48, "e");
    sleep(2 * SECOND).await;
    print_figures(&cluster, "before").await;
    // First it stands, and its links look well; then it is dead.
    cluster.nodes[4].signal("-STOP");
    let begun = Instant::now();
    let (mut queued_max, mut resident_max, mut hints_max) = (0, 0, 0);
    let mut killed = false;
    // On a slow machine it takes longer until the dead one has missed as many keys as are remembered.
    let slowest = lasts + 120 * SECOND;
    while begun.elapsed() < lasts || (hints_max < HINTS / 2 && begun.elapsed() < slowest) {
        sleep(SECOND / 2).await;
        if begun.elapsed() > stands && !killed {
            print_figures(&cluster, "it stands").await;
            cluster.nodes[4].kill();
            killed = true;
        }
        for node in &cluster.nodes[..4] {
            queued_max = queued_max.max(node.metric("quorate_link_queued_bytes").await);
            hints_max = hints_max.max(node.metric("quorate_hints").await);
            resident_max = resident_max.max(node.resident_bytes());
        }
    }
    print_figures(&cluster, "after").await;
    let ledger = load.stop().await;
    println!(
        "{} acknowledged in {lasts:?}, {} failed twice; at most: {} MiB resident, {queued_max} bytes queued, {hints_max} hints",
        ledger.acknowledged,
        ledger.failures.len(),
        resident_max / MIB
    );
    // One owner that is away may take half of the room; others that seem away for a moment take of the rest.
    assert!((HINTS / 2..=HINTS).contains(&hints_max), "the bound was not reached, or passed: {hints_max}");
    // The program, containers 16 MiB and more for their structure, sled's pages twice 16, what waits for sled.
    assert!(resident_max < 384 * MIB, "{resident_max}");
    assert!(queued_max < 64 * MIB, "{queued_max}");
    cluster.nodes[4].revive();
    let took = cluster.wait_equal(60 * SECOND).await;
    println!("revived: all owners equal after {took:?}");
    let all = Clients::of(&cluster, 0..5);
    assert_eq!(ledger.check(&all).await, Vec::<String>::new(), "of {} keys", ledger.keys());
}

async fn print_figures(cluster: &Cluster, when: &str) {
    for (at, node) in cluster.nodes[..4].iter().enumerate() {
        println!(
            "{when}: node {at}: {} MiB resident, {} bytes queued, {} hints, {} lingering, {} bytes cached",
            node.resident_bytes() >> 20,
            node.metric("quorate_link_queued_bytes").await,
            node.metric("quorate_hints").await,
            node.metric("quorate_lingering").await,
            node.metric("quorate_cache_bytes").await,
        );
    }
}
