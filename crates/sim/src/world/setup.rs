//! What a run begins with: machines, their clocks, and what the cluster is founded with.

use quorate_protocol::id::ClusterId;
use quorate_protocol::layout::{Bootstrap, Member};

use crate::checks::{Violation, violation};
use crate::clock::MachineClock;
use crate::host::Host;
use crate::plan::Plan;
use crate::rng::SimRng;

/// Machines with new directories, their processes running.
pub(super) fn start_hosts(
    plan: &Plan,
    lives: &mut SimRng,
    nodes: &mut SimRng,
) -> Result<Vec<Host>, Violation> {
    let mut hosts = Vec::with_capacity(plan.nodes);
    for _ in 0..plan.machines() {
        let drift = i64::from(plan.clock.drift_ppm);
        let drift_ppm = lives.between(0, 2 * drift.unsigned_abs()).cast_signed() - drift;
        let clock = MachineClock::new(
            0,
            lives.between(0, 1 << 40),
            i32::try_from(drift_ppm).unwrap_or(0),
            skew(plan.clock.skew_ms, lives),
        );
        let mut host = Host::new(clock);
        host.start(&plan.limits, nodes)
            .map_err(|error| violation("lives", format!("a new directory does not start: {error}")))?;
        hosts.push(host);
    }
    Ok(hosts)
}

/// How far a wall clock is ahead.
pub(super) fn skew(most_ms: u64, rng: &mut SimRng) -> i64 {
    rng.between(0, 2 * most_ms).cast_signed() - most_ms.cast_signed()
}

/// What the cluster is founded with.
pub(super) fn bootstrap(plan: &Plan, hosts: &[Host], rng: &mut SimRng) -> Bootstrap {
    let members = hosts.iter().enumerate().map(|(index, host)| Member {
        node: host.id,
        name: crate::describe::node(index),
        peer_address: format!("{}:7702", crate::describe::node(index)),
        zone: format!("zone{}", index % plan.zones),
        weight: 1,
    });
    Bootstrap {
        cluster: ClusterId(u128::from(rng.bits()) << 64 | u128::from(rng.bits())),
        partitions: plan.partitions,
        n: plan.n,
        r: plan.r,
        w: plan.w,
        members: members.collect(),
        buckets: plan.buckets.iter().map(crate::plan::BucketPlan::settings).collect(),
    }
}
