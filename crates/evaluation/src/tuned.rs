//! What a tuning found: the file that `eval --tuned` takes.

use std::path::Path;

use reasonedit_dataset::DataDigests;
use serde::{Deserialize, Serialize};

use crate::EvaluationError;
use crate::baseline::TunableFactory;
use crate::named_values::NamedValues;
use crate::settings::EditorSettings;

/// The settings that were chosen for each editor, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// Name of the data that the trials were made on.
    pub data: String,
    /// BLAKE3 of their records.
    pub data_digest: String,
    /// Fingerprint of the vision-language model.
    pub model_fingerprint: String,
    /// Fingerprint of the sentence encoder.
    pub encoder_fingerprint: String,
    /// Most trials of each editor.
    pub budget: usize,
    /// Edits of each trial.
    pub edits: usize,
    /// Seed of the points of the grid that were tried.
    pub seed: u64,
    /// What was made the greatest.
    pub chosen_by: String,
    /// By editor: every trial, and what was chosen.
    pub editors: NamedValues<TunedEditor>,
    /// Digests of the pictures and edits of these data, by which an evaluation on any of them is refused.
    #[serde(default, skip_serializing_if = "DataDigests::is_empty")]
    pub used: DataDigests,
}

/// One editor's trials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TunedEditor {
    /// What was chosen; none where every trial failed.
    pub settings: Option<EditorSettings>,
    /// The settings as they were published.
    pub published: EditorSettings,
    /// What was tried: each setting with its values.
    pub grid: NamedValues<Vec<f64>>,
    /// The trials in the order in which they were made.
    pub trials: Vec<Trial>,
}

/// One trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its settings.
    pub settings: EditorSettings,
    /// What was made the greatest; none where the trial failed.
    pub harmonic_mean: Option<f64>,
    /// The figures that it is the mean of.
    #[serde(default, skip_serializing_if = "NamedValues::is_empty")]
    pub figures: NamedValues<Option<f64>>,
    /// Edits that could not be made.
    #[serde(default)]
    pub failed_edits: usize,
    /// Seconds of the whole trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Why the trial as a whole failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Tuned {
    /// Reads a file that [`Self::write`] wrote.
    ///
    /// # Errors
    /// A file that can't be read, or that is none.
    pub fn read(path: &Path) -> Result<Self, EvaluationError> {
        let text = std::fs::read_to_string(path).map_err(|error| EvaluationError::file(path, error))?;
        serde_json::from_str(&text).map_err(|error| {
            EvaluationError::Data(format!("{} is no result of a tuning: {error}", path.display()))
        })
    }

    /// Writes it, beside and then renamed, so that it is whole or not there.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, path: &Path) -> Result<(), EvaluationError> {
        let failed = |error| EvaluationError::file(path, error);
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))? + "\n";
        let beside = path.with_extension("json.new");
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)).map_err(failed)
    }

    /// Editors with the settings that were chosen. One of which every trial failed keeps its own.
    ///
    /// # Errors
    /// An unknown editor, a setting that it has not.
    pub fn apply<F: TunableFactory>(&self, mut factory: F) -> Result<F, EvaluationError> {
        for (name, editor) in &self.editors.0 {
            if let Some(settings) = &editor.settings {
                factory = factory.with_settings(name, settings.clone())?;
            }
        }
        Ok(factory)
    }

    /// Makes sure that the settings were chosen with this model.
    ///
    /// # Errors
    /// Another model: both fingerprints are named.
    pub fn check_model(&self, fingerprint: &str) -> Result<(), EvaluationError> {
        if self.model_fingerprint == fingerprint {
            return Ok(());
        }
        Err(EvaluationError::Data(format!(
            "the settings were tuned on the model {}, and this one is {fingerprint}: tune them on this one",
            self.model_fingerprint
        )))
    }
}
