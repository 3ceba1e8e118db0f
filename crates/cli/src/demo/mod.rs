//! `quorate demo`: the store at work.

mod cart;
mod shop;

use anyhow::Result;
use clap::Subcommand;

use crate::output::Done;

#[derive(Debug, Subcommand)]
pub(crate) enum DemoCommand {
    /// The shopping cart of the Dynamo paper: two clients add to it at once through different nodes, a node is killed
    /// and revived, and nothing is lost. Starts a cluster of its own; fails if anything is not as it tells.
    Cart,
}

pub(crate) async fn run(command: DemoCommand) -> Result<Done> {
    match command {
        DemoCommand::Cart => cart::run().await,
    }
}
