//! The similarity network of a small draw under three weights.

use std::f64::consts::TAU;

use reasonedit_figure::WIDTH;
use reasonedit_figure::colour::{INK, MUTED};
use reasonedit_figure::svg::{Anchor, Style, Svg, text_width};

use super::layout::{fit, places};
use crate::error::Result;
use crate::markdown::number;
use crate::network::Network;
use crate::partition::Partition;
use crate::report::ModularityReport;
use crate::rows::SquaredDistances;
use crate::statistic::harmonic_mean;

/// Fill of a picture's nodes, and the colour of the letter on it.
const COLOURS: [(&str, &str); 8] = [
    ("#0072b2", "#ffffff"),
    ("#e69f00", "#000000"),
    ("#009e73", "#ffffff"),
    ("#cc79a7", "#000000"),
    ("#56b4e9", "#000000"),
    ("#d55e00", "#ffffff"),
    ("#f0e442", "#000000"),
    ("#555555", "#ffffff"),
];
/// How far the two unbalanced weights lie from the chosen one.
const FACTOR: f64 = 10.0;
const RADIUS: f64 = 9.0;
const MARGIN: f64 = 20.0;
const PANEL_GAP: f64 = 18.0;
const PANEL_TOP: f64 = 84.0;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 22.0;

/// The network of the report's small draw under a tenth of the chosen weight, the chosen one and ten times
/// it: near what is alike, colour by picture, shape and letter by text, and of all edges the strongest.
/// `None` if the report holds no draw.
///
/// # Errors
/// A draw of fewer than two pairs, or distances that are not as many as it says.
pub fn network(report: &ModularityReport) -> Result<Option<String>> {
    let Some(sample) = &report.network else { return Ok(None) };
    let pairs = sample.pairs;
    let images = SquaredDistances::from_values(sample.images.clone(), pairs)?;
    let texts = SquaredDistances::from_values(sample.texts.clone(), pairs)?;
    let nodes: Vec<(u32, u32)> =
        (0..pairs as u32).flat_map(|image| (0..pairs as u32).map(move |text| (image, text))).collect();
    let by_image = Partition::new(nodes.iter().map(|node| node.0));
    let by_text = Partition::new(nodes.iter().map(|node| node.1));

    let legend_columns = if sample.captions.is_empty() { 6 } else { 2 };
    let legend_rows = pairs.div_ceil(legend_columns) + pairs.div_ceil(6);
    let side = (WIDTH - 2.0 * MARGIN - 2.0 * PANEL_GAP) / 3.0;
    let mut svg = Svg::new(PANEL_TOP + side + 62.0 + legend_rows as f64 * LEGEND_LINE + 14.0);
    let title = "Similarity network under three weights";
    svg.text((MARGIN, 26.0), Style::LABEL.at(Anchor::Start).size(16.0).bold(), title);

    let chosen = report.selection.weight.chosen;
    let panels = [
        ("vision-biased", chosen / FACTOR),
        ("balanced (chosen)", chosen),
        ("language-biased", chosen * FACTOR),
    ];
    for (at, (name, weight)) in panels.into_iter().enumerate() {
        let left = MARGIN + at as f64 * (side + PANEL_GAP);
        let network = Network::of_pairs(&images, &texts, &nodes, weight)?;
        let modularities = network.modularities(&[&by_image, &by_text])?;
        let middle = left + side / 2.0;
        svg.text((middle, 56.0), Style::LABEL.size(13.0).bold(), name);
        svg.text((middle, 74.0), Style::LABEL.colour(MUTED), &format!("λ = {}", number(weight)));
        svg.frame(left, PANEL_TOP, side, side, "#c4c8cd");
        draw_panel(&mut svg, &network, pairs, (middle, PANEL_TOP + side / 2.0), side);
        let [vision, language] = [modularities[0], modularities[1]];
        let figures = format!("vision {vision:.3}  ·  language {language:.3}").replace('-', "−");
        let harmonic = format!("harmonic mean {:.3}", harmonic_mean(vision, language));
        svg.text((middle, PANEL_TOP + side + 20.0), Style::LABEL, &figures);
        svg.text((middle, PANEL_TOP + side + 37.0), Style::LABEL, &harmonic);
    }
    legend(&mut svg, pairs, &sample.captions, legend_columns, PANEL_TOP + side + 74.0);
    let description = format!("{pairs} pictures crossed with {pairs} texts; nodes that are alike lie near.");
    Ok(Some(svg.finish(title, &description)))
}

