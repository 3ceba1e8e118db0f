//! The clocks of one machine: a monotonic one that drifts and can stop with the machine, and a wall clock that lies.

use quorate_protocol::time::{Now, Time};

/// What the wall clocks of all machines would show at the start of a run if they were right.
const WALL_START_MS: u64 = 1_750_000_000_000;

/// Turns the time of the simulated world into what one machine's clocks show.
#[derive(Clone, Debug)]
pub struct MachineClock {
    /// What the monotonic clock showed at `since_us`.
    base_us: u64,
    /// The world's time that `base_us` belongs to.
    since_us: u64,
    /// How much faster than the world the monotonic clock runs, in parts per million.
    drift_ppm: i32,
    /// How far the wall clock is ahead.
    wall_ahead_ms: i64,
    /// How long the machine was suspended, all in all.
    suspended_us: u64,
}

impl MachineClock {
    /// A clock that shows `base_us` now.
    pub fn new(world_us: u64, base_us: u64, drift_ppm: i32, wall_ahead_ms: i64) -> Self {
        Self { base_us, since_us: world_us, drift_ppm, wall_ahead_ms, suspended_us: 0 }
    }

    /// What the clocks show.
    pub fn now(&self, world_us: u64) -> Now {
        let wall_ms = (WALL_START_MS + world_us / 1000).saturating_add_signed(self.wall_ahead_ms);
        Now { mono: self.mono(world_us), link: self.link(world_us), wall_ms }
    }

    /// What the monotonic clock shows.
    pub fn mono(&self, world_us: u64) -> Time {
        let passed = u128::from(world_us.saturating_sub(self.since_us));
        let shown = passed * u128::from(self.rate()) / 1_000_000;
        Time(self.base_us + u64::try_from(shown).unwrap_or(u64::MAX / 2))
    }

    /// What the link clock shows, which counts suspension.
    pub fn link(&self, world_us: u64) -> Time {
        let to_come = self.since_us.saturating_sub(world_us);
        Time(self.mono(world_us).0 + self.suspended_us - to_come)
    }

    /// The first moment of the world at which the monotonic clock shows at least this.
    pub fn world_time(&self, mono: Time) -> u64 {
        let ahead = u128::from(mono.0.saturating_sub(self.base_us));
        let passed = (ahead * 1_000_000).div_ceil(u128::from(self.rate()));
        self.since_us.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The machine is suspended for this long from now on: its monotonic clock does not count that.
    pub fn suspended(&mut self, world_us: u64, for_us: u64) {
        self.base_us = self.mono(world_us).0;
        self.since_us = world_us.max(self.since_us) + for_us;
        self.suspended_us += for_us;
    }

    /// The wall clock is set anew.
    pub fn set_wall(&mut self, ahead_ms: i64) {
        self.wall_ahead_ms = ahead_ms;
    }

    fn rate(&self) -> u64 {
        1_000_000_u64.saturating_add_signed(i64::from(self.drift_ppm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_is_the_first_moment_that_shows_it() {
        for drift_ppm in [-50_000, -7, 0, 13, 50_000] {
            let clock = MachineClock::new(1_000, 77, drift_ppm, 0);
            for mono in [0, 77, 78, 1_000_003, 9_999_999_999] {
                let at = clock.world_time(Time(mono));
                assert!(clock.mono(at) >= Time(mono));
                assert!(at == 1_000 || clock.mono(at - 1) < Time(mono));
            }
        }
    }

    #[test]
    fn a_suspended_machine_does_not_count() {
        let mut clock = MachineClock::new(0, 0, 0, 0);
        let before = clock.mono(500);
        clock.suspended(500, 60_000_000);
        assert_eq!(clock.mono(60_000_500), before);
        assert_eq!(clock.link(60_000_500).0, before.0 + 60_000_000);
        // While it lasts no clock is ahead of what it will show.
        assert_eq!((clock.mono(700), clock.link(700).0), (before, before.0 + 200));
    }

    #[test]
    fn only_the_wall_clock_jumps() {
        let mut clock = MachineClock::new(0, 0, 0, 0);
        let before = clock.now(5_000);
        clock.set_wall(-3_600_000);
        let after = clock.now(5_000);
        assert_eq!(before.mono, after.mono);
        assert_eq!(before.wall_ms - 3_600_000, after.wall_ms);
    }
}
