//! Readers and writers at once, while generations move to sled, checkpoints are made and sled is rewritten.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_protocol::store::{CommitNumber, Store, StoreOp};
use quorate_storage::conformance::{self, Factory, ModelRun};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};
use tempfile::TempDir;

/// Generations of a few dozen batches, so that keys move all the time, and a rewrite whenever sled's files have doubled.
fn restless() -> StoreOptions {
    StoreOptions {
        generation_bytes: 16 << 10,
        checkpoint_log_bytes: 128 << 10,
        rewrite_min_bytes: 1,
        rewrite_factor: 2,
        ..StoreOptions::tiny()
    }
}

fn number(value: &Bytes) -> u64 {
    u64::from_le_bytes(value[..8].try_into().expect("values start with a number"))
}

/// The value of a round: now and then longer than a chunk.
fn value(round: u64) -> Bytes {
    let mut value = round.to_le_bytes().to_vec();
    if round.is_multiple_of(97) {
        value.resize(70_000 + (round % 1000) as usize, round as u8);
    }
    value.into()
}

#[test]
fn readers_never_see_an_old_value_a_deleted_one_or_a_gap() {
    const KEYS: u64 = 40;
    let directory = TempDir::new().expect("a temporary directory");
    let store =
        SledStore::open(directory.path(), restless(), StoreHooks::default()).expect("the store opens");
    let submitted = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let put = |key: String, value: Bytes| StoreOp::Put { key: key.into(), value };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + Duration::from_secs(3);
            let mut round = 0;
            while Instant::now() < until || store.stats().rewrites == 0 {
                round += 1;
                // "even" exists after even rounds only, at another place each time.
                let even = format!("even/{:02}", (round / 2) % KEYS);
                let even = match round % 2 {
                    0 => put(even, value(round)),
                    _ => StoreOp::Delete { key: even.into() },
                };
                let key = format!("key/{:02}", round % KEYS);
                store.submit(&[put(key, value(round)), even]).expect("there is room");
                submitted.store(round, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
        for reader in 0..2 {
            let (store, submitted, done) = (&store, &submitted, &done);
            scope.spawn(move || {
                let mut turn = reader;
                while !done.load(Ordering::SeqCst) {
                    turn += 1;
                    let key = format!("key/{:02}", turn % KEYS);
                    let before = submitted.load(Ordering::SeqCst);
                    let found = store.get(key.as_bytes()).expect("undamaged");
                    let after = submitted.load(Ordering::SeqCst) + 1;
                    // The last round before the read that wrote the key.
                    let least = before.saturating_sub((before + KEYS - turn % KEYS) % KEYS);
                    let round = found.as_ref().map_or(0, number);
                    assert!(round >= least && round <= after, "{key}: {round} is not in {least}..={after}");
                    assert!(found.is_none_or(|found| found == value(round)), "{key} is torn");
                    if turn.is_multiple_of(16) {
                        scan(store, submitted);
                    }
                }
            });
        }
    });
    let stats = store.stats();
    assert!(stats.rewrites > 0 && stats.checkpoints > 0, "{stats:?}");
}

/// A scan sees each key at a state between the scan's start and its end.
fn scan(store: &SledStore, submitted: &AtomicU64) {
    let before = submitted.load(Ordering::SeqCst);
    let page = store.scan(b"key/", None, 100, usize::MAX).expect("undamaged");
    let after = submitted.load(Ordering::SeqCst) + 1;
    assert!(page.entries.is_sorted_by(|(one, _), (next, _)| one < next), "keys come once, in order");
    assert!(before < 40 || page.entries.len() == 40, "a key is missing");
    for (key, found) in &page.entries {
        let round = number(found);
        assert!(
            round + 40 > before && round <= after && *found == value(round),
            "{key:?}: {round} at {before}"
        );
    }
}

