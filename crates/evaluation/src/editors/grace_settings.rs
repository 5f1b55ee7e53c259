//! Settings of GRACE.

/// What GRACE leaves to be chosen. The defaults were chosen on 40 edits of a development split of the demo
/// world (models/README.md).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GraceSettings {
    /// The decoder layer, from 0; without it the one at a third of the depth.
    pub layer: Option<usize>,
    /// `ε_init`, the radius of a new key, as a share of its length.
    pub radius: f32,
    /// Most steps of gradient descent for a value (authors: 100).
    pub steps: usize,
    /// Adam's step, as a share of the root mean square of the state that the model itself has there.
    pub rate: f32,
}

impl Default for GraceSettings {
    fn default() -> Self {
        Self { layer: None, radius: 0.2, steps: 100, rate: 0.3 }
    }
}
