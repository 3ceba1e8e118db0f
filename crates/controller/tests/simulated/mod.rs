//! A small Kubernetes with a small Quorate cluster in it, in which plans are carried out. Each tick is two seconds; nothing is random
//! but what a test throws in.
//!
//! | file | what it is |
//! | --- | --- |
//! | `kubernetes` | the StatefulSet's controller, pods, claims |
//! | `quorate` | layouts, and what each node knows of them |
//! | `never` | what no plan may ever do, asserted before each action is carried out |

mod kubernetes;
mod never;
mod quorate;

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use quorate_controller::crd::QuorateCluster;
use quorate_controller::observed::Observed;
use quorate_controller::plan::{Action, Change, Plan, plan};
use serde_json::json;

pub(crate) use kubernetes::{BAD_IMAGE, Claim, Pod, Set};
pub(crate) use quorate::Quorate;

/// Names what the world's id counters number.
pub(crate) type NodeId = u64;

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) cluster: QuorateCluster,
    pub(crate) set: Option<Set>,
    pub(crate) pods: BTreeMap<i32, Pod>,
    pub(crate) claims: BTreeMap<i32, Claim>,
    pub(crate) quorate: Quorate,
    /// What the operator keeps in its memory.
    pub(crate) strangers_since: BTreeMap<NodeId, Timestamp>,
    /// What was done, in order, in words.
    pub(crate) log: Vec<String>,
    pub(crate) random: Random,
    /// Of a hundred actions, so many find that the operator is dead afterwards, and its memory is lost.
    pub(crate) crashes: u64,
    counter: u64,
}

/// Numbers that look random, and are the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}

impl World {
    pub(crate) fn new(seed: u64, replicas: i32) -> Self {
        let spec = json!({
            "replicas": replicas,
            "image": "quorate:1",
            "storage": { "size": "1Gi", "retention": { "whenDeleted": "Retain", "whenScaled": "Retain" } },
        });
        let mut cluster = QuorateCluster::new("ex", serde_json::from_value(spec).expect("a spec"));
        cluster.metadata.namespace = Some("ns".into());
        cluster.metadata.uid = Some("01234567-89ab-cdef-0123-456789abcdef".into());
        cluster.metadata.generation = Some(1);
        Self {
            now: Timestamp::from_second(1_000_000).expect("a time"),
            cluster,
            set: None,
            pods: BTreeMap::new(),
            claims: BTreeMap::new(),
            quorate: Quorate::default(),
            strangers_since: BTreeMap::new(),
            log: Vec::new(),
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            crashes: 0,
            counter: 0,
        }
    }

