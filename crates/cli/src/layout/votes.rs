//! Whether the voters of a layout that answer can agree on the next one.

use quorate_proto::v1;
use serde::Serialize;

use super::known::Names;

/// Too few voters answer: no change of the layout is agreed until more do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MissingVotes {
    /// Voters, and how many of them answer.
    voters: usize,
    answering: usize,
    /// How many more have to.
    needed: usize,
    /// Those that do not, by name.
    silent: Vec<String>,
}

impl MissingVotes {
    /// None while a majority answers.
    pub(crate) fn of(layout: &v1::Layout, answers: impl Fn(u64) -> bool) -> Option<Self> {
        let (answering, silent): (Vec<u64>, Vec<u64>) =
            layout.voters.iter().copied().partition(|&voter| answers(voter));
        let majority = layout.voters.len() / 2 + 1;
        if layout.voters.is_empty() || answering.len() >= majority {
            return None;
        }
        let names = Names::of(layout);
        Some(Self {
            voters: layout.voters.len(),
            answering: answering.len(),
            needed: majority - answering.len(),
            silent: silent.into_iter().map(|voter| names.get(voter)).collect(),
        })
    }

    pub(crate) fn in_words(&self) -> String {
        let are = if self.needed == 1 { "is" } else { "are" };
        format!(
            "the layout cannot be changed until {} of these voters {are} back: {} (if they are gone for good: docs/OPERATIONS.md)",
            self.needed,
            self.silent.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_the_voters_has_to_answer() {
        let member = |node_id| v1::Member { node_id, name: format!("node-{node_id}"), ..Default::default() };
        let layout = |voters: u64| v1::Layout {
            members: (1..=9).map(member).collect(),
            voters: (1..=voters).collect(),
            ..Default::default()
        };
        let missing = |voters, answering: &[u64]| {
            let missing = MissingVotes::of(&layout(voters), |voter| answering.contains(&voter));
            missing.map(|missing| (missing.needed, missing.silent.join(" "), missing.in_words()))
        };
        assert_eq!(missing(3, &[1, 2]), None);
        assert_eq!(missing(7, &[1, 3, 5, 7]), None);
        let (needed, silent, words) = missing(3, &[2, 8, 9]).expect("who does not vote does not count");
        assert_eq!((needed, silent.as_str()), (1, "node-1 node-3"));
        assert!(words.contains("until 1 of these voters is back: node-1, node-3 ("), "{words}");
        let (needed, silent, _) = missing(4, &[]).expect("nobody answers");
        assert_eq!((needed, silent.as_str()), (3, "node-1 node-2 node-3 node-4"));
        assert_eq!(missing(4, &[1, 2]).expect("half of them are none").0, 1);
    }
}
