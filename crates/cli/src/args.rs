//! The command line.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use quorate_client::QuorumOptions;

use crate::output::Format;
use crate::{bench, bootstrap, bucket, chaos, demo, dev, export, import, kv};

/// Quorate: a key-value store that keeps what it acknowledged.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 there is no such key.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// For every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Where to find the cluster: one or more of its nodes, repeated or separated by commas.
    #[arg(
        long,
        global = true,
        env = "QUORATE_ENDPOINT",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7700"
    )]
    pub(crate) endpoint: Vec<String>,
    /// How to show results.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::DevArgs),
    /// One node, as `dev` starts it.
    #[command(hide = true)]
    Node(quorate_node::config::Args),
    /// Watch the store at work.
    #[command(subcommand)]
    Demo(demo::DemoCommand),
    Put(kv::PutArgs),
    Get(kv::GetArgs),
    Delete(kv::DeleteArgs),
    Keys(kv::KeysArgs),
    /// Show how the nodes are.
    Status,
    /// Look at buckets.
    #[command(subcommand)]
    Bucket(bucket::BucketCommand),
    Bootstrap(bootstrap::BootstrapArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Chaos(chaos::ChaosArgs),
    Bench(bench::BenchArgs),
}

/// A bucket, and quorums other than its own.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Bucket and quorum")]
pub(crate) struct BucketAndQuorum {
    /// In this bucket instead of the default one.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) bucket: String,
    /// How many of the key's owners count.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    n: Option<u32>,
    /// How many must answer a read.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    r: Option<u32>,
    /// How many must acknowledge a write.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    w: Option<u32>,
    /// How many of those that answer a read must be primaries.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(0..))]
    pr: Option<u32>,
    /// How many of those that acknowledge a write must be primaries.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(0..))]
    pw: Option<u32>,
    /// Give up after this time (500ms, 5s, 1m).
    #[arg(long, value_parser = timeout, default_value = "5s")]
    pub(crate) timeout: Duration,
}

impl BucketAndQuorum {
    pub(crate) fn quorum(&self) -> QuorumOptions {
        QuorumOptions {
            n: self.n,
            r: self.r,
            w: self.w,
            pr: self.pr,
            pw: self.pw,
            ..QuorumOptions::default()
        }
    }
}

/// A time with its unit: `500ms`, `5s`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err("its unit is missing: ms, s, m or h".into()),
        _ => return Err(format!("{unit:?} is no unit: ms, s, m or h")),
    };
    let number = f64::from_str(number).map_err(|_| format!("{number:?} is no number"))?;
    Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|error| error.to_string())
}

/// A time that an operation can be given.
fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if (Duration::from_millis(1)..=Duration::from_secs(60)).contains(&timeout) {
        Ok(timeout)
    } else {
        Err("it is not from 1ms to 60s".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "s", "5d", "-1s", "1e3s", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
