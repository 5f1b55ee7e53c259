//! The hit rates as a page to read.

use std::fmt::Write as _;

use reasonedit_topology::{Statistic, TapKey};

use crate::{AMONG, HitCounts, HitRateCell, HitRates, HitShare};

/// Differences within this many standard errors are not told apart.
const ERRORS: f64 = 2.0;
/// Taps of which a rank correlation says something.
const RANKED: usize = 5;

/// How two taps under one weight compare with what their modularity says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Agreement {
    /// The tap of greater modularity retrieves better.
    pub(super) with: usize,
    /// It retrieves worse.
    pub(super) against: usize,
    /// They are not told apart.
    pub(super) level: usize,
}

impl HitRates {
    /// The page: a verdict, what it was measured on, the taps, and both hit rates for every tap and weight.
    pub fn markdown(&self) -> String {
        let mut page = String::from("# Does modularity predict retrieval?\n\n");
        // Writing to a string does not fail.
        let _ = self.write_verdict(&mut page);
        let _ = self.write_measured_on(&mut page);
        let _ = self.write_taps(&mut page);
        let title = "A sentence of the right edit comes first";
        let _ = self.write_hits(&mut page, title, |hits| hits.first);
        let title = format!("A sentence of the right edit is among the first {AMONG} keys'");
        let _ = self.write_hits(&mut page, &title, |hits| hits.among);
        page
    }

    /// Every two taps of different modularity, under every weight.
    pub(super) fn agreement(&self) -> Agreement {
        let mut agreement = Agreement::default();
        for difference in &self.differences {
            let (first, second) = (&self.cells[difference.first], &self.cells[difference.second]);
            let modularity = |cell: &HitRateCell| self.taps[cell.tap].bimodal_modularity.mean;
            let order = modularity(first) - modularity(second);
            if first.tap == second.tap || first.weight != second.weight || order == 0.0 {
                continue;
            }
            if !told_apart(difference.value, difference.standard_error) {
                agreement.level += 1;
            } else if (difference.value > 0.0) == (order > 0.0) {
                agreement.with += 1;
            } else {
                agreement.against += 1;
            }
        }
        agreement
    }

    fn write_verdict(&self, page: &mut String) -> std::fmt::Result {
        let Agreement { with, against, level } = self.agreement();
        let verdict = match (with, against) {
            (0, 0) => "That can't be said here: what these taps retrieve is not told apart.",
            (_, 0) => "Here it does, as far as what these taps retrieve is told apart.",
            (0, _) => "Here it does not: it points the other way.",
            (with, against) if with > against => "Here it does in part.",
            _ => "Here it does not.",
        };
        writeln!(
            page,
            "**{verdict}** In {} comparisons of two taps under the same λ, the tap of greater bimodal modularity puts a sentence of the right edit first \
             more often in {with} and less often in {against}; {level} differ by less than two standard errors.",
            with + against + level
        )?;
        writeln!(
            page,
            "\nFirst hits of all but the edited questions, each tap under the λ that suits it best:\n"
        )?;
        for tap in 0..self.taps.len() {
            if let Some(best) = self.best(|cell| cell.tap == tap) {
                writeln!(page, "- {}: {}", self.name(best), percent(self.cells[best].other.first))?;
            }
        }
        self.write_choice(page)?;
        match self.rank_correlation() {
            Some(correlation) => writeln!(
                page,
                "\nOver the {} taps, bimodal modularity and these first hits have a rank correlation of {correlation:.2}.",
                self.taps.len()
            ),
            None => writeln!(
                page,
                "\nFew taps are compared, chosen to differ: that modularity tells them apart would not mean that it ranks layers which lie close."
            ),
        }
    }

