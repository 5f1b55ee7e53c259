//! `BalancEdit` (Guo et al. 2025, "Dynamically Balancing the Generality-Locality Trade-off in Multi-modal
//! Model Editing"; method section 9.5): a codebook whose entries each have a tuned copy of the last
//! feed-forward, and a radius between a sample for which the edit should hold and one for which it
//! should not.

mod codebook;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use reasonedit_imaging::RgbImage;
use reasonedit_models::{DifferentiableSuffix, Unadapted, VisionLanguageModel};
use serde::{Deserialize, Deserializer, Serialize};

use self::codebook::{Codebook, Entry, Placing, distance};
use self::store::{Differences, PatchStore};
use crate::answer::answer;
use crate::error::Result;
use crate::feed_forward::{last_suffix, own_weights, trained};
use crate::method::{Correction, EditingMethod, Question, TunedAnswer, file};
use crate::minimise::Schedule;
use crate::picture::Picture;
use crate::prompt::Prompt;
use crate::weights::WeightPatch;

/// Stands in front of a question to make another with the same meaning of it.
const LEAD_IN: &str = "In this image, ";

/// Settings of [`BalancEdit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalancEditSettings {
    /// α: a radius is (1 − α) times the distance of the negative sample and α times that of the positive one.
    pub alpha: f64,
    /// Whether keys are what enters the feed-forward at the prompt's last token, and not its mean over all of
    /// them.
    #[serde(deserialize_with = "flag")]
    pub last_token: bool,
    /// Whether the radii of two entries with different replies, one within the other's, become half the
    /// distance of their keys. If not, the nearer key decides.
    #[serde(deserialize_with = "flag")]
    pub split: bool,
    /// AdamW's learning rate.
    pub learning_rate: f64,
    /// Steps of an edit at most.
    pub steps: usize,
    /// Steps without a better loss after which an edit ends (paper: 50).
    pub patience: usize,
    /// Mean loss of the reply's tokens (nats) below which it ends.
    pub good_enough: f64,
}

impl Default for BalancEditSettings {
    fn default() -> Self {
        Self {
            alpha: 0.2,
            last_token: false,
            split: false,
            learning_rate: 1e-3,
            steps: 100,
            patience: 50,
            good_enough: 1e-2,
        }
    }
}

/// A setting that is written as a number, too.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Word(bool),
        Number(f64),
    }
    Ok(match Flag::deserialize(deserializer)? {
        Flag::Word(set) => set,
        Flag::Number(number) => number != 0.0,
    })
}

/// `BalancEdit`. Copies of weights lie in files: of all of them, memory holds the one in use.
#[derive(Debug)]
pub struct BalancEdit {
    settings: BalancEditSettings,
    codebook: Codebook,
    store: PatchStore,
    edits: usize,
}

impl BalancEdit {
    /// Without edits. The copies of weights lie in a folder of its own below `folder`, which goes with it.
    pub fn new(settings: BalancEditSettings, folder: impl Into<PathBuf>) -> Self {
        Self { settings, codebook: Codebook::default(), store: PatchStore::new(folder.into()), edits: 0 }
    }

    /// Removes what editors of killed processes have left below `folder`; what is in use stays.
    pub fn clear_abandoned(folder: &Path) {
        store::clear_abandoned(folder);
    }

    /// A question's key, which no edit changes.
    fn key(
        &self,
        model: &dyn VisionLanguageModel,
        suffix: &DifferentiableSuffix,
        picture: &Picture,
        text: &str,
    ) -> Result<Arc<Vec<f32>>> {
        let last_token = self.settings.last_token;
        let name = if last_token { "last token into the last feed-forward" } else { "mean into it" };
        picture.vector(model, name, text, || {
            let (_, states) = Prompt::with_states(model, picture, text, suffix.cut())?;
            let inputs = suffix.feed_forward_inputs(&states)?.to_dtype(DType::F32)?;
            let key = if last_token { inputs.get(inputs.dim(0)? - 1)? } else { inputs.mean(0)? };
            Ok(key.to_vec1()?)
        })
    }

    /// The weights of an entry.
    fn patch(&self, suffix: &DifferentiableSuffix, entry: &Entry) -> Result<WeightPatch> {
        let differences = self.store.get(entry.weights)?;
        differences.onto(&own_weights(suffix)?)
    }
}

