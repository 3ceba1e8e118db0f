//! What no plan may ever do. Each is checked against what *is*, not against what the operator has seen.

use quorate_controller::observed::{Membership, Observed};
use quorate_controller::plan::Action;
use quorate_proto::v1::change_layout_request::Order;

use super::World;

impl World {
    /// Before an action is carried out.
    pub(super) fn never(&self, observed: &Observed, action: &Action) {
        let told = || format!("{action:?}\n{:#?}\n{}", self.quorate.newest(), self.log.join("\n"));
        if self.cluster.spec.operation.paused {
            let pauses = matches!(action, Action::ChangeLayout { order: Order::Pause(_), .. });
            assert!(pauses, "paused, and does something: {}", told());
        }
        match action {
            Action::Apply { pods } => self.never_too_few_pods(*pods, &told),
            Action::Found { .. } => {
                assert!(
                    self.quorate.newest().is_none_or(|layout| layout.epoch == 1),
                    "founded twice: {}",
                    told()
                );
                let nobody = observed.nodes().all(|(_, node)| node.membership == Membership::None);
                assert!(nobody, "founded though a node is a member: {}", told());
            }
            Action::ChangeLayout { order: Order::Alter(alteration), expected_epoch, .. } => {
                let layout = self.quorate.newest().expect("a layout");
                let seen = observed.layout.as_ref().expect("a layout");
                assert_eq!(*expected_epoch, seen.epoch, "unseen: {}", told());
                assert!(seen.change.is_none(), "two changes at once: {}", told());
                let gone = alteration.remove.len() + alteration.lost.len();
                let after = seen.members.len() + alteration.add.len() - gone;
                let n = alteration.n.unwrap_or(layout.n).max(layout.n);
                let factor = self.cluster.spec.replication.factor.unsigned_abs();
                let least = if alteration.remove.is_empty() { n } else { n.max(factor) };
                assert!(after >= least as usize, "fewer members than owners: {}", told());
                assert!(alteration.remove.len() <= 1, "more than one leaver: {}", told());
                for id in &alteration.lost {
                    let runs = self.pods.values().any(|pod| pod.node == *id);
                    assert!(!runs, "declared lost, and there: {}", told());
                    let kept = self.claims.values().any(|claim| claim.node == Some(*id));
                    assert!(!kept, "declared lost, and its volume is there: {}", told());
                }
                for member in &alteration.add {
                    assert!(!self.quorate.has_left(member.node_id), "who has left is added: {}", told());
                }
                if let Some(n) = alteration.n {
                    assert_eq!(n.abs_diff(layout.n), 1, "n by more than one: {}", told());
                }
            }
            Action::ChangeLayout { order: Order::DeclareLost(lost), .. } => {
                for id in &lost.nodes {
                    let kept = self.claims.values().any(|claim| claim.node == Some(*id));
                    assert!(!kept, "declared lost, and its volume is there: {}", told());
                }
            }
            Action::ChangeLayout { .. } | Action::GrowClaim { .. } => {}
            Action::DeletePod { ordinal, .. } => self.never_two_down(*ordinal, observed, &told),
            Action::DeleteClaim { ordinal, uid } => {
                let claim = self.claims.get(ordinal).filter(|claim| claim.uid == *uid);
                let owner = claim.and_then(|claim| claim.node);
                let layout = self.quorate.newest().expect("a layout");
                assert!(owner.is_none_or(|id| layout.member(id).is_none()), "a member's volume: {}", told());
                assert!(layout.change.is_none() && !self.pods.contains_key(ordinal), "in use: {}", told());
                self.survivors_confirm(&told);
            }
        }
    }

    fn never_too_few_pods(&self, pods: i32, told: &impl Fn() -> String) {
        let current = self.set.as_ref().map_or(0, |set| set.replicas);
        if pods >= current {
            return;
        }
        assert_eq!(pods, current - 1, "more than one pod at once: {}", told());
        let Some(layout) = self.quorate.newest() else { return };
        let leaver = self.pods.get(&pods);
        if let Some(leaver) = leaver {
            assert!(layout.member(leaver.node).is_none(), "a member's pod: {}", told());
            assert_eq!(self.quorate.hints_of(leaver.node), 0, "it holds hints: {}", told());
        }
        let named = layout.members.iter().any(|member| member.name == format!("ex-{pods}"));
        assert!(!named, "a member of this name: {}", told());
        assert!(pods.unsigned_abs() >= layout.n, "fewer pods than owners: {}", told());
        self.survivors_confirm(told);
    }

    fn survivors_confirm(&self, told: &impl Fn() -> String) {
        let layout = self.quorate.newest().expect("a layout");
        assert!(layout.change.is_none(), "a change is under way: {}", told());
        for member in &layout.members {
            assert_eq!(self.quorate.knows(member.id), layout.epoch, "not confirmed: {}", told());
        }
    }

    fn never_two_down(&self, ordinal: i32, observed: &Observed, told: &impl Fn() -> String) {
        let layout = self.quorate.newest();
        let pod = self.pods.get(&ordinal).expect("a pod");
        let serves = pod.runs() && layout.is_some_and(|layout| layout.member(pod.node).is_some());
        if !serves {
            return;
        }
        let layout = layout.expect("a layout");
        assert!(layout.change.is_none(), "restarted within a change: {}", told());
        for (&other, pod) in &self.pods {
            assert!(other == ordinal || pod.runs(), "two pods down: {}", told());
        }
        let ready = observed.pods.get(&ordinal).is_some_and(|pod| pod.ready);
        let hints = observed.nodes().any(|(_, node)| node.hints > 0);
        assert!(!ready || !hints, "restarted before hints were brought: {}", told());
    }

    /// After every tick.
    pub(super) fn never_at_all(&self) {
        let Some(layout) = self.quorate.newest() else { return };
        let set = self.set.as_ref().expect("a set");
        let told = || format!("{layout:#?}\n{}", self.log.join("\n"));
        assert!(set.replicas.unsigned_abs() >= layout.n, "fewer pods than owners: {}", told());
        for member in &layout.members {
            let at: i32 = member.name.trim_start_matches("ex-").parse().expect("an ordinal");
            assert!(at < set.replicas, "a member without a pod: {}", told());
        }
    }
}
