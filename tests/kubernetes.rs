//! Scenarios on a real Kubernetes cluster, under a checker of acknowledged writes. `tests/kubernetes/run.sh` prepares one and runs them.
//!
//! They use whatever `KUBECONFIG` leads to, but only when `QUORATE_KUBERNETES_TEST_IMAGE` names an image that the cluster has: so no
//! `cargo test` touches a cluster by accident. Each test prints how long each of its scenarios took.
//!
//! | file | scenarios |
//! | --- | --- |
//! | `install` | 1: the way of a new user |
//! | `admission`, `bad_specs` | 2: what is refused, and how |
//! | `scaling` | 3, 4, 7, 14: nodes more and less, other quorums |
//! | `operator` | 5, 13, 15, 16: the operator killed, absent, brought back |
//! | `failures` | 6, 8, 9, 10: pods and volumes lost |
//! | `rolling` | 11, 12: another template, a bad image |
//! | `quiet` | 17: nothing is written when nothing is to be done |
//! | `partition` | 18: pods that do not reach each other |
//! | `harness` | what all of them use |

#[path = "kubernetes/admission.rs"]
mod admission;
#[path = "kubernetes/bad_specs.rs"]
mod bad_specs;
#[path = "kubernetes/failures.rs"]
mod failures;
#[path = "kubernetes/harness/mod.rs"]
mod harness;
#[path = "kubernetes/install.rs"]
mod install;
#[path = "kubernetes/operator.rs"]
mod operator;
#[path = "kubernetes/partition.rs"]
mod partition;
#[path = "kubernetes/quiet.rs"]
mod quiet;
#[path = "kubernetes/rolling.rs"]
mod rolling;
#[path = "kubernetes/scaling.rs"]
mod scaling;
