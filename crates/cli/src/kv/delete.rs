//! `quorate delete`.

use anyhow::Result;
use clap::Args;
use quorate_client::Delete;

use super::{KeyArg, connect, show_written, with_options};
use crate::args::{BucketAndQuorum, Global};
use crate::output::Done;
use crate::text;

/// Delete a key.
///
/// Deletes all that the context has seen or, without one, all that a read shows; a concurrent put survives.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    key: KeyArg,
    /// Delete only what this context, from a get or put of this key, has seen.
    #[arg(long)]
    context: Option<String>,
    #[command(flatten)]
    options: BucketAndQuorum,
}

pub(crate) async fn delete(args: DeleteArgs, global: &Global) -> Result<Done> {
    let key = args.key.bytes()?;
    let mut delete = with_options!(Delete::new(key.clone()), args.options);
    if let Some(context) = &args.context {
        delete = delete.context(text::context_from_text(context)?);
    }
    let written = connect(global).await?.delete(delete).await?;
    show_written("deleted", &key, &written, &args.options, global.output)?;
    Ok(Done::Ok)
}
