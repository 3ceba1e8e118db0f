//! Running a load and measuring it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use quorate_client::{Client, Error, Found, Get, Options, Put, Session, Written};

use super::keyspace::{self, Key, Values};
use super::report::Recorder;
use super::{LoadArgs, Operation, cpu};
use crate::args::Global;
use crate::output::Done;
use crate::progress::{Progress, Unit};

const SHOW_EVERY: Duration = Duration::from_millis(200);
/// After an error, so that a cluster that is down is not asked in a busy loop.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn run(operation: Operation, args: &LoadArgs, global: &Global) -> Result<Done> {
    let options = Options { session_in_flight: usize::MAX >> 4, ..Options::default() };
    let client = Client::connect_with(global.endpoint.iter().cloned(), options).await?;
    let values = Values::new(args.value_bytes);
    let session = client.session();
    let keys = keyspace::prepare(&session, operation, args, &values).await?;
    let way = if args.session { Way::Session(session) } else { Way::Unary(client) };

    let from = Instant::now() + args.warm_up;
    let to = from + Duration::from_secs_f64(args.seconds);
    let recorder = Arc::new(Recorder::new(from, to)?);
    let hands = deal(keys, args.concurrency);
    let paces = Pace::all(args.rate, hands.len(), Instant::now());
    let workers: Vec<_> = hands
        .into_iter()
        .zip(paces)
        .map(|(keys, pace)| {
            let worker = Worker {
                way: way.clone(),
                keys,
                pace,
                values: values.clone(),
                args: args.clone(),
                recorder: recorder.clone(),
            };
            tokio::spawn(worker.run(operation))
        })
        .collect();
    let cpu_used = watch(&recorder, from, to).await;
    for ended in join_all(workers).await {
        ended?;
    }
    let done = recorder.operations();
    if let Some(recorder) = Arc::into_inner(recorder) {
        recorder.report(operation, args, cpu_used).show(global.output)?;
    }
    anyhow::ensure!(done > 0, "no operation succeeded");
    Ok(Done::Ok)
}

/// Divides the keys among the workers: each key has one, so that no two puts of a key overlap.
fn deal(keys: Vec<Key>, workers: u32) -> Vec<Vec<Key>> {
    let workers = usize::try_from(workers).unwrap_or(usize::MAX).min(keys.len());
    let mut hands: Vec<Vec<Key>> = (0..workers).map(|_| Vec::new()).collect();
    for (at, key) in keys.into_iter().enumerate() {
        hands[at % workers].push(key);
    }
    hands
}

/// Shows how it goes, and says how much processor time this process used while measuring.
async fn watch(recorder: &Recorder, from: Instant, to: Instant) -> Option<Duration> {
    tokio::time::sleep_until(from.into()).await;
    let cpu_before = cpu::used();
    let total = u64::try_from((to - from).as_millis()).unwrap_or(u64::MAX);
    let mut progress = Progress::new("measure (ms)", Unit::Of(total));
    while Instant::now() < to {
        tokio::time::sleep_until((Instant::now() + SHOW_EVERY).min(to).into()).await;
        let elapsed = from.elapsed();
        let rate = recorder.operations() as f64 / elapsed.as_secs_f64();
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        progress.set(elapsed.min(total), &|| format!("{rate:.0} ops/s"));
    }
    let used = cpu::used().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    progress.finish();
    used
}

#[derive(Clone)]
enum Way {
    Unary(Client),
    Session(Session),
}

impl Way {
    async fn get(&self, get: Get) -> Result<Found, Error> {
        match self {
            Self::Unary(client) => client.get(get).await,
            Self::Session(session) => session.get(get).await,
        }
    }

    async fn put(&self, put: Put) -> Result<Written, Error> {
        match self {
            Self::Unary(client) => client.put(put).await,
            Self::Session(session) => session.put(put).await,
        }
    }
}

/// When the operations of one worker begin.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// When the one before has ended.
    AtOnce,
    /// At fixed times, whatever the one before does: a late one begins late, and its latency counts from when it was due.
    Every { due: Instant, period: Duration },
}

