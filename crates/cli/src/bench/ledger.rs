//! What was written, and so what a read may answer.
//!
//! A write replaces those that were acknowledged before it began. So once it is acknowledged itself, no read that begins after that
//! may answer less than the oldest write that was under way when it began. For keys whose writes do not overlap that is exact.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::value;

/// No value. All else is at least 1, which also stands for what was there before this run.
const ABSENT: u32 = 0;
const FROM_BEFORE: u32 = 1;

pub(super) struct Ledger {
    run: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By number.
    keys: Vec<Known>,
    /// Keys of which something is under way, or may come to light late.
    busy: HashMap<u32, Busy>,
    wrong: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    /// The last sequence that was given to a write.
    issued: u32,
    /// What a read must answer at least.
    floor: u32,
}

#[derive(Default)]
struct Busy {
    under_way: Vec<u32>,
    /// Nobody knows whether these took effect, or will.
    unclear: Vec<u32>,
}

/// A write that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) key: u32,
    pub(super) sequence: u32,
    floor_once_acknowledged: u32,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Acknowledged,
    /// It has no effect, now or later.
    Refused,
    Unclear,
}

/// What is to be said of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    /// It misses a write that was acknowledged before the read began.
    Stale,
    /// Nobody may answer this; it has been counted.
    Wrong,
}

