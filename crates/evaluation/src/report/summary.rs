//! Outcomes to estimates.

use std::collections::BTreeMap;

use super::{
    Drift, EditorFigures, EvaluationReport, MetricFigure, MetricFigures, NamedValues, NoiseFigures,
    Provenance, SequentialFigures, SequentialTest, SweepFigures,
};
use crate::baseline::{Profile, RetrievalSetting};
use crate::editors::{REASONEDIT, UNEDITED};
use crate::estimate::{Bootstrap, Estimate, median};
use crate::journal::{OutcomeJournal, QuestionOutcome};
use crate::noise::NoiseKind;
use crate::plan::{EvaluationPlan, Measured, STATIC, Sequential, noise_pass};
use crate::questions::{EvaluationQuestion, Metric};

/// Sentences among which a hit counts beside the first.
const AMONG: usize = 5;
/// Edits of the first and the last stretch that are compared.
const STRETCH: usize = 1000;

/// An outcome with its question.
type Asked<'a> = (&'a EvaluationQuestion, &'a QuestionOutcome);

/// A journal read with the questions at hand.
struct Reader<'a> {
    questions: &'a [EvaluationQuestion],
    bootstrap: Bootstrap,
}

impl EvaluationReport {
    /// Makes the figures.
    pub fn new(
        measured: &Measured,
        plan: &EvaluationPlan,
        provenance: Provenance,
        perception: Vec<(String, Estimate)>,
    ) -> Self {
        let reader = Reader { questions: &measured.questions, bootstrap: plan.bootstrap };
        let reference = measured.editors.iter().find(|(profile, _)| profile.name == REASONEDIT);
        let mut report = Self {
            provenance,
            seed: plan.seed,
            bootstrap: plan.bootstrap,
            given_boxes: plan.given_boxes,
            edits: measured.edited.len(),
            right_before: measured.right_before,
            generated: measured
                .questions
                .iter()
                .filter(|question| question.sample.choices.is_empty())
                .count(),
            lacking: measured.lacking.clone(),
            perception: NamedValues(perception),
            editors: NamedValues::default(),
            protocol: None,
            sequential: NamedValues::default(),
            noise: NamedValues::default(),
            sensitivity: NamedValues::default(),
        };
        for (profile, journal) in &measured.editors {
            let name = &profile.name;
            let own = reader.editor(profile, journal, reference.map(|(_, journal)| journal));
            report.editors.0.push((name.clone(), own));
            if let Some((protocol, course)) = reader.course(profile, journal) {
                report.protocol = Some(protocol);
                report.sequential.0.push((name.clone(), course));
            }
            let noise = reader.noise(profile, journal);
            if !noise.is_empty() {
                report.noise.0.push((name.clone(), noise));
            }
            let sweeps = reader.sweeps(profile, journal);
            if !sweeps.is_empty() {
                report.sensitivity.0.push((name.clone(), sweeps));
            }
        }
        report
    }
}

