//! Sizes of LiveEdit's networks and experts.

/// Widths and counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dimensions {
    /// Of the hidden states.
    pub(super) width: usize,
    /// `d_m`.
    pub(super) module: usize,
    pub(super) heads: usize,
    pub(super) queries: usize,
    pub(super) rank: usize,
    pub(super) scale: f64,
    pub(super) sentinel: usize,
}
