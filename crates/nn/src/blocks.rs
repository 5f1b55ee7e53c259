//! Building blocks that the architectures share.
//!
//! Each block has two forms. On the CPU in single precision it works on slices, fused and vectorised, because
//! candle's own element-wise operations are single-threaded and allocate. Everywhere else (CUDA, half
//! precision, where a gradient is wanted) it is made of plain tensor operations, with sums, norms and softmax
//! in f32.

pub mod activation;
pub mod attention;
mod attention_cpu;
pub mod cross;
pub mod decoder;
mod eight_bits;
mod four_bits;
mod gemv;
pub mod linear;
pub mod math;
pub mod norm;
pub mod pool;
pub mod product;
pub mod quantised;
pub mod rotary;
mod rows;
pub mod transpose;
pub mod vit;
mod widened;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Storage, Tensor};
use rayon::prelude::*;

/// Values below which a row-wise pass is not worth waking another thread for.
const PARALLEL_FROM: usize = 1 << 17;

/// Whether the slice form applies: it has no derivative, so not to what a gradient is wanted through.
pub fn is_fast(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32 && tensor.is_contiguous() && !tensor.track_op()
}

/// Calls `f` with the values of a tensor for which [`is_fast`] holds.
pub fn with_values<R>(
    tensor: &Tensor,
    f: impl FnOnce(&[f32]) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("not on the CPU") };
    f(contiguous(storage.as_slice::<f32>()?, layout)?)
}

fn contiguous<'s, T>(values: &'s [T], layout: &Layout) -> candle_core::Result<&'s [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => candle_core::bail!("not contiguous"),
    }
}

/// Applies `f` to every row (of `width` values) of a tensor that nothing else reads, in place.
pub fn rows_in_place(
    tensor: &Tensor,
    width: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) -> candle_core::Result<()> {
    in_place(tensor, |values| {
        for_rows(values, width, &f);
        Ok(())
    })
}

/// Applies `f` to the values of a contiguous tensor in f32 on the CPU that nothing else reads, in place.
fn in_place(tensor: &Tensor, f: impl Fn(&mut [f32]) -> candle_core::Result<()>) -> candle_core::Result<()> {
    struct InPlace<F>(F);
    impl<F: Fn(&mut [f32]) -> candle_core::Result<()>> InplaceOp1 for InPlace<F> {
        fn name(&self) -> &'static str {
            "in-place"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
            let CpuStorage::F32(values) = storage else { candle_core::bail!("not f32") };
            let Some((start, end)) = layout.contiguous_offsets() else {
                candle_core::bail!("not contiguous")
            };
            (self.0)(&mut values[start..end])
        }
    }
    tensor.inplace_op1(&InPlace(f))
}

/// Applies `f` to every row of `values`, in parallel when there is enough to do.
pub fn for_rows(values: &mut [f32], width: usize, f: &(impl Fn(usize, &mut [f32]) + Sync)) {
    if values.len() < PARALLEL_FROM {
        for (i, row) in values.chunks_exact_mut(width).enumerate() {
            f(i, row);
        }
    } else {
        let rows = (PARALLEL_FROM / 8 / width).max(1);
        values.par_chunks_mut(width * rows).enumerate().for_each(|(block, chunk)| {
            for (i, row) in chunk.chunks_exact_mut(width).enumerate() {
                f(block * rows + i, row);
            }
        });
    }
}

/// `x + y`, both (rows, width); in place where `x` is a temporary on the CPU, so `x` must not be used
/// elsewhere.
pub fn add(x: Tensor, y: &Tensor) -> candle_core::Result<Tensor> {
    if !(is_fast(&x) && is_fast(y)) {
        return &x + y;
    }
    let width = x.dim(1)?;
    with_values(y, |y| {
        rows_in_place(&x, width, |i, row| {
            for (x, y) in row.iter_mut().zip(&y[i * width..]) {
                *x += y;
            }
        })
    })?;
    Ok(x)
}

/// The given ranges of rows of `x` (rows, width), one behind the other.
pub fn select_rows(x: &Tensor, ranges: &[std::ops::Range<usize>]) -> candle_core::Result<Tensor> {
    let count: usize = ranges.iter().map(std::ops::Range::len).sum();
    if count == x.dim(0)? {
        return Ok(x.clone());
    }
    let width = x.dim(1)?;
    if is_fast(x) {
        let out = with_values(x, |x| {
            let mut out = Vec::with_capacity(count * width);
            for range in ranges {
                out.extend_from_slice(&x[range.start * width..range.end * width]);
            }
            Ok(out)
        })?;
        return Tensor::from_vec(out, (count, width), x.device());
    }
    let parts = ranges
        .iter()
        .filter(|r| !r.is_empty())
        .map(|r| x.narrow(0, r.start, r.len()))
        .collect::<candle_core::Result<Vec<_>>>()?;
    if parts.is_empty() { x.narrow(0, 0, 0) } else { Tensor::cat(&parts, 0) }
}
