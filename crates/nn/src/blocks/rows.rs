//! Weights in the order of the checkpoint on the CPU, computed with in f32. In half precision they take half
//! the memory, and for checkpoints published in that type give the numbers that f32 gives.

use candle_core::{CpuStorage, DType, Storage, Tensor};

use super::gemv::{self, WeightElement};
use super::product::{self, RowKind};
use super::transpose::transpose_into;
use super::widened::{self, FEW_ROWS};
use super::{contiguous, is_fast, with_values};

/// x·Wᵀ for x of shape (rows, inputs) in f32 and W of shape (outputs, inputs) in bf16, f16 or f32, both on
/// the CPU.
pub(super) fn matmul(x: &Tensor, weight: &Tensor, kind: RowKind) -> candle_core::Result<Tensor> {
    if !is_fast(x) {
        if x.track_op() {
            return product::tracked_rows(x, &weight.to_dtype(x.dtype())?);
        }
        return matmul(&x.to_dtype(DType::F32)?.contiguous()?, weight, kind)?.to_dtype(x.dtype());
    }
    let (storage, layout) = weight.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("not on the CPU") };
    match storage {
        CpuStorage::F32(values) => of(x, contiguous(values, layout)?, kind),
        CpuStorage::BF16(values) => of(x, contiguous(values, layout)?, kind),
        CpuStorage::F16(values) => of(x, contiguous(values, layout)?, kind),
        _ => candle_core::bail!("weights that are no floating-point numbers"),
    }
}

fn of<T: WeightElement>(x: &Tensor, weight: &[T], kind: RowKind) -> candle_core::Result<Tensor> {
    let (rows, inputs) = x.dims2()?;
    let outputs = weight.len() / inputs.max(1);
    if weight.len() != outputs * inputs {
        candle_core::bail!("{inputs} inputs for {} weights", weight.len());
    }
    if kind == RowKind::Step {
        let some = |x: &[f32]| gemv::by_rows(x, inputs, weight);
        let y = with_values(x, |x| Ok(x.chunks(FEW_ROWS * inputs).flat_map(some).collect()))?;
        return Tensor::from_vec(y, (rows, outputs), x.device());
    }
    widened::by_blocks(x, outputs, |range, to| {
        transpose_into(&weight[range.start * inputs..range.end * inputs], inputs, to, range.len(), 0);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn equals_the_product_of_widened_weights(
            rows in 1usize..20, inputs in 1usize..90, outputs in 1usize..90,
            dtype in prop::sample::select(vec![DType::F32, DType::F16, DType::BF16]),
        ) {
            let device = Device::Cpu;
            let x = Tensor::randn(0f32, 1.0, (rows, inputs), &device).unwrap();
            let weight = Tensor::randn(0f32, 1.0, (outputs, inputs), &device).unwrap().to_dtype(dtype).unwrap();
            let wide = weight.to_dtype(DType::F32).unwrap();
            let want = x.matmul(&wide.t().unwrap()).unwrap();
            for kind in [RowKind::Prompt, RowKind::Step] {
                let got = matmul(&x, &weight, kind).unwrap();
                let error = (got - &want).unwrap().abs().unwrap().max_all().unwrap();
                prop_assert!(error.to_scalar::<f32>().unwrap() < 1e-4);
            }
        }
    }

    #[test]
    fn large_products_take_several_blocks_and_threads() {
        let device = Device::Cpu;
        let weight = Tensor::randn(0f32, 1.0, (700, 3000), &device).unwrap().to_dtype(DType::BF16).unwrap();
        let wide = weight.to_dtype(DType::F32).unwrap();
        for rows in [1, 3, 40] {
            let x = Tensor::randn(0f32, 1.0, (rows, 3000), &device).unwrap();
            let want = x.matmul(&wide.t().unwrap()).unwrap();
            for kind in [RowKind::Prompt, RowKind::Step] {
                let got = matmul(&x, &weight, kind).unwrap();
                let error = (got - &want).unwrap().abs().unwrap().max_all().unwrap();
                assert!(error.to_scalar::<f32>().unwrap() < 1e-2, "{rows} {kind:?}");
            }
        }
    }
}
