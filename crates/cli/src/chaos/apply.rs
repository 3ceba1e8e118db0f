//! Doing one thing to a cluster.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, ensure};
use futures::future::join_all;

use super::action::{Action, Group, NodeName};
use super::faults::{self, Change};
use super::target::{Target, TargetNode};
use crate::args::WrongUsage;
use crate::dev::{NodeState, Order};

/// Fails when a schedule names what is not there, before anything is done.
pub(super) fn check(target: &Target, action: &Action) -> Result<()> {
    match action {
        Action::Kill { node }
        | Action::Pause { node }
        | Action::Resume { node }
        | Action::Revive { node } => {
            target.resolve(node)?;
        }
        Action::Partition { groups } => {
            target.require_fault_injection()?;
            sides(target, groups)?;
        }
        Action::Drop { node, to, .. } | Action::Delay { node, to, .. } => {
            target.require_fault_injection()?;
            receivers(target, node, to.as_ref())?;
        }
        Action::Heal => target.require_fault_injection()?,
    }
    Ok(())
}

/// Does it, and says what was done.
pub(super) async fn apply(target: &mut Target, action: &Action) -> Result<Vec<String>> {
    target.refresh().await?;
    check(target, action)?;
    match action {
        Action::Kill { node } => order(target, node, Order::Kill, "killed").await,
        Action::Pause { node } => order(target, node, Order::Pause, "paused").await,
        Action::Resume { node } => resume(target, node).await,
        Action::Revive { node } => order(target, node, Order::Revive, "running").await,
        Action::Partition { groups } => partition(target, groups).await,
        Action::Drop { node, fraction, to } => {
            let change = Change { drop: Some(*fraction), ..Change::default() };
            sending(target, node, to.as_ref(), change).await
        }
        Action::Delay { node, delay, jitter, to } => {
            let change = Change { delay: Some((*delay, *jitter)), ..Change::default() };
            sending(target, node, to.as_ref(), change).await
        }
        Action::Heal => heal(target).await,
    }
}

async fn order(
    target: &mut Target,
    node: &NodeName,
    order: impl FnOnce(usize) -> Order,
    is_now: &str,
) -> Result<Vec<String>> {
    let at = target.resolve(node)?;
    target.order(order(at)).await?;
    let node = &target.nodes[at];
    let pid = node.process.map_or(0, |(_, pid)| pid);
    Ok(vec![format!("{} is {is_now} (pid {pid})", node.name)])
}

/// Nobody could heal it while it was paused: what it still does wrong is told.
async fn resume(target: &mut Target, node: &NodeName) -> Result<Vec<String>> {
    let mut notes = order(target, node, Order::Resume, "running").await?;
    let node = &target.nodes[target.resolve(node)?];
    if target.fault_injection
        && let Ok(answer) = faults::of(target, node).await
        && !answer.faults.is_empty()
    {
        notes.push(format!("{} still {}", node.name, faults::described(target, &answer)));
    }
    Ok(notes)
}

/// The groups as indices: two at least, and no node in two of them.
fn sides(target: &Target, groups: &[Group]) -> Result<Vec<Vec<usize>>> {
    let mut named = BTreeSet::new();
    let mut sides = Vec::with_capacity(groups.len() + 1);
    for group in groups {
        let mut side = Vec::with_capacity(group.0.len());
        for node in &group.0 {
            let at = target.resolve(node)?;
            ensure!(named.insert(at), WrongUsage(format!("node {node} is named twice")));
            side.push(at);
        }
        sides.push(side);
    }
    if sides.len() == 1 {
        let rest: Vec<usize> = (0..target.nodes.len()).filter(|at| !named.contains(at)).collect();
        ensure!(!rest.is_empty(), "there is no other node to cut these off from");
        sides.push(rest);
    }
    Ok(sides)
}

/// Cuts both directions on both sides: a node that is killed and comes back without faults is still cut off by the others.
async fn partition(target: &Target, groups: &[Group]) -> Result<Vec<String>> {
    let cut = Change { drop: Some(1.0), receive_drop: Some(1.0), delay: None };
    let sides = sides(target, groups)?;
    let mut orders = Vec::new();
    let mut notes = Vec::new();
    for (number, side) in sides.iter().enumerate() {
        let beyond: Vec<(usize, Change)> = sides
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number)
            .flat_map(|(_, other)| other.iter().map(|at| (*at, cut)))
            .collect();
        for &at in side {
            if target.nodes[at].listens() {
                orders.push((at, beyond.clone()));
            } else {
                let node = &target.nodes[at];
                notes.push(format!("{} is {}: only the other side cuts it off", node.name, node.state()));
            }
        }
    }
    ensure!(!orders.is_empty(), "none of these nodes is running");
    let done = join_all(orders.iter().map(|(at, beyond)| faults::change(target, *at, beyond))).await;
    all_done(done)?;
    let names = |side: &Vec<usize>| {
        side.iter().map(|at| target.nodes[*at].name.as_str()).collect::<Vec<_>>().join(", ")
    };
    notes.insert(0, format!("cut: {}", sides.iter().map(names).collect::<Vec<_>>().join(" | ")));
    Ok(notes)
}

/// Who sends, and to whom.
fn receivers(target: &Target, node: &NodeName, to: Option<&NodeName>) -> Result<(usize, Vec<usize>)> {
    let at = target.resolve(node)?;
    let receivers = match to {
        Some(to) => vec![target.resolve(to)?],
        None => (0..target.nodes.len()).filter(|other| *other != at).collect(),
    };
    ensure!(!receivers.contains(&at), "--to {node}: a node sends itself nothing");
    Ok((at, receivers))
}

async fn sending(
    target: &Target,
    node: &NodeName,
    to: Option<&NodeName>,
    change: Change,
) -> Result<Vec<String>> {
    let (at, receivers) = receivers(target, node, to)?;
    let changes: Vec<(usize, Change)> = receivers.into_iter().map(|to| (to, change)).collect();
    faults::change(target, at, &changes).await?;
    let now = faults::of(target, &target.nodes[at]).await?;
    let described =
        if now.faults.is_empty() { "works as it should".into() } else { faults::described(target, &now) };
    Ok(vec![format!("{} {described}", target.nodes[at].name)])
}

async fn heal(target: &Target) -> Result<Vec<String>> {
    let listening = target.nodes.iter().filter(|node| node.listens());
    all_done(join_all(listening.map(faults::end)).await)?;
    let paused = target.nodes.iter().filter(|node| matches!(node.process, Some((NodeState::Paused, _))));
    let untold = |node: &TargetNode| {
        let name = &node.name;
        format!(
            "{name} is paused, and cannot be told: faults of its own end when it is resumed and healed again"
        )
    };
    let healed = "no partitions, no loss, no delay".to_owned();
    Ok(std::iter::once(healed).chain(paused.map(untold)).collect())
}

/// One error of all.
fn all_done(done: Vec<Result<()>>) -> Result<()> {
    let errors: Vec<String> =
        done.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if errors.is_empty() { Ok(()) } else { Err(anyhow!(errors.join("; "))) }
}
