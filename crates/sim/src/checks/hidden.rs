//! Nothing is dropped unseen: a write is covered and gone only when somebody who had seen it wrote or deleted.
//!
//! Looked at in every container that a node commits or sends and in every answer to a read, for every write that ever
//! got a dot, acknowledged or not. What an author has seen is what the answers before it showed.

use quorate_protocol::version::Container;

use super::{Check, name, violation};
use crate::oracle::{DotSet, Oracle};

pub(super) fn in_container(oracle: &Oracle, key: usize, container: &Container) -> Check {
    let history = &oracle.keys[key];
    for (at, record) in history.dots().iter().enumerate() {
        let lives = || container.siblings.iter().any(|sibling| sibling.dot == record.dot);
        if container.context.covers(record.dot) && !lives() && !history.may_be_replaced(at) {
            return Err(violation(
                "hidden",
                format!(
                    "a container covers {} and does not hold it, and nobody who had seen it wrote since",
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
        if !operation_is_shown(at) && !history.may_be_replaced(at) {
            return Err(violation(
                "hidden",
                format!(
                    "a read's context covers {} and its answer does not show it, and nobody who had seen it wrote since",
                    name(oracle, key, at)
                ),
            ));
        }
    }
    Ok(())
}
