//! LiveEdit (Chen et al. 2025, arXiv 2411.15432): a generator makes a low-rank expert of an edit's hidden
//! states; a question's picture decides which experts may speak, its text how much each of them does (method
//! section 9.6).
//!
//! Generator and routing are trained once, on records that are never evaluated; an edit is then one pass of
//! the model and one through them, and each edit is kept apart from the others.

mod attention;
mod batch;
mod dimensions;
mod network;
mod repository;
mod training;

use std::cell::OnceCell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::{D, Tensor};
use reasonedit_models::{
    Adaptation, Cut, DifferentiableSuffix, ModelError, NnError, NnResult, VisionLanguageModel,
};
use serde::{Deserialize, Serialize};

use crate::answer::answer_prompt;
use crate::error::{Result, TuningError};
use crate::method::{Correction, EditingMethod, Question, TunedAnswer};
use crate::prompt::Prompt;
use crate::training_case::{
    EditorNetwork, LossCurves, NetworkOrigin, TrainingCase, TrainingProgress, read_network, write_network,
};

use batch::{Signal, signal};
use dimensions::Dimensions;
use network::Network;
use repository::ExpertRepository;

/// Settings of LiveEdit and of its networks' training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveEditSettings {
    /// Share of the layers below the experts (authors: layer 21 of 32, from 0).
    pub depth: f64,
    /// `d_m`, the width of what pictures and texts are compared by (authors: 1,024); without it half of the
    /// model's, at most 1,024.
    pub module_width: Option<usize>,
    /// Heads of the attention within (authors: 8).
    pub heads: usize,
    /// Vectors that a picture or text is compared by (authors: 4).
    pub queries: usize,
    /// Rank of an expert (authors: 4).
    pub rank: usize,
    /// What an expert is divided by, times the root of its rank (authors: 5).
    pub scale: f64,
    /// Tokens of the learned picture that an edit's picture must be nearer than (authors: as many as a
    /// picture has).
    pub sentinel_tokens: usize,
    /// Adam's learning rate (authors: 1e-4).
    pub learning_rate: f64,
    /// Weight of the loss on the edits.
    pub edit_weight: f64,
    /// Weight of that on the questions in other words and on other pictures.
    pub generality_weight: f64,
    /// Weight of what unrelated answers diverge by.
    pub locality_weight: f64,
    /// Weight of the losses of both kinds of routing.
    pub routing_weight: f64,
    /// Steps of the training.
    pub steps: usize,
    /// Edits in a step (authors: 8).
    pub batch: usize,
    /// Seed of the first weights and of the order of cases.
    pub seed: u64,
}

impl Default for LiveEditSettings {
    fn default() -> Self {
        Self {
            depth: 21.0 / 32.0,
            module_width: None,
            heads: 8,
            queries: 4,
            rank: 4,
            scale: 5.0,
            sentinel_tokens: 16,
            learning_rate: 1e-3,
            edit_weight: 1.0,
            generality_weight: 1.0,
            locality_weight: 1.0,
            routing_weight: 1.0,
            steps: 1200,
            batch: 8,
            seed: 0,
        }
    }
}

impl LiveEditSettings {
    /// The layers behind the one whose output the experts change.
    fn suffix(&self, model: &dyn VisionLanguageModel) -> Result<DifferentiableSuffix> {
        let layers = model.differentiable(Cut::Layer(0))?.layers();
        if layers < 2 || !(0.0..1.0).contains(&self.depth) {
            return Err(TuningError::Setting(format!(
                "depth {} of a model of {layers} layers: a share below 1 of at least 2 layers is wanted",
                self.depth
            )));
        }
        let layer = ((layers as f64 * self.depth) as usize).min(layers - 2);
        Ok(model.differentiable(Cut::Layer(layer + 1))?)
    }

    fn dimensions(&self, width: usize) -> Result<Dimensions> {
        let heads = self.heads.max(1);
        let module = self.module_width.unwrap_or((width / 2).min(1024)) / heads * heads;
        if module == 0 || !width.is_multiple_of(heads) || self.rank == 0 || self.queries == 0 {
            return Err(TuningError::Setting(format!(
                "{heads} heads of a width of {width}, rank {}, {} queries: the heads must divide the width, and \
                 none may be 0",
                self.rank, self.queries
            )));
        }
        Ok(Dimensions {
            width,
            module,
            heads,
            queries: self.queries,
            rank: self.rank,
            scale: self.scale,
            sentinel: self.sentinel_tokens.max(1),
        })
    }
}

/// The trained networks: generator and routing.
pub struct LiveEditNetwork {
    network: Network,
    settings: LiveEditSettings,
    curves: LossCurves,
}

impl EditorNetwork for LiveEditNetwork {
    type Settings = LiveEditSettings;
    const EDITOR: &'static str = "live-edit";

    fn train(
        model: &dyn VisionLanguageModel,
        cases: &[TrainingCase],
        settings: &LiveEditSettings,
        progress: TrainingProgress<'_>,
    ) -> Result<Self> {
        let (network, curves) = training::train(model, cases, settings, progress)?;
        Ok(Self { network, settings: *settings, curves })
    }

    fn write(&self, path: &Path, origin: &NetworkOrigin) -> Result<()> {
        write_network(path, self.network.tensors(), origin, &self.curves)
    }

