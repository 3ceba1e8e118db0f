//! The `quorate` command.

mod admin;
mod args;
mod bench;
mod bootstrap;
mod bucket;
mod chaos;
mod demo;
mod dev;
mod directory;
mod export;
mod import;
mod kv;
mod layout;
mod lines;
mod members;
mod output;
mod partitions;
mod patience;
mod progress;
mod repair;
mod settings;
mod signals;
mod status;
mod text;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::args::{Cli, Command, WrongUsage};
use crate::output::Done;

/// Many threads take and give small pieces all the time: the system's allocator shows in profiles.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(Done::Ok) => ExitCode::SUCCESS,
        Ok(Done::NotFound) => ExitCode::from(3),
        Err(error) => {
            output::note(format!("error: {error:#}"));
            ExitCode::from(if error.is::<WrongUsage>() { 2 } else { 1 })
        }
    }
}

fn run(cli: Cli) -> Result<Done> {
    if let Command::Node(args) = &cli.command {
        // It makes a runtime of its own.
        quorate_node::start::main(args)?;
        return Ok(Done::Ok);
    }
    if let Command::Directory(command) = cli.command {
        return directory::run(command, cli.global.output);
    }
    // One thread: what a session's answers wake runs at once and sends its next requests together.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let global = cli.global;
    runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => dev::run(args, &global).await,
            Command::Node(_) | Command::Directory(_) => Ok(Done::Ok),
            Command::Demo(command) => demo::run(command).await,
            Command::Put(args) => kv::put(args, &global).await,
            Command::Get(args) => kv::get(args, &global).await,
            Command::Delete(args) => kv::delete(args, &global).await,
            Command::Keys(args) => kv::keys(args, &global).await,
            Command::Status(args) => status::run(args, &global).await,
            Command::Repair(args) => repair::run(args, &global).await,
            Command::Layout(command) => layout::run(command, &global).await,
            Command::Members(command) => members::run(command, &global).await,
            Command::Bucket(command) => bucket::run(command, &global).await,
            Command::Bootstrap(args) => bootstrap::run(args, &global).await,
            Command::Import(args) => import::run(args, &global).await,
            Command::Export(args) => export::run(args, &global).await,
            Command::Chaos(args) => chaos::run(args, &global).await,
            Command::Bench(args) => bench::run(args, &global).await,
        }
    })
}
