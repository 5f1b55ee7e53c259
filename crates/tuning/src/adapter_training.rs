//! Adapters that are trained on many corrections at once, as `reasonedit adapt` does with those of a codebook
//! (method section 9.2).

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use reasonedit_models::{Cut, LowRankAdapter, Projection, VisionLanguageModel};

use crate::error::{Result, TuningError};
use crate::lora::{ATTENTION, TrainedFactors};
use crate::loss::cross_entropy;
use crate::method::Correction;
use crate::minimise::{Optimiser, Schedule, Stepped};
use crate::prompt::{Example, Prompt};

/// Steps that few corrections are given too.
const LEAST_STEPS: usize = 200;

/// A loss above this share of that of guessing is not better than guessing: factors that have left all
/// measure give every token the same probability.
const GUESSING: f64 = 0.95;

/// Settings of an adapter's training.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSettings {
    /// Rank of the factors.
    pub rank: usize,
    /// α: the factors' product is multiplied by α over the rank.
    pub alpha: f64,
    /// Projections of every layer that get factors.
    pub targets: Vec<Projection>,
    /// AdamW's learning rate at the beginning; it falls to 0 by half a cosine.
    pub learning_rate: f64,
    /// How often every correction is seen, at most; few corrections as often as 200 steps need.
    pub epochs: usize,
    /// Corrections of a step.
    pub batch: usize,
    /// Mean loss of an epoch (nats a token) below which no more follows.
    pub good_enough: f64,
    /// Decides the factors to begin with and the order of the corrections.
    pub seed: u64,
}

impl Default for AdapterSettings {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            targets: ATTENTION.to_vec(),
            learning_rate: 2e-3,
            epochs: 30,
            batch: 8,
            good_enough: 1e-2,
            seed: 0,
        }
    }
}

/// The training of one adapter. The model is handed to each step, so that others can use it in between.
pub struct AdapterTraining {
    settings: AdapterSettings,
    examples: Vec<Example>,
    begun: Option<Begun>,
}

struct Begun {
    factors: TrainedFactors,
    /// Its variables.
    trained: Vec<Stepped>,
    random: ChaCha8Rng,
    /// Examples in the order of this epoch.
    order: Vec<usize>,
    /// Steps that were made.
    steps: usize,
    /// Loss of the first step, which is the model's own.
    first_loss: Option<f64>,
    /// Loss of guessing among all tokens.
    guessing: f64,
    /// Losses of this epoch's steps.
    losses: Vec<f64>,
    /// Mean loss of the last whole epoch.
    loss: Option<f64>,
}

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdapterProgress {
    /// Steps that were made.
    pub steps: usize,
    /// Steps at most.
    pub of: usize,
    /// Loss (nats a token) of the first step, before anything was changed, once it is made.
    pub first_loss: Option<f64>,
    /// Loss (nats a token) of guessing among all tokens, once a step is made.
    pub guessing: Option<f64>,
    /// Mean loss (nats a token) of the last whole epoch, once there is one.
    pub loss: Option<f64>,
    /// Mean loss (nats a token) that is as good as wanted.
    pub good_enough: f64,
    /// Whether no step is left to make.
    pub done: bool,
}

impl AdapterProgress {
    /// Whether the loss has fallen, and below that of guessing, or is as low as wanted. A training that ends
    /// otherwise has diverged, and its adapter answers worse than the model.
    pub fn has_learnt(&self) -> bool {
        let Some(last) = self.loss else { return false };
        let below = |loss: Option<f64>| loss.is_some_and(|loss| last < loss);
        let better_than_guessing = below(self.guessing.map(|guessing| GUESSING * guessing));
        last < self.good_enough || below(self.first_loss) && better_than_guessing
    }
}

impl AdapterTraining {
    /// Without corrections.
    pub fn new(settings: AdapterSettings) -> Self {
        Self { settings, examples: Vec::new(), begun: None }
    }

