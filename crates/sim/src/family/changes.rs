//! Families about changes of the layout.

use quorate_protocol::layout::{QuorumMode, QuorumSizes};

use super::quiet;
use crate::faults::{Aim, Fault, MOVING, MOVING_FAULTS, Moment, Target, draw_aim_at};
use crate::moves::{MOVES, Move, MovesPlan};
use crate::plan::{BucketPlan, Plan};
use crate::rng::SimRng;
use crate::workload::Step;

pub(super) fn moves(plan: &mut Plan, rng: &mut SimRng) {
    if plan.n > 3 {
        (plan.n, plan.r, plan.w) = (3, 2, 2);
    }
    // Mostly promises that can be broken.
    if rng.chance(0.8) {
        (plan.r, plan.w) = *rng.pick(&[(2, 2), (2, 2), (1, 3), (3, 1)]);
    }
    plan.buckets.retain(|bucket| bucket.quorum.is_none());
    if plan.buckets.is_empty() {
        plan.buckets.push(BucketPlan::last_writer_wins("last"));
    }
    plan.nodes = plan.n as usize + rng.below(2);
    let first = QuorumSizes { n: plan.n, r: plan.r, w: plan.w };
    let mut moves = MovesPlan::draw(rng, first);
    if rng.chance(0.4) {
        moves.sizes.truncate(1);
        moves.weigh(Move::Resize, 0);
    }
    plan.moves = Some(moves);
    plan.workload.own_quorum = 0.0;
    plan.workload.operations = 60 + rng.below(120);
    let think_us = rng.spread(2_000, 60_000);
    plan.workload.think_us = (think_us / 4, think_us);
    plan.workload.read_after = *rng.pick(&[0.5, 1.0]);
    plan.faults.aims.clear();
    for _ in 0..rng.below(3) {
        plan.faults.aims.push(draw_aim_at(rng, &MOVING, &MOVING_FAULTS));
    }
    if rng.chance(0.5) {
        quiet(&mut plan.faults);
        for fault in MOVING_FAULTS {
            plan.faults.weigh(fault, if rng.chance(0.4) { 5 } else { 0 });
        }
    }
    plan.faults.budget = u32::try_from(rng.between(3, 20)).unwrap_or(5);
}

/// Every read quorum meets every write quorum, and by one node only.
const EXTREMES: [(u32, u32, u32); 10] = [
    (1, 1, 1),
    (2, 1, 2),
    (2, 2, 1),
    (3, 1, 3),
    (3, 3, 1),
    (3, 2, 2),
    (3, 1, 3),
    (3, 3, 1),
    (4, 1, 4),
    (4, 4, 1),
];

/// The same, and nothing hangs on one node alone.
const MIDDLES: [(u32, u32, u32); 3] = [(3, 2, 2), (4, 2, 3), (4, 3, 2)];

/// One owner answers a read on one side, and on the other writes are acknowledged without it.
const LOPSIDED: [(u32, u32, u32); 3] = [(2, 1, 2), (3, 2, 2), (4, 2, 3)];

pub(super) fn reshape(plan: &mut Plan, rng: &mut SimRng) {
    let from: &[(u32, u32, u32)] = match rng.below(8) {
        0 => &MIDDLES,
        1 | 2 => &LOPSIDED,
        _ => &EXTREMES,
    };
    let sizes: Vec<QuorumSizes> =
        (0..2 + rng.below(3)).map(|_| *rng.pick(from)).map(|(n, r, w)| QuorumSizes { n, r, w }).collect();
    plan.nodes = 4;
    let mut moves = MovesPlan::draw(rng, sizes[0]);
    let stops = rng.chance(0.5);
    for of in MOVES {
        let weight = match of {
            Move::Resize => 10,
            Move::Weigh | Move::Cancel => u32::from(rng.chance(0.3)),
            Move::Pause | Move::Resume => 3 * u32::from(stops),
            Move::Add | Move::Remove | Move::Replace => 0,
        };
        moves.weigh(of, weight);
    }
    moves.spares = 0;
    (moves.loses_disks, moves.rolls_back) = (false, false);
    // Those that promise something when a member is lost.
    if sizes.iter().all(|sizes| sizes.r > 1 && sizes.w > 1) {
        moves.gives_up = rng.chance(0.7);
        moves.spares = usize::from(moves.gives_up);
    }
    moves.sizes = sizes;
    at_the_pace_of_changes(plan, moves, rng);
}

