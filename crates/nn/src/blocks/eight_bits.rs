//! Blocks of 32 numbers of 8 bits with a scale (llama.cpp's `Q8_0`), held so that a product with a few rows
//! reads them as they are, without widening rows first. The numbers are those that candle's blocks give, bit
//! for bit.

use half::f16;

use super::gemv;
use super::math::{LANES, fma, total};

/// Weights that share a scale.
pub(super) const BLOCK: usize = 32;

/// Rows in blocks along the inputs.
pub(super) struct EightBits {
    scales: Vec<f16>,
    values: Vec<i8>,
}

impl EightBits {
    /// The blocks that rows are rounded to; the number of weights must be a multiple of [`BLOCK`].
    pub(super) fn of(rows: &[f32]) -> Self {
        let blocks = rows.as_chunks::<BLOCK>().0;
        let mut this = Self {
            scales: Vec::with_capacity(blocks.len()),
            values: Vec::with_capacity(blocks.len() * BLOCK),
        };
        for block in blocks {
            let greatest = block.iter().fold(0f32, |greatest, value| greatest.max(value.abs()));
            let scale = greatest / 127.0;
            let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            this.scales.push(f16::from_f32(scale));
            this.values.extend(block.map(|value| (value * inverse).round() as i8));
        }
        this
    }

    /// What a row stands for.
    pub(super) fn row(&self, index: usize, to: &mut [f32]) {
        let inputs = to.len();
        let (scales, values) = self.blocks(index, inputs);
        for ((to, values), scale) in to.as_chunks_mut::<BLOCK>().0.iter_mut().zip(values).zip(scales) {
            let scale = scale.to_f32();
            *to = values.map(|value| f32::from(value) * scale);
        }
    }

    /// Scales and numbers of a row.
    pub(super) fn blocks(&self, index: usize, inputs: usize) -> Row<'_> {
        let count = inputs / BLOCK;
        let values = &self.values[index * inputs..(index + 1) * inputs];
        (&self.scales[index * count..(index + 1) * count], values.as_chunks::<BLOCK>().0)
    }
}

/// Scales and numbers of a row.
pub(super) type Row<'a> = (&'a [f16], &'a [[i8; BLOCK]]);

/// Σ xᵢ·wᵢ for some rows of weights as long as x.
#[inline(never)]
pub(super) fn dots<const N: usize>(x: &[f32], rows: [Row<'_>; N]) -> [f32; N] {
    let x = x.as_chunks::<BLOCK>().0;
    let rows = rows.map(|(scales, values)| (&scales[..x.len()], &values[..x.len()]));
    let mut sums = [[0f32; LANES]; N];
    for (i, x) in x.iter().enumerate() {
        for n in 0..N {
            let (scales, values) = rows[n];
            gemv::ask_for(values, i, gemv::AHEAD);
            let (scale, values) = (scales[i].to_f32(), &values[i]);
            for lane in 0..LANES {
                let half = x[lane] * f32::from(values[lane]);
                let both = fma(x[lane + LANES], f32::from(values[lane + LANES]), half);
                sums[n][lane] = fma(scale, both, sums[n][lane]);
            }
        }
    }
    sums.map(total)
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::k_quants::{BlockQ8_0, GgmlType};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_candles(values in proptest::collection::vec(-3f32..3.0, 1..20), width in 1usize..5, zero: bool) {
            let count = width * BLOCK;
            let mut rows: Vec<f32> = values.iter().copied().cycle().take(3 * count).collect();
            if zero {
                rows[..BLOCK].fill(0.0);
            }
            let mut theirs = vec![BlockQ8_0::zeros(); rows.len() / BLOCK];
            BlockQ8_0::from_float(&rows, &mut theirs);
            let mut want = vec![0f32; rows.len()];
            BlockQ8_0::to_float(&theirs, &mut want);
            let ours = EightBits::of(&rows);
            let mut got = vec![0f32; count];
            let x: Vec<f32> = (0..count).map(|i| (i % 7) as f32 - 3.0).collect();
            for (row, want) in want.chunks_exact(count).enumerate() {
                let [dot, again, ..] = dots(&x, [ours.blocks(row, count); 4]);
                prop_assert_eq!(dot, again);
                ours.row(row, &mut got);
                prop_assert_eq!(&got, want);
                let plain: f64 = x.iter().zip(want).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                prop_assert!((f64::from(dot) - plain).abs() < 1e-3);
            }
        }
    }
}
