//! When operations begin.

use std::time::{Duration, Instant};

/// When the operations of one worker begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// When the one before has ended.
    AtOnce,
    /// At fixed times, whatever the one before does: a late one begins late, and its latency counts from when it was due.
    Every { due: Instant, period: Duration },
}

impl Pace {
    /// For each of so many workers, which come one after another.
    pub(super) fn all(rate: Option<f64>, workers: u32, now: Instant) -> Vec<Self> {
        let period = rate.map(|rate| Duration::from_secs_f64(f64::from(workers) / rate));
        let pace = |worker: u32| match period {
            None => Self::AtOnce,
            Some(period) => {
                Self::Every { due: now + period.mul_f64(f64::from(worker) / f64::from(workers)), period }
            }
        };
        (0..workers).map(pace).collect()
    }

    /// When the next operation is due.
    pub(super) fn next(&mut self) -> Instant {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_keeps_its_times_whatever_becomes_of_operations() {
        let now = Instant::now();
        let mut paces = Pace::all(Some(10.0), 4, now);
        let due: Vec<Vec<Duration>> =
            (0..2).map(|_| paces.iter_mut().map(|pace| pace.next() - now).collect()).collect();
        assert_eq!(due.concat(), (0..8).map(|turn| turn * Duration::from_millis(100)).collect::<Vec<_>>());
    }
}
