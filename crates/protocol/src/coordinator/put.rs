//! A put at its coordinator: the next version of the key is made here, atomically.

use super::write::Writing;
use super::{Asked, Target};
use crate::node::Node;
use crate::operation::{Failure, OperationError, Put};
use crate::turn::Turn;
use crate::version::{Container, Context, Sibling};
use crate::working_set::Held;

/// A put that waits for its key's container.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) target: Target,
    put: Put,
    seen: Context,
    /// How long the value is shown; none: until it is replaced.
    ttl_ms: Option<u64>,
}

impl Waiting {
    /// The operation as it came, for another coordinator.
    pub(super) fn into_put(self) -> Put {
        self.put
    }

    pub(super) fn new(target: Target, put: Put, seen: Context, ttl_ms: Option<u64>) -> Self {
        Self { target, put, seen, ttl_ms }
    }
}

impl Node {
    /// The key's container is here.
    pub(super) fn put_loaded(&mut self, turn: &mut Turn<'_>, asked: Asked, waiting: Waiting, held: Held) {
        let Waiting { target, put, mut seen, ttl_ms } = waiting;
        if target.quorums.lww {
            // The last writer wins over everything that this coordinator knows.
            seen.join(&held.container.context);
        }
        let living = held.container.sibling_of(put.operation);
        if living.is_some_and(|living| living.value != put.value || living.content_type != put.content_type) {
            let reason = "another value was put to the key under it".to_owned();
            let failure = Failure::Invalid { field: "operation_id", reason };
            self.finish(turn, asked.source, Err(OperationError::not_attempted(failure)));
            return;
        }
        let recent = || self.coordinator.recent.put_dot(put.operation, &target.key);
        let earlier = living
            .map(|sibling| sibling.dot)
            // A damaged record may have taken along what was put: then it has to be put again.
            .or_else(|| recent().filter(|&dot| held.container.context.covers(dot)));
        let (dot, held) = match earlier {
            // A retry: it takes effect once. What there is now is replicated and acknowledged again.
            Some(dot) => (dot, held),
            None => {
                let wall_ms = turn.now.wall_ms;
                let mut container = Container::clone(&held.container);
                container.expire(wall_ms, target.quorums.lww);
                if let Err(failure) = self.check_room(&container, &put, &seen) {
                    self.finish(turn, asked.source, Err(OperationError::not_attempted(failure)));
                    return;
                }
                let dot = self.authors.next_dot(target.place, target.key.partition, &mut self.rng);
                // A new life has not seen the clocks of what it finds on its own disk.
                held.container.siblings.iter().for_each(|sibling| self.hlc.observe(sibling.hlc));
                let hlc = self.hlc.tick(wall_ms);
                let sibling = Sibling {
                    dot,
                    hlc,
                    operation: put.operation,
                    expiry: ttl_ms.map(|ttl_ms| wall_ms.saturating_add(ttl_ms)),
                    content_type: put.content_type,
                    value: put.value,
                };
                container.put(&seen, sibling);
                let encoded = container.pack();
                let held = self.write_here(turn, &target, container, encoded);
                self.coordinator.recent.remember_put(turn.time(), put.operation, target.key.clone(), dot);
                (dot, held)
            }
        };
        let tally = self.write_tally(&target);
        self.write(turn, asked, Writing::of_put(target, seen, dot, held, tally));
    }

    /// Writes that have seen nothing pile up as siblings; there is an end to that.
    fn check_room(&self, container: &Container, put: &Put, seen: &Context) -> Result<(), Failure> {
        let limits = &self.config.limits;
        if !seen.is_empty() {
            return Ok(());
        }
        let siblings = container.siblings.len();
        if siblings >= limits.siblings {
            return Err(Failure::ReadFirst(format!(
                "the key has {siblings} siblings, and a write without a context is taken up to {}",
                limits.siblings
            )));
        }
        let bytes = container.value_bytes() + put.value.len();
        if siblings > 0 && bytes > limits.container_bytes {
            return Err(Failure::ReadFirst(format!(
                "the key's siblings would be {bytes} bytes, and a write without a context is taken up to {}",
                limits.container_bytes
            )));
        }
        Ok(())
    }
}