    /// Adds a correction, as long as no step was made: looks at its picture.
    ///
    /// # Errors
    /// A picture or text that the model can't take.
    pub fn add(&mut self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<()> {
        let question = &correction.question;
        let prompt = Prompt::new(model, &question.picture, &question.text, Cut::Layer(0))?;
        self.examples.push(prompt.example(model, &correction.reply)?);
        Ok(())
    }

    fn per_epoch(&self) -> usize {
        self.examples.len().div_ceil(self.settings.batch.max(1))
    }

    /// How far it is.
    pub fn progress(&self) -> AdapterProgress {
        let per_epoch = self.per_epoch();
        let least = if per_epoch == 0 { 0 } else { LEAST_STEPS.div_ceil(per_epoch) };
        let of = self.settings.epochs.max(least) * per_epoch;
        let begun = self.begun.as_ref();
        let steps = begun.map_or(0, |begun| begun.steps);
        let first_loss = begun.and_then(|begun| begun.first_loss);
        let guessing = begun.map(|begun| begun.guessing);
        let loss = begun.and_then(|begun| begun.loss);
        let good_enough = self.settings.good_enough;
        let good = loss.is_some_and(|loss| loss < good_enough);
        AdapterProgress { steps, of, first_loss, guessing, loss, good_enough, done: steps >= of || good }
    }

    /// Makes a step, unless it is done.
    ///
    /// # Errors
    /// [`TuningError::NonFiniteLoss`], [`TuningError::Setting`]; those of the model.
    pub fn step(&mut self, model: &dyn VisionLanguageModel) -> Result<AdapterProgress> {
        let progress = self.progress();
        if progress.done {
            return Ok(progress);
        }
        let suffix = model.differentiable(Cut::Layer(0))?;
        let AdapterSettings { rank, alpha, targets, learning_rate: rate, seed, .. } = &self.settings;
        let per_epoch = self.per_epoch();
        if self.begun.is_none() {
            let factors = TrainedFactors::begin(&suffix, targets, *rank, *alpha, *seed)?;
            let stepped = |variable| Stepped::new(variable, Optimiser::Adam);
            let trained = factors.variables().iter().map(stepped).collect::<Result<_>>()?;
            let random = ChaCha8Rng::seed_from_u64(*seed);
            let order = (0..self.examples.len()).collect();
            self.begun = Some(Begun {
                factors,
                trained,
                random,
                order,
                steps: 0,
                first_loss: None,
                guessing: (model.info().vocabulary.max(1) as f64).ln(),
                losses: Vec::new(),
                loss: None,
            });
        }
        let Some(begun) = &mut self.begun else { return Ok(progress) };
        if begun.steps % per_epoch == 0 {
            begun.order.shuffle(&mut begun.random);
            begun.losses.clear();
        }
        let batch = self.settings.batch.max(1);
        let chosen = begun.order.iter().skip(begun.steps % per_epoch * batch).take(batch);
        let examples: Vec<&Example> = chosen.map(|at| &self.examples[*at]).collect();
        let loss = cross_entropy(&suffix, &examples, begun.factors.adapter())?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(TuningError::NonFiniteLoss { steps: begun.steps });
        }
        let schedule = Schedule { steps: progress.of, rate: *rate, patience: usize::MAX, good_enough: 0.0 };
        let rate = schedule.rate_at(begun.steps);
        let mut gradients = loss.backward()?;
        for own in &mut begun.trained {
            if let Some(gradient) = gradients.remove(own.variable()) {
                own.step(&gradient, rate, begun.steps + 1)?;
            }
        }
        begun.steps += 1;
        begun.first_loss.get_or_insert(value);
        begun.losses.push(value);
        if begun.losses.len() == per_epoch {
            begun.loss = Some(begun.losses.iter().sum::<f64>() / per_epoch as f64);
        }
        Ok(self.progress())
    }

    /// The adapter as it is now.
    ///
    /// # Errors
    /// [`TuningError::Setting`] before the first step.
    pub fn adapter(&self) -> Result<LowRankAdapter> {
        let begun = self.begun.as_ref();
        let begun =
            begun.ok_or_else(|| TuningError::Setting("there is nothing to train an adapter on".into()))?;
        begun.factors.constant()
    }
}
