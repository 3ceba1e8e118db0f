//! One layout per epoch, the same on all nodes, and no node ever goes back, not over a crash either.

use std::collections::BTreeMap;

use quorate_protocol::id::Epoch;
use quorate_protocol::layout::Layout;

use super::{Check, violation};

/// Remembers who held what.
#[derive(Debug, Default)]
pub struct EpochWitness {
    digests: BTreeMap<Epoch, u128>,
    held: BTreeMap<usize, Epoch>,
}

impl EpochWitness {
    /// A machine comes back as another node, which has held nothing.
    pub fn is_new(&mut self, node: usize) {
        self.held.remove(&node);
    }

    /// A node says that it holds a layout durably, or comes up with it.
    pub fn holds(&mut self, node: usize, layout: Option<&Layout>) -> Check {
        let epoch = layout.map_or(Epoch(0), |layout| layout.epoch);
        let before = self.held.insert(node, epoch).unwrap_or_default();
        if epoch < before {
            return Err(violation(
                "epochs",
                format!("node {} held epoch {before} and now holds {epoch}", node + 1),
            ));
        }
        let Some(layout) = layout else { return Ok(()) };
        let digest = layout.digest();
        if *self.digests.entry(epoch).or_insert(digest) != digest {
            return Err(violation(
                "epochs",
                format!("node {} holds another layout of epoch {epoch}", node + 1),
            ));
        }
        Ok(())
    }
}

/// Operations are counted in a layout's epoch only.
pub(super) fn answered(epoch: Epoch) -> Check {
    if epoch == Epoch(0) {
        return Err(violation("epochs", "an operation was counted without a layout".into()));
    }
    Ok(())
}
