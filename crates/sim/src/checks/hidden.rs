//! Nothing is dropped unseen: a write is covered and gone only where the put of one who had seen it is covered too, or
//! when such a one deleted.
//!
//! Looked at in every container that a node commits or sends and in every answer to a read, for every write that ever
//! got a dot, acknowledged or not. What an author has seen is what the answers before it showed.

use quorate_protocol::version::Container;

use super::{Check, name, violation};
use crate::oracle::{DotSet, Oracle};

pub(super) fn in_container(oracle: &Oracle, key: usize, container: &Container) -> Check {
    let history = &oracle.keys[key];
    let covered = history.covered(&container.context);
    for at in covered.iter() {
        let dot = history.dots()[at].dot;
        let lives = || container.siblings.iter().any(|sibling| sibling.dot == dot);
        if !lives() && !history.may_be_gone(at, &covered, &oracle.operations) {
            return Err(violation(
                "hidden",
                format!(
                    "a container covers {} and does not hold it, nor any write of one who had seen it",
                    name(oracle, key, at)
                ),
            ));
        }
    }
    Ok(())
}

pub(super) fn in_answer(oracle: &Oracle, key: usize, covered: &DotSet, shown: &DotSet) -> Check {
    let history = &oracle.keys[key];
    // The same operation may live under several dots; it is shown once.
    let operation_is_shown = |at: usize| {
        let operation = history.dots()[at].operation;
        shown.iter().any(|other| history.dots()[other].operation == operation)
    };
    for at in covered.iter() {
        if !operation_is_shown(at) && !history.may_be_gone(at, covered, &oracle.operations) {
            return Err(violation(
                "hidden",
                format!(
                    "a read's context covers {} and its answer does not show it, nor covers any write of one who had seen it",
                    name(oracle, key, at)
                ),
            ));
        }
    }
    Ok(())
}
