//! What a commit and a read cost: `cargo bench -p quorate-storage`. The `raw_fdatasync` group is the disk alone, to read the
//! commits against; CPU per operation under load is told by `examples/load.rs`.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use quorate_protocol::store::{Store, StoreOp};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};
use tempfile::TempDir;

const VALUE_BYTES: usize = 100;
const KEYS: u64 = 100_000;

fn main() {
    divan::main();
}

fn open() -> (TempDir, SledStore) {
    let directory = TempDir::new().expect("a temporary directory");
    let store = SledStore::open(directory.path(), StoreOptions::default(), StoreHooks::default())
        .expect("the store opens");
    (directory, store)
}

fn key(number: u64) -> Bytes {
    // Spread, as hashed keys are.
    format!("key/{:016x}", (number % KEYS).wrapping_mul(0x9E37_79B9_7F4A_7C15)).into()
}

/// A put of a value that differs each time.
fn put(number: u64) -> StoreOp {
    let mut value = vec![b'v'; VALUE_BYTES];
    value[..8].copy_from_slice(&number.to_le_bytes());
    StoreOp::Put { key: key(number), value: value.into() }
}

/// One caller that waits for each batch, by operations per batch.
#[divan::bench(args = [1, 10, 100, 1000], min_time = 1)]
fn commit_and_wait(bencher: Bencher<'_, '_>, ops: u64) {
    let (_directory, store) = open();
    let next = AtomicU64::new(0);
    bencher.counter(ItemsCount::new(ops)).bench_local(|| {
        let first = next.fetch_add(ops, Ordering::Relaxed);
        let number = store.submit(&(first..first + ops).map(put).collect::<Vec<_>>()).expect("there is room");
        store.wait_durable(number).expect("the disk works");
    });
}

/// Several callers that each wait for each batch of two operations: syncs are shared.
#[divan::bench(threads = [1, 4, 16, 64], min_time = 1)]
fn commit_and_wait_together(bencher: Bencher<'_, '_>) {
    let (_directory, store) = open();
    let next = AtomicU64::new(0);
    bencher.counter(ItemsCount::new(2u64)).bench(|| {
        let first = next.fetch_add(2, Ordering::Relaxed);
        let number = store.submit(&[put(first), put(first + 1)]).expect("there is room");
        store.wait_durable(number).expect("the disk works");
    });
}

/// What the caller pays when it does not wait.
#[divan::bench(args = [1, 2, 10], sample_count = 200, sample_size = 200)]
fn submit(bencher: Bencher<'_, '_>, ops: u64) {
    let (_directory, store) = open();
    let next = AtomicU64::new(0);
    bencher
        .counter(ItemsCount::new(ops))
        .with_inputs(|| {
            let first = next.fetch_add(ops, Ordering::Relaxed);
            (first..first + ops).map(put).collect::<Vec<_>>()
        })
        .bench_local_values(|batch| store.submit(&batch).expect("there is room"));
}

#[divan::bench(sample_count = 200, sample_size = 500)]
fn get_from_memtable(bencher: Bencher<'_, '_>) {
    let (_directory, store) = open();
    for number in 0..KEYS {
        store.submit(&[put(number)]).expect("there is room");
    }
    get_each(bencher, &store);
}

#[divan::bench(sample_count = 200, sample_size = 500)]
fn get_from_files(bencher: Bencher<'_, '_>) {
    let (_directory, store) = open();
    for number in 0..KEYS {
        store.submit(&[put(number)]).expect("there is room");
    }
    store.checkpoint().expect("there is room");
    get_each(bencher, &store);
}

fn get_each(bencher: Bencher<'_, '_>, store: &SledStore) {
    let next = AtomicU64::new(0);
    bencher
        .with_inputs(|| key(next.fetch_add(7919, Ordering::Relaxed)))
        .bench_local_refs(|key| store.get(key).expect("undamaged").expect("it was put"));
}

#[divan::bench(args = [10, 100])]
fn scan_in_files(bencher: Bencher<'_, '_>, entries: usize) {
    let (_directory, store) = open();
    for number in 0..KEYS {
        store.submit(&[put(number)]).expect("there is room");
    }
    store.checkpoint().expect("there is room");
    let next = AtomicU64::new(0);
    bencher
        .counter(ItemsCount::new(entries))
        .with_inputs(|| key(next.fetch_add(7919, Ordering::Relaxed)))
        .bench_local_refs(|after| store.scan(b"key/", Some(after), entries, usize::MAX).expect("undamaged"));
}

/// A write of so many bytes and fdatasync, into blocks written before (as the log does) or at the end of a growing file.
#[divan::bench(args = [(200, true), (200, false), (16_384, true), (16_384, false)], min_time = 1)]
fn raw_fdatasync(bencher: Bencher<'_, '_>, (bytes, written_before): (usize, bool)) {
    const FILE_BYTES: usize = 32 << 20;
    let directory = TempDir::new().expect("a temporary directory");
    let mut file = File::create(directory.path().join("raw")).expect("created");
    if written_before {
        file.write_all(&vec![0; FILE_BYTES]).expect("written");
        file.sync_all().expect("synced");
    }
    let record = vec![7; bytes];
    let mut at = 0;
    bencher.bench_local(|| {
        if written_before && at + bytes > FILE_BYTES {
            at = 0;
        }
        file.write_all_at(&record, at as u64).expect("written");
        file.sync_data().expect("synced");
        at += bytes;
    });
}
