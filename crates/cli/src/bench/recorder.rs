//! Collects what operations say while they are measured.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use super::report::{Latency, Measured};
use super::series::Series;
use super::workload::Action;

/// The longest latency that is told apart from longer ones.
pub(super) const LATENCY_US_MAX: u64 = 600_000_000;
/// Different errors that are remembered.
const ERRORS_SHOWN: usize = 8;

/// Operations that end outside the time of measuring are not counted.
pub(super) struct Recorder {
    from: Instant,
    to: Instant,
    inner: Mutex<Counts>,
}

struct Counts {
    /// By action.
    latencies_us: [Histogram<u64>; Action::ALL.len()],
    series: Series,
    errors: u64,
    error_texts: BTreeMap<String, u64>,
    reads_first: u64,
    stale: u64,
    several: u64,
}

impl Recorder {
    pub(super) fn new(from: Instant, to: Instant) -> Result<Self> {
        let latencies_us = Histogram::new_with_max(LATENCY_US_MAX, 3).context("a histogram")?;
        let inner = Mutex::new(Counts {
            latencies_us: [latencies_us.clone(), latencies_us.clone(), latencies_us],
            series: Series::new(from, to)?,
            errors: 0,
            error_texts: BTreeMap::new(),
            reads_first: 0,
            stale: 0,
            several: 0,
        });
        Ok(Self { from, to, inner })
    }

    pub(super) fn ends(&self) -> Instant {
        self.to
    }

    pub(super) fn succeeded(&self, action: Action, begun: Instant, ended: Instant) {
        self.count(ended, |counts| {
            let latency = u64::try_from((ended - begun).as_micros()).unwrap_or(u64::MAX).max(1);
            counts.latencies_us[action as usize].saturating_record(latency);
            counts.series.record(ended, latency);
        });
    }

    pub(super) fn failed(&self, ended: Instant, text: String) {
        self.count(ended, |counts| {
            counts.errors += 1;
            if counts.error_texts.len() < ERRORS_SHOWN || counts.error_texts.contains_key(&text) {
                *counts.error_texts.entry(text).or_default() += 1;
            }
        });
    }

    /// A writer had to read its key first, so many times.
    pub(super) fn read_first(&self, ended: Instant, times: u32) {
        self.count(ended, |counts| counts.reads_first += u64::from(times));
    }

    /// A read found so many values.
    pub(super) fn found(&self, ended: Instant, values: usize, is_stale: bool) {
        self.count(ended, |counts| {
            counts.several += u64::from(values > 1);
            counts.stale += u64::from(is_stale);
        });
    }

    /// So far.
    pub(super) fn operations(&self) -> u64 {
        let counts = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        counts.latencies_us.iter().map(Histogram::len).sum()
    }

    fn count(&self, ended: Instant, count: impl FnOnce(&mut Counts)) {
        if ended >= self.from && ended < self.to {
            count(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// All of it, and how much processor time this process used meanwhile.
    pub(super) fn into_measured(self, cpu: Option<Duration>) -> Measured {
        let Counts { latencies_us, series, errors, error_texts, reads_first, stale, several } =
            self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let seconds = (self.to - self.from).as_secs_f64();
        let of_actions: BTreeMap<&'static str, Latency> = Action::ALL
            .into_iter()
            .zip(&latencies_us)
            .filter(|(_, latencies)| !latencies.is_empty())
            .map(|(action, latencies)| (action.name(), Latency::of(latencies, seconds)))
            .collect();
        let mut all = latencies_us[0].clone();
        for more in &latencies_us[1..] {
            // Of the same bounds: there is nothing that does not fit.
            let _ = all.add(more);
        }
        let operations = all.len();
        Measured {
            seconds,
            latency: Latency::of(&all, seconds),
            errors,
            error_texts,
            reads_first,
            stale,
            several,
            client_cpu_us_per_operation: cpu
                .filter(|_| operations > 0)
                .map(|cpu| cpu.as_secs_f64() * 1e6 / operations as f64),
            by_operation: if of_actions.len() > 1 { of_actions } else { BTreeMap::new() },
            percentiles_us: super::report::percentiles(&all),
            series: series.points(),
        }
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
            let begun = second(ended) - Duration::from_millis(3);
            recorder.succeeded(if ended == 5 { Action::Put } else { Action::Get }, begun, second(ended));
            recorder.failed(second(ended), "odd".into());
            recorder.found(second(ended), 2, true);
        }
        assert_eq!(recorder.operations(), 3);
        let measured = recorder.into_measured(Some(Duration::from_micros(30)));
        let latency = &measured.latency;
        assert!((latency.ops_per_second - 0.3).abs() < 1e-9);
        assert_eq!((measured.errors, measured.several, measured.stale), (3, 3, 3));
        assert!((2990..=3010).contains(&latency.p50_us), "{}", latency.p50_us);
        assert_eq!(measured.client_cpu_us_per_operation, Some(10.0));
        let counts = measured.by_operation.iter().map(|(name, latency)| (*name, latency.operations));
        assert_eq!(counts.collect::<Vec<_>>(), [("get", 2), ("put", 1)]);
    }
}
