//! WISE (Wang et al. 2024, "Rethinking the Knowledge Memory for Lifelong Model Editing of Large Language
//! Models"; method section 9.4).
//!
//! Edits change a copy of one feed-forward's down projection, the side memory; questions go through it where
//! what it changes there, the activation, is as large as for edits. Each shard of edits changes a random
//! share of the weights; full shards are merged.

mod memory;
mod merging;
mod settings;
#[cfg(test)]
mod tests;

use std::path::Path;

use candle_core::{Tensor, Var};
use rand::Rng as _;
use rand::seq::index;
use reasonedit_models::{Cut, DifferentiableSuffix, Projection, Unadapted, VisionLanguageModel};

use self::memory::{Memories, Memory, SideMemory, activation};
pub use self::settings::WiseSettings;
use crate::answer::answer_prompt;
use crate::error::{Result, TuningError};
use crate::loss::cross_entropy;
use crate::method::{Correction, EditingMethod, Question, TunedAnswer};
use crate::minimise::descend;
use crate::prompt::{Example, Prompt, nothing};

/// WISE.
#[derive(Debug)]
pub struct Wise {
    settings: WiseSettings,
    /// Questions that have nothing to do with any edit: what they do to side memories is kept small.
    irrelevant: Vec<Question>,
    memories: Memories,
}

/// The layers below and above a side memory.
struct Layers {
    layer: usize,
    below: DifferentiableSuffix,
    above: DifferentiableSuffix,
}

impl Wise {
    /// Without edits. `irrelevant` are questions that have nothing to do with edits; without any, activations
    /// of such questions are not held down.
    pub fn new(settings: WiseSettings, irrelevant: Vec<Question>) -> Self {
        Self { settings, irrelevant, memories: Memories::default() }
    }

    fn layers(&self, model: &dyn VisionLanguageModel) -> Result<Layers> {
        let layers = model.differentiable(Cut::Layer(0))?.layers();
        let layer = self.settings.layer(layers).ok_or_else(|| {
            TuningError::Setting("a side memory needs a layer above it, and the model has but one".to_owned())
        })?;
        let below = model.differentiable(Cut::FeedForward(layer))?;
        let above = model.differentiable(Cut::Layer(layer + 1))?;
        Ok(Layers { layer, below, above })
    }

    /// What the side memory is given for a prompt, (rows, inner).
    fn asked(model: &dyn VisionLanguageModel, layers: &Layers, prompt: &Prompt) -> Result<Tensor> {
        // The row that predicts a reply's first token is the prompt's last.
        let states = prompt.states(model, &[&[0]])?.pop().ok_or_else(nothing)?;
        Ok(layers.below.feed_forward(&states)?.0)
    }

    /// What it is given for the irrelevant questions of an edit.
    fn elsewhere(&self, model: &dyn VisionLanguageModel, layers: &Layers) -> Result<Vec<Tensor>> {
        let count = self.settings.irrelevant.min(self.irrelevant.len());
        let mut stream = self.settings.stream(2 * self.memories.edits() + 1);
        index::sample(&mut stream, self.irrelevant.len(), count)
            .into_iter()
            .map(|at| {
                let Question { picture, text, .. } = &self.irrelevant[at];
                let prompt = Prompt::new(model, picture, text, layers.below.cut())?;
                Self::asked(model, layers, &prompt)
            })
            .collect()
    }

    /// Which weights may change in a shard: 1 or 0 for each, (inner, width).
    fn mask(&self, shard: usize, (inputs, outputs): (usize, usize)) -> Result<Tensor> {
        let mut stream = self.settings.stream(2 * shard);
        let ratio = self.settings.mask_ratio.clamp(0.0, 1.0);
        let mask: Vec<f32> =
            (0..inputs * outputs).map(|_| f32::from(u8::from(stream.random_bool(ratio)))).collect();
        Ok(Tensor::from_vec(mask, (inputs, outputs), &candle_core::Device::Cpu)?)
    }

    /// Trains a side memory from `start` on; with the activation of the edit in it.
    fn train(
        &self,
        layers: &Layers,
        start: &Tensor,
        mask: &Tensor,
        objective: &Objective,
    ) -> Result<(Tensor, f64)> {
        let settings = &self.settings;
        let variable = Var::from_tensor(start)?;
        let bound = settings.weight_bound;
        let bounded = || Ok::<_, TuningError>(variable.as_detached_tensor().clamp(-bound, bound)?);
        descend(std::slice::from_ref(&variable), &settings.schedule(), settings.optimiser, |_| {
            variable.set(&bounded()?)?;
            let (value, gradient) = objective.evaluate(settings, layers, &variable.as_detached_tensor())?;
            Ok((value, move || Ok(vec![Some((gradient()? * mask)?)])))
        })?;
        let delta = bounded()?;
        let own = activation(&objective.inner.narrow(0, 0, objective.prompt)?.matmul(&delta)?)?;
        Ok((delta, f64::from(own.to_scalar::<f32>()?)))
    }

