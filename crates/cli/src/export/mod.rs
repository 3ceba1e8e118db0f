//! `quorate export`: a bucket as JSON lines.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use quorate_client::{Client, Error, Found, Get, ListKeys, Options, Session};
use serde_json::json;

use crate::args::{BucketAndQuorum, Global, duration};
use crate::lines;
use crate::output::{self, Done, Format};
use crate::patience::patiently;
use crate::progress::{Progress, Unit};

/// Listings that run side by side, each over a slice of the partitions.
const LISTINGS: usize = 4;
/// Slices per listing: more than one, so that no listing is left alone with the end.
const SLICES: u32 = 32;
const SHOW_EVERY_KEYS: u64 = 256;

/// Write a bucket as JSON lines.
///
/// One line for each key, as `import` takes them. Of a bucket that is written to meanwhile each
/// line is what its key held at some moment of the export.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to this file, which appears when it is complete [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
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

pub(crate) async fn run(args: ExportArgs, global: &Global) -> Result<Done> {
    let in_flight = usize::from(args.in_flight);
    let options = Options { session_in_flight: in_flight, ..Options::default() };
    let client = Client::connect_with(global.endpoint.iter().cloned(), options).await?;
    let mut progress = Progress::new("export", Unit::Unknown);
    let mut sink = Sink::open(&args)?;
    let session = client.session();
    let keys = keys(&client, &args);
    let mut found = keys
        .map_ok(|key| {
            let read = read(&session, &args, key.clone());
            async { Ok((key, read.await?)) }
        })
        .try_buffer_unordered(in_flight);
    let (mut exported, mut text) = (0_u64, Vec::new());
    while let Some((key, found)) = found.try_next().await? {
        text.clear();
        lines::write(&key, &found.values, &mut text)?;
        if text.is_empty() {
            // Deleted since it was listed.
            continue;
        }
        sink.line(key, &text)?;
        exported += 1;
        if exported.is_multiple_of(SHOW_EVERY_KEYS) {
            let bytes = sink.bytes;
            progress.set(exported, &|| output::bytes(bytes));
        }
    }
    let bytes = sink.bytes;
    sink.finish()?;
    let seconds = progress.finish().as_secs_f64();
    report(exported, bytes, seconds, &args, global.output)?;
    Ok(Done::Ok)
}

fn report(keys: u64, bytes: u64, seconds: f64, args: &ExportArgs, format: Format) -> Result<()> {
    let text = match format {
        Format::Table => format!(
            "exported {keys} keys ({}) in {seconds:.1} s: {:.0} keys/s",
            output::bytes(bytes),
            keys as f64 / seconds
        ),
        Format::Json => json!({ "keys": keys, "bytes": bytes, "seconds": seconds }).to_string(),
    };
    // Standard output may be taken by the lines.
    if args.out.is_some() {
        return output::line(text);
    }
    output::note(text);
    Ok(())
}

/// All keys of the bucket, by partition, several partitions at once.
fn keys(client: &Client, args: &ExportArgs) -> impl Stream<Item = Result<Bytes, Error>> {
    let partitions = u32::try_from(client.layout().partitions()).unwrap_or(u32::MAX);
    let slice = partitions.div_ceil(SLICES).max(1);
    let slices =
        (0..partitions).step_by(slice as usize).map(move |first| first..(first + slice).min(partitions));
    let list = |slice: std::ops::Range<u32>| {
        let list = ListKeys::new()
            .bucket(&args.options.bucket)
            .quorum(args.options.quorum())
            .timeout(args.options.timeout)
            .partitions(slice);
        let pages = stream::try_unfold(Some(list), |list| async {
            let Some(list) = list else { return Ok(None) };
            let page =
                patiently(args.give_up_after, async || client.keys(list.clone()).await, |_| {}).await?;
            let next = page.next.map(|cursor| list.after(cursor));
            Ok(Some((stream::iter(page.keys.into_iter().map(Ok)), next)))
        });
        Box::pin(pages.try_flatten())
    };
    stream::iter(slices).map(list).flatten_unordered(LISTINGS)
}

async fn read(session: &Session, args: &ExportArgs, key: Bytes) -> Result<Found, Error> {
    let get = Get::new(key)
        .bucket(&args.options.bucket)
        .quorum(args.options.quorum())
        .timeout(args.options.timeout);
    patiently(args.give_up_after, async || session.get(get.clone()).await, |_| {}).await
}

/// Where the lines go.
struct Sink {
    writer: Box<dyn Write>,
    /// What the file is called while it is not complete, and then.
    names: Option<(PathBuf, PathBuf)>,
    /// Lines kept back to be sorted.
    kept: Option<Vec<(Bytes, Vec<u8>)>>,
    bytes: u64,
}

impl Sink {
    fn open(args: &ExportArgs) -> Result<Self> {
        let (writer, names): (Box<dyn Write>, _) = match &args.out {
            None => (Box::new(output::bulk()), None),
            Some(out) => {
                let mut partial = out.as_os_str().to_owned();
                partial.push(".partial");
                let partial = PathBuf::from(partial);
                let file =
                    File::create(&partial).with_context(|| format!("creating {}", partial.display()))?;
                (Box::new(BufWriter::with_capacity(1 << 20, file)), Some((partial, out.clone())))
            }
        };
        Ok(Self { writer, names, kept: args.sort.then(Vec::new), bytes: 0 })
    }

    fn line(&mut self, key: Bytes, text: &[u8]) -> Result<()> {
        self.bytes += text.len() as u64;
        match &mut self.kept {
            Some(kept) => {
                kept.push((key, text.to_vec()));
                Ok(())
            }
            None => self.writer.write_all(text).context("writing the lines"),
        }
    }

    fn finish(mut self) -> Result<()> {
        if let Some(mut kept) = self.kept.take() {
            kept.sort_unstable();
            for (_, text) in kept {
                self.writer.write_all(&text).context("writing the lines")?;
            }
        }
        self.writer.flush().context("writing the lines")?;
        drop(self.writer);
        if let Some((partial, out)) = self.names {
            std::fs::rename(&partial, &out).with_context(|| format!("renaming to {}", out.display()))?;
        }
        Ok(())
    }
}
