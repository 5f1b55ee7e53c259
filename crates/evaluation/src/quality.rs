//! Quality of the whole: many edits live at once in one codebook, and what becomes of related and unrelated answers.
//!
//! Edits are real errors: records whose question the unedited model answers wrongly. Questions that test locality and contrast count where
//! the unedited model was right, since only a right answer can be kept.

use std::collections::BTreeMap;
use std::path::Path;

use futures::stream::{self, StreamExt, TryStreamExt};
use reasonedit_codebook::{CodebookName, EditId};
use reasonedit_editor::{CallContext, EditRequest, Editor, QueryRequest, RetrievalOverride, StatementInput};
use serde::{Deserialize, Serialize};

use crate::EvaluationError;
use crate::dataset::{Dataset, Probe, ProbeKind, Record, Sample};

/// Questions under way at once: enough for the engine to batch, few enough for its queue.
const CONCURRENCY: usize = 8;

/// What is measured.
#[derive(Clone, Debug)]
pub struct QualityOptions {
    /// Edits to make; fewer if the data hold fewer errors.
    pub edits: usize,
    /// Codebook to make them in; must be empty.
    pub codebook: CodebookName,
    /// Use the records' own boxes instead of letting the model look for evidence.
    pub given_boxes: bool,
}

/// A share of right answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Right answers by all answers.
    pub value: f64,
    /// Answers.
    pub n: usize,
    /// Share of answers before which a statement of the right edit was retrieved, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit: Option<f64>,
}

/// Every figure by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QualityReport {
    /// Edits that were made.
    pub edits: usize,
    /// Records whose question the unedited model answered rightly, and which were therefore not used.
    pub right_before: usize,
    /// The figures.
    pub figures: BTreeMap<String, Figure>,
}

/// One question to be asked after the edits.
struct Trial {
    figure: &'static str,
    image: String,
    question: String,
    choices: Vec<String>,
    right: String,
    edit: Option<EditId>,
}

