//! The thread that makes batches durable: takes all that wait, writes them as one record, syncs once, reports.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use quorate_protocol::store::CommitNumber;

use crate::disk::is_no_space;
use crate::hooks::Synced;
use crate::log::writer::LogWriter;
use crate::shared::Shared;
use crate::stats::Counters;

/// The end of the log and where its batches come from.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    log: LogWriter,
}

/// Batches for one record.
struct Group {
    batches: Vec<Bytes>,
    last: CommitNumber,
    weight_bytes: usize,
    /// A generation ends with the group.
    ends_generation: bool,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, log: LogWriter) -> Self {
        Self { shared, log }
    }

    /// Works until the store is closed and all its batches are durable, or it fails.
    pub(crate) fn run(mut self) {
        while let Some(group) = self.next_group() {
            if let Err(detail) = self.commit(&group) {
                self.shared.fail(detail);
                return;
            }
        }
    }

    fn next_group(&self) -> Option<Group> {
        let mut queue = self.shared.queue.lock();
        loop {
            if self.shared.failure().is_some() {
                return None;
            }
            let end = queue.generation_ends.front().copied();
            if queue.waiting.is_empty() && end != Some(queue.taken) {
                if queue.closed {
                    return None;
                }
                if self.shared.room.is_short() {
                    self.shared.batches_waiting.wait_for(&mut queue, self.shared.room.interval());
                    parking_lot::MutexGuard::unlocked(&mut queue, || self.shared.room.check_if_due());
                } else {
                    self.shared.batches_waiting.wait(&mut queue);
                }
                continue;
            }
            let mut group =
                Group { batches: Vec::new(), last: queue.taken, weight_bytes: 0, ends_generation: false };
            let mut bytes = 0;
            while Some(group.last) != end
                && let Some(next) = queue.waiting.front()
                && (bytes == 0 || bytes + next.bytes.len() <= self.shared.options.record_bytes_max)
            {
                bytes += next.bytes.len();
                group.weight_bytes += next.weight_bytes;
                group.last.0 += 1;
                group.batches.extend(queue.waiting.pop_front().map(|waiting| waiting.bytes));
            }
            queue.taken = group.last;
            if Some(group.last) == end {
                group.ends_generation = true;
                queue.generation_ends.pop_front();
            }
            return Some(group);
        }
    }

    /// The error says what went wrong, for good.
    fn commit(&mut self, group: &Group) -> Result<(), String> {
        let shared = &self.shared;
        let bytes = group.batches.iter().map(Bytes::len).sum();
        let mut sequence = self.log.last_sequence();
        if bytes > 0 {
            let started = Instant::now();
            let segment = self.log.path().to_path_buf();
            self.log.stage(&group.batches);
            write(shared, &mut self.log)?;
            sequence =
                self.log.sync().map_err(|error| format!("sync {}: {error}", self.log.path().display()))?;
            if self.log.path() != segment {
                // A segment was finished: another spare may be needed, or a checkpoint.
                shared.wake_background();
            }
            let counters = &shared.counters;
            Counters::add(&counters.syncs, 1);
            Counters::add(&counters.synced_bytes, bytes as u64);
            counters
                .current_segment_bytes
                .store(self.log.segment_bytes(), std::sync::atomic::Ordering::Relaxed);
            shared.hooks.observer.synced(&Synced {
                batches: group.batches.len(),
                bytes,
                took: started.elapsed(),
            });
        }
        Counters::add(&shared.counters.batches, group.batches.len() as u64);
        if group.last > shared.durable() {
            shared.advance_durable(group.last, sequence);
        }
        shared.release(group.weight_bytes, 0);
        if group.ends_generation {
            shared.chores.lock().durable_generations.push_back((group.last, sequence));
            shared.wake_background();
        }
        shared.room.check_if_due();
        Ok(())
    }
}

/// Writes the staged record, and while the disk has no room for it waits for some.
fn write(shared: &Shared, log: &mut LogWriter) -> Result<(), String> {
    let describe =
        |error: &std::io::Error, log: &LogWriter| format!("write {}: {error}", log.path().display());
    let mut refused = false;
    loop {
        match log.write() {
            Ok(()) => break,
            Err(error) if is_no_space(&error) => {
                refused = true;
                shared.room.log_refused(&error);
                // Those who wait for this batch's turn hear of it, and a checkpoint may make room.
                shared.wake_all();
                let mut queue = shared.queue.lock();
                if queue.closed || shared.failure().is_some() {
                    return Err(describe(&error, log));
                }
                shared.batches_waiting.wait_for(&mut queue, shared.room.interval());
            }
            Err(error) => return Err(describe(&error, log)),
        }
    }
    if refused {
        shared.room.log_taken();
    }
    Ok(())
}
