//! How much anti-entropy may send.

use std::time::Duration;

use crate::time::Time;

/// How much may be sent: a token bucket that holds a second's worth.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_per_s: u64,
    /// May be overdrawn by what is sent last.
    bytes: i64,
    filled: Time,
    /// Whether something waits for more.
    pub(super) wanting: bool,
    /// Offers that wait for their container.
    pub(super) loading: usize,
}

impl Budget {
    /// An empty one.
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        let bytes_per_s = bytes_per_s.max(1);
        Self { bytes_per_s, bytes: 0, filled: Time(0), wanting: false, loading: 0 }
    }

    /// What it grows by.
    pub(crate) fn bytes_per_s(&self) -> u64 {
        self.bytes_per_s
    }

    /// What may be sent has grown since it was looked at last.
    pub(crate) fn refill(&mut self, now: Time) {
        let passed = now.since(self.filled).as_micros().min(1 << 40);
        let more = passed * u128::from(self.bytes_per_s) / 1_000_000;
        if more > 0 {
            let most = i64::try_from(self.bytes_per_s).unwrap_or(i64::MAX);
            let more = i64::try_from(more).unwrap_or(i64::MAX);
            self.bytes = self.bytes.saturating_add(more).min(most);
            self.filled = now;
        }
    }

    /// So much is sent.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Whether nothing may be sent now.
    pub(crate) fn is_spent(&self) -> bool {
        self.bytes <= 0
    }

    /// When something may be sent again that waits for it.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        let missing = 1_i64.saturating_sub(self.bytes).max(1).unsigned_abs();
        let micros = u128::from(missing) * 1_000_000 / u128::from(self.bytes_per_s) + 1;
        let wait = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.wanting.then(|| self.filled + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_no_more_is_sent_than_the_rate_allows() {
        let mut budget = Budget::new(1000);
        let (mut now, mut sent) = (Time(5_000_000), 0);
        for _ in 0..200 {
            budget.refill(now);
            budget.wanting = budget.is_spent();
            match budget.next_timer() {
                Some(then) => {
                    assert!(then > now, "it would be asked again and again");
                    now = then;
                }
                None => {
                    budget.spend(300);
                    sent += 300;
                }
            }
        }
        let seconds = now.since(Time(5_000_000)).as_secs_f64();
        assert!(seconds > 20.0);
        // A second's worth is there at first, and one message may overdraw it.
        assert!(f64::from(sent) <= 1000.0 * (seconds + 1.0) + 300.0);
        assert!(f64::from(sent) >= 1000.0 * seconds);
    }
}
