//! What a run of a setting is like. Everything is fixed, so that settings can be compared; only the seed differs.

use quorate_observe::{Faults, Keys, Mode, Setting};
use quorate_protocol::Limits;
use quorate_protocol::layout::{ConflictPolicy, DEFAULT_BUCKET, QuorumMode};

use crate::faults::{FAULTS, Fault, FaultPlan};
use crate::network::NetworkPlan;
use crate::plan::{BucketPlan, ClockPlan, DiskPlan, Plan};
use crate::workload::{STEPS, Step, WorkloadPlan};

/// As in the published table that ours is compared with: 20 nodes, 3 clients, 2 ms from node to node.
const NODES: usize = 20;
const CLIENTS: usize = 3;
const DELAY_US: u64 = 2_000;

/// Operations of the clients together, probes not counted.
const OPERATIONS: usize = 400;
const CLUSTERED_KEYS: usize = 3;
const SPREAD_KEYS: usize = 48;
const PARTITIONS: u32 = 64;
/// A write that lost a message is sent again after 400 ms: it has the time for that.
const TIMEOUT_US: u64 = 1_000_000;

/// The plan of a run.
pub fn plan_for(setting: Setting) -> Plan {
    Plan {
        nodes: NODES,
        partitions: PARTITIONS,
        n: setting.n,
        r: setting.r,
        w: setting.w,
        zones: 1,
        buckets: vec![BucketPlan {
            name: DEFAULT_BUCKET.into(),
            quorum: None,
            conflict: ConflictPolicy::Siblings,
            mode: match setting.mode {
                Mode::Strict => QuorumMode::Strict,
                Mode::Sloppy => QuorumMode::Sloppy,
            },
            ttl: None,
        }],
        keys: match setting.keys {
            Keys::Clustered => CLUSTERED_KEYS,
            Keys::Spread => SPREAD_KEYS,
        },
        limits: Limits::default(),
        bootstrap_in_peace: true,
        exchange_in_trouble: true,
        alone: true,
        comparisons_lost: 0.0,
        forget_all: false,
        repair: false,
        workload: workload(),
        network: network(setting.faults),
        disk: DiskPlan { sync_us: (500, 1_500), slow_sync_us: (500, 1_500), read_us: (20, 100) },
        clock: ClockPlan { drift_ppm: 0, skew_ms: 0, timer_lag_us: 0 },
        faults: faults(setting.faults),
        moves: None,
    }
}

fn workload() -> WorkloadPlan {
    let mut plan = WorkloadPlan {
        clients: CLIENTS,
        operations: OPERATIONS,
        think_us: (500, 3_500),
        lulls_us: None,
        weights: [0; STEPS.len()],
        timeout_us: (TIMEOUT_US, TIMEOUT_US),
        // The node's own verdict comes first.
        patience: 1.1,
        retry: 0.0,
        read_after: 0.0,
        own_quorum: 0.0,
        long_value: 0.0,
        own_ttl: 0.0,
        ttls: Vec::new(),
        // Through the first owner alone, to which other nodes pass requests on, hardly anything would be stale.
        to_owners: true,
        probers: 2,
        probe_us: (500, 1_500),
    };
    plan.weigh(Step::Get, 1);
    plan.weigh(Step::PutNewest, 1);
    plan
}

fn network(faults: Faults) -> NetworkPlan {
    NetworkPlan {
        delay_us: (DELAY_US, DELAY_US),
        jitter_us: 0,
        spike: if faults == Faults::Heavy { 0.02 } else { 0.0 },
        spike_us: 50_000,
        loss: match faults {
            Faults::None => 0.0,
            Faults::Light => 0.005,
            Faults::Heavy => 0.05,
        },
        duplicate: 0.0,
        late: 0.0,
        late_us: 0,
        in_order: false,
        split_batches: false,
        told: 0.5,
        notice_us: 20_000,
        connect_us: 5_000,
        last_words: 0.5,
    }
}

fn faults(faults: Faults) -> FaultPlan {
    let mut plan = FaultPlan::none();
    if faults == Faults::Heavy {
        plan = FaultPlan {
            every_us: 10_000,
            weights: [0; FAULTS.len()],
            aims: Vec::new(),
            mid_event_crash: 0.0,
            budget: 200,
            down_us: (50_000, 300_000),
            trouble_us: (20_000, 200_000),
            suspend_long: 0.0,
        };
        for (fault, weight) in [
            (Fault::Crash, 4),
            (Fault::Pause, 4),
            (Fault::CutOneWay, 3),
            (Fault::CutBothWays, 3),
            (Fault::Isolate, 3),
            (Fault::Split, 1),
            (Fault::DropConnection, 2),
            (Fault::SlowDisk, 2),
        ] {
            plan.weigh(fault, weight);
        }
    }
    plan
}
