//! The lines that `bench/compare` writes: what was compared, and then one for each run of each case.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// All runs by case, and what was compared.
#[derive(Debug)]
pub(super) struct Runs {
    /// Versions, the machine, how much of what: a word on each.
    pub(super) about: Vec<String>,
    cases: BTreeMap<String, Vec<Figures>>,
    ceilings: Vec<Ceilings>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    About { about: Vec<String> },
    Ceilings { ceilings: Ceilings },
    Case { case: String, report: Figures },
}

/// What one run of a case found, out of the report of `quorate bench`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Figures {
    pub(super) ops_per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) errors: u64,
}

/// What the machine could do at best, per second.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Ceilings {
    unary_echoes_per_second: f64,
    streamed_echoes_per_second: f64,
    fdatasyncs_per_second: f64,
}

/// A median, and how far the runs are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// Of at least one value; of an even number of them, the mean of the two in the middle.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: low.midpoint(high), least, most })
    }
}

/// The median of each figure of a case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Medians {
    pub(super) runs: usize,
    pub(super) ops_per_second: Spread,
    pub(super) p50_us: Spread,
    pub(super) p99_us: Spread,
    /// In all runs.
    pub(super) errors: u64,
}

impl Runs {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut runs = Self { about: Vec::new(), cases: BTreeMap::new(), ceilings: Vec::new() };
        for (at, line) in text.lines().enumerate() {
            let line = serde_json::from_str(line).with_context(|| format!("line {} of the runs", at + 1))?;
            match line {
                Line::About { about } => runs.about = about,
                Line::Ceilings { ceilings } => runs.ceilings.push(ceilings),
                Line::Case { case, report } => runs.cases.entry(case).or_default().push(report),
            }
        }
        ensure!(!runs.cases.is_empty(), "there are no runs");
        Ok(runs)
    }

    pub(super) fn case(&self, name: &str) -> Option<Medians> {
        let runs = self.cases.get(name)?;
        let spread = |figure: fn(&Figures) -> f64| Spread::of(runs.iter().map(figure).collect());
        Some(Medians {
            runs: runs.len(),
            ops_per_second: spread(|run| run.ops_per_second)?,
            p50_us: spread(|run| run.p50_us)?,
            p99_us: spread(|run| run.p99_us)?,
            errors: runs.iter().map(|run| run.errors).sum(),
        })
    }

    /// All cases, in the order of their names.
    pub(super) fn cases(&self) -> impl Iterator<Item = (&str, Medians)> {
        self.cases.keys().filter_map(|name| Some((name.as_str(), self.case(name)?)))
    }

    /// Unary echoes, streamed echoes and fdatasyncs per second.
    pub(super) fn ceilings(&self) -> Option<[Spread; 3]> {
        let spread = |figure: fn(&Ceilings) -> f64| Spread::of(self.ceilings.iter().map(figure).collect());
        Some([
            spread(|ceilings| ceilings.unary_echoes_per_second)?,
            spread(|ceilings| ceilings.streamed_echoes_per_second)?,
            spread(|ceilings| ceilings.fdatasyncs_per_second)?,
        ])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A line for each of these rates and p99s.
    pub(in crate::compare) fn lines(case: &str, figures: &[(f64, f64)]) -> String {
        let line = |(rate, p99): &(f64, f64)| {
            format!(
                "{{\"round\":1,\"case\":\"{case}\",\"report\":{{\"ops_per_second\":{rate},\"p50_us\":1,\"p99_us\":{p99},\"errors\":1}}}}\n"
            )
        };
        figures.iter().map(line).collect()
    }

    #[test]
    fn medians_are_in_the_middle() {
        let three = lines("a", &[(30.0, 1.0), (10.0, 9.0), (20.0, 2.0)]);
        let runs = Runs::parse(&(three + &lines("b", &[(1.0, 1.0), (2.0, 3.0)]))).expect("they are right");
        let a = runs.case("a").expect("it ran");
        assert_eq!(a.ops_per_second, Spread { median: 20.0, least: 10.0, most: 30.0 });
        assert_eq!((a.p99_us.median, a.runs, a.errors), (2.0, 3, 3));
        assert_eq!(runs.case("b").expect("it ran").p99_us.median, 2.0);
        assert!(runs.case("c").is_none() && runs.ceilings().is_none());
        assert_eq!(runs.cases().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_run_is_told_by_its_line() {
        let error = Runs::parse("{\"about\":[]}\n{\"case\":1}\n").expect_err("it is none");
        assert!(error.to_string().contains("line 2"), "{error:#}");
        assert!(Runs::parse("").is_err());
    }
}
