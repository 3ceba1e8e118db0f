//! The way of the core's commits into the store: all of a turn as one batch, in order, again when the disk was full.

use std::collections::VecDeque;

use quorate_protocol::store::{CommitNumber, Store, StoreError, StoreOp};

/// Commits that the store has not reported durable.
#[derive(Debug, Default)]
pub(super) struct CommitQueue {
    /// Batches that the store has refused for want of room, oldest first, each with the core's number of its last commit.
    refused: VecDeque<(CommitNumber, Vec<StoreOp>)>,
    /// The store's number of each batch, and the core's number of the batch's last commit.
    submitted: VecDeque<(CommitNumber, CommitNumber)>,
}

impl CommitQueue {
    /// Hands the store a turn's changes, whose last commit has the number `through`. Returns why the store takes no
    /// more, when it does not: the changes are kept and go in before all later ones. An `Err` is the store's end.
    pub(super) fn submit(
        &mut self,
        store: &impl Store,
        through: CommitNumber,
        ops: Vec<StoreOp>,
    ) -> Result<Option<String>, StoreError> {
        if !ops.is_empty() {
            self.refused.push_back((through, ops));
        }
        while let Some((through, ops)) = self.refused.pop_front() {
            // Values are shared, so the copy that is kept for a refusal costs little.
            match store.submit(ops.clone()) {
                Ok(number) => self.submitted.push_back((number, through)),
                Err(StoreError::Full { detail }) => {
                    self.refused.push_front((through, ops));
                    return Ok(Some(detail));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether the store has refused something that has to be handed in again.
    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The store is durable up to its number: up to which of the core's is that?
    pub(super) fn durable(&mut self, number: CommitNumber) -> Option<CommitNumber> {
        let mut through = None;
        while let Some(&(submitted, core)) = self.submitted.front()
            && submitted <= number
        {
            through = Some(core);
            self.submitted.pop_front();
        }
        through
    }
}
