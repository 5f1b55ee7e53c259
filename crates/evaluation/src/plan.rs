//! What is to be measured, and what was.

use std::path::PathBuf;

use reasonedit_dataset::NoiseKind;
use serde::{Deserialize, Serialize};

use crate::baseline::{Profile, RetrievalSetting};
use crate::estimate::Bootstrap;
use crate::journal::OutcomeJournal;
use crate::questions::{EvaluationQuestion, Metric};
use crate::settings::EditorSettings;

/// Edits one after another, tested in between (paper section 4.4: every 200 edits, 50 of them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequential {
    /// Edits between two tests.
    pub every: usize,
    /// Edits that are tested, drawn from all made so far.
    pub sample: usize,
}

/// What is to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationPlan {
    /// Editors by name. The unedited model is always among them.
    pub editors: Vec<String>,
    /// Edits to make; fewer if the data hold fewer errors.
    pub edits: usize,
    /// Use the records' own boxes instead of letting the editors look for evidence.
    pub given_boxes: bool,
    /// All edits, then all questions.
    pub all_at_once: bool,
    /// The same with the first edits alone, so many of them; only sizes below [`Self::edits`] count.
    pub sizes: Vec<usize>,
    /// Each edit alone on the unedited model, with its own questions.
    pub single: bool,
    /// Tests in between.
    pub sequential: Option<Sequential>,
    /// Noise in the reasoning, and percent of the statements.
    pub noise: Vec<(NoiseKind, u32)>,
    /// Settings of retrieval to vary, with their values.
    pub sweeps: Vec<(RetrievalSetting, Vec<f64>)>,
    /// Seed of samples and noise.
    pub seed: u64,
    /// Edits between two states that are written down, of editors that write theirs.
    pub save_every: usize,
    /// Editors that are measured at a time.
    pub jobs: usize,
    /// How intervals are found.
    pub bootstrap: Bootstrap,
    /// Folder of outcomes, and of what editors keep; none: nothing outlasts the program.
    pub out: Option<PathBuf>,
}

impl EvaluationPlan {
    /// Edits between two saved states, where nobody says otherwise.
    pub const SAVE_EVERY: usize = 50;
}

/// What was measured: everything that a report is made of.
pub struct Measured {
    /// Every question.
    pub questions: Vec<EvaluationQuestion>,
    /// Records that became edits, in order.
    pub edited: Vec<String>,
    /// Records that were looked at and not edited, because the unedited model answers their question rightly.
    pub right_before: usize,
    /// Metrics for which the data have no questions at all.
    pub lacking: Vec<Metric>,
    /// Editors and their outcomes: the unedited model, then those asked for, then those that the folder has
    /// from before.
    pub editors: Vec<MeasuredEditor>,
}

/// One editor and what became of everything it was asked.
pub struct MeasuredEditor {
    /// What it says of itself.
    pub profile: Profile,
    /// What it was made with beside its defaults.
    pub settings: EditorSettings,
    /// Edits and outcomes.
    pub journal: OutcomeJournal,
}

/// Is told what is being done, how much of it is done, and of how much.
pub type ProgressCallback<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);
