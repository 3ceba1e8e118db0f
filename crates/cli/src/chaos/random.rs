//! Faults at random, one after another, each mended before the next.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::action::{Action, Group, NodeName, time};
use super::schedule::{Line, Schedule, Step};
use crate::args;

/// Break one thing after another at random, each for a while, and mend everything at the end (and after Ctrl-C).
#[derive(Clone, Debug, PartialEq, Args)]
pub(super) struct RandomArgs {
    /// The same seed does the same [default: a new one, which is shown].
    #[arg(long)]
    seed: Option<u64>,
    /// For how long, from 1s to 24h.
    #[arg(long = "for", value_name = "TIME", value_parser = total, default_value = "60s")]
    pub(super) duration: Duration,
    /// How often something breaks, from 1s to 1h. It is mended after a third to four fifths of this.
    #[arg(long, value_name = "TIME", value_parser = pace, default_value = "5s")]
    every: Duration,
    /// What may happen.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["kill", "pause", "partition"])]
    faults: Vec<FaultKind>,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FaultKind {
    /// A node is killed, and revived.
    Kill,
    /// A node is paused, and resumed.
    Pause,
    /// The nodes fall into two groups that do not hear each other.
    Partition,
    /// A node loses a part of what it sends.
    Drop,
    /// What a node sends arrives late.
    Delay,
}

impl RandomArgs {
    /// A schedule of only this, with its seed chosen.
    pub(super) fn schedule(&self) -> Schedule {
        Schedule { lines: vec![(0, Line::Random(self.seeded()))] }
    }

    /// The same with a seed.
    pub(super) fn seeded(&self) -> Self {
        // Short enough to be typed again.
        let seed = self.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
        Self { seed: Some(seed), ..self.clone() }
    }

    /// As it is typed.
    pub(super) fn shown(&self) -> String {
        let names =
            self.faults.iter().filter_map(|kind| Some(kind.to_possible_value()?.get_name().to_owned()));
        let seed = self.seed.map_or(String::new(), |seed| format!(" --seed {seed}"));
        format!(
            "random{seed} --for {} --every {} --faults {}",
            time(self.duration),
            time(self.every),
            names.collect::<Vec<_>>().join(",")
        )
    }

    /// Whether messages may be lost or delayed, whatever the seed draws.
    pub(super) fn touches_messages(&self) -> bool {
        self.faults.iter().any(|kind| !matches!(kind, FaultKind::Kill | FaultKind::Pause))
    }

    /// What happens to a cluster of so many nodes: a pure function of the seed, the options and the number.
    pub(super) fn steps(&self, nodes: usize) -> Result<Vec<Step>> {
        ensure!(
            self.every <= self.duration,
            "--every {}: nothing would happen in {}",
            time(self.every),
            time(self.duration)
        );
        ensure!(
            nodes > 1 || !self.touches_messages(),
            "of one node there is nothing to partition, to lose or to delay"
        );
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed.unwrap_or_default());
        let mut steps = Vec::new();
        let mut begin = Duration::ZERO;
        while begin + self.every <= self.duration {
            let kind = *self.faults.choose(&mut rng).unwrap_or(&FaultKind::Kill);
            let (broken, mended) = fault(kind, nodes, &mut rng);
            let lasts = self.every.mul_f64(rng.random_range(0.33..0.8));
            steps.push(Step { at: begin, action: broken });
            steps.push(Step { at: begin + lasts, action: mended });
            begin += self.every;
        }
        Ok(steps)
    }
}

