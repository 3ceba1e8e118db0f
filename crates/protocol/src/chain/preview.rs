//! What another layout would move, before anything is changed: all members are asked how much they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::effect::{ChangeError, Effect};
use crate::event::RequestId;
use crate::id::{Epoch, NodeId, PartitionId};
use crate::layout::{Layout, Order, Side};
use crate::message::Message;
use crate::node::Node;
use crate::time::Time;
use crate::turn::Turn;

/// Members that have not answered after this time are named in the preview.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node would take and give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Partitions that it would own and does not own now.
    pub gained_partitions: u32,
    /// The bytes of all that is in them.
    pub gained_bytes: u64,
    /// Partitions that it owns now and would not own any more.
    pub lost_partitions: u32,
    /// The bytes of all that is in them.
    pub lost_bytes: u64,
}

/// What would follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The layout that would be next.
    pub layout: Arc<Layout>,
    /// What would be moved, by node. Nodes that are not here would keep what they have.
    pub moves: BTreeMap<NodeId, Moves>,
    /// Members that have not said how much they hold: what only they know is not among the bytes.
    pub silent: Vec<NodeId>,
}

#[derive(Debug)]
struct Asked {
    next: Arc<Layout>,
    /// Of each partition: the bytes that the owner holds that holds most.
    sizes: BTreeMap<PartitionId, u64>,
    silent: BTreeSet<NodeId>,
    deadline: Time,
}

/// The previews for which members are being asked.
#[derive(Debug, Default)]
pub(crate) struct Previews {
    asked: BTreeMap<RequestId, Asked>,
}

impl Previews {
    /// When it wants to be woken.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.asked.values().map(|asked| asked.deadline).min()
    }
}

impl Node {
    /// Somebody wants to know what would be moved.
    pub(crate) fn on_preview(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        expected: Option<Epoch>,
        order: &Order,
    ) {
        let (next, layout) = match (self.successor(expected, order), self.layout.clone()) {
            (Ok(next), Some(layout)) => (Arc::new(next), layout),
            (Err(error), _) => {
                turn.effects.push(Effect::AnswerPreview { request, result: Err(error) });
                return;
            }
            (Ok(_), None) => {
                let result = Err(ChangeError::NotBootstrapped);
                turn.effects.push(Effect::AnswerPreview { request, result });
                return;
            }
        };
        let me = self.config.node;
        let deadline = turn.time() + PATIENCE;
        let mut asked = Asked { next, sizes: BTreeMap::new(), silent: BTreeSet::new(), deadline };
        // Where nothing moves, nobody needs to be asked.
        if !moved(&layout, &asked.next).is_empty() {
            asked.silent =
                layout.members.iter().map(|member| member.node).filter(|&node| node != me).collect();
            learn(&layout, me, &self.partition_sizes(), &mut asked.sizes);
            for &node in asked.silent.iter().filter(|&&node| self.links.is_live(node)) {
                turn.send(node, Message::ReportAsk { epoch: layout.epoch, sizes: true });
            }
        }
        self.previews.asked.insert(request, asked);
        self.answer_previews(turn, |_| false);
    }

    /// A member has said how much it holds.
    pub(crate) fn preview_heard(&mut self, turn: &mut Turn<'_>, from: NodeId, sizes: &[(PartitionId, u64)]) {
        let Some(layout) = self.layout.clone() else { return };
        for asked in self.previews.asked.values_mut() {
            if asked.silent.remove(&from) {
                learn(&layout, from, sizes, &mut asked.sizes);
            }
        }
        self.answer_previews(turn, |_| false);
    }

    /// Answers those whose time is over.
    pub(crate) fn wake_previews(&mut self, turn: &mut Turn<'_>) {
        let now = turn.time();
        self.answer_previews(turn, |asked| asked.deadline <= now);
    }

    /// Another layout is held: what was asked about is past.
    pub(super) fn previews_adopted(&mut self, turn: &mut Turn<'_>) {
        let epoch = self.epoch();
        for request in std::mem::take(&mut self.previews.asked).into_keys() {
            let result = Err(ChangeError::ChangedMeanwhile { epoch });
            turn.effects.push(Effect::AnswerPreview { request, result });
        }
    }

    /// Answers those for which all members that can be reached have answered, and those that wait no longer.
    fn answer_previews(&mut self, turn: &mut Turn<'_>, is_over: impl Fn(&Asked) -> bool) {
        let Some(layout) = self.layout.clone() else { return };
        let links = &self.links;
        let waits = |asked: &Asked| asked.silent.iter().any(|&node| links.is_live(node));
        let done: Vec<RequestId> = {
            let all = self.previews.asked.iter();
            all.filter(|(_, asked)| is_over(asked) || !waits(asked)).map(|(&request, _)| request).collect()
        };
        for request in done {
            if let Some(asked) = self.previews.asked.remove(&request) {
                turn.effects.push(Effect::AnswerPreview { request, result: Ok(preview(&layout, asked)) });
            }
        }
    }
}

