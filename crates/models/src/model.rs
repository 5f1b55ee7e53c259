//! The contract between a model and the engine: what every vision-language model here can do.
//!
//! A model is synchronous and belongs to one thread (architecture invariant 2). It owns no conversation
//! state: key–value caches belong to the caller, so that an image prefix can be shared by many prompts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;
use reasonedit_imaging::RgbImage;
use serde::{Deserialize, Serialize};

use crate::VlmError;
use crate::kv_cache::KvCache;
use crate::prompt::PromptTokenizer;

/// Name of a place where hidden states can be read, in forward order: `vision.embedding`, `vision.0` …,
/// `merger`, `language.embedding`, `language.0` …
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TapName(pub String);

impl fmt::Display for TapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which part of the model a tap belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapStage {
    /// Patch embedding and vision blocks: depends on the image alone.
    Vision,
    /// Merger or projector: depends on the image alone.
    Bridge,
    /// Depends on image and text: token embedding, decoder layers, and a Q-Former that reads the instruction.
    Language,
}

/// One tap and the width of what it yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapInfo {
    /// Its name.
    pub name: TapName,
    /// Its part of the model.
    pub stage: TapStage,
    /// Components of a pooled vector.
    pub width: usize,
}

/// How hidden states over tokens become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean over all tokens of this prompt that pass the tap (the paper's choice).
    #[default]
    Mean,
    /// The last token.
    Last,
}

/// Both pooled vectors of one tap, f32, of the tap's width.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// Mean over the tokens, accumulated in f32.
    pub mean: Vec<f32>,
    /// The last token's state.
    pub last: Vec<f32>,
}

/// Pooled hidden states by tap.
pub type PooledTaps = BTreeMap<TapName, Pooled>;

/// What a loaded model says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelInfo {
    /// `model_type` of `config.json`, for example `qwen3_vl`.
    pub architecture: String,
    /// Folder name or hub id it was loaded from.
    pub name: String,
    /// BLAKE3 (hex) over configuration, tokenizer, preprocessing and weights: the same model has the same
    /// one.
    pub fingerprint: String,
    /// Parameters in all.
    pub parameters: u64,
    /// Weight type: `f32`, `bf16` or `f16`.
    pub dtype: String,
    /// `cpu`, `cuda:0` …
    pub device: String,
    /// Every tap, in forward order.
    pub taps: Vec<TapInfo>,
    /// Longest sequence in tokens.
    pub max_positions: usize,
    /// Size of the vocabulary (width of the logits).
    pub vocabulary: usize,
}

/// Turns a picture into the model's pixel input. Shareable, so that it runs on the caller's thread.
pub trait ImagePreprocessor: Send + Sync {
    /// Resizes, normalises and cuts one upright picture.
    ///
    /// # Errors
    /// A picture whose shape the model can't take.
    fn preprocess(&self, image: &RgbImage) -> Result<PixelInput, VlmError>;

    /// Patches to an image token, for estimates of cost; where a Q-Former makes fewer tokens of all patches,
    /// 1 is cautious.
    fn patches_per_token(&self) -> usize {
        1
    }

    /// Tokens that a picture of this size, in pixels, takes in a sequence: [`ImageFeatures::len`] before it
    /// is looked at.
    ///
    /// # Errors
    /// As [`Self::preprocess`].
    fn image_tokens(&self, width: u32, height: u32) -> Result<usize, VlmError>;
}

/// One preprocessed picture: `patches` × (channels · temporal · patch · patch) f32 values, row by row.
#[derive(Clone, Debug)]
pub struct PixelInput {
    /// Flattened patches in the order of the model's processor.
    pub values: Vec<f32>,
    /// Grid in patches: (temporal, rows, columns).
    pub grid: (usize, usize, usize),
}

/// What the vision side yields for one picture; everything the language side needs of it.
#[derive(Clone, Debug)]
pub struct ImageFeatures {
    /// Image tokens, shape (tokens, hidden); with a Q-Former behind the vision side, what that attends to, of
    /// as many rows and columns as the vision side has.
    pub tokens: Tensor,
    /// Features added after early decoder layers (DeepStack), each (tokens, hidden); empty elsewhere.
    pub deepstack: Vec<Tensor>,
    /// Grid in image tokens, as they stand in a sequence: (temporal, rows, columns) after merging.
    pub grid: (usize, usize, usize),
    /// Pooled vision and bridge taps that were asked for.
    pub taps: PooledTaps,
}

impl ImageFeatures {
    /// Number of image tokens.
    pub fn len(&self) -> usize {
        self.grid.0 * self.grid.1 * self.grid.2
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of the tensors in bytes, for cache budgets.
    pub fn bytes(&self) -> usize {
        let of = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        of(&self.tokens) + self.deepstack.iter().map(of).sum::<usize>()
    }
}

/// A piece of a sequence.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Token ids.
    Tokens(Vec<u32>),
    /// The tokens of one picture (without the markers around it).
    Image(Arc<ImageFeatures>),
    /// The tokens that a Q-Former makes of a picture's features and an instruction (token ids of the
    /// Q-Former's own tokenizer, see [`crate::prompt::RenderedPrompt::instruction`]).
    Instructed(Arc<ImageFeatures>, Arc<[u32]>),
}

