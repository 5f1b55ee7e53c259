//! From figures to pixels: ticks, panels, lines with their bands.

use crate::colour::{GRID, INK, MUTED};
use crate::svg::{Anchor, Style, Svg, text_width};

/// A rectangle in which values are drawn. x is in whatever unit the figure uses, from `x_range.0` to
/// `x_range.1`.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Left edge in pixels.
    pub left: f64,
    /// Upper edge in pixels.
    pub top: f64,
    /// Pixels.
    pub width: f64,
    /// Pixels.
    pub height: f64,
    /// The values at the left and the right edge.
    pub x_range: (f64, f64),
    /// The values at the lower and the upper edge.
    pub y_range: (f64, f64),
}

/// A value at an x, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// The value.
    pub value: f64,
    /// Lower end of its band.
    pub low: f64,
    /// Upper end of its band.
    pub high: f64,
}

/// A line with its band.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Of the line; the band is a light one of it.
    pub colour: &'a str,
    /// In order of x.
    pub points: Vec<Point>,
}

impl Panel {
    /// Pixel of a value on the horizontal axis.
    pub fn x(&self, value: f64) -> f64 {
        let (from, to) = self.x_range;
        self.left + (value - from) / (to - from) * self.width
    }

    /// Pixel of a value on the vertical axis.
    pub fn y(&self, value: f64) -> f64 {
        let (from, to) = self.y_range;
        self.top + self.height - (value - from) / (to - from) * self.height
    }

    /// Lower edge in pixels.
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Right edge in pixels.
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    /// Horizontal grid lines, with their values where `labelled`, and a stronger line at 0.
    pub fn grid(&self, svg: &mut Svg, labelled: bool) {
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
    pub fn y_title(&self, svg: &mut Svg, offset: f64, title: &str) {
        let at = (self.left - offset, self.top + self.height / 2.0);
        svg.turned_text(at, Style::LABEL.colour(INK), title, true);
    }

    /// The band of a line.
    pub fn band(&self, svg: &mut Svg, series: &Series<'_>) {
        let at = |x: f64, value: f64| (self.x(x), self.y(value.clamp(self.y_range.0, self.y_range.1)));
        let upper = series.points.iter().map(|point| at(point.x, point.high));
        let lower = series.points.iter().rev().map(|point| at(point.x, point.low));
        let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
        if series.points.len() > 1 {
            svg.area(&outline, series.colour, 0.16);
        }
    }

    /// The line itself; with dots where there is room for them.
    pub fn means(&self, svg: &mut Svg, series: &Series<'_>, width: f64) {
        let line: Vec<(f64, f64)> =
            series.points.iter().map(|point| (self.x(point.x), self.y(point.value))).collect();
        svg.path(&line, series.colour, width);
        if self.width / line.len().max(1) as f64 >= 7.0 {
            for at in line {
                svg.circle(at, width, series.colour, "none", 0.0);
            }
        }
    }
}

/// A range that holds all bands, with some air, and 0.
pub fn range_of<'a>(series: impl IntoIterator<Item = &'a Series<'a>>) -> (f64, f64) {
    let mut range = (0.0_f64, 0.0_f64);
    for point in series.into_iter().flat_map(|series| &series.points) {
        range.0 = range.0.min(point.low);
        range.1 = range.1.max(point.high);
    }
    let air = (range.1 - range.0).max(1e-6) * 0.06;
    (if range.0 < 0.0 { range.0 - air } else { 0.0 }, if range.1 > 0.0 { range.1 + air } else { air })
}

/// Round values in a range, about `wanted` of them, and the decimals they need.
pub fn ticks(range: (f64, f64), wanted: f64) -> (Vec<f64>, usize) {
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
pub fn legend(svg: &mut Svg, left: f64, y: f64, entries: &[(&str, &str)]) {
    let mut x = left;
    for (colour, name) in entries {
        svg.line((x, y - 4.0), (x + 22.0, y - 4.0), colour, 3.0, "");
        svg.text((x + 28.0, y), Style::LABEL.at(Anchor::Start), name);
        x += 28.0 + text_width(name, 12.0) + 18.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let (values, decimals) = ticks((-0.013, 0.047), 5.0);
        let texts: Vec<String> = values.iter().map(|value| format!("{value:.decimals$}")).collect();
        assert_eq!(texts, ["0.00", "0.02", "0.04"]);
        let (values, decimals) = ticks((0.0, 1.0), 5.0);
        assert_eq!((values.len(), decimals), (6, 1));
    }
}