/// Only owners that have all of a partition know how much there is.
fn learn(
    layout: &Layout,
    from: NodeId,
    sizes: &[(PartitionId, u64)],
    known: &mut BTreeMap<PartitionId, u64>,
) {
    for &(partition, bytes) in sizes {
        if layout.is_owner(partition, from) {
            let size = known.entry(partition).or_default();
            *size = (*size).max(bytes);
        }
    }
}

/// Who takes and who gives which partitions: true means takes.
fn moved(now: &Layout, next: &Layout) -> Vec<(PartitionId, NodeId, bool)> {
    let mut moved = Vec::new();
    // Orders to a change that is under way change no list.
    if !now.is_stable() {
        return moved;
    }
    let side = if next.is_stable() { Side::Old } else { Side::New };
    for partition in now.all_partitions() {
        let (before, after) = (now.owners_of(partition, Side::Old), next.owners_of(partition, side));
        let gains = after.iter().filter(|node| !before.contains(node));
        let loses = before.iter().filter(|node| !after.contains(node));
        moved.extend(gains.map(|&node| (partition, node, true)));
        moved.extend(loses.map(|&node| (partition, node, false)));
    }
    moved
}

fn preview(now: &Layout, asked: Asked) -> Preview {
    let mut moves: BTreeMap<NodeId, Moves> = BTreeMap::new();
    for (partition, node, gains) in moved(now, &asked.next) {
        let bytes = asked.sizes.get(&partition).copied().unwrap_or(0);
        let of_node = moves.entry(node).or_default();
        if gains {
            of_node.gained_partitions += 1;
            of_node.gained_bytes += bytes;
        } else {
            of_node.lost_partitions += 1;
            of_node.lost_bytes += bytes;
        }
    }
    Preview { layout: asked.next, moves, silent: asked.silent.into_iter().collect() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]
mod tests {
    use super::*;
    use crate::id::ClusterId;
    use crate::layout::{Alteration, Bootstrap, Member};

    fn member(node: u64) -> Member {
        let peer_address = format!("127.0.0.1:{node}");
        Member { node: NodeId(node), name: String::new(), peer_address, zone: String::new(), weight: 1 }
    }

    fn layout() -> Layout {
        let (members, buckets) = ((1..=3).map(member).collect(), Vec::new());
        Layout::first(&Bootstrap {
            cluster: ClusterId(1),
            partitions: 16,
            n: 2,
            r: 2,
            w: 1,
            members,
            buckets,
        })
        .unwrap()
    }

    fn asked(now: &Layout, alteration: Alteration) -> Asked {
        let next = Arc::new(now.ordered(&Order::Alter(alteration)).unwrap());
        let sizes = now.all_partitions().map(|partition| (partition, 100)).collect();
        Asked { next, sizes, silent: BTreeSet::from([NodeId(2)]), deadline: Time(0) }
    }

    #[test]
    fn what_one_takes_others_give() {
        let now = layout();
        let preview =
            preview(&now, asked(&now, Alteration { add: vec![member(4)], ..Alteration::default() }));
        let new = preview.moves[&NodeId(4)];
        assert_eq!((new.gained_partitions, new.gained_bytes, new.lost_partitions), (8, 800, 0));
        let given: u32 = preview.moves.values().map(|moves| moves.lost_partitions).sum();
        let given_bytes: u64 = preview.moves.values().map(|moves| moves.lost_bytes).sum();
        assert_eq!((given, given_bytes, preview.silent), (8, 800, vec![NodeId(2)]));
    }

    #[test]
    fn fewer_owners_take_nothing_and_orders_to_a_change_move_nothing() {
        let now = layout();
        let wanted = Alteration {
            n: Some(1),
            sizes: vec![crate::layout::BucketSizes { n: Some(1), r: Some(1), ..Default::default() }],
            ..Alteration::default()
        };
        let begun = asked(&now, wanted);
        let changing = begun.next.clone();
        let moves = preview(&now, begun).moves;
        assert!(moves.values().all(|moves| moves.gained_partitions == 0));
        assert_eq!(moves.values().map(|moves| moves.lost_partitions).sum::<u32>(), 16);
        assert!(moved(&changing, &changing.ordered(&Order::Pause).unwrap()).is_empty());
    }

    #[test]
    fn only_owners_know_how_much_there_is() {
        let now = layout();
        let partition = PartitionId(0);
        let owners = now.owners(partition);
        let stranger =
            now.members.iter().map(|member| member.node).find(|node| !owners.contains(node)).unwrap();
        let mut known = BTreeMap::new();
        for (node, bytes) in [(stranger, 900), (owners[0], 70), (owners[1], 50)] {
            learn(&now, node, &[(partition, bytes)], &mut known);
        }
        assert_eq!(known, BTreeMap::from([(partition, 70)]));
    }
}
