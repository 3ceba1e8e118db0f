//! Disks that are full, fail to sync, or take writes in pieces.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use common::FaultyDisk;
use quorate_protocol::store::{CommitNumber, Store, StoreError, StoreOp};
use quorate_storage::conformance::{self, Factory, ModelRun};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};
use tempfile::TempDir;

fn open(disk: &FaultyDisk, path: &Path, options: StoreOptions) -> SledStore {
    SledStore::open_on(Arc::new(disk.clone()), path, options, StoreHooks::default()).expect("the store opens")
}

fn put(number: u64) -> Vec<StoreOp> {
    let key = |name: &str| Bytes::from(format!("{name}/{number:06}"));
    let value = Bytes::from(vec![number as u8; 300]);
    vec![StoreOp::Put { key: key("a"), value: value.clone() }, StoreOp::Put { key: key("b"), value }]
}

fn holds(store: &SledStore, number: u64) -> bool {
    let there =
        |name: &str| store.get(format!("{name}/{number:06}").as_bytes()).expect("undamaged").is_some();
    assert_eq!(there("a"), there("b"), "batch {number} is torn");
    there("a")
}

/// A log that grows as it is written, so that it meets the end of the disk.
fn growing() -> StoreOptions {
    StoreOptions { spare_segments: 0, ..StoreOptions::tiny() }
}

