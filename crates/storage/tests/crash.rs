//! Kills a process under load again and again and checks what is left.
//!
//! Each batch carries the next stamp and writes it to several keys, so that the stamp of the last surviving batch tells the
//! exact content that the store must have: all batches up to it and nothing of any after it.
//!
//! `QUORATE_CRASH_CYCLES=500` for a long run (20 otherwise), `QUORATE_CRASH_SEED` for another one.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_protocol::store::{Store, StoreOp};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};

const CHILD_DIRECTORY: &str = "QUORATE_CRASH_CHILD_DIRECTORY";
const CHILD_SEED: &str = "QUORATE_CRASH_CHILD_SEED";

/// Stamps this far apart use the same keys.
const SLOTS: u64 = 300;
/// Slots whose values are longer than a chunk.
const LONG_EVERY: u64 = 53;

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 256 << 10,
        generation_bytes: 128 << 10,
        unapplied_bytes_max: 2 << 20,
        checkpoint_log_bytes: 600 << 10,
        // Sled's files are rewritten as soon as they have doubled.
        rewrite_min_bytes: 1 << 20,
        rewrite_factor: 2,
        ..StoreOptions::tiny()
    }
}

/// The batch of a stamp.
fn batch(stamp: u64) -> Vec<StoreOp> {
    let slot = stamp % SLOTS;
    let put = |key: String, value: Vec<u8>| StoreOp::Put { key: key.into(), value: value.into() };
    vec![
        put("head".into(), stamp.to_le_bytes().to_vec()),
        put(format!("first/{slot:03}"), value(stamp)),
        put(format!("gone/{slot:03}"), stamp.to_le_bytes().to_vec()),
        StoreOp::Delete { key: format!("gone/{:03}", (stamp + SLOTS / 2) % SLOTS).into() },
        put(format!("second/{slot:03}"), value(stamp)),
    ]
}

fn value(stamp: u64) -> Vec<u8> {
    let length =
        if (stamp % SLOTS).is_multiple_of(LONG_EVERY) { 60_000 + stamp % 50_000 } else { stamp % 200 };
    let mut value = stamp.to_le_bytes().to_vec();
    value.resize(8 + length as usize, stamp as u8);
    value
}

/// The keys and values after all batches up to this one.
fn expected(head: u64) -> Vec<(Bytes, Bytes)> {
    let mut entries = Vec::new();
    if head > 0 {
        entries.push((Bytes::from("head"), Bytes::from(head.to_le_bytes().to_vec())));
    }
    for slot in 0..SLOTS {
        // The last stamp of this slot, up to the head.
        let last = |slot: u64| (head + SLOTS - slot % SLOTS) / SLOTS * SLOTS + slot % SLOTS;
        let last = |slot: u64| last(slot).checked_sub(SLOTS).filter(|stamp| *stamp > 0);
        let Some(stamp) = last(slot) else { continue };
        entries.push((format!("first/{slot:03}").into(), value(stamp).into()));
        entries.push((format!("second/{slot:03}").into(), value(stamp).into()));
        let deleted = last(slot + SLOTS / 2);
        if deleted.is_none_or(|deleted| deleted < stamp) {
            entries.push((format!("gone/{slot:03}").into(), stamp.to_le_bytes().to_vec().into()));
        }
    }
    entries.sort();
    entries
}

fn all(store: &SledStore) -> Vec<(Bytes, Bytes)> {
    let mut entries: Vec<(Bytes, Bytes)> = Vec::new();
    loop {
        let after = entries.last().map(|(key, _)| key.clone());
        let page = store.scan(b"", after.as_deref(), 64, 1 << 20).expect("all entries are undamaged");
        entries.extend(page.entries);
        if !page.more {
            return entries;
        }
    }
}

fn head(store: &SledStore) -> u64 {
    let head = store.get(b"head").expect("the head is undamaged");
    head.map_or(0, |head| u64::from_le_bytes(head.as_ref().try_into().expect("a stamp has eight bytes")))
}

