//! `quorate layout show`: the ring as a table, and as a picture.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use quorate_proto::v1;
use serde::Serialize;

use super::known::Known;
use super::svg::{self, Entry};
use super::votes::MissingVotes;
use super::waits;
use crate::args::Global;
use crate::output::{self, Format, Table};
use crate::status::{Gathered, gather};

/// Partitions in one line of the picture of the ring.
const ROW: usize = 64;
/// Marks of nodes in that picture; past them nodes share one.
const MARKS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

#[derive(Debug, Serialize)]
struct Shown {
    epoch: u64,
    n: u32,
    partitions: usize,
    members: Vec<ShownMember>,
    voters: Vec<String>,
    /// When too few voters answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_votes: Option<MissingVotes>,
    departed: Vec<String>,
    buckets: Vec<ShownBucket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<ShownChange>,
    /// For each partition the owners that answer reads, by id.
    owners: Vec<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct ShownMember {
    name: String,
    id: String,
    zone: String,
    weight: u32,
    /// Partitions that it owns, and of which it is the first owner.
    owned: usize,
    first: usize,
    /// In a change: those that it owns on the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<usize>,
    /// What the change does to it: `added`, `leaving` or `lost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    becomes: Option<&'static str>,
    peer: String,
}

#[derive(Debug, Serialize)]
struct ShownBucket {
    name: String,
    #[serde(flatten)]
    sizes: ShownSizes,
    /// In a change: its sizes afterwards. Writes count by both until then; reads by these from the second stage on.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<ShownSizes>,
}

#[derive(Debug, Serialize)]
struct ShownSizes {
    n: u32,
    r: u32,
    w: u32,
}

impl ShownSizes {
    fn in_words(&self) -> String {
        format!("n={} r={} w={}", self.n, self.r, self.w)
    }
}

#[derive(Debug, Serialize)]
struct ShownChange {
    began: u64,
    stage: &'static str,
    paused: bool,
    accepts_loss: bool,
    n: u32,
    waits: Vec<String>,
    /// Members that do not answer, lost ones not counted: how far they are is not among what follows.
    silent: Vec<String>,
    nodes: Vec<ShownPart>,
}

#[derive(Debug, Serialize)]
struct ShownPart {
    node: String,
    gathers: u32,
    caught_up: u32,
    leaves: u32,
    handed_over: u32,
    bytes_taken: u64,
    bytes_pending: u64,
    bytes_per_s: u64,
}

pub(super) async fn run(known: &Known, picture: Option<&Path>, global: &Global) -> Result<()> {
    let layout = &known.layout;
    let members = known.members();
    let owners = indices(layout, &layout.owners, &members);
    if let Some(file) = picture {
        let entries = entries(&members, &owners);
        let title = format!("epoch {}, {} partitions, n = {}", layout.epoch, owners.len(), layout.n);
        let svg = svg::ring(&title, &entries, &owners);
        std::fs::write(file, svg).with_context(|| format!("writing {}", file.display()))?;
    }
    let gathered = gather(std::slice::from_ref(&known.endpoint), false).await?;
    let change = layout.change.as_ref().map(|change| change_of(known, change, &gathered));
    let mut shown = shown(known, &members, &owners, change);
    shown.missing_votes = MissingVotes::of(layout, |node| gathered.answers.contains_key(&node));
    match global.output {
        Format::Json => output::json(&shown)?,
        Format::Table => show(&shown, &owners)?,
    }
    if let Some(file) = picture {
        output::note(format!("the picture is in {}", file.display()));
    }
    Ok(())
}

/// For each partition its owners as indices into the members as they are shown.
fn indices(layout: &v1::Layout, owners: &[v1::Owners], members: &[&v1::Member]) -> Vec<Vec<usize>> {
    let at = |id: u64| members.iter().position(|member| member.node_id == id);
    let owner = |&owner: &u32| at(layout.members.get(owner as usize)?.node_id);
    owners.iter().map(|owners| owners.members.iter().filter_map(owner).collect()).collect()
}

fn entries(members: &[&v1::Member], owners: &[Vec<usize>]) -> Vec<Entry> {
    let entry = |(at, member): (usize, &&v1::Member)| Entry {
        name: member.name.clone(),
        first: owners.iter().filter(|owners| owners.first() == Some(&at)).count(),
        owned: owners.iter().filter(|owners| owners.contains(&at)).count(),
    };
    members.iter().enumerate().map(entry).collect()
}

fn change_of(known: &Known, change: &v1::Change, gathered: &Gathered) -> ShownChange {
    let told: BTreeMap<u64, &v1::ChangeProgress> =
        gathered.answers.iter().filter_map(|(&id, status)| Some((id, status.change.as_ref()?))).collect();
    let part = |(&id, progress): (&u64, &&v1::ChangeProgress)| ShownPart {
        node: known.names.get(id),
        gathers: progress.gathers,
        caught_up: progress.caught_up,
        leaves: progress.leaves,
        handed_over: progress.handed_over,
        bytes_taken: progress.bytes_taken,
        bytes_pending: progress.bytes_pending,
        bytes_per_s: progress.bytes_per_s,
    };
    let mut waits = waits::all(&known.names, told.iter().map(|(&id, &progress)| (id, progress)));
    let silent = waits::silent(gathered, &change.lost);
    waits.extend(waits::for_silent(&known.names, &silent));
    ShownChange {
        began: change.began,
        stage: waits::stage_name(change.stage()),
        paused: change.paused,
        accepts_loss: change.accepts_loss,
        n: change.n,
        waits,
        silent: silent.iter().map(|&node| known.names.get(node)).collect(),
        nodes: told.iter().map(part).collect(),
    }
}

fn shown(
    known: &Known,
    members: &[&v1::Member],
    owners: &[Vec<usize>],
    change: Option<ShownChange>,
) -> Shown {
    let layout = &known.layout;
    let others = layout.change.as_ref().map(|change| indices(layout, &change.other_owners, members));
    let becomes = |id: u64| {
        let change = layout.change.as_ref()?;
        let stays = change.members.iter().any(|member| member.node_id == id);
        match () {
            () if change.lost.contains(&id) => Some("lost"),
            () if change.added.contains(&id) => Some("added"),
            () if !stays => Some("leaving"),
            () => None,
        }
    };
    let id = |id: u64| format!("{id:016x}");
    let member = |((at, member), entry): ((usize, &&v1::Member), Entry)| ShownMember {
        name: entry.name,
        id: id(member.node_id),
        zone: member.zone.clone(),
        weight: member.weight,
        owned: entry.owned,
        first: entry.first,
        other: others.as_ref().map(|others| others.iter().filter(|owners| owners.contains(&at)).count()),
        becomes: becomes(member.node_id),
        peer: member.peer_address.clone(),
    };
    Shown {
        epoch: layout.epoch,
        n: layout.n,
        partitions: owners.len(),
        members: members.iter().enumerate().zip(entries(members, owners)).map(member).collect(),
        voters: layout.voters.iter().map(|&node| known.names.get(node)).collect(),
        missing_votes: None,
        departed: layout.departed.iter().map(|&node| id(node)).collect(),
        buckets: layout
            .buckets
            .iter()
            .map(|bucket| ShownBucket {
                name: bucket.name.clone(),
                sizes: ShownSizes { n: bucket.n, r: bucket.r, w: bucket.w },
                after: sizes_after(layout, bucket.bucket_id),
            })
            .collect(),
        change,
        owners: owners
            .iter()
            .map(|owners| owners.iter().map(|&at| id(members[at].node_id)).collect())
            .collect(),
    }
}

fn sizes_after(layout: &v1::Layout, bucket: u64) -> Option<ShownSizes> {
    let sizes = layout.change.as_ref()?.sizes.iter().find(|sizes| sizes.bucket_id == bucket)?;
    Some(ShownSizes { n: sizes.n, r: sizes.r, w: sizes.w })
}

fn mark(at: usize) -> char {
    MARKS.get(at).map_or('*', |&mark| char::from(mark))
}

fn show(shown: &Shown, owners: &[Vec<usize>]) -> Result<()> {
    output::line(format!("epoch {}, {} partitions, n = {}", shown.epoch, shown.partitions, shown.n))?;
    let replicas: usize = owners.iter().map(Vec::len).sum();
    let mut table =
        Table::new(["", "NODE", "ID", "ZONE", "WEIGHT", "OWNS", "SHARE", "FIRST", "OTHER SIDE", "CHANGE"]);
    for (at, member) in shown.members.iter().enumerate() {
        let dash = || "-".to_owned();
        table.row([
            mark(at).to_string(),
            member.name.clone(),
            member.id.clone(),
            if member.zone.is_empty() { dash() } else { member.zone.clone() },
            member.weight.to_string(),
            member.owned.to_string(),
            format!("{:.1} %", 100.0 * member.owned as f64 / replicas.max(1) as f64),
            member.first.to_string(),
            member.other.map_or_else(dash, |other| other.to_string()),
            member.becomes.map_or_else(dash, str::to_owned),
        ]);
    }
    table.print()?;
    output::line(format!("voters: {}", shown.voters.join(", ")))?;
    if let Some(missing) = &shown.missing_votes {
        output::line(missing.in_words())?;
    }
    for bucket in &shown.buckets {
        let after = bucket.after.as_ref().map(|after| format!(", becoming {}", after.in_words()));
        output::line(format!(
            "bucket {}: {}{}",
            bucket.name,
            bucket.sizes.in_words(),
            after.unwrap_or_default()
        ))?;
    }
    output::line("the first owner of each partition:")?;
    for (at, row) in owners.chunks(ROW).enumerate() {
        let marks: String =
            row.iter().map(|owners| owners.first().map_or('-', |&first| mark(first))).collect();
        output::line(format!("{:>6} {marks}", at * ROW))?;
    }
    let Some(change) = &shown.change else { return Ok(()) };
    let paused = if change.paused { ", paused" } else { "" };
    output::line(format!(
        "change under way since epoch {}: {}{paused}, to n = {}",
        change.began, change.stage, change.n
    ))?;
    if !change.silent.is_empty() {
        let (told, all) = (change.nodes.len(), change.nodes.len() + change.silent.len());
        output::line(format!(
            "progress of {told} of {all} nodes; no answer from {}",
            change.silent.join(", ")
        ))?;
    }
    let mut table = Table::new(["NODE", "CAUGHT UP", "HANDED OVER", "TAKEN", "PENDING", "RATE"]);
    for part in &change.nodes {
        table.row([
            part.node.clone(),
            format!("{}/{}", part.caught_up, part.gathers),
            format!("{}/{}", part.handed_over, part.leaves),
            output::bytes(part.bytes_taken),
            output::bytes(part.bytes_pending),
            format!("{}/s", output::bytes(part.bytes_per_s)),
        ]);
    }
    table.print()?;
    for wait in &change.waits {
        output::line(format!("waits for {wait}"))?;
    }
    Ok(())
}
