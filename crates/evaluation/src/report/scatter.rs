//! An editor a point: generality against what is kept, cost against quality; and an editor a line: what is
//! lost over sequential edits.

use reasonedit_figure::WIDTH;
use reasonedit_figure::axis::Panel;
use reasonedit_figure::colour::{GRID, INK, MUTED};
use reasonedit_figure::svg::{Anchor, Style, Svg, text_width};

use super::drawing::{colour, title};
use super::groups::{is_labelled, is_reasoning_variant};
use super::{EvaluationReport, MetricFigures};
use crate::editors::UNEDITED;
use crate::questions::Metric;

const LEFT: f64 = 74.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 84.0;
const HEIGHT: f64 = 430.0;
/// Height of the names beside points.
const FONT: f64 = 11.0;
/// Radius of a point.
const RADIUS: f64 = 5.0;

/// What generality is the mean of.
const GENERALITY: [Metric; 4] =
    [Metric::TextGenerality, Metric::ImageGenerality, Metric::RationaleGenerality, Metric::CoeGenerality];
/// What is kept is the mean of.
const KEPT: [Metric; 3] = [Metric::Locality, Metric::HardLocality, Metric::Contrast];

/// One editor's point.
struct Dot<'a> {
    name: &'a str,
    x: f64,
    y: f64,
}

/// A picture of points.
struct Scatter<'a> {
    title: &'a str,
    x_title: &'a str,
    y_title: &'a str,
    x_range: (f64, f64),
    y_range: (f64, f64),
    /// Values named on the horizontal axis.
    x_ticks: Vec<(f64, String)>,
    dots: Vec<Dot<'a>>,
}

/// The mean of the metrics that there are figures of.
fn mean(figures: &MetricFigures, metrics: &[Metric]) -> Option<f64> {
    let values: Vec<f64> =
        metrics.iter().filter_map(|metric| figures.get(metric.name())?.right.value).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Generality against what is kept.
pub(super) fn generality(report: &EvaluationReport) -> Option<String> {
    let dots: Vec<Dot<'_>> = report
        .measured()
        .filter_map(|(name, editor)| {
            let (x, y) = (mean(&editor.metrics, &KEPT)?, mean(&editor.metrics, &GENERALITY)?);
            Some(Dot { name, x, y })
        })
        .collect();
    let least = dots.iter().map(|dot| dot.x).fold(1.0, f64::min);
    // In steps of a fifth, so that pictures of several runs look alike.
    let from = ((least - 0.05).max(0.0) * 5.0).floor() / 5.0;
    let (ticks, _) = reasonedit_figure::axis::ticks((from, 1.0), 6.0);
    let scatter = Scatter {
        title: "Generality against what is kept",
        x_title: "kept: mean of locality, hard locality and contrast",
        y_title: "generality: mean of text, image, rationale and chain of error",
        x_range: (from, 1.02),
        y_range: (0.0, 1.02),
        x_ticks: ticks.into_iter().map(|value| (value, format!("{value:.2}"))).collect(),
        dots,
    };
    scatter.draw(report)
}

/// Cost of an edit against the harmonic mean of all figures.
pub(super) fn cost(report: &EvaluationReport) -> Option<String> {
    let dots: Vec<Dot<'_>> = report
        .measured()
        .filter_map(|(name, editor)| {
            let ms = editor.edit_ms.filter(|ms| *ms > 0.0)?;
            Some(Dot { name, x: ms.log10(), y: editor.harmonic_mean.all.value? })
        })
        .collect();
    let least = dots.iter().map(|dot| dot.x).fold(f64::INFINITY, f64::min).floor();
    let most = dots.iter().map(|dot| dot.x).fold(f64::NEG_INFINITY, f64::max).ceil();
    if dots.is_empty() {
        return None;
    }
    let most = if most > least { most } else { least + 1.0 };
    let powers = (least as i32)..=(most as i32);
    let scatter = Scatter {
        title: "Cost of an edit against quality",
        x_title: "median time of an edit, logarithmic",
        y_title: "harmonic mean of all figures",
        x_range: (least, most),
        y_range: (0.0, 1.02),
        x_ticks: powers.map(|power| (f64::from(power), duration(power))).collect(),
        dots,
    };
    scatter.draw(report)
}

/// A power of ten of milliseconds.
fn duration(power: i32) -> String {
    if power >= 3 { format!("{} s", 10_f64.powi(power - 3)) } else { format!("{} ms", 10_f64.powi(power)) }
}

impl Scatter<'_> {
    fn draw(&self, report: &EvaluationReport) -> Option<String> {
        if self.dots.iter().all(|dot| dot.name == UNEDITED) {
            return None;
        }
        let mut svg = Svg::new(TOP + HEIGHT + 60.0);
        title(&mut svg, self.title);
        markers(&mut svg);
        let panel = Panel {
            left: LEFT,
            top: TOP,
            width: WIDTH - LEFT - RIGHT,
            height: HEIGHT,
            x_range: self.x_range,
            y_range: self.y_range,
        };
        panel.grid(&mut svg, true);
        panel.y_title(&mut svg, 48.0, self.y_title);
        for (value, label) in &self.x_ticks {
            let x = panel.x(*value);
            svg.line((x, panel.top), (x, panel.bottom()), GRID, 1.0, "");
            svg.text((x, panel.bottom() + 18.0), Style::LABEL.size(11.0).colour(MUTED), label);
        }
        let below = (panel.left + panel.width / 2.0, panel.bottom() + 42.0);
        svg.text(below, Style::LABEL, self.x_title);
        let places: Vec<(f64, f64)> = self.dots.iter().map(|dot| (panel.x(dot.x), panel.y(dot.y))).collect();
        let mut labels = Labels::new(&panel, &places);
        for (dot, at) in self.dots.iter().zip(&places) {
            mark(&mut svg, *at, dot.name, colour(report, dot.name));
        }
        for (dot, at) in self.dots.iter().zip(&places) {
            labels.write(&mut svg, *at, dot.name, colour(report, dot.name));
        }
        let names: Vec<&str> = self.dots.iter().map(|dot| dot.name).collect();
        Some(svg.finish(self.title, &format!("A point for each of: {}.", names.join(", "))))
    }
}

