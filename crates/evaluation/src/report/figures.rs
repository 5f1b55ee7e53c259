//! The report as pictures.

use reasonedit_dataset::NoiseKind;
use reasonedit_figure::WIDTH;
use reasonedit_figure::axis::{Panel, Point, Series};
use reasonedit_figure::colour::{INK, MUTED};
use reasonedit_figure::svg::{Anchor, Style, Svg, text_width};

use super::drawing::{LEFT, RIGHT, colour, legend, title};
use super::scatter::{cost, decay, generality};
use super::{EditorFigures, EvaluationReport, MetricFigures};
use crate::baseline::RetrievalSetting;
use crate::editors::UNEDITED;
use crate::estimate::Estimate;
use crate::questions::Metric;

/// Between panels beside one another.
const GAP: f64 = 44.0;
/// Between panels above one another.
const ROW_GAP: f64 = 56.0;
/// Panels in a row, where there are many.
const COLUMNS: usize = 4;

/// A curve: its editor's name, and its points.
type Curve = (String, Vec<(f64, MetricFigures)>);

impl EvaluationReport {
    /// The pictures that there is something to draw for, by file name.
    pub fn figures(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        let mut add = |name: &str, picture: Option<String>| {
            files.extend(picture.map(|picture| (name.to_owned(), picture)));
        };
        add("metrics.svg", bars(self));
        add("generality.svg", generality(self));
        add("cost.svg", cost(self));
        add("sequential.svg", sequential(self));
        add("decay.svg", decay(self));
        add("noise.svg", noise(self));
        add("sensitivity.svg", sensitivity(self));
        files
    }
}

fn estimate(figures: &MetricFigures, metric: Metric) -> Option<(f64, f64, f64)> {
    let Estimate { value, low, high, .. } = figures.get(metric.name())?.right;
    Some((value?, low?, high?))
}

/// A group of bars for every metric, a bar for every editor, with the intervals.
fn bars(report: &EvaluationReport) -> Option<String> {
    let editors: Vec<&(String, EditorFigures)> =
        report.editors.0.iter().filter(|(_, editor)| !editor.metrics.0.is_empty()).collect();
    if editors.is_empty() {
        return None;
    }
    let names: Vec<(&str, &str)> =
        editors.iter().map(|(name, _)| (colour(report, name), name.as_str())).collect();
    let height_of_row = 190.0;
    // The height is known once the legend is laid out: it is laid out on a picture that is thrown away.
    let below_legend = legend(&mut Svg::new(0.0), &names, 54.0) + 34.0;
    let rows = Metric::ALL.len() / COLUMNS;
    let height = below_legend + rows as f64 * (height_of_row + ROW_GAP) - 12.0;
    let mut svg = Svg::new(height);
    title(&mut svg, &format!("Share of right answers, {} edits live at once", report.edits));
    svg.text((WIDTH - RIGHT, 26.0), Style::LABEL.at(Anchor::End).colour(MUTED), "lines: 95 % intervals");
    legend(&mut svg, &names, 54.0);
    let width = (WIDTH - LEFT - RIGHT - GAP * (COLUMNS - 1) as f64) / COLUMNS as f64;
    for (at, metric) in Metric::ALL.into_iter().enumerate() {
        let panel = Panel {
            left: LEFT + (at % COLUMNS) as f64 * (width + GAP),
            top: below_legend + (at / COLUMNS) as f64 * (height_of_row + ROW_GAP),
            width,
            height: height_of_row,
            x_range: (0.0, editors.len() as f64),
            y_range: (0.0, 1.0),
        };
        panel.grid(&mut svg, true);
        svg.text(
            (panel.left, panel.top - 10.0),
            Style::LABEL.at(Anchor::Start).size(13.0).bold(),
            metric.title(),
        );
        if report.lacking.contains(&metric) {
            let middle = (panel.left + width / 2.0, panel.top + height_of_row / 2.0);
            svg.text(middle, Style::LABEL.colour(MUTED), "no questions in the data");
        }
        for (place, (name, editor)) in editors.iter().enumerate() {
            let Some((value, low, high)) = estimate(&editor.metrics, metric) else { continue };
            let (left, right) = (panel.x(place as f64 + 0.12), panel.x(place as f64 + 0.88));
            let height = panel.bottom() - panel.y(value);
            svg.rectangle(left, panel.y(value), right - left, height, colour(report, name));
            let middle = f64::midpoint(left, right);
            svg.line((middle, panel.y(low)), (middle, panel.y(high)), INK, 1.4, "");
            for end in [low, high] {
                svg.line((middle - 3.0, panel.y(end)), (middle + 3.0, panel.y(end)), INK, 1.4, "");
            }
        }
        svg.line((panel.left, panel.bottom()), (panel.right(), panel.bottom()), "#9aa0a6", 1.0, "");
    }
    let names: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
    let description = format!("Bars per metric for: {}.", names.join(", "));
    Some(svg.finish("Share of right answers by metric and editor", &description))
}

