//! Names and sentences for traces and violations.

use quorate_protocol::id::NodeId;
use quorate_protocol::layout::{Layout, Side};
use quorate_protocol::message::{Fetched, KeyDigest, KeyRef, Message, Refusal, ScannedKey, Surveyed};
use quorate_protocol::operation::{Attempted, Operation, OperationResult, Outcome, Ttl};
use quorate_protocol::version::{Container, Context, Dot, EncodedContainer, Sibling, peek};

use crate::host::Host;
use crate::oracle::Oracle;

/// The layout that a node adopts.
pub fn layout(layout: &Layout) -> String {
    let short = |nodes: &[NodeId]| {
        let names: Vec<String> = nodes.iter().map(|node| format!("{:04x}", node.0 >> 48)).collect();
        names.join(" ")
    };
    let sides = layout.all_partitions().map(|partition| {
        let old = short(layout.owners_of(partition, Side::Old));
        match layout.change_of(partition) {
            Some(_) => format!("[{old}] -> [{}]", short(layout.owners_of(partition, Side::New))),
            None => format!("[{old}]"),
        }
    });
    let sides: Vec<String> = sides.collect();
    let stage = layout.stage().map_or("stable".into(), |stage| format!("{stage:?}"));
    format!("adopts the layout of epoch {}, {stage}: {}", layout.epoch, sides.join(", "))
}

/// The name of a node: by its place in the cluster, from 1.
pub fn node(index: usize) -> String {
    format!("n{}", index + 1)
}

/// The name of the node with this identity.
pub fn node_of(hosts: &[Host], id: NodeId) -> String {
    hosts.iter().position(|host| host.id == id).map_or_else(|| id.to_string(), node)
}

/// A dot: the end of its actor's name is enough for a reader.
pub fn dot(dot: Dot) -> String {
    format!("{:04x}:{}", dot.actor.0 & 0xffff, dot.seq)
}

/// The name of an operation: its kind and its place in the run.
pub fn operation_name(oracle: &Oracle, operation: usize) -> String {
    let kind = match &oracle.operations[operation].operation {
        Operation::Put(_) => "put",
        Operation::Get(_) => "get",
        Operation::Delete(_) => "delete",
        Operation::List(_) => "list",
    };
    format!("{kind}#{operation}")
}

/// An operation with what it asks.
pub fn operation(oracle: &Oracle, at: usize) -> String {
    let name = operation_name(oracle, at);
    let quorum = oracle.operations[at].operation.quorum();
    let mut words = match &oracle.operations[at].operation {
        Operation::Put(put) => {
            let ttl = match put.ttl {
                Ttl::Bucket => String::new(),
                Ttl::Never => " for ever".into(),
                Ttl::After(ttl) => format!(" for {} ms", ttl.as_millis()),
            };
            format!("{name} of {}/{}{ttl} having seen {}", put.bucket, key(&put.key), token(&put.context))
        }
        Operation::Get(get) => format!("{name} of {}/{}", get.bucket, key(&get.key)),
        Operation::Delete(delete) => {
            format!("{name} of {}/{} having seen {}", delete.bucket, key(&delete.key), token(&delete.context))
        }
        Operation::List(list) => format!(
            "{name} of {} in partition {}, {} keys after {}",
            list.bucket,
            list.partition,
            list.limit,
            list.after.as_ref().map_or_else(|| "the start".into(), |after| key(after))
        ),
    };
    let asked = [("n", quorum.n), ("r", quorum.r), ("w", quorum.w), ("pr", quorum.pr), ("pw", quorum.pw)];
    for (field, value) in asked {
        if let Some(value) = value {
            words += &format!(", {field}={value}");
        }
    }
    words
}

