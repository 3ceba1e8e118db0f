//! The writers, the readers, and the last look at everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_client::{Client, Context, Error, Found, Get, Put};
use tokio::task::JoinSet;

use super::ledger::{Key, Ledger};

/// Writers that put one new key after another.
const NEW: u64 = 2;
/// Writers that write some keys again and again.
const AGAIN: u64 = 2;
/// Keys of each of those.
const KEYS: usize = 20;
const READERS: u64 = 2;
/// Operations at a time, where it is to go fast.
const IN_FLIGHT: u64 = 16;
/// Before an operation is tried once more.
const BACKOFF: Duration = Duration::from_millis(200);
/// The last look is not meant to say how available the cluster is: this often a key is tried to be read.
const LAST_ATTEMPTS: usize = 10;

/// What all of them have.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) client: Client,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) pause: Duration,
    pub(crate) value_bytes: usize,
}

impl Work {
    /// Until it is told to finish, and then the last look.
    pub(crate) async fn run(self, preload: u64) {
        let mut tasks = JoinSet::new();
        for lane in 0..IN_FLIGHT {
            tasks.spawn(self.clone().preload(lane, preload));
        }
        while tasks.join_next().await.is_some() {}
        self.ledger.is_working();
        for writer in 0..NEW {
            tasks.spawn(self.clone().put_new(writer));
        }
        for writer in 0..AGAIN {
            tasks.spawn(self.clone().put_again(writer));
        }
        for _ in 0..READERS {
            tasks.spawn(self.clone().read());
        }
        while tasks.join_next().await.is_some() {}
        for lane in 0..IN_FLIGHT {
            tasks.spawn(self.clone().last_look(lane));
        }
        while tasks.join_next().await.is_some() {}
        self.ledger.is_finished();
    }

    async fn preload(self, lane: u64, keys: u64) {
        for number in (lane..keys).step_by(IN_FLIGHT as usize) {
            let key = format!("preload-{number}");
            if self.put(&key, 1, Context::default()).await.is_some() {
                self.ledger.add(key, 1, self.value_bytes);
            }
        }
    }

    async fn put_new(self, writer: u64) {
        for number in 0_u64.. {
            if self.ledger.is_finishing() {
                return;
            }
            let key = format!("new-{writer}-{number}");
            if self.put(&key, 1, Context::default()).await.is_some() {
                self.ledger.add(key, 1, self.value_bytes);
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn put_again(self, writer: u64) {
        let mut places: Vec<Option<usize>> = vec![None; KEYS];
        let mut contexts = vec![Context::default(); KEYS];
        for turn in 0_usize.. {
            if self.ledger.is_finishing() {
                return;
            }
            let (at, version) = (turn % KEYS, (turn / KEYS) as u64 + 1);
            let key = format!("again-{writer}-{at}");
            match self.put(&key, version, contexts[at].clone()).await {
                Some(context) => {
                    contexts[at] = context;
                    match places[at] {
                        Some(place) => self.ledger.advance(place, version),
                        None => places[at] = Some(self.ledger.add(key, version, self.value_bytes)),
                    }
                }
                // It may have taken effect, and what follows is to replace it then.
                None => {
                    if let Ok(found) = self.client.get(Get::new(key)).await {
                        contexts[at] = found.context;
                    }
                }
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn read(self) {
        while !self.ledger.is_finishing() {
            let keys = self.ledger.len();
            if keys > 0 {
                let key = self.ledger.key(rand::random_range(0..keys));
                let get = || self.client.get(Get::new(key.name.clone()));
                if let Some(found) = self.twice("get", get).await {
                    self.ledger.judge(&key, newest(&found), false);
                }
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn last_look(self, lane: u64) {
        for at in (lane as usize..self.ledger.len()).step_by(IN_FLIGHT as usize) {
            let key = self.ledger.key(at);
            let found = self.found_in_the_end(&key).await;
            self.ledger.judge(&key, found.as_ref().and_then(newest), true);
        }
    }

    async fn found_in_the_end(&self, key: &Key) -> Option<Found> {
        for _ in 0..LAST_ATTEMPTS {
            if let Ok(found) = self.client.get(Get::new(key.name.clone())).await {
                return Some(found);
            }
            tokio::time::sleep(BACKOFF).await;
        }
        None
    }

    /// The context for the next put of this key, when it was acknowledged.
    async fn put(&self, key: &str, version: u64, context: Context) -> Option<Context> {
        let mut value = format!("{version} ").into_bytes();
        value.resize(self.value_bytes.max(value.len()), b'.');
        // The same operation, so that it takes effect once.
        let put = Put::new(key.to_owned(), value).context(context);
        Some(self.twice("put", || self.client.put(put.clone())).await?.context)
    }

    async fn twice<T, F>(&self, what: &str, attempt: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let begun = Instant::now();
        let first = match attempt().await {
            Ok(done) => {
                self.ledger.took(begun.elapsed());
                return Some(done);
            }
            Err(first) => first,
        };
        self.ledger.retried();
        tokio::time::sleep(BACKOFF).await;
        match attempt().await {
            Ok(done) => Some(done),
            Err(second) => {
                self.ledger.failed(&format!("{what}: {first} | {second}"));
                None
            }
        }
    }
}

/// The newest version among the values.
fn newest(found: &Found) -> Option<u64> {
    let version = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.split(' ').next()?.parse().ok();
    found.values.iter().filter_map(|value| version(&value.bytes)).max()
}
