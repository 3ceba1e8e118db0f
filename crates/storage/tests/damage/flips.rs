//! One byte of any file changes, with the store closed or open. Then nothing is wrong, or exactly what is affected is reported damaged,
//! or the opening is refused with a message that says where: never a wrong value, never a hang, never a panic.
//!
//! `QUORATE_FLIPS=5000` for more bytes of each file (25 otherwise).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::store::{Store, StoreError, StoreOp};
use quorate_storage::{OpenError, SledStore};
use tempfile::TempDir;

use super::{base, delete, fill, flip, open, try_open};

/// What a store holds.
type Content = BTreeMap<Bytes, Bytes>;

/// How long any one byte may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn content(store: &SledStore) -> Result<(Content, Vec<Bytes>), StoreError> {
    let (mut entries, mut damaged, mut after) = (Content::new(), Vec::new(), None::<Bytes>);
    loop {
        let page = store.scan(b"", after.as_deref(), 7, 1 << 20)?;
        after = page.last().cloned();
        entries.extend(page.entries);
        damaged.extend(page.damaged);
        if !page.more {
            return Ok((entries, damaged));
        }
    }
}

/// A closed store: most of it behind a checkpoint, some in the log. Returns what it holds, and what without the last record.
fn filled(path: &Path) -> (Content, Content) {
    let store = open(path);
    fill(&store, 1..40, 40);
    fill(&store, 40..42, 70_000);
    store.checkpoint().expect("there is room");
    fill(&store, 1..5, 300);
    (5..9).for_each(|number| delete(&store, number));
    store.checkpoint().expect("there is room");
    drop(store);
    let store = open(path);
    fill(&store, 10..14, 60);
    delete(&store, 14);
    fill(&store, 50..52, 60);
    let without_last = content(&store).expect("undamaged").0;
    fill(&store, 52..53, 60);
    let all = content(&store).expect("undamaged").0;
    (all, without_last)
}

fn files_under(path: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(path).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() { files_under(&path, files) } else { files.push(path) }
    }
    files.sort();
}

fn copy(from: &Path, to: &Path) {
    let mut files = Vec::new();
    files_under(from, &mut files);
    for file in files {
        let target = to.join(file.strip_prefix(from).expect("below it"));
        fs::create_dir_all(target.parent().expect("below something")).expect("created");
        fs::copy(file, target).expect("copied");
    }
}

/// Bytes to alter: all around what is written, a part of the rest.
fn sample(file: &Path) -> Vec<usize> {
    let wanted = std::env::var("QUORATE_FLIPS").map_or(25, |text| text.parse().expect("a number"));
    let bytes = fs::read(file).expect("readable");
    let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let step = (written.len() / wanted).max(1);
    // An odd start for each file, so that strides do not always meet the same fields.
    let start = file.as_os_str().len() % step;
    let zeros = (0..bytes.len()).filter(|at| bytes[*at] == 0).step_by((bytes.len() / 8).max(1));
    written.iter().copied().skip(start).step_by(step).chain(zeros).collect()
}

/// Runs this elsewhere, to notice if it never ends.
fn in_time<T: Send + 'static>(context: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, end) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        // Nobody hears it if it was given up.
        let _ = done.send(work());
    });
    match end.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{context}: it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = worker.join().err();
            let text = panic.as_ref().and_then(|panic| panic.downcast_ref::<String>());
            panic!("{context}: it panicked: {text:?}");
        }
    }
}

/// What has to hold of what is found. Returns the damaged keys.
fn verify(found: &(Content, Vec<Bytes>), all: &Content, context: &str) -> Vec<Bytes> {
    let (entries, damaged) = found;
    for (key, value) in entries {
        assert!(all.get(key) == Some(value), "{context}: {key:?} is wrong");
    }
    for key in all.keys() {
        assert!(entries.contains_key(key) || damaged.contains(key), "{context}: {key:?} is gone");
    }
    assert!(damaged.iter().all(|key| all.contains_key(key)), "{context}: {damaged:?}");
    damaged.clone()
}

/// Heals what is damaged, as a node does, and sees that the store is whole from then on.
fn heal(path: &Path, store: SledStore, damaged: &[Bytes], all: &Content, context: &str) {
    let puts: Vec<_> =
        damaged.iter().map(|key| StoreOp::Put { key: key.clone(), value: all[key].clone() }).collect();
    store.submit(&puts).expect("there is room");
    // What sled cannot read shows itself now at the latest, and is no loss.
    let checkpointed = store.checkpoint();
    drop(store);
    if let Err(error) = checkpointed {
        assert!(error.to_string().contains("builds it anew"), "{context}: {error}");
        let store = open(path);
        assert!(store.open_report().rebuilt.is_some(), "{context}");
        verify(&content(&store).expect("whole"), all, context);
        return;
    }
    let found = content(&open(path)).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(verify(&found, all, context).is_empty(), "{context}: it is healed");
}

