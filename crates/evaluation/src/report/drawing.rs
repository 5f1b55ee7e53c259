//! What all pictures of the report have in common.

use reasonedit_figure::WIDTH;
use reasonedit_figure::colour::{NEUTRAL, SERIES, series};
use reasonedit_figure::svg::{Anchor, Style, Svg, text_width};

use super::EvaluationReport;
use super::groups::group;
use crate::editors::UNEDITED;

/// Pixels left of the panels.
pub(super) const LEFT: f64 = 62.0;
/// Pixels right of them.
pub(super) const RIGHT: f64 = 20.0;

/// An editor has one colour in all pictures; those that belong together share it, the palette allowing
/// where there are more editors than it has colours.
pub(super) fn colour(report: &EvaluationReport, name: &str) -> &'static str {
    let edited: Vec<&str> =
        report.editors.0.iter().map(|(name, _)| name.as_str()).filter(|name| *name != UNEDITED).collect();
    if name == UNEDITED {
        return NEUTRAL;
    }
    if edited.len() <= SERIES.len() {
        return edited.iter().position(|other| *other == name).map_or(NEUTRAL, series);
    }
    let mut groups: Vec<&str> = Vec::new();
    for other in edited {
        if !groups.contains(&group(other)) {
            groups.push(group(other));
        }
    }
    groups.iter().position(|other| *other == group(name)).map_or(NEUTRAL, series)
}

/// The heading.
pub(super) fn title(svg: &mut Svg, text: &str) {
    svg.text((20.0, 26.0), Style::LABEL.at(Anchor::Start).size(16.0).bold(), text);
}

/// Names with their colours, in as many lines as they need; returns the height of the last line.
pub(super) fn legend(svg: &mut Svg, names: &[(&str, &str)], top: f64) -> f64 {
    let (mut x, mut y) = (LEFT, top);
    for (colour, name) in names {
        let width = 18.0 + text_width(name, 12.0) + 18.0;
        if x + width > WIDTH - RIGHT && x > LEFT {
            (x, y) = (LEFT, y + 20.0);
        }
        svg.rectangle(x, y - 10.0, 12.0, 12.0, colour);
        svg.text((x + 18.0, y), Style::LABEL.at(Anchor::Start), name);
        x += width;
    }
    y
}
