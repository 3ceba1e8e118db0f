//! `quorate keys`.

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use quorate_client::ListKeys;
use serde::Serialize;

use super::{connect, with_options};
use crate::args::{BucketAndQuorum, Global};
use crate::output::{self, Done, Format};
use crate::text::{self, KeyFields};

/// The most that a node puts into one page.
const PAGE_KEYS: usize = 1000;

/// List keys, in an order that stays the same.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// At most this many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on where an earlier listing ended.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    options: BucketAndQuorum,
}

#[derive(Serialize)]
struct Listing<'a> {
    keys: Vec<KeyFields<'a>>,
    cursor: Option<String>,
}

pub(crate) async fn keys(args: KeysArgs, global: &Global) -> Result<Done> {
    let client = connect(global).await?;
    let limit = if args.all { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
    let mut cursor = args.cursor.as_deref().map(text::from_base64).transpose()?;
    let mut listed: Vec<Bytes> = Vec::new();
    let mut count = 0;
    loop {
        let page_keys = PAGE_KEYS.min(limit - count);
        let mut list = with_options!(ListKeys::new(), args.options);
        list = list.limit(u32::try_from(page_keys).unwrap_or(u32::MAX)).after(cursor.unwrap_or_default());
        let page = client.keys(list).await?;
        count += page.keys.len();
        cursor = page.next;
        match global.output {
            // Page by page, so that a long listing is seen at once and takes no memory.
            Format::Table => page.keys.iter().try_for_each(|key| output::line(text::key_line(key)))?,
            Format::Json => listed.extend(page.keys),
        }
        if cursor.is_none() || count >= limit {
            break;
        }
    }
    let cursor = cursor.map(|cursor| text::base64(&cursor));
    match (global.output, cursor) {
        (Format::Json, cursor) => {
            let keys = listed.iter().map(|key| KeyFields::new(key)).collect();
            output::json(&Listing { keys, cursor })?;
        }
        (Format::Table, Some(cursor)) => output::note(format!("more: --cursor {cursor}, or --all")),
        (Format::Table, None) => {}
    }
    Ok(Done::Ok)
}
