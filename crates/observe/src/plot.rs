//! A heat map: for each N a grid of R by W, coloured by the share of stale reads, with latencies in it.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use thiserror::Error;

use crate::report::{Row, ms, percent};
use crate::setting::{Faults, Keys, Mode};

/// The picture could not be drawn.
#[derive(Debug, Error)]
#[error("drawing the plot: {0}")]
pub struct PlotError(String);

/// One cell, in pixels.
const CELL: (i32, i32) = (104, 46);
/// Left of a grid, for its R.
const MARGIN: i32 = 46;
/// Above a grid, for its headings and its W.
const HEADING: i32 = 58;
/// Above everything.
const TOP: i32 = 62;
/// From this share on a cell has the darkest colour.
const DARKEST: f64 = 0.5;
/// Up to this share a cell has the lightest colour.
const LIGHTEST: f64 = 0.0005;

// Drawn on a card of its own colour, so that it reads the same on light and dark pages.
const CARD: RGBColor = RGBColor(252, 252, 250);
const INK: RGBColor = RGBColor(32, 33, 36);
const FAINT: RGBColor = RGBColor(110, 113, 119);
const FRESH: RGBColor = RGBColor(203, 232, 208);
const PROMISE: RGBColor = RGBColor(21, 101, 52);
const BROKEN: RGBColor = RGBColor(190, 0, 120);
const PALE: (f64, f64, f64) = (255.0, 243.0, 214.0);
const DEEP: (f64, f64, f64) = (214.0, 69.0, 30.0);

/// Draws rows, which may be a part of a sweep; what is absent stays blank.
pub fn svg(rows: &[Row], title: &str) -> Result<String, PlotError> {
    let mut text = String::new();
    draw(rows, title, &mut text).map_err(|error| PlotError(error.to_string()))?;
    Ok(text)
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw<'a>(rows: &[Row], title: &str, text: &'a mut String) -> Drawn<'a> {
    let mut ns: Vec<u32> = rows.iter().map(|row| row.setting.n).collect();
    ns.sort_unstable();
    ns.dedup();
    let band_of = |row: &Row| (row.setting.keys, row.setting.faults, row.setting.mode);
    let mut bands: Vec<(Keys, Faults, Mode)> = rows.iter().map(band_of).collect();
    bands.sort_unstable();
    bands.dedup();
    let side = |n: u32| i32::try_from(n).unwrap_or(0);
    let grid_width = |n: u32| MARGIN + side(n) * CELL.0 + 14;
    let band_height = HEADING + side(ns.last().copied().unwrap_or(1)) * CELL.1 + 12;
    let width = ns.iter().map(|&n| grid_width(n)).sum::<i32>().max(840) + 20;
    let height = TOP + i32::try_from(bands.len()).unwrap_or(0) * band_height + 8;

    let size = (u32::try_from(width).unwrap_or(640), u32::try_from(height).unwrap_or(480));
    let area = SVGBackend::with_string(text, size).into_drawing_area();
    area.fill(&CARD)?;
    let left = Pos::new(HPos::Left, VPos::Center);
    area.draw_text(title, &font(21, &INK, left), (16, 22))?;
    let legend = "each cell: stale reads; p95 of reads / writes in ms. Green frame: R + W > N of owners, must be 0 (pink if it is not).";
    area.draw_text(legend, &font(15, &FAINT, left), (16, 44))?;

    for (band, &(keys, faults, mode)) in bands.iter().enumerate() {
        let top = TOP + i32::try_from(band).unwrap_or(0) * band_height;
        let heading = format!("{keys} keys, faults: {faults}, {mode} quorums");
        area.draw_text(&heading, &font(18, &INK, left), (16, top + 14))?;
        let mut x = 10;
        for &n in &ns {
            area.draw_text(&format!("N = {n}"), &font(15, &INK, left), (x + 6, top + 36))?;
            let (x0, y0) = (x + MARGIN, top + HEADING);
            for q in 1..=side(n) {
                let centre = Pos::new(HPos::Center, VPos::Center);
                let column = (x0 + (q - 1) * CELL.0 + CELL.0 / 2, y0 - 12);
                area.draw_text(&format!("W {q}"), &font(15, &FAINT, centre), column)?;
                let row = (x0 - 20, y0 + (q - 1) * CELL.1 + CELL.1 / 2);
                area.draw_text(&format!("R {q}"), &font(15, &FAINT, centre), row)?;
            }
            let cells = rows.iter().filter(|row| row.setting.n == n && band_of(row) == (keys, faults, mode));
            for row in cells {
                let at = (x0 + (side(row.setting.w) - 1) * CELL.0, y0 + (side(row.setting.r) - 1) * CELL.1);
                draw_cell(&area, row, at)?;
            }
            x += grid_width(n);
        }
    }
    area.present()
}

fn font(size: i32, colour: &'static RGBColor, pos: Pos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).color(colour).pos(pos)
}

fn draw_cell<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    row: &Row,
    at: (i32, i32),
) -> Drawn<'a> {
    let figures = &row.figures;
    let inside = [(at.0 + 2, at.1 + 2), (at.0 + CELL.0 - 2, at.1 + CELL.1 - 2)];
    area.draw(&Rectangle::new(inside, colour(figures.stale_rate).filled()))?;
    if row.setting.promises_freshness() {
        let frame = if row.is_broken() { BROKEN } else { PROMISE };
        area.draw(&Rectangle::new(inside, frame.stroke_width(2)))?;
    }
    let centre = Pos::new(HPos::Center, VPos::Center);
    let middle = at.0 + CELL.0 / 2;
    let stale = percent(figures.stale, figures.stale_rate);
    area.draw_text(&stale, &font(19, &INK, centre), (middle, at.1 + 16))?;
    let latency = format!("{} / {}", ms(figures.get_us.p95), ms(figures.put_us.p95));
    area.draw_text(&latency, &font(14, &INK, centre), (middle, at.1 + 33))
}

/// Green for none; from pale to deep orange by the logarithm of the share.
fn colour(rate: f64) -> RGBColor {
    if rate <= 0.0 {
        return FRESH;
    }
    let depth = ((rate / LIGHTEST).ln() / (DARKEST / LIGHTEST).ln()).clamp(0.0, 1.0);
    let mix = |pale: f64, deep: f64| (pale + (deep - pale) * depth).round() as u8;
    RGBColor(mix(PALE.0, DEEP.0), mix(PALE.1, DEEP.1), mix(PALE.2, DEEP.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::rows;

    #[test]
    fn every_cell_is_drawn_and_the_elements_are_closed() {
        let rows = rows();
        let Ok(text) = svg(&rows, "a < b & c") else { panic!("it is drawn") };
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "one element");
        assert_eq!(text.matches("<text").count(), text.matches("</text>").count());
        let rectangles = text.matches("<rect").count();
        let framed = rows.iter().filter(|row| row.setting.promises_freshness()).count();
        assert_eq!(rectangles, 1 + rows.len() + framed, "the card, the cells, the frames");
        assert!(text.contains("a &lt; b &amp; c"), "words are escaped");
        assert!(!text.contains("NaN"));
    }

    #[test]
    fn colours_go_from_pale_to_deep() {
        assert_eq!(colour(0.0), FRESH);
        assert!(colour(0.001).1 > colour(0.01).1 && colour(0.01).1 > colour(0.3).1);
        assert_eq!(colour(0.9), colour(0.5));
    }
}