/// The loaded process: runs until it is killed, and tells which stamps are durable.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else {
        return;
    };
    // Whichever thread finds something wrong ends the process, for the parent to see: the others would go on.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
    let seed: u64 = std::env::var(CHILD_SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    static FIRST: AtomicU64 = AtomicU64::new(0);
    let on_durable = Box::new(|number: quorate_protocol::store::CommitNumber| {
        let line = format!("durable {}\n", FIRST.load(Ordering::SeqCst) + number.0);
        std::io::stdout().write_all(line.as_bytes()).expect("the parent reads");
    });
    let hooks = StoreHooks { on_durable, ..StoreHooks::default() };
    let store = SledStore::open(directory, options(), hooks).expect("the store opens after every crash");
    let first = head(&store);
    FIRST.store(first, Ordering::SeqCst);
    let next = Mutex::new(first);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (store, next) = (&store, &next);
            scope.spawn(move || {
                for round in 0u64.. {
                    // Stamps in the order of the batches.
                    let number = {
                        let mut next = next.lock().expect("no writer panics");
                        *next += 1;
                        store.submit(&batch(*next)).expect("the disk has room")
                    };
                    if (round + writer + seed).is_multiple_of(5) {
                        store.wait_durable(number).expect("batches become durable");
                    }
                }
            });
        }
        let reading = &store;
        scope.spawn(move || {
            let mut before = first;
            loop {
                let now = head(reading);
                assert!(now >= before, "the head went back from {before} to {now}");
                before = now;
                if now == 0 {
                    // An empty store, and the writers have not begun.
                    continue;
                }
                let slot = format!("first/{:03}", now % SLOTS);
                let found =
                    reading.get(slot.as_bytes()).expect("undamaged").expect("present since its stamp");
                let stamp = u64::from_le_bytes(found[..8].try_into().expect("eight bytes"));
                assert!(stamp >= now && found == value(stamp), "{slot} is older than the head or torn");
            }
        });
        if seed.is_multiple_of(3) {
            let checkpointing = &store;
            scope.spawn(move || {
                loop {
                    checkpointing.checkpoint().expect("the disk has room");
                }
            });
        }
    });
}

#[test]
fn killed_at_any_moment_the_store_keeps_what_it_reported() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number in the environment"))
    };
    let cycles = number("QUORATE_CRASH_CYCLES", 20);
    let mut random = Random(number("QUORATE_CRASH_SEED", 1));
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("store");
    let (mut acknowledged, mut total, mut opened, mut torn_tails, mut rebuilt) = (0, 0, 0, 0, 0);
    for cycle in 1..=cycles {
        let (reported, had_opened) = run_and_kill(&path, &mut random);
        opened += u64::from(had_opened);
        acknowledged = acknowledged.max(reported);
        // Now and then the index is lost as well, and its building may be cut short, too.
        if random.below(4) == 0 && path.join("FORMAT").exists() {
            std::fs::write(path.join("REBUILD"), "a test asks for it").expect("writable");
            rebuilt += 1;
        }
        // Now and then the next process finds what this one left: its recovery may be cut short as well.
        if random.below(3) > 0 || cycle == cycles {
            let store = SledStore::open(&path, options(), StoreHooks::default())
                .expect("the store opens after every crash");
            torn_tails += u64::from(store.open_report().torn_bytes > 0);
            let head = head(&store);
            assert!(head >= acknowledged, "cycle {cycle}: {acknowledged} was durable, {head} survived");
            let (found, expected) = (all(&store), expected(head));
            let wrong = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            let keys = wrong.map(|((found, _), (expected, _))| (found.clone(), expected.clone()));
            assert!(
                found == expected,
                "cycle {cycle}: not the content after batch {head}, first at {keys:?}"
            );
            total = head;
        }
        if cycle % 20 == 0 {
            eprintln!("{cycle} cycles, {acknowledged} batches acknowledged");
        }
    }
    eprintln!(
        "{cycles} cycles, {acknowledged} batches acknowledged ({total} survived), lost 0, torn 0; \
         {} kills before or during recovery, {torn_tails} unfinished records cut, {rebuilt} times without an index",
        cycles - opened
    );
}

/// Runs the loaded process for a random while. Returns the last stamp that it reported, and whether it got to work at all.
fn run_and_kill(path: &Path, random: &mut Random) -> (u64, bool) {
    let mut child = Command::new(std::env::current_exe().expect("the test has a path"))
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD_DIRECTORY, path)
        .env(CHILD_SEED, random.below(1000).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let output = child.stdout.take().expect("it was piped");
    let (lines, reported) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(stamp) = line.strip_prefix("durable ").and_then(|stamp| stamp.parse::<u64>().ok()) {
                // The receiver may have heard enough.
                let _ = lines.send(stamp);
            }
        }
    });
    let (mut last, mut syncs) = (0, 0);
    let deadline = Instant::now()
        + match random.below(4) {
            0 => Duration::from_micros(random.below(60_000)),
            _ => Duration::from_millis(60 + random.below(500)),
        };
    let syncs_max = 1 + random.below(600);
    while syncs < syncs_max
        && let Ok(stamp) = reported.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        last = stamp;
        syncs += 1;
    }
    assert_eq!(child.try_wait().expect("the child is ours"), None, "the child ended by itself");
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    reader.join().expect("the reader does not panic");
    // What it wrote before it died counts too.
    let rest: Vec<u64> = reported.try_iter().collect();
    let last = rest.into_iter().fold(last, u64::max);
    (last, last > 0)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}
