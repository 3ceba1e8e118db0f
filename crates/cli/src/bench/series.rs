//! How a measurement went from one moment to the next.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::recorder::LATENCY_US_MAX;

/// So many intervals, if none is shorter than a tenth of a second.
const INTERVALS: f64 = 60.0;
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// One interval. Without an operation that succeeded in it, its latencies are 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    /// Since the measurement began, at the interval's end.
    pub(super) at_s: f64,
    pub(super) ops_per_second: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// Collects one interval at a time.
pub(super) struct Series {
    from: Instant,
    to: Instant,
    interval: Duration,
    /// The end of the interval that is collected.
    until: Instant,
    latencies_us: Histogram<u64>,
    points: Vec<Point>,
}

impl Series {
    pub(super) fn new(from: Instant, to: Instant) -> Result<Self> {
        let interval = (to - from).div_f64(INTERVALS).max(INTERVAL_MIN).min(to - from);
        let latencies_us = Histogram::new_with_max(LATENCY_US_MAX, 2).context("a histogram")?;
        Ok(Self { from, to, interval, until: from + interval, latencies_us, points: Vec::new() })
    }

    /// An operation that ended then took so long. Those who tell it do so nearly in order: one that comes late counts for the next
    /// interval.
    pub(super) fn record(&mut self, ended: Instant, latency_us: u64) {
        self.close_until(ended);
        self.latencies_us.saturating_record(latency_us);
    }

    pub(super) fn points(mut self) -> Vec<Point> {
        // The last interval ends there, but for rounding.
        self.close_until(self.to + self.interval / 1000);
        self.points
    }

    /// Closes the intervals that are over then. A rest that is shorter than an interval is left out.
    fn close_until(&mut self, now: Instant) {
        while now >= self.until {
            let latencies = &self.latencies_us;
            self.points.push(Point {
                at_s: (self.until - self.from).as_secs_f64(),
                ops_per_second: latencies.len() as f64 / self.interval.as_secs_f64(),
                p50_us: latencies.value_at_quantile(0.5),
                p99_us: latencies.value_at_quantile(0.99),
            });
            self.latencies_us.reset();
            self.until += self.interval;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn intervals_follow_one_another_whatever_happens_in_them() {
        let from = Instant::now();
        let at = |ms: u64| from + Duration::from_millis(ms);
        let mut series = Series::new(from, at(500)).unwrap();
        for (ended, latency_us) in [(10, 5), (20, 7), (99, 9), (310, 50)] {
            series.record(at(ended), latency_us);
        }
        let points = series.points();
        let rates: Vec<f64> = points.iter().map(|point| point.ops_per_second.round()).collect();
        assert_eq!(rates, [30.0, 0.0, 0.0, 10.0, 0.0]);
        assert_eq!((points[0].p50_us, points[0].p99_us, points[1].p99_us), (7, 9, 0));
        assert!((points[4].at_s - 0.5).abs() < 1e-9);
    }
}