impl<'a> Reader<'a> {
    /// Outcomes of a pass.
    fn asked(&self, journal: &'a OutcomeJournal, pass: &str) -> Vec<Asked<'a>> {
        journal
            .outcomes(pass)
            .filter_map(|outcome| Some((self.questions.get(outcome.question)?, outcome)))
            .collect()
    }

    /// Points summed by edit, of the questions that `counts` lets through.
    fn estimate(&self, asked: &[Asked<'_>], points: impl Fn(&Asked<'_>) -> Option<f64>) -> Estimate {
        let mut groups: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for one in asked {
            if let Some(points) = points(one) {
                let group = groups.entry(one.0.edit).or_default();
                group.0 += points;
                group.1 += 1;
            }
        }
        self.bootstrap.estimate(&groups.into_values().collect::<Vec<_>>())
    }

    fn right(&self, asked: &[Asked<'_>], metric: Metric) -> Estimate {
        self.estimate(asked, |(question, outcome)| (question.metric == metric).then(|| share(outcome.right)))
    }

    fn figures(&self, profile: &Profile, asked: &[Asked<'_>]) -> MetricFigures {
        let figure = |metric: Metric| {
            let own = || asked.iter().filter(move |(question, _)| question.metric == metric);
            let count = own().count();
            let part = |of: &dyn Fn(&QuestionOutcome) -> bool| {
                let hits = own().filter(|(_, outcome)| of(outcome)).count();
                (count > 0).then(|| hits as f64 / count as f64)
            };
            // Where nothing should be in front, there is nothing to hit.
            let hits = profile.retrieves && !metric.keeps();
            let hit = |among: usize| {
                if hits { part(&|o: &QuestionOutcome| o.own.is_some_and(|at| at <= among)) } else { None }
            };
            MetricFigure {
                right: self.right(asked, metric),
                hit_at_1: hit(1),
                hit_at_5: hit(AMONG),
                rejected: if profile.gated { part(&|o: &QuestionOutcome| o.rejected) } else { None },
            }
        };
        NamedValues(
            Metric::ALL.into_iter().map(|metric| (metric.name().to_owned(), figure(metric))).collect(),
        )
    }

    fn false_injection(&self, profile: &Profile, asked: &[Asked<'_>]) -> Estimate {
        if !profile.retrieves {
            return Estimate::default();
        }
        self.estimate(asked, |(question, outcome)| {
            question.metric.is_unrelated().then(|| share(outcome.sentences > 0))
        })
    }

    fn editor(
        &self,
        profile: &Profile,
        journal: &'a OutcomeJournal,
        reference: Option<&'a OutcomeJournal>,
    ) -> EditorFigures {
        let about = profile.about.clone();
        let Some(end) = journal.ended(STATIC) else {
            return EditorFigures { about, ..EditorFigures::default() };
        };
        let asked = self.asked(journal, STATIC);
        let edits = end.edits;
        let kept = end.kept.filter(|_| edits > 0);
        let kilobytes = |bytes: u64| bytes as f64 / 1e3 / edits as f64;
        let compared = reference.filter(|_| profile.name != REASONEDIT && profile.name != UNEDITED);
        let over = compared.and_then(|reference| self.over(&asked, reference)).unwrap_or_default();
        // The static pass may have begun with edits that the sequential one had made.
        let edit_ms: Vec<f64> = if end.edit_ms.is_empty() {
            journal.sequential().flat_map(|(_, _, end)| end.edit_ms.iter().copied()).collect()
        } else {
            end.edit_ms.clone()
        };
        EditorFigures {
            about,
            edits,
            metrics: self.figures(profile, &asked),
            over_reasonedit: over,
            false_injection: self.false_injection(profile, &asked),
            kb_per_edit_merged: kept.map(|kept| kilobytes(kept.merged)),
            kb_per_edit_unmerged: kept.map(|kept| kilobytes(kept.unmerged)),
            edit_ms: median(edit_ms),
            query_ms: query_ms(&asked),
        }
    }

    /// Differences to the reference, question by question; `None` where it was not asked.
    fn over(&self, asked: &[Asked<'_>], reference: &'a OutcomeJournal) -> Option<NamedValues<Estimate>> {
        reference.ended(STATIC)?;
        let difference = |metric: Metric| {
            self.estimate(asked, |(question, outcome)| {
                let other = reference.outcome(STATIC, outcome.question)?;
                (question.metric == metric).then(|| share(outcome.right) - share(other.right))
            })
        };
        let all = Metric::ALL.into_iter().map(|metric| (metric.name().to_owned(), difference(metric)));
        Some(NamedValues(all.collect()))
    }

    fn course(
        &self,
        profile: &Profile,
        journal: &'a OutcomeJournal,
    ) -> Option<(Sequential, SequentialFigures)> {
        let mut passes: Vec<(usize, usize, String)> =
            journal.sequential().map(|(sample, edits, end)| (edits, sample, end.ended.clone())).collect();
        passes.sort();
        let every = passes.first()?.0;
        let sample = passes.last()?.1;
        passes.retain(|pass| pass.1 == sample);
        let asked: Vec<(usize, Vec<Asked<'a>>)> =
            passes.iter().map(|(edits, _, pass)| (*edits, self.asked(journal, pass))).collect();
        let tests = asked
            .iter()
            .zip(&passes)
            .map(|((edits, asked), (_, _, pass))| {
                let end = journal.ended(pass);
                let kept = end.and_then(|end| end.kept);
                SequentialTest {
                    edits: *edits,
                    metrics: self.figures(profile, asked),
                    kb_per_edit_merged: kept.map(|kept| kept.merged as f64 / 1e3 / *edits as f64),
                    edit_ms: end.and_then(|end| median(end.edit_ms.clone())),
                    query_ms: query_ms(asked),
                }
            })
            .collect();
        let last = asked.last()?.0;
        let drift = (last >= 2 * STRETCH).then(|| {
            let within = |from: usize, to: usize| {
                let chosen = asked.iter().filter(|(edits, _)| *edits > from && *edits <= to);
                let all: Vec<Asked<'_>> = chosen.flat_map(|(_, asked)| asked.iter().copied()).collect();
                let estimates = Metric::ALL
                    .into_iter()
                    .map(|metric| (metric.name().to_owned(), self.right(&all, metric)));
                NamedValues(estimates.collect())
            };
            Drift { first: within(0, STRETCH), last: within(last - STRETCH, last) }
        });
        Some((Sequential { every, sample }, SequentialFigures { tests, drift }))
    }

    fn noise(&self, profile: &Profile, journal: &'a OutcomeJournal) -> Vec<NoiseFigures> {
        let mut found = Vec::new();
        for kind in [NoiseKind::Replace, NoiseKind::Add] {
            let levels: Vec<u32> =
                (1..=100).filter(|percent| journal.ended(&noise_pass(kind, *percent)).is_some()).collect();
            if levels.is_empty() {
                continue;
            }
            for percent in std::iter::once(0).chain(levels) {
                let pass = if percent == 0 { STATIC.to_owned() } else { noise_pass(kind, percent) };
                let asked = self.asked(journal, &pass);
                if !asked.is_empty() {
                    found.push(NoiseFigures { kind, percent, metrics: self.figures(profile, &asked) });
                }
            }
        }
        found
    }

    fn sweeps(&self, profile: &Profile, journal: &'a OutcomeJournal) -> Vec<SweepFigures> {
        let mut found: Vec<SweepFigures> = Vec::new();
        for setting in [RetrievalSetting::K, RetrievalSetting::Tau] {
            let mut values: Vec<f64> = journal.sweep(setting.name()).collect();
            values.sort_by(f64::total_cmp);
            for value in values {
                let asked = self.asked(journal, &crate::plan::sweep_pass(setting, value));
                found.push(SweepFigures {
                    setting,
                    value,
                    metrics: self.figures(profile, &asked),
                    false_injection: self.false_injection(profile, &asked),
                });
            }
        }
        found
    }
}

fn share(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn query_ms(asked: &[Asked<'_>]) -> Option<f64> {
    median(asked.iter().filter_map(|(_, outcome)| outcome.ms).collect())
}
