//! How many times better, a bar for each comparison.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::rows::{Figure, Row};
use super::table::{number, times};

const WIDTH: i32 = 1000;
const TOP: i32 = 76;
const ROW: i32 = 46;
const BAR: i32 = 18;
/// From here to there are the bars, on a logarithmic scale
const BARS: (i32, i32) = (400, 860);
/// of these ratios.
const RATIOS: (f64, f64) = (0.25, 16.0);

// Drawn on a card of its own colour, so that it reads the same on light and dark pages.
const CARD: RGBColor = RGBColor(252, 252, 250);
const INK: RGBColor = RGBColor(32, 33, 36);
const FAINT: RGBColor = RGBColor(110, 113, 119);
const LINE: RGBColor = RGBColor(225, 226, 229);
const BETTER: RGBColor = RGBColor(21, 101, 52);
const WORSE: RGBColor = RGBColor(214, 69, 30);
const FLOOR: RGBColor = RGBColor(32, 33, 36);

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

pub(super) fn svg(rows: &[Row]) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(rows, &mut text).map_err(|error| anyhow!("drawing the plot: {error}"))?;
    Ok(text)
}

fn draw<'a>(rows: &[Row], text: &'a mut String) -> Drawn<'a> {
    let height = TOP + ROW * i32::try_from(rows.len()).unwrap_or(0) + 12;
    let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
    let area = SVGBackend::with_string(text, size).into_drawing_area();
    area.fill(&CARD)?;
    let left = Pos::new(HPos::Left, VPos::Center);
    area.draw_text(
        "Quorate against etcd, three nodes each: how many times better",
        &font(20, &INK, left),
        (16, 22),
    )?;
    let legend = "operations a second, or the inverse of the p99; black: the floor, grey: the goal; medians of one run";
    area.draw_text(legend, &font(14, &FAINT, left), (16, 44))?;
    let middle = Pos::new(HPos::Center, VPos::Center);
    for ratio in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0] {
        let colour = if ratio == 1.0 { FAINT } else { LINE };
        area.draw(&PathElement::new([(x(ratio), TOP - 4), (x(ratio), height - 8)], colour))?;
        area.draw_text(&format!("{ratio}x"), &font(13, &FAINT, middle), (x(ratio), TOP - 14))?;
    }
    for (row, top) in rows.iter().zip((TOP..).step_by(ROW.unsigned_abs() as usize)) {
        draw_row(&area, row, top)?;
    }
    area.present()
}

fn draw_row<'a>(area: &DrawingArea<SVGBackend<'a>, Shift>, row: &Row, top: i32) -> Drawn<'a> {
    let left = Pos::new(HPos::Left, VPos::Center);
    let centre = top + ROW / 2;
    area.draw_text(row.what, &font(14, &INK, left), (16, centre - 8))?;
    let value = |medians| match row.figure {
        Figure::Rate => format!("{}/s", number(row.value(medians))),
        Figure::P99 => format!("{:.1} ms", row.value(medians) / 1e3),
    };
    let etcd = row.etcd.as_ref().map_or("not measured".into(), value);
    area.draw_text(
        &format!("{}; etcd {etcd}", value(&row.quorate)),
        &font(13, &FAINT, left),
        (16, centre + 9),
    )?;
    let Some(ratio) = row.ratio() else { return Ok(()) };
    let (one, end) = (x(1.0), x(ratio));
    let bar = [(one.min(end), centre - BAR / 2), (one.max(end), centre + BAR / 2)];
    area.draw(&Rectangle::new(bar, if ratio >= 1.0 { BETTER } else { WORSE }.filled()))?;
    if let Some((floor, goal)) = row.floor_and_goal {
        for (bound, colour) in [(goal, FAINT), (floor, FLOOR)] {
            let mark = [(x(bound), centre - BAR / 2 - 4), (x(bound), centre + BAR / 2 + 4)];
            area.draw(&PathElement::new(mark, colour.stroke_width(3)))?;
        }
    }
    area.draw_text(&times(ratio), &font(16, &INK, left), (BARS.1 + 30, centre))
}

/// Where a ratio is; those beyond the scale are at its ends.
fn x(ratio: f64) -> i32 {
    let part = (ratio / RATIOS.0).ln() / (RATIOS.1 / RATIOS.0).ln();
    BARS.0 + (f64::from(BARS.1 - BARS.0) * part.clamp(0.0, 1.0)).round() as i32
}

fn font(size: i32, colour: &'static RGBColor, pos: Pos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).color(colour).pos(pos)
}

#[cfg(test)]
mod tests {
    use super::super::rows::{rows, tests::runs};
    use super::*;

    #[test]
    fn every_ratio_has_a_bar() {
        let rows = rows(&runs());
        let text = svg(&rows).expect("it is drawn");
        let bars = rows.iter().filter(|row| row.ratio().is_some()).count();
        assert_eq!(text.matches("<rect").count(), 1 + bars, "the card and the bars");
        assert!(text.contains("4.0x") && !text.contains("NaN"));
        assert_eq!(text.matches("<text").count(), text.matches("</text>").count());
    }

    #[test]
    fn the_scale_has_ends() {
        assert_eq!((x(0.001), x(0.25), x(16.0), x(1000.0)), (BARS.0, BARS.0, BARS.1, BARS.1));
        assert!(x(1.0) < x(2.0) && x(2.0) < x(4.0));
    }
}
