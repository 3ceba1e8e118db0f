//! Where nodes are reached. Addresses change and are never identity: what a node says of itself when a link comes up
//! counts, the layout's entry is a first guess.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use parking_lot::Mutex;
use quorate_protocol::id::NodeId;
use serde::{Deserialize, Serialize};

/// Where one node is reached, each as `host:port`; empty: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddresses {
    /// By other nodes.
    pub peer: String,
    /// By gRPC clients.
    pub grpc: String,
    /// By HTTP clients.
    pub http: String,
}

/// Who knows where nodes are.
pub trait Addresses: Send + Sync {
    /// Of this node.
    fn own(&self) -> NodeAddresses;
    /// Of another one, as far as known.
    fn of(&self, node: NodeId) -> Option<NodeAddresses>;
}

/// What nodes have said of themselves, kept in a file so that a restart of all finds the others even where they
/// have moved since the layout was made.
#[derive(Debug)]
pub struct AddressBook {
    own: NodeAddresses,
    file: PathBuf,
    known: Mutex<BTreeMap<String, NodeAddresses>>,
}

impl AddressBook {
    /// Opens the book in a file, which need not exist. An unreadable file is as good as none: links fill it again.
    pub fn open(file: PathBuf, own: NodeAddresses) -> Self {
        let known = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { own, file, known: Mutex::new(known.unwrap_or_default()) }
    }

    /// A node has said where it is.
    pub fn learn(&self, node: NodeId, addresses: NodeAddresses) {
        let mut known = self.known.lock();
        if known.get(&node.to_string()) == Some(&addresses) {
            return;
        }
        known.insert(node.to_string(), addresses);
        if let Err(error) = self.write(&known) {
            tracing::warn!(%error, file = %self.file.display(), "cannot keep the addresses of other nodes");
        }
    }

    fn write(&self, known: &BTreeMap<String, NodeAddresses>) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(known)?)?;
        fs::rename(new, &self.file)
    }
}

impl Addresses for AddressBook {
    fn own(&self) -> NodeAddresses {
        self.own.clone()
    }

    fn of(&self, node: NodeId) -> Option<NodeAddresses> {
        self.known.lock().get(&node.to_string()).cloned()
    }
}
