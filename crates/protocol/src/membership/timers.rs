//! Foca's timers, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::Timer;

use super::health::Health;
use super::identity::MemberId;
use crate::time::Time;

/// What is to fire when: by time and, at one time, in the order of planning.
#[derive(Debug, Default)]
pub(super) struct Timers {
    planned: BTreeMap<(Time, u64), Timer<MemberId>>,
    count: u64,
    /// They were late and have been put off once: now they fire, late or not.
    excused: bool,
}

impl Timers {
    /// When the first fires.
    pub(super) fn first_due(&self) -> Option<Time> {
        self.planned.first_key_value().map(|(&(due, _), _)| due)
    }

    /// The next that is due.
    pub(super) fn next_due(&mut self, now: Time) -> Option<Timer<MemberId>> {
        let entry = self.planned.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Plans one. Times by which others are judged are stretched by this node's health.
    pub(super) fn plan(&mut self, now: Time, timer: Timer<MemberId>, after: Duration, health: Health) {
        let after = match &timer {
            Timer::ProbeRandomMember(_)
            | Timer::SendIndirectProbe { .. }
            | Timer::ChangeSuspectToDown { .. } => health.stretch(after),
            Timer::RemoveDown(gone) => {
                // Of a node that dies again and again one is enough.
                let of_same =
                    |timer: &Timer<MemberId>| matches!(timer, Timer::RemoveDown(id) if id.node == gone.node);
                self.planned.retain(|_, timer| !of_same(timer));
                after
            }
            Timer::PeriodicAnnounce(_) | Timer::PeriodicAnnounceDown(_) | Timer::PeriodicGossip(_) => after,
        };
        self.count += 1;
        self.planned.insert((now + after, self.count), timer);
    }

    /// Who stood still must not judge others by what he has missed: the answers may be waiting, unread. So timers that
    /// are found later than `grace` are put off once, by that time and the grace. Returns whether they were.
    pub(super) fn put_off_if_late(&mut self, now: Time, grace: Duration) -> bool {
        let Some(due) = self.first_due() else { return false };
        let late = now.since(due);
        if late <= grace || self.excused {
            self.excused = false;
            return false;
        }
        self.excused = true;
        let planned = std::mem::take(&mut self.planned);
        let put_off = |((due, order), timer)| ((due + late + grace, order), timer);
        self.planned = planned.into_iter().map(put_off).collect();
        true
    }
}
