//! Weights held in half precision on the CPU and computed with in f32: half the memory, and for checkpoints published in
//! that type the numbers that f32 gives.

use candle_core::{CpuStorage, DType, Storage, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{contiguous, is_fast, widened};

/// Half-precision numbers that can be widened many at a time.
trait Half: Copy + Sync {
    fn widen(from: &[Self], to: &mut [f32]);
}

impl Half for bf16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        // A plain loop: the compiler makes shifts of whole vectors of it.
        for (to, from) in to.iter_mut().zip(from) {
            *to = f32::from_bits(u32::from(from.to_bits()) << 16);
        }
    }
}

impl Half for f16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }
}

/// x·Wᵀ for x of shape (rows, inputs) in f32 and W of shape (outputs, inputs) in bf16 or f16, both on the CPU.
pub(crate) fn matmul(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    if !is_fast(x) {
        if x.track_op() {
            return x.matmul(&weight.to_dtype(x.dtype())?.t()?);
        }
        return matmul(&x.to_dtype(DType::F32)?.contiguous()?, weight)?.to_dtype(x.dtype());
    }
    let (storage, layout) = weight.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("not on the CPU") };
    let outputs = layout.dims()[0];
    match storage {
        CpuStorage::BF16(values) => of_halves(x, contiguous(values, layout)?, outputs),
        CpuStorage::F16(values) => of_halves(x, contiguous(values, layout)?, outputs),
        _ => candle_core::bail!("weights that are not in half precision"),
    }
}

fn of_halves<T: Half>(x: &Tensor, weight: &[T], outputs: usize) -> candle_core::Result<Tensor> {
    let inputs = x.dim(1)?;
    if weight.len() != outputs * inputs {
        candle_core::bail!("{inputs} inputs for weights of {}", weight.len() / outputs.max(1));
    }
    widened::matmul(x, outputs, |output, wide| {
        T::widen(&weight[output * inputs..(output + 1) * inputs], wide);
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
            rows in 1usize..20, inputs in 1usize..90, outputs in 1usize..90, half: bool,
        ) {
            let device = Device::Cpu;
            let dtype = if half { DType::F16 } else { DType::BF16 };
            let x = Tensor::randn(0f32, 1.0, (rows, inputs), &device).unwrap();
            let weight = Tensor::randn(0f32, 1.0, (outputs, inputs), &device).unwrap().to_dtype(dtype).unwrap();
            let wide = weight.to_dtype(DType::F32).unwrap();
            let want = x.matmul(&wide.t().unwrap()).unwrap();
            let error = (matmul(&x, &weight).unwrap() - want).unwrap().abs().unwrap().max_all().unwrap();
            prop_assert!(error.to_scalar::<f32>().unwrap() < 1e-4);
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
            let error = (matmul(&x, &weight).unwrap() - want).unwrap().abs().unwrap().max_all().unwrap();
            assert!(error.to_scalar::<f32>().unwrap() < 1e-2, "{rows}");
        }
    }
}
