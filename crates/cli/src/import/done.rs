//! Which lines are acknowledged: they finish in any order, and a checkpoint counts from the start.

use std::collections::VecDeque;

use super::checkpoint::Mark;

/// The lines under way, and the place up to which all are done.
pub(super) struct Done {
    mark: Mark,
    /// In the order of the input: where each line ends, and whether it is done.
    open: VecDeque<(Mark, bool)>,
}

impl Done {
    pub(super) fn from(mark: Mark) -> Self {
        Self { mark, open: VecDeque::new() }
    }

    /// Everything before it is done.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// The next line of the input, which ends here, is under way.
    pub(super) fn begin(&mut self, end: Mark) {
        self.open.push_back((end, false));
    }

    /// The line with this number is done.
    pub(super) fn finish(&mut self, line: u64) {
        // Lines are in order, so it can be searched for.
        if let Ok(at) = self.open.binary_search_by_key(&line, |(end, _)| end.lines) {
            self.open[at].1 = true;
        }
        while let Some((end, true)) = self.open.front() {
            self.mark = *end;
            self.open.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_before_the_first_line_that_is_open() {
        let mut done = Done::from(Mark::default());
        let mark = |lines| Mark { lines, bytes: lines * 10, hash: lines };
        // Line 3 was blank.
        for line in [1, 2, 4, 5] {
            done.begin(mark(line));
        }
        for (finished, expected) in [(2, 0), (5, 0), (1, 2), (4, 5)] {
            done.finish(finished);
            assert_eq!(done.mark(), if expected == 0 { Mark::default() } else { mark(expected) });
        }
    }
}
