//! Families about failures of nodes, disks, clocks and the network, with the layout as it is.

use std::time::Duration;

use quorate_protocol::layout::QuorumMode;

use super::quiet;
use crate::faults::{FORGETTING, Fault, draw_aim, draw_aim_at};
use crate::plan::{BucketPlan, Plan};
use crate::rng::SimRng;
use crate::workload::Step;

pub(super) fn crash(plan: &mut Plan, rng: &mut SimRng) {
    quiet(&mut plan.faults);
    plan.faults.every_us = rng.spread(2_000, 20_000);
    plan.faults.weigh(Fault::Crash, 10);
    plan.faults.weigh(Fault::CrashAll, 3);
    for _ in 0..2 {
        plan.faults.aims.push(draw_aim(rng, &[Fault::Crash, Fault::CrashAll]));
    }
    plan.faults.mid_event_crash = *rng.pick(&[0.0, 0.002, 0.01]);
    plan.faults.budget = 40;
    plan.disk.sync_us = (500, rng.spread(1_000, 20_000));
}

pub(super) fn partition(plan: &mut Plan, rng: &mut SimRng) {
    quiet(&mut plan.faults);
    plan.faults.every_us = rng.spread(2_000, 20_000);
    let cuts = [
        Fault::CutOneWay,
        Fault::CutBothWays,
        Fault::Mute,
        Fault::Deafen,
        Fault::Isolate,
        Fault::Split,
        Fault::DropConnection,
    ];
    for cut in cuts {
        plan.faults.weigh(cut, if rng.chance(0.6) { 5 } else { 0 });
    }
    plan.faults.weigh(Fault::Crash, 1);
    plan.faults.aims.push(draw_aim(rng, &cuts));
    plan.faults.budget = 40;
    plan.network.told = *rng.pick(&[0.0, 0.5, 1.0]);
}

pub(super) fn slow_disk(plan: &mut Plan, rng: &mut SimRng) {
    quiet(&mut plan.faults);
    plan.faults.every_us = rng.spread(2_000, 20_000);
    plan.faults.weigh(Fault::SlowDisk, 10);
    plan.faults.weigh(Fault::Crash, 3);
    plan.faults.weigh(Fault::CrashAll, 2);
    plan.faults.weigh(Fault::FullDisk, u32::from(rng.chance(0.3)));
    if rng.chance(0.5) {
        // So little may wait for the disk that something is refused.
        plan.limits.client_operations = 1 + rng.below(6);
        plan.limits.replica_requests = 1 + rng.below(6);
    }
    plan.faults.aims.push(draw_aim(rng, &[Fault::Crash, Fault::CrashAll, Fault::SlowDisk]));
    plan.faults.budget = 40;
    plan.disk.sync_us = (1_000, rng.spread(5_000, 50_000));
    plan.disk.slow_sync_us = (20_000, 200_000);
}

pub(super) fn bad_disk(plan: &mut Plan, rng: &mut SimRng) {
    quiet(&mut plan.faults);
    plan.faults.every_us = rng.spread(1_000, 20_000);
    plan.faults.weigh(Fault::DamagedRecord, 10);
    plan.faults.weigh(Fault::FullDisk, if rng.chance(0.3) { 3 } else { 0 });
    plan.faults.weigh(Fault::CutOneWay, if rng.chance(0.5) { 3 } else { 0 });
    plan.faults.weigh(Fault::Crash, 1);
    plan.faults.budget = 40;
    let trouble_us = rng.spread(20_000, 200_000);
    plan.faults.trouble_us = (trouble_us / 4, trouble_us);
    plan.limits.cache_bytes = 0;
    // With w = 1 a lost record may be the only one, so none is damaged then.
    plan.w = plan.w.max(2);
    plan.faults.aims.push(draw_aim(rng, &[Fault::DamagedRecord, Fault::Crash]));
    plan.workload.weigh(Step::Get, 8);
    plan.workload.read_after = 1.0;
}

