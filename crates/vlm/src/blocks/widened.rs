//! Products with weights that are held in fewer bits and widened to f32 as they are needed, on the CPU.
//!
//! Everything is in f32 but the weights themselves, so that a row's result does not depend, beyond rounding, on how many rows
//! are computed at once.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::transpose::transpose_into;

/// Rows of x up to which each output is a few dot products; beyond, weights are widened in blocks for matrix products.
pub(super) const FEW_ROWS: usize = 8;
/// Weights widened at a time: few enough to be used while they are in a cache, enough that each product is worth sharing out (measured).
const BLOCK: usize = 1 << 22;

/// x·Wᵀ for x of shape (rows, inputs), contiguous f32 on the CPU, by matrix products with some outputs at a time. `fill` writes the weights of a
/// range of outputs as columns: (inputs, outputs of the range).
pub(super) fn by_blocks(
    x: &Tensor,
    outputs: usize,
    fill: impl Fn(Range<usize>, &mut [f32]) -> candle_core::Result<()>,
) -> candle_core::Result<Tensor> {
    let (_, inputs) = x.dims2()?;
    let block = (BLOCK / inputs).clamp(1, outputs);
    let parts = (0..outputs)
        .step_by(block)
        .map(|first| {
            let count = block.min(outputs - first);
            let mut wide = vec![0f32; inputs * count];
            fill(first..first + count, &mut wide)?;
            x.matmul(&Tensor::from_vec(wide, (inputs, count), x.device())?)
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    Tensor::cat(&parts, 1)
}

/// x·Wᵀ as [`by_blocks`]; `widen` writes the weights of one output (inputs values).
pub(super) fn matmul(
    x: &Tensor,
    outputs: usize,
    widen: impl Fn(usize, &mut [f32]) + Sync,
) -> candle_core::Result<Tensor> {
    let (_, inputs) = x.dims2()?;
    by_blocks(x, outputs, |range, to| {
        let mut wide = vec![0f32; inputs * range.len()];
        wide.par_chunks_mut(inputs).enumerate().for_each(|(i, row)| widen(range.start + i, row));
        transpose_into(&wide, inputs, to, range.len(), 0);
        Ok(())
    })
}