impl Pace {
    /// For each of so many workers, which come one after another.
    fn all(rate: Option<f64>, workers: usize, now: Instant) -> Vec<Self> {
        let Some(rate) = rate else { return vec![Self::AtOnce; workers] };
        let period = Duration::from_secs_f64(workers as f64 / rate);
        let due = |worker: usize| now + period.mul_f64(worker as f64 / workers as f64);
        (0..workers).map(|worker| Self::Every { due: due(worker), period }).collect()
    }

    /// When the next operation is due.
    fn next(&mut self) -> Instant {
        match self {
            Self::AtOnce => Instant::now(),
            Self::Every { due, period } => {
                let now_due = *due;
                *due += *period;
                now_due
            }
        }
    }
}

/// One place in the loop: an operation, then the next.
struct Worker {
    way: Way,
    keys: Vec<Key>,
    pace: Pace,
    values: Values,
    args: LoadArgs,
    recorder: Arc<Recorder>,
}

impl Worker {
    async fn run(mut self, operation: Operation) {
        loop {
            let begun = self.pace.next();
            let now = Instant::now();
            if begun.max(now) >= self.recorder.ends() {
                return;
            }
            if begun > now {
                tokio::time::sleep_until(begun.into()).await;
            }
            let at = rand::random_range(0..self.keys.len());
            let result = match operation {
                Operation::Get => self.get(at).await,
                Operation::Put => self.put(at).await,
            };
            let ended = Instant::now();
            match result {
                Ok(()) => self.recorder.succeeded(begun, ended),
                Err(error) => {
                    self.recorder.failed(ended, || error.to_string());
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    async fn get(&mut self, at: usize) -> Result<(), Error> {
        let found = self.way.get(keyspace::get(self.keys[at].name.clone(), &self.args)).await?;
        self.recorder.found(Instant::now(), found.values.len());
        Ok(())
    }

    async fn put(&mut self, at: usize) -> Result<(), Error> {
        let key = Key { name: self.keys[at].name.clone(), context: self.keys[at].context.clone() };
        match self.way.put(keyspace::put(key, self.values.next(), &self.args)).await {
            Ok(written) => {
                self.keys[at].context = written.context;
                Ok(())
            }
            Err(error) if error.reason().is_read_first() => {
                self.recorder.read_again(Instant::now());
                self.read_context(at).await?;
                let key = Key { name: self.keys[at].name.clone(), context: self.keys[at].context.clone() };
                let written = self.way.put(keyspace::put(key, self.values.next(), &self.args)).await?;
                self.keys[at].context = written.context;
                Ok(())
            }
            Err(error) => {
                // It may have taken effect: what the writer knows of the key is out of date.
                if error.is_indeterminate() {
                    self.read_context(at).await?;
                }
                Err(error)
            }
        }
    }

    async fn read_context(&mut self, at: usize) -> Result<(), Error> {
        let found = self.way.get(keyspace::get(self.keys[at].name.clone(), &self.args)).await?;
        self.keys[at].context = found.context;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quorate_client::Context;

    use super::*;

    #[test]
    fn an_open_loop_keeps_its_times_whatever_becomes_of_operations() {
        let now = Instant::now();
        let mut paces = Pace::all(Some(10.0), 4, now);
        let due: Vec<Vec<Duration>> =
            (0..2).map(|_| paces.iter_mut().map(|pace| pace.next() - now).collect()).collect();
        assert_eq!(due.concat(), (0..8).map(|turn| turn * Duration::from_millis(100)).collect::<Vec<_>>());
    }

    #[test]
    fn every_key_has_one_worker_and_no_worker_is_without_keys() {
        let keys = |count: usize| (0..count).map(|_| Key { name: "k".into(), context: Context::default() });
        let sizes =
            |count, workers| deal(keys(count).collect(), workers).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(10, 4), [3, 3, 2, 2]);
        assert_eq!(sizes(2, 96), [1, 1]);
    }
}