    fn objective(
        &self,
        model: &dyn VisionLanguageModel,
        layers: &Layers,
        edit: &Correction,
    ) -> Result<Objective> {
        let prompt = Prompt::new(model, &edit.question.picture, &edit.question.text, layers.below.cut())?;
        let example = prompt.example(model, &edit.reply)?;
        let (inner, states) = layers.below.feed_forward(&example.states)?;
        let elsewhere = self.elsewhere(model, layers)?;
        let own = inner.dim(0)?;
        let inner = Tensor::cat(&std::iter::once(&inner).chain(&elsewhere).collect::<Vec<_>>(), 0)?;
        Ok(Objective {
            transposed: inner.t()?.force_contiguous()?,
            inner,
            // The row that predicts the reply's first token is the prompt's last.
            prompt: own + 1 - example.states.outputs(),
            own,
            elsewhere: elsewhere.iter().map(|one| one.dim(0)).collect::<candle_core::Result<_>>()?,
            example: Example { states, targets: example.targets },
        })
    }
}

/// What an edit is trained by.
struct Objective {
    /// Inputs of the side memory, (rows, inner): prompt and reply, then each irrelevant prompt.
    inner: Tensor,
    transposed: Tensor,
    /// Rows of the prompt, of prompt and reply, and of each irrelevant prompt.
    prompt: usize,
    own: usize,
    elsewhere: Vec<usize>,
    /// The reply; its states enter the layer above without a side memory.
    example: Example,
}

impl Objective {
    /// The loss of a side memory, and its gradient. The tape begins at what the memory changes in each row:
    /// nothing below that depends on it.
    fn evaluate<'s>(
        &'s self,
        settings: &WiseSettings,
        layers: &Layers,
        delta: &Tensor,
    ) -> Result<(f64, impl FnOnce() -> Result<Tensor> + use<'s>)> {
        let change = Var::from_tensor(&self.inner.matmul(delta)?)?;
        let loss = (self.reply_loss(layers, &change)? + self.margin_loss(settings, &change)?)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        let gradient = move || {
            let by_change = loss.backward()?.remove(&change).ok_or_else(nothing)?;
            Ok(self.transposed.matmul(&by_change)?)
        };
        Ok((value, gradient))
    }

    /// Mean loss of the reply's tokens.
    fn reply_loss(&self, layers: &Layers, change: &Tensor) -> Result<Tensor> {
        let mut example = self.example.clone();
        example.states.states = (&example.states.states + change.narrow(0, 0, self.own)?)?;
        cross_entropy(&layers.above, &[&example], &Unadapted)
    }

    /// How far activations are from where routing wants them.
    fn margin_loss(&self, settings: &WiseSettings, change: &Tensor) -> Result<Tensor> {
        let WiseSettings { alpha, beta, gamma, margin_scale: scale, .. } = settings;
        let own = activation(&change.narrow(0, 0, self.prompt)?)?;
        let mut loss = (own.neg()? + beta * scale)?.relu()?;
        let mut start = self.own;
        let share = 1.0 / self.elsewhere.len().max(1) as f64;
        for &rows in &self.elsewhere {
            let other = activation(&change.narrow(0, start, rows)?)?;
            let held_down = (&other - alpha * scale)?.relu()?;
            let apart = ((&other - &own)? + gamma * scale)?.relu()?;
            loss = (loss + ((held_down + apart)? * share)?)?;
            start += rows;
        }
        Ok(loss)
    }
}

impl EditingMethod for Wise {
    fn edit(&mut self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<()> {
        let layers = self.layers(model)?;
        let objective = self.objective(model, &layers, correction)?;
        let shape = layers.below.shape(Projection::Down);
        let mask = self.mask(self.memories.started(), shape)?;
        let current = self.memories.current(shape)?;
        let (delta, activation) = self.train(&layers, &current.delta, &mask, &objective)?;
        let edited = Memory { delta, least: current.least.min(activation), edits: current.edits + 1 };
        self.memories.put(edited, &self.settings)
    }

    fn answer(&self, model: &dyn VisionLanguageModel, question: &Question) -> Result<TunedAnswer> {
        let layers = self.layers(model)?;
        let prompt = Prompt::new(model, &question.picture, &question.text, layers.below.cut())?;
        let memory = if self.memories.edits() == 0 {
            None
        } else {
            self.memories.route(&Self::asked(model, &layers, &prompt)?, self.settings.threshold)?
        };
        let text = match memory {
            Some(memory) => {
                let side = SideMemory { layer: layers.layer, delta: &memory.delta };
                answer_prompt(model, &layers.below, &prompt, question, &side)?
            }
            None => answer_prompt(model, &layers.below, &prompt, question, &Unadapted)?,
        };
        Ok(TunedAnswer {
            text,
            rejected: memory.is_none() && self.memories.edits() > 0,
            ..TunedAnswer::default()
        })
    }

    fn bytes(&self) -> u64 {
        self.memories.bytes()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.memories.write(folder)
    }

    fn restore(&mut self, model: &dyn VisionLanguageModel, folder: &Path) -> Result<()> {
        let shape = self.layers(model)?.below.shape(Projection::Down);
        self.memories = Memories::read(folder, shape)?;
        Ok(())
    }
}
