//! A store that cannot be trusted is marked, and the next start moves it out of the way for people to look at. So nothing of the process
//! that trusted it is left when its place is taken.
//!
//! What was set aside stays, except the store of a node that had left its cluster: what it held was handed over or given up before.
//! It is deleted when the node is a member again, under its new identity.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where the store is in a node's directory.
pub(crate) const STORE: &str = "store";
/// The mark, which says why.
const MARK: &str = "DISTRUSTED";
/// What a store that was set aside is called, with a number.
const ASIDE: &str = "set-aside-";
/// What one is called that is being deleted, with the same number.
const DISCARDED: &str = "discarded-";
/// A line of the mark of a node that had left its cluster.
const HAD_LEFT: &str = "Nothing of it is missed: it is deleted when this node is a member of a cluster again.";

/// Why a store cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its node has left the cluster, or was declared lost.
    Left,
    /// It is an old copy, a clone, or damaged.
    Doubt,
}

/// Marks the store of this directory, durably.
pub(crate) fn mark(data_dir: &Path, cause: Cause, reason: &str) -> anyhow::Result<()> {
    let mark = data_dir.join(MARK);
    tracing::error!(reason, "THE DIRECTORY CANNOT BE TRUSTED: the node gives up its identity");
    let text = match cause {
        Cause::Left => format!("{reason}\n{HAD_LEFT}\n"),
        Cause::Doubt => format!("{reason}\n"),
    };
    let written = fs::write(&mark, text).and_then(|()| File::open(&mark)?.sync_all());
    written.and_then(|()| sync(data_dir)).with_context(|| format!("cannot write {}", mark.display()))
}

/// Moves a marked store aside, durably. Returns where it is then.
pub(crate) fn set_aside(data_dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let (mark, store) = (data_dir.join(MARK), data_dir.join(STORE));
    if !mark.exists() {
        return Ok(None);
    }
    let numbered = (1u64..).map(|number| data_dir.join(format!("{ASIDE}{number}")));
    // One without the mark: a start that died between the two moves.
    let place = numbered
        .into_iter()
        .find(|place| !place.exists() || (!store.exists() && !place.join(MARK).exists()))
        .context("no name is free")?;
    let failed = || format!("cannot set {} aside as {}", store.display(), place.display());
    if store.exists() {
        fs::rename(&store, &place).and_then(|()| sync(data_dir)).with_context(failed)?;
    }
    if place.exists() {
        fs::rename(&mark, place.join(MARK)).and_then(|()| sync(&place)).with_context(failed)?;
    } else {
        fs::remove_file(&mark).with_context(failed)?;
    }
    sync(data_dir).with_context(failed)?;
    tracing::error!("the store is set aside as {}: this is another node, with an empty one", place.display());
    Ok(Some(place))
}

/// How many stores were set aside and are still there.
pub(crate) fn count(data_dir: &Path) -> usize {
    numbered(data_dir, ASIDE).len()
}

/// Deletes what was set aside of nodes that had left, for this node is a member again. Returns how many are kept.
pub(crate) fn discard_left(data_dir: &Path) -> anyhow::Result<usize> {
    for number in numbered(data_dir, ASIDE) {
        let place = data_dir.join(format!("{ASIDE}{number}"));
        let mark = fs::read_to_string(place.join(MARK)).unwrap_or_default();
        if mark.lines().any(|line| line == HAD_LEFT) {
            // Under another name first: should this be cut short, what is left of it has lost its mark.
            fs::rename(&place, data_dir.join(format!("{DISCARDED}{number}")))
                .and_then(|()| sync(data_dir))
                .with_context(|| format!("cannot rename {}", place.display()))?;
            tracing::info!("{} is deleted: this node is a member again", place.display());
        }
    }
    for number in numbered(data_dir, DISCARDED) {
        let place = data_dir.join(format!("{DISCARDED}{number}"));
        fs::remove_dir_all(&place).with_context(|| format!("cannot delete {}", place.display()))?;
    }
    Ok(count(data_dir))
}

/// The numbers of the directories that are called so.
fn numbered(data_dir: &Path, prefix: &str) -> Vec<u64> {
    let names = fs::read_dir(data_dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.strip_prefix(prefix)?.parse().ok()).collect()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_with(data: &Path, content: &str) {
        fs::create_dir(data.join(STORE)).expect("made");
        fs::write(data.join(STORE).join("file"), content).expect("written");
    }

    #[test]
    fn each_gets_a_place_of_its_own_and_says_why() {
        let data = tempfile::tempdir().expect("there is room");
        assert_eq!(set_aside(data.path()).expect("nothing is to be done"), None);
        let places: Vec<PathBuf> = ["first", "second"]
            .into_iter()
            .map(|content| {
                store_with(data.path(), content);
                mark(data.path(), Cause::Doubt, content).expect("marked");
                set_aside(data.path()).expect("it is moved").expect("there was one")
            })
            .collect();
        assert!(!data.path().join(STORE).exists());
        for (place, content) in places.iter().zip(["first", "second"]) {
            let read = |name| fs::read_to_string(place.join(name)).expect("readable");
            assert_eq!((read("file"), read(MARK)), (content.into(), format!("{content}\n")));
        }
        store_with(data.path(), "trusted");
        assert_eq!(set_aside(data.path()).expect("nothing is to be done"), None);
    }

    #[test]
    fn only_what_a_node_left_behind_that_had_left_is_deleted() {
        let data = tempfile::tempdir().expect("there is room");
        for (cause, content) in [(Cause::Doubt, "copy"), (Cause::Left, "left"), (Cause::Doubt, "damaged")] {
            store_with(data.path(), content);
            mark(data.path(), cause, content).expect("marked");
            set_aside(data.path()).expect("it is moved").expect("there was one");
        }
        store_with(data.path(), "trusted");
        // An earlier start died while it deleted one.
        fs::create_dir(data.path().join(format!("{DISCARDED}7"))).expect("made");
        assert_eq!(count(data.path()), 3);
        assert_eq!(discard_left(data.path()).expect("deleted"), 2);
        let mut left: Vec<String> = fs::read_dir(data.path())
            .expect("it is there")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("a name"))
            .collect();
        left.sort();
        assert_eq!(left, ["set-aside-1", "set-aside-3", STORE]);
        assert_eq!((discard_left(data.path()).expect("nothing to do"), count(data.path())), (2, 2));
    }

    #[test]
    fn a_start_that_dies_between_the_moves_is_taken_up() {
        let data = tempfile::tempdir().expect("there is room");
        store_with(data.path(), "old");
        mark(data.path(), Cause::Left, "because").expect("marked");
        let place = data.path().join(format!("{ASIDE}1"));
        fs::rename(data.path().join(STORE), &place).expect("moved");
        assert_eq!(set_aside(data.path()).expect("it goes on"), Some(place.clone()));
        assert!(place.join(MARK).exists() && !data.path().join(MARK).exists());
    }
}
