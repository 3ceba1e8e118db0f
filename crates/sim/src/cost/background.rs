//! What a cluster costs that does nothing.

use std::time::Duration;

use anyhow::Result;
use quorate_protocol::Limits;

use super::count::BACKGROUND;
use super::fleet::Fleet;
use super::{Row, Size, model};

/// Probes begin at any moment, so that one more or less of them is in the time.
const WITHIN_PINGS: f64 = 0.02;
/// Comparisons have a jitter, and partners are not drawn but placed.
const WITHIN_COMPARISONS: f64 = 0.1;

/// Counts what each node sends in each of these seconds, once all have met. A multiple of [`model::beat_period`], or the beats
/// are not counted right.
pub fn background(size: Size, time: Duration) -> Result<Vec<Row>> {
    let limits = Limits::default();
    let mut fleet = Fleet::new(size, 0, &limits)?;
    fleet.settle()?;
    let before = fleet.counts.clone();
    fleet.run_for(u64::try_from(time.as_micros())?)?;
    let sent = fleet.counts.since(&before);
    let each = |count: u64| count as f64 / size.nodes as f64 / time.as_secs_f64();
    let row = |what, counted, model, within| Row {
        size,
        part: "background",
        what,
        counted: each(counted),
        model,
        within,
    };
    let whole = time.as_micros().is_multiple_of(model::beat_period(&limits).as_micros());
    let (pings, comparisons) = (model::pings(&limits), model::comparisons(size, &limits));
    let beats = model::beats(size, &limits);
    let all: u64 = sent.iter().map(|(_, count)| count).sum();
    Ok(vec![
        row("pings", sent.of("ping"), pings, WITHIN_PINGS),
        row("acknowledgements", sent.of("ack"), pings, WITHIN_PINGS),
        row("beats", sent.of("beat"), beats, if whole { 0.0 } else { 1.0 }),
        row("comparisons", sent.of("compare"), comparisons, WITHIN_COMPARISONS),
        row("their replies", sent.of("compare reply"), comparisons, WITHIN_COMPARISONS),
        row("anything else", all - sent.of_all(&BACKGROUND) + sent.of("news"), 0.0, 0.0),
        row("all", all, 2.0 * (pings + comparisons) + beats, WITHIN_COMPARISONS),
    ])
}
