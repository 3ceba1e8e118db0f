//! Reads of the store, on threads of their own: a disk must not hold up the loop.

use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use parking_lot::Mutex;
use quorate_protocol::store::Store;
use quorate_protocol::{Event, ReadToken};
use tokio::sync::mpsc;

use super::input::Input;

/// One thing to look up.
#[derive(Debug)]
pub(super) enum Lookup {
    /// A key.
    Key { token: ReadToken, key: Bytes },
    /// A page of keys.
    Page { token: ReadToken, prefix: Bytes, after: Option<Bytes>, entries_max: usize, bytes_max: usize },
}

/// Threads that look things up, and send the results of each batch back as one input.
#[derive(Debug)]
pub(super) struct Readers {
    batches: std::sync::mpsc::Sender<Vec<Lookup>>,
}

impl Readers {
    /// Starts `threads` readers. They end when this is dropped.
    pub(super) fn start<S>(
        threads: usize,
        store: &Arc<S>,
        inputs: &mpsc::UnboundedSender<Input>,
    ) -> std::io::Result<Self>
    where
        S: Store + Send + Sync + 'static,
    {
        let (batches, waiting) = std::sync::mpsc::channel::<Vec<Lookup>>();
        let waiting = Arc::new(Mutex::new(waiting));
        for at in 0..threads {
            let (store, inputs, waiting) = (store.clone(), inputs.clone(), waiting.clone());
            thread::Builder::new().name(format!("reader-{at}")).spawn(move || {
                loop {
                    // Held while waiting: whoever waits takes the next batch, the others queue behind.
                    let next = waiting.lock().recv();
                    let Ok(batch) = next else { return };
                    let events = batch.into_iter().map(|lookup| look_up(store.as_ref(), lookup)).collect();
                    if inputs.send(Input::Reads(events)).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(Self { batches })
    }

    /// Looks these up, one after the other.
    pub(super) fn submit(&self, batch: Vec<Lookup>) {
        if !batch.is_empty() {
            // The threads outlive this handle, so there is always one to take it.
            let _ = self.batches.send(batch);
        }
    }
}

fn look_up(store: &impl Store, lookup: Lookup) -> Event {
    match lookup {
        Lookup::Key { token, key } => Event::ReadDone { token, result: store.get(&key) },
        Lookup::Page { token, prefix, after, entries_max, bytes_max } => {
            let result = store.scan(&prefix, after.as_deref(), entries_max, bytes_max);
            Event::ScanDone { token, result }
        }
    }
}
