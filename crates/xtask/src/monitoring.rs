//! Dashboards and alerts against what is exported, and a picture of what a dashboard shows.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use quorate_dashboards::{Part, Prometheus, Scrape, drifted, fetch, incomplete_alerts, missing, picture};
use quorate_dashboards::{unparsable, write};

/// Of `cargo xtask dashboards`.
#[derive(Debug, Args)]
pub struct DashboardsArgs {
    /// Make the chart's copies anew.
    #[arg(long)]
    write: bool,
    /// Files in Prometheus' text format, or addresses of them: nodes after traffic, or controllers. What dashboards and alerts name of
    /// this part must be in one of them.
    #[arg(long, num_args = 1.., value_name = "FILE_OR_URL")]
    scrape: Vec<String>,
    /// Whose scrapes these are.
    #[arg(long, value_enum, default_value = "nodes")]
    of: Of,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    Nodes,
    Controller,
}

/// Of `cargo xtask picture`.
#[derive(Debug, Args)]
pub struct PictureArgs {
    /// The HTTP API of a Prometheus that scrapes the nodes with the labels namespace, cluster and pod.
    #[arg(long, default_value = "http://127.0.0.1:9090", value_name = "URL")]
    prometheus: String,
    /// Which dashboard, by its uid.
    #[arg(long, default_value = "quorate")]
    dashboard: String,
    /// The label `namespace` of the cluster.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The label `cluster`.
    #[arg(long)]
    cluster: String,
    /// How far to look back, in seconds.
    #[arg(long, default_value_t = 300)]
    seconds: u32,
    /// Where to write it, as SVG.
    #[arg(long, short, default_value = "docs/dashboard.svg", value_name = "FILE")]
    out: PathBuf,
}

/// Returns what is wrong with dashboards, alerts and the chart's copies.
pub fn check(root: &Path, arguments: &DashboardsArgs) -> anyhow::Result<Vec<String>> {
    if arguments.write {
        write(root)?;
    }
    let mut wrong = unparsable(root)?;
    wrong.extend(incomplete_alerts(root)?);
    wrong.extend(drifted(root)?);
    if !arguments.scrape.is_empty() && wrong.is_empty() {
        let mut scrape = Scrape::default();
        for from in &arguments.scrape {
            let text = if from.contains("://") {
                fetch(from)?
            } else {
                std::fs::read_to_string(from).with_context(|| format!("reading {from}"))?
            };
            scrape.add(&text).map_err(|error| anyhow::anyhow!("{from}: {error}"))?;
        }
        let part = match arguments.of {
            Of::Nodes => Part::Nodes,
            Of::Controller => Part::Controller,
        };
        wrong.extend(missing(root, part, &scrape)?);
    }
    Ok(wrong)
}

/// Draws a dashboard of the time up to now.
pub fn draw(root: &Path, arguments: &PictureArgs) -> anyhow::Result<()> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let prometheus = Prometheus { url: arguments.prometheus.trim_end_matches('/').to_owned() };
    let whose = (arguments.namespace.as_str(), arguments.cluster.as_str());
    let time = (now_s - f64::from(arguments.seconds), now_s);
    let text = picture(root, &arguments.dashboard, &prometheus, whose, time)?;
    std::fs::write(&arguments.out, text).with_context(|| format!("writing {}", arguments.out.display()))
}
