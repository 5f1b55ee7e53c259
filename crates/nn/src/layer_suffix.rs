//! What a hidden state does above its layer.

use crate::error::NnError;

/// The layers above one decoder layer, over a sequence that has been run up to it. A state is that of the
/// sequence's first new token, f32, as wide as the layer's tap; the other tokens keep their own.
pub trait LayerSuffix {
    /// The state that enters the layer.
    fn before(&self) -> &[f32];

    /// The state that leaves it.
    fn after(&self) -> &[f32];

    /// f32 logits of all new tokens, row by row, with `state` in the place of [`Self::after`].
    ///
    /// # Errors
    /// A state of another width; device failures.
    fn logits(&self, state: &[f32]) -> Result<Vec<f32>, NnError>;

    /// Mean cross-entropy (nats) of `targets`, one for each new token, with `state` in the place of
    /// [`Self::after`], and its gradient with respect to `state`.
    ///
    /// # Errors
    /// As [`Self::logits`]; targets that are not one for each new token, or beyond the vocabulary.
    fn loss(&self, state: &[f32], targets: &[u32]) -> Result<(f32, Vec<f32>), NnError>;
}
