//! What a measurement found.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::{LoadArgs, Operation};
use crate::output::{self, Format, Table};

/// The longest latency that is told apart from longer ones.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Different errors that are remembered.
const ERRORS_SHOWN: usize = 8;

/// Collects what operations say; those outside the time of measuring are not counted.
pub(super) struct Recorder {
    from: Instant,
    to: Instant,
    inner: Mutex<Counts>,
}

struct Counts {
    latencies_us: Histogram<u64>,
    errors: u64,
    error_texts: BTreeMap<String, u64>,
    reads_again: u64,
    absent: u64,
    several: u64,
}

impl Recorder {
    pub(super) fn new(from: Instant, to: Instant) -> Result<Self> {
        let latencies_us = Histogram::new_with_max(LATENCY_US_MAX, 3).context("a histogram")?;
        let inner = Mutex::new(Counts {
            latencies_us,
            errors: 0,
            error_texts: BTreeMap::new(),
            reads_again: 0,
            absent: 0,
            several: 0,
        });
        Ok(Self { from, to, inner })
    }

    pub(super) fn ends(&self) -> Instant {
        self.to
    }

    pub(super) fn succeeded(&self, begun: Instant, ended: Instant) {
        self.count(ended, |counts| {
            let latency = u64::try_from((ended - begun).as_micros()).unwrap_or(u64::MAX);
            counts.latencies_us.saturating_record(latency.max(1));
        });
    }

    pub(super) fn failed(&self, ended: Instant, text: impl FnOnce() -> String) {
        self.count(ended, |counts| {
            counts.errors += 1;
            let text = text();
            if counts.error_texts.len() < ERRORS_SHOWN || counts.error_texts.contains_key(&text) {
                *counts.error_texts.entry(text).or_default() += 1;
            }
        });
    }

    /// A writer was told to read its key first.
    pub(super) fn read_again(&self, ended: Instant) {
        self.count(ended, |counts| counts.reads_again += 1);
    }

    /// A read found so many values.
    pub(super) fn found(&self, ended: Instant, values: usize) {
        self.count(ended, |counts| match values {
            0 => counts.absent += 1,
            1 => {}
            _ => counts.several += 1,
        });
    }

    /// So far.
    pub(super) fn operations(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).latencies_us.len()
    }

    fn count(&self, ended: Instant, count: impl FnOnce(&mut Counts)) {
        if ended >= self.from && ended < self.to {
            count(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(super) fn report(self, operation: Operation, args: &LoadArgs, cpu: Option<Duration>) -> Report {
        let counts = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let seconds = (self.to - self.from).as_secs_f64();
        let latencies = &counts.latencies_us;
        let at = |quantile: f64| latencies.value_at_quantile(quantile);
        let operations = latencies.len();
        Report {
            operation: match operation {
                Operation::Put => "put",
                Operation::Get => "get",
            },
            mode: if args.session { "session" } else { "unary" },
            concurrency: args.concurrency,
            rate: args.rate,
            value_bytes: args.value_bytes,
            keys: args.keys,
            seconds,
            operations,
            ops_per_second: operations as f64 / seconds,
            mean_us: latencies.mean(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: latencies.max(),
            errors: counts.errors,
            error_texts: counts.error_texts,
            reads_again: counts.reads_again,
            absent: counts.absent,
            several: counts.several,
            client_cpu_us_per_operation: cpu
                .filter(|_| operations > 0)
                .map(|cpu| cpu.as_secs_f64() * 1e6 / operations as f64),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Report {
    operation: &'static str,
    mode: &'static str,
    concurrency: u32,
    /// Operations a second that were asked for, in an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    value_bytes: u32,
    keys: u32,
    seconds: f64,
    /// Succeeded.
    operations: u64,
    ops_per_second: f64,
    mean_us: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
    errors: u64,
    error_texts: BTreeMap<String, u64>,
    /// Puts that were told to read first.
    reads_again: u64,
    /// Gets that found no value.
    absent: u64,
    /// Gets that found siblings.
    several: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cpu_us_per_operation: Option<f64>,
}

impl Report {
    pub(super) fn show(&self, format: Format) -> Result<()> {
        if format == Format::Json {
            return output::json(self);
        }
        let loaded = match self.rate {
            None => format!("{} in flight", self.concurrency),
            Some(rate) => format!("{rate:.0} a second are due, at most {} in flight", self.concurrency),
        };
        output::line(format!(
            "{} ({}): {loaded}, {} keys, {}-byte values, {:.1} s",
            self.operation, self.mode, self.keys, self.value_bytes, self.seconds
        ))?;
        let mut table = Table::new(["OPS/S", "P50 US", "P90 US", "P99 US", "P99.9 US", "MAX US", "ERRORS"]);
        table.row([
            format!("{:.0}", self.ops_per_second),
            self.p50_us.to_string(),
            self.p90_us.to_string(),
            self.p99_us.to_string(),
            self.p999_us.to_string(),
            self.max_us.to_string(),
            self.errors.to_string(),
        ]);
        table.print()?;
        if let Some(cpu) = self.client_cpu_us_per_operation {
            output::line(format!("the client itself used {cpu:.1} us of processor time per operation"))?;
        }
        for (count, what) in [
            (self.reads_again, "puts were told to read first"),
            (self.absent, "gets found no value"),
            (self.several, "gets found siblings"),
        ] {
            if count > 0 {
                output::line(format!("{count} {what}"))?;
            }
        }
        for (text, count) in &self.error_texts {
            output::line(format!("{count} x {text}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_while_measuring_counts() {
        let now = Instant::now();
        let second = |number: u64| now + Duration::from_secs(number);
        let recorder = Recorder::new(second(2), second(12)).unwrap();
        for ended in [1, 2, 5, 11, 12] {
            recorder.succeeded(second(ended) - Duration::from_millis(3), second(ended));
            recorder.failed(second(ended), || "odd".into());
            recorder.found(second(ended), 2);
        }
        assert_eq!(recorder.operations(), 3);
        let args = LoadArgs {
            session: true,
            concurrency: 1,
            rate: None,
            value_bytes: 1,
            keys: 1,
            seconds: 10.0,
            warm_up: Duration::ZERO,
            options: crate::args::BucketAndQuorum::default(),
        };
        let report = recorder.report(Operation::Get, &args, Some(Duration::from_micros(30)));
        assert!((report.ops_per_second - 0.3).abs() < 1e-9);
        assert_eq!((report.errors, report.several, report.absent), (3, 3, 0));
        assert!((2990..=3010).contains(&report.p50_us), "{}", report.p50_us);
        assert_eq!(report.client_cpu_us_per_operation, Some(10.0));
    }
}