/// What a figure of curves shows.
struct Sheet<'a> {
    title: &'a str,
    x_title: &'a str,
    x_range: (f64, f64),
    /// Values named on the horizontal axis.
    x_ticks: Vec<(f64, String)>,
    curves: Vec<Curve>,
}

/// A panel for every metric, a curve for every editor, with bands; and thin dashed lines for what doesn't
/// change.
fn draw(svg: &mut Svg, report: &EvaluationReport, of: &Sheet<'_>, top: f64) -> f64 {
    let fixed = unedited(report);
    let height_of_row = 150.0;
    let width = (WIDTH - LEFT - RIGHT - GAP * (COLUMNS - 1) as f64) / COLUMNS as f64;
    svg.text((20.0, top - 34.0), Style::LABEL.at(Anchor::Start).size(13.0).bold(), of.title);
    for (at, metric) in Metric::ALL.into_iter().enumerate() {
        let panel = Panel {
            left: LEFT + (at % COLUMNS) as f64 * (width + GAP),
            top: top + (at / COLUMNS) as f64 * (height_of_row + ROW_GAP),
            width,
            height: height_of_row,
            x_range: of.x_range,
            y_range: (0.0, 1.0),
        };
        panel.grid(svg, true);
        svg.text((panel.left, panel.top - 9.0), Style::LABEL.at(Anchor::Start).bold(), metric.title());
        let mut free_from = f64::NEG_INFINITY;
        for (value, label) in &of.x_ticks {
            let (x, half) = (panel.x(*value), text_width(label, 11.0) / 2.0);
            svg.line((x, panel.bottom()), (x, panel.bottom() + 4.0), "#9aa0a6", 1.0, "");
            if x - half >= free_from {
                svg.text((x, panel.bottom() + 17.0), Style::LABEL.size(11.0).colour(MUTED), label);
                free_from = x + half + 6.0;
            }
        }
        if at >= Metric::ALL.len() - COLUMNS {
            let middle = (panel.left + width / 2.0, panel.bottom() + 34.0);
            svg.text(middle, Style::LABEL.size(11.0), of.x_title);
        }
        if let Some((value, _, _)) = fixed.and_then(|figures| estimate(figures, metric)) {
            let y = panel.y(value);
            svg.line((panel.left, y), (panel.right(), y), MUTED, 1.2, "4 3");
        }
        let lines: Vec<Series<'_>> = of
            .curves
            .iter()
            // The first stands before the others where they are equal.
            .rev()
            .map(|(name, points)| Series {
                colour: colour(report, name),
                points: points
                    .iter()
                    .filter_map(|(x, figures)| {
                        let (value, low, high) = estimate(figures, metric)?;
                        Some(Point { x: *x, value, low, high })
                    })
                    .collect(),
            })
            .filter(|line: &Series<'_>| !line.points.is_empty())
            .collect();
        for line in &lines {
            panel.band(svg, line);
        }
        for line in &lines {
            panel.means(svg, line, 1.8);
        }
    }
    let rows = Metric::ALL.len() / COLUMNS;
    top + rows as f64 * (height_of_row + ROW_GAP)
}

/// What doesn't change with anything.
fn unedited(report: &EvaluationReport) -> Option<&MetricFigures> {
    report.editors.get(UNEDITED).map(|editor| &editor.metrics).filter(|figures| !figures.0.is_empty())
}

/// Figures of curves under one another, under one legend.
fn picture(report: &EvaluationReport, title_text: &str, parts: &[Sheet<'_>]) -> Option<String> {
    let parts: Vec<&Sheet<'_>> = parts.iter().filter(|part| !part.curves.is_empty()).collect();
    let drawn = |name: &str| parts.iter().flat_map(|part| &part.curves).any(|(other, _)| other == name);
    let mut names: Vec<(&str, &str)> = report
        .editors
        .0
        .iter()
        .filter(|(name, _)| drawn(name))
        .map(|(name, _)| (colour(report, name), name.as_str()))
        .collect();
    if names.is_empty() {
        return None;
    }
    if unedited(report).is_some() {
        names.push((MUTED, "unedited (dashed)"));
    }
    let below_legend = legend(&mut Svg::new(0.0), &names, 54.0) + 66.0;
    let mut height = below_legend;
    for part in &parts {
        height = draw(&mut Svg::new(0.0), report, part, height) + 44.0;
    }
    let mut svg = Svg::new(height - 40.0);
    title(&mut svg, title_text);
    svg.text((WIDTH - RIGHT, 26.0), Style::LABEL.at(Anchor::End).colour(MUTED), "bands: 95 % intervals");
    legend(&mut svg, &names, 54.0);
    let mut top = below_legend;
    for part in parts {
        top = draw(&mut svg, report, part, top) + 44.0;
    }
    Some(svg.finish(title_text, "A panel for every metric, a curve for every editor."))
}

fn sequential(report: &EvaluationReport) -> Option<String> {
    let curves: Vec<Curve> = report
        .sequential
        .0
        .iter()
        .map(|(name, course)| {
            let points = course.tests.iter().map(|test| (test.edits as f64, test.metrics.clone()));
            (name.clone(), points.collect())
        })
        .collect();
    let most = curves.iter().flat_map(|(_, points)| points).map(|(x, _)| *x).fold(0.0, f64::max);
    let (ticks, _) = reasonedit_figure::axis::ticks((0.0, most.max(1.0)), 4.0);
    let x_ticks = ticks.into_iter().map(|value| (value, format!("{value:.0}"))).collect();
    let part = Sheet { title: "", x_title: "edits", x_range: (0.0, most.max(1.0) * 1.03), x_ticks, curves };
    picture(report, "Share of right answers, one edit after another", &[part])
}

fn noise(report: &EvaluationReport) -> Option<String> {
    let part = |kind: NoiseKind, title| {
        let curves: Vec<Curve> = report
            .noise
            .0
            .iter()
            .map(|(name, levels)| {
                let own = levels.iter().filter(|level| level.kind == kind);
                (name.clone(), own.map(|level| (f64::from(level.percent), level.metrics.clone())).collect())
            })
            .filter(|(_, points): &Curve| !points.is_empty())
            .collect();
        let most = curves.iter().flat_map(|(_, points)| points).map(|(x, _)| *x).fold(10.0, f64::max);
        let mut x_ticks: Vec<(f64, String)> = curves
            .first()
            .map(|(_, points)| points.iter().map(|(x, _)| (*x, format!("{x:.0} %"))).collect())
            .unwrap_or_default();
        x_ticks.dedup_by(|a, b| a.0 == b.0);
        let x_range = (-0.04 * most, 1.04 * most);
        Sheet { title, x_title: "share of statements", x_range, x_ticks, curves }
    };
    let parts = [
        part(NoiseKind::Replace, "Statements replaced by facts that have nothing to do with the picture"),
        part(NoiseKind::Add, "Such facts beside the statements"),
    ];
    picture(report, "Share of right answers with noise in the reasoning", &parts)
}

fn sensitivity(report: &EvaluationReport) -> Option<String> {
    let part = |setting: RetrievalSetting, title, x_title| {
        // Values are evenly apart, whatever they are: they are chosen so that each next one matters as much.
        let mut values: Vec<f64> = report
            .sensitivity
            .0
            .iter()
            .flat_map(|(_, sweep)| sweep)
            .filter(|point| point.setting == setting)
            .map(|point| point.value)
            .collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let place = |value: f64| values.iter().position(|own| *own == value).unwrap_or(0) as f64;
        let curves: Vec<Curve> = report
            .sensitivity
            .0
            .iter()
            .map(|(name, sweep)| {
                let own = sweep.iter().filter(|point| point.setting == setting);
                (name.clone(), own.map(|point| (place(point.value), point.metrics.clone())).collect())
            })
            .filter(|(_, points): &Curve| !points.is_empty())
            .collect();
        let x_ticks = values.iter().map(|value| (place(*value), format!("{value}"))).collect();
        let x_range = (-0.3, values.len().max(1) as f64 - 0.7);
        Sheet { title, x_title, x_range, x_ticks, curves }
    };
    let parts = [
        part(RetrievalSetting::K, "Keys whose sentences are put in front", "k"),
        part(RetrievalSetting::Tau, "Percentile beyond which nothing is retrieved", "τ"),
    ];
    picture(report, "Share of right answers over settings of retrieval", &parts)
}
