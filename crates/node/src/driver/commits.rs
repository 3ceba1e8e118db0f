//! The way of the core's commits into the store: all of a turn as one batch, in order, again when the disk was full.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use quorate_protocol::store::{CommitNumber, Store, StoreError, StoreOp};

/// How often a store that was full is asked again.
const FULL_RETRY: Duration = Duration::from_millis(200);

/// Commits that the store has not reported durable.
#[derive(Debug, Default)]
pub(super) struct CommitQueue {
    /// Batches that the store has refused for want of room, oldest first, each with the core's number of its last commit.
    refused: VecDeque<(CommitNumber, Vec<StoreOp>)>,
    /// When the store is asked again, and why it refused.
    full: Option<(Instant, String)>,
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
        if let Some((retry, detail)) = &self.full
            && Instant::now() < *retry
        {
            return Ok(Some(detail.clone()));
        }
        while let Some((through, ops)) = self.refused.pop_front() {
            // Values are shared, so the copy that is kept for a refusal costs little.
            match store.submit(ops.clone()) {
                Ok(number) => self.submitted.push_back((number, through)),
                Err(StoreError::Full { detail }) => {
                    self.refused.push_front((through, ops));
                    self.full = Some((Instant::now() + FULL_RETRY, detail.clone()));
                    return Ok(Some(detail));
                }
                Err(error) => return Err(error),
            }
        }
        self.full = None;
        Ok(None)
    }

    /// When something that the store has refused is to be handed in again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.full.as_ref().map(|full| full.0)
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
