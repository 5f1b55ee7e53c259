//! A request's prompts and pictures, as they are put to the models.

use std::sync::Arc;

use reasonedit_models::prompt::PromptPiece;
use reasonedit_nn::sequence::{ImageFeatures, PixelInput};
use reasonedit_nn::taps::TapName;

use crate::cache::Prefix;
use crate::request::FeatureKey;

/// Taps by where they are read.
#[derive(Debug, Default)]
pub(super) struct TapSelection {
    /// Vision and bridge.
    pub(super) vision: Vec<TapName>,
    /// Language.
    pub(super) language: Vec<TapName>,
}

/// A rendered prompt.
#[derive(Debug)]
pub(super) struct Prompt {
    /// Up to the picture, picture included; empty without one.
    pub(super) prefix: Vec<PromptPiece>,
    /// `prefix` as a key.
    pub(super) prefix_tokens: Arc<[u32]>,
    /// Behind the picture; at least one token.
    pub(super) suffix: Vec<u32>,
    /// What a Q-Former reads beside the picture, where there is one.
    pub(super) instruction: Option<Arc<[u32]>>,
}

impl Prompt {
    /// Its tokens, those of pictures aside.
    pub(super) fn tokens(&self) -> impl Iterator<Item = u32> {
        let prefix = self.prefix.iter().flat_map(|piece| match piece {
            PromptPiece::Tokens(tokens) => tokens.as_slice(),
            PromptPiece::Image(_) => &[],
        });
        prefix.chain(&self.suffix).copied()
    }
}

/// A picture of a request: what was cached of it when the request was prepared, or its pixels.
pub(super) struct Picture {
    pub(super) key: FeatureKey,
    pub(super) urgent: bool,
    /// Features with all wanted taps.
    pub(super) features: Option<Arc<ImageFeatures>>,
    /// The prefix of the request's prompts with all wanted taps, where they show this picture alone.
    pub(super) prefix: Option<Arc<Prefix>>,
    /// Present when the above don't suffice.
    pub(super) pixels: Option<PixelInput>,
    /// Estimated tokens that looking at it costs.
    pub(super) cost: usize,
}

/// What pictures are known by, in order.
pub(super) fn keys(pictures: &[Arc<Picture>]) -> Box<[FeatureKey]> {
    pictures.iter().map(|picture| picture.key).collect()
}

/// Estimated tokens that looking at pictures costs.
pub(super) fn cost(pictures: &[Arc<Picture>]) -> usize {
    pictures.iter().map(|picture| picture.cost).sum()
}