/// A user's key.
pub fn key(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// A context: vector entries as `actor<=seq`, single dots as `actor:seq`.
pub fn context(context: &Context) -> String {
    let entries = context.vector().iter().map(|(actor, seq)| format!("{:04x}<={seq}", actor.0 & 0xffff));
    let list: Vec<String> = entries.chain(context.cloud().iter().map(|&single| dot(single))).collect();
    format!("{{{}}}", list.join(" "))
}

/// A context as a client holds it.
pub fn token(token: &[u8]) -> String {
    match peek(token) {
        Ok(seen) if seen.is_empty() => "nothing".into(),
        Ok(seen) => context(&seen),
        Err(error) => error.to_string(),
    }
}

fn siblings(list: &[Sibling]) -> String {
    let one = |sibling: &Sibling| {
        let value: String = sibling.value.escape_ascii().to_string().chars().take(12).collect();
        let until = sibling.expiry.map(|expiry| format!(" until {expiry}")).unwrap_or_default();
        format!("{}={value}{until}", dot(sibling.dot))
    };
    if list.is_empty() { "nothing".into() } else { list.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// What a container holds and covers.
pub fn container(encoded: &EncodedContainer) -> String {
    match encoded.decode() {
        Ok(Container { context: seen, siblings: list }) => {
            format!("[{} | {}]", siblings(&list), context(&seen))
        }
        Err(error) => error.to_string(),
    }
}

/// What one node says to another.
pub fn message(oracle: &Oracle, message: &Message) -> String {
    let request = |operation: &Operation| match operation {
        Operation::Put(put) => oracle
            .operation_of(put.operation)
            .map_or_else(|| "an unknown put".into(), |at| operation_name(oracle, at)),
        Operation::Get(get) => format!("a get of {}/{}", get.bucket, key(&get.key)),
        Operation::Delete(delete) => {
            format!(
                "a delete of {}/{} having seen {}",
                delete.bucket,
                key(&delete.key),
                token(&delete.context)
            )
        }
        Operation::List(list) => format!("a listing of {} in partition {}", list.bucket, list.partition),
    };
    match message {
        Message::Replicate { tag, key: at, container: encoded, .. } => {
            let wanted = tag.map_or("repair".into(), |tag| format!("replicate {}", short(tag.0)));
            format!("{wanted}: {} is {}", key(&at.key), container(encoded))
        }
        Message::ReplicateReply { tag, epoch, result } => match result {
            Ok(()) => format!("replicated {}, in epoch {epoch}", short(tag.0)),
            Err(why) => format!("not replicated {}: {}", short(tag.0), refusal(*why)),
        },
        Message::StoreHint { tag, key: at, container: encoded, target, .. } => {
            let what = container(encoded);
            format!("keep {} for {:04x}: {} is {what}", short(tag.0), target.0 & 0xffff, key(&at.key))
        }
        Message::Beat => "I am here".into(),
        Message::PurgeAsk { tag, partition, keys, .. } => {
            format!("may {} keys of partition {partition} be forgotten? {}", keys.len(), short(tag.0))
        }
        Message::PurgeVote { tag, result, .. } => match result {
            Ok(vote) => format!("forgetting {}: {:?}", short(tag.0), vote.confirmed),
            Err(why) => format!("no word on forgetting {}: {}", short(tag.0), refusal(*why)),
        },
        Message::Forget { keys, .. } => {
            let list: Vec<String> = keys.iter().map(|found| key(&found.key.key)).collect();
            format!("forget {}", list.join(", "))
        }
        Message::Fetch { tag, key: at, have, .. } => {
            let have = have.map_or("nothing".into(), |digest| format!("{:04x}", digest.0 & 0xffff));
            format!("fetch {}: what is {}? I have {have}", short(tag.0), key(&at.key))
        }
        Message::FetchReply { tag, result, .. } => match result {
            Ok(Fetched::Same) => format!("fetched {}: the same", short(tag.0)),
            Ok(Fetched::Container { container: encoded, .. }) => {
                format!("fetched {}: {}", short(tag.0), container(encoded))
            }
            Err(why) => format!("not fetched {}: {}", short(tag.0), refusal(*why)),
        },
        Message::Scan { tag, partition, after, limit, .. } => {
            let after = after.as_ref().map_or_else(|| "the start".into(), |after| key(after));
            format!("scan {}: {limit} keys of partition {partition} after {after}", short(tag.0))
        }
        Message::ScanReply { tag, result, .. } => match result {
            Ok(page) => {
                let one = |scanned: &ScannedKey| format!("{} ({})", key(&scanned.key), state(scanned));
                let list: Vec<String> = page.keys.iter().map(one).collect();
                let more = if page.more { ", and more" } else { "" };
                format!("scanned {}: [{}]{more}", short(tag.0), list.join(", "))
            }
            Err(why) => format!("not scanned {}: {}", short(tag.0), refusal(*why)),
        },
        Message::Forward { tag, timed } => format!(
            "forward {}: {} in {} us",
            short(tag.0),
            request(&timed.operation),
            timed.timeout.as_micros()
        ),
        Message::ForwardReply { tag, result } => {
            format!("forwarded {}: {}", short(tag.0), outcome(result))
        }
        Message::Recall => "what do you know of me?".into(),
        Message::Recalled { departed: true, .. } => "you have left the cluster".into(),
        Message::Recalled { life: None, .. } => "I know nothing of you".into(),
        Message::Recalled { life: Some(life), .. } => {
            format!("I have seen your boot {} ({}) up to {}", life.boot, life.start, life.sequence.0)
        }
        Message::LayoutRequest => "send me your layout".into(),
        Message::LayoutOffer(_) => "this is my layout".into(),
        Message::Prepare { epoch, ballot } => format!("prepare {}: the successor of {epoch}", ballot.round),
        Message::Prepared { ballot, result, .. } => match result {
            Ok(None) => format!("promised {}", ballot.round),
            Ok(Some((earlier, _))) => format!("promised {}: I have accepted {}", ballot.round, earlier.round),
            Err(promised) => format!("not promised {}: I have promised {}", ballot.round, promised.round),
        },
        Message::Accept { epoch, ballot, .. } => format!("accept {}: the successor of {epoch}", ballot.round),
        Message::Accepted { ballot, result, .. } => match result {
            Ok(()) => format!("accepted {}", ballot.round),
            Err(promised) => format!("not accepted {}: I have promised {}", ballot.round, promised.round),
        },
        Message::ReportAsk { epoch, .. } => format!("how far are you with the change, in epoch {epoch}?"),
        Message::ReportReply { report, .. } => format!(
            "I have caught up with {:?} and handed over {:?}{}",
            report.caught_up,
            report.handed_over,
            if report.keeps_nothing { "" } else { ", and keep hints" }
        ),
        Message::Survey { tag, partition, durable, .. } => {
            let how = if *durable { " durably" } else { "" };
            format!("survey {}: what do you hold{how} of partition {partition}?", short(tag.0))
        }
        Message::SurveyReply { tag, result, .. } => match result {
            Ok(Surveyed::Same) => format!("surveyed {}: the same", short(tag.0)),
            Ok(Surveyed::Leaves(_)) => format!("surveyed {}: something else", short(tag.0)),
            Ok(Surveyed::Unknown) => format!("surveyed {}: my tree is not complete", short(tag.0)),
            Err(why) => format!("not surveyed {}: {}", short(tag.0), refusal(*why)),
        },
        Message::Pull { tag, partition, leaves, after, .. } => {
            let after = after.as_ref().map_or_else(|| "the start".into(), |after| key(&after.key));
            format!("pull {}: {} leaves of partition {partition} after {after}", short(tag.0), leaves.len())
        }
        Message::PullReply { tag, result, .. } => match result {
            Ok(page) => {
                let one = |(at, encoded): &(KeyRef, EncodedContainer)| {
                    format!("{} is {}", key(&at.key), container(encoded))
                };
                let list: Vec<String> = page.records.iter().map(one).collect();
                let more = if page.through.is_some() { ", and more" } else { "" };
                format!("pulled {}: [{}]{more}", short(tag.0), list.join(", "))
            }
            Err(why) => format!("not pulled {}: {}", short(tag.0), refusal(*why)),
        },
        Message::Gossip(packet) => format!("gossip of {} bytes", packet.len()),
        Message::Compare { tag, roots, .. } => {
            let roots: Vec<String> =
                roots.iter().map(|(partition, root)| format!("{partition}={:04x}", root & 0xffff)).collect();
            format!("compare {}: {}", short(tag.0), roots.join(" "))
        }
        Message::CompareReply { tag, result, .. } => match result {
            Ok(compared) => {
                let differing: Vec<String> =
                    compared.differing.iter().map(|differing| differing.partition.to_string()).collect();
                let incomplete: Vec<String> = compared.incomplete.iter().map(ToString::to_string).collect();
                format!(
                    "compared {}: [{}] differ, [{}] are not complete",
                    short(tag.0),
                    differing.join(" "),
                    incomplete.join(" ")
                )
            }
            Err(why) => format!("not compared {}: {}", short(tag.0), refusal(*why)),
        },
        Message::Leaves { tag, partition, branches, .. } => {
            format!("leaves {}: of branches {branches:?} of partition {partition}", short(tag.0))
        }
        Message::LeavesReply { tag, result, .. } => match result {
            Ok(leaves) => format!("here are {} leaves {}", leaves.len(), short(tag.0)),
            Err(why) => format!("no leaves {}: {}", short(tag.0), refusal(*why)),
        },
        Message::Keys { tag, partition, leaves, after, .. } => {
            let after = after.as_ref().map_or_else(|| "the start".into(), |after| key(&after.key));
            format!("keys {}: in leaves {leaves:?} of partition {partition} after {after}", short(tag.0))
        }
        Message::KeysReply { tag, result, .. } => match result {
            Ok(page) => {
                let one =
                    |found: &KeyDigest| format!("{} {:04x}", key(&found.key.key), found.digest.0 & 0xffff);
                let list: Vec<String> = page.keys.iter().map(one).collect();
                let more = if page.through.is_some() { ", and more" } else { "" };
                format!("keys {}: [{}]{more}", short(tag.0), list.join(", "))
            }
            Err(why) => format!("no keys {}: {}", short(tag.0), refusal(*why)),
        },
        Message::Exchange { key: at, container: encoded, .. } => {
            format!("exchange: {} is {}", key(&at.key), container(encoded))
        }
        Message::Heal { tag, key: at, .. } => {
            format!("heal {}: I have lost {}, what do you hold?", short(tag.0), key(&at.key))
        }
        Message::HealReply { tag, result, .. } => match result {
            Ok(healing) => format!("heal {}: I hold {}", short(tag.0), container(&healing.container)),
            Err(why) => format!("heal {}: not now: {}", short(tag.0), refusal(*why)),
        },
    }
}

fn state(scanned: &ScannedKey) -> &'static str {
    match (scanned.doubtful, scanned.live_until_ms) {
        (true, _) => "doubtful",
        (false, 0) => "deleted",
        (false, _) => "live",
    }
}

fn short(number: u64) -> String {
    format!("{:04x}", number & 0xffff)
}

fn refusal(why: Refusal) -> String {
    match why {
        Refusal::Epoch(mine) => format!("my epoch is {mine}"),
        Refusal::NotOwner => "I do not own it".into(),
        Refusal::Overloaded => "overloaded".into(),
        Refusal::Storage => "my storage does not".into(),
        Refusal::TooOld => "too old".into(),
        Refusal::NothingKept => "I keep nothing of it".into(),
        Refusal::Hole => "my record of it is damaged".into(),
    }
}

/// How an operation ended.
pub fn outcome(result: &OperationResult) -> String {
    match result {
        Ok(Outcome::Put(written) | Outcome::Delete(written)) => {
            format!(
                "done on {} and {} fallbacks, seen {}",
                written.primaries,
                written.fallbacks,
                token(&written.context)
            )
        }
        Ok(Outcome::Get(found)) => format!(
            "found {} by {}, seen {}",
            siblings(&found.siblings),
            found.primaries,
            token(&found.context)
        ),
        Ok(Outcome::List(listed)) => {
            let list: Vec<String> = listed.keys.iter().map(|listed| key(listed)).collect();
            let next = listed
                .next
                .as_ref()
                .map_or_else(|| "the end".into(), |next| format!("more after {}", key(next)));
            format!("listed [{}], then {next}", list.join(", "))
        }
        Err(error) => {
            let attempted = match error.attempted {
                Attempted::NotAttempted => "nothing done",
                Attempted::Indeterminate => "may be done",
            };
            format!("failed ({attempted}): {}", error.failure)
        }
    }
}
