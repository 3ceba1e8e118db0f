//! A Merkle tree says what its replica holds: it equals the tree of a rescan, at any time; and at rest those of all owners are
//! complete and equal.

use quorate_protocol::Node;
use quorate_protocol::id::PartitionId;
use quorate_protocol::keys;
use quorate_protocol::merkle::Tree;
use quorate_protocol::version::EncodedContainer;

use super::{Check, Violation, containers, violation};
use crate::disk::SimDisk;

/// The trees of a node that are complete are those of its disk.
pub(crate) fn right(node: &Node, disk: &SimDisk, partitions: usize) -> Check {
    for partition in (0..u16::try_from(partitions).unwrap_or(u16::MAX)).map(PartitionId) {
        if let Some(tree) = node.tree(partition) {
            let rescan = rescan(disk, partition)?;
            if *tree != rescan {
                return Err(violation(
                    "trees",
                    format!(
                        "the tree of partition {partition} has {} keys and the root {:04x}, and a rescan {} and {:04x}",
                        tree.keys(),
                        tree.root() & 0xffff,
                        rescan.keys(),
                        rescan.root() & 0xffff
                    ),
                ));
            }
        }
    }
    if node.stats().trees_corrected > 0 {
        return Err(violation("trees", "a sweep has found a tree to be wrong".into()));
    }
    Ok(())
}

fn rescan(disk: &SimDisk, partition: PartitionId) -> Result<Tree, Violation> {
    let mut tree = Tree::default();
    for (key, value) in disk.visible_entries(&keys::partition_prefix(partition)) {
        let container = containers::decode(&EncodedContainer(value))?;
        if let Some(key) = keys::key_of(&key).filter(|_| !container.is_absent()) {
            tree.update(key.bucket, &key.key, None, Some(container.digest()));
        }
    }
    Ok(tree)
}

/// Whether all of these nodes, the owners of a partition, have complete and equal trees.
pub(crate) fn equal<'a>(mut owners: impl Iterator<Item = &'a Node>, partition: PartitionId) -> bool {
    let root = |node: &Node| node.tree(partition).map(|tree| (tree.root(), tree.keys()));
    let Some(first) = owners.next().map(root) else { return true };
    first.is_some() && owners.all(|node| root(node) == first)
}
