//! What clients ask of the layout.

use std::time::Duration;

use crate::effect::{ChangeError, Effect};
use crate::event::RequestId;
use crate::id::Epoch;
use crate::layout::{Layout, Order};
use crate::node::Node;
use crate::turn::Turn;

/// The time that the voters are given.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Node {
    /// Somebody wants another layout.
    pub(crate) fn on_change(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        expected: Option<Epoch>,
        order: &Order,
    ) {
        match self.successor(expected, order) {
            Ok(_) if self.proposals.is_busy() => {
                let result = Err(ChangeError::Busy);
                turn.effects.push(Effect::AnswerChange { request, result });
            }
            Ok(next) => self.propose(turn, Some((request, turn.time() + TIMEOUT)), Some(next)),
            Err(error) => turn.effects.push(Effect::AnswerChange { request, result: Err(error) }),
        }
    }

    /// The layout that would follow when this is asked now; nothing is changed. With the epoch that the asker has seen, when
    /// that is to matter.
    pub fn successor(&self, expected: Option<Epoch>, order: &Order) -> Result<Layout, ChangeError> {
        let held = self.layout.as_deref().ok_or(ChangeError::NotBootstrapped)?;
        if held.member(self.config.node).is_none() {
            return Err(ChangeError::NotAMember);
        }
        if self.standing.waits() {
            return Err(ChangeError::Starting);
        }
        if expected.is_some_and(|expected| expected != held.epoch) {
            return Err(ChangeError::ChangedMeanwhile { epoch: held.epoch });
        }
        if let Order::Alter(alteration) = order {
            for member in &alteration.add {
                if !self.links.is_there(member.node) && member.node != self.config.node {
                    return Err(ChangeError::Unreachable(member.node));
                }
            }
        }
        if !self.writable {
            return Err(ChangeError::DiskFull);
        }
        Ok(held.ordered(order)?)
    }
}
