//! Products of one or a few rows with a weight matrix, on the CPU: what generation spends its time with.
//!
//! Every weight is used once or a few times, so what counts is how fast weights come from memory. Each thread
//! reads several long streams of them at a time, which is what processors fetch ahead best, and asks for what
//! comes next itself (measured on two cores of an AVX-512 server whose memory gives 38 GB/s: 33 in f32, 31 in
//! bf16, of those 24 without asking; a general matrix product with one row reads 13 to 15). Everything is
//! summed in f32.

use std::ops::RangeInclusive;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use prefetch_index::prefetch_index;
use rayon::prelude::*;

use super::math::{LANES, fma, total};

/// Outputs of a matrix of rows that one thread does at a time: four streams of a quarter each. Long streams
/// are faster, but all threads must get some of them.
const TILE: RangeInclusive<usize> = 64..=256;
/// Streams.
pub(super) const STREAMS: usize = 4;
/// Multiplications below which one thread does it all.
const PARALLEL_FROM: usize = 1 << 18;
/// Rows of a matrix of columns that are read at a time.
pub(super) const STEP: usize = 8;
/// Rows of a matrix of columns that one thread does.
const PART: usize = 128;
/// Values that one thread adds up of all parts.
const STRETCH: usize = 1 << 13;
/// Bytes of a stream that are asked for ahead of what is read.
pub(super) const AHEAD: usize = 1024;

/// A number that a weight is held in.
pub trait WeightElement: Copy + Sync {
    /// Some weights in f32.
    fn wide<const N: usize>(from: &[Self; N]) -> [f32; N];
    /// Weights in f32.
    fn widen(from: &[Self], to: &mut [f32]);
}

impl WeightElement for f32 {
    #[inline]
    fn wide<const N: usize>(from: &[Self; N]) -> [f32; N] {
        *from
    }

    fn widen(from: &[Self], to: &mut [f32]) {
        to.copy_from_slice(from);
    }
}

impl WeightElement for bf16 {
    #[inline]
    fn wide<const N: usize>(from: &[Self; N]) -> [f32; N] {
        // The compiler makes shifts of whole vectors of it.
        let mut to = [0f32; N];
        for (to, from) in to.iter_mut().zip(from) {
            *to = f32::from_bits(u32::from(from.to_bits()) << 16);
        }
        to
    }

    fn widen(from: &[Self], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = f32::from_bits(u32::from(from.to_bits()) << 16);
        }
    }
}

impl WeightElement for f16 {
    #[inline]
    fn wide<const N: usize>(from: &[Self; N]) -> [f32; N] {
        let mut to = [0f32; N];
        from.as_slice().convert_to_f32_slice(&mut to);
        to
    }

    fn widen(from: &[Self], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }
}

/// A matrix of rows, one for each output.
pub(super) trait Rows: Sync {
    /// How many.
    fn outputs(&self) -> usize;

    /// Σ xᵢ·wᵢ for some of them.
    fn dots<const N: usize>(&self, x: &[f32], rows: [usize; N]) -> [f32; N];
}

/// Rows that are held as plain numbers: (outputs, inputs).
struct Plain<'a, T> {
    weights: &'a [T],
    inputs: usize,
}

impl<T: WeightElement> Rows for Plain<'_, T> {
    fn outputs(&self) -> usize {
        self.weights.len() / self.inputs
    }

    #[inline]
    fn dots<const N: usize>(&self, x: &[f32], rows: [usize; N]) -> [f32; N] {
        dots(x, rows.map(|row| &self.weights[row * self.inputs..(row + 1) * self.inputs]))
    }
}

/// x·Wᵀ for x of (rows, inputs) and W of (outputs, inputs): (rows, outputs).
pub(super) fn by_rows<T: WeightElement>(x: &[f32], inputs: usize, weights: &[T]) -> Vec<f32> {
    products(x, inputs, &Plain { weights, inputs })
}

