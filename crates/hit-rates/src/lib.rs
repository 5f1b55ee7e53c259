//! Whether modularity predicts retrieval: the same edits and questions under several taps and weights, and
//! how often the right statement comes first (method section 6).
//!
//! The edits are the editor's own, made once: what is paired with what, and the evidence it found. Their keys
//! are then made anew for every tap and weight, offline through the engine, so that one forward gives all
//! taps; a codebook in memory holds them, so that retrieval is the product's own too. λ only scales:
//! everything is embedded once.

mod embed;
mod error;
mod markdown;
mod score;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use error::HitRateError;
use reasonedit_codebook::CodebookName;
use reasonedit_dataset::{Dataset, Record};
use reasonedit_editor::{CallContext, EditRequest, Editor, EditorError, StatementInput};
use reasonedit_imaging::DrawnBox;
use reasonedit_topology::{ModularityReport, Pooling, Stage, Statistic, TapKey};
use score::{Layout, Scene};
use serde::{Deserialize, Serialize};

/// Sentences that are still "among the first": as many as the paper puts in front of a question (paper
/// section 4.2).
pub const AMONG: usize = 5;

/// What is compared.
#[derive(Clone, Debug)]
pub struct HitRateOptions {
    /// Edits to make; fewer if the data hold fewer records.
    pub edits: usize,
    /// Codebook to make them in; must be empty.
    pub codebook: CodebookName,
    /// Use the records' own boxes where they give some, instead of letting the model look for evidence.
    pub given_boxes: bool,
    /// Taps and poolings, each measured by the report.
    pub taps: Vec<TapKey>,
    /// λ, the same for all taps.
    pub weights: Vec<f64>,
}

/// A kind of question that should find the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// The edited question on its picture.
    Edited,
    /// The same in other words.
    Paraphrase,
    /// The same on another picture with the same answer.
    Similar,
    /// Another scene for which the same reasoning gives the answer.
    Related,
    /// About one of the statements.
    Rationale,
}

impl QuestionKind {
    /// Every kind, in the order of the report.
    pub const ALL: [Self; 5] =
        [Self::Edited, Self::Paraphrase, Self::Similar, Self::Related, Self::Rationale];
}

/// A share of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HitShare {
    /// Hits by questions, 0 to 1; 0 without questions.
    pub value: f64,
    /// Its standard error over edits: questions about one edit are not independent. 0 where there is one edit
    /// only.
    pub standard_error: f64,
    /// Questions.
    pub n: usize,
}

/// How often a sentence of the right edit was retrieved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HitCounts {
    /// As the first sentence.
    pub first: HitShare,
    /// From one of the first [`AMONG`] keys.
    pub among: HitShare,
}

/// Hit rates of one kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindHits {
    /// The questions.
    pub kind: QuestionKind,
    /// Their hit rates.
    #[serde(flatten)]
    pub hits: HitCounts,
}

/// One tap with one weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HitRateCell {
    /// Index into [`HitRates::taps`].
    pub tap: usize,
    /// λ.
    pub weight: f64,
    /// By kind of question, in the order of [`QuestionKind::ALL`].
    pub kinds: Vec<KindHits>,
    /// All questions but the edited ones, which lie at distance 0 of their own key.
    pub other: HitCounts,
}

/// A tap and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedTap {
    /// Tap and pooling.
    #[serde(flatten)]
    pub key: TapKey,
    /// Its part of the model.
    pub stage: Stage,
    /// Its bimodal modularity over the report's runs.
    pub bimodal_modularity: Statistic,
    /// Mean distance between the picture halves of the entries (of a language tap: the halves of picture and
    /// text).
    pub picture_distance: f64,
}

