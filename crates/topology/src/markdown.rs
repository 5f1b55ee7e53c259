//! The report as a page to read.

use std::fmt::Write as _;

use crate::report::ModularityReport;
use crate::select::{Choice, TapKey};
use crate::statistic::{Lead, Statistic};

impl ModularityReport {
    /// A summary in Markdown: what was chosen and how surely, what it was measured on, and every figure as a
    /// table.
    pub fn markdown(&self) -> String {
        let mut page = String::from("# Layer and weight by topology\n\n");
        // Writing to a string does not fail.
        let _ = self.write_choice(&mut page);
        let _ = self.write_measured_on(&mut page);
        let _ = self.write_weights(&mut page);
        let _ = self.write_taps(&mut page);
        page
    }

    fn write_choice(&self, page: &mut String) -> std::fmt::Result {
        let (tap, weight) = (&self.selection.tap, &self.selection.weight);
        writeln!(page, "Chosen: **{}**, λ = **{}**.\n", tap_name(&tap.chosen), number(weight.chosen))?;
        let bimodal = choice_sentence("Bimodal modularity", tap, tap_name);
        let harmonic = choice_sentence("Harmonic mean of vision and language modularity", weight, |λ| {
            format!("λ = {}", number(*λ))
        });
        writeln!(page, "- {bimodal}\n- {harmonic}")?;
        match &self.in_use {
            None => writeln!(page, "- Nothing was chosen by measurement before."),
            Some(used) => {
                let same_tap = used.tap == tap.chosen;
                let lead = if same_tap { weight.lead_over_incumbent } else { tap.lead_over_incumbent };
                let verdict = match lead {
                    _ if same_tap && used.weight == weight.chosen => "the same was chosen again".to_owned(),
                    None => "it was not among those measured".to_owned(),
                    Some(lead) => {
                        let Lead { mean, standard_error, exceeds_error } = lead;
                        let verdict = if exceeds_error { "more" } else { "not more" };
                        let what = if same_tap { "weight" } else { "layer" };
                        format!(
                            "the chosen {what} leads it by {mean:.4}, {verdict} than the standard error, {standard_error:.4}"
                        )
                    }
                };
                writeln!(
                    page,
                    "- In use before: {}, λ = {}; {verdict}.",
                    tap_name(&used.tap),
                    number(used.weight)
                )
            }
        }
    }

    fn write_measured_on(&self, page: &mut String) -> std::fmt::Result {
        let on = &self.measured_on;
        writeln!(page, "\n## Measured on\n")?;
        writeln!(page, "| | |\n| --- | --- |")?;
        writeln!(page, "| source | {} ({} samples) |", cell(&on.source), on.samples_available)?;
        writeln!(page, "| layers | {} runs of {} samples |", on.runs, on.samples)?;
        writeln!(page, "| network of a run | {} nodes, bimodal {} |", on.nodes, on.bimodal_nodes)?;
        writeln!(page, "| weights | {} runs of {} samples |", on.weight_runs, on.weight_samples)?;
        writeln!(page, "| seed | {} |", on.seed)?;
        writeln!(page, "| model | `{}` |", cell(&on.model))?;
        writeln!(page, "| sentence encoder | `{}` |", cell(&on.sentence_encoder))
    }

    fn write_weights(&self, page: &mut String) -> std::fmt::Result {
        writeln!(page, "\n## Weights\n\nMean ± standard deviation over the runs.\n")?;
        writeln!(
            page,
            "| λ | vision modularity | language modularity | harmonic mean | bimodal modularity |"
        )?;
        writeln!(page, "| ---: | ---: | ---: | ---: | ---: |")?;
        for weight in &self.weights {
            let figures = &weight.figures;
            writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                emphasised(&number(weight.weight), weight.weight == self.selection.weight.chosen),
                figure(&figures.vision_modularity),
                figure(&figures.language_modularity),
                figure(&weight.harmonic_mean),
                figure(&figures.bimodal_modularity),
            )?;
        }
        Ok(())
    }

    fn write_taps(&self, page: &mut String) -> std::fmt::Result {
        writeln!(page, "\n## Layers\n\nIn forward order; mean ± standard deviation over the runs.\n")?;
        writeln!(
            page,
            "| layer | pooling | bimodal modularity | vision modularity | language modularity | vision bias | language bias |"
        )?;
        writeln!(page, "| --- | --- | ---: | ---: | ---: | ---: | ---: |")?;
        let chosen = &self.selection.tap.chosen;
        for tap in &self.taps {
            let figures = &tap.figures;
            let is_chosen = tap.tap == chosen.tap && tap.pooling == chosen.pooling;
            writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {} |",
                emphasised(&cell(&tap.tap), is_chosen),
                tap.pooling.name(),
                figure(&figures.bimodal_modularity),
                figure(&figures.vision_modularity),
                figure(&figures.language_modularity),
                figure(&figures.vision_bias),
                figure(&figures.language_bias),
            )?;
        }
        Ok(())
    }
}

fn tap_name(key: &TapKey) -> String {
    format!("{} ({})", key.tap, key.pooling.name())
}

/// A weight as people write it: three significant digits, without trailing zeros.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (2.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn figure(statistic: &Statistic) -> String {
    format!("{:.4} ± {:.4}", statistic.mean, statistic.standard_deviation)
}

fn emphasised(text: &str, really: bool) -> String {
    if really { format!("**{text}**") } else { text.to_owned() }
}

/// Text that can't leave its table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('`', "'")
}

fn choice_sentence<K>(what: &str, choice: &Choice<K>, name: impl Fn(&K) -> String) -> String {
    let value = format!("{what} {}", figure(&choice.value));
    let (Some(second), Some(lead)) = (&choice.runner_up, &choice.lead) else {
        return format!("{value}; there was no other candidate.");
    };
    let Lead { mean, standard_error, exceeds_error } = lead;
    let verdict = if *exceeds_error { "more" } else { "not more" };
    let error = format!("{verdict} than its standard error over the runs, {standard_error:.4}");
    format!("{value}; {mean:.4} before the next, {}, {error}.", name(second))
}
