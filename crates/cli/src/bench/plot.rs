//! A picture of a measurement: throughput and latency over time, and latency by percentile.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::report::Report;

const SIZE: (u32, u32) = (1040, 560);
const TITLE_HEIGHT: u32 = 40;
/// Of the panels over time; the rest is for the percentiles.
const TIME_WIDTH: u32 = 600;

// Drawn on a card of its own colour, so that it reads the same on light and dark pages.
const CARD: RGBColor = RGBColor(252, 252, 250);
const INK: RGBColor = RGBColor(32, 33, 36);
const FAINT: RGBColor = RGBColor(225, 226, 229);
const RATE: RGBColor = RGBColor(21, 101, 52);
const MEDIAN: RGBColor = RGBColor(30, 90, 180);
const TAIL: RGBColor = RGBColor(214, 69, 30);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

pub(super) fn svg(report: &Report) -> Result<String> {
    let mut text = String::new();
    draw(report, &mut text).map_err(|error| anyhow!("drawing the plot: {error}"))?;
    Ok(text)
}

fn draw<'a>(report: &Report, text: &'a mut String) -> Drawn<'a> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&CARD)?;
    let (heading, body) = area.split_vertically(TITLE_HEIGHT);
    heading.draw_text(&report.title(), &("sans-serif", 16).into_font().color(&INK), (16, 14))?;
    let (over_time, by_percentile) = body.split_horizontally(TIME_WIDTH);
    let (rates, latencies) = over_time.split_vertically((SIZE.1 - TITLE_HEIGHT) / 2);

    let series = &report.measured.series;
    let seconds = report.measured.seconds;
    let rate: Vec<(f64, f64)> = series.iter().map(|point| (point.at_s, point.ops_per_second)).collect();
    linear(&rates, "operations a second, by second", seconds, &rate)?;
    // An interval without an answer has no latency.
    let line = |latency_us: fn(&super::series::Point) -> u64| {
        let points = series.iter().map(|point| (point.at_s, ms(latency_us(point))));
        points.filter(|(_, latency)| *latency > 0.0).collect::<Vec<_>>()
    };
    let lines = [("p50", MEDIAN, line(|point| point.p50_us)), ("p99", TAIL, line(|point| point.p99_us))];
    logarithmic(&latencies, "latency in ms, by second", (0.0, seconds), &|x| format!("{x:.0}"), &lines)?;

    // How many nines: 90 % is 1, 99 % is 2.
    let nines = |percent: f64| -(1.0 - percent / 100.0).log10();
    let percentiles = report.measured.percentiles_us.iter();
    let points: Vec<(f64, f64)> =
        percentiles.map(|&(percent, latency)| (nines(percent), ms(latency))).collect();
    let most = points.last().map_or(1.0, |last| last.0.max(1.0));
    let label = |x: &f64| format!("{}", 100.0 * (1.0 - 10_f64.powf(-x.round())));
    logarithmic(&by_percentile, "latency in ms, by percentile", (0.0, most), &label, &[("", TAIL, points)])?;
    area.present()
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

fn linear<'a>(area: &Area<'a>, caption: &str, seconds: f64, points: &[(f64, f64)]) -> Drawn<'a> {
    let most = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(caption, ("sans-serif", 14).into_font().color(&INK))
        .x_label_area_size(24)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..seconds, 0.0..most * 1.1)?;
    let plain = |value: &f64| format!("{value:.0}");
    chart.configure_mesh().light_line_style(CARD).bold_line_style(FAINT).y_label_formatter(&plain).draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), RATE.stroke_width(2)))?;
    Ok(())
}

/// Its name, its colour, and its points.
type Line<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);

/// Lines by name, over a range, with latencies on a logarithmic scale.
fn logarithmic<'a>(
    area: &Area<'a>,
    caption: &str,
    (least_x, most_x): (f64, f64),
    x_label: &dyn Fn(&f64) -> String,
    lines: &[Line<'_>],
) -> Drawn<'a> {
    let values = || lines.iter().flat_map(|line| line.2.iter().map(|point| point.1));
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    // Without a point there is still a frame.
    let (least, most) = if least < most { (least, most) } else { (0.1, most.max(1.0)) };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(caption, ("sans-serif", 14).into_font().color(&INK))
        .x_label_area_size(24)
        .y_label_area_size(64)
        .build_cartesian_2d(least_x..most_x, (least / 1.3..most * 1.3).log_scale())?;
    let latency = |value: &f64| if *value < 1.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    chart
        .configure_mesh()
        .light_line_style(CARD)
        .bold_line_style(FAINT)
        .x_label_formatter(x_label)
        .y_label_formatter(&latency)
        .draw()?;
    for (name, colour, points) in lines {
        let line = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        if !name.is_empty() {
            let colour = *colour;
            line.label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
    }
    if lines.iter().any(|line| !line.0.is_empty()) {
        chart.configure_series_labels().background_style(CARD).border_style(FAINT).draw()?;
    }
    Ok(())
}
