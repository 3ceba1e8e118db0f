//! `quorate export`: a bucket as JSON lines.

mod parts;
mod run;
mod scan;
mod sink;

pub(crate) use run::run;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::args::{BucketAndQuorum, duration};

/// Write a bucket as JSON lines.
///
/// One line for each key, as `import` takes them. Of a bucket that is written to meanwhile each line is what its key
/// held at some moment of the export.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to this file, which appears when it is complete [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep what is done in a directory beside the file, FILE.parts, and go on with what is there, until all of it is
    /// put together.
    #[arg(long, requires = "out")]
    resume: bool,
    /// In the order of the keys. Holds everything in memory.
    #[arg(long)]
    sort: bool,
    /// How many keys are read at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Repeat what fails for a reason that can pass, a dead node for example, for this long.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2m")]
    give_up_after: Duration,
    #[command(flatten)]
    options: BucketAndQuorum,
}
