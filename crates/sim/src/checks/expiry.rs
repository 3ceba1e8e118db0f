//! A value expires by wall clocks, and by nothing else: its time is its coordinator's clock plus what was asked, it is not
//! shown by a coordinator whose clock has passed that, and it does not vanish before the clock of some node has (which
//! [`hidden`](super::hidden) looks at, in every container and answer). In a last-writer-wins bucket the greatest leaves a
//! disk only together with all that it hid there.

use bytes::Bytes;
use quorate_protocol::operation::{Found, Operation, Ttl};
use quorate_protocol::version::{EncodedContainer, Sibling};

use super::{Check, containers, violation};
use crate::describe;
use crate::oracle::{Maker, Oracle};

/// A write that was just made expires when its put or its bucket says.
pub(super) fn of_new_write(
    oracle: &Oracle,
    key: usize,
    operation: usize,
    sibling: &Sibling,
    by: Maker,
) -> Check {
    let Operation::Put(put) = &oracle.operations[operation].operation else { return Ok(()) };
    let ttl_ms = match put.ttl {
        Ttl::Bucket => oracle.keys[key].bucket.ttl_ms,
        Ttl::Never => None,
        Ttl::After(ttl) => u64::try_from(ttl.as_millis()).ok(),
    };
    let right = ttl_ms.map(|ttl_ms| by.wall_ms + ttl_ms);
    if sibling.expiry == right {
        return Ok(());
    }
    Err(violation(
        "expiry",
        format!(
            "{} with {:?} is made when the clock shows {}, and expires at {:?}",
            describe::operation_name(oracle, operation),
            put.ttl,
            by.wall_ms,
            sibling.expiry
        ),
    ))
}

/// Nothing is shown whose time is over.
pub(super) fn shown(found: &Found, wall_ms: u64) -> Check {
    match found.siblings.iter().find(|sibling| sibling.expiry.is_some_and(|expiry| expiry <= wall_ms)) {
        Some(sibling) => Err(violation(
            "expiry",
            format!("a coordinator whose clock shows {wall_ms} shows {sibling:?}, whose time is over"),
        )),
        None => Ok(()),
    }
}

/// What a greatest sibling hid on this disk leaves it with that sibling.
pub(super) fn committed(
    oracle: &Oracle,
    key: usize,
    before: Option<&Bytes>,
    after: &EncodedContainer,
    wall_ms: u64,
) -> Check {
    let Some(before) = before.filter(|_| oracle.keys[key].last_writer_wins()) else { return Ok(()) };
    let before = containers::decode(&EncodedContainer(before.clone()))?;
    let after = containers::decode(after)?;
    let rank = |sibling: &Sibling| (sibling.hlc, sibling.dot);
    let Some(greatest) = before.siblings.iter().max_by_key(|sibling| rank(sibling)) else { return Ok(()) };
    if greatest.expiry.is_none_or(|expiry| wall_ms < expiry) || after.siblings.contains(greatest) {
        return Ok(());
    }
    match after.siblings.iter().find(|sibling| before.siblings.contains(sibling)) {
        Some(risen) => Err(violation(
            "expiry",
            format!("the last value expires alone, and {risen:?}, which it hid, comes to light: {before:?}"),
        )),
        None => Ok(()),
    }
}