    /// Spearman's, of the taps' bimodal modularity and their first hits under the λ that suits each best;
    /// `None` for fewer than [`RANKED`] taps.
    pub(super) fn rank_correlation(&self) -> Option<f64> {
        let hits = (0..self.taps.len()).map(|tap| {
            let best = self.best(|cell| cell.tap == tap)?;
            Some(self.cells[best].other.first.value)
        });
        let hits: Vec<f64> = hits.collect::<Option<_>>()?;
        let modularity: Vec<f64> = self.taps.iter().map(|tap| tap.bimodal_modularity.mean).collect();
        if hits.len() < RANKED {
            return None;
        }
        let (a, b) = (ranks(&modularity), ranks(&hits));
        let middle = (hits.len() + 1) as f64 / 2.0;
        let product =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| (x - middle) * (y - middle)).sum() };
        let spread = (product(&a, &a) * product(&b, &b)).sqrt();
        (spread > 0.0).then(|| product(&a, &b) / spread)
    }

    /// How the tap and weight that the report chose compare with the best there are.
    fn write_choice(&self, page: &mut String) -> std::fmt::Result {
        let chosen = self.cells.iter().position(|cell| {
            self.taps[cell.tap].key == self.chosen.0 && same_weight(cell.weight, self.chosen.1)
        });
        let (Some(chosen), Some(best)) = (chosen, self.best(|_| true)) else { return Ok(()) };
        let rate = |at: usize| percent(self.cells[at].other.first);
        write!(page, "\nThe report chose {}: {}", self.name(chosen), rate(chosen))?;
        if best == chosen {
            return writeln!(page, ". No other does better here.");
        }
        let pair = [chosen.min(best), chosen.max(best)];
        let lead = self.differences.iter().find(|d| [d.first, d.second] == pair);
        let (lead, error) = lead.map_or((0.0, 0.0), |d| (d.value.abs(), d.standard_error));
        let apart = if told_apart(lead, error) { "more" } else { "not more" };
        writeln!(
            page,
            ". The best here, {}, leads it by {lead:.3} ± {error:.3}, {apart} than two standard errors.",
            self.name(best)
        )
    }

    /// The cell of most first hits among these; of equal ones the first.
    fn best(&self, among: impl Fn(&HitRateCell) -> bool) -> Option<usize> {
        let of = |at: usize| self.cells[at].other.first.value;
        let cells = (0..self.cells.len()).rev().filter(|at| among(&self.cells[*at]));
        cells.max_by(|a, b| of(*a).total_cmp(&of(*b)))
    }

    fn name(&self, at: usize) -> String {
        let cell = &self.cells[at];
        format!("{} with λ = {}", tap_name(&self.taps[cell.tap].key), number(cell.weight))
    }

    fn write_measured_on(&self, page: &mut String) -> std::fmt::Result {
        let [first, last] = &self.records;
        let hubness = if self.hubness { "on" } else { "off" };
        let lookup = if self.by_kind {
            "answers and statements apart, each with a weight on λ of its own"
        } else {
            "one space for all entries"
        };
        writeln!(page, "\n## Measured on\n\n| | |\n| --- | --- |")?;
        writeln!(page, "| records | {first} to {last} |")?;
        writeln!(page, "| edits, all live at once | {} with {} entries |", self.edits, self.entries)?;
        writeln!(page, "| retrieval | {lookup}, hubness correction {hubness} |")?;
        writeln!(page, "| a key drawn at random is right | {:.3} |", self.chance)?;
        writeln!(page, "| modularity measured on | {} |", self.report_source)?;
        writeln!(page, "| model | `{}` |", self.model)?;
        writeln!(
            page,
            "\nThe editor made the edits once: what is paired with what, and the evidence it found. Their keys were made anew for every tap and λ, of a language tap by \
             a forward of picture and text together, and put into a codebook in memory. No key is merged, since radii belong to one embedding, and the gate is left out: the \
             question is which key comes first. A sentence counts as the right edit's whoever else said it too, as the model reads the same. Rates are given with their standard \
             error over edits. An edited question lies at distance 0 of its own key, so that it says little.\n"
        )
    }

    fn write_taps(&self, page: &mut String) -> std::fmt::Result {
        let mut weights: Vec<f64> = self.cells.iter().map(|cell| cell.weight).collect();
        weights.sort_by(f64::total_cmp);
        weights.dedup();
        writeln!(
            page,
            "λ is the same number for all taps, though their scales differ: the table says how far apart the halves of two entries lie on the average, the text half's {:.3} \
             times λ, over the picture half's.\n",
            self.text_distance
        )?;
        write!(page, "| tap | bimodal modularity | picture half |")?;
        for weight in &weights {
            write!(page, " text over picture, λ = {} |", number(*weight))?;
        }
        writeln!(page, "\n| --- | ---: | ---: |{}", " ---: |".repeat(weights.len()))?;
        for tap in &self.taps {
            let Statistic { mean, standard_deviation, .. } = tap.bimodal_modularity;
            write!(
                page,
                "| {} | {mean:.4} ± {standard_deviation:.4} | {:.3} |",
                tap_name(&tap.key),
                tap.picture_distance
            )?;
            for weight in &weights {
                let ratio = weight * self.text_distance / tap.picture_distance;
                let ratio = if ratio.is_finite() { format!("{ratio:.2}") } else { "-".to_owned() };
                write!(page, " {ratio} |")?;
            }
            writeln!(page)?;
        }
        Ok(())
    }

    fn write_hits(&self, page: &mut String, title: &str, of: fn(&HitCounts) -> HitShare) -> std::fmt::Result {
        let Some(any) = self.cells.first() else { return Ok(()) };
        let counts: Vec<usize> =
            any.kinds.iter().map(|kind| of(&kind.hits).n).chain([of(&any.other).n]).collect();
        let names = ["edited", "paraphrased", "similar picture", "same reasoning elsewhere", "rationale"];
        writeln!(page, "\n## {title}\n")?;
        writeln!(page, "| tap | λ | {} | all but edited |", names.join(" | "))?;
        writeln!(page, "| --- | ---: |{}", " ---: |".repeat(counts.len()))?;
        let questions: Vec<String> = counts.iter().map(usize::to_string).collect();
        writeln!(page, "| questions | | {} |", questions.join(" | "))?;
        for cell in &self.cells {
            let shares = cell.kinds.iter().map(|kind| of(&kind.hits)).chain([of(&cell.other)]);
            let shares: Vec<String> = shares.map(percent).collect();
            let tap = tap_name(&self.taps[cell.tap].key);
            writeln!(page, "| {tap} | {} | {} |", number(cell.weight), shares.join(" | "))?;
        }
        Ok(())
    }
}

fn told_apart(value: f64, standard_error: f64) -> bool {
    value.abs() > (ERRORS * standard_error).max(1e-12)
}

/// Ranks from 1, equal values sharing the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + (equal + 1) as f64 / 2.0
    };
    values.iter().map(rank).collect()
}

/// Equal but for rounding: a weight may have been written and read.
fn same_weight(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn tap_name(key: &TapKey) -> String {
    format!("{} ({})", key.tap, key.pooling.name())
}

/// A share; empty, never zero, where nothing was asked.
fn percent(share: HitShare) -> String {
    if share.n == 0 { "-".to_owned() } else { format!("{:.3} ± {:.3}", share.value, share.standard_error) }
}

/// Three digits that count.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
