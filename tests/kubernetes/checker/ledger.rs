//! What was acknowledged, and what was seen instead.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// Complaints that are told; the others are only counted.
const TOLD_MAX: usize = 8;

/// Keys, each with one writer that counts its versions up.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<State>);

#[derive(Default)]
struct State {
    keys: Vec<Key>,
    verdict: Verdict,
    finishing: bool,
}

/// One key.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// The newest version whose write was acknowledged: every read that begins now sees it, or a newer one.
    pub(crate) acknowledged: u64,
}

/// How it is.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Verdict {
    /// Whether the cluster was reached and all that is put at first was put.
    pub(crate) working: bool,
    /// Whether everything was read back for the last time.
    pub(crate) finished: bool,
    /// Writes.
    pub(crate) acknowledged: u64,
    /// Keys with an acknowledged write.
    pub(crate) keys: usize,
    /// In the newest values of all keys.
    pub(crate) live_bytes: u64,
    /// That found what they had to.
    pub(crate) reads: u64,
    /// Keys that the last look did not find at their acknowledged version or a newer one.
    pub(crate) missing: u64,
    /// Reads on the way that did not.
    pub(crate) stale: u64,
    /// Operations that failed, were tried once more after a moment, and failed again.
    pub(crate) failed_after_retry: u64,
    /// Operations that failed once.
    pub(crate) retried: u64,
    /// The slowest operation that went well at once, in milliseconds.
    pub(crate) slowest_ms: u64,
    /// Some of what went wrong.
    pub(crate) complaints: Vec<String>,
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As a line of JSON.
    pub(crate) fn verdict(&self) -> String {
        let state = self.state();
        let verdict = Verdict { keys: state.keys.len(), ..state.verdict.clone() };
        serde_json::to_string(&verdict).unwrap_or_default()
    }

    pub(crate) fn is_working(&self) {
        self.state().verdict.working = true;
    }

    /// Has the writers stop.
    pub(crate) fn finish(&self) {
        self.state().finishing = true;
    }

    pub(crate) fn is_finishing(&self) -> bool {
        self.state().finishing
    }

    pub(crate) fn is_finished(&self) {
        self.state().verdict.finished = true;
    }

    /// A key's first write was acknowledged; says where the key is.
    pub(crate) fn add(&self, name: String, version: u64, bytes: usize) -> usize {
        let mut state = self.state();
        state.keys.push(Key { name, acknowledged: version });
        state.verdict.acknowledged += 1;
        state.verdict.live_bytes += bytes as u64;
        state.keys.len() - 1
    }

    /// A further write of a key was acknowledged.
    pub(crate) fn advance(&self, at: usize, version: u64) {
        let mut state = self.state();
        state.keys[at].acknowledged = version;
        state.verdict.acknowledged += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.state().keys.len()
    }

    /// The key, and what a read that begins now must see.
    pub(crate) fn key(&self, at: usize) -> Key {
        self.state().keys[at].clone()
    }

    pub(crate) fn took(&self, time: Duration) {
        let mut state = self.state();
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        state.verdict.slowest_ms = state.verdict.slowest_ms.max(ms);
    }

    pub(crate) fn retried(&self) {
        self.state().verdict.retried += 1;
    }

    pub(crate) fn failed(&self, what: &str) {
        let mut state = self.state();
        state.verdict.failed_after_retry += 1;
        state.complain(format!("failed twice: {what}"));
    }

    /// What a read found, against what it had to.
    pub(crate) fn judge(&self, key: &Key, newest: Option<u64>, last_look: bool) {
        let mut state = self.state();
        if newest.unwrap_or(0) >= key.acknowledged {
            state.verdict.reads += 1;
            return;
        }
        if last_look {
            state.verdict.missing += 1;
        } else {
            state.verdict.stale += 1;
        }
        let found = newest.map_or("nothing".to_owned(), |newest| format!("version {newest}"));
        let when = if last_look { "in the end" } else { "on the way" };
        state.complain(format!(
            "{}: version {} was acknowledged, {found} is there {when}",
            key.name, key.acknowledged
        ));
    }
}

impl State {
    fn complain(&mut self, what: String) {
        if self.verdict.complaints.len() < TOLD_MAX {
            self.verdict.complaints.push(what);
        }
    }
}
