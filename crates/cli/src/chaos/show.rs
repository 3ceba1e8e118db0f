//! The nodes, and what is wrong with them on purpose.

use anyhow::Result;
use futures::future::join_all;
use quorate_proto::v1;
use serde::Serialize;

use super::faults;
use super::target::{Target, TargetNode};
use crate::dev::NodeState;
use crate::output::{self, Format, Table};

#[derive(Serialize)]
struct Shown<'a> {
    /// Of the `quorate dev` that runs the cluster.
    data: Option<String>,
    fault_injection: bool,
    nodes: Vec<ShownNode<'a>>,
}

#[derive(Serialize)]
struct ShownNode<'a> {
    number: usize,
    name: &'a str,
    id: String,
    grpc: &'a str,
    state: &'static str,
    pid: Option<u32>,
    faults: Vec<ShownFault>,
    lost_messages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct ShownFault {
    node: String,
    drop: f64,
    receive_drop: f64,
    delay_ms: u32,
    delay_jitter_ms: u32,
}

pub(super) async fn show(target: &Target, format: Format) -> Result<()> {
    let asked = |node: &TargetNode| target.fault_injection && node.listens();
    let faults = join_all(
        target
            .nodes
            .iter()
            .map(|node| async { if asked(node) { Some(faults::of(target, node).await) } else { None } }),
    )
    .await;
    match format {
        Format::Json => {
            let nodes = target.nodes.iter().zip(faults).enumerate();
            let nodes = nodes.map(|(at, (node, faults))| shown(at, node, faults)).collect();
            let data = target.directory().map(|directory| directory.display().to_string());
            output::json(&Shown { data, fault_injection: target.fault_injection, nodes })
        }
        Format::Table => {
            let mut table = Table::new(["NODE", "NAME", "ID", "PROCESS", "PID", "LOST", "FAULTS"]);
            for (at, (node, faults)) in target.nodes.iter().zip(faults).enumerate() {
                let (lost, faults) = match faults {
                    None => ("-".into(), String::new()),
                    Some(Ok(answer)) => {
                        (answer.lost_messages.to_string(), faults::described(target, &answer))
                    }
                    Some(Err(error)) => ("-".into(), format!("{error:#}")),
                };
                table.row([
                    (at + 1).to_string(),
                    node.name.clone(),
                    format!("{:016x}", node.id),
                    node.state().into(),
                    pid(node).map_or("-".into(), |pid| pid.to_string()),
                    lost,
                    faults,
                ]);
            }
            table.print()?;
            if !target.fault_injection {
                output::note("without --unsafe-fault-injection: no partitions, no loss, no delay");
            }
            Ok(())
        }
    }
}

/// Of a process that is there.
fn pid(node: &TargetNode) -> Option<u32> {
    node.process.and_then(|(state, pid)| (state != NodeState::Dead).then_some(pid))
}

fn shown(at: usize, node: &TargetNode, faults: Option<Result<v1::InjectFaultsResponse>>) -> ShownNode<'_> {
    let (answer, error) = match faults {
        None => (v1::InjectFaultsResponse::default(), None),
        Some(Ok(answer)) => (answer, None),
        Some(Err(error)) => (v1::InjectFaultsResponse::default(), Some(format!("{error:#}"))),
    };
    let fault = |fault: &v1::PeerFault| ShownFault {
        node: format!("{:016x}", fault.node_id),
        drop: fault.drop,
        receive_drop: fault.receive_drop,
        delay_ms: fault.delay_ms,
        delay_jitter_ms: fault.delay_jitter_ms,
    };
    ShownNode {
        number: at + 1,
        name: &node.name,
        id: format!("{:016x}", node.id),
        grpc: &node.grpc,
        state: node.state(),
        pid: pid(node),
        faults: answer.faults.iter().map(fault).collect(),
        lost_messages: answer.lost_messages,
        error,
    }
}
