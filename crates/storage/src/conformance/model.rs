//! Random operations, compared with a map.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::store::{CommitNumber, Store, StoreOp};

use super::{Factory, all, submit};

type Model = BTreeMap<Bytes, Bytes>;

/// How a randomized check goes.
#[derive(Clone, Copy, Debug)]
pub struct ModelRun {
    /// The same seed does the same.
    pub seed: u64,
    /// How many steps: batches, reads, scans, checkpoints, openings.
    pub steps: usize,
    /// How many keys there are; few, so that operations meet.
    pub keys: u64,
    /// One in this many values is longer than 64 KiB.
    pub long_value_one_in: u64,
    /// One in this many steps opens the store anew or crashes it.
    pub reopen_one_in: u64,
}

impl Default for ModelRun {
    fn default() -> Self {
        Self { seed: 1, steps: 3000, keys: 120, long_value_one_in: 150, reopen_one_in: 300 }
    }
}

/// Does random things to a store and to a map, and compares them at every step.
pub fn check_against_model<F: Factory>(factory: &mut F, run: ModelRun) {
    let mut random = Random(run.seed);
    let mut store = factory.fresh();
    let mut model = Model::new();
    // The model before each batch that was not known to be durable, with that batch's number.
    let mut before: Vec<(CommitNumber, Model)> = Vec::new();
    for step in 0..run.steps {
        let context = || format!("seed {}, step {step}", run.seed);
        match random.below(100) {
            0..50 => {
                let batch: Vec<_> = (0..random.below(6)).map(|_| random.op(&run)).collect();
                let old = model.clone();
                apply(&mut model, &batch);
                let number = submit(&store, batch);
                before.push((number, old));
                let durable = store.durable();
                before.retain(|(number, _)| *number > durable);
            }
            50..80 => {
                let key = random.key(&run);
                let found = store.get(&key).expect("an undamaged key can be read");
                assert!(found.as_ref() == model.get(&key), "{}: get {key:?}", context());
            }
            80..96 => compare_scan(&store, &model, &mut random, &run, &context()),
            96 => store.checkpoint().expect("a store with room makes checkpoints"),
            _ => {
                let last = before.last().map_or(CommitNumber(0), |(number, _)| *number);
                store.wait_durable(last).expect("batches become durable");
                before.clear();
            }
        }
        if random.below(run.reopen_one_in) == 0 {
            if random.below(2) == 0 {
                let last = before.last().map_or(CommitNumber(0), |(number, _)| *number);
                store.wait_durable(last).expect("batches become durable");
                before.clear();
                store = factory.reopen(store);
                assert!(is_equal(&store, &model), "{}: after opening anew", context());
            } else {
                let durable = store.durable();
                store = match factory.crash(store) {
                    Ok(store) => {
                        let possible = before.drain(..).filter(|(number, _)| *number > durable);
                        let mut states = possible.map(|(_, model)| model).chain([model]);
                        let survived = states.find(|state| is_equal(&store, state));
                        model =
                            survived.unwrap_or_else(|| panic!("{}: no run of batches survived", context()));
                        store
                    }
                    Err(store) => store,
                };
            }
        }
    }
    assert!(is_equal(&store, &model), "seed {}: at the end", run.seed);
}

fn apply(model: &mut Model, batch: &[StoreOp]) {
    for op in batch {
        match op {
            StoreOp::Put { key, value } => model.insert(key.clone(), value.clone()),
            StoreOp::Delete { key } => model.remove(key),
        };
    }
}

fn is_equal(store: &impl Store, model: &Model) -> bool {
    all(store).into_iter().eq(model.iter().map(|(key, value)| (key.clone(), value.clone())))
}

fn compare_scan(store: &impl Store, model: &Model, random: &mut Random, run: &ModelRun, context: &str) {
    let mut prefix = random.key(run);
    prefix.truncate(random.below(prefix.len() as u64 + 1) as usize);
    let after = (random.below(2) == 0).then(|| random.key(run));
    let entries_max = 1 + random.below(20) as usize;
    let page = store
        .scan(&prefix, after.as_deref(), entries_max, usize::MAX)
        .expect("undamaged entries can be scanned");
    let mut expected = model
        .iter()
        .filter(|(key, _)| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after))
        .map(|(key, value)| (key.clone(), value.clone()));
    let first: Vec<_> = expected.by_ref().take(entries_max).collect();
    assert!(page.entries == first, "{context}: scan {prefix:?} after {after:?}, {entries_max} entries");
    assert_eq!(
        page.more,
        expected.next().is_some(),
        "{context}: more after {prefix:?} {after:?}, {entries_max} entries"
    );
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn key(&mut self, run: &ModelRun) -> Bytes {
        let number = self.below(run.keys);
        // Many keys are prefixes of others.
        Bytes::from(
            format!("{:03}", number)[..1 + (number % 3) as usize].to_owned()
                + &"x".repeat((number % 5) as usize),
        )
    }

    fn op(&mut self, run: &ModelRun) -> StoreOp {
        let key = self.key(run);
        if self.below(4) == 0 {
            return StoreOp::Delete { key };
        }
        let length = match self.below(run.long_value_one_in) {
            0 => 60_000 + self.below(150_000),
            1..10 => 0,
            _ => self.below(200),
        };
        let byte = self.next() as u8;
        StoreOp::Put { key, value: Bytes::from(vec![byte; length as usize]) }
    }
}