pub(super) fn retry(plan: &mut Plan, rng: &mut SimRng) {
    plan.workload.retry = 0.9;
    plan.workload.patience = *rng.pick(&[0.1, 0.5, 1.2]);
    plan.network.loss = *rng.pick(&[0.0, 0.05, 0.2]);
    plan.network.duplicate = *rng.pick(&[0.0, 0.2, 0.5]);
    plan.faults.weigh(Fault::Crash, 5);
    plan.faults.weigh(Fault::DropConnection, 5);
    plan.faults.weigh(Fault::CutOneWay, 3);
    plan.faults.aims.push(draw_aim(rng, &[Fault::Crash, Fault::DropConnection, Fault::Pause, Fault::Mute]));
    // More nodes than owners, so that much is forwarded.
    plan.nodes = (plan.nodes + 2).min(7);
    for (step, weight) in [(Step::PutBlind, 6), (Step::PutNewest, 6), (Step::Get, 3)] {
        plan.workload.weigh(step, weight);
    }
}

pub(super) fn last_writer(plan: &mut Plan, rng: &mut SimRng) {
    plan.buckets = vec![BucketPlan::last_writer_wins("default")];
    plan.clock.skew_ms = 4 * 3_600_000;
    plan.faults.weigh(Fault::WallJump, 10);
    plan.workload.weigh(Step::DeleteBlind, if rng.chance(0.5) { 2 } else { 0 });
    plan.workload.weigh(Step::PutBlind, 6);
    plan.workload.weigh(Step::Get, 4);
}

pub(super) fn delete(plan: &mut Plan, rng: &mut SimRng) {
    plan.workload.weigh(Step::DeleteSeen, 6);
    plan.workload.weigh(Step::DeleteBlind, if rng.chance(0.5) { 4 } else { 0 });
    plan.workload.weigh(Step::PutBlind, 4);
    plan.workload.weigh(Step::Get, 6);
    plan.workload.weigh(Step::List, 2);
    plan.workload.read_after = 1.0;
    // Replicas miss deletes, and hear of them again only from a read.
    plan.network.loss = *rng.pick(&[0.05, 0.2, 0.4]);
    plan.faults.weigh(Fault::CutOneWay, 6);
    plan.faults.weigh(Fault::Isolate, 3);
    plan.faults.weigh(Fault::Deafen, 3);
}

pub(super) fn sloppy(plan: &mut Plan, rng: &mut SimRng) {
    partition(plan, rng);
    for bucket in &mut plan.buckets {
        bucket.mode = QuorumMode::Sloppy;
    }
    plan.faults.weigh(Fault::Crash, 4);
    plan.faults.weigh(Fault::Isolate, 5);
    plan.faults.weigh(Fault::Split, 5);
    plan.faults.aims.push(draw_aim(rng, &[Fault::Crash, Fault::Isolate, Fault::DropConnection]));
    let aimed = [Fault::Crash, Fault::CrashAll, Fault::Isolate, Fault::CutBothWays, Fault::SlowDisk];
    for _ in 0..rng.below(3) {
        plan.faults.aims.push(draw_aim_at(rng, &FORGETTING, &aimed));
    }
    if rng.chance(0.5) {
        // Hints come to their owners while clients go on.
        let think_us = rng.spread(5_000, 60_000);
        plan.workload.think_us = (think_us / 4, think_us);
        plan.workload.operations = 60 + rng.below(100);
        plan.faults.every_us = rng.spread(20_000, 200_000);
        plan.faults.weigh(Fault::CutBothWays, 6);
        plan.faults.weigh(Fault::SlowDisk, 3);
        plan.keys = 1;
        plan.partitions = 1;
    }
    if rng.chance(0.3) {
        plan.limits.hint_age = Duration::from_micros(rng.spread(10_000, 1_000_000));
    }
    // Somebody must be there to stand in.
    plan.nodes = (plan.n as usize + 1 + rng.below(3)).min(7);
    plan.network.told = *rng.pick(&[0.5, 0.9, 1.0]);
    let trouble_us = rng.spread(100_000, 3_000_000);
    plan.faults.trouble_us = (trouble_us / 4, trouble_us);
    plan.faults.down_us = (trouble_us / 8, trouble_us / 2);
    match rng.below(4) {
        0 => sloppy_alone(plan, rng),
        1 => sloppy_pairs(plan, rng),
        _ => {}
    }
}

/// One node after the other is cut off for a moment, takes writes alone, and comes back.
fn sloppy_alone(plan: &mut Plan, rng: &mut SimRng) {
    (plan.r, plan.w) = (plan.n, 1);
    quiet(&mut plan.faults);
    plan.faults.aims.clear();
    plan.faults.weigh(Fault::Isolate, 10);
    often_and_short(plan, rng);
    plan.nodes = plan.n as usize + 1;
    plan.workload.weigh(Step::PutBlind, 9);
    plan.workload.weigh(Step::DeleteBlind, 0);
    plan.network.loss = 0.0;
}

