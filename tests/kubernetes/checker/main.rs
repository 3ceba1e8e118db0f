//! Writes to a cluster, remembers what was acknowledged and reads it back all the time: a pod beside the cluster that a test does
//! things to.
//!
//! | file | what it does |
//! | --- | --- |
//! | `ledger` | what must be there |
//! | `work` | the writers, the readers, and the last look at everything |
//! | `serve` | `GET /verdict` tells how it is; `GET /finish` has everything read back for the last time |

mod ledger;
mod serve;
mod work;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use quorate_client::{Client, ConnectError};

use self::ledger::Ledger;
use self::work::Work;

/// Between two attempts to reach the cluster for the first time.
const BACKOFF: Duration = Duration::from_millis(500);
/// Between two lines on how it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Writes to a cluster and checks that all that was acknowledged is there.
#[derive(Debug, Parser)]
struct Args {
    /// Where the cluster is: its Service.
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// Where to tell how it is, over HTTP.
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:8080")]
    listen: String,
    /// Keys that are put as fast as it goes before anything else.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    preload: u64,
    /// How long each writer and reader rests between two operations, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pause_ms: u64,
    /// Of each value.
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    value_bytes: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let ledger = Arc::new(Ledger::default());
    let listener = tokio::net::TcpListener::bind(&args.listen).await?;
    tokio::spawn(serve::serve(listener, ledger.clone()));
    let work = Work {
        client: connect(&args.endpoint).await,
        ledger: ledger.clone(),
        pause: Duration::from_millis(args.pause_ms),
        value_bytes: args.value_bytes,
    };
    tokio::spawn(work.run(args.preload));
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        tell(&ledger.verdict());
    }
}

/// The pod may be there before the cluster is.
async fn connect(endpoint: &str) -> Client {
    loop {
        match Client::connect([endpoint]).await {
            Ok(client) => return client,
            Err(error @ (ConnectError::NoEndpoints | ConnectError::InvalidEndpoint { .. })) => {
                tell(&error.to_string());
                std::process::exit(2);
            }
            Err(error) => tell(&error.to_string()),
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

#[expect(clippy::print_stdout, reason = "it is the pod's log")]
fn tell(what: &str) {
    println!("{what}");
}
