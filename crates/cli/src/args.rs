//! The command line.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate_client::{QuorumMode, QuorumOptions, Ttl};

use crate::output::Format;
use crate::{
    bench, bootstrap, bucket, chaos, demo, dev, directory, export, import, kv, layout, members, repair,
    status,
};

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

/// Arguments that contradict each other, which the parser does not see: the exit code is that of what it refuses itself.
#[derive(Debug)]
pub(crate) struct WrongUsage(pub(crate) String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for WrongUsage {}

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
    Status(status::StatusArgs),
    Repair(repair::RepairArgs),
    /// Look at who owns what, and change it.
    #[command(subcommand)]
    Layout(layout::LayoutCommand),
    #[command(subcommand)]
    Directory(directory::DirectoryCommand),
    /// Look at the members of the cluster, add and remove some.
    #[command(subcommand)]
    Members(members::MembersCommand),
    /// Look at buckets, create, alter and drop them.
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
    /// Whether other nodes stand in for owners that cannot be reached; without, as the bucket says.
    #[arg(long, value_enum)]
    mode: Option<Mode>,
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
            mode: self.mode.map(QuorumMode::from),
        }
    }
}

/// Who may stand in for an owner that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Nobody: with r + w > n every read sees every write acknowledged before it began.
    Strict,
    /// The next nodes in the partition's order: writes go on while owners are away; reads may be stale.
    Sloppy,
}

impl From<Mode> for QuorumMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Strict => Self::Strict,
            Mode::Sloppy => Self::Sloppy,
        }
    }
}

/// How long a value is shown: `never` to let it stay, or a time. The node knows the greatest.
pub(crate) fn ttl(text: &str) -> Result<Ttl, String> {
    if text == "never" {
        return Ok(Ttl::Never);
    }
    let ttl = duration(text).map_err(|error| format!("{error}; or never"))?;
    if ttl < Duration::from_millis(1) { Err("it is less than 1ms".into()) } else { Ok(Ttl::After(ttl)) }
}

/// A time with its unit: `500ms`, `5s`, `2m`, `1h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "" => return Err("its unit is missing: ms, s, m, h or d".into()),
        _ => return Err(format!("{unit:?} is no unit: ms, s, m, h or d")),
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
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        for wrong in ["5", "s", "5w", "-1s", "1e3s", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_expire_after_a_time_or_never() {
        assert_eq!(ttl("10m"), Ok(Ttl::After(Duration::from_secs(600))));
        assert_eq!(ttl("never"), Ok(Ttl::Never));
        for wrong in ["0s", "0.1ms", "10", "always"] {
            assert!(ttl(wrong).is_err(), "{wrong}");
        }
    }
}
