//! What this machine could do at best.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;

use super::CeilingsArgs;
use super::echo::{self, EchoClient};
use super::keyspace::Values;
use crate::output::{self, Done, Format, Table};

/// What one sync writes: a page, as a small record of a log does.
const WRITE_BYTES: usize = 4096;

pub(super) async fn run(args: &CeilingsArgs, format: Format) -> Result<Done> {
    let echoes_per_second = echoes(args).await?;
    let syncs_per_second = syncs(&args.dir, Duration::from_secs_f64(args.seconds))?;
    match format {
        Format::Json => output::json(&json!({
            "unary_echoes_per_second": echoes_per_second,
            "fdatasyncs_per_second": syncs_per_second,
            "concurrency": args.concurrency,
            "value_bytes": args.value_bytes,
        }))?,
        Format::Table => {
            let mut table = Table::new(["CEILING", "PER SECOND"]);
            let what = format!("unary gRPC echo, {} in flight, {} bytes", args.concurrency, args.value_bytes);
            table.row([what, format!("{echoes_per_second:.0}")]);
            let what = format!("{WRITE_BYTES}-byte append and fdatasync in {}", args.dir.display());
            table.row([what, format!("{syncs_per_second:.0}")]);
            table.print()?;
        }
    }
    Ok(Done::Ok)
}

/// A closed loop of calls over one connection, client and server a thread each.
async fn echoes(args: &CeilingsArgs) -> Result<f64> {
    let client = EchoClient::connect(echo::serve()?).await?;
    let values = Values::new(args.value_bytes);
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(args.seconds);
    let workers = (0..args.concurrency).map(|_| {
        let (mut client, values) = (client.clone(), values.clone());
        tokio::spawn(async move {
            let mut count = 0_u64;
            while Instant::now() < end {
                let message = values.next();
                ensure!(client.echo(message.clone()).await? == message, "the echo is another one");
                count += 1;
            }
            Ok(count)
        })
    });
    let counts = try_join_all(workers).await?.into_iter().collect::<Result<Vec<u64>>>()?;
    Ok(counts.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
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