/// Pairs of nodes do not hear each other while both talk with the others: one gives a fallback what that is bringing to
/// the other just now. All owners have to have each write, or somebody in their place.
fn sloppy_pairs(plan: &mut Plan, rng: &mut SimRng) {
    (plan.r, plan.w) = (1, plan.n);
    quiet(&mut plan.faults);
    plan.faults.aims.clear();
    plan.faults.weigh(Fault::CutBothWays, 10);
    plan.faults.weigh(Fault::Crash, u32::from(rng.chance(0.3)));
    often_and_short(plan, rng);
    let think_us = rng.spread(1_000, 10_000);
    plan.workload.think_us = (think_us / 4, think_us);
    // A delivery lasts as long as a sync.
    plan.disk.sync_us = (1_000, rng.spread(5_000, 50_000));
    plan.network.loss = 0.0;
}

fn often_and_short(plan: &mut Plan, rng: &mut SimRng) {
    plan.keys = 1;
    plan.partitions = 1;
    plan.network.told = 1.0;
    plan.network.notice_us = 1_000;
    let trouble_us = rng.spread(30_000, 300_000);
    plan.faults.trouble_us = (trouble_us / 4, trouble_us);
    plan.faults.every_us = trouble_us;
    plan.faults.budget = 25;
    let think_us = rng.spread(5_000, 60_000);
    plan.workload.think_us = (think_us / 4, think_us);
    plan.workload.operations = 60 + rng.below(100);
}

pub(super) fn founding(plan: &mut Plan, rng: &mut SimRng) {
    plan.bootstrap_in_peace = false;
    plan.workload.operations = 5 + rng.below(20);
    quiet(&mut plan.faults);
    plan.faults.every_us = rng.spread(200, 5_000);
    for fault in
        [Fault::Crash, Fault::Pause, Fault::FullDisk, Fault::DropConnection, Fault::Isolate, Fault::CutOneWay]
    {
        plan.faults.weigh(fault, if rng.chance(0.5) { 5 } else { 0 });
    }
    plan.faults
        .aims
        .push(draw_aim(rng, &[Fault::Crash, Fault::DropConnection, Fault::Isolate, Fault::FullDisk]));
    plan.faults.budget = 20;
    plan.network.connect_us = rng.spread(100, 20_000);
}

pub(super) fn liveness(plan: &mut Plan, rng: &mut SimRng) {
    plan.network.delay_us = (100, rng.spread(200, 1_000));
    plan.network.jitter_us = rng.spread(10, 500);
    plan.network.told = *rng.pick(&[0.0, 0.0, 0.5, 1.0]);
    // Operations last as long as the faults.
    let think_us = rng.spread(20_000, 200_000);
    plan.workload.think_us = (think_us / 4, think_us);
    plan.workload.operations = 20 + rng.below(40);
    plan.workload.timeout_us = (20_000, rng.spread(50_000, 500_000));
    quiet(&mut plan.faults);
    plan.faults.every_us = rng.spread(100_000, 1_000_000);
    let troubles = [
        Fault::Crash,
        Fault::Pause,
        Fault::Isolate,
        Fault::Split,
        Fault::CutOneWay,
        Fault::Mute,
        Fault::Deafen,
        Fault::DropConnection,
    ];
    for trouble in troubles {
        plan.faults.weigh(trouble, if rng.chance(0.5) { 5 } else { 0 });
    }
    plan.faults.weigh(Fault::Pause, 3);
    plan.faults.aims.clear();
    plan.faults.budget = 12;
    plan.faults.down_us = (1_000, rng.spread(100_000, 5_000_000));
    plan.faults.trouble_us = (1_000, rng.spread(100_000, 5_000_000));
}

pub(super) fn anti_entropy(plan: &mut Plan, rng: &mut SimRng) {
    plan.limits.read_repair = false;
    plan.limits.hints = 0;
    for bucket in &mut plan.buckets {
        bucket.mode = QuorumMode::Strict;
    }
    plan.alone = true;
    plan.network.loss = *rng.pick(&[0.05, 0.2, 0.4]);
    quiet(&mut plan.faults);
    plan.faults.every_us = rng.spread(2_000, 20_000);
    for fault in [Fault::CutOneWay, Fault::Isolate, Fault::Split, Fault::Crash, Fault::CrashAll] {
        plan.faults.weigh(fault, if rng.chance(0.5) { 5 } else { 0 });
    }
    plan.faults.budget = 30;
    plan.workload.weigh(Step::PutNewest, 6);
}

