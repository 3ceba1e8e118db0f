//! `quorate members`: who belongs to the cluster.

use anyhow::{Result, ensure};
use clap::Subcommand;
use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order;

use crate::args::Global;
use crate::layout::{How, Known, MemberSpec, carry_out};
use crate::output::{self, Done, Format, Table};
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// Show the members.
    List,
    /// Add running nodes, and give them their share of the data.
    Add {
        /// Their gRPC addresses: host:port, or host:port,name=a,zone=z,weight=2 with any of these.
        #[arg(required = true, value_name = "ADDRESS")]
        nodes: Vec<MemberSpec>,
        /// The zone of those that name none [default: as each is configured].
        #[arg(long)]
        zone: Option<String>,
        /// The weight of those that name none [default: as each is configured].
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        weight: Option<u32>,
        #[command(flatten)]
        how: How,
    },
    /// Remove members, once what they hold is elsewhere.
    Remove {
        /// Nodes by number, name or id, as `quorate members list` shows them.
        #[arg(required = true)]
        nodes: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Put a running node in the place of a member, in one change.
    Replace {
        /// The member by number, name or id.
        node: String,
        /// The new node: host:port, or host:port,name=a,zone=z,weight=2; with the name, the zone and the weight of the old one
        /// where it names none.
        #[arg(long, value_name = "ADDRESS")]
        with: MemberSpec,
        /// The member is gone for good with all it held: nobody waits for it.
        #[arg(long)]
        lost: bool,
        #[command(flatten)]
        how: How,
    },
    /// Give a member another zone or weight.
    Set {
        /// The member by number, name or id.
        node: String,
        /// The failure zone that it is in.
        #[arg(long, required_unless_present = "weight")]
        zone: Option<String>,
        /// Its share of the data relative to the others'.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        weight: Option<u32>,
        #[command(flatten)]
        how: How,
    },
}

pub(crate) async fn run(command: MembersCommand, global: &Global) -> Result<Done> {
    let known = Known::ask(&global.endpoint).await?;
    let (alteration, how) = match command {
        MembersCommand::List => {
            list(&known, global)?;
            return Ok(Done::Ok);
        }
        MembersCommand::Add { mut nodes, zone, weight, how } => {
            for node in &mut nodes {
                node.zone = node.zone.take().or_else(|| zone.clone());
                node.weight = node.weight.or(weight);
            }
            (v1::Alteration { add: known.introduce(&nodes).await?, ..Default::default() }, how)
        }
        MembersCommand::Remove { nodes, how } => {
            (v1::Alteration { remove: known.resolve_all(&nodes)?, ..Default::default() }, how)
        }
        MembersCommand::Replace { node, with, lost, how } => (replace(&known, &node, with, lost).await?, how),
        MembersCommand::Set { node, zone, weight, how } => {
            let set = vec![v1::MemberSettings { node_id: known.resolve(&node)?, zone, weight }];
            (v1::Alteration { set, ..Default::default() }, how)
        }
    };
    carry_out(&known, Order::Alter(alteration), &how, global).await?;
    Ok(Done::Ok)
}

async fn replace(known: &Known, node: &str, mut with: MemberSpec, lost: bool) -> Result<v1::Alteration> {
    let old = known.resolve(node)?;
    if let Some(member) = known.layout.members.iter().find(|member| member.node_id == old) {
        with.zone = with.zone.or_else(|| Some(member.zone.clone()));
        with.weight = with.weight.or(Some(member.weight));
        // In its place under its name.
        with.name = with.name.or_else(|| Some(member.name.clone()));
    }
    let add = known.introduce_for(&[with], &[old]).await?;
    ensure!(add.iter().all(|member| member.node_id != old), "{node} cannot take its own place");
    let gone = vec![old];
    let (remove, lost) = if lost { (Vec::new(), gone) } else { (gone, Vec::new()) };
    Ok(v1::Alteration { add, remove, lost, ..Default::default() })
}

#[derive(Serialize)]
struct Listed {
    name: String,
    id: String,
    zone: String,
    weight: u32,
    voter: bool,
    peer: String,
}

fn list(known: &Known, global: &Global) -> Result<()> {
    let listed = |member: &&v1::Member| Listed {
        name: member.name.clone(),
        id: format!("{:016x}", member.node_id),
        zone: member.zone.clone(),
        weight: member.weight,
        voter: known.layout.voters.contains(&member.node_id),
        peer: member.peer_address.clone(),
    };
    let members: Vec<Listed> = known.members().iter().map(listed).collect();
    if global.output == Format::Json {
        return output::json(&members);
    }
    let mut table = Table::new(["NUMBER", "NODE", "ID", "ZONE", "WEIGHT", "VOTES", "PEERS AT"]);
    for (at, member) in members.into_iter().enumerate() {
        table.row([
            (at + 1).to_string(),
            member.name,
            member.id,
            if member.zone.is_empty() { "-".into() } else { member.zone },
            member.weight.to_string(),
            if member.voter { "yes" } else { "no" }.into(),
            member.peer,
        ]);
    }
    table.print()
}
