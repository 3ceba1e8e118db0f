//! How long the owners take to plan on this machine. `cargo bench -p quorate-protocol --bench placement` measures it well.

use std::time::{Duration, Instant};

use anyhow::Result;
use quorate_protocol::id::NodeId;
use quorate_protocol::layout::Member;
use quorate_protocol::placement::{place, replan};

use super::Size;

/// The time for the first owners, and for those with one node more.
pub fn plans(size: Size) -> Result<[Duration; 2]> {
    let (nodes, n, partitions) = (u64::try_from(size.nodes)?, size.n as usize, size.partitions as usize);
    let mut members: Vec<Member> = (1..=nodes + 1).map(member).collect();
    let last = members.pop();
    let started = Instant::now();
    let owners = place(&members, n, partitions);
    let first = started.elapsed();
    members.extend(last);
    let started = Instant::now();
    std::hint::black_box(replan(&owners, &members, n));
    Ok([first, started.elapsed()])
}

fn member(number: u64) -> Member {
    let (name, peer_address, zone) = (String::new(), "p".into(), String::new());
    Member { node: NodeId(number * 7919), name, peer_address, zone, weight: 1 }
}
