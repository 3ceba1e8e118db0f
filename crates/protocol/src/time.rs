//! Time as an argument: the core never asks a clock.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on the node's own monotonic clock, in microseconds since an arbitrary origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The time that has passed since `earlier`; zero when that is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// What the two clocks of a node show when an event is handled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// The monotonic clock. It need not count while the machine is suspended.
    pub mono: Time,
    /// The link clock: monotonic, and it counts suspension. Only the age of messages goes by it.
    pub link: Time,
    /// The wall clock, in milliseconds since the Unix epoch. It may jump; only lww order and expiry notice.
    pub wall_ms: u64,
}

/// A hybrid logical clock reading (Kulkarni et al., 2014): wall time where that advances, a counter where not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hlc {
    /// The greatest wall clock seen, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Orders readings of one millisecond.
    pub counter: u32,
}

impl Hlc {
    /// Advances past itself and past the wall clock, and returns the new reading: greater than all before.
    pub fn tick(&mut self, wall_ms: u64) -> Self {
        *self = if wall_ms > self.wall_ms {
            Self { wall_ms, counter: 0 }
        } else if self.counter == u32::MAX {
            Self { wall_ms: self.wall_ms + 1, counter: 0 }
        } else {
            Self { wall_ms: self.wall_ms, counter: self.counter + 1 }
        };
        *self
    }

    /// Never falls behind a reading that was seen.
    pub fn observe(&mut self, seen: Self) {
        *self = (*self).max(seen);
    }
}
