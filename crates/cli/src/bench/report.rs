//! What a measurement found.

use std::collections::BTreeMap;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::LoadArgs;
use super::keys::Distribution;
use super::series::Point;
use super::target::Target;
use super::workload::Workload;
use crate::output::{self, Format, Table};

/// What was done, and what became of it.
#[derive(Serialize)]
pub(super) struct Report {
    target: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    workload: &'static str,
    mode: String,
    distribution: &'static str,
    concurrency: u32,
    /// Operations a second that were asked for, in an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    value_bytes: u32,
    keys: u32,
    #[serde(flatten)]
    pub(super) measured: Measured,
    /// What no read may have answered, and how often; before and after the time of measuring, too.
    pub(super) wrong_answers: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
pub(super) struct Measured {
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) latency: Latency,
    pub(super) errors: u64,
    pub(super) error_texts: BTreeMap<String, u64>,
    /// Reads that puts needed first.
    pub(super) reads_first: u64,
    /// Gets that missed a write, where that is allowed.
    pub(super) stale: u64,
    /// Gets that found siblings.
    pub(super) several: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_cpu_us_per_operation: Option<f64>,
    /// Where there is more than one kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) by_operation: BTreeMap<&'static str, Latency>,
    /// Latency by percentile.
    pub(super) percentiles_us: Vec<(f64, u64)>,
    pub(super) series: Vec<Point>,
}

/// Of the operations that succeeded.
#[derive(Serialize)]
pub(super) struct Latency {
    pub(super) operations: u64,
    pub(super) ops_per_second: f64,
    mean_us: f64,
    pub(super) p50_us: u64,
    p90_us: u64,
    pub(super) p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

impl Latency {
    pub(super) fn of(latencies_us: &Histogram<u64>, seconds: f64) -> Self {
        let at = |quantile: f64| latencies_us.value_at_quantile(quantile);
        Self {
            operations: latencies_us.len(),
            ops_per_second: latencies_us.len() as f64 / seconds,
            mean_us: latencies_us.mean(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: latencies_us.max(),
        }
    }

    fn row(&self, name: &str) -> [String; 7] {
        [
            name.to_owned(),
            format!("{:.0}", self.ops_per_second),
            self.p50_us.to_string(),
            self.p90_us.to_string(),
            self.p99_us.to_string(),
            self.p999_us.to_string(),
            self.max_us.to_string(),
        ]
    }
}

/// More of them the nearer they are to all: each step takes a sixth of a decade off what is left.
pub(super) fn percentiles(latencies_us: &Histogram<u64>) -> Vec<(f64, u64)> {
    let operations = latencies_us.len() as f64;
    (0..)
        .map(|step| 10_f64.powf(-f64::from(step) / 6.0))
        // Beyond that no operation is left.
        .take_while(|rest| rest * operations >= 1.0)
        .map(|rest| (100.0 * (1.0 - rest), latencies_us.value_at_quantile(1.0 - rest)))
        .collect()
}

impl Report {
    pub(super) fn new(
        workload: Workload,
        args: &LoadArgs,
        target: &impl Target,
        measured: Measured,
        wrong_answers: BTreeMap<&'static str, u64>,
    ) -> Self {
        Self {
            target: args.target.target.name(),
            version: target.version().map(str::to_owned),
            workload: workload.name(),
            mode: target.mode(),
            distribution: match args.distribution(workload) {
                Distribution::Uniform => "uniform",
                Distribution::Zipf => "zipf",
            },
            concurrency: args.concurrency,
            rate: args.rate,
            value_bytes: args.value_bytes,
            keys: args.keys,
            measured,
            wrong_answers,
        }
    }

    /// What was measured, on one line.
    pub(super) fn title(&self) -> String {
        let loaded = match self.rate {
            None => format!("{} in flight", self.concurrency),
            Some(rate) => format!("{rate:.0} a second are due, at most {} in flight", self.concurrency),
        };
        format!(
            "{} {} ({}): {loaded}, {} {} keys, {}-byte values, {:.1} s",
            self.target,
            self.workload,
            self.mode,
            self.keys,
            self.distribution,
            self.value_bytes,
            self.measured.seconds
        )
    }

    pub(super) fn show(&self, format: Format) -> Result<()> {
        if format == Format::Json {
            return output::json(self);
        }
        output::line(self.title())?;
        let measured = &self.measured;
        let mut table = Table::new(["", "OPS/S", "P50 US", "P90 US", "P99 US", "P99.9 US", "MAX US"]);
        for (name, latency) in &measured.by_operation {
            table.row(latency.row(name));
        }
        table.row(measured.latency.row("all"));
        table.print()?;
        if let Some(cpu) = measured.client_cpu_us_per_operation {
            output::line(format!("the client itself used {cpu:.1} us of processor time per operation"))?;
        }
        for (count, what) in [
            (measured.errors, "operations failed"),
            (measured.reads_first, "puts had to read first"),
            (measured.stale, "gets missed a write, which is allowed here"),
            (measured.several, "gets found siblings"),
        ] {
            if count > 0 {
                output::line(format!("{count} {what}"))?;
            }
        }
        for (text, count) in &measured.error_texts {
            output::line(format!("{count} x {text}"))?;
        }
        for (what, count) in &self.wrong_answers {
            output::line(format!("WRONG: {count} x {what}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn percentiles_go_as_far_as_there_are_operations() {
        let mut latencies_us = Histogram::new_with_max(10_000, 3).unwrap();
        assert_eq!(percentiles(&latencies_us), []);
        for latency in 1..=1000 {
            latencies_us.saturating_record(latency);
        }
        let points = percentiles(&latencies_us);
        assert_eq!(points.len(), 19);
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        let (percent, latency) = points[6];
        assert!((percent - 90.0).abs() < 1e-6 && (899..=901).contains(&latency), "{percent} {latency}");
    }
}
