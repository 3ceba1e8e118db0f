//! Opening: finds out what is there, starts the threads. What has to be made good first is `recover`'s.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::background::Background;
use crate::committer::Committer;
use crate::directory::Directory;
use crate::disk::Disk;
use crate::error::{OpenError, io_error};
use crate::hooks::StoreHooks;
use crate::log::segment::{self, create_spare, spare_path};
use crate::log::writer::{LogWriter, SegmentPool};
use crate::memtable::Tables;
use crate::options::StoreOptions;
use crate::recover::{OpenReport, Recovered, recover};
use crate::room::Room;
use crate::shared::{Parts, Shared};

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

    let observer = hooks.observer.as_ref();
    let Recovered { base, keep, checkpoint, replayed, mut report } =
        recover(Arc::clone(&disk), &directory, checkpoint, &options, observer)?;
    directory.remove_other_bases(disk.as_ref(), checkpoint.base_id)?;

    let log = directory.log();
    let mut next_spare_id = 1;
    let spares = usable_spares(disk.as_ref(), &log, &options, &room, &mut next_spare_id)?;
    let pool = SegmentPool { closed: replayed.segments, spares };
    let pool = Arc::new(Mutex::new(pool));
    let id = replayed.last_segment_id + 1;
    let first = replayed.last_sequence + 1;
    let writer =
        LogWriter::start(Arc::clone(&disk), log.clone(), Arc::clone(&pool), id, first, options.segment_bytes)
            .map_err(io_error("start a segment in", &log))?;

    let (tables, values) = (Tables::new(Arc::new(base)), Arc::clone(&keep.values));
    let shared = Arc::new(Shared::new(Parts {
        options,
        disk,
        directory,
        hooks,
        room,
        pool,
        tables,
        values,
        sequence: replayed.last_sequence,
    }));
    let background =
        Background::new(Arc::clone(&shared), keep, checkpoint, replayed.last_sequence, next_spare_id);
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
    report.took = started.elapsed();
    Ok(Opened { shared, committer, background, report })
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
