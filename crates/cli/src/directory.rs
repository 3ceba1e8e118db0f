//! `quorate directory`: last resorts on the directory of a node that does not run.

use std::path::PathBuf;

use anyhow::{Result, bail};
use quorate_node::offline;
use quorate_protocol::id::NodeId;
use serde::Serialize;

use crate::output::{self, Done, Format};

/// Last resorts on the directory of a node that does not run: read docs/OPERATIONS.md first.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Trust a directory as it is, though others may have seen more of its node.
    ///
    /// For a cluster all of whose directories were restored from copies of different moments: with all nodes stopped, do this to each
    /// of them. What was acknowledged after the copies were taken is lost, and what was deleted may come back.
    Adopt(AdoptArgs),
    /// Let the members that are left choose layouts without those that are gone for good.
    ///
    /// For a cluster that has lost the majority of its layout's voters: stop ONE node that is left, the one with the newest layout, and do
    /// this to its directory. Then start it, and replace the lost members as usual. They must never come back.
    ForceLost(ForceLostArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArgs {
    /// The node's directory (`data_dir`)
    directory: PathBuf,
    /// Do it; without, only say what it means
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ForceLostArgs {
    /// The node's directory (`data_dir`)
    directory: PathBuf,
    /// The members that are gone for good, by id: 16 hexadecimal digits
    #[arg(required = true, value_parser = node_id)]
    lost: Vec<NodeId>,
    /// Do it; without, only say what it means
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Adopted {
    forgotten: usize,
}

#[derive(Serialize)]
struct Forced {
    epoch: u64,
    voters: Vec<String>,
}

fn node_id(text: &str) -> Result<NodeId, String> {
    let id = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    id.map(NodeId).ok_or_else(|| "not 16 hexadecimal digits".into())
}

pub(crate) fn run(command: DirectoryCommand, format: Format) -> Result<Done> {
    match command {
        DirectoryCommand::Adopt(AdoptArgs { yes: false, .. }) => bail!(
            "with --yes the directory counts for what it holds, whatever others have seen of its node since: \
             only for a cluster all of whose directories were restored"
        ),
        DirectoryCommand::Adopt(args) => {
            let forgotten = offline::adopt(&args.directory)?;
            match format {
                Format::Json => output::json(&Adopted { forgotten })?,
                Format::Table => {
                    output::line(format!("adopted: what it knew of {forgotten} nodes is forgotten"))?
                }
            }
            Ok(Done::Ok)
        }
        DirectoryCommand::ForceLost(ForceLostArgs { yes: false, .. }) => bail!(
            "with --yes the nodes named have no say any more, and what they may have decided last is forgotten: \
             only if they are gone for good, and in one directory only"
        ),
        DirectoryCommand::ForceLost(args) => {
            let forced = offline::force_lost(&args.directory, &args.lost)?;
            let voters: Vec<String> = forced.voters.iter().map(NodeId::to_string).collect();
            let epoch = forced.epoch.0;
            match format {
                Format::Json => output::json(&Forced { epoch, voters })?,
                Format::Table => output::line(format!(
                    "epoch {epoch}: {} vote. Start the node, then replace the lost members: `quorate layout apply --lost NODE`, or `quorate members replace NODE --with ADDRESS --lost`",
                    voters.join(", ")
                ))?,
            }
            Ok(Done::Ok)
        }
    }
}