/// What the forms of the points say.
fn markers(svg: &mut Svg) {
    let mut x = LEFT;
    for (example, text) in
        [("a", "an editor"), ("a-cot", "with the reasoning"), ("a@b", "as published"), ("a-cot@b", "both")]
    {
        mark(svg, (x + RADIUS, 50.0), example, INK);
        svg.text((x + 16.0, 54.0), Style::LABEL.at(Anchor::Start).colour(MUTED), text);
        x += 16.0 + text_width(text, 12.0) + 18.0;
    }
}

/// A circle, or a triangle with other settings than its own; hollow for a variant with the reasoning.
fn mark(svg: &mut Svg, (x, y): (f64, f64), name: &str, colour: &str) {
    let fill = if is_reasoning_variant(name) { "#ffffff" } else { colour };
    if is_labelled(name) {
        let corner = |turn: f64, radius: f64| {
            let angle = std::f64::consts::TAU * (turn - 0.25);
            (x + radius * angle.cos(), y + radius * angle.sin())
        };
        let triangle = |radius: f64| [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|turn| corner(turn, radius));
        svg.area(&triangle(RADIUS + 2.5), colour, 1.0);
        svg.area(&triangle(RADIUS - 1.5), fill, 1.0);
    } else {
        svg.circle((x, y), RADIUS - 0.5, fill, colour, 2.0);
    }
}

/// A box: left, top, right, bottom.
type Area = (f64, f64, f64, f64);

/// Names beside their points, where nothing else stands.
struct Labels {
    taken: Vec<Area>,
    bounds: Area,
}

impl Labels {
    fn new(panel: &Panel, points: &[(f64, f64)]) -> Self {
        let reach = RADIUS + 1.0;
        let taken = points.iter().map(|(x, y)| (x - reach, y - reach, x + reach, y + reach)).collect();
        Self { taken, bounds: (panel.left, panel.top - 12.0, panel.right() + RIGHT, panel.bottom()) }
    }

    /// At the first free place around the point, the nearest first, with a thin line to it where it is not
    /// beside it. Where everything near is taken it is left out: colour and form still tell it.
    fn write(&mut self, svg: &mut Svg, (x, y): (f64, f64), name: &str, colour: &str) {
        let width = text_width(name, FONT) * 0.92;
        for ring in 0..9 {
            let away = f64::from(ring) * 11.0;
            for (right, up) in [(1.0, 0.0), (1.0, 1.0), (1.0, -1.0), (-1.0, 0.0), (-1.0, 1.0), (-1.0, -1.0)] {
                if ring == 0 && up != 0.0 {
                    continue;
                }
                let side = if right > 0.0 { 10.0 } else { -10.0 - width };
                let (left, base) = (x + side + right * away * 0.4, y + 4.0 - up * away);
                let area = (left, base - FONT + 1.0, left + width, base + 3.0);
                if !self.is_free(area) {
                    continue;
                }
                if ring > 1 {
                    let end = if right > 0.0 { left - 2.0 } else { left + width + 2.0 };
                    svg.line((x, y), (end, base - 4.0), "#9aa0a6", 0.7, "");
                }
                svg.text((left, base), Style::LABEL.at(Anchor::Start).size(FONT).colour(colour), name);
                self.taken.push(area);
                return;
            }
        }
    }

