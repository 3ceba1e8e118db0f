//! What is measured: systems that keep values under keys, behind one trait.

mod etcd;
mod quorate;
mod redis;

use std::future::Future;

use anyhow::Result;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use quorate_client::QuorumOptions;

use crate::args::{BucketAndQuorum, WrongUsage};

pub(super) use etcd::EtcdTarget;
pub(super) use quorate::QuorateTarget;
pub(super) use redis::RedisTarget;

/// A system that is measured. Keys are told by number; [`keys::name`](super::keys::name) has their names.
pub(super) trait Target: Send + Sync + 'static {
    /// The values of a key: none, one, or siblings.
    fn get(&self, key: u32) -> impl Future<Output = Result<Vec<Bytes>, Trouble>> + Send;

    /// Overwrites what is there. Says how often it had to read first.
    fn put(&self, key: u32, value: Bytes) -> impl Future<Output = Result<u32, Trouble>> + Send;

    /// How many values each key shall have.
    fn siblings(&self) -> u32 {
        1
    }

    /// Whether a read may miss writes that were acknowledged before it began.
    fn may_be_stale(&self) -> bool;

    /// How it is asked, in a word or two.
    fn mode(&self) -> String;

    /// What the servers say they are, where they say it.
    fn version(&self) -> Option<&str>;
}

/// A failed operation.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) text: String,
    /// It may have taken effect, or still will.
    pub(super) is_indeterminate: bool,
}

impl From<Trouble> for anyhow::Error {
    fn from(trouble: Trouble) -> Self {
        Self::msg(trouble.text)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum System {
    #[default]
    Quorate,
    /// Three or more members, or one.
    Etcd,
    /// One server, or what speaks its protocol.
    Redis,
}

impl System {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quorate => "quorate",
            Self::Etcd => "etcd",
            Self::Redis => "redis",
        }
    }
}

/// What is measured, and how it is asked.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What is measured")]
pub(super) struct TargetArgs {
    /// The system at --endpoint (as http://127.0.0.1:2379 for etcd, redis://127.0.0.1:6379 for redis).
    #[arg(long, value_enum, default_value_t)]
    pub(super) target: System,
    /// Quorate: through a pipelined session instead of unary calls.
    #[arg(long)]
    pub(super) session: bool,
    /// Quorate: so many writers of each key that do not see each other's values, and so as many siblings.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) siblings: Option<u32>,
    /// etcd: reads from one member alone, which may be stale, instead of linearizable ones.
    #[arg(long)]
    serializable: bool,
    /// etcd: ask only the member that leads, instead of all --endpoint in turn.
    #[arg(long)]
    leader: bool,
    /// etcd: connections to each member.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: Option<u16>,
    /// redis: operations under way on one connection; there are as many connections as --concurrency needs.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pipeline: Option<u32>,
}

impl TargetArgs {
    /// Refuses what the target has no use for.
    pub(super) fn check(&self, options: &BucketAndQuorum) -> Result<(), WrongUsage> {
        let has_quorum = !options.bucket.is_empty() || options.quorum() != QuorumOptions::default();
        let flags = [
            (self.session, "--session", System::Quorate),
            (self.siblings.is_some(), "--siblings", System::Quorate),
            (has_quorum, "--bucket, --n, --r, --w, --pr, --pw or --mode", System::Quorate),
            (self.serializable, "--serializable", System::Etcd),
            (self.leader, "--leader", System::Etcd),
            (self.connections.is_some(), "--connections", System::Etcd),
            (self.pipeline.is_some(), "--pipeline", System::Redis),
        ];
        for (is_given, flag, system) in flags {
            if is_given && self.target != system {
                let (of, target) = (system.name(), self.target.name());
                return Err(WrongUsage(format!("{flag} is for --target {of}, and the target is {target}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_other_targets_are_refused() {
        let none = BucketAndQuorum::default();
        let session = TargetArgs { session: true, ..TargetArgs::default() };
        assert!(session.check(&none).is_ok());
        let error = TargetArgs { target: System::Etcd, ..session }.check(&none).map_err(|error| error.0);
        assert_eq!(error, Err("--session is for --target quorate, and the target is etcd".into()));
        let pipelined = TargetArgs { pipeline: Some(2), ..TargetArgs::default() };
        assert!(pipelined.check(&none).is_err());
        assert!(TargetArgs { target: System::Redis, ..pipelined.clone() }.check(&none).is_ok());
        let mut bucket = BucketAndQuorum::default();
        bucket.bucket = "b".into();
        assert!(TargetArgs { target: System::Redis, ..pipelined }.check(&bucket).is_err());
    }
}