/// First hits of one cell before another's, question by question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Index into [`HitRates::cells`].
    pub first: usize,
    /// Index of the one it is compared with.
    pub second: usize,
    /// Difference of [`HitRateCell::other`]'s first hits.
    pub value: f64,
    /// Its standard error over edits; what the questions do to both cancels.
    pub standard_error: f64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HitRates {
    /// Names of the first and the last record.
    pub records: [String; 2],
    /// Edits that were made.
    pub edits: usize,
    /// Their entries.
    pub entries: usize,
    /// Fingerprint of the model.
    pub model: String,
    /// What the report was measured on.
    pub report_source: String,
    /// Tap, pooling and λ that the report chose.
    pub chosen: (TapKey, f64),
    /// Whether distances were divided by the keys' σ.
    pub hubness: bool,
    /// Whether answers and statements were looked up apart.
    pub by_kind: bool,
    /// Share of keys that hold a sentence of the right edit: the hit rate of a key drawn at random.
    pub chance: f64,
    /// Mean distance between the text halves of the entries, λ not applied.
    pub text_distance: f64,
    /// The taps.
    pub taps: Vec<ComparedTap>,
    /// Every tap with every weight, tap by tap.
    pub cells: Vec<HitRateCell>,
    /// Every pair of cells.
    pub differences: Vec<Difference>,
}

/// The taps that tell most, all with mean pooling: the report's choice, of the others the one of least
/// bimodal modularity, and the last language layer. Fewer where the report has not so many.
pub fn telling_taps(report: &ModularityReport) -> Vec<TapKey> {
    let key = |tap: &reasonedit_topology::TapReport| TapKey { tap: tap.tap.clone(), pooling: tap.pooling };
    let chosen = report.selection.tap.chosen.clone();
    let mean = || report.taps.iter().filter(|tap| tap.pooling == Pooling::Mean);
    let last = mean().rfind(|tap| tap.stage == Stage::Language).map(key);
    let worst = mean()
        .filter(|tap| key(tap) != chosen && Some(key(tap)) != last)
        .min_by(|a, b| {
            let of = |tap: &reasonedit_topology::TapReport| tap.figures.bimodal_modularity.mean;
            of(a).total_cmp(&of(b))
        })
        .map(key);
    std::iter::once(chosen).chain(worst).chain(last).collect()
}

/// Every tap of the report with mean pooling, in forward order.
pub fn mean_taps(report: &ModularityReport) -> Vec<TapKey> {
    let mean = report.taps.iter().filter(|tap| tap.pooling == Pooling::Mean);
    mean.map(|tap| TapKey { tap: tap.tap.clone(), pooling: tap.pooling }).collect()
}

/// The chosen λ, a tenth of it and ten times it, rising.
pub fn telling_weights(report: &ModularityReport) -> Vec<f64> {
    let chosen = report.selection.weight.chosen;
    vec![chosen / 10.0, chosen, chosen * 10.0]
}