#[test]
fn a_full_disk_loses_nothing_and_the_store_recovers_by_itself() {
    let (directory, disk) = (TempDir::new().expect("a temporary directory"), FaultyDisk::default());
    let store = open(&disk, directory.path(), growing());
    for (round, room) in [0u64, 1, 10, 700, 5000].into_iter().enumerate() {
        let first = round as u64 * 100_000;
        let before = store.submit(&put(first)).expect("there is room");
        store.wait_durable(before).expect("there is room");
        disk.faults.room_bytes.store(room, Ordering::SeqCst);
        let mut accepted = vec![first];
        let refusal = loop {
            let next = first + accepted.len() as u64;
            match store.submit(&put(next)) {
                Ok(_) => accepted.push(next),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(&refusal, StoreError::Full { detail } if detail.contains("cannot grow")),
            "{refusal}"
        );
        let last = CommitNumber(before.0 + accepted.len() as u64 - 1);
        assert!(store.durable() < last, "a batch was accepted that the disk could not take");
        assert!(store.pressure().full);
        assert!(holds(&store, first), "reads go on");
        assert!(
            matches!(store.checkpoint(), Err(StoreError::Full { .. })),
            "a checkpoint cannot reach what is not durable"
        );

        disk.faults.room_bytes.store(u64::MAX, Ordering::SeqCst);
        store.wait_durable(last).expect("what was accepted becomes durable when there is room");
        while let Err(error) = store.submit(&put(first + 50_000)) {
            assert!(matches!(error, StoreError::Full { .. }), "{error}");
            std::thread::yield_now();
        }
        assert!(accepted.iter().all(|number| holds(&store, *number)));
        let refused = first + accepted.len() as u64;
        assert!(!holds(&store, refused), "nothing of a refused batch is kept");
    }
    store.checkpoint().expect("there is room");
    drop(store);
    let store = open(&disk, directory.path(), growing());
    assert!((0..5).all(|round| holds(&store, round * 100_000) && holds(&store, round * 100_000 + 50_000)));
}

#[test]
fn a_process_that_ends_while_the_disk_is_full_keeps_what_was_durable() {
    let (directory, disk) = (TempDir::new().expect("a temporary directory"), FaultyDisk::default());
    let store = open(&disk, directory.path(), growing());
    let numbers = (0..50).map(|number| store.submit(&put(number)).expect("there is room"));
    let last = numbers.max();
    store.wait_durable(last.expect("there were batches")).expect("there is room");
    disk.faults.room_bytes.store(100, Ordering::SeqCst);
    let accepted = (50..).take_while(|number| store.submit(&put(*number)).is_ok()).count() as u64;
    drop(store);
    disk.faults.room_bytes.store(u64::MAX, Ordering::SeqCst);
    let store = open(&disk, directory.path(), growing());
    assert!((0..50).all(|number| holds(&store, number)), "what was durable is there");
    let survived = (50..50 + accepted).filter(|number| holds(&store, *number)).count() as u64;
    assert!(
        (50..50 + survived).all(|number| holds(&store, number)),
        "and of the rest a first part, or nothing"
    );
}

#[test]
fn below_the_reserve_batches_are_refused_until_there_is_room_again() {
    let (directory, disk) = (TempDir::new().expect("a temporary directory"), FaultyDisk::default());
    let options = StoreOptions { free_reserve_bytes: 1 << 20, ..StoreOptions::tiny() };
    let store = open(&disk, directory.path(), options.clone());
    store.submit(&put(1)).expect("there is room");
    disk.faults.free_bytes.store(1000, Ordering::SeqCst);
    let refusal = (2..).find_map(|number| store.submit(&put(number)).err()).expect("the shortage is noticed");
    assert!(
        matches!(&refusal, StoreError::Full { detail } if detail.contains("1000 bytes are free")),
        "{refusal}"
    );
    assert!(holds(&store, 1));
    drop(store);
    let store = open(&disk, directory.path(), options);
    assert!(holds(&store, 1), "a store opens without room");
    assert!(matches!(store.submit(&put(1)), Err(StoreError::Full { .. })), "and knows it from the start");
    disk.faults.free_bytes.store(u64::MAX, Ordering::SeqCst);
    while store.submit(&put(0)).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn a_failed_sync_is_final_and_never_tried_again() {
    let (directory, disk) = (TempDir::new().expect("a temporary directory"), FaultyDisk::default());
    let failures = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&failures);
    let hooks = StoreHooks {
        on_failed: Box::new(move |_| {
            counting.fetch_add(1, Ordering::SeqCst);
        }),
        ..StoreHooks::default()
    };
    // Without spare segments, the log's syncs are the only ones.
    let store = SledStore::open_on(Arc::new(disk.clone()), directory.path(), growing(), hooks)
        .expect("the store opens");
    let durable = store.submit(&put(1)).expect("nothing is wrong yet");
    store.wait_durable(durable).expect("nothing is wrong yet");

    disk.faults.sync_fails.store(true, Ordering::SeqCst);
    let syncs = disk.faults.syncs.load(Ordering::SeqCst);
    let lost = store.submit(&put(2)).expect("nothing is known to be wrong yet");
    let error = store.wait_durable(lost).expect_err("the sync fails");
    assert!(
        matches!(&error, StoreError::Failed { detail } if detail.contains("injected sync error")),
        "{error}"
    );
    disk.faults.sync_fails.store(false, Ordering::SeqCst);

    assert_eq!(store.submit(&put(3)), Err(error.clone()), "later batches are refused for the same reason");
    assert_eq!(store.wait_durable(lost), Err(error.clone()));
    assert_eq!(store.checkpoint(), Err(error.clone()));
    assert_eq!(store.failure(), Some(error));
    assert_eq!(store.wait_durable(durable), Ok(()), "what was durable still is");
    assert_eq!(store.durable(), durable);
    assert_eq!(failures.load(Ordering::SeqCst), 1, "the owner hears of it once");
    drop(store);
    assert_eq!(disk.faults.syncs.load(Ordering::SeqCst), syncs + 1, "no sync after the failed one");

    let store = open(&disk, directory.path(), StoreOptions::tiny());
    assert!(holds(&store, 1) && !holds(&store, 3));
}

#[test]
fn a_failed_sync_in_a_checkpoint_is_final_too() {
    let (directory, disk) = (TempDir::new().expect("a temporary directory"), FaultyDisk::default());
    let store = open(&disk, directory.path(), growing());
    let number = store.submit(&put(1)).expect("nothing is wrong yet");
    store.wait_durable(number).expect("nothing is wrong yet");
    disk.faults.sync_fails.store(true, Ordering::SeqCst);
    assert!(matches!(store.checkpoint(), Err(StoreError::Failed { .. })));
    assert!(matches!(store.submit(&put(2)), Err(StoreError::Failed { .. })));
    drop(store);
    disk.faults.sync_fails.store(false, Ordering::SeqCst);
    assert!(holds(&open(&disk, directory.path(), growing()), 1), "the log still has it");
}

#[test]
fn a_write_error_that_is_not_about_space_is_final() {
    let (directory, disk) = (TempDir::new().expect("a temporary directory"), FaultyDisk::default());
    let store = open(&disk, directory.path(), growing());
    disk.faults.write_fails.store(true, Ordering::SeqCst);
    let number = store.submit(&put(1)).expect("nothing is known to be wrong yet");
    assert!(matches!(store.wait_durable(number), Err(StoreError::Failed { .. })));
}

struct InPieces(TempDir, FaultyDisk, u64);

impl Factory for InPieces {
    type Store = SledStore;

    fn fresh(&mut self) -> SledStore {
        self.2 += 1;
        open(&self.1, &self.0.path().join(self.2.to_string()), StoreOptions::tiny())
    }

    fn reopen(&mut self, store: SledStore) -> SledStore {
        drop(store);
        open(&self.1, &self.0.path().join(self.2.to_string()), StoreOptions::tiny())
    }
}

#[test]
fn writes_that_are_taken_in_pieces_change_nothing() {
    let disk = FaultyDisk::default();
    disk.faults.write_bytes_max.store(777, Ordering::SeqCst);
    let mut factory = InPieces(TempDir::new().expect("a temporary directory"), disk, 0);
    let run = ModelRun { seed: 3, steps: 600, ..ModelRun::default() };
    conformance::check_against_model(&mut factory, run);
}

#[test]
fn submitters_that_wait_for_memory_hear_of_a_full_disk() {
    let (directory, disk) = (TempDir::new().expect("a temporary directory"), FaultyDisk::default());
    let options = StoreOptions { free_reserve_bytes: 1 << 20, ..StoreOptions::tiny() };
    let store = open(&disk, directory.path(), options);
    // The log takes batches, sled does not, until memory is full.
    disk.faults.free_bytes.store((1 << 20) - 1, Ordering::SeqCst);
    let refusal =
        (1..).find_map(|number| store.submit(&put(number)).err()).expect("it does not wait for ever");
    assert!(matches!(refusal, StoreError::Full { .. }), "{refusal}");
}
