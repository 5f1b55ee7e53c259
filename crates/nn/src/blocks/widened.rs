//! Products with weights that are held in fewer bits and widened to f32 as they are needed, on the CPU.
//!
//! Everything is in f32 but the weights themselves, so that a row's result does not depend, beyond rounding,
//! on how many rows are computed at once, and not even by that between products of one kind.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use parking_lot::Mutex;
use rayon::prelude::*;

use super::product::product;
use super::transpose::transpose_into;
use super::{in_place, with_values};

/// Rows of x that are done at once where each output is a few dot products: generations that run together.
/// Else weights are widened in blocks for matrix products.
pub(super) const FEW_ROWS: usize = 8;
/// Weights widened at a time: few enough to be used while they are in a cache, enough that each product is
/// worth sharing out (measured).
const BLOCK: usize = 1 << 22;

/// x·Wᵀ for x of shape (rows, inputs), contiguous f32 on the CPU, by matrix products with some outputs at a
/// time. `fill` writes the weights of a range of outputs as columns: (inputs, outputs of the range).
pub(super) fn by_blocks(
    x: &Tensor,
    outputs: usize,
    fill: impl Fn(Range<usize>, &mut [f32]) -> candle_core::Result<()>,
) -> candle_core::Result<Tensor> {
    let (_, inputs) = x.dims2()?;
    // Of one size, about: the matrix product goes about a narrow rest in another way.
    let blocks = outputs.div_ceil((BLOCK / inputs).clamp(1, outputs));
    let block = outputs.div_ceil(blocks);
    let parts = (0..outputs)
        .step_by(block)
        .map(|first| {
            let count = block.min(outputs - first);
            with_scratch(inputs * count, |wide| {
                let wide = wide.reshape((inputs, count))?;
                in_place(&wide, |to| fill(first..first + count, to))?;
                product(x, &wide)
            })
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    Tensor::cat(&parts, 1)
}

/// Calls `f` with `count` values of whatever content, which are kept for later calls: the system clears fresh
/// memory page by page, and that takes longer than widening.
fn with_scratch<R>(
    count: usize,
    f: impl FnOnce(&Tensor) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    /// As many as were in use at once, by all threads.
    static KEPT: Mutex<Vec<Tensor>> = Mutex::new(Vec::new());
    let kept = || KEPT.lock();
    if count > BLOCK {
        return f(&Tensor::zeros(count, DType::F32, &Device::Cpu)?);
    }
    let last = kept().pop();
    let scratch = match last {
        Some(scratch) => scratch,
        None => Tensor::zeros(BLOCK, DType::F32, &Device::Cpu)?,
    };
    let result = f(&scratch.narrow(0, 0, count)?);
    kept().push(scratch);
    result
}

/// x·Wᵀ as [`by_blocks`]; `widen` writes the weights of one output (inputs values).
pub(super) fn matmul(
    x: &Tensor,
    outputs: usize,
    widen: impl Fn(usize, &mut [f32]) + Sync,
) -> candle_core::Result<Tensor> {
    let (_, inputs) = x.dims2()?;
    by_blocks(x, outputs, |range, to| {
        with_scratch(inputs * range.len(), |rows| {
            in_place(rows, |rows| {
                rows.par_chunks_mut(inputs).enumerate().for_each(|(i, row)| widen(range.start + i, row));
                Ok(())
            })?;
            with_values(rows, |rows| {
                transpose_into(rows, inputs, to, range.len(), 0);
                Ok(())
            })
        })
    })
}