impl Piece {
    /// Tokens in it.
    #[must_use]
    pub fn tokens(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Image(features) | Self::Instructed(features, _) => features.len(),
        }
    }
}

/// Which positions of a sequence's new tokens need logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogitsAt {
    /// None: the sequence is run for its cache or its taps.
    None,
    /// The last new token.
    Last,
    /// Every new token from this index on (0 = all).
    From(usize),
}

/// One sequence of a batch: what came before, and what is run now.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// What was already run; sequences may share it.
    pub past: Option<Arc<KvCache>>,
    /// New pieces, at least one token in all.
    pub pieces: Vec<Piece>,
    /// Where logits are needed.
    pub logits: LogitsAt,
    /// Whether the cache after it is wanted.
    pub keep_cache: bool,
}

impl Sequence {
    /// Whether it is the next token of a generation: one token behind a past, with logits at
    /// [`LogitsAt::Last`]. A batch of such is computed by other kernels, whose sums run in another order; one
    /// token of a prompt has its logits at `From(0)`, so that it gives the same numbers as among the others
    /// of its prompt.
    #[must_use]
    pub fn is_step(&self) -> bool {
        let tokens: usize = self.pieces.iter().map(Piece::tokens).sum();
        self.past.is_some() && self.logits == LogitsAt::Last && tokens == 1
    }
}

/// What running one sequence yields.
#[derive(Clone, Debug)]
pub struct SequenceOutput {
    /// f32 logits on the CPU side of the asked positions, row by row, each `vocabulary` long.
    pub logits: Vec<f32>,
    /// The cache after this sequence, when asked for.
    pub cache: Option<KvCache>,
    /// Pooled language taps over the *new* tokens of this sequence.
    pub taps: PooledTaps,
}

/// A vision-language model on its device.
pub trait VisionLanguageModel: Send + Sync {
    /// What it is.
    fn info(&self) -> &ModelInfo;

    /// Its image preprocessing, for use on other threads.
    fn preprocessor(&self) -> Arc<dyn ImagePreprocessor>;

    /// Its tokenizer and chat template, for use on other threads.
    fn tokenizer(&self) -> Arc<PromptTokenizer>;

    /// Runs the vision side over any number of pictures of any sizes at once.
    ///
    /// `taps` names the vision and bridge taps to pool; language taps in it are ignored.
    ///
    /// # Errors
    /// Device failures, and inputs of a wrong shape.
    fn encode_images(
        &self,
        images: &[&PixelInput],
        taps: &[TapName],
    ) -> Result<Vec<Arc<ImageFeatures>>, VlmError>;

    /// Runs the language side over a batch of sequences of any lengths; each gives the same result as alone.
    ///
    /// `taps` names the language taps to pool over each sequence's new tokens.
    ///
    /// # Errors
    /// Device failures, sequences that exceed `max_positions`, token ids out of range.
    fn run(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>, VlmError>;

    /// Runs one sequence of text up to decoder layer `layer` (from 0), for asking what the model would say if
    /// the state of the first new token behind that layer were another. `sequence.logits` and `keep_cache`
    /// are not looked at.
    ///
    /// # Errors
    /// [`VlmError::Unsupported`] for a layer the model doesn't have, for pictures among the new pieces, and
    /// for models that can't; as [`Self::run`].
    fn above(&self, layer: usize, sequence: &Sequence) -> Result<Box<dyn UpperLayers + '_>, VlmError> {
        let _ = (layer, sequence);
        Err(VlmError::Unsupported(format!("hidden states of {} can't be replaced", self.info().architecture)))
    }
}

/// The layers above one decoder layer, over a sequence that has been run up to it. A state is that of the
/// sequence's first new token, f32, as wide as the layer's tap; the other tokens keep their own.
pub trait UpperLayers {
    /// The state that enters the layer.
    fn before(&self) -> &[f32];

    /// The state that leaves it.
    fn after(&self) -> &[f32];

    /// f32 logits of all new tokens, row by row, with `state` in the place of [`Self::after`].
    ///
    /// # Errors
    /// A state of another width; device failures.
    fn logits(&self, state: &[f32]) -> Result<Vec<f32>, VlmError>;

    /// Mean cross-entropy (nats) of `targets`, one for each new token, with `state` in the place of
    /// [`Self::after`], and its gradient with respect to `state`.
    ///
    /// # Errors
    /// As [`Self::logits`]; targets that are not one for each new token, or beyond the vocabulary.
    fn loss(&self, state: &[f32], targets: &[u32]) -> Result<(f32, Vec<f32>), VlmError>;
}

/// A sentence encoder: text to one vector, mean pooled, not normalised.
pub trait SentenceEncoder: Send {
    /// BLAKE3 (hex) over configuration, tokenizer and weights.
    fn fingerprint(&self) -> &str;

    /// Components of an embedding.
    fn width(&self) -> usize;

    /// Embeds a batch of texts; each gives the same vector as alone. Texts beyond the encoder's length are
    /// cut.
    ///
    /// # Errors
    /// Device failures.
    fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, VlmError>;
}
