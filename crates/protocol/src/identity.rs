//! What a directory says of its node when the process starts.

use bytes::Bytes;
use thiserror::Error;

use crate::id::NodeId;
use crate::keys;
use crate::layout::Layout;
use crate::store::{Store, StoreError, StoreOp};

/// What a start found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Who the node is.
    pub node: NodeId,
    /// How often it was started, this start included: 1 in a new directory.
    pub boot: u64,
    /// The layout that it held, if it is bootstrapped.
    pub layout: Option<Layout>,
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
    Ok(Recovered { node, boot, layout })
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
