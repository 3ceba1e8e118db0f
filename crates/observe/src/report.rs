//! Rows for people and for programs.

use serde::Serialize;

use crate::analysis::Figures;
use crate::setting::Setting;

/// One setting and what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was asked for.
    #[serde(flatten)]
    pub setting: Setting,
    /// What was seen.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Row {
    /// Whether R + W > N, and a read was stale all the same.
    pub fn is_broken(&self) -> bool {
        self.setting.promises_freshness() && self.figures.stale_answers() > 0
    }
}

const COLUMNS: [&str; 16] = [
    "KEYS",
    "FAULTS",
    "MODE",
    "N",
    "R",
    "W",
    "R+W>N",
    "READS",
    "STALE",
    "OUTDATED",
    "MISSED",
    "GET MS",
    "PUT MS",
    "VISIBLE MS",
    "UNSEEN",
    "FAILED",
];

/// An aligned table, a heading first. Latencies are p50/p95/p99, visibility is p50/p99, MISSED is mean/max over the stale
/// reads.
pub fn table(rows: &[Row]) -> String {
    let mut cells = vec![COLUMNS.map(str::to_owned)];
    cells.extend(rows.iter().map(row_cells));
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let lines = cells.iter().map(|row| {
        let cells = row.iter().zip(&widths).enumerate();
        let padded = cells.map(
            |(at, (cell, &width))| {
                if at < 3 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
            },
        );
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn row_cells(row: &Row) -> [String; COLUMNS.len()] {
    let Row { setting, figures } = row;
    let latency = |quantiles: crate::Quantiles| {
        format!("{}/{}/{}", ms(quantiles.p50), ms(quantiles.p95), ms(quantiles.p99))
    };
    let missed = if figures.stale == 0 {
        "-".into()
    } else {
        format!("{:.1}/{}", figures.missed_mean, figures.missed_max)
    };
    [
        setting.keys.to_string(),
        setting.faults.to_string(),
        setting.mode.to_string(),
        setting.n.to_string(),
        setting.r.to_string(),
        setting.w.to_string(),
        if setting.quorums_meet() { "yes" } else { "no" }.into(),
        figures.reads.to_string(),
        percent(figures.stale, figures.stale_rate),
        percent(figures.outdated, figures.outdated_rate),
        missed,
        latency(figures.get_us),
        latency(figures.put_us),
        format!("{}/{}", ms(figures.visible_us.p50), ms(figures.visible_us.p99)),
        figures.unseen.to_string(),
        percent(figures.refused + figures.timed_out, figures.failure_rate()),
    ]
}

/// A share; nothing is `0` only if the count is.
pub(crate) fn percent(count: u64, share: f64) -> String {
    match share * 100.0 {
        _ if count == 0 => "0".into(),
        percent if percent < 0.095 => format!("{percent:.3}%"),
        percent if percent < 9.95 => format!("{percent:.2}%"),
        percent => format!("{percent:.1}%"),
    }
}

/// Milliseconds, to about two digits.
pub(crate) fn ms(us: u64) -> String {
    match us as f64 / 1000.0 {
        0.0 => "0".into(),
        ms if ms < 0.095 => format!("{ms:.2}"),
        ms if ms < 9.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// A line for each row after a line of names; times in microseconds, rates from 0 to 1. `fresh`: whether that is promised.
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::from(
        "keys,faults,mode,n,r,w,fresh,runs,reads,writes,stale,outdated,stale_rate,outdated_rate,missed_mean,missed_max,\
         get_p50_us,get_p95_us,get_p99_us,put_p50_us,put_p95_us,put_p99_us,visible_p50_us,visible_p95_us,\
         visible_p99_us,unseen,probes,stale_probes,asked,refused,timed_out,unnamed\n",
    );
    for Row { setting: s, figures: f } in rows {
        let times = [f.get_us, f.put_us, f.visible_us];
        let times: Vec<String> =
            times.iter().map(|times| format!("{},{},{}", times.p50, times.p95, times.p99)).collect();
        let fields = [
            format!("{},{},{}", s.keys, s.faults, s.mode),
            format!("{},{},{},{}", s.n, s.r, s.w, s.promises_freshness()),
            format!("{},{},{},{},{}", f.runs, f.reads, f.writes, f.stale, f.outdated),
            format!("{:.6},{:.6},{:.3},{}", f.stale_rate, f.outdated_rate, f.missed_mean, f.missed_max),
            times.join(","),
            format!("{},{},{},{}", f.unseen, f.probes, f.stale_probes, f.asked),
            format!("{},{},{}", f.refused, f.timed_out, f.unnamed),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::quantile::Quantiles;
    use crate::setting::{Faults, Keys, Mode};

    /// A full sweep with made-up figures.
    pub(crate) fn rows() -> Vec<Row> {
        let settings = Setting::sweep(&Keys::ALL, &Faults::ALL, &Mode::ALL, &[1, 3, 5], None, None);
        let row = |setting: Setting| {
            let stale = if setting.promises_freshness() { 0 } else { u64::from(setting.n) };
            let figures = Figures {
                runs: 2,
                reads: 200,
                stale,
                stale_rate: stale as f64 / 200.0,
                missed_max: stale,
                missed_mean: 1.5,
                get_us: Quantiles { p50: 40, p95: 4_200, p99: 12_345 },
                ..Figures::default()
            };
            Row { setting, figures }
        };
        settings.into_iter().map(row).collect()
    }

    #[test]
    fn columns_line_up() {
        let text = table(&rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 2 * 3 * 2 * 35);
        let at = lines[0].find("R+W>N").map(|at| at + 5);
        assert!(lines[1..].iter().all(|line| {
            let cell = at.and_then(|at| line.get(..at)).unwrap_or_default();
            cell.ends_with("yes") || cell.ends_with("no")
        }));
        assert!(text.contains("0.04/4.2/12"), "{}", lines[1]);
    }

    #[test]
    fn every_line_has_every_field() {
        let text = csv(&rows());
        let fields: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert!(fields.iter().all(|&count| count == 32), "{fields:?}");
        assert_eq!(fields.len(), 1 + 2 * 3 * 2 * 35);
        assert!(text.contains(
            "\nclustered,none,strict,3,1,1,false,2,200,0,3,0,0.015000,0.000000,1.500,3,40,4200,12345,"
        ));
    }

    #[test]
    fn a_stale_read_breaks_only_what_promises_freshness() {
        let mut rows = rows();
        assert!(rows.iter().all(|row| !row.is_broken()));
        for row in &mut rows {
            row.figures.stale_probes = 1;
        }
        assert_eq!(rows.iter().filter(|row| row.is_broken()).count(), 6 * 22);
    }

    #[test]
    fn rates_keep_their_digits() {
        assert_eq!(percent(0, 0.0), "0");
        assert_eq!(percent(1, 0.0001), "0.010%");
        assert_eq!(percent(27, 0.027), "2.70%");
        assert_eq!(percent(1, 1.0), "100.0%");
        assert_eq!([0, 40, 4_200, 12_345].map(ms), ["0", "0.04", "4.2", "12"]);
    }
}
