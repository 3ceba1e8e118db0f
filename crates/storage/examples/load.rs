//! CPU and latency of a store under load: `cargo run --release -p quorate-storage --example load -- [seconds] [threads] [ops per
//! batch] [keys] [value bytes]`. Prints one line per second to stderr, from the store's own observer and the process's CPU clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_protocol::store::{CommitNumber, Store, StoreOp};
use quorate_storage::{Applied, Checkpointed, SledStore, StoreHooks, StoreObserver, StoreOptions, Synced};

/// Totals since the last line.
#[derive(Default)]
struct Totals {
    syncs: AtomicU64,
    sync_us: AtomicU64,
    sync_us_max: AtomicU64,
    batches: AtomicU64,
    apply_us: AtomicU64,
    applied_ops: AtomicU64,
    checkpoint_us: AtomicU64,
}

struct Observer(Arc<Totals>);

impl StoreObserver for Observer {
    fn synced(&self, group: &Synced) {
        let us = group.took.as_micros() as u64;
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        self.0.batches.fetch_add(group.batches as u64, Ordering::Relaxed);
        self.0.sync_us.fetch_add(us, Ordering::Relaxed);
        self.0.sync_us_max.fetch_max(us, Ordering::Relaxed);
    }

    fn applied(&self, generation: &Applied) {
        self.0.apply_us.fetch_add(generation.took.as_micros() as u64, Ordering::Relaxed);
        self.0.applied_ops.fetch_add(generation.ops as u64, Ordering::Relaxed);
    }

    fn checkpointed(&self, checkpoint: &Checkpointed) {
        self.0.checkpoint_us.fetch_add(checkpoint.took.as_micros() as u64, Ordering::Relaxed);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("a number"));
    let seconds = arguments.next().unwrap_or(10);
    let threads = arguments.next().unwrap_or(1);
    let ops = arguments.next().unwrap_or(2);
    let keys = arguments.next().unwrap_or(1_000_000);
    let value_bytes = arguments.next().unwrap_or(100) as usize;
    let ops_per_second_max = arguments.next().unwrap_or(u64::MAX);

    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let totals = Arc::new(Totals::default());
    let hooks = StoreHooks { observer: Box::new(Observer(Arc::clone(&totals))), ..StoreHooks::default() };
    let store =
        Arc::new(SledStore::open(directory.path(), StoreOptions::default(), hooks).expect("the store opens"));
    let stop = Arc::new(AtomicBool::new(false));
    let submitted = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (store, stop, submitted) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&submitted));
            std::thread::spawn(move || {
                let mut state = thread * 7919 + 1;
                let value = Bytes::from(vec![b'v'; value_bytes]);
                let started = Instant::now();
                let mut mine = 0u64;
                // As a node does: many requests in flight, the answers to come when the store reports.
                while !stop.load(Ordering::Relaxed) {
                    let batch: Vec<_> = (0..ops)
                        .map(|_| {
                            state = state
                                .wrapping_mul(6_364_136_223_846_793_005)
                                .wrapping_add(1_442_695_040_888_963_407);
                            let key = Bytes::from(format!("key{:012}", (state >> 33) % keys));
                            let mut value = value.to_vec();
                            value[..8.min(value_bytes)]
                                .copy_from_slice(&state.to_le_bytes()[..8.min(value_bytes)]);
                            StoreOp::Put { key, value: Bytes::from(value) }
                        })
                        .collect();
                    let number = store.submit(&batch).expect("the disk has room");
                    mine += ops;
                    submitted.fetch_add(ops, Ordering::Relaxed);
                    if number.0 > 1000 {
                        store.wait_durable(CommitNumber(number.0 - 1000)).expect("durable");
                    }
                    let due =
                        Duration::from_secs_f64(mine as f64 * threads as f64 / ops_per_second_max as f64);
                    if let Some(early) =
                        due.checked_sub(started.elapsed()).filter(|early| early.as_millis() > 0)
                    {
                        std::thread::sleep(early);
                    }
                }
            })
        })
        .collect();

    let mut cpu_before = cpu();
    let mut submitted_before = 0;
    for second in 1..=seconds {
        std::thread::sleep(Duration::from_secs(1));
        let cpu_now = cpu();
        let now = submitted.load(Ordering::Relaxed);
        let ops = now - submitted_before;
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let (syncs, sync_us, batches) = (take(&totals.syncs), take(&totals.sync_us), take(&totals.batches));
        let stats = store.stats();
        eprintln!(
            "{second:3} s: {ops} ops/s, cpu {:.2} us/op, {syncs} syncs (mean {} us, max {} us, {} batches each), \
             applied {} ops in {} ms, checkpoints {} ms, unapplied {} MiB, log {} MiB, files {} MiB, index {} MiB, live {} MiB, pressure {:.2}",
            (cpu_now - cpu_before).as_secs_f64() * 1e6 / ops.max(1) as f64,
            sync_us / syncs.max(1),
            take(&totals.sync_us_max),
            batches / syncs.max(1),
            take(&totals.applied_ops),
            take(&totals.apply_us) / 1000,
            take(&totals.checkpoint_us) / 1000,
            stats.pressure.unapplied_bytes >> 20,
            stats.log_bytes >> 20,
            (stats.base_bytes - stats.index_bytes) >> 20,
            stats.index_bytes >> 20,
            stats.live_bytes >> 20,
            stats.pressure.fraction(),
        );
        (cpu_before, submitted_before) = (cpu_now, now);
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("no panic");
    }
}

/// The process's CPU time so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
