//! Nothing is served or taken by who does not own it; and when all is at rest, nobody keeps anything of partitions of others.

use quorate_protocol::id::{NodeId, PartitionId};
use quorate_protocol::keys;
use quorate_protocol::layout::Layout;

use super::{Asked, Check, violation};
use crate::describe;
use crate::host::Host;

/// A node is about to say, in this layout, that it has a write, or what it holds.
pub(crate) fn answers_as_owner(layout: &Layout, node: NodeId, asked: &Asked, serves: bool) -> Check {
    let (Asked::Key(key) | Asked::After(key)) = asked;
    let owns =
        if serves { layout.is_owner(key.partition, node) } else { layout.is_holder(key.partition, node) };
    let may = owns || layout.is_fallback(key.partition, node);
    if may {
        return Ok(());
    }
    let what = if serves { "shows" } else { "acknowledges" };
    Err(violation("owners", format!("a node {what} {}, which it does not own", describe::key(&key.key))))
}

/// All is at rest: a member holds records of its own partitions only.
pub(crate) fn cleared(layout: &Layout, host: &Host, name: &str) -> Check {
    for partition in (0..u16::try_from(layout.partitions()).unwrap_or(u16::MAX)).map(PartitionId) {
        let left = host.disk.visible_entries(&keys::partition_prefix(partition));
        if !layout.is_holder(partition, host.id) && !left.is_empty() {
            return Err(violation(
                "owners",
                format!(
                    "{name} keeps {} records of partition {partition}, which it does not own",
                    left.len()
                ),
            ));
        }
    }
    Ok(())
}
