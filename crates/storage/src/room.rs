//! Whether there is room on the disk for new batches.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quorate_protocol::store::StoreError;

use crate::disk::Disk;

/// Looks at the free space now and then, and remembers what it saw.
pub(crate) struct Room {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    reserve_bytes: u64,
    interval: Duration,
    short: AtomicBool,
    state: Mutex<State>,
}

struct State {
    checked: Option<Instant>,
    /// The disk refused a write of the log for want of space, and has not taken it since.
    log_refused: bool,
    /// The same of a value file.
    values_refused: bool,
    detail: String,
}

impl Room {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        reserve_bytes: u64,
        interval: Duration,
    ) -> Self {
        let state = State { checked: None, log_refused: false, values_refused: false, detail: String::new() };
        Self {
            disk,
            directory,
            reserve_bytes,
            interval,
            short: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// How long to wait between looks.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether batches are refused.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Why a batch is refused now, if it is.
    pub(crate) fn refusal(&self) -> Option<StoreError> {
        self.is_short().then(|| StoreError::Full { detail: self.state.lock().detail.clone() })
    }

    /// Looks, if the last look is long enough ago. Returns whether batches are refused.
    pub(crate) fn check_if_due(&self) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.checked.is_none_or(|checked| now.duration_since(checked) >= self.interval) {
            state.checked = Some(now);
            self.look(&mut state);
        }
        self.is_short()
    }

    /// Notes that the disk refused a write of the log.
    pub(crate) fn log_refused(&self, error: &std::io::Error) {
        let mut state = self.state.lock();
        state.log_refused = true;
        state.detail = format!("the log cannot grow: {error}");
        self.short.store(true, Ordering::Relaxed);
    }

    /// Notes that the disk took the write that it had refused.
    pub(crate) fn log_taken(&self) {
        let mut state = self.state.lock();
        state.log_refused = false;
        self.look(&mut state);
    }

    /// Notes that the disk refused a write of a value file.
    pub(crate) fn values_refused(&self, error: &std::io::Error) {
        let mut state = self.state.lock();
        state.values_refused = true;
        state.detail = format!("the value files cannot grow: {error}");
        self.short.store(true, Ordering::Relaxed);
    }

    /// Whether what the log has cannot be moved for want of space.
    pub(crate) fn refuses_values(&self) -> bool {
        self.state.lock().values_refused
    }

    /// Notes that value files are written.
    pub(crate) fn values_taken(&self) {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.values_refused) {
            self.look(&mut state);
        }
    }

    /// Whether this much can be written without touching the reserve.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        self.free_bytes().is_none_or(|free| free >= self.reserve_bytes.saturating_add(bytes))
    }

    /// Whether the value files and the index may grow by this much. They get half of the reserve for what the log has accepted.
    pub(crate) fn has_for_values(&self, bytes: u64) -> bool {
        self.reserve_bytes == 0
            || self.free_bytes().is_none_or(|free| free >= (self.reserve_bytes / 2).saturating_add(bytes))
    }

    fn look(&self, state: &mut State) {
        if state.log_refused || state.values_refused {
            return;
        }
        // A system that cannot tell is taken to have room: the writes themselves will tell.
        let free = self.free_bytes().unwrap_or(u64::MAX);
        let short = free < self.reserve_bytes;
        if short {
            state.detail = format!("{free} bytes are free, {} are kept in reserve", self.reserve_bytes);
        }
        self.short.store(short, Ordering::Relaxed);
    }

    fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes(&self.directory).ok()
    }
}
