//! What a directory says of its node when the process starts.

use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

use crate::chain::Acceptor;
use crate::id::{NodeId, PartitionId};
use crate::keys;
use crate::layout::Layout;
use crate::message::KeyRef;
use crate::store::{Store, StoreError, StoreOp};
use crate::transition::Mark;

/// Marks of holes that one page of a scan reads.
const MARKS_AT_ONCE: usize = 1000;

/// What a start found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Who the node is.
    pub node: NodeId,
    /// How often it was started, this start included: 1 in a new directory.
    pub boot: u64,
    /// What its earlier lives have left.
    pub kept: Kept,
}

/// What a directory keeps beside the data, for the next life of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The layout that it held, if it is bootstrapped.
    pub layout: Option<Layout>,
    /// The keys whose records were damaged and are not healed yet.
    pub holes: Vec<KeyRef>,
    /// What it has promised as a voter.
    pub acceptor: Acceptor,
    /// What it has done for changes of the layout, by partition.
    pub marks: BTreeMap<PartitionId, Mark>,
}

/// Why a directory does not make a node.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecoverError {
    /// The store does not give its records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is there and says nothing.
    #[error("the record {name} cannot be read: {detail}")]
    Record {
        /// Which record.
        name: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// Reads who the node is, makes it `minted` when the directory is new, and counts the start; durable when this returns.
pub fn recover(store: &impl Store, minted: NodeId) -> Result<Recovered, RecoverError> {
    let node = match store.get(keys::IDENTITY)? {
        Some(bytes) => {
            let id = bytes.as_ref().try_into().map_err(|_| RecoverError::Record {
                name: "identity",
                detail: format!("it has {} bytes instead of 8", bytes.len()),
            })?;
            NodeId(u64::from_be_bytes(id))
        }
        None => {
            let value = Bytes::copy_from_slice(&minted.0.to_be_bytes());
            let number =
                store.submit(vec![StoreOp::Put { key: Bytes::from_static(keys::IDENTITY), value }])?;
            store.wait_durable(number)?;
            minted
        }
    };
    let boot = count_start(store)?;
    let layout = match store.get(keys::LAYOUT)? {
        Some(bytes) => Some(
            Layout::decode(&bytes)
                .map_err(|error| RecoverError::Record { name: "layout", detail: error.to_string() })?,
        ),
        None => None,
    };
    let acceptor = match store.get(keys::BALLOT)? {
        Some(bytes) => Acceptor::decode(&bytes)
            .map_err(|error| RecoverError::Record { name: "ballot", detail: error.to_string() })?,
        None => Acceptor::default(),
    };
    let kept = Kept { layout, holes: holes(store)?, acceptor, marks: marks(store)? };
    Ok(Recovered { node, boot, kept })
}

/// Counts this start, durably: the name that a node goes by in the gossip must be newer than any that it had.
fn count_start(store: &impl Store) -> Result<u64, RecoverError> {
    let before = match store.get(keys::BOOT)? {
        Some(bytes) => u64::from_be_bytes(bytes.as_ref().try_into().map_err(|_| RecoverError::Record {
            name: "boot",
            detail: format!("it has {} bytes instead of 8", bytes.len()),
        })?),
        None => 0,
    };
    let boot = before + 1;
    let value = Bytes::copy_from_slice(&boot.to_be_bytes());
    let number = store.submit(vec![StoreOp::Put { key: Bytes::from_static(keys::BOOT), value }])?;
    store.wait_durable(number)?;
    Ok(boot)
}

/// How far the node was with the change of each partition.
fn marks(store: &impl Store) -> Result<BTreeMap<PartitionId, Mark>, RecoverError> {
    let mut marks = BTreeMap::new();
    let mut after: Option<Bytes> = None;
    loop {
        let page = store.scan(keys::MARKS, after.as_deref(), MARKS_AT_ONCE, usize::MAX)?;
        for (key, value) in &page.entries {
            if let (Some(partition), Some(mark)) = (keys::marked(key), Mark::decode(value)) {
                marks.insert(partition, mark);
            }
        }
        if let Some(damaged) = page.damaged.first() {
            let detail = format!("that of {:?} is damaged", keys::marked(damaged));
            return Err(RecoverError::Record { name: "mark", detail });
        }
        if !page.more {
            return Ok(marks);
        }
        after = page.last().cloned();
    }
}

/// All marks, before anything else is done: a key that is a hole must not be answered for. A mark says all in its key, so a
/// damaged one is as good.
fn holes(store: &impl Store) -> Result<Vec<KeyRef>, StoreError> {
    let mut holes = Vec::new();
    let mut after: Option<Bytes> = None;
    loop {
        let page = store.scan(keys::HOLES, after.as_deref(), MARKS_AT_ONCE, usize::MAX)?;
        let marks = page.entries.iter().map(|(mark, _)| mark).chain(&page.damaged);
        holes.extend(marks.filter_map(keys::key_of));
        if !page.more {
            return Ok(holes);
        }
        after = page.last().cloned();
    }
}
