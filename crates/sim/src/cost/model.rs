//! How many messages there have to be, without faults, as functions of N, R, W and the number of nodes M. What sends each is named by
//! its file in the core.
//!
//! A message is one request, reply or notice from a node to another. Those that one event causes for one peer travel in one batch, so
//! there are fewer batches.

use std::time::Duration;

use quorate_protocol::Limits;
use quorate_protocol::layout::VOTERS_MAX;

use super::Size;

/// A request and its reply.
const BOTH_WAYS: f64 = 2.0;
/// How often a change is looked at by who sees to it (`transition/drive`).
const REPORTS_EVERY: Duration = Duration::from_millis(500);
/// Partitions that an owner surveys at once (`transition/catch_up`, `transition/hand_over`).
const AT_ONCE: usize = 4;

/// A put, or a delete that has seen what it deletes. The coordinator is one of the N owners and sends the container to all others at
/// once, whatever W is, and each acknowledges it (`coordinator/write`, `replica`). A node that is no owner passes the request on, and
/// gets the answer (`coordinator/forward`).
pub fn write(size: Size, forwarded: bool) -> f64 {
    BOTH_WAYS * (f64::from(size.n) - 1.0) + forward(forwarded)
}

/// A read. The coordinator is one of the R and sends its digest to R-1 others, who say "the same" or send what they hold
/// (`coordinator/get`). Not counted here: one message more, unanswered, for each replica that was stale, and two for each that is asked
/// because another is late.
pub fn read(size: Size, forwarded: bool) -> f64 {
    BOTH_WAYS * (f64::from(size.r) - 1.0) + forward(forwarded)
}

/// A delete without a context reads first what there is (`coordinator/delete`).
pub fn blind_delete(size: Size, forwarded: bool) -> f64 {
    read(size, false) + write(size, forwarded)
}

fn forward(forwarded: bool) -> f64 {
    if forwarded { BOTH_WAYS } else { 0.0 }
}

/// Pings that a node sends in a second, and acknowledgements too: it probes one other node in each period, whatever M is
/// (`membership`). While all are well nobody is probed by way of others, and news rides on these.
pub fn pings(limits: &Limits) -> f64 {
    1.0 / limits.probe_period.as_secs_f64()
}

/// Signs of life that a node sends in a second: one to every other node eight times in the age that a message may have, also where
/// something else has just been sent (`echo`).
pub fn beats(size: Size, limits: &Limits) -> f64 {
    (size.nodes as f64 - 1.0) / beat_period(limits).as_secs_f64()
}

/// How far signs of life are apart.
pub fn beat_period(limits: &Limits) -> Duration {
    limits.message_age / 8
}

/// Comparisons that a node begins in a second, and replies that it gives: one with every node that owns a partition with it in each
/// interval, however many partitions they share up to 1,024, and with a jitter of a quarter (`anti_entropy`).
pub fn comparisons(size: Size, limits: &Limits) -> f64 {
    partners(size) / limits.exchange_interval.as_secs_f64()
}

/// With how many others a node owns some partition: of PN/M partitions it shares each with N-1 of the M-1 others, as if they were
/// drawn. Close to N-1 for every partition when there are many nodes, and to M-1 when there are few.
pub fn partners(size: Size) -> f64 {
    let others = size.nodes as f64 - 1.0;
    let share = (f64::from(size.n) - 1.0) / others.max(1.0);
    let owned = f64::from(size.partitions) * f64::from(size.n) / size.nodes as f64;
    others * (1.0 - (1.0 - share).powf(owned))
}

/// How the owners of one partition change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Owners that it did not have before,
    pub added: u32,
    /// that it keeps,
    pub kept: u32,
    /// and that leave it.
    pub left: u32,
    /// Pages that hold its records.
    pub pages: u64,
}

/// What becomes of the partitions of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Those that it keeps and that take part.
    pub kept: usize,
    /// Those that it leaves.
    pub left: usize,
}

/// Surveys and their answers for a partition. Each new owner gathers from N-W+1 old ones, itself included when it is one
/// (`transition/catch_up`, `layout/needs`); each that leaves surveys W new ones (`transition/hand_over`).
pub fn surveys(size: Size, moved: Moved) -> f64 {
    let gathered_from = f64::from(size.n + 1 - size.w);
    let Moved { added, kept, left, .. } = moved;
    let (added, kept, left) = (f64::from(added), f64::from(kept), f64::from(left));
    BOTH_WAYS * (added * gathered_from + kept * (gathered_from - 1.0) + left * f64::from(size.w))
}

/// Pages asked for and sent: an added owner takes all from the first old owner, and finds itself equal to the next
/// (`transition/source`). Records travel in pages, so they cost nothing beside.
pub fn pulls(pages: u64) -> f64 {
    BOTH_WAYS * pages as f64
}

/// Partitions that get another owner when a node is added, all of one weight and in one zone: as few as make the fullest node as empty
/// as it can be (`placement`). None at all when that does not become emptier, which can be where PN is less than M(M+1).
pub fn moved_partitions(size: Size) -> usize {
    let replicas = size.partitions as usize * size.n as usize;
    let most = replicas.div_ceil(size.nodes + 1);
    let (each, fuller) = (replicas / size.nodes, replicas % size.nodes);
    let gives = |has: usize| has.saturating_sub(most);
    fuller * gives(each + 1) + (size.nodes - fuller) * gives(each)
}

