//! From outcomes to figures: what is written into `report.json`, and what the Markdown and the pictures are
//! made of.

mod comparison;
mod drawing;
mod figures;
mod groups;
mod in_front;
mod markdown;
mod protocols;
mod published;
mod scatter;
mod summary;
mod table;
mod tuning;
mod write;

pub use in_front::InFrontFigures;
use reasonedit_dataset::NoiseKind;
use serde_json::Value;

use crate::baseline::RetrievalSetting;
use crate::estimate::{Bootstrap, Estimate};
use crate::named_values::NamedValues;
use crate::plan::Sequential;
use crate::questions::Metric;
use crate::settings::EditorSettings;
use crate::tuned::Tuned;

/// Where figures come from, as told by whoever ran the evaluation.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Provenance {
    /// The command that measures the same again.
    pub command: String,
    /// Version of the program.
    pub version: String,
    /// Revision of the program's sources, where they are known; `+` behind it: with changes.
    pub git_revision: Option<String>,
    /// Name of the data.
    pub data: String,
    /// BLAKE3 of the data's records.
    pub data_digest: String,
    /// What a reader must know of the data: what was left out, what is not there, what a column means on
    /// them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Name of the vision-language model.
    pub model: String,
    /// Its fingerprint.
    pub model_fingerprint: String,
    /// Fingerprint of the sentence encoder.
    pub encoder_fingerprint: String,
    /// The editor's configuration that variants change.
    pub configuration: Value,
}

/// A figure and what retrieval did for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct MetricFigure {
    /// Share of right answers.
    #[serde(flatten)]
    pub right: Estimate,
    /// Share of questions before which the first sentence is one of the right edit.
    pub hit_at_1: Option<f64>,
    /// The same of the first five sentences.
    pub hit_at_5: Option<f64>,
    /// Share of questions before which the first sentence, whichever edit it is from, is true of the asked
    /// picture and bears on the question; `None` where the data don't know.
    pub true_hit_at_1: Option<f64>,
    /// The same of any of the first five.
    pub true_hit_at_5: Option<f64>,
    /// Share of questions before which sentences stood of which none is.
    pub false_injection: Option<f64>,
    /// Share of questions that a gate kept everything back from.
    pub rejected: Option<f64>,
}

/// All metrics of one pass of one editor.
pub type MetricFigures = NamedValues<MetricFigure>;

impl MetricFigures {
    /// Share of right answers; nothing where it was not asked.
    fn right(&self, metric: Metric) -> Estimate {
        self.get(metric.name()).map(|figure| figure.right).unwrap_or_default()
    }
}

/// Several figures as one: their harmonic mean, which is near the least of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct HarmonicMeans {
    /// Of the paper's six ([`Metric::PAPER`]).
    pub paper: Estimate,
    /// Of all that the data have questions for.
    pub all: Estimate,
}

/// One editor with all edits live at once.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct EditorFigures {
    /// What it does.
    pub about: String,
    /// What it was made with beside its defaults.
    #[serde(skip_serializing_if = "EditorSettings::is_empty")]
    pub settings: EditorSettings,
    /// Edits that were live.
    pub edits: usize,
    /// Those of them that could not be made; their questions count like any other's.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed_edits: usize,
    /// The metrics; empty where the pass was not made.
    pub metrics: MetricFigures,
    /// The metrics as one figure.
    pub harmonic_mean: HarmonicMeans,
    /// The difference to ReasonEdit on the same questions; empty for itself and where that was not measured.
    pub over_reasonedit: NamedValues<Estimate>,
    /// Share of the unrelated questions before which any sentence stood, whatever it says.
    pub false_injection: Estimate,
    /// What it put in front of questions.
    pub in_front: InFrontFigures,
    /// Kilobytes (1,000 bytes) kept for an edit.
    pub kb_per_edit_merged: Option<f64>,
    /// The same if nothing were merged.
    pub kb_per_edit_unmerged: Option<f64>,
    /// Median milliseconds of an edit.
    pub edit_ms: Option<f64>,
    /// Median milliseconds of a question that is asked alone, on a picture that was looked at before.
    pub query_ms: Option<f64>,
    /// Seconds of everything that was done with it: edits and questions of all protocols.
    pub seconds: Option<f64>,
    /// The most memory that the program held meanwhile, in megabytes (1,000,000 bytes).
    pub peak_mb: Option<f64>,
}

