//! What clients do while consistency is measured, and what they are told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use futures::future::join_all;
use quorate_observe::{Ending, History, Keys, Mode, Read, Setting, Write, dot_of};
use quorate_proto::convert::status::error_of_status;
use quorate_proto::v1;
use quorate_proto::v1::kv_client::KvClient;
use quorate_proto::v1::operation_error::Code;
use quorate_protocol::version::{Context, peek};
use rand::seq::SliceRandom as _;
use tonic::Status;
use tonic::transport::Channel;

use super::ObserveArgs;
use super::doors::Doors;

const CLUSTERED_KEYS: usize = 3;
const SPREAD_KEYS: usize = 48;
/// Probes at once, beside the clients,
const PROBERS: usize = 2;
/// and of how many of the keys that were written last.
const PROBED: usize = 4;
const THINK_US: (u64, u64) = (500, 3_500);
const PROBE_US: (u64, u64) = (500, 1_500);
/// For an operation, further attempts included.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The node's own verdict is waited for this much longer.
const GRACE: Duration = Duration::from_millis(200);
/// What is still under way when the time is over gets this long.
const WIND_UP: Duration = Duration::from_millis(1_500);

struct Key {
    name: Bytes,
    owners: Vec<KvClient<Channel>>,
}

/// One setting's clients, and their history.
pub(super) struct Load<'a> {
    setting: Setting,
    bucket: &'a str,
    keys: Vec<Key>,
    clients: u32,
    begun: Instant,
    time: Duration,
    seen: RefCell<Seen>,
}

/// All clients run on one thread, and share what they know.
struct Seen {
    history: History,
    /// Of each key the newest context that any client has.
    newest: Vec<Bytes>,
    /// The keys that were written last, each once.
    recent: VecDeque<usize>,
    values: u64,
}

/// What became of one attempt.
enum Answer<T> {
    Done(T),
    /// Nobody says: another owner may.
    Lost,
    Failed(Ending),
}

impl<'a> Load<'a> {
    /// Clients for keys that nobody has used yet.
    pub(super) fn new(doors: &Doors, setting: Setting, bucket: &'a str, args: &ObserveArgs) -> Result<Self> {
        let count = match setting.keys {
            Keys::Clustered => CLUSTERED_KEYS,
            Keys::Spread => SPREAD_KEYS,
        };
        let run: u64 = rand::random();
        let key = |number: usize| {
            let name = Bytes::from(format!("observe-{run:016x}-{number}"));
            let owners = doors.owners(bucket, &name, setting.n)?;
            Ok(Key { name, owners })
        };
        let keys = (0..count).map(key).collect::<Result<Vec<_>>>()?;
        let seen = Seen {
            history: History::default(),
            newest: vec![Bytes::new(); count],
            recent: VecDeque::new(),
            values: 0,
        };
        let (time, clients) = (Duration::from_secs_f64(args.seconds), args.clients);
        Ok(Self { setting, bucket, keys, clients, begun: Instant::now(), time, seen: RefCell::new(seen) })
    }

    /// Lets the clients loose for their time, while something else goes on that takes about as long.
    pub(super) async fn run(&self, beside: impl Future<Output = ()>) {
        let clients = join_all((0..self.clients).map(|_| self.client()));
        let probers = join_all((0..PROBERS).map(|_| self.prober()));
        let end = self.time + WIND_UP;
        let all = async { futures::join!(clients, probers) };
        let ((), _) = futures::join!(beside, tokio::time::timeout(end, all));
    }

    /// All that the clients saw.
    pub(super) fn into_history(self) -> History {
        self.seen.into_inner().history
    }

    async fn client(&self) {
        while self.begun.elapsed() < self.time {
            pause(THINK_US).await;
            let key = rand::random_range(0..self.keys.len());
            if rand::random() { self.read(key, false).await } else { self.write(key).await }
        }
    }

    async fn prober(&self) {
        while self.begun.elapsed() < self.time {
            pause(PROBE_US).await;
            let recent = {
                let recent = &self.seen.borrow().recent;
                (!recent.is_empty()).then(|| recent[rand::random_range(0..recent.len())])
            };
            if let Some(key) = recent {
                self.read(key, true).await;
            }
        }
    }

    async fn read(&self, key: usize, probe: bool) {
        let began_us = self.now_us();
        let request = v1::GetRequest {
            bucket: self.bucket.to_owned(),
            key: self.keys[key].name.clone(),
            quorum: self.quorum(),
            ..Default::default()
        };
        let result = self
            .ask(key, async |mut owner: KvClient<Channel>, timeout_ms| {
                match owner.get(v1::GetRequest { timeout_ms, ..request.clone() }).await {
                    Ok(answer) => Ok(answer.into_inner().context),
                    // That there is nothing is an answer, too.
                    Err(status) => match error_of_status(&status) {
                        Some(error) if error.code() == Code::NotFound => Ok(error.context),
                        _ => Err(status),
                    },
                }
            })
            .await;
        let ended_us = self.now_us();
        let seen = &mut *self.seen.borrow_mut();
        let (ending, covered) = match result {
            Ok(context) => {
                let covered = peek(&context).unwrap_or_default();
                if !probe {
                    seen.learn(key, context, &covered);
                }
                (Ending::Done, covered)
            }
            Err(ending) => (ending, Context::default()),
        };
        seen.history.reads.push(Read { key, began_us, ended_us, ending, covered, probe });
    }

