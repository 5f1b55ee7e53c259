//! From figures to pixels: ticks, panels, lines with their bands.

use super::svg::{Anchor, Style, Svg};
use super::{GRID, INK, MUTED};
use crate::statistic::Statistic;

/// A rectangle in which values are drawn. x is in whatever unit the figure uses, from `x_range.0` to `x_range.1`.
pub(super) struct Panel {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x_range: (f64, f64),
    pub(super) y_range: (f64, f64),
}

/// A line with its band: mean and standard deviation at every x.
pub(super) struct Series<'a> {
    pub(super) colour: &'a str,
    pub(super) points: Vec<(f64, Statistic)>,
}

impl Panel {
    pub(super) fn x(&self, value: f64) -> f64 {
        let (from, to) = self.x_range;
        self.left + (value - from) / (to - from) * self.width
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        let (from, to) = self.y_range;
        self.top + self.height - (value - from) / (to - from) * self.height
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    /// Horizontal grid lines, with their values where `labelled`, and a stronger line at 0.
    pub(super) fn grid(&self, svg: &mut Svg, labelled: bool) {
        let (values, decimals) = ticks(self.y_range, (self.height / 34.0).max(2.0));
        for value in values {
            let y = self.y(value);
            let colour = if value == 0.0 { "#9aa0a6" } else { GRID };
            svg.line((self.left, y), (self.right(), y), colour, 1.0, "");
            if labelled {
                let text = format!("{value:.decimals$}").replace('-', "−");
                svg.text(
                    (self.left - 6.0, y + 4.0),
                    Style::LABEL.at(Anchor::End).size(11.0).colour(MUTED),
                    &text,
                );
            }
        }
    }

    /// What the y axis shows, read upwards, `offset` pixels left of the panel.
    pub(super) fn y_title(&self, svg: &mut Svg, offset: f64, title: &str) {
        let at = (self.left - offset, self.top + self.height / 2.0);
        svg.turned_text(at, Style::LABEL.colour(INK), title, true);
    }

    pub(super) fn band(&self, svg: &mut Svg, series: &Series<'_>) {
        let edge = |sign: f64| {
            series.points.iter().map(move |(x, figure)| {
                let value = figure.mean + sign * figure.standard_deviation;
                (self.x(*x), self.y(value.clamp(self.y_range.0, self.y_range.1)))
            })
        };
        let outline: Vec<(f64, f64)> = edge(1.0).chain(edge(-1.0).rev()).collect();
        if series.points.len() > 1 {
            svg.area(&outline, series.colour, 0.16);
        }
    }

    /// The means; with dots where there is room for them.
    pub(super) fn means(&self, svg: &mut Svg, series: &Series<'_>, width: f64) {
        let line: Vec<(f64, f64)> =
            series.points.iter().map(|(x, figure)| (self.x(*x), self.y(figure.mean))).collect();
        svg.path(&line, series.colour, width);
        if self.width / line.len().max(1) as f64 >= 7.0 {
            for at in line {
                svg.circle(at, width, series.colour, "none", 0.0);
            }
        }
    }
}

/// A range that holds all bands, with some air, and 0.
pub(super) fn range_of<'a>(series: impl IntoIterator<Item = &'a Series<'a>>) -> (f64, f64) {
    let mut range = (0.0_f64, 0.0_f64);
    for (_, figure) in series.into_iter().flat_map(|series| &series.points) {
        range.0 = range.0.min(figure.mean - figure.standard_deviation);
        range.1 = range.1.max(figure.mean + figure.standard_deviation);
    }
    let air = (range.1 - range.0).max(1e-6) * 0.06;
    (if range.0 < 0.0 { range.0 - air } else { 0.0 }, if range.1 > 0.0 { range.1 + air } else { air })
}

/// Round values in a range, about `wanted` of them, and the decimals they need.
pub(super) fn ticks(range: (f64, f64), wanted: f64) -> (Vec<f64>, usize) {
    let rough = (range.1 - range.0) / wanted;
    let power = 10.0_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= rough).unwrap_or(10.0);
    let step = factor * power;
    let decimals = (-step.log10() + 1e-9).ceil().clamp(0.0, 9.0) as usize;
    let first = (range.0 / step).ceil() as i64;
    let last = (range.1 / step).floor() as i64;
    ((first..=last).map(|at| at as f64 * step).collect(), decimals)
}

/// Names of lines, side by side from `left` on: a stroke of the line's colour and its name.
pub(super) fn legend(svg: &mut Svg, left: f64, y: f64, entries: &[(&str, &str)]) {
    let mut x = left;
    for (colour, name) in entries {
        svg.line((x, y - 4.0), (x + 22.0, y - 4.0), colour, 3.0, "");
        svg.text((x + 28.0, y), Style::LABEL.at(Anchor::Start), name);
        x += 28.0 + super::svg::text_width(name, 12.0) + 18.0;
    }
}
