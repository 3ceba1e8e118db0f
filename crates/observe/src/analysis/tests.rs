//! Histories made by hand, with known answers.

use quorate_protocol::id::ActorId;
use quorate_protocol::version::Context;

use super::*;

fn dot(seq: u64) -> Dot {
    Dot { actor: ActorId(1), seq }
}

/// A context of exactly these writes.
fn seen(seqs: &[u64]) -> Context {
    let mut context = Context::default();
    for &seq in seqs {
        context.add_dot(dot(seq));
    }
    context
}

fn write(seq: u64, began_us: u64, ended_us: u64) -> Write {
    Write { key: 0, began_us, ended_us, ending: Ending::Done, dot: Some(dot(seq)) }
}

fn read(began_us: u64, seqs: &[u64]) -> Read {
    let covered = seen(seqs);
    Read { key: 0, began_us, ended_us: began_us + 5, ending: Ending::Done, covered, probe: false }
}

fn figures(writes: Vec<Write>, reads: Vec<Read>) -> Figures {
    let mut analysis = Analysis::default();
    analysis.add(&History { writes, reads });
    analysis.figures()
}

#[test]
fn a_read_that_covers_all_acknowledged_writes_is_fresh() {
    let writes = vec![write(1, 0, 10), write(2, 20, 30)];
    let found = figures(writes, vec![read(11, &[1]), read(31, &[1, 2]), read(40, &[1, 2])]);
    assert_eq!((found.reads, found.writes, found.stale, found.outdated), (3, 2, 0, 0));
    assert_eq!((found.visible_us, found.unseen), (Quantiles::default(), 0));
    assert_eq!(found.get_us, Quantiles { p50: 5, p95: 5, p99: 5 });
    assert_eq!(found.put_us.p99, 10);
}

#[test]
fn a_write_under_way_need_not_be_seen_but_may() {
    let writes = vec![write(1, 0, 10), write(2, 20, 30)];
    let found = figures(writes, vec![read(25, &[1]), read(30, &[1]), read(26, &[1, 2])]);
    assert_eq!(found.stale, 0, "it was acknowledged after they began, or at that very moment");
}

#[test]
fn what_is_missed_is_counted() {
    let writes = vec![write(1, 0, 10), write(2, 20, 30), write(3, 40, 50), write(4, 60, 70)];
    let reads = vec![read(35, &[1]), read(71, &[1]), read(80, &[1, 2, 3, 4]), read(90, &[1, 2, 3])];
    let found = figures(writes, reads);
    assert_eq!((found.stale, found.outdated), (3, 3));
    assert_eq!((found.missed_max, found.missed_mean), (3, 5.0 / 3.0));
    assert!((found.stale_rate - 0.75).abs() < 1e-9);
}

#[test]
fn one_of_two_siblings_is_stale_but_not_outdated() {
    // Two writes that overlap: both are siblings, and a reader who gets one of them misses the other.
    let writes = vec![write(1, 0, 10), write(2, 5, 12)];
    let found = figures(writes.clone(), vec![read(20, &[1])]);
    assert_eq!((found.stale, found.outdated, found.missed_max), (1, 0, 1));
    let found = figures(writes.clone(), vec![read(20, &[1, 2])]);
    assert_eq!((found.stale, found.outdated), (0, 0), "both siblings are shown");
    let found = figures(writes, vec![read(20, &[])]);
    assert_eq!((found.stale, found.outdated, found.missed_max), (1, 1, 2), "neither is");
}

#[test]
fn a_write_without_acknowledgement_excuses_but_does_not_oblige() {
    let open = |dot| Write { ending: Ending::TimedOut, dot, ..write(9, 5, 500) };
    let found = figures(vec![write(1, 0, 10), open(Some(dot(9)))], vec![read(600, &[1])]);
    assert_eq!((found.stale, found.timed_out, found.asked, found.writes), (0, 1, 3, 1));
    // It came after the last acknowledged write began, and nobody knows that it ended.
    let found = figures(vec![write(1, 0, 10), open(Some(dot(9)))], vec![read(600, &[9])]);
    assert_eq!((found.stale, found.outdated), (1, 0));
    let found = figures(vec![write(1, 0, 10), open(None)], vec![read(600, &[])]);
    assert_eq!((found.stale, found.outdated), (1, 1));
}

#[test]
fn failed_reads_say_nothing() {
    let failed = |ending| Read { ending, ..read(50, &[]) };
    let found = figures(vec![write(1, 0, 10)], vec![failed(Ending::Refused), failed(Ending::TimedOut)]);
    assert_eq!((found.reads, found.stale, found.refused, found.timed_out), (0, 0, 1, 1));
    assert!((found.failure_rate() - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!((found.stale_rate, found.visible_us), (0.0, Quantiles::default()));
}

#[test]
fn visible_is_what_every_later_read_returns() {
    let probe = |began_us, seqs: &[u64]| Read { probe: true, ..read(began_us, seqs) };
    // Seen at 12, missed again at 20 by another replica, seen by all from 33 on.
    let reads = vec![probe(12, &[1]), probe(20, &[]), probe(33, &[1]), read(40, &[1])];
    let found = figures(vec![write(1, 0, 10)], reads);
    assert_eq!((found.visible_us.p50, found.unseen), (23, 0));
    assert_eq!((found.probes, found.stale_probes, found.reads, found.stale), (3, 1, 1, 0));
    assert_eq!(found.stale_answers(), 1);

    let found = figures(vec![write(1, 0, 10)], vec![probe(12, &[1]), probe(50, &[])]);
    assert_eq!((found.visible_us.p99, found.unseen), (40, 1), "at least until the last read");
    let found = figures(vec![write(1, 0, 10)], vec![read(5, &[])]);
    assert_eq!((found.visible_us.p99, found.unseen, found.stale), (0, 0, 0), "nobody looked");
}

#[test]
fn keys_and_runs_are_told_apart() {
    let other = |write: Write| Write { key: 3, ..write };
    let history =
        History { writes: vec![write(1, 0, 10), other(write(2, 0, 10))], reads: vec![read(20, &[1])] };
    let mut analysis = Analysis::default();
    analysis.add(&history);
    // Another run's clock begins anew.
    analysis.add(&History { writes: vec![write(1, 100, 110)], reads: vec![read(20, &[])] });
    let found = analysis.figures();
    assert_eq!((found.runs, found.writes, found.reads, found.stale), (2, 3, 2, 0));
}

#[test]
fn an_acknowledged_write_without_a_name_is_reported() {
    let nameless = Write { dot: None, ..write(1, 0, 10) };
    let found = figures(vec![nameless], vec![read(20, &[])]);
    assert_eq!((found.unnamed, found.stale, found.writes), (1, 0, 1));
}
