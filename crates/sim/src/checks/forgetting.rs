//! What may be forgotten: a tombstone as a whole, and of a container that stays the entries of actors that have no sibling
//! there. Whether the moment was right shows when something comes back: from then on no disk takes any of it again.

use bytes::Bytes;
use quorate_protocol::version::{Container, Context, EncodedContainer, Sibling};

use super::{Check, Violation, containers, violation};
use crate::oracle::Oracle;

/// An owner removes its record of a key.
pub(super) fn removed(oracle: &mut Oracle, key: usize, before: Option<Bytes>) -> Check {
    let Some(before) = before else { return Ok(()) };
    let before = containers::decode(&EncodedContainer(before))?;
    if !before.siblings.is_empty() {
        let detail = format!("an owner forgets {before:?}, which is no tombstone");
        return Err(violation("forgetting", detail));
    }
    oracle.keys[key].forget(&before.context);
    Ok(())
}

/// An owner replaces its record of a key; returns what it forgets by that, all entries of some actors.
pub(super) fn pruned(
    oracle: &mut Oracle,
    key: usize,
    before: Option<&Bytes>,
    after: &EncodedContainer,
    entries_max: usize,
) -> Result<(), Violation> {
    let Some(before) = before.filter(|before| **before != after.0) else { return Ok(()) };
    let (before, after) =
        (containers::decode(&EncodedContainer(before.clone()))?, containers::decode(after)?);
    if is_prune(&before, &after) && before.context.vector().len() > entries_max {
        let mut gone = Context::default();
        for &(actor, seq) in before.context.vector() {
            if after.context.vector_entry(actor) == 0 {
                gone.advance_vector(actor, seq);
            }
        }
        oracle.keys[key].forget(&gone);
    }
    Ok(())
}

/// Nobody takes what was forgotten: when it was, all owners had held nothing of it for so long that nothing on its way and
/// no hint could bring it back.
pub(super) fn stays_forgotten(
    oracle: &Oracle,
    key: usize,
    before: Option<&Bytes>,
    after: &EncodedContainer,
) -> Check {
    let history = &oracle.keys[key];
    let after = containers::decode(after)?;
    let forgotten = |sibling: &&Sibling| history.purged().covers(sibling.dot);
    let mut back = after.siblings.iter().filter(forgotten).peekable();
    if back.peek().is_none() {
        return Ok(());
    }
    let before = match before {
        Some(before) => containers::decode(&EncodedContainer(before.clone()))?,
        None => Container::default(),
    };
    match back.find(|sibling| !before.siblings.contains(sibling)) {
        Some(sibling) => {
            let detail = format!("{sibling:?} was forgotten, and is taken again");
            Err(violation("forgetting", detail))
        }
        None => Ok(()),
    }
}

/// Whether nothing changed but that some actors without a sibling are gone from the vector.
fn is_prune(before: &Container, after: &Container) -> bool {
    let kept = after.context.vector();
    let lives = |entry: &(_, u64)| before.siblings.iter().any(|sibling| sibling.dot.actor == entry.0);
    before.siblings == after.siblings
        && before.context.cloud() == after.context.cloud()
        && kept.len() < before.context.vector().len()
        && kept.iter().all(|entry| before.context.vector().contains(entry))
        && before.context.vector().iter().all(|entry| kept.contains(entry) || !lives(entry))
}