pub(super) fn purge(plan: &mut Plan, rng: &mut SimRng) {
    delete(plan, rng);
    plan.keys = 1 + rng.below(2);
    plan.partitions = 1;
    plan.forget_all = rng.chance(0.5);
    plan.workload.operations = 50 + rng.below(80);
    let think_us = rng.spread(1_000, 40_000);
    plan.workload.think_us = (think_us / 4, think_us);
    // Often the last thing before a lull is a delete.
    plan.workload.weigh(Step::DeleteSeen, 9);
    plan.workload.weigh(Step::PutOld, if rng.chance(0.5) { 3 } else { 0 });
    for step in [Step::PutBlind, Step::PutNewest, Step::PutAfterPut] {
        plan.workload.weigh(step, 1 + u32::from(rng.chance(0.3)));
    }
    let timeout_us = rng.spread(30_000, 1_500_000);
    plan.workload.timeout_us = (timeout_us / 2, timeout_us);
    // Some messages come very late, or once more then.
    plan.network.loss = *rng.pick(&[0.0, 0.02, 0.1, 0.3]);
    plan.network.spike = *rng.pick(&[0.0, 0.0, 0.05, 0.2]);
    plan.network.spike_us = rng.spread(50_000, 2_000_000);
    plan.network.late = *rng.pick(&[0.0, 0.1, 0.5]);
    plan.limits.context_entries = rng.below(3);
    quiet(&mut plan.faults);
    plan.faults.suspend_long = 0.0;
    let troubles = [
        Fault::Pause,
        Fault::Suspend,
        Fault::Crash,
        Fault::Isolate,
        Fault::CutOneWay,
        Fault::CutBothWays,
        Fault::Deafen,
        Fault::SlowDisk,
    ];
    for fault in troubles {
        plan.faults.weigh(fault, if rng.chance(0.5) { 4 } else { 0 });
    }
    plan.faults.aims.clear();
    for _ in 0..rng.below(3) {
        plan.faults.aims.push(draw_aim_at(rng, &FORGETTING, &troubles));
    }
    plan.faults.every_us = rng.spread(50_000, 500_000);
    let trouble_us = rng.spread(50_000, 1_500_000);
    plan.faults.trouble_us = (trouble_us / 4, trouble_us);
    plan.faults.down_us = (1_000, trouble_us / 2);
    plan.faults.budget = 10;
    plan.nodes = plan.nodes.min(plan.n as usize + 1);
    plan.disk.slow_sync_us = (10_000, rng.spread(20_000, 500_000));
    if rng.chance(0.5) {
        for bucket in &mut plan.buckets {
            bucket.mode = QuorumMode::Sloppy;
        }
        plan.nodes = (plan.n as usize + 1 + rng.below(2)).min(7);
    }
}

pub(super) fn expiry(plan: &mut Plan, rng: &mut SimRng) {
    if rng.chance(0.6) {
        // Writers that do not know of each other, so that a last value hides others.
        plan.buckets = vec![BucketPlan::last_writer_wins("default")];
        plan.keys = 1;
        plan.workload.clients = 4 + rng.below(4);
    }
    plan.clock.skew_ms = *rng.pick(&[0, 0, 1_000, 4 * 3_600_000]);
    plan.faults.weigh(Fault::WallJump, if rng.chance(0.5) { 10 } else { 0 });
    // Replicas miss values that expire, and hear of them after.
    plan.network.loss = *rng.pick(&[0.0, 0.05, 0.3]);
    plan.faults.weigh(Fault::CutOneWay, 4);
    plan.faults.weigh(Fault::Isolate, 2);
    for (step, weight) in [(Step::PutBlind, 5), (Step::PutNewest, 2), (Step::Get, 8), (Step::List, 2)] {
        plan.workload.weigh(step, weight);
    }
    plan.workload.retry = *rng.pick(&[0.0, 0.5, 0.9]);
    plan.workload.think_us = (1_000, rng.spread(5_000, 100_000));
}
