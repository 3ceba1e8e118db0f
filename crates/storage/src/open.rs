//! Opening: finds out what is there, takes the log's rest into sled, starts the threads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::apply::apply_change;
use crate::background::Background;
use crate::base::{Base, Scratch};
use crate::batch::{Change, OP_OVERHEAD_BYTES};
use crate::committer::Committer;
use crate::directory::Directory;
use crate::disk::Disk;
use crate::error::{OpenError, io_error};
use crate::hooks::StoreHooks;
use crate::key::Key;
use crate::log::replay::replay;
use crate::log::segment::{self, create_spare, spare_path};
use crate::log::writer::{LogWriter, SegmentPool};
use crate::memtable::Tables;
use crate::options::StoreOptions;
use crate::room::Room;
use crate::shared::{Parts, Shared};

/// What an opening found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Records of the log that sled did not have for certain, taken in again.
    pub replayed_records: u64,
    /// Their bytes.
    pub replayed_bytes: u64,
    /// Bytes of an unfinished record that were cut off the log's end.
    pub torn_bytes: u64,
    /// How long the opening took.
    pub took: Duration,
}

/// A store's threads and what they share.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) committer: JoinHandle<()>,
    pub(crate) background: JoinHandle<()>,
    pub(crate) report: OpenReport,
}

pub(crate) fn open(
    path: &Path,
    options: StoreOptions,
    hooks: StoreHooks,
    disk: Arc<dyn Disk>,
) -> Result<Opened, OpenError> {
    let started = Instant::now();
    options.check()?;
    let (directory, checkpoint) = Directory::open(disk.as_ref(), path)?;
    directory.remove_other_bases(disk.as_ref(), checkpoint.base_id)?;
    let interval = Duration::from_millis(options.room_check_interval_ms.max(1));
    let room = Room::new(Arc::clone(&disk), path.to_path_buf(), options.free_reserve_bytes, interval);
    room.check_if_due();

    let base_directory = directory.base(checkpoint.base_id);
    let base = Base::open(disk.as_ref(), &base_directory, options.cache_bytes, checkpoint.live_bytes)?;
    let base_error =
        |error: sled::Error| OpenError::Base { directory: base_directory.clone(), detail: error.to_string() };
    let mark = base.mark().map_err(base_error)?;
    if mark < checkpoint.sequence {
        return Err(OpenError::BaseBehind {
            directory: base_directory,
            found: mark,
            expected: checkpoint.sequence,
        });
    }

    let log = directory.log();
    let mut intake = Intake::new(&base, &options).map_err(base_error)?;
    let replayed = replay(disk.as_ref(), &log, checkpoint.sequence, |changes| intake.take(changes))?;
    intake.finish()?;

    let mut next_spare_id = 1;
    let spares = usable_spares(disk.as_ref(), &log, &options, &room, &mut next_spare_id)?;
    let pool = SegmentPool { closed: replayed.segments, spares };
    let pool = Arc::new(Mutex::new(pool));
    let id = replayed.last_segment_id + 1;
    let first = replayed.last_sequence + 1;
    let writer =
        LogWriter::start(Arc::clone(&disk), log.clone(), Arc::clone(&pool), id, first, options.segment_bytes)
            .map_err(io_error("start a segment in", &log))?;

    let tables = Tables::new(Arc::new(base));
    let shared = Arc::new(Shared::new(Parts { options, disk, directory, hooks, room, pool, tables }));
    let background = Background::new(Arc::clone(&shared), checkpoint, replayed.last_sequence, next_spare_id);
    let committer = Committer::new(Arc::clone(&shared), writer);
    let committer = spawn("quorate-commit", &shared, path, move || committer.run())?;
    let background = match spawn("quorate-apply", &shared, path, move || background.run()) {
        Ok(background) => background,
        Err(error) => {
            shared.queue.lock().closed = true;
            shared.wake_all();
            // It only waits for batches, of which there are none.
            let _ = committer.join();
            return Err(error);
        }
    };
    // The log may be long enough for a checkpoint already, and spare segments are wanted.
    shared.wake_background();
    let report = OpenReport {
        replayed_records: replayed.records,
        replayed_bytes: replayed.bytes,
        torn_bytes: replayed.torn_bytes,
        took: started.elapsed(),
    };
    Ok(Opened { shared, committer, background, report })
}

/// Takes the log's changes into sled, sorted and coalesced as in operation.
struct Intake<'a> {
    base: &'a Base,
    options: &'a StoreOptions,
    entries: BTreeMap<Key, Option<Bytes>>,
    weight_bytes: usize,
    /// An earlier attempt at these changes may have been interrupted between the chunks of a value.
    leftovers: bool,
    scratch: Scratch,
}

impl<'a> Intake<'a> {
    fn new(base: &'a Base, options: &'a StoreOptions) -> sled::Result<Self> {
        let leftovers = base.has_chunks()?;
        Ok(Self {
            base,
            options,
            entries: BTreeMap::new(),
            weight_bytes: 0,
            leftovers,
            scratch: Scratch::default(),
        })
    }

    fn take(&mut self, changes: Vec<Change>) -> Result<(), OpenError> {
        for (key, value) in changes {
            self.weight_bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + OP_OVERHEAD_BYTES;
            self.entries.insert(key, value);
        }
        let is_full = self.entries.len() >= self.options.generation_ops
            || self.weight_bytes >= self.options.generation_bytes;
        if is_full { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), OpenError> {
        for (key, value) in std::mem::take(&mut self.entries) {
            apply_change(self.base, &key, value.as_ref(), self.leftovers, &mut self.scratch).map_err(
                |detail| OpenError::Base { directory: self.base.directory().to_path_buf(), detail },
            )?;
        }
        self.weight_bytes = 0;
        Ok(())
    }
}

/// Spare files of the right length; others are removed. Makes sure of one for the segment that is about to start.
fn usable_spares(
    disk: &dyn Disk,
    log: &Path,
    options: &StoreOptions,
    room: &Room,
    next_id: &mut u64,
) -> Result<Vec<std::path::PathBuf>, OpenError> {
    let mut usable = Vec::new();
    for name in disk.list(log).map_err(io_error("list", log))? {
        if name.to_string_lossy().ends_with(".draft") {
            let path = log.join(name);
            disk.remove(&path).map_err(io_error("remove", &path))?;
        }
    }
    let (_, spares) = segment::list(disk, log).map_err(io_error("list", log))?;
    for (id, path) in spares {
        *next_id = (*next_id).max(id + 1);
        let length = disk.open(&path).and_then(|file| file.len_bytes()).map_err(io_error("open", &path))?;
        if length == options.segment_bytes && usable.len() < options.spare_segments {
            usable.push(path);
        } else {
            disk.remove(&path).map_err(io_error("remove", &path))?;
        }
    }
    if usable.is_empty() && options.spare_segments > 0 && room.has(options.segment_bytes) {
        let path = spare_path(log, *next_id);
        *next_id += 1;
        // Without one, the segment grows as it is written: slower, but it works.
        if create_spare(disk, &path, options.segment_bytes).is_ok() {
            usable.push(path);
        }
    }
    Ok(usable)
}

/// Starts a thread whose panic fails the store instead of leaving callers to wait for it.
fn spawn(
    name: &'static str,
    shared: &Arc<Shared>,
    path: &Path,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let shared = Arc::clone(shared);
    let body = move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            shared.fail(format!("the thread {name} panicked"));
        }
    };
    std::thread::Builder::new().name(name.into()).spawn(body).map_err(io_error("start a thread for", path))
}
