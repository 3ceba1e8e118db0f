//! What has been sent and not been answered.

use std::collections::VecDeque;

/// Entries under consecutive ids. Answers come back roughly in order, so that a queue with holes is enough.
#[derive(Debug)]
pub(super) struct Window<T> {
    /// The id of the first entry.
    base: u64,
    entries: VecDeque<Option<T>>,
    taken: usize,
}

impl<T> Window<T> {
    pub(super) fn new() -> Self {
        Self { base: 0, entries: VecDeque::new(), taken: 0 }
    }

    /// How many wait for an answer.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.taken
    }

    /// Adds an entry and gives it its id.
    pub(super) fn push(&mut self, entry: T) -> u64 {
        self.entries.push_back(Some(entry));
        self.base + self.entries.len() as u64 - 1
    }

    /// Takes out the entry of this id; none if it was taken before, or never there.
    pub(super) fn take(&mut self, id: u64) -> Option<T> {
        let at = usize::try_from(id.checked_sub(self.base)?).ok()?;
        let entry = self.entries.get_mut(at)?.take()?;
        self.taken += 1;
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.base += 1;
            self.taken -= 1;
        }
        Some(entry)
    }

    /// Takes out all entries of which this is true, in order.
    pub(super) fn take_if(&mut self, mut want: impl FnMut(&T) -> bool) -> Vec<T> {
        let wanted = |(at, entry): (usize, &Option<T>)| {
            let id = self.base + at as u64;
            entry.as_ref().is_some_and(&mut want).then_some(id)
        };
        let ids: Vec<u64> = self.entries.iter().enumerate().filter_map(wanted).collect();
        ids.into_iter().filter_map(|id| self.take(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_in_any_order_and_once() {
        let mut window = Window::new();
        let ids: Vec<u64> = (0..5).map(|value| window.push(value)).collect();
        assert_eq!(window.take(ids[3]), Some(3));
        assert_eq!(window.take(ids[3]), None);
        assert_eq!(window.take(ids[0]), Some(0));
        assert_eq!(window.take(ids[0]), None);
        assert_eq!(window.len(), 3);
        assert_eq!(window.take(ids[1]), Some(1));
        assert_eq!(window.take(ids[2]), Some(2));
        assert_eq!(window.take(ids[4]), Some(4));
        assert_eq!(window.len(), 0);
        assert!(window.entries.is_empty());
        let next = window.push(9);
        assert!(!ids.contains(&next));
        assert_eq!(window.take(next + 1), None);
        assert_eq!(window.take(next), Some(9));
    }

    #[test]
    fn some_can_be_taken_at_once() {
        let mut window = Window::new();
        (0..6).for_each(|value| {
            window.push(value);
        });
        assert_eq!(window.take_if(|value| value % 2 == 0), [0, 2, 4]);
        assert_eq!(window.len(), 3);
        assert_eq!(window.take_if(|_| true), [1, 3, 5]);
        assert_eq!(window.len(), 0);
    }
}
