//! `quorate put`.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use quorate_client::{Put, Ttl};

use super::{KeyArg, connect, show_written, with_options};
use crate::args::{self, BucketAndQuorum, Global};
use crate::output::Done;
use crate::text;

/// Store a value.
///
/// Without a context it is stored beside what is there, as a sibling: a put replaces only what it has seen.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    key: KeyArg,
    /// The value; JSON is stored as such, unless --content-type says otherwise.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    value: Option<String>,
    /// Take the value from this file; -: from standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The value's media type; without: application/json if it is that, else text/plain or
    /// application/octet-stream.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Show the value for this long only (500ms, 10m, 7d), or never let it expire; without, as the bucket says.
    #[arg(long, value_parser = args::ttl, value_name = "TIME|never")]
    ttl: Option<Ttl>,
    /// Replace what this context, from a get or put of this key, has seen.
    #[arg(long)]
    context: Option<String>,
    #[command(flatten)]
    options: BucketAndQuorum,
}

pub(crate) async fn put(args: PutArgs, global: &Global) -> Result<Done> {
    let key = args.key.bytes()?;
    let value = value(&args)?;
    let content_type = args.content_type.unwrap_or_else(|| text::guess_content_type(&value).to_owned());
    let mut put = with_options!(Put::new(key.clone(), value), args.options).content_type(content_type);
    if let Some(ttl) = args.ttl {
        put = put.ttl(ttl);
    }
    if let Some(context) = &args.context {
        put = put.context(text::context_from_text(context)?);
    }
    let written = connect(global).await?.put(put).await?;
    show_written("put", &key, &written, &args.options, global.output)?;
    Ok(Done::Ok)
}

fn value(args: &PutArgs) -> Result<Bytes> {
    match (&args.value, &args.file) {
        (Some(value), _) => Ok(value.clone().into()),
        (None, Some(file)) if file.as_os_str() == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context("reading standard input")?;
            Ok(bytes.into())
        }
        (None, Some(file)) => {
            let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            Ok(bytes.into())
        }
        // The parser asks for one of the two.
        (None, None) => Ok(Bytes::new()),
    }
}
