//! One key at a time: `put`, `get`, `delete`, and `keys`.

mod delete;
mod get;
mod keys;
mod put;

pub(crate) use delete::{DeleteArgs, delete};
pub(crate) use get::{GetArgs, get};
pub(crate) use keys::{KeysArgs, keys};
pub(crate) use put::{PutArgs, put};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use quorate_client::{Client, Written};
use serde::Serialize;

use crate::args::{BucketAndQuorum, Global};
use crate::output::{self, Format};
use crate::text::{self, Clock, KeyFields, context_text};

/// The key of an operation.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyArg {
    /// 1 to 1024 bytes.
    key: String,
    /// KEY is in base64, as `keys` shows keys that are not one line of text.
    #[arg(long)]
    key_base64: bool,
}

impl KeyArg {
    fn bytes(&self) -> Result<Bytes> {
        if !self.key_base64 {
            return Ok(self.key.clone().into());
        }
        let text = self.key.strip_prefix(text::NAMED_BASE64).unwrap_or(&self.key);
        text::from_base64(text).context("KEY")
    }
}

/// The options' own timeout becomes the operation's; this one is for those that have none.
pub(crate) async fn connect(global: &Global) -> Result<Client> {
    Ok(Client::connect(global.endpoint.iter().cloned()).await?)
}

/// Sets what all operations have in common.
macro_rules! with_options {
    ($operation:expr, $options:expr) => {
        $operation.bucket(&$options.bucket).quorum($options.quorum()).timeout($options.timeout)
    };
}
use with_options;

#[derive(Serialize)]
struct WrittenFields<'a> {
    status: &'static str,
    #[serde(flatten)]
    key: KeyFields<'a>,
    replicas_written: u32,
    primaries: u32,
    fallbacks: u32,
    epoch: u64,
    context: String,
    vector_clock: Clock,
}

/// Shows what became of a put or delete.
fn show_written(
    verb: &str,
    key: &[u8],
    written: &Written,
    options: &BucketAndQuorum,
    format: Format,
) -> Result<()> {
    let context = context_text(&written.context);
    let vector_clock = Clock::of(&written.context);
    let replicas_written = written.primaries + written.fallbacks;
    if format == Format::Json {
        return output::json(&WrittenFields {
            status: "success",
            key: KeyFields::new(key),
            replicas_written,
            primaries: written.primaries,
            fallbacks: written.fallbacks,
            epoch: written.epoch,
            context,
            vector_clock,
        });
    }
    let bucket = if options.bucket.is_empty() { String::new() } else { format!(" in {}", options.bucket) };
    let key = text::key_line(key);
    let fallbacks = match written.fallbacks {
        0 => String::new(),
        fallbacks => format!(", {fallbacks} of them standing in for owners"),
    };
    output::line(format!("{verb} {key}{bucket}: durable on {replicas_written} replicas{fallbacks}"))?;
    output::line(format!("context: {context}"))?;
    output::line(format!("clock:   {vector_clock}"))
}
