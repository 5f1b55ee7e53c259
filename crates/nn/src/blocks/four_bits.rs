//! Blocks of 256 numbers of 4 bits, each 32 of them with a scale and a least value of 6 bits (llama.cpp's
//! `Q4_K`), read as they are by products with a few rows. The numbers are those that candle's blocks give,
//! bit for bit.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use half::f16;

use super::gemv;
use super::math::{LANES, fma, total};

/// Weights in a block.
const BLOCK: usize = 256;
/// Weights that share a scale.
const GROUP: usize = 32;
/// Groups of a block.
const GROUPS: usize = BLOCK / GROUP;
/// Bytes of a block: two scales of scales, scales and least values of the groups, numbers.
const BYTES: usize = 4 + 12 + BLOCK / 2;

/// A block as it is stored.
type Block = [u8; BYTES];

/// Rows in blocks along the inputs.
pub(super) struct FourBits(Vec<u8>);

impl FourBits {
    /// The blocks that rows are rounded to; the number of weights must be a multiple of [`BLOCK`].
    pub(super) fn of(rows: &[f32]) -> candle_core::Result<Self> {
        let rows = Tensor::from_slice(rows, rows.len(), &Device::Cpu)?;
        Ok(Self(QTensor::quantize(&rows, GgmlDType::Q4K)?.data()?.into_owned()))
    }

    /// What a row stands for.
    pub(super) fn row(&self, index: usize, to: &mut [f32]) {
        let blocks = self.blocks(index, to.len());
        for (block, to) in blocks.iter().zip(to.as_chunks_mut::<BLOCK>().0) {
            let numbers = numbers(block);
            for (pair, (to, group)) in to.as_chunks_mut::<GROUP>().0.iter_mut().zip(groups(block)).enumerate()
            {
                let numbers = &numbers[pair / 2];
                *to = std::array::from_fn(|i| group.scale * nibble(numbers[i], pair % 2) - group.least);
            }
        }
    }

    /// The blocks of a row.
    pub(super) fn blocks(&self, index: usize, inputs: usize) -> &[Block] {
        let count = inputs / BLOCK;
        &self.0.as_chunks::<BYTES>().0[index * count..(index + 1) * count]
    }
}

/// What the numbers of a group mean: number · scale − least.
#[derive(Clone, Copy)]
struct Group {
    scale: f32,
    least: f32,
}

/// Numbers of two groups each: those of the first are in the lower halves of the bytes.
fn numbers(block: &Block) -> &[[u8; GROUP]] {
    block[BYTES - BLOCK / 2..].as_chunks().0
}

#[inline]
fn nibble(byte: u8, upper: usize) -> f32 {
    f32::from(if upper == 0 { byte & 0xf } else { byte >> 4 })
}

#[inline]
fn groups(block: &Block) -> [Group; GROUPS] {
    let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let (scale, least) = (half(0), half(2));
    let packed = &block[4..16];
    std::array::from_fn(|i| {
        // Six bits each: the last four groups' upper two bits are kept with the first four.
        let (s, l) = if i < 4 {
            (packed[i] & 63, packed[i + 4] & 63)
        } else {
            (packed[i + 4] & 0xf | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
        };
        Group { scale: scale * f32::from(s), least: least * f32::from(l) }
    })
}

/// Σ xᵢ·wᵢ for some rows of weights as long as x.
#[inline(never)]
#[allow(
    clippy::needless_range_loop,
    reason = "in any other form the compiler makes narrower vectors (measured: twice as slow)"
)]
pub(super) fn dots<const N: usize>(x: &[f32], rows: [&[Block]; N]) -> [f32; N] {
    let x = x.as_chunks::<BLOCK>().0;
    let rows = rows.map(|blocks| &blocks[..x.len()]);
    let mut sums = [[0f32; LANES]; N];
    for (i, x) in x.iter().enumerate() {
        let x = x.as_chunks::<GROUP>().0;
        for n in 0..N {
            let block = &rows[n][i];
            let (numbers, groups) = (numbers(block), groups(block));
            // A block is two to three cache lines long.
            gemv::ask_for(rows[n].as_flattened(), i * BYTES, gemv::AHEAD);
            gemv::ask_for(rows[n].as_flattened(), i * BYTES + 64, gemv::AHEAD);
            for pair in 0..GROUPS / 2 {
                let (numbers, low, high) = (&numbers[pair], groups[2 * pair], groups[2 * pair + 1]);
                let (x_low, x_high) = (&x[2 * pair], &x[2 * pair + 1]);
                for part in 0..GROUP / LANES {
                    for lane in 0..LANES {
                        let at = part * LANES + lane;
                        let weight = fma(low.scale, nibble(numbers[at], 0), -low.least);
                        let first = fma(x_low[at], weight, sums[n][lane]);
                        let weight = fma(high.scale, nibble(numbers[at], 1), -high.least);
                        sums[n][lane] = fma(x_high[at], weight, first);
                    }
                }
            }
        }
    }
    sums.map(total)
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::k_quants::{BlockQ4K, GgmlType};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_candles(values in proptest::collection::vec(-3f32..3.0, 1..40), width in 1usize..3, shift in -2f32..2.0) {
            let count = width * BLOCK;
            let rows: Vec<f32> = values.iter().copied().cycle().take(3 * count)
                .enumerate().map(|(i, v)| v * (i % 37) as f32 / 9.0 + shift).collect();
            let mut theirs = vec![BlockQ4K::zeros(); rows.len() / BLOCK];
            BlockQ4K::from_float(&rows, &mut theirs);
            let mut want = vec![0f32; rows.len()];
            BlockQ4K::to_float(&theirs, &mut want);
            let ours = FourBits::of(&rows).unwrap();
            let mut got = vec![0f32; count];
            let x: Vec<f32> = (0..count).map(|i| (i % 7) as f32 - 3.0).collect();
            for (row, want) in want.chunks_exact(count).enumerate() {
                ours.row(row, &mut got);
                prop_assert_eq!(&got, want);
                let [dot, again, ..] = dots(&x, [ours.blocks(row, count); 4]);
                prop_assert_eq!(dot, again);
                let [alone] = dots(&x, [ours.blocks(row, count)]);
                let plain: f64 = x.iter().zip(want).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                prop_assert!((f64::from(dot) - plain).abs() < 1e-2, "{dot} {plain}");
                prop_assert!((dot - alone).abs() < 1e-2);
            }
        }
    }
}
