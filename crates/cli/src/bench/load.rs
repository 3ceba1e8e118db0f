//! Running a load and measuring it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;

use super::keys::Draw;
use super::ledger::{Ending, Ledger, Verdict};
use super::pace::Pace;
use super::prepare::{prepare, verify};
use super::recorder::Recorder;
use super::report::Report;
use super::target::{EtcdTarget, QuorateTarget, RedisTarget, System, Target, Trouble};
use super::value::Values;
use super::workload::{Action, Workload};
use super::{LoadArgs, cpu, plot};
use crate::args::Global;
use crate::output::Done;
use crate::progress::{Progress, Unit};

const SHOW_EVERY: Duration = Duration::from_millis(200);
/// After an error, so that servers that are down are not asked in a busy loop.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn run(workload: Workload, args: &LoadArgs, global: &Global) -> Result<Done> {
    args.target.check(&args.options)?;
    let svg_file = super::output_file(args.svg.as_deref())?;
    let at = &global.endpoint;
    let report = match args.target.target {
        System::Quorate => Box::pin(measure(QuorateTarget::connect(at, args).await?, workload, args)).await?,
        System::Etcd => Box::pin(measure(EtcdTarget::connect(at, args).await?, workload, args)).await?,
        System::Redis => Box::pin(measure(RedisTarget::connect(at, args).await?, workload, args)).await?,
    };
    report.show(global.output)?;
    if let Some(file) = svg_file {
        file.write(&plot::svg(&report)?)?;
    }
    let wrong: u64 = report.wrong_answers.values().sum();
    ensure!(wrong == 0, "{wrong} answers were wrong");
    ensure!(report.measured.latency.operations > 0, "no operation succeeded");
    Ok(Done::Ok)
}

/// What the workers share.
struct Load<T> {
    target: T,
    workload: Workload,
    draw: Draw,
    values: Values,
    ledger: Ledger,
}

async fn measure<T: Target>(target: T, workload: Workload, args: &LoadArgs) -> Result<Report> {
    let values = Values::new(args.value_bytes);
    let ledger = Ledger::new(values.run(), args.keys);
    let draw = Draw::new(args.distribution(workload), args.keys)?;
    prepare(&target, &ledger, &values, args.keys).await?;
    let load = Arc::new(Load { target, workload, draw, values, ledger });

    let from = Instant::now() + args.warm_up;
    let to = from + Duration::from_secs_f64(args.seconds);
    let recorder = Arc::new(Recorder::new(from, to)?);
    let workers: Vec<_> = Pace::all(args.rate, args.concurrency, Instant::now())
        .into_iter()
        .map(|pace| tokio::spawn(work(load.clone(), pace, recorder.clone())))
        .collect();
    let cpu_used = watch(&recorder, from, to).await;
    for ended in join_all(workers).await {
        ended?;
    }
    if workload.writes() {
        verify(&load.target, &load.ledger).await?;
    }
    let recorder = Arc::into_inner(recorder).context("a worker goes on")?;
    let measured = recorder.into_measured(cpu_used);
    let wrong: BTreeMap<_, _> = load.ledger.wrong();
    Ok(Report::new(workload, args, &load.target, measured, wrong))
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

/// One place in the loop: an operation, then the next.
async fn work<T: Target>(load: Arc<Load<T>>, mut pace: Pace, recorder: Arc<Recorder>) {
    loop {
        let begun = pace.next();
        let now = Instant::now();
        if begun.max(now) >= recorder.ends() {
            return;
        }
        if begun > now {
            tokio::time::sleep_until(begun.into()).await;
        }
        let (key, action) = (load.draw.next(), load.workload.draw());
        let result = match action {
            Action::Get => load.get(key, &recorder).await,
            Action::Put => load.put(key, &recorder).await,
            Action::ReadModifyWrite => match load.get(key, &recorder).await {
                Ok(()) => load.put(key, &recorder).await,
                Err(trouble) => Err(trouble),
            },
        };
        let ended = Instant::now();
        match result {
            Ok(()) => recorder.succeeded(action, begun, ended),
            Err(trouble) => {
                recorder.failed(ended, trouble.text);
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

impl<T: Target> Load<T> {
    async fn get(&self, key: u32, recorder: &Recorder) -> Result<(), Trouble> {
        let floor = self.ledger.floor(key);
        let values = self.target.get(key).await?;
        let verdict = self.ledger.check(key, floor, &values, self.target.may_be_stale());
        recorder.found(Instant::now(), values.len(), verdict == Verdict::Stale);
        Ok(())
    }

    async fn put(&self, key: u32, recorder: &Recorder) -> Result<(), Trouble> {
        let begun = self.ledger.begin(key);
        let put = self.target.put(key, self.values.of(key, begun.sequence)).await;
        let ending = match &put {
            Ok(_) => Ending::Acknowledged,
            Err(trouble) if trouble.is_indeterminate => Ending::Unclear,
            Err(_) => Ending::Refused,
        };
        self.ledger.end(begun, ending);
        recorder.read_first(Instant::now(), put?);
        Ok(())
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
