//! The figures as a table of Markdown, and as comma-separated values.

use std::fmt::Write as _;

use super::rows::{Figure, Row};
use super::runs::{Medians, Runs, Spread};

/// Cases that nothing is held against.
const REFERENCES: [(&str, &str); 4] = [
    ("redis, one node, `appendfsync always`: set, 96 connections, one in flight on each", "redis-set-plain"),
    ("the same: get", "redis-get-plain"),
    ("the same: set, 96 connections, pipelined by 32", "redis-set-pipelined"),
    ("the same: get, 96 connections, pipelined by 32", "redis-get-pipelined"),
];

/// Two tables: comparisons, and references.
pub(super) fn markdown(runs: &Runs, rows: &[Row]) -> String {
    let mut text = runs.about.join("; ");
    text.push_str("\n\n| medians (least to most) | Quorate | etcd | ratio | floor | goal |\n| --- | --- | --- | --- | --- | --- |\n");
    for row in rows {
        let etcd = row.etcd.as_ref().map_or("not measured".into(), |etcd| figure(row, etcd));
        let ratio = row.ratio();
        let shown = ratio.map_or(String::new(), times);
        let (floor, goal) = match row.floor_and_goal {
            None => (String::new(), String::new()),
            Some((floor, goal)) => (held(floor, ratio), held(goal, ratio)),
        };
        let quorate = figure(row, &row.quorate);
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} | {quorate} | {etcd} | {shown} | {floor} | {goal} |", row.what);
    }
    text.push_str("\n| for reference, a second | median (least to most) |\n| --- | --- |\n");
    for (what, case) in REFERENCES {
        if let Some(medians) = runs.case(case) {
            let _ = writeln!(text, "| {what} | {} |", spread(&medians.ops_per_second, &number));
        }
    }
    if let Some(ceilings) = runs.ceilings() {
        let names = [
            "bare unary gRPC echo, 96 in flight",
            "bare streamed gRPC echo, 96 in flight",
            "4 KiB append and fdatasync",
        ];
        for (name, ceiling) in names.iter().zip(&ceilings) {
            let _ = writeln!(text, "| {name} | {} |", spread(ceiling, &number));
        }
    }
    let errors: Vec<String> = runs
        .cases()
        .filter(|(_, medians)| medians.errors > 0)
        .map(|(case, medians)| format!("{case} {}", medians.errors))
        .collect();
    if !errors.is_empty() {
        let _ = writeln!(text, "\nOperations that failed: {}.", errors.join(", "));
    }
    text.trim_end().to_owned()
}

fn figure(row: &Row, medians: &Medians) -> String {
    match row.figure {
        Figure::Rate => format!("{}/s", spread(&medians.ops_per_second, &number)),
        Figure::P99 => {
            let ms = |us: f64| format!("{:.1}", us / 1e3);
            let rate = number(medians.ops_per_second.median);
            format!("{} ms at {rate}/s", spread(&medians.p99_us, &ms))
        }
    }
}

fn spread(spread: &Spread, show: &dyn Fn(f64) -> String) -> String {
    format!("{} ({} to {})", show(spread.median), show(spread.least), show(spread.most))
}

/// A bound, and whether it is met.
fn held(bound: f64, ratio: Option<f64>) -> String {
    match ratio {
        None => times(bound),
        Some(ratio) if ratio >= bound => format!("{}, met", times(bound)),
        Some(_) => format!("{}, missed", times(bound)),
    }
}

pub(super) fn times(ratio: f64) -> String {
    format!("{ratio:.1}x")
}

/// With commas between thousands.
pub(super) fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All cases.
pub(super) fn csv(runs: &Runs) -> String {
    let mut text =
        "case,runs,ops_per_second,ops_per_second_least,ops_per_second_most,p50_us,p99_us,p99_us_least,p99_us_most,errors\n"
            .to_owned();
    for (case, medians) in runs.cases() {
        let Medians { runs, ops_per_second: rate, p50_us, p99_us, errors } = medians;
        let _ = writeln!(
            text,
            "{case},{runs},{:.0},{:.0},{:.0},{:.0},{:.0},{:.0},{:.0},{errors}",
            rate.median, rate.least, rate.most, p50_us.median, p99_us.median, p99_us.least, p99_us.most
        );
    }
    let names = ["ceiling-unary-echo", "ceiling-streamed-echo", "ceiling-fdatasync"];
    for (name, ceiling) in names.iter().zip(runs.ceilings().iter().flatten()) {
        let _ = writeln!(text, "{name},,{:.0},{:.0},{:.0},,,,,", ceiling.median, ceiling.least, ceiling.most);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::rows::{rows, tests::runs};
    use super::*;

    #[test]
    fn every_comparison_and_reference_has_a_line() {
        let runs = runs();
        let text = markdown(&runs, &rows(&runs));
        for line in [
            "| put, session, 96 in flight | 40 (40 to 40)/s | 10 (10 to 10)/s | 4.0x | 4.0x, met | 10.0x, missed |",
            "| put, unary, 96 in flight | 5 (5 to 5)/s | 10 (10 to 10)/s | 0.5x | 1.5x, missed | 3.0x, missed |",
            "| 0.0 (0.0 to 0.0) ms at 1/s | 0.0 (0.0 to 0.0) ms at 1/s | 0.5x | 1.0x, missed | 1.0x, missed |",
            "| 9 (9 to 9)/s | not measured |  | 3.0x | 5.0x |",
            "one in flight on each | 50 (50 to 50) |",
            "Operations that failed: etcd-put-96 1,",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn values_are_separated_and_numbers_grouped() {
        let text = csv(&runs());
        let columns = |line: &str| line.matches(',').count();
        assert!(text.lines().all(|line| columns(line) == 9), "{text}");
        assert_eq!(["7", "700", "7,000", "1,234,567"], [7.0, 700.0, 7e3, 1_234_567.2].map(number)[..]);
    }
}