pub(super) fn replace(plan: &mut Plan, rng: &mut SimRng) {
    let sloppy = rng.chance(0.5);
    // One fallback alone may have what was acknowledged.
    let (n, r, w) = if sloppy && rng.chance(0.5) {
        *rng.pick(&[(2, 2, 1), (3, 3, 1)])
    } else {
        *rng.pick(&[(3, 2, 2), (3, 2, 2), (3, 2, 2), (3, 3, 1), (3, 1, 3), (2, 1, 2), (2, 2, 1)])
    };
    let first = QuorumSizes { n, r, w };
    plan.nodes = 3 + rng.below(3);
    let mut moves = MovesPlan::draw(rng, first);
    let stops = rng.chance(0.3);
    for of in MOVES {
        let weight = match of {
            Move::Replace => 6,
            Move::Add | Move::Remove | Move::Weigh => 5 * u32::from(rng.chance(0.5)),
            Move::Cancel => u32::from(rng.chance(0.3)),
            Move::Pause | Move::Resume => 3 * u32::from(stops),
            Move::Resize => 0,
        };
        moves.weigh(of, weight);
    }
    moves.spares = 2 + rng.below(3);
    (moves.loses_disks, moves.rolls_back) = (false, false);
    match rng.below(4) {
        0 | 1 => moves.loses_disks = true,
        2 => moves.gives_up = r > 1 && w > 1,
        _ => {}
    }
    moves.sizes = vec![first];
    at_the_pace_of_changes(plan, moves, rng);
    if sloppy {
        // What fallbacks keep moves too.
        for bucket in &mut plan.buckets {
            bucket.mode = QuorumMode::Sloppy;
        }
        plan.nodes = (plan.nodes + 1).min(6);
        plan.faults.weigh(Fault::Isolate, 5);
        plan.network.told = 1.0;
    }
}

pub(super) fn rollback(plan: &mut Plan, rng: &mut SimRng) {
    let (n, r, w) = *rng.pick(&[(3, 2, 2), (3, 2, 2), (3, 1, 3), (2, 1, 2), (4, 2, 3)]);
    let first = QuorumSizes { n, r, w };
    plan.nodes = 3.max(n as usize) + rng.below(2);
    let mut moves = MovesPlan::draw(rng, first);
    let changes = rng.chance(0.4);
    for of in MOVES {
        let weight = match of {
            Move::Replace => 4,
            Move::Add | Move::Remove | Move::Weigh => 3 * u32::from(changes),
            Move::Cancel | Move::Pause | Move::Resume | Move::Resize => 0,
        };
        moves.weigh(of, weight);
    }
    moves.spares = rng.below(3);
    (moves.loses_disks, moves.rolls_back) = (rng.chance(0.2), true);
    moves.sizes = vec![first];
    at_the_pace_of_changes(plan, moves, rng);
    plan.faults.weigh(Fault::Crash, 4);
}

pub(super) fn rivals(plan: &mut Plan, rng: &mut SimRng) {
    plan.nodes = 3 + usize::from(rng.chance(0.3));
    let first = QuorumSizes { n: 3, r: 2, w: 2 };
    let mut moves = MovesPlan::draw(rng, first);
    for of in MOVES {
        let weight = match of {
            Move::Weigh => 8,
            Move::Pause | Move::Resume | Move::Cancel => 4,
            Move::Add | Move::Remove | Move::Replace => u32::from(rng.chance(0.5)),
            Move::Resize => 2,
        };
        moves.weigh(of, weight);
    }
    moves.sizes = vec![first, QuorumSizes { n: 2, r: 1, w: 2 }, QuorumSizes { n: 3, r: 1, w: 3 }];
    (moves.loses_disks, moves.rolls_back) = (false, false);
    at_the_pace_of_changes(plan, moves.clone(), rng);
    moves.rivals = true;
    moves.every_us = rng.spread(20_000, 200_000);
    moves.budget = u32::try_from(rng.between(10, 40)).unwrap_or(10);
    plan.moves = Some(moves);
    plan.workload.operations = 50 + rng.below(100);
    plan.disk.sync_us = (500, rng.spread(2_000, 30_000));
    let faults = &mut plan.faults;
    quiet(faults);
    faults.weigh(Fault::Crash, 10);
    faults.weigh(Fault::CrashAll, if rng.chance(0.3) { 2 } else { 0 });
    faults.every_us = rng.spread(5_000, 60_000);
    faults.budget = u32::try_from(rng.between(20, 100)).unwrap_or(20);
    let trouble_us = rng.spread(100_000, 1_500_000);
    faults.trouble_us = (trouble_us / 4, trouble_us);
    faults.down_us = (500, rng.spread(1_000, 20_000));
    // Who knows what was chosen is gone for a while.
    let away = [Fault::Isolate, Fault::Mute, Fault::Crash, Fault::Pause];
    let aim =
        Aim { moment: Moment::AdoptedFirst, fault: *rng.pick(&away), target: Target::Itself, chance: 0.3 };
    faults.aims = vec![aim, draw_aim_at(rng, &[Moment::Committed, Moment::Synced], &[Fault::Crash])];
}

