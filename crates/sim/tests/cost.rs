//! The model of how many messages things cost (docs/PERFORMANCE.md) is what the core sends.

use std::time::Duration;

use quorate_protocol::Limits;
use quorate_sim::cost::{Row, Size, background, change, csv, model, operations, table};

fn size(nodes: usize, partitions: u32, n: u32) -> Size {
    Size { nodes, partitions, n, r: n / 2 + 1, w: n / 2 + 1 }
}

fn all_right(rows: &[Row]) {
    let wrong: Vec<&Row> = rows.iter().filter(|row| !row.is_right()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is equal to a model that says 0 of everything proves nothing.
    assert!(rows.iter().any(|row| row.model > 0.0));
}

fn counted(rows: &[Row], what: &str) -> f64 {
    rows.iter().find(|row| row.what == what).unwrap_or_else(|| panic!("{what} is counted")).counted
}

#[test]
fn operations_cost_exactly_what_the_model_says() {
    for n in [1, 3, 5] {
        for nodes in [5, 7] {
            let rows = operations(size(nodes, 64, n)).expect("all is well");
            all_right(&rows);
            assert!(rows.iter().all(|row| row.within == 0.0), "nothing about it is random");
            assert_eq!(rows.len(), if nodes > n as usize { 8 } else { 4 });
        }
    }
    // In figures, so that core and model cannot be wrong together.
    let rows = operations(size(5, 64, 3)).expect("all is well");
    let all = ["a put", "a get", "a put that is passed on", "a get that is passed on"];
    assert_eq!(all.map(|what| counted(&rows, what)), [4.0, 2.0, 6.0, 4.0]);
    // Unlike majorities: W costs no message, and R does.
    let rows = operations(Size { r: 3, w: 1, ..size(5, 64, 3) }).expect("all is well");
    all_right(&rows);
    assert_eq!(all.map(|what| counted(&rows, what)), [4.0, 4.0, 6.0, 6.0]);
}

#[test]
fn a_cluster_at_rest_costs_what_the_model_says() {
    let period = model::beat_period(&Limits::default());
    for nodes in [3, 5, 10] {
        let rows = background(size(nodes, 256, 3), period).expect("all is well");
        all_right(&rows);
        assert_eq!(counted(&rows, "beats"), (nodes as f64 - 1.0) / period.as_secs_f64());
        assert_eq!(counted(&rows, "anything else"), 0.0);
    }
    // Who shares nothing compares nothing; and a time without a beat, or with one more, is allowed for.
    let rows = background(size(5, 256, 1), Duration::from_secs(10)).expect("all is well");
    all_right(&rows);
    assert_eq!(counted(&rows, "comparisons"), 0.0);
}

#[test]
fn a_node_more_costs_what_the_model_says() {
    for (nodes, n) in [(5, 3), (7, 3), (10, 3), (6, 5), (4, 1)] {
        let changed = change(size(nodes, 64, n), 6).expect("all is well");
        all_right(&changed.rows);
        assert!(counted(&changed.rows, "partitions that move") > 0.0);
        assert_eq!(counted(&changed.rows, "pulls for each page"), 2.0);
    }
    // Eight of twelve nodes have one of eight partitions, and one more node makes nobody emptier: one decision, and nothing moves.
    let changed = change(size(12, 8, 1), 6).expect("all is well");
    all_right(&changed.rows);
    assert_eq!(counted(&changed.rows, "partitions that move"), 0.0);
    assert_eq!(counted(&changed.rows, "Paxos"), 24.0);
}

#[test]
fn a_count_that_is_not_what_the_model_says_is_wrong_and_shown() {
    let right =
        Row { size: size(5, 64, 3), part: "operation", what: "a put", counted: 4.0, model: 4.0, within: 0.0 };
    let wrong = Row { counted: 4.1, ..right.clone() };
    assert!(right.is_right() && !wrong.is_right());
    assert!(Row { within: 0.05, ..wrong.clone() }.is_right());
    assert!(!Row { counted: 1.0, model: 0.0, within: 0.5, ..right.clone() }.is_right());
    let rows = [right, wrong];
    assert_eq!(table(&rows).matches("(!)").count(), 1);
    assert_eq!(csv(&rows).lines().nth(2), Some("operation,5,64,3,2,2,a put,4.100,4.000,0"));
}
