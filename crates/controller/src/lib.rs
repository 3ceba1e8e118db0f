//! The Kubernetes operator of Quorate: it watches `QuorateCluster` resources and makes them so.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`crd`] | the resource: what people ask for, and what they are told |
//! | [`observed`] | what there is, as plain data |
//! | [`plan`] | what to do next, and what to tell: a pure function |
//! | [`render`] | the objects that Kubernetes is to hold for a cluster |

pub mod crd;
pub mod observed;
pub mod plan;
pub mod render;