/// Every stage takes half a second or more: clients go on for as long as several changes last, and faults for as long as a stage.
/// Nothing else brings replicas what they have missed, often.
fn at_the_pace_of_changes(plan: &mut Plan, mut moves: MovesPlan, rng: &mut SimRng) {
    let QuorumSizes { n, r, w } = moves.sizes[0];
    (plan.n, plan.r, plan.w) = (n, r, w);
    (plan.keys, plan.partitions) = (1, 1);
    plan.buckets.retain(|bucket| bucket.quorum.is_none());
    plan.buckets.truncate(1);
    if plan.buckets.is_empty() {
        plan.buckets.push(BucketPlan::last_writer_wins("last"));
    }
    moves.every_us = rng.spread(100_000, 800_000);
    moves.rivals = rng.chance(0.4);
    // Those that come while a change is under way count too.
    moves.budget = u32::try_from(rng.between(6, 30)).unwrap_or(6);
    plan.moves = Some(moves);
    if rng.chance(0.6) {
        plan.limits.read_repair = false;
        plan.alone = true;
    }
    if rng.chance(0.5) {
        plan.limits.hints = 0;
    }
    plan.exchange_in_trouble = rng.chance(0.3);
    // What is moved takes a while.
    plan.limits.transfer_bytes_per_s = *rng.pick(&[300, 3_000, 32 << 20]);
    let workload = &mut plan.workload;
    (workload.own_quorum, workload.long_value) = (0.0, 0.0);
    workload.operations = 150 + rng.below(250);
    let think_us = rng.spread(20_000, 300_000);
    workload.think_us = (think_us / 8, think_us);
    workload.read_after = *rng.pick(&[0.3, 1.0]);
    let timeout_us = rng.spread(30_000, 1_000_000);
    workload.timeout_us = (timeout_us / 2, timeout_us);
    for step in [Step::DeleteBlind, Step::Foreign, Step::List] {
        workload.weigh(step, 0);
    }
    workload.weigh(Step::Get, 8);
    workload.weigh(Step::PutBlind, 4);
    // Many a replica misses a write, and nobody brings it.
    plan.network.loss = *rng.pick(&[0.0, 0.02, 0.1, 0.2, 0.3]);
    plan.network.spike = 0.0;
    let faults = &mut plan.faults;
    quiet(faults);
    faults.aims.clear();
    let troubles = [
        Fault::CutOneWay,
        Fault::CutBothWays,
        Fault::Isolate,
        Fault::Split,
        Fault::Pause,
        Fault::Crash,
        Fault::SlowDisk,
        Fault::Deafen,
    ];
    for trouble in troubles {
        faults.weigh(trouble, if rng.chance(0.4) { 4 } else { 0 });
    }
    // Somebody does not hear that reads, or writes, have moved.
    let away = [
        Fault::Isolate,
        Fault::Isolate,
        Fault::Isolate,
        Fault::Isolate,
        Fault::Pause,
        Fault::Split,
        Fault::Deafen,
        Fault::Crash,
        Fault::SlowDisk,
    ];
    let target = if rng.chance(0.7) { Target::Other } else { Target::Itself };
    let chance = *rng.pick(&[0.2, 0.5]);
    faults.aims.push(Aim { moment: Moment::AdoptedFirst, fault: *rng.pick(&away), target, chance });
    if rng.chance(0.4) {
        faults.aims.push(draw_aim_at(rng, &MOVING, &troubles));
    }
    faults.every_us = rng.spread(500_000, 4_000_000);
    let trouble_us = rng.spread(500_000, 4_000_000);
    faults.trouble_us = (trouble_us / 2, trouble_us);
    let down_us = rng.spread(10_000, 2_000_000);
    faults.down_us = (down_us / 4, down_us);
    faults.budget = u32::try_from(rng.between(4, 16)).unwrap_or(4);
    plan.disk.slow_sync_us = (20_000, rng.spread(50_000, 1_000_000));
}
