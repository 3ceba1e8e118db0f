//! What it costs that a node is added: for each partition that moves, for what is in it, and for agreeing on it.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use quorate_protocol::Limits;
use quorate_protocol::id::NodeId;
use quorate_protocol::layout::{Alteration, Layout, Order, Side};

use super::count::{Counts, is_background};
use super::fleet::Fleet;
use super::model::{Moved, Moves};
use super::operations::put;
use super::{Row, Size, model};

/// Keys on a page, so that few keys fill some.
const PAGE_KEYS: usize = 4;
/// For replies to comparisons that are under way when the change is over.
const STRAGGLERS_US: u64 = 50_000;
/// Partners are placed and not drawn.
const WITHIN_PARTNERS: f64 = 0.1;

/// What was counted while a node was added.
#[derive(Clone, Debug)]
pub struct Change {
    /// The counts.
    pub rows: Vec<Row>,
    /// How long it took.
    pub took: Duration,
    /// How long a layout is that is sent to another node, afterwards.
    pub layout_bytes: usize,
}

/// Adds a node to a cluster of this size that holds so many keys for each partition, and counts.
pub fn change(size: Size, keys_each: usize) -> Result<Change> {
    let limits = Limits { sweep_page_keys: PAGE_KEYS, ..Limits::default() };
    let mut fleet = Fleet::new(size, 1, &limits)?;
    fleet.settle()?;
    for number in 0..keys_each * size.partitions as usize {
        let key = Bytes::from(format!("k{number}"));
        fleet.operate(number % size.nodes, put(&key, number))?;
    }
    fleet.settle()?;
    let (added, before, began) = (fleet.as_member(size.nodes), fleet.layout().clone(), fleet.counts.clone());
    let keys = fleet.keys();
    let order = Order::Alter(Alteration { add: vec![added], ..Alteration::default() });
    let took = Duration::from_micros(fleet.change(0, order)?);
    fleet.run_for(STRAGGLERS_US)?;
    let compared = fleet.counts.since(&began).of_all(&["compare", "compare reply"]);
    fleet.settle()?;
    let sent = fleet.counts.since(&began);
    let moved = moved(&before, fleet.layout(), &keys);
    let decider = moves(&before, fleet.layout(), before.members.first().map(|member| member.node));
    let rows = rows(size, took, (&moved, decider), &sent, compared);
    Ok(Change { rows, took, layout_bytes: fleet.layout().encode().len() })
}

fn rows(
    size: Size,
    took: Duration,
    (moved, decider): (&[Moved], Moves),
    sent: &Counts,
    compared: u64,
) -> Vec<Row> {
    let row = |what, counted: u64, model, within| Row {
        size,
        part: "a node more",
        what,
        counted: counted as f64,
        model,
        within,
    };
    let asked = sent.of("layout request");
    let surveyed = sent.of_all(&["survey", "survey reply"]);
    let pulled = sent.of_all(&["pull", "pull reply"]);
    let paxos = sent.of_all(&["prepare", "prepared", "accept", "accepted"]);
    let (offers, reports) = (sent.of("layout offer"), sent.of_all(&["report ask", "report reply"]));
    let business: u64 = sent.iter().filter(|(kind, _)| !is_background(kind)).map(|(_, count)| count).sum();
    let rest = business - surveyed - pulled - paxos - offers - asked - reports;
    let with_added = moved.iter().filter(|moved| moved.added > 0).count();
    let mut rows =
        vec![row("partitions that move", with_added as u64, model::moved_partitions(size) as f64, 0.0)];
    let pages: u64 = moved.iter().map(|moved| moved.pages * u64::from(moved.added)).sum();
    if !moved.is_empty() {
        let surveys: f64 = moved.iter().map(|&moved| model::surveys(size, moved)).sum();
        let surveys = surveys + 2.0 * model::refused(size, decider);
        let of_each = |count: f64| count / moved.len() as f64;
        let counted = of_each(surveyed as f64);
        rows.push(Row { counted, ..row("surveys for each", 0, of_each(surveys), 0.0) });
    }
    if pages > 0 {
        let counted = pulled as f64 / pages as f64;
        rows.push(Row { counted, ..row("pulls for each page", 0, model::pulls(1), 0.0) });
    }
    rows.extend([
        row("Paxos", paxos, model::agreement(size), 0.0),
        row("layouts sent on", offers - asked, model::offers(size), 0.0),
        row("layouts asked for, and sent", 2 * asked, 2.0 * model::asked_for(size, decider), WITHIN_PARTNERS),
        row("comparisons begun anew", compared, model::begun_anew(size), WITHIN_PARTNERS),
        row("reports", reports, model::reports(size, took), 0.0),
        row("anything else", rest, 0.0, 0.0),
    ]);
    rows
}

/// The partitions that take part in a change, with what happens to each.
fn moved(before: &Layout, after: &Layout, keys: &[u64]) -> Vec<Moved> {
    let partitions = before.all_partitions().zip(keys);
    let all = partitions.map(|(partition, &keys)| {
        let (old, new) = (before.owners_of(partition, Side::Old), after.owners_of(partition, Side::Old));
        let not_in = |of: &[NodeId], list: &[NodeId]| of.iter().filter(|node| !list.contains(node)).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (added, left) = (count(not_in(new, old)), count(not_in(old, new)));
        let kept = count(new.len()) - added;
        let pages = keys.div_ceil(PAGE_KEYS as u64);
        (old != new).then_some(Moved { added, kept, left, pages })
    });
    all.flatten().collect()
}

/// What becomes of the partitions of one node that take part in a change.
fn moves(before: &Layout, after: &Layout, of: Option<NodeId>) -> Moves {
    let mut moves = Moves::default();
    for partition in before.all_partitions() {
        let (old, new) = (before.owners_of(partition, Side::Old), after.owners_of(partition, Side::Old));
        let owns = |owners: &[NodeId]| of.is_some_and(|node| owners.contains(&node));
        if old != new && owns(old) {
            *if owns(new) { &mut moves.kept } else { &mut moves.left } += 1;
        }
    }
    moves
}
