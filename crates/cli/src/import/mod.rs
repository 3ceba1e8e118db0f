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

/// Put JSON lines, {"key": "...", "value": ANY JSON}, into the cluster. Values are stored byte for byte; bytes that are
/// no JSON come as "value_base64" with a "content_type", keys that are not UTF-8 as "key_base64", several values of
/// one key as "siblings".
///
/// A key that has a value already gets the line's value beside it, as a sibling, unless --replace is given; two lines
/// of one key are siblings too.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArgs {
    /// The lines; -: standard input.
    input: PathBuf,
    /// Read each key first, and replace what is there; of two lines of one key the later one stays.
    #[arg(long)]
    replace: bool,
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
