//! Stored bytes to numbers.

use candle_core::{DType, WithDType};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

/// Values converted by one thread at a time.
const CHUNK: usize = 1 << 16;

/// Replaces `to` with the little-endian numbers in `bytes` as f32. Types that are not floating point give
/// nothing: those who ask have refused them before.
pub(super) fn widen(dtype: DType, bytes: &[u8], to: &mut Vec<f32>) {
    let count = bytes.len() / dtype.size_in_bytes();
    to.resize(count, 0.0);
    let mut in_chunks = |f: &(dyn Fn(&[u8], &mut [f32]) + Sync)| {
        to.par_chunks_mut(CHUNK)
            .zip(bytes.par_chunks(CHUNK * dtype.size_in_bytes()))
            .for_each(|(to, bytes)| f(bytes, to));
    };
    match dtype {
        DType::F32 => in_chunks(&|bytes, to| each(bytes, to, f32::from_le_bytes)),
        DType::BF16 => in_chunks(&|bytes, to| {
            each(bytes, to, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16));
        }),
        DType::F16 => in_chunks(&|bytes, to| {
            let mut halves = vec![f16::ZERO; to.len()];
            each(bytes, &mut halves, f16::from_le_bytes);
            halves.convert_to_f32_slice(to);
        }),
        DType::F64 => in_chunks(&|bytes, to| each(bytes, to, |b| f64::from_le_bytes(b) as f32)),
        _ => to.clear(),
    }
}

fn each<const N: usize, T>(bytes: &[u8], to: &mut [T], convert: impl Fn([u8; N]) -> T) {
    for (to, bytes) in to.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *to = convert(*bytes);
    }
}

/// Half-precision numbers.
pub(super) trait Half: WithDType {
    /// From little-endian bytes.
    fn of_bytes(bytes: [u8; 2]) -> Self;
    /// Rounded to nearest.
    fn of_f32(value: f32) -> Self;
}

impl Half for bf16 {
    fn of_bytes(bytes: [u8; 2]) -> Self {
        Self::from_le_bytes(bytes)
    }
    fn of_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl Half for f16 {
    fn of_bytes(bytes: [u8; 2]) -> Self {
        Self::from_le_bytes(bytes)
    }
    fn of_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// Appends the little-endian numbers in `bytes` in half precision; `wide` is room for those stored otherwise.
pub(super) fn narrow_into<T: Half>(dtype: DType, bytes: &[u8], wide: &mut Vec<f32>, to: &mut Vec<T>) {
    if dtype == T::DTYPE {
        to.extend(bytes.as_chunks::<2>().0.iter().map(|b| T::of_bytes(*b)));
    } else {
        widen(dtype, bytes, wide);
        to.extend(wide.iter().map(|x| T::of_f32(*x)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn halves_keep_their_bits(bits: Vec<u16>) {
            let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
            let (mut wide, mut brain, mut half, mut other) = (Vec::new(), Vec::<bf16>::new(), Vec::<f16>::new(), Vec::<f16>::new());
            narrow_into(DType::BF16, &bytes, &mut wide, &mut brain);
            narrow_into(DType::F16, &bytes, &mut wide, &mut half);
            narrow_into(DType::BF16, &bytes, &mut wide, &mut other);
            prop_assert_eq!(wide.len(), bits.len());
            for (i, bits) in bits.iter().enumerate() {
                prop_assert_eq!((brain[i].to_bits(), half[i].to_bits()), (*bits, *bits));
                let want = brain[i].to_f32();
                prop_assert!(want.is_nan() || (wide[i] == want && other[i] == f16::from_f32(want)));
            }
            widen(DType::F16, &bytes, &mut wide);
            prop_assert!(wide.iter().zip(&half).all(|(wide, half)| half.is_nan() || *wide == half.to_f32()));
        }
    }
}
