//! What is held against what.

use super::runs::{Medians, Runs};

/// How a figure is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// Operations a second: more is better.
    Rate,
    /// The 99th percentile of the latency: less is better.
    P99,
}

/// A case of Quorate's, and what etcd does in its place.
struct Comparison {
    what: &'static str,
    quorate: &'static str,
    /// In different ways; the better one counts.
    etcd: &'static [&'static str],
    figure: Figure,
    /// How many times better Quorate has to be, and shall be.
    floor_and_goal: Option<(f64, f64)>,
}

const COMPARISONS: [Comparison; 8] = [
    Comparison {
        what: "put, session, 96 in flight",
        quorate: "quorate-put-session-96",
        etcd: &["etcd-put-96", "etcd-put-96-leader"],
        figure: Figure::Rate,
        floor_and_goal: Some((4.0, 10.0)),
    },
    Comparison {
        what: "put, session, 768 in flight",
        quorate: "quorate-put-session-768",
        etcd: &["etcd-put-768", "etcd-put-768-leader"],
        figure: Figure::Rate,
        floor_and_goal: Some((3.0, 6.0)),
    },
    Comparison {
        what: "put, unary, 96 in flight",
        quorate: "quorate-put-unary-96",
        etcd: &["etcd-put-96", "etcd-put-96-leader"],
        figure: Figure::Rate,
        floor_and_goal: Some((1.5, 3.0)),
    },
    Comparison {
        what: "get (R=2), session, 96 in flight; linearizable get",
        quorate: "quorate-get-session-96",
        etcd: &["etcd-get-linearizable-96", "etcd-get-linearizable-96-leader"],
        figure: Figure::Rate,
        floor_and_goal: Some((3.0, 5.0)),
    },
    Comparison {
        what: "get (R=2), unary, 96 in flight; linearizable get",
        quorate: "quorate-get-unary-96",
        etcd: &["etcd-get-linearizable-96", "etcd-get-linearizable-96-leader"],
        figure: Figure::Rate,
        floor_and_goal: Some((1.0, 1.5)),
    },
    Comparison {
        what: "get (R=2), session, 96 in flight; serializable get",
        quorate: "quorate-get-session-96",
        etcd: &["etcd-get-serializable-96"],
        figure: Figure::Rate,
        floor_and_goal: None,
    },
    Comparison {
        what: "get (R=2), unary, 96 in flight; serializable get",
        quorate: "quorate-get-unary-96",
        etcd: &["etcd-get-serializable-96"],
        figure: Figure::Rate,
        floor_and_goal: None,
    },
    Comparison {
        what: "p99 of put, open loop, each at half of its own peak rate",
        quorate: "quorate-put-half",
        etcd: &["etcd-put-half"],
        figure: Figure::P99,
        floor_and_goal: Some((1.0, 1.0)),
    },
];

/// A line of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) figure: Figure,
    pub(super) quorate: Medians,
    /// None: it was not measured.
    pub(super) etcd: Option<Medians>,
    pub(super) floor_and_goal: Option<(f64, f64)>,
}

impl Row {
    /// How many times better Quorate is: more operations, or the other's latency by its own.
    pub(super) fn ratio(&self) -> Option<f64> {
        let etcd = self.etcd.as_ref()?;
        let ratio = match self.figure {
            Figure::Rate => self.quorate.ops_per_second.median / etcd.ops_per_second.median,
            Figure::P99 => etcd.p99_us.median / self.quorate.p99_us.median,
        };
        ratio.is_finite().then_some(ratio)
    }

    pub(super) fn value(&self, medians: &Medians) -> f64 {
        match self.figure {
            Figure::Rate => medians.ops_per_second.median,
            Figure::P99 => medians.p99_us.median,
        }
    }
}

/// Those that Quorate was measured in.
pub(super) fn rows(runs: &Runs) -> Vec<Row> {
    let row = |comparison: &Comparison| {
        let ways = comparison.etcd.iter().filter_map(|way| runs.case(way));
        let etcd = match comparison.figure {
            Figure::Rate => ways.max_by(|a, b| a.ops_per_second.median.total_cmp(&b.ops_per_second.median)),
            Figure::P99 => ways.min_by(|a, b| a.p99_us.median.total_cmp(&b.p99_us.median)),
        };
        Some(Row {
            what: comparison.what,
            figure: comparison.figure,
            quorate: runs.case(comparison.quorate)?,
            etcd,
            floor_and_goal: comparison.floor_and_goal,
        })
    };
    COMPARISONS.iter().filter_map(row).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::runs::tests::lines;
    use super::*;

    /// Runs of some cases.
    pub(in crate::compare) fn runs() -> Runs {
        let text = lines("quorate-put-session-96", &[(40.0, 1.0)])
            + &lines("etcd-put-96", &[(8.0, 1.0)])
            + &lines("etcd-put-96-leader", &[(10.0, 1.0)])
            + &lines("quorate-put-half", &[(1.0, 30.0)])
            + &lines("etcd-put-half", &[(1.0, 15.0)])
            + &lines("quorate-put-unary-96", &[(5.0, 1.0)])
            + &lines("quorate-get-session-96", &[(9.0, 1.0)])
            + &lines("redis-set-plain", &[(50.0, 1.0)]);
        Runs::parse(&text).expect("they are right")
    }

    #[test]
    fn the_peer_s_better_way_counts_and_more_is_always_better() {
        let rows = rows(&runs());
        let ratios: Vec<Option<f64>> = rows.iter().map(Row::ratio).collect();
        assert_eq!(ratios, [Some(4.0), Some(0.5), None, None, Some(0.5)]);
    }
}
