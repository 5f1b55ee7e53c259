//! Weights in blocks of 8 or 4 bits with a scale each, as llama.cpp has them (candle's `quantized`).
//!
//! On the CPU the blocks are held by themselves and widened as they are needed: candle's own product there keeps a second,
//! expanded copy of them for its fastest kernels, where blocks are there to fit in memory, and rounds the rows of x to 8 bits
//! too. Elsewhere it is candle's product.

use std::fmt;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor, QuantizedType};
use candle_core::{CpuStorage, DType, Device, Module, Tensor};
use rayon::prelude::*;

use super::widened;

/// Outputs in a part.
const PART: usize = 512;

/// Some outputs of a weight matrix.
enum Part {
    Cpu(Box<dyn QuantizedType>),
    Device(QMatMul),
}

/// A weight matrix, (outputs, inputs), in blocks along the inputs.
pub(crate) struct QuantisedRows {
    inputs: usize,
    /// Outputs of each part and its blocks.
    parts: Vec<(usize, Part)>,
}

impl fmt::Debug for QuantisedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuantisedRows")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs())
            .finish_non_exhaustive()
    }
}

impl QuantisedRows {
    /// Without outputs; `inputs` must be a multiple of the blocks that are appended.
    pub(crate) fn new(inputs: usize) -> Self {
        Self { inputs, parts: Vec::new() }
    }

    fn outputs(&self) -> usize {
        self.parts.iter().map(|p| p.0).sum()
    }

    /// Quantises some more outputs, row by row in `rows`.
    pub(crate) fn append(
        &mut self,
        kind: GgmlDType,
        rows: &[f32],
        device: &Device,
    ) -> candle_core::Result<()> {
        if !device.is_cpu() {
            let outputs = rows.len() / self.inputs;
            let rows = Tensor::from_slice(rows, (outputs, self.inputs), &Device::Cpu)?;
            let part = QMatMul::from_qtensor(QTensor::quantize_onto(&rows, kind, device)?)?;
            self.parts.push((outputs, Part::Device(part)));
            return Ok(());
        }
        let parts: Vec<_> = rows
            .par_chunks(PART * self.inputs)
            .map(|rows| {
                let mut blocks = kind.cpu_zeros(rows.len());
                blocks.from_float(rows);
                (rows.len() / self.inputs, Part::Cpu(blocks))
            })
            .collect();
        self.parts.extend(parts);
        Ok(())
    }

    /// x·Wᵀ for x of shape (rows, inputs).
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
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
        // Where each part begins.
        let mut starts = Vec::with_capacity(self.parts.len());
        let mut outputs = 0;
        for (count, _) in &self.parts {
            starts.push(outputs);
            outputs += count;
        }
        let y = widened::matmul(&wide, outputs, |output, row| {
            let at = starts.partition_point(|start| *start <= output) - 1;
            let (count, Part::Cpu(blocks)) = &self.parts[at] else { candle_core::bail!("not on the CPU") };
            match blocks.embedding(&[(output - starts[at]) as u32], *count, self.inputs)? {
                CpuStorage::F32(values) => row.copy_from_slice(&values),
                _ => candle_core::bail!("blocks that are not widened to f32"),
            }
            Ok(())
        })?;
        y.to_dtype(x.dtype())
    }

    /// What the blocks stand for: (outputs, inputs), f32.
    fn dequantised(&self, device: &Device) -> candle_core::Result<Tensor> {
        let parts: Vec<Tensor> = self
            .parts
            .iter()
            .map(|(outputs, part)| match part {
                Part::Cpu(blocks) => match blocks.dequantize(outputs * self.inputs)? {
                    CpuStorage::F32(values) => Tensor::from_vec(values, (*outputs, self.inputs), device),
                    _ => candle_core::bail!("blocks that are not widened to f32"),
                },
                Part::Device(QMatMul::QTensor(blocks)) => blocks.dequantize(device),
                Part::Device(QMatMul::Tensor(rows) | QMatMul::TensorF16(rows)) => rows.to_dtype(DType::F32),
            })
            .collect::<candle_core::Result<_>>()?;
        Tensor::cat(&parts, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::with_values;

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
            let got = rows.forward(&x).unwrap();
            assert_eq!(got.dims(), want.dims());
            let found = error(&got, &want);
            assert!(found < bound && found > 0.0, "{kind:?}: {found}");
            let third = rows.forward(&x.narrow(0, 2, 1).unwrap()).unwrap();
            assert!(error(&third, &got.narrow(0, 2, 1).unwrap()) < 1e-5, "alone as among others");
            let through = candle_core::Var::from_tensor(&x).unwrap();
            let tracked = rows.forward(through.as_tensor()).unwrap();
            assert!(error(&tracked, &got) < 1e-5);
            let gradient = tracked.sum_all().unwrap().backward().unwrap();
            assert_eq!(gradient.get(&through).unwrap().dims(), x.dims());
        }
    }
}
