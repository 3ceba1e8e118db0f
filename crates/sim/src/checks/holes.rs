//! A damaged record is a hole, and a hole counts in no quorum: its mark comes with the dropping of the record, no
//! container of that key is acknowledged, shown, listed or made there until it is healed, and in the end all are healed.
//! (What the healing brings back is looked at with all else that was acknowledged.)

use quorate_protocol::keys;
use quorate_protocol::message::{KeyRef, Scanned};
use quorate_protocol::store::StoreOp;
use quorate_protocol::version::EncodedContainer;

use super::{Check, Disks, containers, violation};
use crate::describe;
use crate::disk::SimDisk;
use crate::oracle::Oracle;

/// What a node asked of another.
#[derive(Clone, Debug)]
pub enum Asked {
    /// To merge or to show a key.
    Key(KeyRef),
    /// To list the keys after this one.
    After(KeyRef),
}

/// A node is about to commit these changes: a record that cannot be read may only go together with the coming of its mark, or
/// after it.
pub(crate) fn dropped(disk: &SimDisk, ops: &[StoreOp]) -> Check {
    for op in ops {
        let StoreOp::Delete { key: record } = op else { continue };
        let Some(key) = keys::key_of(record).filter(|_| disk.is_damaged(record)) else { continue };
        let mark = keys::hole(&key);
        let marks = |op: &StoreOp| matches!(op, StoreOp::Put { key, .. } if *key == mark);
        // A tombstone that is in memory may be forgotten, whatever became of its record.
        let value = disk.visible_value(record).map(EncodedContainer);
        let tombstone =
            value.and_then(|value| value.decode().ok()).is_some_and(|held| held.siblings.is_empty());
        if !tombstone && !ops.iter().any(marks) && !disk.is_marked(record) {
            let key = describe::key(&key.key);
            return Err(violation("holes", format!("a damaged record of {key} is dropped without a mark")));
        }
    }
    Ok(())
}

/// A replica is about to say yes: not for a key that is a hole there.
pub(crate) fn counts(disk: &SimDisk, asked: &Asked, page: Option<&Scanned>) -> Check {
    let marked = |key: &KeyRef| disk.is_marked(&keys::data(key.partition, key.bucket, &key.key));
    match (asked, page) {
        (Asked::Key(key), _) if marked(key) => Err(violation(
            "holes",
            format!("a replica answers for {}, which is a hole there", describe::key(&key.key)),
        )),
        (Asked::After(after), Some(page)) => {
            let upto = page.keys.last().filter(|_| page.more).map(|last| last.key.clone());
            for mark in disk.marks() {
                let Some(key) = keys::key_of(&mark) else { continue };
                let in_range = (key.partition, key.bucket) == (after.partition, after.bucket)
                    && key.key > after.key
                    && upto.as_ref().is_none_or(|upto| key.key <= *upto);
                if in_range && !page.keys.iter().any(|listed| listed.key == key.key && listed.doubtful) {
                    let key = describe::key(&key.key);
                    return Err(violation(
                        "holes",
                        format!("a page does not call {key} doubtful, which is a hole there"),
                    ));
                }
            }
            Ok(())
        }
        (Asked::Key(_) | Asked::After(_), _) => Ok(()),
    }
}

/// A node is about to commit a container: it makes no new write for a key that is a hole there.
pub(crate) fn coordinated(oracle: &Oracle, key: usize, encoded: &EncodedContainer, disk: &SimDisk) -> Check {
    let history = &oracle.keys[key];
    if !disk.is_marked(&history.store_key) {
        return Ok(());
    }
    let container = containers::decode(encoded)?;
    match container.siblings.iter().find(|sibling| history.position(sibling.dot).is_none()) {
        Some(sibling) => {
            Err(violation("holes", format!("{} is made where its key is a hole", describe::dot(sibling.dot))))
        }
        None => Ok(()),
    }
}

/// All is at rest: no mark is left.
pub(crate) fn all_healed(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[key];
    let marked = |disk: &&&SimDisk| disk.is_marked(&history.store_key);
    match disks.owners.iter().filter(marked).count() {
        0 => Ok(()),
        count => Err(violation(
            "holes",
            format!("all faults are over, and {} is a hole at {count} owners", describe::key(&history.key)),
        )),
    }
}