/// Layouts that the addition of a node goes through: begun, handed over, stable; or only the last where nothing moves.
pub fn decisions(size: Size) -> u32 {
    if moved_partitions(size) > 0 { 3 } else { 1 }
}

/// Paxos for all decisions of a change: two phases, each a question to every voter and its answer. Voters are all members up to seven,
/// one that is added only in the last decision (`chain/proposer`, `layout/voters`). The proposer votes, too, and asks itself without
/// a message.
pub fn agreement(size: Size) -> f64 {
    let voters = |members: usize| members.min(VOTERS_MAX) as f64;
    let phases = |members: usize| 2.0 * BOTH_WAYS * (voters(members) - 1.0);
    match decisions(size) {
        1 => phases(size.nodes),
        _ => 2.0 * phases(size.nodes) + phases(size.nodes + 1),
    }
}

/// Layouts that are sent on without being asked for in all decisions of a change. Who decides offers the layout to all who have not
/// shown that they hold it; and everyone who adopts it does the same, and knows only of the one that sent it (`chain`,
/// `adopt_pending`). All M+1 are linked, the one that is added included.
pub fn offers(size: Size) -> f64 {
    let others = size.nodes as f64;
    f64::from(decisions(size)) * others * others
}

/// Surveys that are refused, and asked again: who has decided begins at once, with four partitions of those that it keeps and needs
/// others for, and later of those that it leaves; nobody else has adopted the layout yet.
pub fn refused(size: Size, decider: Moves) -> f64 {
    let Moves { kept, left } = decider;
    let gathers = if size.n > size.w { kept.min(AT_ONCE) } else { 0 };
    (gathers + left.min(AT_ONCE)) as f64
}

/// Layouts that are asked for, and sent once more: what comes from who has decided says that he holds a newer one, and that is on its way
/// to the disk already (`replica`, `fence_member`). He compares with all partners at once, and surveys.
pub fn asked_for(size: Size, decider: Moves) -> f64 {
    let with_new = if leavers(size) > 0 { 1.0 } else { 0.0 };
    sizes_compared(size).map(partners).sum::<f64>() + with_new + refused(size, decider)
}

/// Comparisons and replies at once after each adoption: all owners begin anew with each other (`anti_entropy`, `own_anew`).
pub fn begun_anew(size: Size) -> f64 {
    let one = |size: Size| BOTH_WAYS * size.nodes as f64 * partners(size);
    sizes_compared(size).map(one).sum::<f64>() + 2.0 * BOTH_WAYS * leavers(size) as f64
}

/// With N 1 nobody shares a partition but, while it is handed over, its old owner and the new one. With more they hardly add to those who
/// share some anyway.
fn leavers(size: Size) -> usize {
    if size.n == 1 { moved_partitions(size).min(size.nodes) } else { 0 }
}

/// For each decision, who compares: a node that is added takes no part before it has gathered, nor if it is to own nothing.
fn sizes_compared(size: Size) -> impl Iterator<Item = Size> {
    let more = |decision| if decision == 0 { 0 } else { 1 };
    (0..decisions(size)).map(move |decision| Size { nodes: size.nodes + more(decision), ..size })
}

/// Reports asked for and given in a change that takes this long: by one member of all others, twice a second (`transition/drive`).
pub fn reports(size: Size, took: Duration) -> f64 {
    let rounds = (took.as_secs_f64() / REPORTS_EVERY.as_secs_f64()).floor();
    BOTH_WAYS * rounds * size.nodes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(nodes: usize, n: u32) -> Size {
        Size { nodes, partitions: 256, n, r: n / 2 + 1, w: n / 2 + 1 }
    }

    #[test]
    fn few_nodes_are_all_partners_and_many_are_as_many_as_the_partitions_allow() {
        assert!((partners(size(5, 3)) - 4.0).abs() < 1e-9);
        assert!((partners(size(3, 3)) - 2.0).abs() < 1e-9);
        let two_for_each = 2.0 * 256.0 * 3.0 / 1000.0;
        assert!((partners(size(1000, 3)) - two_for_each).abs() < 0.01);
        assert!(partners(size(7, 1)).abs() < 1e-9);
    }

    #[test]
    fn one_owner_of_three_that_changes_costs_twelve_messages_before_any_record() {
        let moved = Moved { added: 1, kept: 2, left: 1, pages: 3 };
        assert!((surveys(size(5, 3), moved) - 12.0).abs() < 1e-9);
        assert!((pulls(moved.pages) - 6.0).abs() < 1e-9);
    }

    #[test]
    fn a_node_is_added_and_takes_nothing_where_that_empties_nobody() {
        let moved = |nodes| moved_partitions(size(nodes, 3));
        assert_eq!([5, 7, 10, 30].map(moved), [128, 96, 68, 18]);
        assert_eq!(moved(100), 0, "some had 8 partitions, and some would have 8 all the same");
    }
}