    fn read(
        model: &dyn VisionLanguageModel,
        path: &Path,
        origin: &NetworkOrigin,
        settings: &LiveEditSettings,
    ) -> Result<Self> {
        let (tensors, curves) = read_network(path, origin)?;
        let dimensions = settings.dimensions(settings.suffix(model)?.width())?;
        Ok(Self { network: Network::trained(tensors, dimensions)?, settings: *settings, curves })
    }

    fn curves(&self) -> &LossCurves {
        &self.curves
    }
}

/// LiveEdit with its experts.
pub struct LiveEditExperts {
    network: Arc<LiveEditNetwork>,
    experts: ExpertRepository,
}

impl LiveEditExperts {
    /// Without edits.
    pub fn new(network: Arc<LiveEditNetwork>) -> Self {
        Self { network, experts: ExpertRepository::default() }
    }

    /// A correction's hidden states, at the layer that experts change.
    fn signal(&self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<Signal> {
        let suffix = self.network.settings.suffix(model)?;
        signal(model, suffix.cut(), correction, true)
    }
}

impl EditingMethod for LiveEditExperts {
    fn edit(&mut self, model: &dyn VisionLanguageModel, correction: &Correction) -> Result<()> {
        let signal = self.signal(model, correction)?;
        let expert = self.network.network.experts(&[&signal])?;
        if !expert.is_finite()? {
            return Err(TuningError::NonFiniteLoss { steps: 0 });
        }
        self.experts.push(expert)
    }

    fn answer(&self, model: &dyn VisionLanguageModel, question: &Question) -> Result<TunedAnswer> {
        let suffix = self.network.settings.suffix(model)?;
        let prompt = Prompt::new(model, &question.picture, &question.text, suffix.cut())?;
        let routed = Routed {
            network: &self.network.network,
            experts: &self.experts,
            picture: prompt.picture_rows(),
            question: prompt.question_rows(),
            routing: OnceCell::new(),
        };
        let text = answer_prompt(model, &suffix, &prompt, question, &routed)?;
        let used = routed.routing.get().map(Routing::by_weight).transpose()?.unwrap_or_default();
        let rejected = used.is_empty();
        Ok(TunedAnswer { text, used, rejected })
    }

    fn bytes(&self) -> u64 {
        let network = self.network.network.tensors().values();
        self.experts.bytes() + network.map(|tensor| tensor.elem_count() as u64 * 4).sum::<u64>()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.experts.write(folder)
    }

    fn restore(&mut self, model: &dyn VisionLanguageModel, folder: &Path) -> Result<()> {
        let settings = &self.network.settings;
        let dimensions = settings.dimensions(settings.suffix(model)?.width())?;
        self.experts = ExpertRepository::read(folder, &dimensions)?;
        Ok(())
    }
}

/// The experts that a question gets, and their weights.
struct Routing {
    /// By the number of the edit.
    chosen: Vec<u32>,
    /// One for each of them, (1, chosen).
    weights: Tensor,
}

impl Routing {
    /// Numbers of the chosen, the greatest weight first.
    fn by_weight(&self) -> Result<Vec<usize>> {
        if self.chosen.is_empty() {
            return Ok(Vec::new());
        }
        let weights: Vec<f32> = self.weights.flatten_all()?.to_vec1()?;
        let mut order: Vec<usize> = (0..self.chosen.len()).collect();
        order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        Ok(order.into_iter().map(|at| self.chosen[at] as usize).collect())
    }
}

/// What a question's hidden states become by the experts.
struct Routed<'a> {
    network: &'a Network,
    experts: &'a ExpertRepository,
    picture: Range<usize>,
    question: Range<usize>,
    /// All replies to a question stand behind the same prompt, so that they are routed alike.
    routing: OnceCell<Routing>,
}

impl Routed<'_> {
    fn route(&self, state: &Tensor) -> Result<Routing> {
        let narrow = |rows: &Range<usize>| state.narrow(0, rows.start, rows.len());
        let (picture, question) = (narrow(&self.picture)?, narrow(&self.question)?);
        let chosen = self.network.visually_related(&picture, &question, self.experts.visual())?;
        if chosen.is_empty() {
            return Ok(Routing { chosen, weights: Tensor::zeros((1, 1), state.dtype(), state.device())? });
        }
        let textual = self.experts.of(&chosen)?.textual;
        let weights = self.network.text_weights(&question, &textual)?;
        Ok(Routing { chosen, weights })
    }
}

impl Adaptation for Routed<'_> {
    fn entering(&self, state: Tensor, rows: &[Range<usize>]) -> NnResult<Tensor> {
        let Some(first) = rows.first().filter(|_| !self.experts.is_empty()) else { return Ok(state) };
        let failed = |error: TuningError| match error {
            TuningError::Model(ModelError::Network(error)) => error,
            other => NnError::Unsupported(other.to_string()),
        };
        if self.routing.get().is_none() {
            let prompt = state.narrow(0, first.start, first.len())?;
            let routing = self.route(&prompt).map_err(failed)?;
            // It was empty just now.
            let _ = self.routing.set(routing);
        }
        let Some(routing) = self.routing.get().filter(|routing| !routing.chosen.is_empty()) else {
            return Ok(state);
        };
        let experts = self.experts.of(&routing.chosen).map_err(failed)?;
        let weights = routing.weights.broadcast_as((state.dim(0)?, routing.weights.dim(D::Minus1)?))?;
        let residual = self.network.residual(&state, &experts, &weights.contiguous()?).map_err(failed)?;
        Ok((state + residual)?)
    }
}

#[cfg(test)]
mod tests;
