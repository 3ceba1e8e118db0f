//! Carrying an export out.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use futures::TryStreamExt as _;
use quorate_client::{Client, Options};
use serde_json::json;

use super::ExportArgs;
use super::parts::{About, Parts};
use super::scan::{Item, scan, slices};
use super::sink::Sink;
use crate::args::Global;
use crate::lines;
use crate::output::{self, Done, Format};
use crate::progress::{Progress, Unit};

const SHOW_EVERY_KEYS: u64 = 256;

pub(crate) async fn run(args: ExportArgs, global: &Global) -> Result<Done> {
    let in_flight = usize::from(args.in_flight);
    let options = Options { session_in_flight: in_flight, ..Options::default() };
    let client = Client::connect_with(global.endpoint.iter().cloned(), options).await?;
    let layout = client.layout();
    let partitions = u32::try_from(layout.partitions()).context("a layout with too many partitions")?;
    let target = match (&args.out, args.resume) {
        (Some(out), true) => {
            let about = About {
                cluster: layout.cluster.to_string(),
                bucket: args.options.bucket.clone(),
                partitions,
            };
            Target::Parts(Parts::open(out, &about)?)
        }
        _ => Target::Whole(Sink::open(args.out.as_deref(), args.sort)?),
    };
    let mut export =
        Export { target, keys: 0, bytes: 0, progress: Progress::new("export", Unit::Of(partitions.into())) };
    tokio::select! {
        result = export.read_all(&client, &args, partitions) => result?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted{}", if args.resume { "; the same command goes on" } else { "" }),
    }
    let Export { target, mut keys, mut bytes, progress } = export;
    match target {
        Target::Whole(sink) => sink.finish()?,
        Target::Parts(parts) => {
            let sink = Sink::open(args.out.as_deref(), args.sort)?;
            let firsts: Vec<u32> = slices(partitions).iter().map(|slice| slice.start).collect();
            (keys, bytes) = parts.assemble(&firsts, sink)?;
        }
    }
    let seconds = progress.finish().as_secs_f64();
    report(keys, bytes, seconds, args.out.as_deref(), global.output)?;
    Ok(Done::Ok)
}

enum Target {
    Whole(Sink),
    /// First each slice by itself.
    Parts(Parts),
}

struct Export {
    target: Target,
    keys: u64,
    bytes: u64,
    progress: Progress,
}

impl Export {
    async fn read_all(&mut self, client: &Client, args: &ExportArgs, partitions: u32) -> Result<()> {
        let slices = slices(partitions);
        let total = slices.len() as u64;
        let wanted: Vec<_> = slices
            .into_iter()
            .filter(|slice| !matches!(&self.target, Target::Parts(parts) if parts.has(slice.start)))
            .collect();
        let mut slices_done = total - wanted.len() as u64;
        let session = client.session();
        let mut items = std::pin::pin!(scan(client, &session, args, wanted));
        let mut text = Vec::new();
        while let Some(item) = items.try_next().await? {
            match item {
                Item::Key { slice, key, found } => {
                    text.clear();
                    lines::write(&key, &found.values, &mut text)?;
                    if text.is_empty() {
                        continue;
                    }
                    match &mut self.target {
                        Target::Whole(sink) => sink.line(key, &text)?,
                        Target::Parts(parts) => parts.line(slice, &text)?,
                    }
                    self.keys += 1;
                    self.bytes += text.len() as u64;
                }
                Item::Done { slice } => {
                    slices_done += 1;
                    if let Target::Parts(parts) = &mut self.target {
                        parts.complete(slice)?;
                    }
                }
            }
            if self.keys.is_multiple_of(SHOW_EVERY_KEYS) {
                let (keys, bytes) = (self.keys, self.bytes);
                let partitions_done = slices_done * u64::from(partitions) / total;
                self.progress.set(partitions_done, &|| format!("{keys} keys, {}", output::bytes(bytes)));
            }
        }
        Ok(())
    }
}

fn report(keys: u64, bytes: u64, seconds: f64, out: Option<&Path>, format: Format) -> Result<()> {
    let text = match format {
        Format::Table => format!(
            "exported {keys} keys ({}) in {seconds:.1} s: {:.0} keys/s",
            output::bytes(bytes),
            keys as f64 / seconds
        ),
        Format::Json => json!({ "keys": keys, "bytes": bytes, "seconds": seconds }).to_string(),
    };
    if out.is_some() {
        return output::line(text);
    }
    // Standard output is taken by the lines.
    output::note(text);
    Ok(())
}
