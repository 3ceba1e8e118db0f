//! The way of the core's commits into the store: all of a turn as one batch, in order, again when the disk was full, and not before the
//! store has room, for it would make the loop wait, and all that shares its thread. (One batch larger than the room left still waits in it.)

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use quorate_protocol::store::{CommitNumber, Store, StoreError, StoreOp};

use super::StorePressure;

/// How often a store that was full is asked again.
const FULL_RETRY: Duration = Duration::from_millis(200);
/// How often it is looked whether a store that is busy has room.
const BUSY_RETRY: Duration = Duration::from_millis(2);

/// Commits that the store has not reported durable.
#[derive(Debug, Default)]
pub(super) struct CommitQueue {
    /// Batches that the store has not taken, oldest first, each with the core's number of its last commit.
    kept: VecDeque<(CommitNumber, Vec<StoreOp>)>,
    /// When the store is asked again, and why it refused, if it did.
    again: Option<(Instant, Option<String>)>,
    /// The store's number of each batch, and the core's number of the batch's last commit.
    submitted: VecDeque<(CommitNumber, CommitNumber)>,
}

impl CommitQueue {
    /// Hands the store a turn's changes, whose last commit has the number `through`. Returns why the store takes no
    /// more, when it does not: the changes are kept and go in before all later ones. An `Err` is the store's end.
    pub(super) fn submit(
        &mut self,
        store: &(impl Store + StorePressure),
        through: CommitNumber,
        ops: Vec<StoreOp>,
    ) -> Result<Option<String>, StoreError> {
        if !ops.is_empty() {
            self.kept.push_back((through, ops));
        }
        if let Some((at, refusal)) = &self.again
            && Instant::now() < *at
        {
            return Ok(refusal.clone());
        }
        self.again = None;
        while let Some((through, ops)) = self.kept.pop_front() {
            if store.is_busy() {
                self.kept.push_front((through, ops));
                self.again = Some((Instant::now() + BUSY_RETRY, None));
                return Ok(None);
            }
            match store.submit(&ops) {
                Ok(number) => self.submitted.push_back((number, through)),
                Err(StoreError::Full { detail }) => {
                    self.kept.push_front((through, ops));
                    self.again = Some((Instant::now() + FULL_RETRY, Some(detail.clone())));
                    return Ok(Some(detail));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// When something that the store has not taken is to be handed in again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.again.as_ref().map(|again| again.0)
    }

    /// Whether the store is busy with what it has: whoever would bring more has to wait.
    pub(super) fn are_held_up(&self) -> bool {
        self.again.as_ref().is_some_and(|again| again.1.is_none())
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use bytes::Bytes;
    use quorate_protocol::store::{ScanPage, Sequence};

    use super::*;

    /// Takes batches unless it is busy, and refuses them when it is full.
    #[derive(Default)]
    struct Moody {
        busy: Cell<bool>,
        full: Cell<bool>,
        taken: RefCell<Vec<Vec<StoreOp>>>,
    }

    impl StorePressure for Moody {
        fn fraction(&self) -> f64 {
            f64::from(u8::from(self.busy.get()))
        }

        fn is_busy(&self) -> bool {
            self.busy.get()
        }
    }

    impl Store for Moody {
        fn submit(&self, batch: &[StoreOp]) -> Result<CommitNumber, StoreError> {
            assert!(!self.busy.get(), "it would make its caller wait");
            if self.full.get() {
                return Err(StoreError::Full { detail: "no room".into() });
            }
            self.taken.borrow_mut().push(batch.to_vec());
            Ok(CommitNumber(self.taken.borrow().len() as u64))
        }

        fn durable(&self) -> CommitNumber {
            CommitNumber(0)
        }

        fn sequence(&self) -> Sequence {
            Sequence(0)
        }

        fn wait_durable(&self, _number: CommitNumber) -> Result<(), StoreError> {
            Ok(())
        }

        fn get(&self, _key: &[u8]) -> Result<Option<Bytes>, StoreError> {
            Ok(None)
        }

        fn scan(
            &self,
            _prefix: &[u8],
            _after: Option<&[u8]>,
            _entries_max: usize,
            _bytes_max: usize,
        ) -> Result<ScanPage, StoreError> {
            Ok(ScanPage::default())
        }

        fn checkpoint(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn batch(name: &'static str) -> Vec<StoreOp> {
        vec![StoreOp::Delete { key: Bytes::from_static(name.as_bytes()) }]
    }

    fn wait_for_retry(queue: &CommitQueue) {
        let at = queue.retry_at().expect("it is handed in again");
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
    }

    #[test]
    fn a_busy_store_gets_its_batches_later_and_in_their_order() {
        let (store, mut queue) = (Moody::default(), CommitQueue::default());
        store.busy.set(true);
        for (number, name) in [(1, "a"), (2, "b")] {
            assert_eq!(queue.submit(&store, CommitNumber(number), batch(name)), Ok(None));
            assert!(queue.are_held_up());
        }
        store.busy.set(false);
        wait_for_retry(&queue);
        assert_eq!(queue.submit(&store, CommitNumber(3), batch("c")), Ok(None));
        assert_eq!(*store.taken.borrow(), [batch("a"), batch("b"), batch("c")]);
        assert!(!queue.are_held_up() && queue.retry_at().is_none());
        assert_eq!(queue.durable(CommitNumber(2)), Some(CommitNumber(2)));
    }

    #[test]
    fn a_full_store_says_why_and_holds_nobody_up() {
        let (store, mut queue) = (Moody::default(), CommitQueue::default());
        store.full.set(true);
        for number in 1..3 {
            let refusal = queue.submit(&store, CommitNumber(number), batch("a"));
            assert_eq!(refusal, Ok(Some("no room".into())));
            assert!(!queue.are_held_up());
        }
        store.full.set(false);
        wait_for_retry(&queue);
        assert_eq!(queue.submit(&store, CommitNumber(2), Vec::new()), Ok(None));
        assert_eq!(store.taken.borrow().len(), 2);
    }
}
