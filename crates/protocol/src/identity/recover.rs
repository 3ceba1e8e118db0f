//! What a directory says of its node when the process starts, and the record of that start.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use thiserror::Error;

use super::{Kept, Life, Recovered, encode_lives};
use crate::chain::Acceptor;
use crate::id::{NodeId, PartitionId, StartId};
use crate::keys;
use crate::layout::{InvalidSettings, Layout};
use crate::message::KeyRef;
use crate::store::{Sequence, Store, StoreError, StoreOp};
use crate::transition::Mark;

/// Records that one page of a scan reads.
const MARKS_AT_ONCE: usize = 1000;

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

/// Reads who the node is, makes it `minted` when the directory is new, and records that the life `start` begins; durable when this
/// returns.
pub fn recover(store: &impl Store, minted: NodeId, start: StartId) -> Result<Recovered, RecoverError> {
    let found = store.sequence();
    let node = match store.get(keys::IDENTITY)? {
        Some(bytes) => NodeId(u64::from_be_bytes(exactly("identity", &bytes)?)),
        None => {
            let value = Bytes::copy_from_slice(&minted.0.to_be_bytes());
            let number = store.submit(&[StoreOp::Put { key: Bytes::from_static(keys::IDENTITY), value }])?;
            store.wait_durable(number)?;
            minted
        }
    };
    let past = past_lives(store, found)?;
    let boot = past.last_key_value().map_or(1, |(boot, _)| boot + 1);
    record_start(store, boot, start, found)?;
    let layout = match store.get(keys::LAYOUT)? {
        Some(bytes) => Some(Layout::decode(&bytes).map_err(|error| unreadable("layout", &error))?),
        None => None,
    };
    let acceptor = match store.get(keys::BALLOT)? {
        Some(bytes) => Acceptor::decode(&bytes).map_err(|error| unreadable("ballot", &error))?,
        None => Acceptor::default(),
    };
    let lives = match store.get(keys::LIVES)? {
        Some(bytes) => super::decode_lives(&bytes).map_err(|error| unreadable("lives", &error))?,
        None => BTreeMap::new(),
    };
    let (holes, marks, sequence) = (holes(store)?, marks(store)?, store.sequence());
    let kept = Kept { layout, holes, acceptor, marks, past, lives, sequence };
    Ok(Recovered { node, boot, kept })
}

/// Forgets what a directory remembers of other nodes' lives, so that none of them is betrayed by it; durable when this returns. For
/// directories that were all restored from copies of different moments: each is adopted as it is. Returns of how many nodes it knew.
pub fn forget_lives(store: &impl Store) -> Result<usize, RecoverError> {
    let known = match store.get(keys::LIVES)? {
        Some(bytes) => super::decode_lives(&bytes).map_err(|error| unreadable("lives", &error))?.len(),
        None => 0,
    };
    let value = encode_lives(&BTreeMap::new());
    let number = store.submit(&[StoreOp::Put { key: Bytes::from_static(keys::LIVES), value }])?;
    store.wait_durable(number)?;
    Ok(known)
}

/// Writes a [forced](Layout::forced) layout into the directory of a member, whose node does not run; durable when this returns.
pub fn force_lost(store: &impl Store, lost: &BTreeSet<NodeId>) -> Result<Layout, ForceError> {
    let node = match store.get(keys::IDENTITY).map_err(RecoverError::from)? {
        Some(bytes) => NodeId(u64::from_be_bytes(exactly("identity", &bytes)?)),
        None => return Err(ForceError::NoNode),
    };
    let Some(bytes) = store.get(keys::LAYOUT).map_err(RecoverError::from)? else {
        return Err(ForceError::NoLayout);
    };
    let held = Layout::decode(&bytes).map_err(|error| unreadable("layout", &error))?;
    let forced = held.forced(node, lost)?;
    let value = Bytes::from(forced.encode());
    let put = StoreOp::Put { key: Bytes::from_static(keys::LAYOUT), value };
    let number = store.submit(&[put]).map_err(RecoverError::from)?;
    store.wait_durable(number).map_err(RecoverError::from)?;
    Ok(forced)
}

/// Why a layout was not forced.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ForceError {
    /// The directory holds no node.
    #[error("no node has been started on it")]
    NoNode,
    /// The node belongs to no cluster.
    #[error("its node belongs to no cluster")]
    NoLayout,
    /// It would make no layout.
    #[error(transparent)]
    Invalid(#[from] InvalidSettings),
    /// The directory does not give what it holds.
    #[error(transparent)]
    Unreadable(#[from] RecoverError),
}

fn unreadable(name: &'static str, error: &impl std::fmt::Display) -> RecoverError {
    RecoverError::Record { name, detail: error.to_string() }
}

fn exactly<const N: usize>(name: &'static str, bytes: &[u8]) -> Result<[u8; N], RecoverError> {
    bytes.try_into().map_err(|_| RecoverError::Record {
        name,
        detail: format!("it has {} bytes instead of {N}", bytes.len()),
    })
}

/// The lives that began in this directory, each with how far the directory went when the next one began. The last one ended with what
/// was `found`.
fn past_lives(store: &impl Store, found: Sequence) -> Result<BTreeMap<u64, Life>, RecoverError> {
    let mut past: BTreeMap<u64, Life> = BTreeMap::new();
    let mut after: Option<Bytes> = None;
    loop {
        let page = store.scan(keys::STARTS, after.as_deref(), MARKS_AT_ONCE, usize::MAX)?;
        for (key, value) in &page.entries {
            let boot = keys::started(key).ok_or_else(|| unreadable("start", &"its key is no number"))?;
            let value: [u8; 16] = exactly("start", value)?;
            let (start, began) = value.split_at(8);
            let number = |half: &[u8]| half.try_into().map_or(0, u64::from_be_bytes);
            let (start, began) = (StartId(number(start)), Sequence(number(began)));
            if let Some(mut before) = past.last_entry() {
                before.get_mut().sequence = began;
            }
            past.insert(boot, Life { boot, start, sequence: found });
        }
        if !page.damaged.is_empty() {
            return Err(unreadable("start", &"it is damaged"));
        }
        if !page.more {
            return Ok(past);
        }
        after = page.last().cloned();
    }
}

/// How often the node of a directory was started.
pub fn boots(store: &impl Store) -> Result<u64, RecoverError> {
    Ok(past_lives(store, store.sequence())?.last_key_value().map_or(0, |(boot, _)| *boot))
}

/// Records this start, durably: peers must be able to tell this life from any that the directory had, or that a copy of it has.
fn record_start(store: &impl Store, boot: u64, start: StartId, found: Sequence) -> Result<(), RecoverError> {
    let value = Bytes::from([start.0.to_be_bytes(), found.0.to_be_bytes()].concat());
    let number = store.submit(&[StoreOp::Put { key: keys::start(boot), value }])?;
    store.wait_durable(number)?;
    Ok(())
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