    async fn write(&self, key: usize) {
        let (sent, value) = {
            let seen = &mut *self.seen.borrow_mut();
            seen.values += 1;
            (seen.newest[key].clone(), seen.values.to_string())
        };
        let began_us = self.now_us();
        let request = v1::PutRequest {
            bucket: self.bucket.to_owned(),
            key: self.keys[key].name.clone(),
            value: value.into(),
            context: sent.clone(),
            // At another owner it is still the same put.
            operation_id: Bytes::from(rand::random::<u128>().to_be_bytes().to_vec()),
            quorum: self.quorum(),
            ..Default::default()
        };
        let result = self
            .ask(key, async |mut owner: KvClient<Channel>, timeout_ms| {
                let answer = owner.put(v1::PutRequest { timeout_ms, ..request.clone() }).await?;
                Ok(answer.into_inner().context)
            })
            .await;
        let ended_us = self.now_us();
        let seen = &mut *self.seen.borrow_mut();
        let (ending, dot) = match result {
            Ok(context) => {
                let written = peek(&context).unwrap_or_default();
                let dot = dot_of(&peek(&sent).unwrap_or_default(), &written);
                seen.learn(key, context, &written);
                seen.recent.retain(|&recent| recent != key);
                seen.recent.push_back(key);
                if seen.recent.len() > PROBED {
                    seen.recent.pop_front();
                }
                (Ending::Done, dot)
            }
            Err(ending) => (ending, None),
        };
        seen.history.writes.push(Write { key, began_us, ended_us, ending, dot });
    }

    /// Asks the key's owners in an order drawn anew, until one says something.
    async fn ask<T>(
        &self,
        key: usize,
        attempt: impl AsyncFn(KvClient<Channel>, u32) -> Result<T, Status>,
    ) -> Result<T, Ending> {
        let deadline = Instant::now() + TIMEOUT;
        let mut owners = self.keys[key].owners.clone();
        owners.shuffle(&mut rand::rng());
        for owner in owners {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
            let answer = match tokio::time::timeout(left + GRACE, attempt(owner, timeout_ms)).await {
                Ok(Ok(answer)) => Answer::Done(answer),
                Ok(Err(status)) => failed(&status),
                Err(_) => Answer::Failed(Ending::TimedOut),
            };
            match answer {
                Answer::Done(answer) => return Ok(answer),
                Answer::Failed(ending) => return Err(ending),
                Answer::Lost if Instant::now() >= deadline => break,
                Answer::Lost => {}
            }
        }
        Err(Ending::TimedOut)
    }

    #[expect(clippy::unnecessary_wraps, reason = "so the requests want it")]
    fn quorum(&self) -> Option<v1::Quorum> {
        let Setting { mode, n, r, w, .. } = self.setting;
        let mode = match mode {
            Mode::Strict => v1::QuorumMode::Strict,
            Mode::Sloppy => v1::QuorumMode::Sloppy,
        };
        Some(v1::Quorum { n: Some(n), r: Some(r), w: Some(w), mode: Some(mode.into()), ..Default::default() })
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Seen {
    /// A context that covers all that the newest one does takes its place.
    fn learn(&mut self, key: usize, token: Bytes, context: &Context) {
        let newest = peek(&self.newest[key]).unwrap_or_default();
        if context.covers_all(&newest) {
            self.newest[key] = token;
        }
    }
}

/// What a failed call says.
fn failed<T>(status: &Status) -> Answer<T> {
    let Some(error) = error_of_status(status) else { return Answer::Lost };
    match error.code() {
        Code::TimedOut | Code::CoordinatorLost => Answer::Failed(Ending::TimedOut),
        Code::Unspecified
        | Code::Invalid
        | Code::TooLarge
        | Code::UnknownBucket
        | Code::NotBootstrapped
        | Code::NotAMember
        | Code::Starting
        | Code::ReadFirst
        | Code::Overloaded
        | Code::DiskFull
        | Code::QuorumUnavailable
        | Code::Storage
        | Code::NotFound => Answer::Failed(Ending::Refused),
    }
}

async fn pause((least_us, most_us): (u64, u64)) {
    tokio::time::sleep(Duration::from_micros(rand::random_range(least_us..=most_us))).await;
}