/// One editor with some edits: each of them alone on the unedited model, or the first ones at once.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ProtocolFigures {
    /// Edits that were made.
    pub edits: usize,
    /// Those of them that could not be made.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed_edits: usize,
    /// The metrics, with the questions of these edits.
    pub metrics: MetricFigures,
    /// The metrics as one figure.
    pub harmonic_mean: HarmonicMeans,
    /// Kilobytes kept for an edit.
    pub kb_per_edit_merged: Option<f64>,
    /// Median milliseconds of an edit.
    pub edit_ms: Option<f64>,
}

/// One test of the sequential protocol.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SequentialTest {
    /// Edits that were live.
    pub edits: usize,
    /// Those of them that could not be made.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed_edits: usize,
    /// The metrics.
    pub metrics: MetricFigures,
    /// The metrics as one figure.
    pub harmonic_mean: HarmonicMeans,
    /// Kilobytes kept for an edit.
    pub kb_per_edit_merged: Option<f64>,
    /// Median milliseconds of an edit since the test before.
    pub edit_ms: Option<f64>,
    /// Median milliseconds of a question that is asked alone.
    pub query_ms: Option<f64>,
}

/// How figures change over sequential edits: the tests among the first thousand edits against those among the
/// last thousand.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Drift {
    /// Share of right answers in the first ones.
    pub first: NamedValues<Estimate>,
    /// In the last ones.
    pub last: NamedValues<Estimate>,
}

/// The sequential protocol of one editor.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SequentialFigures {
    /// The tests in order.
    pub tests: Vec<SequentialTest>,
    /// First and last thousand, where there are that many.
    pub drift: Option<Drift>,
}

/// Metrics with noise in the reasoning.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NoiseFigures {
    /// What was done to statements.
    pub kind: NoiseKind,
    /// To how many of them, in percent.
    pub percent: u32,
    /// The metrics.
    pub metrics: MetricFigures,
}

/// Metrics with another setting of retrieval.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SweepFigures {
    /// The setting.
    #[serde(rename = "knob")]
    pub setting: RetrievalSetting,
    /// Its value.
    pub value: f64,
    /// The metrics.
    pub metrics: MetricFigures,
    /// Share of the unrelated questions before which any sentence stood, whatever it says.
    pub false_injection: Estimate,
}

/// An evaluation, ready to be written.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct EvaluationReport {
    /// Where it comes from.
    pub provenance: Provenance,
    /// Seed of samples and noise.
    pub seed: u64,
    /// How intervals were found.
    pub bootstrap: Bootstrap,
    /// Whether the records' own boxes were used.
    pub given_boxes: bool,
    /// Edits that were made.
    pub edits: usize,
    /// Records that were not edited because the unedited model answers their question rightly.
    pub right_before: usize,
    /// Questions without choices, of every editor: their answers are generated.
    #[serde(skip_serializing_if = "is_zero")]
    pub generated: usize,
    /// Metrics for which the data have no questions.
    pub lacking: Vec<Metric>,
    /// What the unedited model sees; empty without probes.
    pub perception: NamedValues<Estimate>,
    /// All edits live at once.
    pub editors: NamedValues<EditorFigures>,
    /// Each edit alone on the unedited model.
    #[serde(skip_serializing_if = "NamedValues::is_empty")]
    pub single: NamedValues<ProtocolFigures>,
    /// The first edits live at once, by how many.
    #[serde(skip_serializing_if = "NamedValues::is_empty")]
    pub sizes: NamedValues<Vec<ProtocolFigures>>,
    /// How the editors' settings were chosen, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuned>,
    /// How the sequential protocol was run, if it was.
    pub protocol: Option<Sequential>,
    /// The sequential protocol.
    pub sequential: NamedValues<SequentialFigures>,
    /// Noise in the reasoning.
    pub noise: NamedValues<Vec<NoiseFigures>>,
    /// Settings of retrieval.
    pub sensitivity: NamedValues<Vec<SweepFigures>>,
}

impl EvaluationReport {
    /// Editors of which the static pass is whole.
    fn measured(&self) -> impl Iterator<Item = &(String, EditorFigures)> {
        self.editors.0.iter().filter(|(_, editor)| !editor.metrics.is_empty())
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
