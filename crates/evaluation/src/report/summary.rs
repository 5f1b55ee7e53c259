//! Outcomes to estimates.

use std::collections::BTreeMap;

use super::groups::together;
use super::{
    Drift, EditorFigures, EvaluationReport, HarmonicMeans, InFrontFigures, MetricFigure, MetricFigures,
    NoiseFigures, ProtocolFigures, Provenance, SequentialFigures, SequentialTest, SweepFigures,
};
use crate::baseline::{Profile, RetrievalSetting};
use crate::editors::{REASONEDIT, UNEDITED};
use crate::estimate::{Bootstrap, Estimate, median};
use crate::journal::{OutcomeJournal, QuestionOutcome};
use crate::named_values::NamedValues;
use crate::passes::{PLAIN, SINGLE, STATIC, noise_pass, size_pass};
use crate::plan::{EvaluationPlan, Measured, MeasuredEditor, Sequential};
use crate::questions::{EvaluationQuestion, Metric};
use crate::tuned::Tuned;
use reasonedit_dataset::{DataDigests, NoiseKind};

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
        let reference = measured.editors.iter().find(|editor| editor.profile.name == REASONEDIT);
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
            single: NamedValues::default(),
            sizes: NamedValues::default(),
            tuning: None,
            protocol: None,
            sequential: NamedValues::default(),
            noise: NamedValues::default(),
            sensitivity: NamedValues::default(),
        };
        let mut editors: Vec<&MeasuredEditor> = measured.editors.iter().collect();
        together(&mut editors, |editor| &editor.profile.name);
        for editor in editors {
            let MeasuredEditor { profile, journal, .. } = editor;
            let name = &profile.name;
            let own = reader.editor(editor, reference.map(|editor| &editor.journal));
            report.editors.0.push((name.clone(), own));
            if let Some(single) = reader.single(profile, journal) {
                report.single.0.push((name.clone(), single));
            }
            let sizes = reader.sizes(profile, journal);
            if !sizes.is_empty() {
                report.sizes.0.push((name.clone(), sizes));
            }
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

    /// The same with how the editors' settings were chosen.
    #[must_use]
    pub fn with_tuning(self, tuned: &Tuned) -> Self {
        // Which pictures they were chosen on stands in the tuning's own file.
        Self { tuning: Some(Tuned { used: DataDigests::default(), ..tuned.clone() }), ..self }
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

    /// Points summed by edit, of the questions that `points` lets through.
    fn estimate(&self, asked: &[Asked<'_>], points: impl Fn(&Asked<'_>) -> Option<f64>) -> Estimate {
        self.bootstrap.estimate(&by_edit(asked, points).into_values().collect::<Vec<_>>())
    }

    fn harmonic(&self, asked: &[Asked<'_>]) -> HarmonicMeans {
        let mean = |metrics: &[Metric]| {
            let right = |metric: &Metric| {
                by_edit(asked, |(question, outcome)| {
                    (question.metric == *metric).then(|| share(outcome.right))
                })
            };
            self.bootstrap.harmonic_mean(&metrics.iter().map(right).collect::<Vec<_>>())
        };
        HarmonicMeans { paper: mean(&Metric::PAPER), all: mean(&Metric::ALL) }
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
            let known = || own().filter_map(|(_, outcome)| outcome.true_at.map(|at| (*outcome, at)));
            let truly = |of: &dyn Fn(&QuestionOutcome, usize) -> bool| {
                let all = known().filter(|_| profile.retrieves).count();
                let true_of = known().filter(|(outcome, at)| of(outcome, *at)).count();
                (all > 0).then(|| true_of as f64 / all as f64)
            };
            MetricFigure {
                right: self.right(asked, metric),
                hit_at_1: hit(1),
                hit_at_5: hit(AMONG),
                true_hit_at_1: truly(&|_, at| is_within(at, 1)),
                true_hit_at_5: truly(&|_, at| is_within(at, AMONG)),
                false_injection: truly(&is_false_injection),
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

    fn in_front(&self, profile: &Profile, asked: &[Asked<'_>]) -> InFrontFigures {
        if !profile.retrieves {
            return InFrontFigures::default();
        }
        let share_of = |group: fn(Metric) -> bool, of: &dyn Fn(&QuestionOutcome) -> Option<bool>| {
            self.estimate(
                asked,
                |(question, outcome)| {
                    if group(question.metric) { of(outcome).map(share) } else { None }
                },
            )
        };
        let related = |metric: Metric| !metric.keeps();
        let truly = |among: usize| move |o: &QuestionOutcome| o.true_at.map(|at| is_within(at, among));
        let of_edit = |among: usize| move |o: &QuestionOutcome| Some(is_within(o.own.unwrap_or(0), among));
        let falsely = |o: &QuestionOutcome| o.true_at.map(|at| is_false_injection(o, at));
        let rejected = |o: &QuestionOutcome| profile.gated.then_some(o.rejected);
        InFrontFigures {
            true_hit_at_1: share_of(related, &truly(1)),
            true_hit_at_5: share_of(related, &truly(AMONG)),
            hit_at_1: share_of(related, &of_edit(1)),
            hit_at_5: share_of(related, &of_edit(AMONG)),
            false_injection_related: share_of(related, &falsely),
            false_injection_unrelated: share_of(Metric::is_unrelated, &falsely),
            false_injection_contrast: share_of(|metric| metric == Metric::Contrast, &falsely),
            rejected_related: share_of(related, &rejected),
            rejected_unrelated: share_of(Metric::is_unrelated, &rejected),
        }
    }

    fn editor(&self, editor: &'a MeasuredEditor, reference: Option<&'a OutcomeJournal>) -> EditorFigures {
        let MeasuredEditor { profile, settings, journal } = editor;
        let (about, settings) = (profile.about.clone(), settings.clone());
        let (seconds, peak) = (journal.seconds(), journal.peak_bytes());
        let costs = EditorFigures {
            about,
            settings,
            seconds,
            peak_mb: peak.map(|bytes| bytes as f64 / 1e6),
            ..EditorFigures::default()
        };
        let Some(end) = journal.ended(STATIC) else { return costs };
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
            edits,
            failed_edits: failed(journal, PLAIN, edits),
            metrics: self.figures(profile, &asked),
            harmonic_mean: self.harmonic(&asked),
            over_reasonedit: over,
            false_injection: self.false_injection(profile, &asked),
            in_front: self.in_front(profile, &asked),
            kb_per_edit_merged: kept.map(|kept| kilobytes(kept.merged)),
            kb_per_edit_unmerged: kept.map(|kept| kilobytes(kept.unmerged)),
            edit_ms: median(edit_ms),
            query_ms: query_ms(&asked),
            ..costs
        }
    }

    /// Each edit alone.
    fn single(&self, profile: &Profile, journal: &'a OutcomeJournal) -> Option<ProtocolFigures> {
        let edits = journal.ended(SINGLE)?.edits;
        let asked = self.asked(journal, SINGLE);
        let kept: Vec<u64> =
            journal.edits(SINGLE).filter_map(|edit| Some(edit.kept.as_ref()?.merged)).collect();
        let mean = kept.iter().sum::<u64>() as f64 / 1e3 / kept.len().max(1) as f64;
        Some(ProtocolFigures {
            edits,
            failed_edits: failed(journal, SINGLE, edits),
            metrics: self.figures(profile, &asked),
            harmonic_mean: self.harmonic(&asked),
            kb_per_edit_merged: (!kept.is_empty()).then_some(mean),
            edit_ms: median(journal.edits(SINGLE).filter_map(|edit| edit.ms).collect()),
        })
    }

    /// The first edits at once, by how many; all of them are the last.
    fn sizes(&self, profile: &Profile, journal: &'a OutcomeJournal) -> Vec<ProtocolFigures> {
        let mut sizes: Vec<(usize, String)> =
            journal.sizes().map(|(edits, _)| (edits, size_pass(edits))).collect();
        if sizes.is_empty() {
            return Vec::new();
        }
        sizes.sort();
        sizes.extend(journal.ended(STATIC).map(|end| (end.edits, STATIC.to_owned())));
        let figures = |(edits, pass): (usize, String)| {
            let asked = self.asked(journal, &pass);
            let end = journal.ended(&pass);
            let kept = end.and_then(|end| end.kept).filter(|_| edits > 0);
            ProtocolFigures {
                edits,
                failed_edits: failed(journal, PLAIN, edits),
                metrics: self.figures(profile, &asked),
                harmonic_mean: self.harmonic(&asked),
                kb_per_edit_merged: kept.map(|kept| kept.merged as f64 / 1e3 / edits as f64),
                edit_ms: end.and_then(|end| median(end.edit_ms.clone())),
            }
        };
        sizes.into_iter().map(figures).collect()
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
                    failed_edits: failed(journal, PLAIN, *edits),
                    metrics: self.figures(profile, asked),
                    harmonic_mean: self.harmonic(asked),
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
                let asked = self.asked(journal, &crate::passes::sweep_pass(setting, value));
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

/// Points and questions by edit, of the questions that `points` lets through.
fn by_edit(asked: &[Asked<'_>], points: impl Fn(&Asked<'_>) -> Option<f64>) -> BTreeMap<usize, (f64, usize)> {
    let mut groups: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for one in asked {
        if let Some(points) = points(one) {
            let group = groups.entry(one.0.edit).or_default();
            group.0 += points;
            group.1 += 1;
        }
    }
    groups
}

/// How many of the first edits of a set could not be made.
fn failed(journal: &OutcomeJournal, set: &str, edits: usize) -> usize {
    journal.edits(set).filter(|edit| edit.edit < edits && edit.failed.is_some()).count()
}

/// Whether a place, from 1, is among the first ones; 0 is none.
fn is_within(at: usize, among: usize) -> bool {
    (1..=among).contains(&at)
}

/// Whether sentences stood before a question of which none is true and bears on it.
fn is_false_injection(outcome: &QuestionOutcome, true_at: usize) -> bool {
    outcome.sentences > 0 && true_at == 0
}

fn share(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn query_ms(asked: &[Asked<'_>]) -> Option<f64> {
    median(asked.iter().filter_map(|(_, outcome)| outcome.ms).collect())
}
