//! The shopping cart of the Dynamo paper (DeCandia et al., 2007, sections 4.4 and 6.1), step by step.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use super::shop::{Door, Items, Seen, Writers, items, show};
use crate::dev::{ClusterOptions, LocalCluster};
use crate::output::{self, Done};
use crate::settings::ClusterSettings;

/// The node that is killed: neither Alice's nor Bob's.
const VICTIM: usize = 2;

pub(super) async fn run() -> Result<Done> {
    let directory = tempfile::Builder::new().prefix("quorate-demo-").tempdir();
    let directory = directory.context("making a directory for the data")?;
    let mut teller = Teller { step: 0 };
    teller.step(
        "A cluster of three nodes. Every key is on all three; two must answer, two must acknowledge.",
    )?;
    let options = ClusterOptions {
        directory: directory.path().to_owned(),
        nodes: Some(3),
        settings: ClusterSettings { n: Some(3), r: Some(2), w: Some(2), buckets: Vec::new() },
        port_base: Some(0),
        unsafe_fault_injection: false,
        node_settings: Vec::new(),
    };
    let mut cluster = LocalCluster::start(options).await?;
    let told = tell(&mut cluster, &mut teller).await;
    cluster.stop().await;
    told?;
    Ok(Done::Ok)
}

async fn tell(cluster: &mut LocalCluster, teller: &mut Teller) -> Result<()> {
    let nodes = cluster.nodes();
    for node in &nodes {
        teller.detail(&format!("{} on {} (pid {})", node.name, node.grpc, node.pid))?;
    }
    let doors = nodes.iter().map(|node| Door::new(&node.name, &node.grpc)).collect::<Result<Vec<_>>>()?;
    let [mut alice, mut bob, mut third] =
        <[Door; 3]>::try_from(doors).ok().context("there are three nodes")?;
    let writers = &mut Writers::default();

    teller.step("Alice puts a book into the cart she shares with Bob, through node-1.")?;
    let first = items(["book"]);
    let context = alice.write(&first, &Bytes::new()).await?;
    teller.wrote(&first, &writers.clock(&context, &alice.node)?)?;

    teller.step("Both look at it, Alice through node-1, Bob through node-2, and get the same context.")?;
    let (alices, bobs) = (alice.read(2).await?, bob.read(2).await?);
    ensure!(alices.carts == [first.clone()] && bobs.carts == [first], "both see the book");
    ensure!(alices.context == bobs.context, "they have seen the same");
    teller.saw(&alices, &writers.clock(&alices.context, &alice.node)?)?;

    teller.step("Now each adds something without knowing of the other: Alice a pen, Bob a mug.")?;
    let (with_pen, with_mug) = (items(["book", "pen"]), items(["book", "mug"]));
    let after_pen = alice.write(&with_pen, &alices.context).await?;
    teller.wrote(&with_pen, &writers.clock(&after_pen, &alice.node)?)?;
    let after_mug = bob.write(&with_mug, &bobs.context).await?;
    teller.wrote(&with_mug, &writers.clock(&after_mug, &bob.node)?)?;

    teller
        .step("Neither write had seen the other, so neither replaces it. A read through node-3 gets both.")?;
    let seen = third.read(2).await?;
    ensure!(seen.carts == [with_mug, with_pen], "both siblings come back, not {:?}", seen.carts);
    teller.saw(&seen, &writers.clock(&seen.context, &third.node)?)?;

    let victim = &nodes[VICTIM];
    teller.step(&format!("{} dies: SIGKILL to pid {}.", victim.name, victim.pid))?;
    cluster.kill(VICTIM).await?;

    teller.step("Alice's client merges what it reads (all that anybody has added) and writes it with the context of both.")?;
    let seen = alice.read(2).await?;
    ensure!(seen.carts.len() == 2, "the siblings are still there with one node dead");
    let merged: Items = seen.carts.iter().flatten().cloned().collect();
    let after_merge = alice.write(&merged, &seen.context).await?;
    teller.wrote(&merged, &writers.clock(&after_merge, &alice.node)?)?;

    teller
        .step("Bob sees one cart again, and adds a lamp. Two of three nodes are enough for all of this.")?;
    let seen = bob.read(2).await?;
    ensure!(seen.carts == [items(["book", "mug", "pen"])], "the merge has replaced both siblings");
    teller.saw(&seen, &writers.clock(&seen.context, &bob.node)?)?;
    let mut with_lamp = merged;
    with_lamp.insert("lamp".into());
    let after_lamp = bob.write(&with_lamp, &seen.context).await?;
    teller.wrote(&with_lamp, &writers.clock(&after_lamp, &bob.node)?)?;

    teller.step(&format!("{} comes back, with what it had on its disk when it died.", victim.name))?;
    cluster.revive(VICTIM).await?;
    cluster.wait_ready().await?;
    let revived = cluster.nodes().swap_remove(VICTIM);
    teller.detail(&format!("{} on {} (pid {})", revived.name, revived.grpc, revived.pid))?;

    teller.step(
        "A read through it that all three must answer: what it missed is there, and is repaired on its disk.",
    )?;
    let mut third = Door::new(&revived.name, &revived.grpc)?;
    let seen = third.read(3).await?;
    let everything = items(["book", "lamp", "mug", "pen"]);
    ensure!(seen.carts == [everything], "one cart with everything, not {:?}", seen.carts);
    teller.saw(&seen, &writers.clock(&seen.context, &third.node)?)?;

    teller.end("Four items went in, through three nodes, one of which died: four came out. Nothing was lost.")
}

/// Tells the story, in numbered steps.
struct Teller {
    step: u32,
}

impl Teller {
    fn step(&mut self, text: &str) -> Result<()> {
        self.step += 1;
        output::line(format!("{}{}. {text}", if self.step > 1 { "\n" } else { "" }, self.step))
    }

    fn detail(&self, text: &str) -> Result<()> {
        output::line(format!("     {text}"))
    }

    fn wrote(&self, cart: &Items, clock: &str) -> Result<()> {
        self.detail(&format!("put {}  ->  context {clock}", show(cart)))
    }

    fn saw(&self, seen: &Seen, clock: &str) -> Result<()> {
        match seen.carts.as_slice() {
            [cart] => self.detail(&format!("got {}, context {clock}", show(cart))),
            carts => {
                for (at, cart) in carts.iter().enumerate() {
                    self.detail(&format!("sibling {} of {}: {}", at + 1, carts.len(), show(cart)))?;
                }
                self.detail(&format!("one context for both: {clock}"))
            }
        }
    }

    fn end(&self, text: &str) -> Result<()> {
        output::line(format!("\n{text}"))
    }
}
