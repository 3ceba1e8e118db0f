//! `quorate status --partitions`: whether the owners of each partition hold the same.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use quorate_proto::v1;
use serde::Serialize;

use crate::admin;
use crate::args::Global;
use crate::output::{self, Done, Format, Table};
use crate::status::{Gathered, gather};

/// One partition.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Partition {
    partition: usize,
    /// Whether all owners are known to hold the same at this moment.
    equal: bool,
    /// As the last of its owners sees it: how long ago it was compared with every other one and found equal.
    clean_ms: u64,
    owners: Vec<Owner>,
}

/// One owner's replica.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Owner {
    id: String,
    name: String,
    /// Of the Merkle tree; empty while that is being built, or when the owner does not answer.
    root: String,
    keys: u64,
}

pub(crate) async fn run(global: &Global) -> Result<Done> {
    let gathered = gather(&global.endpoint, true).await?;
    let founded = gathered.answers.values().find(|status| status.epoch > 0);
    let founded = founded.context("the nodes are not bootstrapped")?;
    let layout = admin::layout(&founded.grpc_address).await?;
    let partitions = partitions(&layout, &gathered);
    match global.output {
        Format::Json => output::json(&partitions)?,
        Format::Table => show(&partitions)?,
    }
    Ok(Done::Ok)
}

fn partitions(layout: &v1::Layout, gathered: &Gathered) -> Vec<Partition> {
    let mut states: BTreeMap<(u64, u32), &v1::PartitionState> = BTreeMap::new();
    for (&node, status) in &gathered.answers {
        for state in status.anti_entropy.iter().flat_map(|anti_entropy| &anti_entropy.partitions) {
            states.insert((node, state.partition), state);
        }
    }
    let of = |(partition, owners): (usize, &v1::Owners)| {
        let number = u32::try_from(partition).unwrap_or(u32::MAX);
        let members = owners.members.iter().filter_map(|&member| layout.members.get(member as usize));
        let members: Vec<&v1::Member> = members.collect();
        let found: Vec<_> = members.iter().map(|member| states.get(&(member.node_id, number))).collect();
        let owner = |(member, state): (&&v1::Member, &Option<&&v1::PartitionState>)| Owner {
            id: format!("{:016x}", member.node_id),
            name: gathered.names.get(&member.node_id).unwrap_or(&member.name).clone(),
            root: state.map_or(String::new(), |state| hex(&state.root)),
            keys: state.map_or(0, |state| state.keys),
        };
        let owners: Vec<Owner> = members.iter().zip(&found).map(owner).collect();
        let equal = owners.iter().all(|owner| !owner.root.is_empty() && owner.root == owners[0].root);
        let clean_ms = found.iter().flatten().map(|state| state.clean_ms).max().unwrap_or(0);
        Partition { partition, equal, clean_ms, owners }
    };
    layout.owners.iter().enumerate().map(of).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn show(partitions: &[Partition]) -> Result<()> {
    let mut table = Table::new(["PARTITION", "EQUAL", "COMPARED", "OWNERS (KEYS, ROOT)"]);
    for partition in partitions {
        let owner = |owner: &Owner| match owner.root.get(..8) {
            Some(root) => format!("{} ({}, {root})", owner.name, owner.keys),
            None => format!("{} (not known)", owner.name),
        };
        let owners: Vec<String> = partition.owners.iter().map(owner).collect();
        table.row([
            partition.partition.to_string(),
            if partition.equal { "yes" } else { "no" }.into(),
            format!("{:?} ago", Duration::from_secs(partition.clean_ms / 1000)),
            owners.join(", "),
        ]);
    }
    table.print()?;
    let equal = partitions.iter().filter(|partition| partition.equal).count();
    output::line(format!("{equal} of {} partitions are equal on all owners", partitions.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(root: &'static [u8]) -> v1::StatusResponse {
        let state = v1::PartitionState { root: root.into(), keys: 7, clean_ms: 30, ..Default::default() };
        let anti_entropy = v1::AntiEntropy { partitions: vec![state], ..Default::default() };
        v1::StatusResponse { anti_entropy: Some(anti_entropy), ..Default::default() }
    }

    fn equal(roots: &[&'static [u8]]) -> bool {
        let member = |node_id: u64| v1::Member { node_id, name: format!("n{node_id}"), ..Default::default() };
        let layout = v1::Layout {
            members: vec![member(1), member(2)],
            owners: vec![v1::Owners { members: vec![0, 1] }],
            ..Default::default()
        };
        let answers = (1..).zip(roots).map(|(node, root)| (node, answer(root))).collect();
        let gathered = Gathered { answers, names: BTreeMap::new(), silent: Vec::new() };
        let found = partitions(&layout, &gathered);
        assert_eq!((found.len(), found[0].owners.len(), found[0].clean_ms), (1, 2, 30));
        found[0].equal
    }

    #[test]
    fn owners_are_equal_only_when_all_say_so() {
        assert!(equal(&[b"same", b"same"]));
        assert!(!equal(&[b"same", b"else"]));
        assert!(!equal(&[b"", b""]));
        assert!(!equal(&[b"same"]));
    }
}
