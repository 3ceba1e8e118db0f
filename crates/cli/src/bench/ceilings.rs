//! What this machine could do at best.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::future::try_join_all;
use serde_json::json;

use super::CeilingsArgs;
use super::echo::{self, EchoClient};
use super::value::{self, Values};
use crate::output::{self, Done, Format, Table};

/// What one sync writes: a page, as a small record of a log does.
const WRITE_BYTES: usize = 4096;

pub(super) async fn run(args: &CeilingsArgs, format: Format) -> Result<Done> {
    let unary_echoes_per_second = unary(args).await?;
    let streamed_echoes_per_second = streamed(args).await?;
    let syncs_per_second = syncs(&args.dir, Duration::from_secs_f64(args.seconds))?;
    match format {
        Format::Json => output::json(&json!({
            "unary_echoes_per_second": unary_echoes_per_second,
            "streamed_echoes_per_second": streamed_echoes_per_second,
            "fdatasyncs_per_second": syncs_per_second,
            "concurrency": args.concurrency,
            "value_bytes": args.value_bytes,
        }))?,
        Format::Table => {
            let mut table = Table::new(["CEILING", "PER SECOND"]);
            for (way, per_second) in
                [("unary", unary_echoes_per_second), ("streamed", streamed_echoes_per_second)]
            {
                let load = format!("{} in flight, {} bytes", args.concurrency, args.value_bytes);
                table.row([format!("{way} gRPC echo, {load}"), format!("{per_second:.0}")]);
            }
            let what = format!("{WRITE_BYTES}-byte append and fdatasync in {}", args.dir.display());
            table.row([what, format!("{syncs_per_second:.0}")]);
            table.print()?;
        }
    }
    Ok(Done::Ok)
}

/// A closed loop of calls over one connection, client and server a thread each.
async fn unary(args: &CeilingsArgs) -> Result<f64> {
    let client = EchoClient::connect(echo::serve()?).await?;
    let values = Arc::new(Values::new(args.value_bytes));
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(args.seconds);
    let workers = (0..args.concurrency).map(|_| {
        let (mut client, values) = (client.clone(), values.clone());
        tokio::spawn(async move {
            let mut count = 0_u64;
            while Instant::now() < end {
                let message = values.any();
                ensure!(client.echo(message.clone()).await? == message, "the echo is another one");
                count += 1;
            }
            Ok(count)
        })
    });
    let counts = try_join_all(workers).await?.into_iter().collect::<Result<Vec<u64>>>()?;
    Ok(counts.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

/// One stream, on which each message that comes back sends the next one.
async fn streamed(args: &CeilingsArgs) -> Result<f64> {
    let mut client = EchoClient::connect(echo::serve()?).await?;
    let values = Values::new(args.value_bytes);
    let (sender, receiver) = mpsc::unbounded();
    for _ in 0..args.concurrency {
        sender.unbounded_send(values.any()).context("the echo")?;
    }
    let mut echoes = client.stream(receiver).await?;
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(args.seconds);
    let mut count = 0_u64;
    while Instant::now() < end {
        let echo = echoes.next().await.context("the echo ended")??;
        ensure!(value::label(&echo).is_some(), "the echo is another one");
        count += 1;
        sender.unbounded_send(values.any()).context("the echo")?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

fn syncs(directory: &Path, time: Duration) -> Result<f64> {
    let trouble = || format!("syncing a file in {}", directory.display());
    let mut file: File = tempfile::tempfile_in(directory).with_context(trouble)?;
    let page = [7; WRITE_BYTES];
    let begun = Instant::now();
    let mut count = 0_u64;
    while begun.elapsed() < time {
        file.write_all(&page).and_then(|()| file.sync_data()).with_context(trouble)?;
        count += 1;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
