//! A store that cannot be trusted is marked, and the next start moves it out of the way for people to look at. So nothing of the process
//! that trusted it is left when its place is taken.

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

/// Marks the store of this directory, durably.
pub(crate) fn mark(data_dir: &Path, reason: &str) -> anyhow::Result<()> {
    let mark = data_dir.join(MARK);
    tracing::error!(reason, "THE DIRECTORY CANNOT BE TRUSTED: the node gives up its identity");
    let written = fs::write(&mark, format!("{reason}\n")).and_then(|()| File::open(&mark)?.sync_all());
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
                mark(data.path(), content).expect("marked");
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
    fn a_start_that_dies_between_the_moves_is_taken_up() {
        let data = tempfile::tempdir().expect("there is room");
        store_with(data.path(), "old");
        mark(data.path(), "because").expect("marked");
        let place = data.path().join(format!("{ASIDE}1"));
        fs::rename(data.path().join(STORE), &place).expect("moved");
        assert_eq!(set_aside(data.path()).expect("it goes on"), Some(place.clone()));
        assert!(place.join(MARK).exists() && !data.path().join(MARK).exists());
    }
}