/// Measures. `progress` is told what is being done, how much is done and of how much.
///
/// # Errors
/// Unreadable data, a failing editor.
pub async fn quality(
    editor: &Editor,
    data: &Path,
    options: &QualityOptions,
    progress: impl Fn(&str, usize, usize) + Sync,
) -> Result<QualityReport, EvaluationError> {
    let data = Dataset::open(data)?;
    let mut report = QualityReport::default();
    perception(editor, &data, &options.codebook, &mut report, &progress).await?;

    let mut errors = Vec::new();
    for (index, record) in data.records.iter().enumerate() {
        if errors.len() == options.edits {
            break;
        }
        progress("unedited", index, data.records.len());
        if ask(editor, &data, &options.codebook, &record.sample, false).await?.0 == record.sample.answer {
            report.right_before += 1;
        } else {
            errors.push(record);
        }
    }
    let before = Figure {
        value: report.right_before as f64 / (report.right_before + errors.len()).max(1) as f64,
        n: report.right_before + errors.len(),
        hit: None,
    };
    report.figures.insert("records_right_before".into(), before);

    let kept = right_before(editor, &data, &options.codebook, &errors, &progress).await?;
    let mut ids = Vec::new();
    for (index, record) in errors.iter().enumerate() {
        progress("edits", index, errors.len());
        ids.push(edit(editor, &data, options, record).await?);
    }
    report.edits = ids.len();

    let mut trials = Vec::new();
    for (record, id) in errors.iter().zip(&ids) {
        trials.extend(trials_of(record, *id));
    }
    trials.extend(kept);
    let total = trials.len();
    let outcomes: Vec<(&'static str, bool, Option<bool>)> = stream::iter(trials.into_iter().enumerate())
        .map(|(index, trial)| {
            let (data, progress) = (&data, &progress);
            async move {
                progress("questions", index, total);
                let sample = Sample {
                    image: trial.image,
                    question: trial.question,
                    answer: trial.right,
                    choices: trial.choices,
                };
                let (answer, edits) = ask(editor, data, &options.codebook, &sample, true).await?;
                let hit = trial.edit.map(|id| edits.contains(&id));
                Ok::<_, EvaluationError>((trial.figure, answer == sample.answer, hit))
            }
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    for name in ["edited", "paraphrase", "similar", "related", "rationale", "unrelated_kept", "contrast_kept"]
    {
        let of: Vec<_> = outcomes.iter().filter(|(figure, _, _)| *figure == name).collect();
        let hits: Vec<bool> = of.iter().filter_map(|(_, _, hit)| *hit).collect();
        let share = |right: usize, n: usize| right as f64 / n.max(1) as f64;
        let figure = Figure {
            value: share(of.iter().filter(|(_, right, _)| *right).count(), of.len()),
            n: of.len(),
            hit: (!hits.is_empty()).then(|| share(hits.iter().filter(|h| **h).count(), hits.len())),
        };
        report.figures.insert(name.into(), figure);
    }
    Ok(report)
}

/// Perception and verification of the unedited model.
async fn perception(
    editor: &Editor,
    data: &Dataset,
    codebook: &CodebookName,
    report: &mut QualityReport,
    progress: &(impl Fn(&str, usize, usize) + Sync),
) -> Result<(), EvaluationError> {
    let total = data.probes.len();
    let outcomes: Vec<(ProbeKind, bool)> = stream::iter(data.probes.iter().enumerate())
        .map(|(index, probe)| async move {
            progress("perception", index, total);
            Ok::<_, EvaluationError>((probe.kind, probe_right(editor, data, codebook, probe).await?))
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    for (kind, name) in [
        (ProbeKind::Perception, "perception"),
        (ProbeKind::VerifyWhole, "verify_whole"),
        (ProbeKind::VerifyCrop, "verify_crop"),
    ] {
        let of: Vec<bool> = outcomes.iter().filter(|(k, _)| *k == kind).map(|(_, right)| *right).collect();
        if !of.is_empty() {
            let value = of.iter().filter(|r| **r).count() as f64 / of.len() as f64;
            report.figures.insert(name.into(), Figure { value, n: of.len(), hit: None });
        }
    }
    Ok(())
}

async fn probe_right(
    editor: &Editor,
    data: &Dataset,
    codebook: &CodebookName,
    probe: &Probe,
) -> Result<bool, EvaluationError> {
    if let Some(statement) = &probe.statement {
        let p_yes = editor
            .verify_statement(data.picture(&probe.image)?, probe.crop, statement, CallContext::default())
            .await?;
        return Ok((p_yes > 0.5) == (probe.answer == "yes"));
    }
    let sample = Sample {
        image: probe.image.clone(),
        question: probe.question.clone().unwrap_or_default(),
        answer: probe.answer.clone(),
        choices: probe.choices.clone(),
    };
    Ok(ask(editor, data, codebook, &sample, false).await?.0 == sample.answer)
}

/// The answer, and the edits whose statements were put in front.
async fn ask(
    editor: &Editor,
    data: &Dataset,
    codebook: &CodebookName,
    sample: &Sample,
    retrieve: bool,
) -> Result<(String, Vec<EditId>), EvaluationError> {
    let request = QueryRequest {
        image: data.picture(&sample.image)?,
        question: sample.question.clone(),
        choices: sample.choices.clone(),
        max_tokens: None,
        retrieval: RetrievalOverride { enabled: Some(retrieve), ..RetrievalOverride::default() },
        compare: false,
    };
    let outcome = editor.query(codebook, request, CallContext::default()).await?;
    let edits = outcome.retrieval.facts.iter().flat_map(|f| f.edit_ids.iter().copied()).collect();
    Ok((outcome.answer, edits))
}

/// Locality and contrast questions that the unedited model answers rightly.
async fn right_before(
    editor: &Editor,
    data: &Dataset,
    codebook: &CodebookName,
    errors: &[&Record],
    progress: &(impl Fn(&str, usize, usize) + Sync),
) -> Result<Vec<Trial>, EvaluationError> {
    let edited: std::collections::BTreeSet<&str> =
        errors.iter().map(|r| r.sample.question.as_str()).collect();
    let candidates: Vec<(&'static str, &Sample)> = errors
        .iter()
        .flat_map(|record| {
            let unrelated = record.unrelated.iter().map(|s| ("unrelated_kept", s));
            unrelated.chain(record.contrast.iter().map(|s| ("contrast_kept", s)))
        })
        .filter(|(figure, sample)| *figure != "unrelated_kept" || !edited.contains(sample.question.as_str()))
        .collect();
    let total = candidates.len();
    let asked: Vec<Option<Trial>> = stream::iter(candidates.into_iter().enumerate())
        .map(|(index, (figure, sample))| async move {
            progress("unedited, locality", index, total);
            let right = ask(editor, data, codebook, sample, false).await?.0 == sample.answer;
            Ok::<_, EvaluationError>(right.then(|| trial(figure, sample, None)))
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    Ok(asked.into_iter().flatten().collect())
}

fn trial(figure: &'static str, sample: &Sample, edit: Option<EditId>) -> Trial {
    Trial {
        figure,
        image: sample.image.clone(),
        question: sample.question.clone(),
        choices: sample.choices.clone(),
        right: sample.answer.clone(),
        edit,
    }
}

/// What the edit should change: itself, other words, other pictures, the same reasoning elsewhere, and its statements.
fn trials_of(record: &Record, id: EditId) -> Vec<Trial> {
    let mut trials = vec![trial("edited", &record.sample, Some(id))];
    trials.extend(record.paraphrases.iter().map(|question| {
        let sample = Sample { question: question.clone(), ..record.sample.clone() };
        trial("paraphrase", &sample, Some(id))
    }));
    trials.extend(record.similar_images.iter().map(|image| {
        let sample = Sample { image: image.clone(), ..record.sample.clone() };
        trial("similar", &sample, Some(id))
    }));
    trials.extend(record.related.iter().map(|sample| trial("related", sample, Some(id))));
    trials.extend(record.rationale_questions.iter().map(|sample| trial("rationale", sample, Some(id))));
    trials
}

async fn edit(
    editor: &Editor,
    data: &Dataset,
    options: &QualityOptions,
    record: &Record,
) -> Result<EditId, EvaluationError> {
    let boxes = |index: usize| {
        record.evidence.get(index).filter(|_| options.given_boxes).cloned().unwrap_or_default()
    };
    let reasoning = record
        .reasoning
        .iter()
        .enumerate()
        .map(|(index, s)| StatementInput { statement: s.clone(), evidence: boxes(index) })
        .collect();
    let request = EditRequest {
        image: data.picture(&record.sample.image)?,
        question: record.sample.question.clone(),
        answer: record.sample.answer.clone(),
        reasoning,
        choices: record.sample.choices.clone(),
        author: None,
        tags: Vec::new(),
        metadata: serde_json::Value::Null,
        verify: false,
        idempotency: None,
    };
    Ok(editor.edit(&options.codebook, request, CallContext::default()).await?.record.id)
}
