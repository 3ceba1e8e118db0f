//! The Kubernetes operator of Quorate: it watches `QuorateCluster` resources and makes them so.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`crd`] | the resource: what people ask for, and what they are told |
//! | [`observed`] | what there is, as plain data |
//! | [`plan`] | what to do next, and what to tell: a pure function |
//! | [`nodes`] | asking nodes, over `Admin` only |
//! | [`reconcile`] | reading, having it judged, doing what is due |
//! | [`lease`] | one replica acts |
//! | [`metrics`] | what the operator tells of itself |
//! | [`render`] | the objects that Kubernetes is to hold for a cluster |

pub mod crd;
pub mod lease;
pub mod metrics;
pub mod nodes;
pub mod observed;
pub mod plan;
pub mod reconcile;
pub mod render;
