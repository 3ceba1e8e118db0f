//! What goes wrong, and when: at random moments, and aimed at the steps where protocols break.

use crate::rng::SimRng;

/// Something that goes wrong. Each one ends by itself after a drawn time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process of one node dies; what its disk had not synced may be lost.
    Crash,
    /// All processes die at once.
    CrashAll,
    /// One process stands still; its clocks go on.
    Pause,
    /// One process stands still for a minute or more.
    PauseLong,
    /// One machine is suspended: its monotonic clock stands still with it.
    Suspend,
    /// One direction between two nodes is cut.
    CutOneWay,
    /// Both directions between two nodes are cut.
    CutBothWays,
    /// Nothing that one node sends arrives.
    Mute,
    /// Nothing arrives at one node.
    Deafen,
    /// One node is cut off in both directions.
    Isolate,
    /// The nodes fall into two groups that do not hear each other.
    Split,
    /// One connection breaks and is made anew.
    DropConnection,
    /// One disk syncs slowly.
    SlowDisk,
    /// One disk is full: nothing is synced until there is room again.
    FullDisk,
    /// One record of one disk cannot be read back, until it is written anew; of one key on fewer disks at a time than the bucket's
    /// writes promise to survive.
    DamagedRecord,
    /// One wall clock jumps by hours.
    WallJump,
}

/// All faults, in the order of [`FaultPlan::weights`].
pub const FAULTS: [Fault; 16] = [
    Fault::Crash,
    Fault::CrashAll,
    Fault::Pause,
    Fault::PauseLong,
    Fault::Suspend,
    Fault::CutOneWay,
    Fault::CutBothWays,
    Fault::Mute,
    Fault::Deafen,
    Fault::Isolate,
    Fault::Split,
    Fault::DropConnection,
    Fault::SlowDisk,
    Fault::FullDisk,
    Fault::DamagedRecord,
    Fault::WallJump,
];

/// A step of a node at which a fault is worth more than elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has just told a client that its write is acknowledged.
    Acknowledged,
    /// It has just answered a read.
    ReadAnswered,
    /// It has just handed a batch to its disk.
    Committed,
    /// It has just sent a container to a peer.
    Replicated,
    /// It has just acknowledged a container to a peer.
    ReplicaAcknowledged,
    /// It has just sent what it holds to a peer that reads.
    Fetched,
    /// It has just passed an operation on to another coordinator.
    Forwarded,
    /// Its disk has just synced.
    Synced,
    /// It has just adopted a layout.
    Adopted,
    /// It has just started.
    Started,
    /// It has just handed a hint to its disk, or a newer version of one.
    Hinted,
    /// It has just dropped a hint.
    Unhinted,
    /// It has just said what of a partition may be forgotten.
    Voted,
    /// It has just forgotten a key.
    Forgot,
}

/// The steps of hints and of forgetting, which few families take often.
pub const FORGETTING: [Moment; 7] = [
    Moment::Hinted,
    Moment::Unhinted,
    Moment::Voted,
    Moment::Forgot,
    Moment::Replicated,
    Moment::ReplicaAcknowledged,
    Moment::Fetched,
];

/// The steps of a change of the layout.
pub const MOVING: [Moment; 5] =
    [Moment::Adopted, Moment::Adopted, Moment::Acknowledged, Moment::Committed, Moment::ReplicaAcknowledged];

/// What is worth most there.
pub const MOVING_FAULTS: [Fault; 9] = [
    Fault::Crash,
    Fault::CrashAll,
    Fault::Pause,
    Fault::CutOneWay,
    Fault::CutBothWays,
    Fault::Isolate,
    Fault::Split,
    Fault::SlowDisk,
    Fault::DropConnection,
];

const MOMENTS: [Moment; 10] = [
    Moment::Acknowledged,
    Moment::ReadAnswered,
    Moment::Committed,
    Moment::Replicated,
    Moment::ReplicaAcknowledged,
    Moment::Fetched,
    Moment::Forwarded,
    Moment::Synced,
    Moment::Adopted,
    Moment::Started,
];

