//! Prompts that are run once, and replies to them whose hidden states are kept.

use std::ops::Range;
use std::sync::Arc;

use reasonedit_models::{
    Cut, HiddenStates, KvCache, LogitsAt, ModelError, Piece, Sequence, VisionLanguageModel,
};

use crate::error::Result;
use crate::picture::Picture;

/// A picture with a question, ready for replies.
pub struct Prompt {
    /// All but the last token.
    pieces: Vec<Piece>,
    /// Tokens in them.
    tokens: usize,
    last: u32,
    /// Keys and values of them, where the cut is behind all attention: then they are what replies need of it.
    past: Option<Arc<KvCache>>,
    cut: Cut,
}

impl Prompt {
    /// Looks at the picture and runs what comes before every reply, as far as `cut` allows: to that cut are
    /// the states of [`Self::states`] taken.
    ///
    /// # Errors
    /// A picture or text that the model can't take.
    pub fn new(model: &dyn VisionLanguageModel, picture: &Picture, text: &str, cut: Cut) -> Result<Self> {
        let mut prompt = Self::begun(model, picture, text, cut)?;
        if ends_attention(model, cut)? {
            let pieces = std::mem::take(&mut prompt.pieces);
            let sequence = Sequence { past: None, pieces, logits: LogitsAt::None, keep_cache: true };
            let output = model.run(&[sequence], &[])?.pop();
            let cache = output.and_then(|output| output.cache).ok_or_else(nothing)?;
            prompt.past = Some(Arc::new(cache));
        }
        Ok(prompt)
    }

    /// As [`Self::new`], with the states of all its tokens at the cut.
    ///
    /// # Errors
    /// As there.
    pub fn with_states(
        model: &dyn VisionLanguageModel,
        picture: &Picture,
        text: &str,
        cut: Cut,
    ) -> Result<(Self, HiddenStates)> {
        let mut prompt = Self::begun(model, picture, text, cut)?;
        let mut pieces = prompt.pieces.clone();
        pieces.push(Piece::Tokens(vec![prompt.last]));
        let keep_cache = ends_attention(model, cut)?;
        let sequence = Sequence { past: None, pieces, logits: LogitsAt::From(0), keep_cache };
        let mut states = model.hidden_states(&[sequence], cut)?.pop().ok_or_else(nothing)?;
        if let Some(cache) = states.cache.take() {
            prompt.past = Some(Arc::new(cache.beginning(prompt.tokens)?));
            prompt.pieces.clear();
        }
        Ok((prompt, states))
    }

    /// Nothing of it has been run.
    fn begun(model: &dyn VisionLanguageModel, picture: &Picture, text: &str, cut: Cut) -> Result<Self> {
        let rendered = model.tokenizer().render(1, text.trim())?;
        let features = picture.features(model)?;
        let mut pieces = rendered.prefix_pieces(|_| Ok::<_, ModelError>(Arc::clone(&features)))?;
        let (last, suffix) = rendered.suffix.split_last().ok_or_else(nothing)?;
        pieces.push(Piece::Tokens(suffix.to_vec()));
        let tokens = pieces.iter().map(Piece::tokens).sum();
        Ok(Self { pieces, tokens, last: *last, past: None, cut })
    }

    /// Where states are taken.
    pub fn cut(&self) -> Cut {
        self.cut
    }

    /// Rows of the picture's tokens; none where the prompt is kept as a cache.
    pub fn picture_rows(&self) -> Range<usize> {
        let mut start = 0;
        for piece in &self.pieces {
            if !matches!(piece, Piece::Tokens(_)) {
                return start..start + piece.tokens();
            }
            start += piece.tokens();
        }
        0..0
    }

    /// Rows of the prompt's tokens behind the picture.
    pub fn question_rows(&self) -> Range<usize> {
        self.picture_rows().end..self.tokens + 1
    }

    /// Hidden states of the prompt with each of `replies` behind it; their outputs are the rows that predict
    /// the replies' tokens.
    ///
    /// # Errors
    /// Those of the model.
    pub fn states(&self, model: &dyn VisionLanguageModel, replies: &[&[u32]]) -> Result<Vec<HiddenStates>> {
        let sequences: Vec<Sequence> = replies
            .iter()
            .map(|reply| {
                let given = reply[..reply.len().saturating_sub(1)].iter().copied();
                let mut pieces = self.pieces.clone();
                pieces.push(Piece::Tokens(std::iter::once(self.last).chain(given).collect()));
                let logits = LogitsAt::From(if self.past.is_some() { 0 } else { self.tokens });
                Sequence { past: self.past.clone(), pieces, logits, keep_cache: false }
            })
            .collect();
        Ok(model.hidden_states(&sequences, self.cut)?)
    }

    /// A reply to it, for training.
    ///
    /// # Errors
    /// As [`Self::states`]; a reply without tokens.
    pub fn example(&self, model: &dyn VisionLanguageModel, reply: &str) -> Result<Example> {
        let targets = reply_tokens(model, reply)?;
        let states = self.states(model, &[&targets])?.pop().ok_or_else(nothing)?;
        Ok(Example { states, targets })
    }
}

/// Whether no attention follows a cut: then a reply needs nothing of its prompt but keys and values.
pub(crate) fn ends_attention(model: &dyn VisionLanguageModel, cut: Cut) -> Result<bool> {
    Ok(cut == Cut::FeedForward(model.differentiable(cut)?.layers() - 1))
}

/// Tokens of a reply that is trained, with the one that ends a turn: a model that learns none of those goes
/// on talking behind its answer.
///
/// # Errors
/// Those of the tokenizer; a reply without tokens.
pub(crate) fn reply_tokens(model: &dyn VisionLanguageModel, reply: &str) -> Result<Vec<u32>> {
    let tokenizer = model.tokenizer();
    let mut tokens = tokenizer.encode_reply(reply.trim())?;
    if tokens.is_empty() {
        return Err(nothing().into());
    }
    tokens.extend(tokenizer.stop_tokens().first());
    Ok(tokens)
}

/// A prompt with a reply to be trained.
#[derive(Clone, Debug)]
pub struct Example {
    /// Of prompt and reply; its outputs predict the reply.
    pub states: HiddenStates,
    /// Tokens of the reply.
    pub targets: Vec<u32>,
}

pub(crate) fn nothing() -> ModelError {
    ModelError::shape("a prompt or reply without tokens, picture or cache")
}
