//! What a change waits for, in words.

use quorate_proto::v1;
use quorate_proto::v1::change_wait::Kind;

use super::known::Names;
use crate::status::Gathered;

/// One wait, of the node that told it.
pub(super) fn in_words(names: &Names, node: u64, wait: &v1::ChangeWait) -> String {
    let (nodes, partitions) = (names.list(&wait.nodes), of_partitions(wait.partitions));
    match wait.kind() {
        Kind::Unspecified => "something that this program does not know".into(),
        Kind::Resume => "somebody to resume it".into(),
        // All that are left answer, and these are too few.
        Kind::Reach if wait.nodes.is_empty() => format!(
            "more owners than are left of {partitions}: `quorate layout accept-loss --yes` goes on without what only lost ones held"
        ),
        Kind::Reach => format!("{nodes} to be reachable from {}, about {partitions}", names.get(node)),
        Kind::CatchUp => format!("{nodes} to catch up with {partitions}"),
        Kind::HandOver => format!("{nodes} to hand over {partitions}"),
        Kind::Report => format!("{nodes} to say that it knows of this stage"),
        Kind::Deliver => format!("{nodes} to bring what it keeps for others"),
        Kind::Votes => format!("the votes of {nodes}"),
    }
}

fn of_partitions(count: u32) -> String {
    if count == 1 { "1 partition".into() } else { format!("{count} partitions") }
}

/// All waits that these nodes tell of, each once.
pub(super) fn all<'a>(
    names: &Names,
    answers: impl Iterator<Item = (u64, &'a v1::ChangeProgress)>,
) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (node, progress) in answers {
        for wait in &progress.waits {
            let wait = in_words(names, node, wait);
            if !words.contains(&wait) {
                words.push(wait);
            }
        }
    }
    words
}

/// Members that do not answer, by id, but for those that the change takes for gone: nobody waits for these.
pub(super) fn silent(gathered: &Gathered, lost: &[u64]) -> Vec<u64> {
    let silent = gathered.silent.iter().map(|(peer, _)| peer.node_id);
    silent.filter(|node| !lost.contains(node)).collect()
}

/// That a change waits for these, one by one.
pub(super) fn for_silent(names: &Names, silent: &[u64]) -> Vec<String> {
    silent.iter().map(|&node| format!("{}, which does not answer", names.get(node))).collect()
}

/// What a stage does.
pub(super) fn stage(progress: &v1::ChangeProgress) -> &'static str {
    stage_name(progress.stage())
}

pub(super) fn stage_name(stage: v1::ChangeStage) -> &'static str {
    match stage {
        v1::ChangeStage::Unspecified => "unknown stage",
        v1::ChangeStage::Gather => "gather",
        v1::ChangeStage::HandOver => "hand over",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_name_nodes_and_partitions_once() {
        let member = |node_id, name: &str| v1::Member { node_id, name: name.into(), ..Default::default() };
        let members = vec![member(2, "node-2"), member(3, "node-3"), member(4, "node-4")];
        let names = Names::of(&v1::Layout { members, ..Default::default() });
        let wait =
            |kind: Kind, nodes: Vec<u64>, partitions| v1::ChangeWait { kind: kind.into(), nodes, partitions };
        let driver = v1::ChangeProgress {
            waits: vec![
                wait(Kind::CatchUp, vec![4], 12),
                wait(Kind::Votes, vec![2, 3], 0),
                wait(Kind::Reach, vec![3], 1),
                wait(Kind::Reach, Vec::new(), 7),
                wait(Kind::Resume, Vec::new(), 0),
            ],
            ..Default::default()
        };
        let other =
            v1::ChangeProgress { waits: vec![wait(Kind::Resume, Vec::new(), 0)], ..Default::default() };
        let expected = [
            "node-4 to catch up with 12 partitions",
            "the votes of node-2, node-3",
            "node-3 to be reachable from node-2, about 1 partition",
            "more owners than are left of 7 partitions: `quorate layout accept-loss --yes` goes on without what only lost ones held",
            "somebody to resume it",
        ];
        assert_eq!(all(&names, [(2, &driver), (4, &other)].into_iter()), expected);
    }
}
