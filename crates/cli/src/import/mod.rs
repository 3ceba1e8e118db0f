//! `quorate import`: JSON lines into the cluster.

mod checkpoint;
mod done;
mod run;
mod source;

pub(crate) use run::run;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::args::{BucketAndQuorum, duration};

/// Put JSON lines into the cluster.
///
/// A line is {"key": "...", "value": ANY JSON}. Values are stored byte for byte; bytes that are
/// no JSON come as "value_base64" with a "content_type", keys that are not UTF-8 as "key_base64", several values of
/// one key as "siblings".
///
/// Each key is read first, and what it has is replaced: by the last line, if there are several of one key.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArgs {
    /// The lines; -: standard input.
    input: PathBuf,
    /// Read nothing first: a value becomes a sibling of what its key has. Quicker, and the same when the keys are new.
    #[arg(long)]
    beside: bool,
    /// Keep in this file how far the import has come, and go on where it says. A line is never stored twice, also when
    /// the last run was killed; --bucket and the lines done must still be the same.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// How many lines are under way at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Repeat what fails for a reason that can pass, a dead node for example, for this long.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2m")]
    give_up_after: Duration,
    #[command(flatten)]
    options: BucketAndQuorum,
}
