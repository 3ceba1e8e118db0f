//! `quorate-node drain`: has the node beside it say that it is not ready, and waits until it can be stopped.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use quorate_proto::v1::DrainRequest;
use quorate_proto::v1::admin_client::AdminClient;
use tonic::transport::Endpoint;

use crate::config::{Args, Settings};

/// The node answers this much later than it was asked to at the latest.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Have the node on this machine say that it is not ready, and wait until it can be stopped
///
/// For the preStop hook of a pod, or before a service is stopped. The node serves on while those who send it requests find
/// out; the command returns when no operation is under way, or the time is over. The node stays so until it is started anew.
#[derive(Clone, Debug, Parser)]
pub struct DrainArgs {
    /// The node's configuration file [env: QUORATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the node takes gRPC clients; where that is any address, it is asked on loopback [env: QUORATE_GRPC_LISTEN] [default: 127.0.0.1:7700]
    #[arg(long, value_name = "HOST:PORT")]
    grpc_listen: Option<String>,
    /// How long the node serves on at least, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=600))]
    settle_s: u32,
    /// How long to wait at most, in seconds: leave some of the time that the platform gives for the stop itself, which takes up to 12
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    timeout_s: u32,
}

/// Drains the node that these flags, the environment and the file tell of. That the time was over is no failure: the stop that
/// follows lets what is under way be answered.
pub fn drain(args: &DrainArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.settle_s <= args.timeout_s,
        "--settle-s: {} is more than --timeout-s, {}",
        args.settle_s,
        args.timeout_s
    );
    let (config, grpc_listen) = (args.config.clone(), args.grpc_listen.clone());
    let settings = Settings::load(&Args { config, grpc_listen, ..Args::default() })?;
    let address = reached_at(&settings.grpc_listen);
    let request = DrainRequest { settle_ms: Some(args.settle_s * 1000), timeout_ms: Some(args.timeout_s * 1000) };
    let deadline = Duration::from_secs(args.timeout_s.into()) + ANSWER_WITHIN;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let operations = runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).context("grpc_listen")?;
        let channel = endpoint.connect_timeout(ANSWER_WITHIN).timeout(deadline).connect().await;
        let channel = channel.with_context(|| format!("there is no node at {address}"))?;
        let drained = AdminClient::new(channel).drain(request).await;
        let drained = drained.map_err(|status| anyhow::anyhow!("{address}: {}", status.message()))?;
        anyhow::Ok(drained.into_inner().operations)
    })?;
    if operations > 0 {
        eprintln!("after {} s {operations} operations are under way: the stop lets them finish", args.timeout_s);
    }
    Ok(())
}

/// Where a node that listens here is reached from its own machine.
fn reached_at(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_everywhere_is_asked_on_loopback() {
        let cases = [
            ("0.0.0.0:7700", "127.0.0.1:7700"),
            ("[::]:7700", "[::1]:7700"),
            ("10.0.0.1:7700", "10.0.0.1:7700"),
            ("node-0:7700", "node-0:7700"),
        ];
        for (listen, reached) in cases {
            assert_eq!(reached_at(listen), reached);
        }
    }
}