/// Whom an aimed fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The node that took the step.
    Itself,
    /// Some other node.
    Other,
}

/// A fault that waits for a moment.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// When,
    pub moment: Moment,
    /// what,
    pub fault: Fault,
    /// on whom,
    pub target: Target,
    /// and how often.
    pub chance: f64,
}

/// What goes wrong in one run.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// Random faults come this far apart on average; none when 0.
    pub every_us: u64,
    /// How often each of [`FAULTS`] is drawn, relative to the others.
    pub weights: [u32; FAULTS.len()],
    /// Faults that wait for their moment.
    pub aims: Vec<Aim>,
    /// At every event, how likely the node dies with only some of its effects carried out.
    pub mid_event_crash: f64,
    /// No more faults than this.
    pub budget: u32,
    /// How long crashed nodes stay down.
    pub down_us: (u64, u64),
    /// How long cuts, pauses, slow and full disks last.
    pub trouble_us: (u64, u64),
    /// This share of the suspensions lasts for minutes, and not as long as other troubles.
    pub suspend_long: f64,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self {
            every_us: 0,
            weights: [0; FAULTS.len()],
            aims: Vec::new(),
            mid_event_crash: 0.0,
            budget: 0,
            down_us: (1, 1),
            trouble_us: (1, 1),
            suspend_long: 0.0,
        }
    }

    /// A swarm's plan: each kind of fault is in it or not.
    pub fn draw(rng: &mut SimRng) -> Self {
        let mut weights = [0; FAULTS.len()];
        for weight in &mut weights {
            if rng.chance(0.4) {
                *weight = u32::try_from(rng.between(1, 10)).unwrap_or(1);
            }
        }
        let aims = (0..rng.below(4)).map(|_| draw_aim(rng, &FAULTS)).collect();
        let down_us = rng.spread(200, 50_000);
        let trouble_us = rng.spread(500, 100_000);
        Self {
            every_us: if rng.chance(0.8) { rng.spread(2_000, 100_000) } else { 0 },
            weights,
            aims,
            mid_event_crash: if rng.chance(0.25) { 0.003 } else { 0.0 },
            budget: u32::try_from(rng.between(3, 25)).unwrap_or(3),
            down_us: (down_us / 4, down_us),
            trouble_us: (trouble_us / 4, trouble_us),
            suspend_long: 0.3,
        }
    }

    /// Whether some fault stops a node for minutes.
    pub fn lasts_long(&self) -> bool {
        self.may_do(|fault| match fault {
            Fault::PauseLong => true,
            Fault::Suspend => self.suspend_long > 0.0,
            _ => false,
        })
    }

    /// Whether such a fault may happen.
    pub fn may_do(&self, such: impl Fn(Fault) -> bool) -> bool {
        let drawn = FAULTS.iter().zip(&self.weights).any(|(&fault, &weight)| such(fault) && weight > 0);
        drawn || self.aims.iter().any(|aim| such(aim.fault))
    }

    /// Sets how often a fault is drawn at random.
    pub fn weigh(&mut self, fault: Fault, weight: u32) {
        for (kind, slot) in FAULTS.iter().zip(&mut self.weights) {
            if *kind == fault {
                *slot = weight;
            }
        }
    }
}

/// One of these faults, at a drawn moment.
pub fn draw_aim(rng: &mut SimRng, faults: &[Fault]) -> Aim {
    draw_aim_at(rng, &MOMENTS, faults)
}

/// One of these faults, at one of these moments.
pub fn draw_aim_at(rng: &mut SimRng, moments: &[Moment], faults: &[Fault]) -> Aim {
    Aim {
        moment: *rng.pick(moments),
        fault: *rng.pick(faults),
        target: if rng.chance(0.75) { Target::Itself } else { Target::Other },
        chance: *rng.pick(&[0.02, 0.1, 0.3]),
    }
}