    fn is_free(&self, area: Area) -> bool {
        let within = area.0 >= self.bounds.0
            && area.1 >= self.bounds.1
            && area.2 <= self.bounds.2
            && area.3 <= self.bounds.3;
        let apart =
            |other: &Area| area.2 < other.0 || other.2 < area.0 || area.3 < other.1 || other.3 < area.1;
        within && self.taken.iter().all(apart)
    }
}

/// The harmonic mean of all figures over sequential edits.
pub(super) fn decay(report: &EvaluationReport) -> Option<String> {
    let mut lines: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for (name, course) in &report.sequential.0 {
        let points: Vec<(f64, f64)> = course
            .tests
            .iter()
            .filter_map(|test| Some((test.edits as f64, test.harmonic_mean.all.value?)))
            .collect();
        if !points.is_empty() {
            lines.push((name, points));
        }
    }
    let most = lines.iter().flat_map(|(_, points)| points).map(|(x, _)| *x).fold(0.0, f64::max);
    if lines.is_empty() {
        return None;
    }
    let heading = "What is lost over sequential edits";
    // The names stand at the right, beside the ends of their lines.
    let room = lines.iter().map(|(name, _)| text_width(name, FONT)).fold(0.0, f64::max) + 26.0;
    let height = HEIGHT.max(lines.len() as f64 * (FONT + 4.0));
    let mut svg = Svg::new(TOP + height + 60.0);
    title(&mut svg, heading);
    let panel = Panel {
        left: LEFT,
        top: TOP - 30.0,
        width: WIDTH - LEFT - room - 8.0,
        height,
        x_range: (0.0, most),
        y_range: (0.0, 1.02),
    };
    panel.grid(&mut svg, true);
    panel.y_title(&mut svg, 48.0, "harmonic mean of all figures");
    for value in reasonedit_figure::axis::ticks((0.0, most), 6.0).0 {
        let at = (panel.x(value), panel.bottom() + 18.0);
        svg.text(at, Style::LABEL.size(11.0).colour(MUTED), &format!("{value:.0}"));
    }
    svg.text((panel.left + panel.width / 2.0, panel.bottom() + 42.0), Style::LABEL, "edits");
    for (name, points) in lines.iter().rev() {
        let line: Vec<(f64, f64)> = points.iter().map(|(x, y)| (panel.x(*x), panel.y(*y))).collect();
        let dashes = if is_reasoning_variant(name) { "6 3" } else { "" };
        for part in line.windows(2) {
            svg.line(part[0], part[1], colour(report, name), 1.8, dashes);
        }
        for at in &line {
            mark_small(&mut svg, *at, colour(report, name));
        }
    }
    let mut ends: Vec<(f64, f64, f64, &str)> = lines
        .iter()
        .filter_map(|(name, points)| {
            points.last().map(|(x, y)| (panel.y(*y), panel.x(*x), panel.y(*y), *name))
        })
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    spread(&mut ends, FONT + 3.0, panel.bottom());
    for (y, end_x, end_y, name) in ends {
        svg.line((end_x + 4.0, end_y), (panel.right() + 14.0, y), "#9aa0a6", 0.7, "");
        let style = Style::LABEL.at(Anchor::Start).size(FONT).colour(colour(report, name));
        svg.text((panel.right() + 18.0, y + 4.0), style, name);
    }
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    let description = format!("A line for each of: {}; dashed with the reasoning.", names.join(", "));
    Some(svg.finish(heading, &description))
}

fn mark_small(svg: &mut Svg, at: (f64, f64), colour: &str) {
    svg.circle(at, 2.0, colour, "none", 0.0);
}

/// Moves heights apart until none is nearer to the next than `apart`, and the last not below `bottom`.
fn spread(ends: &mut [(f64, f64, f64, &str)], apart: f64, bottom: f64) {
    for at in 1..ends.len() {
        ends[at].0 = ends[at].0.max(ends[at - 1].0 + apart);
    }
    let mut most = bottom;
    for end in ends.iter_mut().rev() {
        end.0 = end.0.min(most);
        most = end.0 - apart;
    }
}
