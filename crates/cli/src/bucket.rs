//! `quorate bucket`.

use anyhow::{Result, bail};
use clap::Subcommand;
use quorate_proto::v1;
use serde::Serialize;

use crate::admin;
use crate::args::Global;
use crate::output::{self, Done, Format, Table};
use crate::text;

#[derive(Debug, Subcommand)]
pub(crate) enum BucketCommand {
    /// Show the buckets and their properties.
    List,
}

#[derive(Serialize)]
struct BucketFields {
    name: String,
    id: String,
    n: u32,
    r: u32,
    w: u32,
    conflict: &'static str,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

pub(crate) async fn run(command: BucketCommand, global: &Global) -> Result<Done> {
    match command {
        BucketCommand::List => list(global).await,
    }
}

async fn list(global: &Global) -> Result<Done> {
    let buckets: Vec<BucketFields> = ask(&global.endpoint).await?.into_iter().map(fields).collect();
    match global.output {
        Format::Json => output::json(&buckets)?,
        Format::Table => {
            let mut table = Table::new(["BUCKET", "ID", "N", "R", "W", "CONFLICT", "MODE", "TTL"]);
            for bucket in buckets {
                table.row([
                    bucket.name,
                    bucket.id,
                    bucket.n.to_string(),
                    bucket.r.to_string(),
                    bucket.w.to_string(),
                    bucket.conflict.to_owned(),
                    bucket.mode.to_owned(),
                    bucket.ttl_ms.map_or_else(|| "-".into(), text::time),
                ]);
            }
            table.print()?;
        }
    }
    Ok(Done::Ok)
}

/// The first endpoint that answers knows; all nodes hold the same table.
async fn ask(endpoints: &[String]) -> Result<Vec<v1::Bucket>> {
    let mut errors = Vec::new();
    for endpoint in endpoints {
        let answer = async {
            let mut admin = admin::connect(endpoint).await?;
            let answer = admin.list_buckets(v1::ListBucketsRequest {}).await;
            answer.map_err(|status| admin::refused(endpoint, &status))
        };
        match answer.await {
            Ok(answer) => return Ok(answer.into_inner().buckets),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!("{}", errors.join("; "))
}

fn fields(bucket: v1::Bucket) -> BucketFields {
    BucketFields {
        conflict: match bucket.conflict() {
            v1::ConflictPolicy::Siblings => "siblings",
            v1::ConflictPolicy::LastWriterWins => "lww",
        },
        mode: match bucket.mode() {
            v1::QuorumMode::Sloppy => "sloppy",
            _ => "strict",
        },
        ttl_ms: bucket.ttl_ms,
        name: bucket.name,
        id: format!("{:016x}", bucket.bucket_id),
        n: bucket.n,
        r: bucket.r,
        w: bucket.w,
    }
}
