//! Modularities and biases over the layers, a column per pooling.

use reasonedit_figure::WIDTH;
use reasonedit_figure::axis::{Panel, Series, legend, range_of};
use reasonedit_figure::colour::{INK, MUTED};
use reasonedit_figure::svg::{Anchor, Style, Svg, text_width};

use super::{JOINT, LANGUAGE, VISION, point};
use crate::report::ModularityReport;
use crate::select::{ModularityFigures, Pooling, Stage, TapReport};
use crate::statistic::Statistic;

const LEFT: f64 = 76.0;
const RIGHT: f64 = 20.0;
const GAP: f64 = 26.0;
const TOP: f64 = 116.0;
/// Height of the panels of a row, and what the row shows.
const ROWS: [(f64, &str); 3] = [(190.0, "modularity"), (150.0, "bimodal modularity"), (170.0, "bias")];
const ROW_GAP: f64 = 20.0;

/// A line: its colour, and what it shows.
type Line = (&'static str, fn(&ModularityFigures) -> Statistic);

/// The lines of a row.
fn lines(row: usize) -> Vec<Line> {
    match row {
        0 => vec![(VISION, |f| f.vision_modularity), (LANGUAGE, |f| f.language_modularity)],
        1 => vec![(JOINT, |f| f.bimodal_modularity)],
        _ => vec![(VISION, |f| f.vision_bias), (LANGUAGE, |f| f.language_bias)],
    }
}

/// Neighbouring taps of one stage: the first and the last place.
struct Block<'a> {
    stage: Stage,
    /// Name of its first tap.
    name: &'a str,
    first: usize,
    last: usize,
}

/// The three modularities and both biases over the taps in forward order, mean pooling left and last token
/// right, with bands of ± one standard deviation over the runs, the model's blocks shaded and named, and the
/// chosen tap marked.
pub fn layers(report: &ModularityReport) -> String {
    let mut names: Vec<(&str, Stage)> = Vec::new();
    for tap in &report.taps {
        if !names.iter().any(|(name, _)| *name == tap.tap) {
            names.push((&tap.tap, tap.stage));
        }
    }
    let place = |tap: &TapReport| names.iter().position(|(name, _)| *name == tap.tap).unwrap_or(0) as f64;
    let columns: Vec<(Pooling, Vec<(f64, ModularityFigures)>)> = [Pooling::Mean, Pooling::Last]
        .into_iter()
        .map(|pooling| {
            let own = report.taps.iter().filter(|tap| tap.pooling == pooling);
            (pooling, own.map(|tap| (place(tap), tap.figures)).collect::<Vec<_>>())
        })
        .filter(|(_, taps)| !taps.is_empty())
        .collect();
    let series = |row: usize, taps: &[(f64, ModularityFigures)]| -> Vec<Series<'static>> {
        lines(row)
            .into_iter()
            .map(|(colour, read)| Series {
                colour,
                points: taps.iter().map(|(x, figures)| point(*x, &read(figures))).collect(),
            })
            .collect()
    };
    let blocks = blocks(&names);
    let count = columns.len().max(1) as f64;
    let width = (WIDTH - LEFT - RIGHT - GAP * (count - 1.0)) / count;

    let mut svg = Svg::new(TOP + ROWS.iter().map(|row| row.0 + ROW_GAP).sum::<f64>() + 34.0);
    svg.text(
        (20.0, 26.0),
        Style::LABEL.at(Anchor::Start).size(16.0).bold(),
        "Topology of the embedding, layer by layer",
    );
    legend(&mut svg, LEFT, 52.0, &[(VISION, "vision"), (LANGUAGE, "language"), (JOINT, "bimodal")]);
    let note = format!("bands: ± 1 standard deviation over {} runs", report.measured_on.runs);
    svg.text((WIDTH - RIGHT, 52.0), Style::LABEL.at(Anchor::End).colour(MUTED), &note);

    let mut top = TOP;
    for (row, (height, title)) in ROWS.into_iter().enumerate() {
        let all: Vec<Series<'_>> = columns.iter().flat_map(|(_, taps)| series(row, taps)).collect();
        let y_range = range_of(&all);
        for (column, (pooling, taps)) in columns.iter().enumerate() {
            let panel = Panel {
                left: LEFT + column as f64 * (width + GAP),
                top,
                width,
                height,
                x_range: (-0.7, names.len() as f64 - 0.3),
                y_range,
            };
            shade(&mut svg, &panel, &blocks);
            panel.grid(&mut svg, column == 0);
            if column == 0 {
                panel.y_title(&mut svg, 54.0, title);
            }
            if row == 0 {
                head(&mut svg, &panel, &blocks, *pooling);
            }
            let lines = series(row, taps);
            for line in &lines {
                panel.band(&mut svg, line);
            }
            mark_chosen(&mut svg, report, &names, &panel, *pooling, row);
            for line in &lines {
                panel.means(&mut svg, line, 1.8);
            }
            if row + 1 == ROWS.len() {
                tap_numbers(&mut svg, &panel, &names);
            }
        }
        top += height + ROW_GAP;
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    svg.text((middle, top + 22.0), Style::LABEL, "layer, in forward order (e: embedding)");
    let chosen = &report.selection.tap.chosen;
    svg.finish(
        "Topology of the embedding, layer by layer",
        &format!("Chosen: {} with {} pooling.", chosen.tap, chosen.pooling.name()),
    )
}

