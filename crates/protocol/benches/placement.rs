//! What it costs to plan owners: a thousand nodes in five zones, of uneven weights, with 4,096 partitions.

use divan::{Bencher, black_box};
use quorate_protocol::id::NodeId;
use quorate_protocol::layout::Member;
use quorate_protocol::placement::{place, replan};

const PARTITIONS: usize = 4_096;
const N: usize = 3;

fn main() {
    divan::main();
}

fn member(node: u64, zone: u64, weight: u64) -> Member {
    Member {
        node: NodeId(node),
        name: String::new(),
        peer_address: "p".into(),
        zone: format!("z{zone}"),
        weight: u32::try_from(weight).expect("small"),
    }
}

/// Zones of like size, weights 1 to 4.
fn members(nodes: u64) -> Vec<Member> {
    (1..=nodes).map(|node| member(node * 7919, node % 5, 1 + node * node % 11 % 4)).collect()
}

/// One zone holds half of the nodes, so that zones bind.
fn lopsided(nodes: u64) -> Vec<Member> {
    let zone = |node| if node % 2 == 0 { 0 } else { 1 + node % 4 };
    (1..=nodes).map(|node| member(node * 7919, zone(node), 1 + node * node % 11 % 4)).collect()
}

const CHANGES: [&str; 9] = [
    "nothing",
    "add one",
    "remove one",
    "remove a zone's fifth",
    "remove a zone",
    "double a tenth's weight",
    "change all weights",
    "take zones away",
    "N from 3 to 4",
];

/// The members after a change, and N.
fn changed(members: &[Member], change: &str) -> (Vec<Member>, usize) {
    let mut members = members.to_vec();
    let mut n = N;
    match change {
        "add one" => members.push(member(7_919_000_000, 1, 2)),
        "remove one" => drop(members.remove(members.len() / 2)),
        "remove a zone's fifth" => members.retain(|member| member.node.0 / 7919 % 25 != 7),
        "remove a zone" => members.retain(|member| member.zone != "z1"),
        "double a tenth's weight" => members.iter_mut().step_by(10).for_each(|member| member.weight *= 2),
        "change all weights" => {
            members.iter_mut().zip(1..).for_each(|(member, at): (_, u32)| member.weight = 1 + at * at % 7);
        }
        "take zones away" => members.iter_mut().for_each(|member| member.zone.clear()),
        "N from 3 to 4" => n = 4,
        _ => {}
    }
    (members, n)
}

#[divan::bench(args = CHANGES, sample_count = 10, sample_size = 1)]
fn replan_1000(bencher: Bencher<'_, '_>, change: &str) {
    replan_of(bencher, &members(1_000), change);
}

#[divan::bench(args = CHANGES, sample_count = 10, sample_size = 1)]
fn replan_1000_lopsided(bencher: Bencher<'_, '_>, change: &str) {
    replan_of(bencher, &lopsided(1_000), change);
}

fn replan_of(bencher: Bencher<'_, '_>, members: &[Member], change: &str) {
    let present = place(members, N, PARTITIONS);
    let (members, n) = changed(members, change);
    bencher.bench(|| replan(black_box(&present), &members, n));
}

#[divan::bench(args = [10, 100, 1_000], sample_count = 10, sample_size = 1)]
fn first(bencher: Bencher<'_, '_>, nodes: u64) {
    let members = members(nodes);
    bencher.bench(|| place(black_box(&members), N, PARTITIONS));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn first_1000_lopsided(bencher: Bencher<'_, '_>) {
    let members = lopsided(1_000);
    bencher.bench(|| place(black_box(&members), N, PARTITIONS));
}

/// Every owner is new, and none has been chosen by the greedy one.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn replan_1000_from_nothing(bencher: Bencher<'_, '_>) {
    let members = members(1_000);
    bencher.bench(|| replan(black_box(&vec![Vec::new(); PARTITIONS]), &members, N));
}
