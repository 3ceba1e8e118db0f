//! What is done to a node's directory while the node does not run: last resorts, each told to people and noted in the directory.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use quorate_protocol::id::NodeId;
use quorate_protocol::identity;
use quorate_protocol::layout::Layout;
use quorate_storage::{SledStore, StoreHooks, StoreOptions};

use crate::distrusted::STORE;

/// The file that says what was done, a line each time.
const NOTES: &str = "OFFLINE.log";

/// Makes a directory forget what it knows of the lives of other nodes, so that it betrays none of them. For all directories of a cluster
/// that were restored from copies of different moments. Returns of how many nodes it knew.
pub fn adopt(data_dir: &Path) -> anyhow::Result<usize> {
    let known = identity::forget_lives(&open(data_dir)?).with_context(|| data_dir.display().to_string())?;
    note(data_dir, &format!("adopted as it is: what it knew of {known} other nodes is forgotten"))?;
    Ok(known)
}

/// Gives the votes of members that are gone for good to those that are left, in the directory of one of these. Returns the layout.
pub fn force_lost(data_dir: &Path, lost: &[NodeId]) -> anyhow::Result<Layout> {
    let lost: BTreeSet<NodeId> = lost.iter().copied().collect();
    let forced =
        identity::force_lost(&open(data_dir)?, &lost).with_context(|| data_dir.display().to_string())?;
    let names: Vec<String> = lost.iter().map(NodeId::to_string).collect();
    note(data_dir, &format!("forced epoch {} without the votes of {}", forced.epoch, names.join(", ")))?;
    Ok(forced)
}

fn open(data_dir: &Path) -> anyhow::Result<SledStore> {
    let store = data_dir.join(STORE);
    ensure!(store.is_dir(), "{}: there is no store of a node in it", data_dir.display());
    SledStore::open(&store, StoreOptions::default(), StoreHooks::default())
        .with_context(|| format!("cannot open the store in {}", store.display()))
}

fn note(data_dir: &Path, what: &str) -> anyhow::Result<()> {
    let file = data_dir.join(NOTES);
    let at_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut notes| writeln!(notes, "{at_s} {what}").and_then(|()| notes.sync_all()))
        .with_context(|| format!("cannot write {}", file.display()))
}
