//! A delete at its coordinator: what the client has seen goes, and is remembered as seen.

use super::write::Writing;
use super::{Asked, Target, timed_out};
use crate::node::Node;
use crate::operation::OperationError;
use crate::turn::Turn;
use crate::version::{Container, Context, ContextToken};
use crate::working_set::Held;

/// A delete that knows what to delete and waits for its key's container.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) target: Target,
    pub(super) seen: Context,
    /// Whether `seen` was read for it, and the client does not have it yet.
    after_read: bool,
}

impl Waiting {
    pub(super) fn new(target: Target, seen: Context, after_read: bool) -> Self {
        Self { target, seen, after_read }
    }

    /// Whether what it deletes was read for it.
    pub(super) fn is_after_read(&self) -> bool {
        self.after_read
    }

    /// The time is over, and nothing was changed.
    pub(super) fn expired(&self, token: ContextToken) -> OperationError {
        let context = self.after_read.then_some(token);
        let failure = timed_out(self.target.quorums.needed_to_write(), 0);
        OperationError { context, ..OperationError::not_attempted(failure) }
    }
}

impl Node {
    /// The key's container is here.
    pub(super) fn delete_loaded(&mut self, turn: &mut Turn<'_>, asked: Asked, waiting: Waiting, held: Held) {
        let Waiting { target, mut seen, after_read } = waiting;
        if target.quorums.lww {
            seen.join(&held.container.context);
        }
        let mut container = Container::clone(&held.container);
        container.remove(&seen);
        let held = if container == *held.container {
            held
        } else {
            container.expire(turn.now.wall_ms, target.quorums.lww);
            let encoded = container.pack();
            self.write_here(turn, &target, container, encoded)
        };
        let tally = self.write_tally(&target);
        self.write(turn, asked, Writing::of_delete(target, seen, after_read, held, tally));
    }
}
