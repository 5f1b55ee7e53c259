//! Weights in blocks of 8 or 4 bits with a scale each, as llama.cpp has them (candle's `quantized`).
//!
//! On the CPU the blocks are held by themselves and widened as they are needed (where rows are few not even
//! that): candle's own product there keeps a second, expanded copy of them for its fastest kernels, where
//! blocks are there to fit in memory, and rounds the rows of x to 8 bits too. Elsewhere it is candle's
//! product.

use std::fmt;

use candle_core::quantized::k_quants::{BlockQ4_0, GgmlType};
use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Tensor};
use rayon::prelude::*;

use super::eight_bits::{self, EightBits};
use super::four_bits::{self, FourBits};
use super::gemv::{self, Rows};
use super::product::RowKind;
use super::widened::{self, FEW_ROWS};
use super::with_values;

/// Outputs in a part.
const PART: usize = 512;

/// Some outputs of a weight matrix.
enum Part {
    Cpu(Blocks),
    Device(QMatMul),
}

/// Blocks of rows, on the CPU.
enum Blocks {
    Q8_0(EightBits),
    Q4_0(Vec<BlockQ4_0>),
    Q4K(FourBits),
}

impl Blocks {
    /// The blocks that rows are rounded to.
    fn of(kind: GgmlDType, rows: &[f32]) -> candle_core::Result<Self> {
        fn rounded<T: GgmlType>(rows: &[f32]) -> Vec<T> {
            let mut blocks = vec![T::zeros(); rows.len() / T::BLCK_SIZE];
            T::from_float(rows, &mut blocks);
            blocks
        }
        match kind {
            GgmlDType::Q8_0 => Ok(Self::Q8_0(EightBits::of(rows))),
            GgmlDType::Q4_0 => Ok(Self::Q4_0(rounded(rows))),
            GgmlDType::Q4K => Ok(Self::Q4K(FourBits::of(rows)?)),
            other => candle_core::bail!("blocks of {other:?} are not held on the CPU"),
        }
    }

    /// What a row stands for.
    fn row(&self, index: usize, to: &mut [f32]) {
        fn widen<T: GgmlType>(blocks: &[T], index: usize, to: &mut [f32]) {
            let count = to.len() / T::BLCK_SIZE;
            T::to_float(&blocks[index * count..(index + 1) * count], to);
        }
        match self {
            Self::Q8_0(blocks) => blocks.row(index, to),
            Self::Q4_0(blocks) => widen(blocks, index, to),
            Self::Q4K(blocks) => blocks.row(index, to),
        }
    }
}

/// A weight matrix, (outputs, inputs), in blocks along the inputs.
pub struct QuantisedRows {
    inputs: usize,
    outputs: usize,
    /// The first output of each part, and its blocks.
    parts: Vec<(usize, Part)>,
}

impl fmt::Debug for QuantisedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuantisedRows")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl QuantisedRows {
    /// Without outputs; `inputs` must be a multiple of the blocks that are appended.
    pub fn new(inputs: usize) -> Self {
        Self { inputs, outputs: 0, parts: Vec::new() }
    }

    /// Quantises some more outputs, row by row in `rows`.
    pub fn append(&mut self, kind: GgmlDType, rows: &[f32], device: &Device) -> candle_core::Result<()> {
        let (first, outputs) = (self.outputs, rows.len() / self.inputs);
        if device.is_cpu() {
            let parts: Vec<_> = rows
                .par_chunks(PART * self.inputs)
                .enumerate()
                .map(|(i, rows)| Ok((first + i * PART, Part::Cpu(Blocks::of(kind, rows)?))))
                .collect::<candle_core::Result<_>>()?;
            self.parts.extend(parts);
        } else {
            let rows = Tensor::from_slice(rows, (outputs, self.inputs), &Device::Cpu)?;
            let part = QMatMul::from_qtensor(QTensor::quantize_onto(&rows, kind, device)?)?;
            self.parts.push((first, Part::Device(part)));
        }
        self.outputs += outputs;
        Ok(())
    }

    /// x·Wᵀ for x of shape (rows, inputs).
    pub fn forward(&self, x: &Tensor, kind: RowKind) -> candle_core::Result<Tensor> {
        if x.track_op() {
            // Neither product has a derivative.
            return x.matmul(&self.dequantised(x.device())?.t()?.to_dtype(x.dtype())?);
        }
        let wide = x.to_dtype(DType::F32)?.contiguous()?;
        let on_device: Vec<Tensor> = self
            .parts
            .iter()
            .filter_map(|(_, part)| match part {
                Part::Device(part) => Some(part.forward(&wide)),
                Part::Cpu(_) => None,
            })
            .collect::<candle_core::Result<_>>()?;
        if !on_device.is_empty() {
            return Tensor::cat(&on_device, 1)?.to_dtype(x.dtype());
        }
        let (rows, inputs) = wide.dims2()?;
        let y = if kind == RowKind::Step {
            let some = |x: &[f32]| gemv::products(x, inputs, self);
            let y = with_values(&wide, |wide| Ok(wide.chunks(FEW_ROWS * inputs).flat_map(some).collect()))?;
            Tensor::from_vec(y, (rows, self.outputs), x.device())?
        } else {
            widened::matmul(&wide, self.outputs, |output, row| self.widen(output, row))?
        };
        y.to_dtype(x.dtype())
    }

    /// The part that an output is in, and which row of it it is.
    fn find(&self, output: usize) -> (&Part, usize) {
        let (first, part) = &self.parts[self.parts.partition_point(|(first, _)| *first <= output) - 1];
        (part, output - first)
    }

    /// What an output's row stands for, where the blocks are on the CPU.
    fn widen(&self, output: usize, to: &mut [f32]) {
        if let (Part::Cpu(blocks), index) = self.find(output) {
            blocks.row(index, to);
        }
    }

    /// What the blocks stand for: (outputs, inputs), f32.
    pub(super) fn dequantised(&self, device: &Device) -> candle_core::Result<Tensor> {
        let parts: Vec<Tensor> = self
            .parts
            .iter()
            .enumerate()
            .map(|(at, (first, part))| match part {
                Part::Cpu(blocks) => {
                    let end = self.parts.get(at + 1).map_or(self.outputs, |(next, _)| *next);
                    let mut values = vec![0f32; (end - first) * self.inputs];
                    for (index, row) in values.chunks_exact_mut(self.inputs).enumerate() {
                        blocks.row(index, row);
                    }
                    Tensor::from_vec(values, (end - first, self.inputs), device)
                }
                Part::Device(QMatMul::QTensor(blocks)) => blocks.dequantize(device),
                Part::Device(QMatMul::Tensor(rows) | QMatMul::TensorF16(rows)) => rows.to_dtype(DType::F32),
            })
            .collect::<candle_core::Result<_>>()?;
        Tensor::cat(&parts, 0)
    }
}