/// Makes the edits, embeds them and the questions under every tap, and retrieves. `progress` is told what is
/// being done, how much is done and of how much.
///
/// # Errors
/// Data that can't be read or hold no record, a report of other models or without one of the taps, a codebook
/// that is not empty, a failing editor or engine.
pub async fn measure(
    editor: &Editor,
    data: &Path,
    report: &ModularityReport,
    options: &HitRateOptions,
    progress: impl Fn(&str, usize, usize) + Sync,
) -> Result<HitRates, HitRateError> {
    let info = editor.engine().info().await.map_err(EditorError::from)?;
    let encoder = editor.engine().sentence_info().await.map_err(EditorError::from)?;
    let of_report = (&report.measured_on.model, &report.measured_on.sentence_encoder);
    if of_report != (&info.fingerprint, &encoder.fingerprint) {
        return Err(HitRateError::Input(
            "the report was measured on other models than the loaded ones".into(),
        ));
    }
    let mut taps = measured(report, &options.taps)?;
    if options.weights.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return Err(HitRateError::Input("weights must be numbers of at least 0".into()));
    }
    let data = Dataset::open(data)?;
    let records = &data.records[..options.edits.min(data.records.len())];
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Err(HitRateError::Input("there is no record to make an edit of".into()));
    };
    if editor.has_keys(&options.codebook)? {
        return Err(HitRateError::Input(format!("the codebook {} is not empty", options.codebook)));
    }
    let mut scene = Scene::default();
    for (index, record) in records.iter().enumerate() {
        progress("edits", index, records.len());
        let request = edit_request(&data, record, options.given_boxes)?;
        let view = editor.edit(&options.codebook, request, CallContext::default()).await?;
        let snapshot = editor.library().get(&options.codebook).map_err(EditorError::from)?.snapshot();
        let members = snapshot.members_of(view.record.id).map(|member| member.as_ref().clone()).collect();
        scene.edits.push((view.record, members));
    }
    let names: Vec<TapKey> = options.taps.clone();
    embed::embed(editor, &data, records, &names, &mut scene, &progress).await?;

    let config = editor.config().codebook;
    let layout = Layout { model: &info.fingerprint, encoder: &encoder.fingerprint, config };
    let mut outcomes = Vec::new();
    let mut cells = Vec::new();
    let total = taps.len() * options.weights.len();
    for (at, tap) in options.taps.iter().enumerate() {
        for &weight in &options.weights {
            progress("retrieval", cells.len(), total);
            let found = score::retrieve(&scene, at, tap, weight, &layout)?;
            cells.push(score::cell(&scene, at, weight, &found));
            outcomes.push(found);
        }
    }
    for (at, tap) in taps.iter_mut().enumerate() {
        tap.picture_distance = score::mean_distance(&scene.entry_halves(at));
    }
    Ok(HitRates {
        records: [first.uid.clone(), last.uid.clone()],
        edits: scene.edits.len(),
        entries: scene.entries.len(),
        model: info.fingerprint.clone(),
        report_source: report.measured_on.source.clone(),
        chosen: (report.selection.tap.chosen.clone(), report.selection.weight.chosen),
        hubness: config.retrieval.hubness,
        by_kind: config.lookup.by_kind,
        chance: score::chance(&scene),
        text_distance: score::mean_distance(&scene.entry_texts()),
        taps,
        differences: score::differences(&scene, &outcomes),
        cells,
    })
}

/// The taps with what the report says of them.
fn measured(report: &ModularityReport, taps: &[TapKey]) -> Result<Vec<ComparedTap>, HitRateError> {
    taps.iter()
        .map(|key| {
            let found = report.taps.iter().find(|tap| tap.tap == key.tap && tap.pooling == key.pooling);
            let found = found.ok_or_else(|| {
                let pooling = key.pooling.name();
                HitRateError::Input(format!("the report did not measure {} ({pooling})", key.tap))
            })?;
            Ok(ComparedTap {
                key: key.clone(),
                stage: found.stage,
                bimodal_modularity: found.figures.bimodal_modularity,
                picture_distance: 0.0,
            })
        })
        .collect()
}

fn edit_request(data: &Dataset, record: &Record, given_boxes: bool) -> Result<EditRequest, HitRateError> {
    let boxes = |at: usize| -> Vec<DrawnBox> {
        let given = record.evidence.get(at).filter(|_| given_boxes);
        given.into_iter().flatten().map(|&area| area.into()).collect()
    };
    let statement =
        |(at, text): (usize, &String)| StatementInput { statement: text.clone(), evidence: boxes(at) };
    Ok(EditRequest {
        warnings: Vec::new(),
        image: data.picture(&record.sample.image)?,
        question: record.sample.question.clone(),
        answer: record.sample.answer.clone(),
        reasoning: record.reasoning.iter().enumerate().map(statement).collect(),
        choices: record.sample.choices.clone(),
        author: None,
        tags: Vec::new(),
        metadata: serde_json::Value::Null,
        verify: false,
        supersedes: Vec::new(),
        on_conflict: None,
        idempotency: None,
    })
}
