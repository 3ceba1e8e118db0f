//! Schedules: what is done when.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;

use super::action::Action;
use super::random::RandomArgs;
use crate::args;

/// A day: whoever wants more has made a mistake.
const AT_MAX: Duration = Duration::from_secs(24 * 3600);

/// How schedules are written, for `--help`.
pub(super) const HELP: &str = "A schedule is lines of text; empty ones and those after # do not count:
  at 5s kill 2
  at 7s partition 1 2,3
  at 15s heal
  at 20s revive 2
  random --seed 7 --for 60s --every 5s --faults kill,pause,partition
Every action of `quorate chaos` can stand after `at TIME`, as it is typed there; times count from the start, in any order. At the
end, and after Ctrl-C, all nodes are resumed, revived and healed.";

/// One line of a schedule.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// This, at this time from the start.
    At(Duration, Action),
    /// Faults at random, from the start.
    Random(RandomArgs),
}

/// Its lines, with their numbers from 1; of a line that was not read from a file: 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schedule {
    pub(super) lines: Vec<(usize, Line)>,
}

/// Something to do at its time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) at: Duration,
    pub(super) action: Action,
}

impl Schedule {
    /// Reads a schedule. Errors name the line, and what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut lines = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            match parse_line(&words) {
                Ok(line) => lines.push((at + 1, line)),
                Err(reason) => bail!("line {}: {reason}", at + 1),
            }
        }
        if lines.is_empty() {
            bail!("the schedule is empty; `quorate chaos run --help` shows how one is written");
        }
        Ok(Self { lines })
    }

    /// All steps in their order, for a cluster of so many nodes.
    pub(super) fn steps(&self, nodes: usize) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for (number, line) in &self.lines {
            match line {
                Line::At(at, action) => steps.push(Step { at: *at, action: action.clone() }),
                Line::Random(random) => match random.steps(nodes) {
                    Ok(more) => steps.extend(more),
                    Err(error) if *number == 0 => return Err(error),
                    Err(error) => bail!("line {number}: {error}"),
                },
            }
        }
        // Stable: what is due together is done as it is written.
        steps.sort_by_key(|step| step.at);
        Ok(steps)
    }

    /// How long it goes on at least: what is random has ended only when its time is over.
    pub(super) fn duration(&self) -> Duration {
        let ends = self.lines.iter().map(|(_, line)| match line {
            Line::At(at, _) => *at,
            Line::Random(random) => random.duration,
        });
        ends.max().unwrap_or_default()
    }
}

/// What follows `at TIME`.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true)]
struct Do {
    #[command(subcommand)]
    action: Action,
}

/// What follows `random`.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Random {
    #[command(flatten)]
    random: RandomArgs,
}

fn parse_line(words: &[&str]) -> Result<Line, String> {
    match words {
        ["at", time, action @ ..] => {
            let at = args::duration(time).map_err(|reason| format!("at {time}: {reason}"))?;
            if at > AT_MAX {
                return Err(format!("at {time}: it is not from 0s to 24h"));
            }
            if action.is_empty() {
                return Err(format!("at {time}: what is to be done then is missing"));
            }
            let Do { action } = Do::try_parse_from(action).map_err(|error| one_line(&error))?;
            Ok(Line::At(at, action))
        }
        ["at"] => Err("the time is missing: at 5s kill 2".into()),
        ["random", options @ ..] => {
            let Random { random } = Random::try_parse_from(options).map_err(|error| one_line(&error))?;
            Ok(Line::Random(random))
        }
        [other, ..] => Err(format!("{other:?} is neither `at` nor `random`: at 5s kill 2")),
        [] => Err("it is empty".into()),
    }
}

/// The first paragraph of what clap says; the rest speaks of a command line.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_and_put_in_order() {
        let text = "# a bad day
            at 20s revive 2   # and a better end
            at 5s kill 2

            at 1500ms drop node-1 0.25 --to 3
            at 2s delay 1 50ms --jitter 20ms
            at 5s partition 1 2,3
            at 1m heal";
        let schedule = Schedule::parse(text).unwrap();
        let steps = schedule.steps(3).unwrap();
        let shown: Vec<String> = steps.iter().map(|step| format!("{:?} {}", step.at, step.action)).collect();
        assert_eq!(
            shown,
            [
                "1.5s drop node-1 0.25 --to 3",
                "2s delay 1 50ms --jitter 20ms",
                "5s kill 2",
                "5s partition 1 2,3",
                "20s revive 2",
                "60s heal"
            ]
        );
        assert_eq!(schedule.duration(), Duration::from_secs(60));
        // What an action is shown as is what is typed for it.
        for step in steps {
            let again = format!("at 1s {}", step.action);
            assert_eq!(
                Schedule::parse(&again).unwrap().lines,
                [(1, Line::At(Duration::from_secs(1), step.action))]
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told_with_its_number() {
        for (text, told) in [
            ("at 5s kill 2\nat 5 kill 2", "line 2: at 5: its unit is missing"),
            ("at 25h heal", "line 1: at 25h: it is not from 0s to 24h"),
            ("at", "line 1: the time is missing"),
            ("at 5s", "line 1: at 5s: what is to be done"),
            ("kill 2", "line 1: \"kill\" is neither `at` nor `random`"),
            ("at 5s klil 2", "line 1: unrecognized subcommand 'klil'"),
            ("at 5s kill", "line 1: the following required arguments were not provided: <NODE>"),
            ("at 5s kill 1 2", "line 1: unexpected argument '2' found"),
            ("at 5s kill 1,2", "it is not one node"),
            ("at 5s drop 1 1.5", "1.5 is not from 0 to 1"),
            ("at 5s drop 1 -1", "-1 is not from 0 to 1"),
            ("at 5s delay 1 2m", "it is not from 0s to 60s"),
            ("at 5s partition", "<GROUP>..."),
            ("at 5s partition 1,,2", "a node is missing"),
            ("random --for 0s", "it is not from 1s to 24h"),
            ("random --every 50ms", "it is not from 1s to 1h"),
            ("random --faults kill,flood", "invalid value 'flood'"),
            ("\n# nothing\n", "the schedule is empty"),
        ] {
            let error = Schedule::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{text:?}: {error}");
        }
        let alone = Schedule::parse("at 0s heal\nrandom --faults partition").unwrap().steps(1).unwrap_err();
        assert!(alone.to_string().starts_with("line 2: "), "{alone}");
    }
}
