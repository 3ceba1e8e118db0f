//! The clock that tells how old messages are: it counts the time that the machine is suspended.

use quorate_protocol::time::Time;
use rustix::time::{ClockId, clock_gettime};

/// What the link clock shows.
pub(crate) fn link_time() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    Time(u64::try_from(micros).unwrap_or_default())
}
