//! What a history says.
//!
//! A read is compared with the writes of its key that were acknowledged before it began:
//!
//! * **stale**: it does not cover all of them. This is what R + W > N rules out.
//! * **outdated**: it covers neither the last of them nor any write that was under way at the same time as that one: the
//!   milder measure that published tables use. What is outdated is stale.
//! * **k-staleness**: how many of them it misses.
//! * **time to visibility** of a write: from its acknowledgement to the first moment from which every read of its key, probe
//!   or not, covers it. 0 when no later read misses it; a write that the last later read misses is *unseen*, and counts
//!   with the time until that read; a write that nobody read afterwards does not count.

use quorate_protocol::version::Dot;
use serde::Serialize;

use crate::history::{Ending, History, Read, Write};
use crate::quantile::Quantiles;

/// Gathers the figures of one setting, over one run or many.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    runs: u64,
    asked: u64,
    refused: u64,
    timed_out: u64,
    probes: u64,
    stale_probes: u64,
    outdated: u64,
    unnamed: u64,
    unseen: u64,
    get_us: Vec<u64>,
    put_us: Vec<u64>,
    visible_us: Vec<u64>,
    /// Of each stale read of a client, how many writes it misses.
    missed: Vec<u64>,
}

/// What the runs of one setting say. Times are in microseconds of the runs' own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// How many runs.
    pub runs: u64,
    /// Reads of clients that were answered.
    pub reads: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Of `reads`, how many miss a write that was acknowledged before they began,
    pub stale: u64,
    /// and how many miss the last one and all that were concurrent with it.
    pub outdated: u64,
    /// The share of `reads` that is stale, 0 to 1.
    pub stale_rate: f64,
    /// The share of `reads` that is outdated, 0 to 1.
    pub outdated_rate: f64,
    /// How many writes a stale read misses on average,
    pub missed_mean: f64,
    /// and at most.
    pub missed_max: u64,
    /// From asking to the answer, of reads.
    pub get_us: Quantiles,
    /// From asking to the acknowledgement, of writes.
    pub put_us: Quantiles,
    /// From acknowledgements until every read sees the write.
    pub visible_us: Quantiles,
    /// Acknowledged writes that the last later read still misses.
    pub unseen: u64,
    /// Reads beside the clients' that were answered, to see when writes become visible.
    pub probes: u64,
    /// Of these, how many are stale.
    pub stale_probes: u64,
    /// Operations of clients, however they ended.
    pub asked: u64,
    /// Of these, how many were refused,
    pub refused: u64,
    /// and how many were not answered in time.
    pub timed_out: u64,
    /// Acknowledged writes that could not be told apart from others, and are in no figure but `writes` and latency.
    pub unnamed: u64,
}

impl Figures {
    /// Stale answers, to clients and probes.
    pub fn stale_answers(&self) -> u64 {
        self.stale + self.stale_probes
    }

    /// The share of the clients' operations that were refused or not answered in time, 0 to 1.
    pub fn failure_rate(&self) -> f64 {
        share(self.refused + self.timed_out, self.asked)
    }
}

/// What is known of one key.
#[derive(Default)]
struct Key<'a> {
    /// Acknowledged, by the moment of that, each with its name.
    acknowledged: Vec<(&'a Write, Dot)>,
    /// All with a name, acknowledged or not.
    named: Vec<(&'a Write, Dot)>,
    /// Answered, by their beginning.
    reads: Vec<&'a Read>,
}

impl Analysis {
    /// Adds a run.
    pub fn add(&mut self, history: &History) {
        self.runs += 1;
        let writes = history.writes.iter().map(|write| write.key);
        let keys = writes.chain(history.reads.iter().map(|read| read.key)).max().map_or(0, |most| most + 1);
        let mut by_key: Vec<Key<'_>> = (0..keys).map(|_| Key::default()).collect();
        for write in &history.writes {
            self.count(write.ending);
            if let Some(dot) = write.dot {
                by_key[write.key].named.push((write, dot));
            }
            if write.ending == Ending::Done {
                self.put_us.push(write.ended_us.saturating_sub(write.began_us));
                match write.dot {
                    Some(dot) => by_key[write.key].acknowledged.push((write, dot)),
                    None => self.unnamed += 1,
                }
            }
        }
        for read in &history.reads {
            if !read.probe {
                self.count(read.ending);
            }
            if read.ending == Ending::Done {
                by_key[read.key].reads.push(read);
                if read.probe {
                    self.probes += 1;
                } else {
                    self.get_us.push(read.ended_us.saturating_sub(read.began_us));
                }
            }
        }
        for mut key in by_key {
            key.acknowledged.sort_by_key(|(write, _)| write.ended_us);
            key.reads.sort_by_key(|read| read.began_us);
            self.look_at_reads(&key);
            self.look_at_writes(&key);
        }
    }

    fn count(&mut self, ending: Ending) {
        self.asked += 1;
        match ending {
            Ending::Done => {}
            Ending::Refused => self.refused += 1,
            Ending::TimedOut => self.timed_out += 1,
        }
    }

    fn look_at_reads(&mut self, key: &Key<'_>) {
        for read in &key.reads {
            let before = key.acknowledged.partition_point(|(write, _)| write.ended_us < read.began_us);
            let before = &key.acknowledged[..before];
            let missed = before.iter().filter(|(_, dot)| !read.covered.covers(*dot)).count();
            if missed == 0 {
                continue;
            }
            if read.probe {
                self.stale_probes += 1;
                continue;
            }
            self.missed.push(missed as u64);
            if let Some((last, _)) = before.last() {
                let overlaps = |write: &Write| {
                    let open = write.ending != Ending::Done;
                    write.began_us < last.ended_us && (open || write.ended_us > last.began_us)
                };
                let mut as_good = key.named.iter().filter(|(write, _)| overlaps(write));
                self.outdated += u64::from(!as_good.any(|(_, dot)| read.covered.covers(*dot)));
            }
        }
    }

    fn look_at_writes(&mut self, key: &Key<'_>) {
        for (write, dot) in &key.acknowledged {
            let after = key.reads.partition_point(|read| read.began_us <= write.ended_us);
            let after = &key.reads[after..];
            let Some(last) = after.last() else { continue };
            let since = |read: &Read| read.began_us - write.ended_us;
            match after.iter().rposition(|read| !read.covered.covers(*dot)) {
                None => self.visible_us.push(0),
                Some(missing) => match after.get(missing + 1) {
                    Some(seen) => self.visible_us.push(since(seen)),
                    None => {
                        self.unseen += 1;
                        self.visible_us.push(since(last));
                    }
                },
            }
        }
    }

    /// What all runs so far say together.
    pub fn figures(&self) -> Figures {
        let (reads, writes) = (self.get_us.len() as u64, self.put_us.len() as u64);
        let stale = self.missed.len() as u64;
        let missed: u64 = self.missed.iter().sum();
        Figures {
            runs: self.runs,
            reads,
            writes,
            stale,
            outdated: self.outdated,
            stale_rate: share(stale, reads),
            outdated_rate: share(self.outdated, reads),
            missed_mean: share(missed, stale),
            missed_max: self.missed.iter().copied().max().unwrap_or(0),
            get_us: Quantiles::of(&self.get_us),
            put_us: Quantiles::of(&self.put_us),
            visible_us: Quantiles::of(&self.visible_us),
            unseen: self.unseen,
            probes: self.probes,
            stale_probes: self.stale_probes,
            asked: self.asked,
            refused: self.refused,
            timed_out: self.timed_out,
            unnamed: self.unnamed,
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