fn blocks<'a>(names: &[(&'a str, Stage)]) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    for (place, (name, stage)) in names.iter().enumerate() {
        match blocks.last_mut() {
            Some(block) if block.stage == *stage => block.last = place,
            _ => blocks.push(Block { stage: *stage, name, first: place, last: place }),
        }
    }
    blocks
}

fn edges(panel: &Panel, block: &Block<'_>) -> (f64, f64) {
    let left = panel.x(block.first as f64 - 0.5).max(panel.left);
    (left, panel.x(block.last as f64 + 0.5).min(panel.right()))
}

fn shade(svg: &mut Svg, panel: &Panel, blocks: &[Block<'_>]) {
    for block in blocks {
        let (left, right) = edges(panel, block);
        let fill = match block.stage {
            Stage::Vision => "#f3f8fc",
            Stage::Bridge => "#ececef",
            Stage::Language => "#fdf6f0",
        };
        svg.rectangle(left, panel.top, right - left, panel.height, fill);
        if block.first > 0 {
            svg.line((left, panel.top), (left, panel.bottom()), "#b4b8bd", 1.0, "3 3");
        }
    }
}

/// The pooling, and below it the names of the blocks. A block that is narrower than its name has it a line
/// higher.
fn head(svg: &mut Svg, panel: &Panel, blocks: &[Block<'_>], pooling: Pooling) {
    let title = match pooling {
        Pooling::Mean => "mean over tokens",
        Pooling::Last => "last token",
    };
    svg.text((panel.left, panel.top - 40.0), Style::LABEL.at(Anchor::Start).size(13.0).bold(), title);
    for block in blocks {
        let (left, right) = edges(panel, block);
        let (name, colour) = match block.stage {
            Stage::Vision => ("vision", VISION),
            Stage::Bridge => (block.name, MUTED),
            Stage::Language => ("language", LANGUAGE),
        };
        let half = text_width(name, 12.0) / 2.0;
        let middle = f64::midpoint(left, right);
        let fits = right - left > 2.0 * half;
        let x = middle.clamp(panel.left + half, panel.right() - half);
        let y = panel.top - if fits { 7.0 } else { 23.0 };
        svg.text((x, y), Style::LABEL.colour(colour), name);
        if !fits {
            svg.line((middle, panel.top - 19.0), (middle, panel.top - 2.0), "#b4b8bd", 1.0, "");
        }
    }
}

/// Numbers of the blocks below the last row, as many as fit.
fn tap_numbers(svg: &mut Svg, panel: &Panel, names: &[(&str, Stage)]) {
    let pitch = panel.width / names.len().max(1) as f64;
    let step =
        [1usize, 2, 5, 10, 20, 50, 100].into_iter().find(|step| *step as f64 * pitch >= 20.0).unwrap_or(100);
    let mut free_from = f64::NEG_INFINITY;
    let style = Style::LABEL.size(11.0).colour(MUTED);
    for (place, (name, stage)) in names.iter().enumerate() {
        let x = panel.x(place as f64);
        svg.line((x, panel.bottom()), (x, panel.bottom() + 3.0), "#b4b8bd", 1.0, "");
        let label = match name.rsplit_once('.').map(|(_, last)| last) {
            Some("embedding") => "e",
            Some(number) if number.parse::<usize>().is_ok_and(|n| n.is_multiple_of(step)) => number,
            None if *stage == Stage::Bridge => "m",
            _ => continue,
        };
        let half = text_width(label, 11.0) / 2.0;
        if x - half < free_from {
            continue;
        }
        svg.text((x, panel.bottom() + 16.0), style, label);
        free_from = x + half + 4.0;
    }
}

fn mark_chosen(
    svg: &mut Svg,
    report: &ModularityReport,
    names: &[(&str, Stage)],
    panel: &Panel,
    pooling: Pooling,
    row: usize,
) {
    let choice = &report.selection.tap;
    let place = names.iter().position(|(name, _)| *name == choice.chosen.tap);
    let (Some(place), true) = (place, pooling == choice.chosen.pooling) else { return };
    let x = panel.x(place as f64);
    svg.line((x, panel.top), (x, panel.bottom()), INK, 1.2, "5 4");
    if row != 1 {
        return;
    }
    svg.circle((x, panel.y(choice.value.mean)), 5.5, "#ffffff", JOINT, 2.6);
    let text = format!("chosen: {}", choice.chosen.tap);
    // In the gap above the panel, which no line crosses.
    let half = text_width(&text, 12.0) / 2.0;
    let middle = x.clamp(panel.left + half, panel.right() - half);
    svg.text((middle, panel.top - 6.0), Style::LABEL.bold(), &text);
}