impl Ledger {
    pub(super) fn new(run: u64, keys: u32) -> Self {
        let keys = vec![Known::default(); usize::try_from(keys).unwrap_or(usize::MAX)];
        Self { run, inner: Mutex::new(Inner { keys, ..Inner::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value was there before this run wrote any.
    pub(super) fn was_there(&self, key: u32) {
        self.lock().keys[key as usize] = Known { issued: FROM_BEFORE, floor: FROM_BEFORE };
    }

    pub(super) fn begin(&self, key: u32) -> Begun {
        let mut inner = self.lock();
        let known = &mut inner.keys[key as usize];
        known.issued += 1;
        let sequence = known.issued;
        let busy = inner.busy.entry(key).or_default();
        let floor_once_acknowledged = busy.under_way.iter().copied().min().unwrap_or(sequence);
        busy.under_way.push(sequence);
        Begun { key, sequence, floor_once_acknowledged }
    }

    pub(super) fn end(&self, begun: Begun, ending: Ending) {
        let mut inner = self.lock();
        if ending == Ending::Acknowledged {
            let known = &mut inner.keys[begun.key as usize];
            known.floor = known.floor.max(begun.floor_once_acknowledged);
        }
        let Some(busy) = inner.busy.get_mut(&begun.key) else { return };
        busy.under_way.retain(|&other| other != begun.sequence);
        if ending == Ending::Unclear {
            busy.unclear.push(begun.sequence);
        }
        if busy.under_way.is_empty() && busy.unclear.is_empty() {
            inner.busy.remove(&begun.key);
        }
    }

    /// What a read that begins now must answer at least.
    pub(super) fn floor(&self, key: u32) -> u32 {
        self.lock().keys[key as usize].floor
    }

    /// Looks at the answer to a read that began at this floor. What is stale is counted as wrong, too, unless that is allowed.
    pub(super) fn check(&self, key: u32, floor: u32, values: &[Bytes], may_be_stale: bool) -> Verdict {
        let mut inner = self.lock();
        let verdict = self.judge(&inner, key, floor, values);
        match verdict {
            Ok(Verdict::Stale) if !may_be_stale => {
                let absent = "no value, though one was acknowledged before the read began";
                let stale = "an older value than was acknowledged before the read began";
                *inner.wrong.entry(if values.is_empty() { absent } else { stale }).or_default() += 1;
                Verdict::Wrong
            }
            Ok(verdict) => verdict,
            Err(what) => {
                *inner.wrong.entry(what).or_default() += 1;
                Verdict::Wrong
            }
        }
    }

    fn judge(&self, inner: &Inner, key: u32, floor: u32, values: &[Bytes]) -> Result<Verdict, &'static str> {
        let mut newest = ABSENT;
        let unclear =
            |sequence: u32| inner.busy.get(&key).is_some_and(|busy| busy.unclear.contains(&sequence));
        let mut may_be_late = false;
        for value in values {
            let label = value::label(value).ok_or("no value of a bench, or a damaged one")?;
            if label.key != key {
                return Err("the value of another key");
            }
            if label.run != self.run {
                newest = newest.max(FROM_BEFORE);
                continue;
            }
            if label.sequence > inner.keys[key as usize].issued {
                return Err("a value that was not written yet");
            }
            newest = newest.max(label.sequence);
            may_be_late |= unclear(label.sequence);
        }
        Ok(if newest >= floor || may_be_late { Verdict::Right } else { Verdict::Stale })
    }

    /// What was wrong, and how often.
    pub(super) fn wrong(&self) -> BTreeMap<&'static str, u64> {
        self.lock().wrong.clone()
    }

    /// Keys that this run wrote, at most so many, evenly chosen.
    pub(super) fn some_written(&self, most: usize) -> Vec<u32> {
        let inner = self.lock();
        let written = inner.keys.iter().zip(0..).filter(|(known, _)| known.issued > FROM_BEFORE);
        let written: Vec<u32> = written.map(|(_, key)| key).collect();
        let every = written.len().div_ceil(most.max(1)).max(1);
        written.into_iter().step_by(every).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Values;
    use super::*;

    struct Store {
        values: Values,
        ledger: Ledger,
    }

    impl Store {
        fn new() -> Self {
            let values = Values::new(32);
            let ledger = Ledger::new(values.run(), 2);
            Self { values, ledger }
        }

        fn write(&self) -> Begun {
            self.ledger.begin(1)
        }

        fn end(&self, begun: Begun, ending: Ending) {
            self.ledger.end(begun, ending);
        }

        fn read(&self, sequences: &[u32]) -> Verdict {
            let values: Vec<Bytes> = sequences.iter().map(|&sequence| self.values.of(1, sequence)).collect();
            self.ledger.check(1, self.ledger.floor(1), &values, true)
        }
    }

    #[test]
    fn a_read_after_a_write_sees_it() {
        let store = Store::new();
        assert_eq!(store.read(&[]), Verdict::Right);
        let first = store.write();
        assert_eq!((store.read(&[]), store.read(&[1])), (Verdict::Right, Verdict::Right));
        store.end(first, Ending::Acknowledged);
        assert_eq!((store.read(&[]), store.read(&[1])), (Verdict::Stale, Verdict::Right));
        let second = store.write();
        assert_eq!((store.read(&[1]), store.read(&[2])), (Verdict::Right, Verdict::Right));
        store.end(second, Ending::Acknowledged);
        assert_eq!((store.read(&[1]), store.read(&[1, 2])), (Verdict::Stale, Verdict::Right));
    }

    #[test]
    fn a_read_that_began_before_the_acknowledgement_may_miss_it() {
        let store = Store::new();
        let floor = store.ledger.floor(1);
        store.end(store.write(), Ending::Acknowledged);
        assert_eq!(store.ledger.check(1, floor, &[], false), Verdict::Right);
    }

    #[test]
    fn writes_that_overlap_may_come_in_any_order() {
        let store = Store::new();
        let (first, second) = (store.write(), store.write());
        store.end(second, Ending::Acknowledged);
        store.end(first, Ending::Acknowledged);
        assert_eq!((store.read(&[1]), store.read(&[2])), (Verdict::Right, Verdict::Right));
        store.end(store.write(), Ending::Acknowledged);
        assert_eq!(
            (store.read(&[1]), store.read(&[2]), store.read(&[3])),
            (Verdict::Stale, Verdict::Stale, Verdict::Right)
        );
    }

    #[test]
    fn what_nobody_knows_may_come_late_and_what_was_refused_changes_nothing() {
        let store = Store::new();
        store.end(store.write(), Ending::Unclear);
        store.end(store.write(), Ending::Acknowledged);
        store.end(store.write(), Ending::Refused);
        assert_eq!(
            (store.read(&[1]), store.read(&[2]), store.read(&[])),
            (Verdict::Right, Verdict::Right, Verdict::Stale)
        );
    }

    #[test]
    fn what_earlier_runs_left_is_older_than_all_of_this_one() {
        let store = Store::new();
        let earlier = [Values::new(32).of(1, 900)];
        store.ledger.was_there(1);
        assert_eq!(store.ledger.check(1, store.ledger.floor(1), &earlier, false), Verdict::Right);
        assert_eq!(store.read(&[]), Verdict::Stale);
        store.end(store.write(), Ending::Acknowledged);
        assert_eq!(store.ledger.check(1, store.ledger.floor(1), &earlier, true), Verdict::Stale);
        assert_eq!(store.ledger.some_written(10), [1]);
    }

    #[test]
    fn wrong_answers_are_told_apart() {
        let store = Store::new();
        store.end(store.write(), Ending::Acknowledged);
        let mut damaged = store.values.of(1, 1).to_vec();
        damaged[30] ^= 1;
        for wrong in [damaged.into(), store.values.of(0, 1), store.values.of(1, 2)] {
            assert_eq!(store.ledger.check(1, 0, &[wrong], true), Verdict::Wrong);
        }
        assert_eq!(store.ledger.check(1, 1, &[], false), Verdict::Wrong);
        let wrong = store.ledger.wrong();
        assert_eq!((wrong.len(), wrong.values().sum::<u64>()), (4, 4), "{wrong:?}");
    }
}