/// A fault, and its end.
fn fault(kind: FaultKind, nodes: usize, rng: &mut impl Rng) -> (Action, Action) {
    let node = NodeName::number(rng.random_range(0..nodes));
    match kind {
        FaultKind::Kill => (Action::Kill { node: node.clone() }, Action::Revive { node }),
        FaultKind::Pause => (Action::Pause { node: node.clone() }, Action::Resume { node }),
        FaultKind::Partition => {
            let mut all: Vec<usize> = (0..nodes).collect();
            all.shuffle(rng);
            let (one, other) = all.split_at(rng.random_range(1..nodes));
            let group = |side: &[usize]| {
                let mut side = side.to_vec();
                side.sort_unstable();
                Group(side.into_iter().map(NodeName::number).collect())
            };
            (Action::Partition { groups: vec![group(one), group(other)] }, Action::Heal)
        }
        FaultKind::Drop => {
            let fraction = f64::from(rng.random_range(1..=9_u8)) / 10.0;
            (Action::Drop { node, fraction, to: None }, Action::Heal)
        }
        FaultKind::Delay => {
            let delay = Duration::from_millis(rng.random_range(1..=50) * 10);
            (Action::Delay { node, delay, jitter: delay / 2, to: None }, Action::Heal)
        }
    }
}

fn total(text: &str) -> Result<Duration, String> {
    bounded(text, Duration::from_secs(24 * 3600), "24h")
}

fn pace(text: &str) -> Result<Duration, String> {
    bounded(text, Duration::from_secs(3600), "1h")
}

fn bounded(text: &str, max: Duration, shown: &str) -> Result<Duration, String> {
    let time = args::duration(text)?;
    if (Duration::from_secs(1)..=max).contains(&time) {
        Ok(time)
    } else {
        Err(format!("it is not from 1s to {shown}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    fn random(text: &str) -> RandomArgs {
        let schedule = Schedule::parse(text).unwrap();
        match schedule.lines.into_iter().next().unwrap().1 {
            Line::Random(random) => random,
            Line::At(..) => panic!("{text}"),
        }
    }

    #[test]
    fn a_seed_says_everything() {
        let one = random("random --seed 7 --for 10m --every 1s --faults kill,pause,partition,drop,delay");
        let steps = one.steps(5).unwrap();
        assert_eq!(steps, random(&one.shown()).steps(5).unwrap());
        assert_ne!(steps, RandomArgs { seed: Some(8), ..one.clone() }.steps(5).unwrap());
        assert_eq!(steps.len(), 2 * 600);
        for pair in steps.chunks(2) {
            let [broken, mended] = pair else { panic!("{pair:?}") };
            assert!(broken.at < mended.at && mended.at - broken.at < Duration::from_secs(1));
            match (&broken.action, &mended.action) {
                (Action::Kill { node }, Action::Revive { node: same })
                | (Action::Pause { node }, Action::Resume { node: same }) => assert_eq!(node, same),
                (Action::Partition { groups }, Action::Heal) => {
                    assert!(groups.len() == 2 && groups.iter().all(|group| !group.0.is_empty()));
                    assert_eq!(groups.iter().map(|group| group.0.len()).sum::<usize>(), 5);
                }
                (Action::Drop { .. } | Action::Delay { .. }, Action::Heal) => {}
                other => panic!("{other:?}"),
            }
            // What is planned can be typed.
            Schedule::parse(&format!("at 1s {}", broken.action)).unwrap();
        }
        let happens = |kind: &str| steps.iter().any(|step| step.action.to_string().starts_with(kind));
        assert!(["kill", "pause", "partition", "drop", "delay"].into_iter().all(happens));
        assert_eq!(one.seeded(), one);
        assert!(random("random").seeded().shown().contains("--seed "));
    }

    #[test]
    fn one_node_can_only_die_or_stand_still() {
        assert!(random("random --faults kill,pause").steps(1).is_ok());
        assert!(random("random").steps(1).is_err());
    }

    #[test]
    fn something_happens() {
        assert_eq!(random("random --for 5s --every 5s").steps(3).unwrap().len(), 2);
        let error = random("random --for 3s --every 5s").steps(3).unwrap_err().to_string();
        assert_eq!(error, "--every 5s: nothing would happen in 3s");
    }
}