impl Rows for QuantisedRows {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn dots<const N: usize>(&self, x: &[f32], rows: [usize; N]) -> [f32; N] {
        let parts = rows.map(|row| self.find(row));
        let eight = parts.map(|(part, index)| match part {
            Part::Cpu(Blocks::Q8_0(blocks)) => Some(blocks.blocks(index, self.inputs)),
            _ => None,
        });
        if let Some(rows) = all(eight) {
            return eight_bits::dots(x, rows);
        }
        let four = parts.map(|(part, index)| match part {
            Part::Cpu(Blocks::Q4K(blocks)) => Some(blocks.blocks(index, self.inputs)),
            _ => None,
        });
        if let Some(rows) = all(four) {
            return four_bits::dots(x, rows);
        }
        rows.map(|row| {
            let mut wide = vec![0f32; self.inputs];
            self.widen(row, &mut wide);
            let [y] = gemv::dots(x, [wide.as_slice()]);
            y
        })
    }
}

/// All of them, or nothing.
fn all<T: Default, const N: usize>(options: [Option<T>; N]) -> Option<[T; N]> {
    options.iter().all(Option::is_some).then(|| options.map(Option::unwrap_or_default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(a: &Tensor, b: &Tensor) -> f32 {
        let scale: f32 = b.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() / scale
    }

    /// Two appended matrices give what one behind the other gives, to the accuracy of their bits.
    #[test]
    fn blocks_are_close_and_rows_independent() {
        let device = Device::Cpu;
        for (kind, bound) in [(GgmlDType::Q8_0, 0.02), (GgmlDType::Q4K, 0.15), (GgmlDType::Q4_0, 0.2)] {
            let (a, b) = (
                Tensor::randn(0f32, 1.0, (PART + 5, 256), &device).unwrap(),
                Tensor::randn(0f32, 1.0, (9, 256), &device).unwrap(),
            );
            let mut rows = QuantisedRows::new(256);
            for part in [&a, &b] {
                with_values(part, |values| rows.append(kind, values, &device)).unwrap();
            }
            let x = Tensor::randn(0f32, 1.0, (17, 256), &device).unwrap();
            let want = x.matmul(&Tensor::cat(&[&a, &b], 0).unwrap().t().unwrap()).unwrap();
            let kind = RowKind::Prompt;
            let got = rows.forward(&x, kind).unwrap();
            assert_eq!(got.dims(), want.dims());
            let found = error(&got, &want);
            assert!(found < bound && found > 0.0, "{kind:?}: {found}");
            for kind in [RowKind::Prompt, RowKind::Step] {
                let together = rows.forward(&x, kind).unwrap();
                assert!(error(&together, &got) < 1e-5);
                let third = rows.forward(&x.narrow(0, 2, 1).unwrap(), kind).unwrap();
                assert_eq!(error(&third, &together.narrow(0, 2, 1).unwrap()), 0.0, "alone as among others");
            }
            let through = candle_core::Var::from_tensor(&x).unwrap();
            let tracked = rows.forward(through.as_tensor(), kind).unwrap();
            assert!(error(&tracked, &got) < 1e-5);
            let gradient = tracked.sum_all().unwrap().backward().unwrap();
            assert_eq!(gradient.get(&through).unwrap().dims(), x.dims());
        }
    }
}
