//! A dashboard's panels as one picture, drawn from the series that a Prometheus has.

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::query::{Prometheus, Series};
use crate::sources::{Panel, panels};

/// Panels beside each other.
const COLUMNS: usize = 3;
/// One panel, in pixels.
const PANEL: (i32, i32) = (420, 210);
/// Within a panel: left of the plot for its scale, above it for its title, below it for its legend.
const SCALE: i32 = 58;
const TITLE: i32 = 26;
const LEGEND: i32 = 34;
/// Above all panels.
const TOP: i32 = 44;
/// Points of a series.
const STEPS: f64 = 200.0;
/// Of rates: what Grafana would choose for short intervals between scrapes.
const RATE_INTERVAL: &str = "10s";
/// Entries of a legend, and the longest of them in characters.
const ENTRIES_MAX: usize = 6;
const ENTRY_CHARACTERS: usize = 22;

// Drawn on a card of its own colour, so that it reads the same on light and dark pages.
const CARD: RGBColor = RGBColor(252, 252, 250);
const FRAME: RGBColor = RGBColor(214, 216, 220);
const INK: RGBColor = RGBColor(32, 33, 36);
const FAINT: RGBColor = RGBColor(110, 113, 119);
const LINES: [RGBColor; ENTRIES_MAX] = [
    RGBColor(31, 96, 196),
    RGBColor(224, 117, 24),
    RGBColor(46, 133, 64),
    RGBColor(184, 38, 103),
    RGBColor(118, 80, 184),
    RGBColor(20, 140, 150),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Draws the dashboard `uid` of one cluster as SVG, from `start_s` to `end_s` in seconds since the epoch.
pub fn picture(
    root: &Path,
    uid: &str,
    prometheus: &Prometheus,
    (namespace, cluster): (&str, &str),
    (start_s, end_s): (f64, f64),
) -> anyhow::Result<String> {
    let step_s = ((end_s - start_s) / STEPS).max(1.0);
    let mut filled = Vec::new();
    for panel in panels(root, uid)?.into_iter().filter(|panel| panel.kind == "timeseries") {
        let mut lines = Vec::new();
        for target in &panel.targets {
            let expression = target
                .expr
                .replace("$__rate_interval", RATE_INTERVAL)
                .replace("$namespace", namespace)
                .replace("$cluster", cluster);
            for series in prometheus.range(&expression, start_s, end_s, step_s)? {
                lines.push((named(&target.legend, &series), series));
            }
        }
        filled.push((panel, lines));
    }
    let drawn: usize = filled.iter().map(|(_, lines)| lines.len()).sum();
    anyhow::ensure!(drawn > 0, "{} has no series of {namespace}/{cluster} in that time", prometheus.url);
    let title = format!("Quorate, cluster {namespace}/{cluster}: {:.0} s", end_s - start_s);
    let mut text = String::new();
    draw(&title, &filled, (start_s, end_s), &mut text).map_err(|error| anyhow!("drawing: {error}"))?;
    Ok(text)
}

/// A legend's text with the series' labels put in.
fn named(legend: &str, series: &Series) -> String {
    series.labels.iter().fold(legend.to_owned(), |text, (label, value)| {
        text.replace(&format!("{{{{{label}}}}}"), value)
    })
}

type Filled = (Panel, Vec<(String, Series)>);

fn draw<'a>(title: &str, panels: &[Filled], time: (f64, f64), text: &'a mut String) -> Drawn<'a> {
    let rows = i32::try_from(panels.len().div_ceil(COLUMNS)).unwrap_or(1);
    let columns = i32::try_from(COLUMNS).unwrap_or(1);
    let size = (columns * PANEL.0 + 20, TOP + rows * PANEL.1 + 10);
    let area = SVGBackend::with_string(text, (size.0.unsigned_abs(), size.1.unsigned_abs())).into_drawing_area();
    area.fill(&CARD)?;
    let left = Pos::new(HPos::Left, VPos::Center);
    area.draw_text(title, &font(19, &INK, left), (16, 22))?;
    for (at, (panel, lines)) in (0..).zip(panels) {
        let corner = (10 + at % columns * PANEL.0, TOP + at / columns * PANEL.1);
        draw_panel(&area, panel, lines, time, corner)?;
    }
    area.present()
}

