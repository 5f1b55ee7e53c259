//! What kinds of matrix products there are, and the general one.

use candle_core::Tensor;

use super::is_fast;

/// What the rows of a product are. Each kind has a kernel of its own, which sums in an order of its own;
/// within a kind a row gives the same bits whatever rows stand beside it, so that nobody's answer depends on
/// who else asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowKind {
    /// Of prompts, pictures and texts: mostly many, so that a general matrix product is made even of one.
    #[default]
    Prompt,
    /// The next token of each of a few generations: what counts is how fast weights come from memory.
    Step,
}

/// x·W for x of (rows, inputs) and W of (inputs, outputs), by the kernel that more than one row take: a
/// general product has another for one row, whose sums run in another order.
pub(super) fn product(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    if x.dim(0)? == 1 && is_fast(x) {
        return Tensor::cat(&[x, x], 0)?.matmul(weight)?.narrow(0, 0, 1);
    }
    x.matmul(weight)
}
