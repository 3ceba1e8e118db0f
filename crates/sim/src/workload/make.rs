//! Makes operations: which key, which context, which quorums.

use bytes::Bytes;
use quorate_protocol::id::{OperationId, PartitionId};
use quorate_protocol::layout::QuorumMode;
use quorate_protocol::operation::{Delete, Get, List, Operation, Put, QuorumOptions, Ttl};
use quorate_protocol::version::{ContentType, ContextToken};

use super::{Known, Step, Workload};
use crate::oracle::{DotSet, Oracle};
use crate::rng::SimRng;

impl Workload {
    pub(super) fn make(&mut self, step: Step, key: usize, oracle: &mut Oracle) -> usize {
        let nothing = || (Bytes::new(), DotSet::default());
        let remembered = |known: Option<&Known>| known.map(|known| (known.token.clone(), known.seen.clone()));
        let known = &self.known[key];
        match step {
            Step::Get => self.get(key, oracle),
            Step::PutBlind => self.put(key, nothing(), false, oracle),
            Step::PutNewest => {
                let context = remembered(known.back()).unwrap_or_else(nothing);
                self.put(key, context, false, oracle)
            }
            Step::PutOld => {
                let context = remembered(known.get(self.rng.below(known.len()))).unwrap_or_else(nothing);
                self.put(key, context, false, oracle)
            }
            Step::PutAfterPut => {
                let newest = known.iter().rev().find(|known| known.of_write);
                let context = remembered(newest).unwrap_or_else(nothing);
                self.put(key, context, false, oracle)
            }
            Step::DeleteSeen => match remembered(known.get(self.rng.below(known.len()))) {
                Some(context) => self.delete(key, context, false, oracle),
                None => self.get(key, oracle),
            },
            Step::DeleteBlind => self.delete(key, nothing(), false, oracle),
            Step::Foreign => {
                let other = self.rng.below(self.known.len());
                match remembered(self.known[other].back()).filter(|_| other != key) {
                    Some((token, _)) if self.rng.chance(0.8) => {
                        self.put(key, (token, DotSet::default()), true, oracle)
                    }
                    Some((token, _)) => self.delete(key, (token, DotSet::default()), true, oracle),
                    None => self.get(key, oracle),
                }
            }
            Step::List => {
                let partition =
                    PartitionId(u16::try_from(self.rng.below(self.partitions.into())).unwrap_or(0));
                let history = &oracle.keys[key];
                let after = self.rng.chance(0.3).then(|| history.key.clone());
                let limit = u32::try_from(self.rng.between(1, 3)).unwrap_or(1);
                let bucket = history.bucket.name.clone();
                let quorum = QuorumOptions::default();
                oracle.add_listing(List { bucket, partition, after, limit, quorum })
            }
        }
    }

    fn get(&mut self, key: usize, oracle: &mut Oracle) -> usize {
        let quorum = self.quorum(key, oracle);
        let history = &oracle.keys[key];
        let get = Get { bucket: history.bucket.name.clone(), key: history.key.clone(), quorum };
        oracle.add_operation(Operation::Get(get), key, DotSet::default(), false)
    }

    fn put(&mut self, key: usize, seen: (ContextToken, DotSet), foreign: bool, oracle: &mut Oracle) -> usize {
        let quorum = self.quorum(key, oracle);
        let history = &oracle.keys[key];
        let mut value = format!("v{}", oracle.operations.len()).into_bytes();
        if self.rng.chance(self.plan.long_value) {
            value.resize(3000, b'.');
        }
        let put = Put {
            bucket: history.bucket.name.clone(),
            key: history.key.clone(),
            value: Bytes::from(value),
            content_type: if self.rng.chance(0.5) { ContentType::OctetStream } else { ContentType::Json },
            context: seen.0,
            operation: OperationId(u128::from(self.rng.bits()) << 64 | u128::from(self.rng.bits())),
            ttl: self.ttl(),
            quorum,
        };
        oracle.add_operation(Operation::Put(put), key, seen.1, foreign)
    }

    fn ttl(&mut self) -> Ttl {
        if self.plan.ttls.is_empty() || !self.rng.chance(self.plan.own_ttl) {
            return Ttl::Bucket;
        }
        if self.rng.chance(0.1) { Ttl::Never } else { Ttl::After(*self.rng.pick(&self.plan.ttls)) }
    }

    fn delete(
        &mut self,
        key: usize,
        seen: (ContextToken, DotSet),
        foreign: bool,
        oracle: &mut Oracle,
    ) -> usize {
        let quorum = self.quorum(key, oracle);
        let history = &oracle.keys[key];
        let (bucket, key_bytes) = (history.bucket.name.clone(), history.key.clone());
        let delete = Delete { bucket, key: key_bytes, context: seen.0, quorum };
        oracle.add_operation(Operation::Delete(delete), key, seen.1, foreign)
    }

    fn quorum(&mut self, key: usize, oracle: &Oracle) -> QuorumOptions {
        let mut options = QuorumOptions::default();
        if !self.rng.chance(self.plan.own_quorum) {
            return options;
        }
        let bucket = &oracle.keys[key].bucket;
        let upto = |rng: &mut SimRng, low: u32, high: u32| {
            u32::try_from(rng.between(low.into(), high.into())).unwrap_or(low)
        };
        let n = if self.rng.chance(0.2) { upto(&mut self.rng, 1, bucket.n) } else { bucket.n };
        if n != bucket.n || self.rng.chance(0.2) {
            options.n = Some(n);
        }
        for slot in [&mut options.r, &mut options.w] {
            if self.rng.chance(0.4) {
                *slot = Some(upto(&mut self.rng, 1, n));
            }
        }
        for slot in [&mut options.pr, &mut options.pw] {
            if self.rng.chance(0.2) {
                *slot = Some(upto(&mut self.rng, 0, n));
            }
        }
        if self.rng.chance(0.1) {
            let modes = [QuorumMode::Strict, QuorumMode::Sloppy];
            options.mode = Some(*self.rng.pick(&modes));
        }
        options
    }
}
