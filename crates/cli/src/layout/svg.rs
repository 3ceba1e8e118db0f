//! A picture of the ring: one slice for each partition, coloured by its owners, the first one outside.

use std::fmt::Write as _;

/// Of a node: what the legend says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Partitions of which it is the first owner, and of which it is any.
    pub(super) first: usize,
    pub(super) owned: usize,
}

const SIZE: f64 = 520.0;
const RADIUS: f64 = 240.0;
/// Of the ring of first owners; the others are thinner.
const FIRST_WIDTH: f64 = 56.0;
const OTHER_WIDTH: f64 = 22.0;
const GAP: f64 = 4.0;
const LEGEND_WIDTH: f64 = 300.0;
const LINE: f64 = 24.0;

/// The picture. `owners`: for each partition its owners as indices into `nodes`.
pub(super) fn ring(title: &str, nodes: &[Entry], owners: &[Vec<usize>]) -> String {
    let depth = owners.iter().map(Vec::len).max().unwrap_or(0);
    let height = SIZE.max(80.0 + LINE * nodes.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        SIZE + LEGEND_WIDTH,
        escaped(title)
    );
    let mut outer = RADIUS;
    for place in 0..depth {
        let width = if place == 0 { FIRST_WIDTH } else { OTHER_WIDTH };
        let opacity = if place == 0 { 1.0 } else { 0.55 };
        let _ = writeln!(svg, "<g opacity=\"{opacity}\">");
        for (partition, of) in owners.iter().enumerate() {
            if let Some(&node) = of.get(place) {
                let (from, to) = (angle(partition, owners.len()), angle(partition + 1, owners.len()));
                let _ = writeln!(
                    svg,
                    "<path d=\"{}\" fill=\"{}\"/>",
                    slice(from, to, outer - width, outer),
                    colour(node, nodes.len())
                );
            }
        }
        svg.push_str("</g>\n");
        outer -= width + GAP;
    }
    legend(&mut svg, title, nodes, owners);
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, title: &str, nodes: &[Entry], owners: &[Vec<usize>]) {
    let left = SIZE + 8.0;
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"36\" font-weight=\"bold\">{}</text>", escaped(title));
    let replicas: usize = owners.iter().map(Vec::len).sum();
    for (at, node) in nodes.iter().enumerate() {
        let y = 64.0 + LINE * at as f64;
        let share = 100.0 * node.owned as f64 / replicas.max(1) as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{}\" width=\"14\" height=\"14\" fill=\"{}\"/>\n<text x=\"{}\" y=\"{y}\">{}: {share:.1} % \
             ({} partitions, first of {})</text>",
            y - 12.0,
            colour(at, nodes.len()),
            left + 22.0,
            escaped(&node.name),
            node.owned,
            node.first
        );
    }
}

/// Clockwise from the top.
fn angle(partition: usize, partitions: usize) -> f64 {
    let turn = partition as f64 / partitions.max(1) as f64;
    turn * std::f64::consts::TAU - std::f64::consts::FRAC_PI_2
}

fn slice(from: f64, to: f64, inner: f64, outer: f64) -> String {
    let point = |angle: f64, radius: f64| {
        format!("{:.2} {:.2}", SIZE / 2.0 + radius * angle.cos(), SIZE / 2.0 + radius * angle.sin())
    };
    // A whole turn is no arc: its ends are one point.
    let to = to.min(from + std::f64::consts::TAU * 0.9999);
    let large = u8::from(to - from > std::f64::consts::PI);
    format!(
        "M{} A{outer} {outer} 0 {large} 1 {} L{} A{inner} {inner} 0 {large} 0 {} Z",
        point(from, outer),
        point(to, outer),
        point(to, inner),
        point(from, inner)
    )
}

/// Colours as far from each other as so many can be.
fn colour(node: usize, nodes: usize) -> String {
    let hue = 360.0 * node as f64 / nodes.max(1) as f64;
    let lightness = if node.is_multiple_of(2) { 48 } else { 62 };
    format!("hsl({hue:.0},65%,{lightness}%)")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_a_slice_for_each_of_its_owners() {
        let entry = |name: &str| Entry { name: name.into(), first: 2, owned: 4 };
        let nodes = [entry("a<b"), entry("c")];
        let owners = vec![vec![0, 1], vec![1, 0], vec![0, 1], vec![1, 0]];
        let svg = ring("epoch 3", &nodes, &owners);
        assert_eq!(svg.matches("<path").count(), 8);
        assert_eq!(svg.matches(&colour(0, 2)).count(), 5, "four slices and the legend");
        assert!(svg.contains("a&lt;b: 50.0 % (4 partitions, first of 2)"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }

    #[test]
    fn one_partition_is_nearly_a_whole_turn() {
        let path = slice(angle(0, 1), angle(1, 1), 10.0, 20.0);
        assert!(path.contains(" 0 1 1 ") && !path.contains("NaN"), "{path}");
        assert!(ring("", &[], &[]).contains("</svg>"));
    }
}
