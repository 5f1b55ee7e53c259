//! LoRA: low-rank factors beside the attention projections of all layers, trained on every edit (Hu et al.
//! 2022; method section 9.2).

mod trained;

use std::path::Path;

use reasonedit_models::{Cut, DifferentiableSuffix, LowRankAdapter, Projection, VisionLanguageModel};
use serde::{Deserialize, Serialize};

pub(crate) use self::trained::TrainedFactors;
use crate::answer::answer;
use crate::error::Result;
use crate::loss::cross_entropy;
use crate::method::{Correction, EditingMethod, Question, TunedAnswer};
use crate::minimise::{Schedule, minimise};
use crate::prompt::Prompt;

/// What has factors: the projections of attention.
pub(crate) const ATTENTION: [Projection; 4] =
    [Projection::Query, Projection::Key, Projection::Value, Projection::Output];
const FILE: &str = "factors.safetensors";

/// Settings of LoRA.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraSettings {
    /// Rank of the factors (paper's code: 8).
    pub rank: usize,
    /// α: the factors' product is multiplied by α over the rank (EasyEdit: 32).
    pub alpha: f64,
    /// AdamW's learning rate.
    pub learning_rate: f64,
    /// Steps of an edit at most (paper: 100 to 500).
    pub steps: usize,
    /// Steps without a better loss after which an edit ends (paper: 50).
    pub patience: usize,
    /// Mean loss of the reply's tokens (nats) below which it ends.
    pub good_enough: f64,
    /// Decides the factors that the first edit begins with.
    pub seed: u64,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 32.0,
            learning_rate: 1e-3,
            steps: 100,
            patience: 50,
            good_enough: 1e-2,
            seed: 0,
        }
    }
}

/// LoRA. The factors of all edits are one set: each begins from where the one before ended.
#[derive(Debug)]
pub struct Lora {
    settings: LoraSettings,
    adapter: LowRankAdapter,
}

impl Lora {
    /// Without edits.
    pub fn new(settings: LoraSettings) -> Self {
        Self { settings, adapter: LowRankAdapter::default() }
    }

    /// What has been trained so far: no factors before the first edit.
    pub fn adapter(&self) -> &LowRankAdapter {
        &self.adapter
    }

    fn suffix(model: &dyn VisionLanguageModel) -> Result<DifferentiableSuffix> {
        Ok(model.differentiable(Cut::Layer(0))?)
    }
}

impl EditingMethod for Lora {
    fn edit(&mut self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<()> {
        let suffix = Self::suffix(model)?;
        let question = &correction.question;
        let prompt = Prompt::new(model, &question.picture, &question.text, suffix.cut())?;
        let example = prompt.example(model, &correction.reply)?;
        let LoraSettings { rank, alpha, learning_rate: rate, steps, patience, good_enough, seed } =
            self.settings;
        let trained = if self.adapter.0.is_empty() {
            TrainedFactors::begin(&suffix, &ATTENTION, rank, alpha, seed)?
        } else {
            TrainedFactors::copy(&self.adapter)?
        };
        let schedule = Schedule { steps, rate, patience, good_enough };
        minimise(trained.variables(), &schedule, |_| cross_entropy(&suffix, &[&example], trained.adapter()))?;
        self.adapter = trained.constant()?;
        Ok(())
    }

    fn answer(&self, model: &dyn VisionLanguageModel, question: &Question) -> Result<TunedAnswer> {
        let text = answer(model, &Self::suffix(model)?, question, &self.adapter)?;
        Ok(TunedAnswer { text, ..TunedAnswer::default() })
    }

    fn bytes(&self) -> u64 {
        self.adapter.bytes()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        trained::write(&self.adapter, &folder.join(FILE))
    }

    fn restore(&mut self, model: &dyn VisionLanguageModel, folder: &Path) -> Result<()> {
        let LoraSettings { rank, alpha, .. } = self.settings;
        let suffix = Self::suffix(model)?;
        self.adapter = trained::read(&suffix, &ATTENTION, rank, alpha, &folder.join(FILE))?;
        Ok(())
    }
}
