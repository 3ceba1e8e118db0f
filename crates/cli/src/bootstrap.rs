//! `quorate bootstrap`: makes running `quorate-node` processes one cluster.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use futures::future::try_join_all;
use quorate_proto::v1;
use serde_json::json;

use crate::admin;
use crate::args::Global;
use crate::layout::MemberSpec;
use crate::output::{self, Done, Format};
use crate::settings::ClusterSettings;

/// Make running nodes one cluster.
///
/// The nodes are `quorate-node` processes that belong to no cluster yet. The same command again is harmless, and goes on where one was interrupted.
#[derive(Debug, Args)]
pub(crate) struct BootstrapArgs {
    /// The nodes' gRPC addresses: host:port, or host:port,name=a,zone=z,weight=2 with any of these. Without, those
    /// of --endpoint.
    members: Vec<MemberSpec>,
    /// Into how many slices the keys are divided, a power of two; fixed for good [default: 256].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    #[command(flatten)]
    settings: ClusterSettings,
}

pub(crate) async fn run(args: BootstrapArgs, global: &Global) -> Result<Done> {
    let specs = if args.members.is_empty() {
        global.endpoint.iter().map(|endpoint| endpoint.parse()).collect::<Result<_, String>>()
    } else {
        Ok(args.members)
    };
    let specs: Vec<MemberSpec> = specs.map_err(anyhow::Error::msg)?;
    let statuses = try_join_all(specs.iter().map(|spec| admin::status(&spec.address, false))).await?;
    let cluster_id = cluster_id(&statuses)?;
    let members = specs.iter().zip(&statuses).enumerate().map(|(at, (spec, status))| v1::Member {
        node_id: status.node_id,
        name: match (&spec.name, &status.configured_name) {
            (Some(name), _) => name.clone(),
            (None, name) if !name.is_empty() => name.clone(),
            (None, _) => format!("node-{}", at + 1),
        },
        peer_address: status.peer_address.clone(),
        zone: spec.zone.clone().unwrap_or_else(|| status.configured_zone.clone()),
        weight: spec.weight.unwrap_or(status.configured_weight),
    });
    let request = v1::BootstrapRequest {
        partitions: args.partitions.unwrap_or(0),
        ..args.settings.bootstrap(cluster_id, members.collect())
    };
    for spec in &specs {
        admin::bootstrap(&spec.address, request.clone()).await?;
    }
    let cluster = u128::from_be_bytes(cluster_id);
    match global.output {
        Format::Json => output::json(&json!({ "cluster": format!("{cluster:032x}"), "nodes": specs.len() }))?,
        Format::Table => output::line(format!("cluster {cluster:032x} of {} nodes", specs.len()))?,
    }
    Ok(Done::Ok)
}

/// The cluster that some of the nodes belong to already, from an earlier try; or a new one.
fn cluster_id(statuses: &[v1::StatusResponse]) -> Result<[u8; 16]> {
    let mut ids: Vec<&[u8]> = statuses.iter().map(|status| status.cluster_id.as_ref()).collect();
    ids.retain(|id| !id.is_empty());
    ids.dedup();
    match ids.as_slice() {
        [] => Ok(rand::random::<u128>().to_be_bytes()),
        [id] => (*id).try_into().context("a node's cluster id does not have 16 bytes"),
        _ => bail!("the nodes belong to different clusters already"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_bootstrap_goes_on_with_its_cluster() {
        let status = |id: &'static [u8]| v1::StatusResponse { cluster_id: id.into(), ..Default::default() };
        let first = &[1; 16];
        assert_eq!(cluster_id(&[status(b""), status(first), status(first)]).unwrap(), [1; 16]);
        assert_ne!(cluster_id(&[status(b"")]).unwrap(), cluster_id(&[status(b"")]).unwrap());
        assert!(cluster_id(&[status(first), status(&[2; 16])]).is_err());
    }
}
