//! What passes through the networks: a picture's pixels and features, sequences of pieces, what running them
//! yields.

use std::sync::Arc;

use candle_core::Tensor;

use crate::kv_cache::KvCache;
use crate::taps::PooledTaps;

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
    /// Q-Former's own tokenizer).
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
