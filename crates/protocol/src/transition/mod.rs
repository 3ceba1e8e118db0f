//! How a change of the layout moves what it has to move. Every owner does its own part, and says how far it is; any member
//! proposes the next stage when it has heard from enough (`layout::needs`).
//!
//! | file | who does what |
//! | --- | --- |
//! | `clear` | an added owner wipes what earlier times have left; everybody deletes what he does not own |
//! | `catch_up` | a new owner merges what enough old owners hold |
//! | `source` | an old owner shows and gives it |
//! | `hand_over` | an old owner that leaves makes sure that enough new ones hold what it holds |
//! | `drive` | reports are gathered, and the next stage is proposed |
//! | `progress` | how far this node is, and what the change waits for |
//!
//! Replicas are compared by their Merkle trees, and only leaves that differ are moved: the bulk of data and the last bit of it
//! go the same way, and what was broken off goes on where it was.

mod catch_up;
mod clear;
mod drive;
mod hand_over;
mod progress;
mod source;

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::id::{Epoch, PartitionId};
use crate::keys;
use crate::merkle::{BRANCHES, Tree};
use crate::node::Node;
use crate::store::{CommitNumber, StoreOp};
use crate::time::Time;
use crate::turn::Turn;

use catch_up::CatchUp;
use clear::Clearing;
use drive::Driving;
use hand_over::HandOver;
pub use progress::{Progress, Wait};

/// What a node has done for the change of a partition, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which change: the epoch that began it. For it, what earlier times had left is wiped.
    pub change: Epoch,
    /// Whether this node has merged what enough old owners held.
    pub caught_up: bool,
}

impl Mark {
    fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(9);
        bytes.put_u64(self.change.0);
        bytes.put_u8(u8::from(self.caught_up));
        bytes.freeze()
    }

    /// Reads what was persisted.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (change, rest) = bytes.split_first_chunk()?;
        let change = Epoch(u64::from_be_bytes(*change));
        (rest.len() == 1).then(|| Self { change, caught_up: rest[0] == 1 })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Transition {
    /// With the commit that makes each durable.
    marks: BTreeMap<PartitionId, (Mark, CommitNumber)>,
    clearing: Clearing,
    catch_up: CatchUp,
    hand_over: HandOver,
    driving: Driving,
}

impl Transition {
    /// As it is after a start, with what earlier lives have done.
    pub(crate) fn new(marks: BTreeMap<PartitionId, Mark>, bytes_per_s: u64) -> Self {
        let durable = |(partition, mark)| (partition, (mark, CommitNumber(0)));
        Self {
            marks: marks.into_iter().map(durable).collect(),
            clearing: Clearing::default(),
            catch_up: CatchUp::new(bytes_per_s),
            hand_over: HandOver::default(),
            driving: Driving::default(),
        }
    }

    /// Whether what earlier times have left of a partition is being wiped.
    pub(crate) fn is_wiping(&self, partition: PartitionId) -> bool {
        self.clearing.is_wiping(partition)
    }

    fn mark(&self, partition: PartitionId, change: Epoch) -> Option<(Mark, CommitNumber)> {
        self.marks.get(&partition).copied().filter(|(mark, _)| mark.change == change)
    }

    /// When it wants to be woken.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        let timers = [
            self.clearing.next_timer(),
            self.catch_up.next_timer(),
            self.hand_over.next_timer(),
            self.driving.next_timer(),
        ];
        timers.into_iter().flatten().min()
    }
}

impl Node {
    /// Another layout is held, or the first of this life.
    pub(crate) fn transition_adopted(&mut self, turn: &mut Turn<'_>) {
        self.clear_anew(turn);
        self.catch_up_anew(turn);
        self.hand_over_anew(turn);
        self.drive_anew(turn);
    }

    /// Does what is due.
    pub(crate) fn wake_transition(&mut self, turn: &mut Turn<'_>) {
        self.wake_clearing(turn);
        self.wake_catch_up(turn);
        self.wake_hand_over(turn);
        self.wake_driving(turn);
    }

    /// Remembers, durably, what was done for the change under way.
    fn set_mark(&mut self, turn: &mut Turn<'_>, partition: PartitionId, mark: Mark) {
        let put = StoreOp::Put { key: keys::mark(partition), value: mark.encode() };
        let commit = self.commits.issue(turn.effects, vec![put]);
        self.transition.marks.insert(partition, (mark, commit));
    }

    /// Whether this node has caught up with a partition, durably, in the change under way. Not while a record of it is damaged.
    fn has_caught_up(&self, partition: PartitionId) -> bool {
        let change = self.layout.as_deref().and_then(|layout| layout.change_of(partition));
        let mark = change.and_then(|change| self.transition.mark(partition, change.began));
        mark.is_some_and(|(mark, commit)| mark.caught_up && self.commits.is_durable(commit))
            && !self.holes.any_in(partition)
    }

    /// The leaves in which the other side's tree differs from this one's.
    fn differing(&self, tree: &Tree, theirs: &[u128]) -> Vec<u16> {
        let branches = 0..u8::try_from(BRANCHES).unwrap_or(u8::MAX);
        let ours = branches.flat_map(|branch| tree.leaves_of(branch));
        let pairs = (0_u16..).zip(ours.zip(theirs));
        pairs.filter(|(_, (ours, theirs))| ours != *theirs).map(|(leaf, _)| leaf).collect()
    }
}