/// Opens what was altered and looks at everything.
fn examine(path: &Path, file: &Path, all: &Content, without_last: &Content, context: &str) -> &'static str {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let store = match try_open(path) {
            Ok(store) => store,
            Err(OpenError::Version { .. }) if file.ends_with("FORMAT") => return "refused",
            Err(error @ OpenError::Damaged { .. }) => {
                assert!(file.parent().is_some_and(|part| part.ends_with("log")), "{context}: {error}");
                return "refused";
            }
            Err(error) => panic!("{context}: {error}"),
        };
        match content(&store) {
            Ok(found) => {
                let rebuilt = store.open_report().rebuilt.is_some();
                // The last record of a log may always be an unfinished one.
                let is_log = file.parent().is_some_and(|part| part.ends_with("log"));
                let all = if is_log && found.0 == *without_last { without_last } else { all };
                let damaged = verify(&found, all, context);
                assert!(damaged.len() <= 1, "{context}: {damaged:?}");
                let outcome = match (rebuilt || attempt > 1, damaged.len()) {
                    (true, _) => "rebuilt",
                    (false, 0) => "nothing",
                    (false, _) => "damaged",
                };
                heal(path, store, &damaged, all, context);
                return outcome;
            }
            Err(error) => {
                assert!(attempt == 1 && error.to_string().contains("builds it anew"), "{context}: {error}");
            }
        }
    }
}

#[test]
fn a_byte_of_any_file_changes_while_the_store_is_closed() {
    let directory = TempDir::new().expect("a temporary directory");
    let whole = directory.path().join("whole");
    let (all, without_last) = filled(&whole);
    let mut files = Vec::new();
    files_under(&whole, &mut files);
    let mut outcomes = BTreeMap::new();
    for file in files {
        for at in sample(&file) {
            let name = file.strip_prefix(&whole).expect("below it").to_path_buf();
            let context = format!("{} at byte {at}", name.display());
            let altered = directory.path().join("altered");
            copy(&whole, &altered);
            flip(&altered.join(&name), at);
            let (all, without_last, text) = (all.clone(), without_last.clone(), context.clone());
            let outcome = in_time(&context, {
                let altered = altered.clone();
                move || examine(&altered, &altered.join(&name), &all, &without_last, &text)
            });
            let part = file.parent().and_then(Path::file_name).expect("named").to_string_lossy();
            *outcomes.entry((part.into_owned(), outcome)).or_insert(0) += 1;
            fs::remove_dir_all(&altered).expect("removed");
        }
    }
    eprintln!("{outcomes:#?}");
    let happened =
        |part: &str, outcome| outcomes.keys().any(|(name, what)| name.starts_with(part) && *what == outcome);
    assert!(happened("values", "damaged") && !happened("values", "refused"));
    assert!(happened("base-", "rebuilt") && !happened("base-", "damaged") && !happened("base-", "refused"));
    assert!(happened("log", "damaged"));
}

#[test]
fn a_byte_of_any_file_changes_while_the_store_is_open() {
    let directory = TempDir::new().expect("a temporary directory");
    let whole = directory.path().join("whole");
    let (all, _) = filled(&whole);
    let mut files = Vec::new();
    files_under(&whole, &mut files);
    let sled = base(&whole);
    for file in files {
        let is_log = file.parent().is_some_and(|part| part.ends_with("log"));
        for at in sample(&file).into_iter().step_by(3) {
            let name = file.strip_prefix(&whole).expect("below it").to_path_buf();
            let context = format!("{} at byte {at}, while open", name.display());
            let altered = directory.path().join("altered");
            copy(&whole, &altered);
            let (all, text, is_sled) = (all.clone(), context.clone(), file.starts_with(&sled));
            in_time(&context, {
                let altered = altered.clone();
                move || {
                    let store = open(&altered);
                    store.checkpoint().expect("there is room");
                    let target = altered.join(&name);
                    // Segments and files may have been dropped.
                    if fs::metadata(&target).map_or(0, |meta| meta.len()) <= at as u64 {
                        return;
                    }
                    flip(&target, at);
                    let found = content(&store);
                    let damaged = match found {
                        Ok(found) => verify(&found, &all, &text),
                        Err(error) => {
                            assert!(is_sled, "{text}: {error}");
                            Vec::new()
                        }
                    };
                    assert!(damaged.len() <= 1, "{text}: {damaged:?}");
                    let puts =
                        damaged.iter().map(|key| StoreOp::Put { key: key.clone(), value: all[key].clone() });
                    let healed = store.submit(&puts.collect::<Vec<_>>()).and_then(|_| store.checkpoint());
                    assert!(healed.is_ok() || is_sled, "{text}: {healed:?}");
                    drop(store);
                    match try_open(&altered) {
                        Ok(store) => {
                            let found = content(&store).or_else(|error| {
                                assert!(is_sled, "{text}: {error}");
                                drop(store);
                                content(&open(&altered))
                            });
                            let found = found.unwrap_or_else(|error| panic!("{text}: {error}"));
                            assert!(verify(&found, &all, &text).is_empty(), "{text}: it is healed");
                        }
                        Err(error) => assert!(is_log || name.ends_with("FORMAT"), "{text}: {error}"),
                    }
                }
            });
            fs::remove_dir_all(&altered).expect("removed");
        }
    }
}
