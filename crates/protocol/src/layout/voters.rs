//! Who chooses the next layout.

use std::collections::{BTreeMap, BTreeSet};

use super::first::{InvalidSettings, invalid};
use super::{Layout, Member, Stage};
use crate::id::{Epoch, NodeId};

/// More voters than this make a decision slower and no safer.
pub const VOTERS_MAX: usize = 7;

/// The voters among these members, sorted: all of them up to [`VOTERS_MAX`], else as many, spread over zones.
pub(super) fn voters(members: &[Member]) -> Vec<NodeId> {
    let mut zones: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
    for member in members {
        zones.entry(member.zone.as_str()).or_default().push(member.node);
    }
    let largest = zones.values().map(Vec::len).max().unwrap_or(0);
    let in_turns = (0..largest).flat_map(|turn| zones.values().filter_map(move |zone| zone.get(turn)));
    let mut chosen: Vec<NodeId> = in_turns.copied().take(VOTERS_MAX).collect();
    chosen.sort_unstable();
    chosen
}

/// A forced layout is this far ahead, so that it is newer than any that the lost voters may have chosen last.
pub const FORCED_EPOCHS: u64 = 1000;

impl Layout {
    /// The same layout with other voters, for when the majority of the present ones is gone for good: nobody chooses it, so it must
    /// come from one surviving member only, `by`. What the lost ones may have chosen last is forgotten. All else is as before:
    /// the lost ones are replaced by orders then.
    pub fn forced(&self, by: NodeId, lost: &BTreeSet<NodeId>) -> Result<Self, InvalidSettings> {
        if self.member(by).is_none() || lost.contains(&by) {
            return Err(invalid(
                "lost",
                format!("{by}, whose directory this is, has to be a member that is not lost"),
            ));
        }
        if let Some(unknown) = lost.iter().find(|node| self.member(**node).is_none()) {
            return Err(invalid("lost", format!("{unknown} is not among the members")));
        }
        let left = self.voters.iter().filter(|voter| !lost.contains(voter)).count();
        if left * 2 > self.voters.len() {
            let all = self.voters.len();
            let reason = format!(
                "{left} of {all} voters are left, which is a majority: replace the lost members by an order"
            );
            return Err(invalid("lost", reason));
        }
        let mut next = Self { epoch: Epoch(self.epoch.0 + FORCED_EPOCHS), ..self.clone() };
        let stays: Vec<Member> = self
            .members
            .iter()
            .filter(|member| self.may_vote(member) && !lost.contains(&member.node))
            .cloned()
            .collect();
        next.voters = voters(&stays);
        if next.voters.is_empty() {
            return Err(invalid("lost", "nobody would be left to vote".into()));
        }
        Ok(next)
    }

    /// Whether a member may be among the voters. Until reads have moved those decide who were there before: who is added may turn out
    /// not to work.
    pub(super) fn may_vote(&self, member: &Member) -> bool {
        match self.change.as_deref() {
            None => true,
            Some(change) if change.lost.contains(&member.node) => false,
            Some(change) if change.stage == Stage::Gather => !change.added.contains(&member.node),
            Some(change) => !change.removes(member.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bootstrap, Layout};
    use super::*;
    use crate::id::ClusterId;

    fn layout_of(count: u64) -> Layout {
        let member = |id| Member {
            node: NodeId(id),
            name: String::new(),
            peer_address: "p".into(),
            zone: String::new(),
            weight: 1,
        };
        let members = (1..=count).map(member).collect();
        let (n, r, w, buckets) = (3, 2, 2, Vec::new());
        let settings = Bootstrap { cluster: ClusterId(1), partitions: 4, n, r, w, members, buckets };
        Layout::first(&settings).expect("the settings are good")
    }

    #[test]
    fn survivors_of_a_lost_majority_vote_and_nothing_else_is_different() {
        let before = layout_of(5);
        let lost = BTreeSet::from([NodeId(2), NodeId(3), NodeId(4)]);
        let forced = before.forced(NodeId(1), &lost).expect("the majority is lost");
        assert_eq!(forced.voters, [NodeId(1), NodeId(5)]);
        let (epoch, voters) = (before.epoch, before.voters.clone());
        assert_eq!(forced.epoch, Epoch(epoch.0 + FORCED_EPOCHS));
        assert_eq!(Layout { epoch, voters, ..forced }, before);
    }

    #[test]
    fn it_is_refused_where_it_is_not_needed_or_makes_no_sense() {
        let layout = layout_of(5);
        let refusal = |by, lost: &[u64]| {
            let lost = lost.iter().copied().map(NodeId).collect();
            layout.forced(NodeId(by), &lost).expect_err("it must not be").to_string()
        };
        assert!(refusal(1, &[2, 3]).contains("3 of 5 voters are left"));
        assert!(refusal(1, &[2, 3, 9]).contains("0000000000000009 is not among the members"));
        assert!(refusal(2, &[2, 3, 4]).contains("has to be a member that is not lost"));
        assert!(refusal(9, &[2, 3, 4]).contains("has to be a member that is not lost"));
    }
}
