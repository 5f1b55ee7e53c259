//! Prompts as models see them.

use std::sync::Arc;

use reasonedit_nn::sequence::{ImageFeatures, Piece};

/// A piece of a rendered prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptPiece {
    /// Token ids.
    Tokens(Vec<u32>),
    /// Place of the picture with this index (the tokens of the picture, without the markers around it).
    Image(usize),
}

/// A prompt as the model sees it, cut where the pictures end, so that the first part is run once per picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedPrompt {
    /// Everything up to the last picture and the control tokens that close it; empty without pictures. It
    /// does not depend on the text behind the last picture.
    pub prefix: Vec<PromptPiece>,
    /// What follows, generation prompt included; at least one token.
    pub suffix: Vec<u32>,
    /// What a Q-Former reads beside each picture; `None` for models without one.
    pub instruction: Option<Arc<[u32]>>,
}

impl RenderedPrompt {
    /// The pieces of `prefix`; `features` gives those of the picture with an index.
    ///
    /// # Errors
    /// Those of `features`.
    pub fn prefix_pieces<E>(
        &self,
        features: impl FnMut(usize) -> Result<Arc<ImageFeatures>, E>,
    ) -> Result<Vec<Piece>, E> {
        prefix_pieces(&self.prefix, self.instruction.as_ref(), features)
    }
}

/// As [`RenderedPrompt::prefix_pieces`].
///
/// # Errors
/// Those of `features`.
pub fn prefix_pieces<E>(
    prefix: &[PromptPiece],
    instruction: Option<&Arc<[u32]>>,
    mut features: impl FnMut(usize) -> Result<Arc<ImageFeatures>, E>,
) -> Result<Vec<Piece>, E> {
    let piece = |piece: &PromptPiece| -> Result<Piece, E> {
        Ok(match (piece, instruction) {
            (PromptPiece::Tokens(ids), _) => Piece::Tokens(ids.clone()),
            (PromptPiece::Image(i), None) => Piece::Image(features(*i)?),
            (PromptPiece::Image(i), Some(instruction)) => {
                Piece::Instructed(features(*i)?, Arc::clone(instruction))
            }
        })
    };
    prefix.iter().map(piece).collect()
}