/// x·Wᵀ for x of (rows, inputs): (rows, outputs).
pub(super) fn products(x: &[f32], inputs: usize, weights: &impl Rows) -> Vec<f32> {
    let (rows, outputs) = (x.len() / inputs, weights.outputs());
    // (outputs, rows) first, so that threads write apart from each other.
    let mut columns = vec![0f32; outputs * rows];
    let tile = |first: usize, columns: &mut [f32]| {
        let count = columns.len() / rows;
        let quarter = count / STREAMS;
        for i in 0..quarter {
            let four: [usize; STREAMS] = std::array::from_fn(|s| first + s * quarter + i);
            for (r, x) in x.chunks_exact(inputs).enumerate() {
                for (s, y) in weights.dots(x, four).into_iter().enumerate() {
                    columns[(s * quarter + i) * rows + r] = y;
                }
            }
        }
        for i in STREAMS * quarter..count {
            for (r, x) in x.chunks_exact(inputs).enumerate() {
                [columns[i * rows + r]] = weights.dots(x, [first + i]);
            }
        }
    };
    if x.len() * outputs < PARALLEL_FROM {
        tile(0, &mut columns);
    } else {
        let outputs_each = (outputs / (4 * rayon::current_num_threads())).clamp(*TILE.start(), *TILE.end());
        let parts = columns.par_chunks_mut(outputs_each * rows).enumerate();
        parts.for_each(|(i, part)| tile(i * outputs_each, part));
    }
    if rows == 1 {
        return columns;
    }
    let mut y = vec![0f32; rows * outputs];
    for (output, column) in columns.chunks_exact(rows).enumerate() {
        for (row, value) in column.iter().enumerate() {
            y[row * outputs + output] = *value;
        }
    }
    y
}

/// Σ xᵢ·wᵢ for some rows of weights, all as long as x.
#[inline(never)]
pub(super) fn dots<T: WeightElement, const N: usize>(x: &[f32], weights: [&[T]; N]) -> [f32; N] {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let weight_chunks = weights.map(|w| &w.as_chunks::<LANES>().0[..chunks.len()]);
    let mut sums = [[0f32; LANES]; N];
    for (i, x) in chunks.iter().enumerate() {
        for (sums, weights) in sums.iter_mut().zip(weight_chunks) {
            ask_for(weights, i, AHEAD);
            let wide = T::wide(&weights[i]);
            for lane in 0..LANES {
                sums[lane] = fma(x[lane], wide[lane], sums[lane]);
            }
        }
    }
    let mut y = sums.map(total);
    if !rest.is_empty() {
        for (y, weights) in y.iter_mut().zip(weights) {
            let mut wide = [0f32; LANES];
            let wide = &mut wide[..rest.len()];
            T::widen(&weights[weights.len() - rest.len()..], wide);
            *y += rest.iter().zip(wide).map(|(x, w)| x * *w).sum::<f32>();
        }
    }
    y
}

/// Has memory fetched that will be read soon: by itself a processor keeps too few reads under way, and stops
/// at the end of each page.
#[inline]
pub(super) fn ask_for<T>(weights: &[T], at: usize, bytes: usize) {
    prefetch_index(weights, at + bytes / size_of::<T>());
}

/// x·W for x of (rows, inputs) and W of (inputs, outputs): (rows, outputs).
pub(super) fn by_columns(x: &[f32], inputs: usize, weights: &[f32]) -> Vec<f32> {
    let (rows, outputs) = (x.len() / inputs, weights.len() / inputs);
    // Each part of the inputs is one stretch of memory. How it is cut doesn't depend on the number of
    // threads, and so neither does the sum.
    let part = |(part, weights): (usize, &[f32])| {
        let (first, count) = (part * PART, weights.len() / outputs);
        let row = |input: usize| &weights[input * outputs..(input + 1) * outputs];
        let mut y = vec![0f32; rows * outputs];
        let whole = count - count % STEP;
        for input in (0..whole).step_by(STEP) {
            let some: [&[f32]; STEP] = std::array::from_fn(|i| row(input + i));
            for (y, x) in y.chunks_exact_mut(outputs).zip(x.chunks_exact(inputs)) {
                add_scaled(y, std::array::from_fn(|i| x[first + input + i]), some);
            }
        }
        for input in whole..count {
            for (y, x) in y.chunks_exact_mut(outputs).zip(x.chunks_exact(inputs)) {
                add_scaled(y, [x[first + input]], [row(input)]);
            }
        }
        y
    };
    let parts: Vec<Vec<f32>> = if x.len() * outputs < PARALLEL_FROM {
        weights.chunks(PART * outputs).enumerate().map(part).collect()
    } else {
        weights.par_chunks(PART * outputs).enumerate().map(part).collect()
    };
    let mut parts = parts.into_iter();
    let mut y = parts.next().unwrap_or_default();
    let parts: Vec<Vec<f32>> = parts.collect();
    // One part after the other, wherever threads begin.
    let add = |(stretch, y): (usize, &mut [f32])| {
        for part in &parts {
            for (y, more) in y.iter_mut().zip(&part[stretch * STRETCH..]) {
                *y += more;
            }
        }
    };
    if y.len() * parts.len() < PARALLEL_FROM {
        y.chunks_mut(STRETCH).enumerate().for_each(add);
    } else {
        y.par_chunks_mut(STRETCH).enumerate().for_each(add);
    }
    y
}