impl EditingMethod for BalancEdit {
    fn edit(&mut self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<()> {
        let suffix = last_suffix(model)?;
        let Question { picture, text, .. } = &correction.question;
        let key = self.key(model, &suffix, picture, text)?.as_ref().clone();
        let positive = self.key(model, &suffix, picture, &format!("{LEAD_IN}{text}"))?;
        let negative = self.key(model, &suffix, &black(picture)?, text)?;
        let alpha = self.settings.alpha;
        let radius = (1.0 - alpha) * distance(&key, &negative) + alpha * distance(&key, &positive);
        let radius = radius as f32;
        let placing = self.codebook.place(&key, &correction.reply, radius, self.settings.split);

        let own = own_weights(&suffix)?;
        let begin = match placing {
            Placing::Share { at } => self.patch(&suffix, &self.codebook.entries()[at])?,
            Placing::Add { .. } => own.clone(),
        };
        let prompt = Prompt::new(model, picture, text, suffix.cut())?;
        let example = prompt.example(model, &correction.reply)?;
        let BalancEditSettings { learning_rate: rate, steps, patience, good_enough, .. } = self.settings;
        let schedule = Schedule { steps, rate, patience, good_enough };
        let tuned = trained(&suffix, &begin, &example, &schedule)?;
        let weights = self.store.put(&Differences::between(&tuned, &own)?)?;
        let entry = Entry { key, radius, reply: correction.reply.clone(), edits: vec![self.edits], weights };
        if let Some(unused) = self.codebook.put(&placing, entry) {
            self.store.free(unused);
        }
        self.edits += 1;
        Ok(())
    }

    fn answer(&self, model: &dyn VisionLanguageModel, question: &Question) -> Result<TunedAnswer> {
        let suffix = last_suffix(model)?;
        let key = self.key(model, &suffix, &question.picture, &question.text)?;
        let Some(entry) = self.codebook.lookup(&key) else {
            let text = answer(model, &suffix, question, &Unadapted)?;
            return Ok(TunedAnswer { text, used: Vec::new(), rejected: true });
        };
        let patch = self.patch(&suffix, entry)?;
        let text = answer(model, &suffix, question, &patch)?;
        Ok(TunedAnswer { text, used: entry.edits.clone(), rejected: false })
    }

    fn bytes(&self) -> u64 {
        self.codebook.bytes() + self.store.bytes()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.store.save(folder)?;
        let saved = Saved { settings: self.settings, edits: self.edits, codebook: self.codebook.clone() };
        let path = folder.join(INDEX);
        let text = serde_json::to_vec(&saved).map_err(|error| file(&path, error))?;
        std::fs::write(&path, text).map_err(|error| file(&path, error))
    }

    fn restore(&mut self, model: &dyn VisionLanguageModel, folder: &Path) -> Result<()> {
        let path = folder.join(INDEX);
        let text = std::fs::read(&path).map_err(|error| file(&path, error))?;
        let saved: Saved = serde_json::from_slice(&text).map_err(|error| file(&path, error))?;
        if saved.settings != self.settings {
            return Err(file(&path, format!("made with {:?}, not {:?}", saved.settings, self.settings)));
        }
        let suffix = last_suffix(model)?;
        if saved.codebook.entries().iter().any(|entry| entry.key.len() != suffix.width()) {
            return Err(file(&path, format!("keys of another model: this one is {} wide", suffix.width())));
        }
        let weights = saved.codebook.entries().iter().map(|entry| entry.weights);
        self.store.restore(folder, Differences::bytes_of(&own_weights(&suffix)?), weights)?;
        (self.codebook, self.edits) = (saved.codebook, saved.edits);
        Ok(())
    }
}

const INDEX: &str = "codebook.json";

/// What [`BalancEdit::save`] writes beside the weights.
#[derive(Serialize, Deserialize)]
struct Saved {
    settings: BalancEditSettings,
    edits: usize,
    codebook: Codebook,
}

/// A picture of the same size that shows nothing.
fn black(picture: &Picture) -> Result<Picture> {
    let (width, height) = picture.with_pixels(|pixels| Ok(pixels.dimensions()))?;
    Ok(RgbImage::new(width, height).into())
}

#[cfg(test)]
mod tests;
