//! Hints are durable, and known: once a life has read those of the lives before, it remembers what its store says, no more and no
//! less, and keeps no container that is for nobody. What it does not remember, for there is a bound, it compares first.
//!
//! In the end anti-entropy mends whatever a hint has failed to bring, so what owners hold says nothing of hints; these do.

use quorate_protocol::Node;
use quorate_protocol::keys;
use quorate_protocol::layout::Layout;
use quorate_protocol::message::{KeyRef, Place};
use quorate_protocol::store::StoreOp;
use quorate_protocol::version::{Container, Context, EncodedContainer};

use super::{Check, Violation, containers, violation};
use crate::describe;
use crate::disk::SimDisk;
use crate::host::Host;

/// What the containers that a node keeps for owners are under.
const KEPT: &[u8] = b"f";

/// What a node remembers is what its store says, once it has read that.
pub(crate) fn known(node: &Node, disk: &SimDisk) -> Check {
    if !node.knows_its_hints() {
        return Ok(());
    }
    let hints = disk.visible_entries(keys::HINTS);
    let mut wanted = Vec::new();
    for (record, value) in &hints {
        let Some((owner, key)) = keys::parse_hint(record) else { continue };
        if !node.remembers(owner, &key) {
            let key = describe::key(&key.key);
            return Err(violation("hints", format!("a hint about {key} is in the store and not remembered")));
        }
        if place(value) == Place::Fallback {
            wanted.push(keys::record(Place::Fallback, &key));
        }
    }
    let remembered = node.gauges().hints;
    if remembered != hints.len() {
        let detail = format!("{remembered} hints are remembered, and {} are in the store", hints.len());
        return Err(violation("hints", detail));
    }
    match disk.visible_entries(KEPT).iter().find(|(record, _)| !wanted.contains(record)) {
        Some((record, _)) => {
            let key = describe::key(record.get(keys::DATA_PREFIX_BYTES..).unwrap_or_default());
            Err(violation("hints", format!("a container of {key} is kept for no owner")))
        }
        None => Ok(()),
    }
}

fn place(record: &[u8]) -> Place {
    if record.first() == Some(&1) { Place::Fallback } else { Place::Replica }
}

/// What owners have missed, and the node that knew of it remembers no longer.
#[derive(Debug, Default)]
pub(crate) struct Unremembered {
    missed: Vec<Missed>,
}

#[derive(Debug)]
struct Missed {
    /// Who remembers it no longer,
    holder: usize,
    /// and who has missed it.
    owner: usize,
    key: KeyRef,
    /// What the owner has to cover before the two can be called equal.
    context: Context,
}

impl Unremembered {
    /// A node has just dropped hints by its bounds, and is about to commit this.
    pub(crate) fn dropped(&mut self, holder: usize, hosts: &[Host], ops: &[StoreOp]) -> Check {
        let disk = &hosts[holder].disk;
        for op in ops {
            let StoreOp::Delete { key: record } = op else { continue };
            let Some((id, key)) = keys::parse_hint(record) else { continue };
            let shortcut = disk.visible_value(record).is_some_and(|value| place(&value) == Place::Replica);
            let Some(owner) = hosts.iter().position(|host| host.id == id).filter(|_| shortcut) else {
                continue;
            };
            let context = held(disk, &key)?.context;
            self.missed.push(Missed { holder, owner, key, context });
        }
        self.came_to(hosts)
    }

    /// Somebody has committed: perhaps what he had missed.
    pub(crate) fn came_to(&mut self, hosts: &[Host]) -> Check {
        let mut broken = Ok(());
        self.missed.retain(|missed| match held(&hosts[missed.owner].disk, &missed.key) {
            Ok(container) => !container.context.covers_all(&missed.context),
            Err(violation) => {
                broken = Err(violation);
                false
            }
        });
        broken
    }

    /// A process has died, or has adopted another layout: everything is compared anew.
    pub(crate) fn begins_anew(&mut self, holder: usize) {
        self.missed.retain(|missed| missed.holder != holder);
    }

    /// A node has handled an event, in which it has counted hints dropped by its bounds, or not.
    pub(crate) fn compared_first(&mut self, holder: usize, hosts: &[Host], has_dropped: bool) -> Check {
        let host = &hosts[holder];
        let Some(process) = &host.process else { return Ok(()) };
        // An owner that is being added gathers all there is anyway, and is compared with no earlier than that.
        if process.node.layout().is_some_and(|layout| !layout.is_stable()) {
            return Ok(());
        }
        // What it has lost itself it cannot compare.
        let lost = |key: &KeyRef| host.disk.is_troubled(&keys::record(Place::Replica, key));
        self.missed.retain(|missed| missed.holder != holder || !lost(&missed.key));
        let first = |owner: &Host, key: &KeyRef| process.node.compares_first(owner.id, key.partition);
        let mut missed = self.missed.iter().filter(|missed| missed.holder == holder);
        if let Some(missed) = missed.find(|missed| !first(&hosts[missed.owner], &missed.key)) {
            let (owner, key) = (describe::node(missed.owner), describe::key(&missed.key.key));
            let detail = format!("a hint about {key} was dropped, and {owner} is not compared with first");
            return Err(violation("hints", detail));
        }
        let any = |layout: &Layout| {
            let mut of_all = layout
                .all_partitions()
                .flat_map(|partition| layout.owners(partition).iter().map(move |&owner| (owner, partition)));
            of_all.any(|(owner, partition)| process.node.compares_first(owner, partition))
        };
        if has_dropped && !process.node.layout().is_some_and(|layout| any(layout)) {
            let detail = "a hint was not taken, and nothing is compared first".into();
            return Err(violation("hints", detail));
        }
        Ok(())
    }
}

fn held(disk: &SimDisk, key: &KeyRef) -> Result<Container, Violation> {
    match disk.visible_value(&keys::record(Place::Replica, key)) {
        Some(bytes) => containers::decode(&EncodedContainer(bytes)),
        None => Ok(Container::default()),
    }
}
