//! FT: the weights of the last feed-forward are trained on every edit (paper, appendix D.3; method section
//! 9.1).

use std::path::Path;

use reasonedit_models::VisionLanguageModel;
use serde::{Deserialize, Serialize};

use crate::answer::answer;
use crate::error::Result;
use crate::feed_forward::{last_suffix, own_weights, read_weights, trained};
use crate::method::{Correction, EditingMethod, Question, TunedAnswer};
use crate::minimise::Schedule;
use crate::prompt::Prompt;
use crate::weights::WeightPatch;

const FILE: &str = "weights.safetensors";

/// Settings of FT.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FineTuningSettings {
    /// AdamW's learning rate.
    pub learning_rate: f64,
    /// Steps of an edit at most (paper: 100 to 500).
    pub steps: usize,
    /// Steps without a better loss after which an edit ends (paper: 50).
    pub patience: usize,
    /// Mean loss of the reply's tokens (nats) below which it ends.
    pub good_enough: f64,
}

impl Default for FineTuningSettings {
    fn default() -> Self {
        Self { learning_rate: 1e-3, steps: 100, patience: 50, good_enough: 1e-2 }
    }
}

/// FT. The weights of all edits are one set: each begins from where the one before ended.
#[derive(Debug)]
pub struct FineTuning {
    settings: FineTuningSettings,
    weights: WeightPatch,
}

impl FineTuning {
    /// Without edits.
    pub fn new(settings: FineTuningSettings) -> Self {
        Self { settings, weights: WeightPatch::default() }
    }
}

impl EditingMethod for FineTuning {
    fn edit(&mut self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<()> {
        let suffix = last_suffix(model)?;
        let question = &correction.question;
        let prompt = Prompt::new(model, &question.picture, &question.text, suffix.cut())?;
        let example = prompt.example(model, &correction.reply)?;
        let FineTuningSettings { learning_rate: rate, steps, patience, good_enough } = self.settings;
        let schedule = Schedule { steps, rate, patience, good_enough };
        let own = if self.weights.0.is_empty() { Some(own_weights(&suffix)?) } else { None };
        self.weights = trained(&suffix, own.as_ref().unwrap_or(&self.weights), &example, &schedule)?;
        Ok(())
    }

    fn answer(&self, model: &dyn VisionLanguageModel, question: &Question) -> Result<TunedAnswer> {
        let text = answer(model, &last_suffix(model)?, question, &self.weights)?;
        Ok(TunedAnswer { text, ..TunedAnswer::default() })
    }

    fn bytes(&self) -> u64 {
        self.weights.bytes()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.weights.write(&folder.join(FILE))
    }

    fn restore(&mut self, model: &dyn VisionLanguageModel, folder: &Path) -> Result<()> {
        self.weights = read_weights(&folder.join(FILE), &last_suffix(model)?)?;
        Ok(())
    }
}
