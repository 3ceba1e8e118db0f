//! `cargo xtask`: the project's own chores.
#![expect(clippy::print_stdout, reason = "a command talks to its user")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quorate_xtask::planted::Selection;
use quorate_xtask::{crdgen, layering, monitoring, planted, tidy, workspace};

/// The project's own chores.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Plant bugs one by one, and prove that the simulator catches each.
    Planted {
        /// Only these, by name.
        names: Vec<String>,
        /// Only one third of them: 0, 1 or 2.
        #[arg(long, conflicts_with = "names", value_parser = clap::value_parser!(u8).range(0..3))]
        third: Option<u8>,
        /// How many seeds to hunt through for each.
        #[arg(long, default_value_t = 2000)]
        seeds: u64,
        /// Only say which there are.
        #[arg(long)]
        list: bool,
    },
    /// Write the definition of the resource for kubectl and for the chart.
    Crdgen {
        /// Only say which files differ from what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Prove that dependencies point one way, and that the core is pure.
    Layering,
    /// Look at every source file: its size, its doc, what must not be in it.
    Tidy,
    /// Check dashboards and alerts: every expression, what it names, and the chart's copies.
    Dashboards(monitoring::DashboardsArgs),
    /// Draw a dashboard from the series of a running Prometheus.
    Picture(monitoring::PictureArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let root = workspace();
    let broken = match Arguments::parse().chore {
        Chore::Planted { names, third, seeds, list } => {
            let selection = match third {
                Some(third) => Selection::Third(third),
                None if names.is_empty() => Selection::All,
                None => Selection::Names(names),
            };
            let bugs = selection.of(planted::read(&root)?)?;
            if list {
                for bug in &bugs {
                    println!("{:<32} {:<10} {}", bug.name, bug.family, bug.rule);
                }
                return Ok(ExitCode::SUCCESS);
            }
            planted::hunt_all(&root, &bugs, seeds)?
        }
        Chore::Crdgen { check: true } => crdgen::check(&root)?,
        Chore::Crdgen { check: false } => {
            crdgen::write(&root)?;
            Vec::new()
        }
        Chore::Layering => layering::check(&root)?,
        Chore::Tidy => {
            let report = tidy::check(&root)?;
            for warning in &report.warnings {
                println!("warning: {warning}");
            }
            report.errors
        }
        Chore::Dashboards(arguments) => monitoring::check(&root, &arguments)?,
        Chore::Picture(arguments) => {
            monitoring::draw(&root, &arguments)?;
            Vec::new()
        }
    };
    for line in &broken {
        println!("error: {line}");
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