fn draw_panel(svg: &mut Svg, network: &Network<'_>, pairs: usize, centre: (f64, f64), side: f64) {
    let count = network.nodes();
    let mut distances = vec![0.0; count * count];
    let mut edges: Vec<(f64, usize, usize)> = Vec::new();
    for a in 0..count {
        for b in 0..a {
            let distance = network.distance(a, b);
            distances[a * count + b] = distance;
            distances[b * count + a] = distance;
            edges.push((distance, b, a));
        }
    }
    // Nodes shrink where there are many, so that they never fill the panel.
    let radius = RADIUS.min(side / (count as f64).sqrt() / 3.2);
    let at = fit(&places(&distances, count), centre, side - 2.0 * radius - 16.0, 2.0 * radius + 1.0);
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let farthest = edges.last().map_or(0.0, |edge| edge.0);
    let nearest = edges.first().map_or(0.0, |edge| edge.0);
    // As many as lie inside the groups of a partition by picture, or by text: what a clear network would
    // show.
    edges.truncate(pairs * (pairs * (pairs - 1) / 2));
    for &(distance, a, b) in edges.iter().rev() {
        let weight = if farthest > nearest { (farthest - distance) / (farthest - nearest) } else { 1.0 };
        svg.edge(at[a], at[b], 0.5 + 1.5 * weight, 0.12 + 0.4 * weight * weight);
    }
    for (node, place) in at.iter().enumerate() {
        mark(svg, *place, radius, node / pairs, node % pairs);
    }
}

/// A node: the picture's colour, the text's shape and letter.
fn mark(svg: &mut Svg, at: (f64, f64), radius: f64, image: usize, text: usize) {
    let (fill, ink) = COLOURS[image % COLOURS.len()];
    shape(svg, at, radius, text, fill);
    letter(svg, at, radius, text, ink);
}

fn letter(svg: &mut Svg, at: (f64, f64), radius: f64, text: usize, ink: &str) {
    let name = char::from(b'A' + (text % 26) as u8).to_string();
    let size = (radius * 1.05).round();
    svg.text((at.0, at.1 + size * 0.36), Style::LABEL.size(size).bold().colour(ink), &name);
}

fn shape(svg: &mut Svg, at: (f64, f64), radius: f64, text: usize, fill: &str) {
    // Corners and the turn of the first; areas roughly those of the circle.
    let (corners, turn, scale) = match text % 6 {
        0 => return svg.circle(at, radius, fill, "#ffffff", 1.2),
        1 => (4, 0.125, 1.2),
        2 => (3, 0.75, 1.42),
        3 => (4, 0.0, 1.2),
        4 => (3, 0.25, 1.42),
        _ => (6, 0.0, 1.1),
    };
    let outline: Vec<(f64, f64)> = (0..corners)
        .map(|corner| {
            let angle = (f64::from(corner) / f64::from(corners) + turn) * TAU;
            (at.0 + radius * scale * angle.cos(), at.1 + radius * scale * angle.sin())
        })
        .collect();
    svg.shape(&outline, fill);
}

/// Which colour is which picture, and which shape and letter is which text.
fn legend(svg: &mut Svg, pairs: usize, captions: &[String], columns: usize, top: f64) {
    let label = Style::LABEL.at(Anchor::Start);
    svg.text((MARGIN, top + 4.0), label.bold(), "colour");
    let left = MARGIN + 64.0;
    let pitch = (WIDTH - MARGIN - left) / 6.0;
    for image in 0..pairs {
        let (x, y) = (left + (image % 6) as f64 * pitch, top + (image / 6) as f64 * LEGEND_LINE);
        svg.circle((x, y), 7.0, COLOURS[image % COLOURS.len()].0, "#ffffff", 1.0);
        svg.text((x + 13.0, y + 4.0), label, &format!("picture {}", image + 1));
    }
    let top = top + pairs.div_ceil(6) as f64 * LEGEND_LINE + 4.0;
    svg.text((MARGIN, top + 4.0), label.bold(), "shape");
    let pitch = (WIDTH - MARGIN - left) / columns as f64;
    for text in 0..pairs {
        let (x, y) = (left + (text % columns) as f64 * pitch, top + (text / columns) as f64 * LEGEND_LINE);
        shape(svg, (x, y), 7.5, text, MUTED);
        letter(svg, (x, y), 7.5, text, "#ffffff");
        let name =
            captions.get(text).map_or_else(|| format!("text {}", text + 1), |c| shortened(c, pitch - 30.0));
        svg.text((x + 14.0, y + 4.0), label.colour(INK), &name);
    }
}

/// As much of `text` as fits into `width`.
fn shortened(text: &str, width: f64) -> String {
    if text_width(text, 12.0) <= width {
        return text.to_owned();
    }
    let fitting = (width / text_width("x", 12.0)) as usize;
    let kept: String = text.chars().take(fitting.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