/// `y += Σ factors[i] · weights[i]`.
#[inline(never)]
pub(super) fn add_scaled<const N: usize>(y: &mut [f32], factors: [f32; N], weights: [&[f32]; N]) {
    let weights = weights.map(|w| &w[..y.len()]);
    let (chunks, rest) = y.as_chunks_mut::<LANES>();
    let first = chunks.len() * LANES;
    for (i, y) in chunks.iter_mut().enumerate() {
        let mut sums = *y;
        for n in 0..N {
            ask_for(weights[n], i * LANES, AHEAD);
            let weights: &[f32; LANES] = &weights[n].as_chunks().0[i];
            for lane in 0..LANES {
                sums[lane] = fma(factors[n], weights[lane], sums[lane]);
            }
        }
        *y = sums;
    }
    for (i, y) in rest.iter_mut().enumerate() {
        for n in 0..N {
            *y = fma(factors[n], weights[n][first + i], *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// In double precision: W of (outputs, inputs).
    fn plain(x: &[f32], inputs: usize, weights: &[f32]) -> Vec<f64> {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        x.chunks_exact(inputs).flat_map(|x| weights.chunks_exact(inputs).map(move |w| dot(x, w))).collect()
    }

    fn close(got: &[f32], want: &[f64]) -> bool {
        got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (f64::from(*g) - w).abs() < 1e-3)
    }

    /// Numbers between −2 and 2 that half precision holds exactly.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 26) as f32 / 16.0 - 2.0)
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn equals_the_plain_product(
            rows in 1usize..6, inputs in 1usize..90, outputs in 1usize..150, seed in 0u32..1000,
        ) {
            let (x, weights) = (numbers(rows * inputs, seed), numbers(inputs * outputs, seed + 7));
            let want = plain(&x, inputs, &weights);
            prop_assert!(close(&by_rows(&x, inputs, &weights), &want));
            let halves: Vec<bf16> = weights.iter().map(|w| bf16::from_f32(*w)).collect();
            prop_assert!(close(&by_rows(&x, inputs, &halves), &want));
            let halves: Vec<f16> = weights.iter().map(|w| f16::from_f32(*w)).collect();
            prop_assert!(close(&by_rows(&x, inputs, &halves), &want));
            let across: Vec<f32> =
                (0..inputs * outputs).map(|i| weights[i % outputs * inputs + i / outputs]).collect();
            prop_assert!(close(&by_columns(&x, inputs, &across), &want));
        }
    }

    /// Large enough for several threads; a row gives the same bits alone as among others.
    #[test]
    fn several_threads_and_rows_apart() {
        let (inputs, outputs) = (1031, 1500);
        let (x, weights) = (numbers(3 * inputs, 1), numbers(inputs * outputs, 2));
        let want = plain(&x, inputs, &weights);
        let got = by_rows(&x, inputs, &weights);
        assert!(close(&got, &want));
        assert_eq!(by_rows(&x[inputs..2 * inputs], inputs, &weights), got[outputs..2 * outputs]);
        let across: Vec<f32> =
            (0..inputs * outputs).map(|i| weights[i % outputs * inputs + i / outputs]).collect();
        let got = by_columns(&x, inputs, &across);
        assert!(close(&got, &want));
        assert_eq!(by_columns(&x[inputs..2 * inputs], inputs, &across), got[outputs..2 * outputs]);
    }
}
