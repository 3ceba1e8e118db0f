//! What a change would move, for people and programs.

use anyhow::Result;
use quorate_proto::v1;
use serde::Serialize;

use super::known::{Known, Names};
use crate::output::{self, Table};
use crate::text::natural;

/// What would be moved.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    /// Held now.
    epoch: u64,
    nodes: Vec<Moved>,
    /// In all; each replica that moves is counted once.
    bytes: u64,
    partitions: u32,
    /// Members that have not said how much they hold.
    silent: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Moved {
    node: String,
    id: String,
    partitions_gained: u32,
    bytes_gained: u64,
    partitions_lost: u32,
    bytes_lost: u64,
}

impl Plan {
    pub(super) fn of(known: &Known, answer: &v1::ChangeLayoutResponse) -> Self {
        let names = answer.layout.as_ref().map(Names::of).unwrap_or_default();
        let moved = |movement: &v1::Movement| Moved {
            node: names.get(movement.node_id),
            id: format!("{:016x}", movement.node_id),
            partitions_gained: movement.partitions_gained,
            bytes_gained: movement.bytes_gained,
            partitions_lost: movement.partitions_lost,
            bytes_lost: movement.bytes_lost,
        };
        let mut nodes: Vec<Moved> = answer.movements.iter().map(moved).collect();
        nodes.sort_by(|a, b| (natural(&a.node), &a.id).cmp(&(natural(&b.node), &b.id)));
        Self {
            epoch: known.layout.epoch,
            bytes: nodes.iter().map(|node| node.bytes_gained).sum(),
            partitions: nodes.iter().map(|node| node.partitions_gained).sum(),
            nodes,
            silent: answer.silent.iter().map(|&node| names.get(node)).collect(),
        }
    }

    /// Bytes that nodes would take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn show(&self) -> Result<()> {
        if self.nodes.is_empty() {
            output::line("nothing is moved")?;
        } else {
            output::line(self.table().render())?;
            output::line(format!(
                "{} of replicas move, in {} partitions",
                output::bytes(self.bytes),
                self.partitions
            ))?;
        }
        if !self.silent.is_empty() {
            let silent = self.silent.join(", ");
            output::note(format!("not counted is what only these hold, which do not answer: {silent}"));
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(["NODE", "TAKES", "BYTES", "GIVES", "BYTES"]);
        for node in &self.nodes {
            let cells = |partitions: u32, bytes: u64| match partitions {
                0 => ["-".to_owned(), "-".to_owned()],
                _ => [format!("{partitions} partitions"), output::bytes(bytes)],
            };
            let [takes, bytes_taken] = cells(node.partitions_gained, node.bytes_gained);
            let [gives, bytes_given] = cells(node.partitions_lost, node.bytes_lost);
            table.row([node.node.clone(), takes, bytes_taken, gives, bytes_given]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_who_takes_and_who_gives() {
        let member = |node_id, name: &str| v1::Member { node_id, name: name.into(), ..Default::default() };
        let layout = v1::Layout { members: vec![member(1, "a"), member(2, "b")], ..Default::default() };
        let known = Known { endpoint: String::new(), names: Names::of(&layout), layout: layout.clone() };
        let takes =
            v1::Movement { node_id: 2, partitions_gained: 3, bytes_gained: 2048, ..Default::default() };
        let gives = v1::Movement { node_id: 1, partitions_lost: 3, bytes_lost: 2048, ..Default::default() };
        let (layout, movements) = (Some(layout), vec![takes, gives]);
        let plan = Plan::of(&known, &v1::ChangeLayoutResponse { layout, movements, silent: vec![1] });
        assert_eq!(
            (plan.bytes(), plan.partitions, plan.silent.as_slice()),
            (2048, 3, ["a".to_owned()].as_slice())
        );
        let shown = plan.table().render();
        assert!(shown.contains("a     -             -         3 partitions  2.00 KiB"), "{shown}");
        assert!(shown.contains("b     3 partitions  2.00 KiB  -             -"), "{shown}");
    }
}