fn draw_panel<'a>(
    area: &Area<'a>,
    panel: &Panel,
    lines: &[(String, Series)],
    (start, end): (f64, f64),
    (x, y): (i32, i32),
) -> Drawn<'a> {
    let left = Pos::new(HPos::Left, VPos::Center);
    let right = Pos::new(HPos::Right, VPos::Center);
    area.draw_text(&panel.title, &font(14, &INK, left), (x + 8, y + 14))?;
    let (x0, x1) = (x + SCALE, x + PANEL.0 - 12);
    let (y0, y1) = (y + TITLE, y + PANEL.1 - LEGEND);
    area.draw(&Rectangle::new([(x0, y0), (x1, y1)], FRAME.stroke_width(1)))?;
    let all = lines.iter().flat_map(|(_, series)| &series.points).map(|&(_, value)| value);
    let most = all.fold(0.0_f64, f64::max);
    let top = if most > 0.0 { most * 1.08 } else { 1.0 };
    for share in [0.0, 0.5, 1.0] {
        let height = y1 - (f64::from(y1 - y0) * share) as i32;
        area.draw_text(&amount(top * share, panel.unit()), &font(11, &FAINT, right), (x0 - 5, height))?;
        area.draw(&PathElement::new(vec![(x0, height), (x1, height)], FRAME.stroke_width(1)))?;
    }
    let place = |&(at, value): &(f64, f64)| {
        let across = (at - start) / (end - start).max(1.0);
        (x0 + (f64::from(x1 - x0) * across) as i32, y1 - (f64::from(y1 - y0) * (value / top).max(0.0)) as i32)
    };
    for ((_, series), colour) in lines.iter().zip(LINES.iter().cycle()) {
        let points: Vec<(i32, i32)> = series.points.iter().map(place).collect();
        area.draw(&PathElement::new(points, colour.stroke_width(2)))?;
    }
    let (mut at, base) = (x0, y1 + 14);
    for ((name, _), colour) in lines.iter().zip(&LINES) {
        let name: String = name.chars().take(ENTRY_CHARACTERS).collect();
        let width = 18 + 7 * i32::try_from(name.len()).unwrap_or(0);
        if at + width > x1 {
            break;
        }
        area.draw(&PathElement::new(vec![(at, base), (at + 10, base)], colour.stroke_width(3)))?;
        area.draw_text(&name, &font(11, &FAINT, left), (at + 14, base))?;
        at += width + 6;
    }
    if lines.is_empty() {
        area.draw_text("nothing in this time", &font(11, &FAINT, left), (x0 + 8, y0 + 14))?;
    }
    Ok(())
}

fn font(size: i32, colour: &'static RGBColor, pos: Pos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).color(colour).pos(pos)
}

/// A value as its unit is read: binary multiples of bytes, thousandths of seconds, hundredths of a share.
fn amount(value: f64, unit: &str) -> String {
    let scaled = |value: f64, step: f64, names: [&str; 4]| {
        let mut value = value;
        for name in names.iter().take(3) {
            if value < step {
                return short(value) + name;
            }
            value /= step;
        }
        short(value) + names[3]
    };
    match unit {
        "bytes" => scaled(value, 1024.0, [" B", " KiB", " MiB", " GiB"]),
        "Bps" => scaled(value, 1024.0, [" B/s", " KiB/s", " MiB/s", " GiB/s"]),
        "s" if value < 1.0 => short(value * 1000.0) + " ms",
        "s" => short(value) + " s",
        "ops" => short(value) + " /s",
        "percentunit" => short(value * 100.0) + " %",
        _ => short(value),
    }
}

fn short(value: f64) -> String {
    let digits = if value == 0.0 || value >= 100.0 { 0 } else if value >= 10.0 { 1 } else { 2 };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_their_units() {
        let cases = [
            (0.0, "none", "0"),
            (7.5, "none", "7.50"),
            (0.0042, "s", "4.20 ms"),
            (12.0, "s", "12.0 s"),
            (3.0 * 1024.0 * 1024.0, "bytes", "3.00 MiB"),
            (0.5, "percentunit", "50.0 %"),
            (1234.0, "ops", "1234 /s"),
        ];
        for (value, unit, shown) in cases {
            assert_eq!(amount(value, unit), shown);
        }
    }

    #[test]
    fn a_legend_takes_its_labels() {
        let labels = [("pod".into(), "n-0".into()), ("x".into(), "y".into())].into();
        let series = Series { labels, points: vec![(1.0, 2.0)] };
        assert_eq!(named("{{pod}} log {{x}}", &series), "n-0 log y");
    }
}