    fn unique(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A world of so many members that is as it is to be.
    pub(crate) fn settled(seed: u64, replicas: i32) -> Self {
        let mut world = Self::new(seed, replicas);
        world.settle();
        world.log.clear();
        world
    }

    /// What the operator sees now.
    pub(crate) fn observe(&mut self) -> Observed {
        let pods = self.seen_pods();
        let claims = self.claims.iter().map(|(&at, claim)| (at, claim.seen())).collect();
        let mut observed = Observed {
            cluster: self.cluster.clone(),
            now: self.now,
            refused_spec: None,
            stateful_set: self.set.as_ref().map(Set::seen),
            layout: self.quorate.newest_told(pods.values().filter_map(|pod| pod.node.node())),
            pods,
            claims,
            strangers_since: BTreeMap::new(),
            growth_refused: None,
        };
        let strangers: Vec<u64> = observed.strangers().map(|(_, node)| node.id).collect();
        self.strangers_since.retain(|id, _| strangers.contains(id));
        for id in strangers {
            self.strangers_since.entry(id).or_insert(self.now);
        }
        observed.strangers_since.clone_from(&self.strangers_since);
        observed
    }

    /// One look of the operator, and two seconds of everything else. Whether anything was done or told.
    pub(crate) fn tick(&mut self) -> bool {
        let observed = self.observe();
        let Plan { actions, status, .. } = plan(&observed);
        let mut did = false;
        for action in &actions {
            self.never(&observed, action);
            did |= self.act(action);
            if self.random.below(100) < self.crashes {
                self.strangers_since.clear();
                self.pass();
                return true;
            }
        }
        did |= self.cluster.status.as_ref() != Some(&status);
        self.cluster.status = Some(status);
        self.pass();
        self.never_at_all();
        did
    }

    fn pass(&mut self) {
        self.now += SignedDuration::from_secs(2);
        self.kubernetes_goes_on();
        self.quorate_goes_on();
    }

    /// Until nothing is done or told any more.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..3000 {
            quiet = if self.tick() || self.is_moving() { 0 } else { quiet + 1 };
            if quiet == 5 {
                return;
            }
        }
        let status = serde_json::to_string_pretty(&self.cluster.status).expect("a status");
        panic!("it does not settle: {status}\n{}", self.log.join("\n"));
    }

    /// Whether it is as it is to be.
    pub(crate) fn assert_as_asked(&self) {
        let spec = &self.cluster.spec;
        let layout = self.quorate.newest().expect("a layout");
        let told = || format!("{layout:#?}\n{:#?}\n{}", self.cluster.status, self.log.join("\n"));
        let mut names: Vec<String> = layout.members.iter().map(|member| member.name.clone()).collect();
        names.sort();
        let wanted: Vec<String> = (0..spec.replicas).map(|at| format!("ex-{at}")).collect();
        assert_eq!(names, wanted, "{}", told());
        assert_eq!(
            self.pods.keys().copied().collect::<Vec<_>>(),
            (0..spec.replicas).collect::<Vec<_>>(),
            "{}",
            told()
        );
        let bucket = layout.default_bucket().expect("a bucket");
        let replication = &spec.replication;
        assert_eq!(
            (layout.n.cast_signed(), bucket.r.cast_signed(), bucket.w.cast_signed()),
            (replication.factor, replication.read_quorum, replication.write_quorum),
            "{}",
            told()
        );
        for name in ["Ready", "Available", "LayoutStable", "StorageReady"] {
            assert_eq!(self.condition(name), "True", "{name}: {}", told());
        }
        for name in ["Progressing", "Degraded", "ScaleDownBlocked", "Paused"] {
            assert_eq!(self.condition(name), "False", "{name}: {}", told());
        }
        let revision = &self.set.as_ref().expect("a set").revision;
        assert!(self.pods.values().all(|pod| pod.revision == *revision), "{}", told());
    }

    pub(crate) fn condition(&self, name: &str) -> &str {
        let conditions = self.cluster.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .find(|condition| condition.type_ == name)
            .map_or("", |condition| &condition.status)
    }

    pub(crate) fn reason(&self, name: &str) -> &str {
        let conditions = self.cluster.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .find(|condition| condition.type_ == name)
            .map_or("", |condition| &condition.reason)
    }

    /// Carries an action out; whether anything is different.
    fn act(&mut self, action: &Action) -> bool {
        match action {
            Action::Apply { pods } => return self.apply(*pods),
            Action::Found { request, .. } => {
                let done = self.quorate.found(request);
                self.log.push(format!("found: {done:?}"));
            }
            Action::ChangeLayout { expected_epoch, order, change, ask } => {
                let up = self.running();
                let done = self.quorate.order(*expected_epoch, order, &up, ask);
                let asked = match change {
                    Change::Pause | Change::Resume => format!("{change:?}"),
                    _ => change.in_words(),
                };
                self.log.push(format!("{asked}: {done:?}"));
            }
            Action::DeletePod { ordinal, uid, why } => {
                self.log.push(format!("delete pod {ordinal}: {why}"));
                self.delete_pod(*ordinal, Some(uid));
            }
            Action::DeleteClaim { ordinal, uid } => {
                self.log.push(format!("delete claim {ordinal}"));
                if self.claims.get(ordinal).is_some_and(|claim| claim.uid == *uid) {
                    self.claims.remove(ordinal);
                }
            }
            Action::GrowClaim { ordinal, size, .. } => {
                self.log.push(format!("grow claim {ordinal} to {size}"));
                if let Some(claim) = self.claims.get_mut(ordinal) {
                    claim.size.clone_from(size);
                }
            }
        }
        true
    }
}