#[test]
fn submitters_wait_when_memory_is_full_and_go_on() {
    let directory = TempDir::new().expect("a temporary directory");
    let options = StoreOptions { unapplied_bytes_max: 64 << 10, unsynced_bytes_max: 8 << 10, ..restless() };
    let max = options.unapplied_bytes_max;
    let store = SledStore::open(directory.path(), options, StoreHooks::default()).expect("the store opens");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..2000 {
                    let key = format!("{thread}/{round}").into();
                    let batch = vec![StoreOp::Put { key, value: vec![7; 100].into() }];
                    store.submit(&batch).expect("there is room");
                    assert!(store.pressure().unapplied_bytes <= max);
                }
                // Larger than all limits: alone, it passes.
                let huge = vec![StoreOp::Put {
                    key: format!("{thread}/huge").into(),
                    value: vec![7; 200_000].into(),
                }];
                store.submit(&huge).expect("there is room");
            });
        }
    });
    store.wait_durable(CommitNumber(8004)).expect("the disk works");
    store.checkpoint().expect("there is room");
    assert_eq!(store.pressure().unapplied_bytes, 0);
    assert_eq!(store.pressure().unsynced_bytes, 0);
    let mut count = 0;
    let mut after = None;
    loop {
        let page = store.scan(b"", after.as_deref(), 500, usize::MAX).expect("undamaged");
        count += page.entries.len();
        after = page.entries.last().map(|(key, _)| key.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(count, 8004);
}

struct Rewriting(TempDir, u64, u64);

impl Rewriting {
    fn open(&self) -> SledStore {
        let path = self.0.path().join(self.1.to_string());
        SledStore::open(path, restless(), StoreHooks::default()).expect("the store opens")
    }
}

impl Factory for Rewriting {
    type Store = SledStore;

    fn fresh(&mut self) -> SledStore {
        self.1 += 1;
        self.open()
    }

    fn reopen(&mut self, store: SledStore) -> SledStore {
        self.2 += store.stats().rewrites;
        drop(store);
        self.open()
    }
}

#[test]
fn the_model_holds_while_sled_is_rewritten_again_and_again() {
    let mut factory = Rewriting(TempDir::new().expect("a temporary directory"), 0, 0);
    let run = ModelRun { seed: 11, steps: 4000, keys: 200, long_value_one_in: 40, reopen_one_in: 500 };
    conformance::check_against_model(&mut factory, run);
    assert!(factory.2 > 0, "nothing was rewritten");
}

#[test]
fn compaction_gives_space_back() {
    let directory = TempDir::new().expect("a temporary directory");
    let options = StoreOptions { value_file_bytes: 1 << 20, ..StoreOptions::tiny() };
    let store =
        SledStore::open(directory.path(), options.clone(), StoreHooks::default()).expect("the store opens");
    let put =
        |key: u64| StoreOp::Put { key: format!("{key:08}").into(), value: vec![key as u8; 2000].into() };
    let mut last = CommitNumber(0);
    for start in (0..30_000).step_by(50) {
        last = store.submit(&(start..start + 50).map(put).collect::<Vec<_>>()).expect("there is room");
    }
    store.wait_durable(last).expect("the disk works");
    for start in (0..30_000).step_by(50).filter(|start| start % 500 != 0) {
        let batch = (start..start + 50).map(|key| StoreOp::Delete { key: format!("{key:08}").into() });
        store.submit(&batch.collect::<Vec<_>>()).expect("there is room");
    }
    let most = store.stats().base_bytes;
    // Compactions go on between checkpoints, and end with one.
    while store.stats().base_bytes * 2 > most {
        store.checkpoint().expect("there is room");
    }
    assert!(store.stats().compactions > 0);
    drop(store);
    let store = SledStore::open(directory.path(), options, StoreHooks::default()).expect("the store opens");
    for key in 0..30_000u64 {
        let expected = (key % 500 < 50).then(|| vec![key as u8; 2000]);
        let found = store.get(format!("{key:08}").as_bytes()).expect("undamaged");
        assert!(found.as_deref() == expected.as_deref(), "key {key}");
    }
}
