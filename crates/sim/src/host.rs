//! One machine: a disk and clocks that outlive its process, and the process, which is the node's core and what drives it.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{Epoch, NodeId, StartId};
use quorate_protocol::identity::{RecoverError, recover};
use quorate_protocol::store::{CommitNumber, Store};
use quorate_protocol::{Limits, Node, NodeConfig};

use crate::clock::MachineClock;
use crate::disk::SimDisk;
use crate::rng::SimRng;

/// A machine of the cluster.
#[derive(Debug)]
pub struct Host {
    /// The identity that it counts for; 0 while it counts for nobody: its disk was lost, or put back to what it was earlier.
    pub id: NodeId,
    /// Who it still speaks as since its disk was put back.
    pub impostor_of: Option<NodeId>,
    /// Whether it was started after it had left the cluster, and everybody knew that.
    pub has_to_give_up: bool,
    /// Its disk.
    pub disk: SimDisk,
    /// Its clocks.
    pub clock: MachineClock,
    /// The number that its last start found for itself in the directory.
    pub boot: u64,
    /// How often a process has been started here.
    pub life: u32,
    /// The process, while it runs.
    pub process: Option<Process>,
    /// Lives whose last messages were lost with them.
    pub silenced: Vec<u32>,
    /// Until when the disk is slow.
    pub slow_until_us: u64,
    /// Until when nothing can be synced for want of room.
    pub full_until_us: u64,
    /// Since when the process knows of that.
    pub told_full_us: Option<u64>,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    /// The core.
    pub node: Node,
    /// What the store counted before the core's first commit.
    pub commits_before: u64,
    /// Whether a sync is under way.
    pub syncing: bool,
    /// When the earliest wake-up that is planned comes, in world time.
    pub wake_us: Option<u64>,
    /// It stands still until then.
    pub paused_until_us: u64,
    /// What the wall clock showed when the core last handled an event.
    pub wall_ms: u64,
    /// The connections that this side believes to be up, by peer, and who the peer said it is.
    pub links: BTreeMap<usize, (u64, NodeId)>,
    /// The peers that it holds to be down.
    pub holds_down: BTreeSet<usize>,
}

impl Host {
    /// A machine whose directory is new.
    pub fn new(clock: MachineClock) -> Self {
        Self {
            id: NodeId(0),
            impostor_of: None,
            has_to_give_up: false,
            disk: SimDisk::default(),
            clock,
            boot: 0,
            life: 0,
            process: None,
            silenced: Vec::new(),
            slow_until_us: 0,
            full_until_us: 0,
            told_full_us: None,
        }
    }

    /// Starts the process: reads the directory and makes a core of it.
    pub fn start(&mut self, limits: &Limits, rng: &mut SimRng) -> Result<(), RecoverError> {
        let (minted, start) = (NodeId(rng.bits()), StartId(rng.bits()));
        let recovered = recover(&self.disk, minted, start)?;
        self.id = if self.is_impostor() { NodeId(0) } else { recovered.node };
        self.boot = recovered.boot;
        self.life += 1;
        let config = NodeConfig {
            node: recovered.node,
            start,
            boot: recovered.boot,
            seed: rng.seed(),
            limits: limits.clone(),
            token_secret: None,
        };
        self.process = Some(Process {
            node: Node::new(config, recovered.kept),
            commits_before: self.disk.durable().0,
            syncing: false,
            wake_us: None,
            paused_until_us: 0,
            wall_ms: 0,
            links: BTreeMap::new(),
            holds_down: BTreeSet::new(),
        });
        Ok(())
    }

    /// The process dies, and with it what the disk had not synced, or a part of that.
    pub fn crash(&mut self, rng: &mut SimRng, last_words: f64) {
        self.process = None;
        self.told_full_us = None;
        self.disk.crash(rng);
        if !rng.chance(last_words) {
            self.silenced.push(self.life);
        }
    }

    /// Who it says it is.
    pub fn speaks_as(&self) -> NodeId {
        self.impostor_of.unwrap_or(self.id)
    }

    /// Whether its disk was put back, and it has not given up yet.
    pub fn is_impostor(&self) -> bool {
        self.impostor_of.is_some()
    }

    /// Whether this life of the process is the present one, or its messages may still arrive.
    pub fn may_speak(&self, life: u32) -> bool {
        (self.life == life && self.process.is_some()) || !self.silenced.contains(&life)
    }

    /// What the process says of its link clock.
    pub fn link_time(&self, now_us: u64) -> LinkTime {
        let now = self.clock.now(now_us);
        self.process.as_ref().map_or(LinkTime::default(), |process| process.node.link_time(now))
    }

    /// The epoch of the layout that the process holds.
    pub fn epoch(&self) -> Epoch {
        let layout = self.process.as_ref().and_then(|process| process.node.layout());
        layout.map_or(Epoch(0), |layout| layout.epoch)
    }

    /// Whether the process runs and does not stand still.
    pub fn is_awake(&self, now_us: u64) -> bool {
        self.process.as_ref().is_some_and(|process| process.paused_until_us <= now_us)
    }
}

impl Process {
    /// The core's number of the store's newest durable batch.
    pub fn core_number(&self, store: CommitNumber) -> CommitNumber {
        CommitNumber(store.0.saturating_sub(self.commits_before))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quorate_protocol::identity::{Life, forget_lives};
    use quorate_protocol::keys;
    use quorate_protocol::store::{Sequence, StoreOp};

    use super::*;

    #[test]
    fn a_directory_keeps_each_start_with_how_far_it_went() {
        let disk = SimDisk::default();
        let mut ends = Vec::new();
        for start in 1..=3 {
            let recovered = recover(&disk, NodeId(start), StartId(start)).expect("it is whole");
            assert_eq!((recovered.node, recovered.boot), (NodeId(1), start), "it is minted once");
            let past: Vec<Life> = recovered.kept.past.into_values().collect();
            assert_eq!(past, ends);
            let written = StoreOp::Put { key: Bytes::from_static(b"k"), value: Bytes::new() };
            let number = disk.submit(&[written]).expect("there is room");
            disk.sync(number);
            let life = Life { boot: start, start: StartId(start), sequence: disk.sequence() };
            assert!(life.sequence > recovered.kept.sequence);
            ends.push(life);
        }
        // A copy of an earlier moment shows less.
        let copy = disk.clone();
        disk.sync(disk.submit(&[StoreOp::Delete { key: Bytes::from_static(b"k") }]).expect("there is room"));
        let ended = |disk| recover(disk, NodeId(9), StartId(9)).expect("it is whole").kept.past[&3].sequence;
        assert_eq!(ended(&disk), Sequence(ended(&copy).0 + 1));
        assert_eq!(forget_lives(&disk), Ok(0));
        assert!(disk.synced_value(keys::LIVES).is_some());
    }
}
