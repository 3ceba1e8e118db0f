//! `quorate bucket`.

use anyhow::{Result, bail};
use clap::Subcommand;
use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order;
use serde::Serialize;

use crate::admin;
use crate::args::Global;
use crate::layout::{How, Known, carry_out};
use crate::output::{self, Done, Format, Table};
use crate::settings::BucketSpec;
use crate::text;

#[derive(Debug, Subcommand)]
pub(crate) enum BucketCommand {
    /// Show the buckets and their properties.
    List,
    /// Create a bucket.
    Create {
        /// NAME, or NAME:conflict=lww,mode=sloppy,ttl=1h,n=3,r=2,w=2 with any of these.
        bucket: BucketSpec,
    },
    /// Give a bucket other quorums, once the data is where they need it. What becomes of concurrent writes never changes.
    Alter {
        /// Its name.
        bucket: String,
        /// How many of a key's owners count.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        n: Option<u32>,
        /// How many of them must answer a read.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        r: Option<u32>,
        /// How many of them must acknowledge a write.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        w: Option<u32>,
        #[command(flatten)]
        how: How,
    },
    /// Drop a bucket with all that is in it.
    Drop {
        /// Its name.
        bucket: String,
        /// It is meant: what is in it is gone for good.
        #[arg(long, required = true)]
        yes: bool,
    },
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
        BucketCommand::Create { bucket } => {
            let create = vec![bucket.settings()];
            alter(v1::Alteration { create, ..Default::default() }, &How::default(), global).await
        }
        BucketCommand::Alter { bucket, n, r, w, how } => {
            let sizes = vec![v1::BucketSizes { bucket, n, r, w }];
            alter(v1::Alteration { sizes, ..Default::default() }, &how, global).await
        }
        BucketCommand::Drop { bucket, yes: _ } => {
            let drop = vec![bucket];
            alter(v1::Alteration { drop, ..Default::default() }, &How::default(), global).await
        }
    }
}

async fn alter(alteration: v1::Alteration, how: &How, global: &Global) -> Result<Done> {
    let known = Known::ask(&global.endpoint).await?;
    carry_out(&known, Order::Alter(alteration), how, global).await?;
    Ok(Done::Ok)
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
