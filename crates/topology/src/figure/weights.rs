//! Both modularities and their harmonic mean over λ.

use reasonedit_figure::WIDTH;
use reasonedit_figure::axis::{Panel, Series, legend, range_of};
use reasonedit_figure::colour::{GRID, INK, MUTED};
use reasonedit_figure::svg::{Anchor, Style, Svg, text_width};

use super::{JOINT, LANGUAGE, VISION, point};
use crate::markdown::number;
use crate::report::ModularityReport;
use crate::select::WeightReport;
use crate::statistic::Statistic;

/// The trade-off between vision and language modularity over λ (logarithmic), their harmonic mean with the
/// chosen λ, and below it the bimodal modularity; bands are ± one standard deviation over the runs.
pub fn weights(report: &ModularityReport) -> String {
    // A logarithm has no place for 0; it is the vision tap alone, which the other figure shows.
    let shown: Vec<&WeightReport> = report.weights.iter().filter(|weight| weight.weight > 0.0).collect();
    let series = |colour, read: fn(&WeightReport) -> Statistic| Series {
        colour,
        points: shown.iter().map(|weight| point(weight.weight.log10(), &read(weight))).collect(),
    };
    let upper = [
        series(VISION, |w| w.figures.vision_modularity),
        series(LANGUAGE, |w| w.figures.language_modularity),
        series(JOINT, |w| w.harmonic_mean),
    ];
    let lower = [series(JOINT, |w| w.figures.bimodal_modularity)];
    let logs = || shown.iter().map(|weight| weight.weight.log10());
    let (least, largest) =
        logs().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| (low.min(log), high.max(log)));
    let x_range = match largest - least {
        span if span.is_finite() && span > 1e-9 => (least - 0.02 * span, largest + 0.02 * span),
        span if span.is_finite() => (least - 0.5, largest + 0.5),
        _ => (-1.0, 1.0),
    };
    let panel =
        |top, height, y_range| Panel { left: 76.0, top, width: WIDTH - 106.0, height, x_range, y_range };
    let top = panel(84.0, 270.0, range_of(&upper));
    let bottom = panel(384.0, 120.0, range_of(&lower));

    let mut svg = Svg::new(562.0);
    svg.text(
        (20.0, 26.0),
        Style::LABEL.at(Anchor::Start).size(16.0).bold(),
        "Weight of the text in the dual embedding",
    );
    let names = [(VISION, "vision modularity"), (LANGUAGE, "language modularity"), (JOINT, "harmonic mean")];
    legend(&mut svg, 76.0, 52.0, &names);
    let note = format!("bands: ± 1 standard deviation over {} runs", report.measured_on.weight_runs);
    svg.text((top.right(), 52.0), Style::LABEL.at(Anchor::End).colour(MUTED), &note);
    for (panel, title) in [(&top, "modularity"), (&bottom, "bimodal modularity")] {
        panel.grid(&mut svg, true);
        panel.y_title(&mut svg, 54.0, title);
        decades(&mut svg, panel, panel.top == bottom.top);
    }
    svg.text(
        (bottom.left + bottom.width / 2.0, bottom.bottom() + 42.0),
        Style::LABEL,
        "λ, weight of the sentence embedding (logarithmic)",
    );
    for series in &upper {
        top.band(&mut svg, series);
    }
    for series in &upper {
        top.means(&mut svg, series, if series.colour == JOINT { 2.6 } else { 1.8 });
    }
    bottom.band(&mut svg, &lower[0]);
    bottom.means(&mut svg, &lower[0], 1.8);
    mark_chosen(&mut svg, report, &top, &bottom);
    svg.finish(
        "Weight of the text in the dual embedding",
        &format!("Chosen: λ = {}.", number(report.selection.weight.chosen)),
    )
}

/// Vertical lines at 1, 2, … 9 of every power of ten, the powers labelled.
fn decades(svg: &mut Svg, panel: &Panel, labelled: bool) {
    let (from, to) = panel.x_range;
    for power in (from.floor() as i32)..=(to.ceil() as i32) {
        for digit in 1..10 {
            let log = f64::from(power) + f64::from(digit).log10();
            if log < from || log > to {
                continue;
            }
            let x = panel.x(log);
            let colour = if digit == 1 { "#c4c8cd" } else { GRID };
            svg.line((x, panel.top), (x, panel.bottom()), colour, 1.0, "");
            if labelled && digit == 1 {
                let text = number(10.0_f64.powi(power));
                svg.text((x, panel.bottom() + 18.0), Style::LABEL.size(11.0).colour(MUTED), &text);
            }
        }
    }
}

fn mark_chosen(svg: &mut Svg, report: &ModularityReport, top: &Panel, bottom: &Panel) {
    let choice = &report.selection.weight;
    if choice.chosen <= 0.0 {
        return;
    }
    let x = top.x(choice.chosen.log10());
    svg.line((x, top.top), (x, bottom.bottom()), INK, 1.2, "5 4");
    svg.circle((x, top.y(choice.value.mean)), 5.5, "#ffffff", JOINT, 2.6);
    let text = format!("chosen: λ = {}", number(choice.chosen));
    // Above the panel, where no line can cross it, and within the picture.
    let half = text_width(&text, 12.0) / 2.0;
    let middle = x.clamp(top.left + half, top.right() - half);
    svg.text((middle, top.top - 9.0), Style::LABEL.bold(), &text);
}
