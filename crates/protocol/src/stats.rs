//! Figures for metrics; nothing in the core depends on them.

/// Counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Stale replicas that a read has found and sent the union to.
    pub read_repairs: u64,
    /// Operations that ran out of time before enough replicas had answered.
    pub quorum_shortfalls: u64,
    /// Operations refused at the gate: nothing was sent or stored for them.
    pub refused: u64,
    /// Operations passed on to a primary.
    pub forwarded: u64,
    /// Reads that showed more than one sibling.
    pub reads_with_siblings: u64,
    /// The most siblings that a read has shown.
    pub siblings_max: u64,
    /// Records that could not be read back whole.
    pub damaged_records: u64,
    /// Of these, those that hold again what the other owners hold, or what was in memory.
    pub records_healed: u64,
    /// Of these, those of which there was no other owner.
    pub records_lost: u64,
}

impl Stats {
    pub(crate) fn saw_siblings(&mut self, count: usize) {
        if count > 1 {
            self.reads_with_siblings += 1;
            self.siblings_max = self.siblings_max.max(count as u64);
        }
    }
}

/// What there is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Operations under way.
    pub operations: usize,
    /// Keys that wait for the store.
    pub keys_loading: usize,
    /// Acknowledgements that wait for the disk.
    pub commits_waiting: usize,
    /// About how much memory the containers take.
    pub cache_bytes: usize,
    /// Keys whose record was damaged and is not healed yet.
    pub holes: usize,
}
