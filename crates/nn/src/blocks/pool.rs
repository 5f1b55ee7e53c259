//! Pooling of hidden states, and of the taps that were asked for.

use std::ops::Range;

use candle_core::{DType, Tensor};

use super::{is_fast, with_values};
use crate::error::Result;
use crate::taps::{Pooled, PooledTaps, TapName};

/// Mean and last row of `x` (rows, width) for each span of rows, accumulated in f32.
pub fn pool(x: &Tensor, spans: &[Range<usize>]) -> candle_core::Result<Vec<Pooled>> {
    let width = x.dim(1)?;
    if is_fast(x) {
        return with_values(x, |x| {
            Ok(spans.iter().map(|span| pool_rows(&x[span.start * width..span.end * width], width)).collect())
        });
    }
    spans
        .iter()
        .map(|span| {
            let rows = x.narrow(0, span.start, span.len())?.to_dtype(DType::F32)?;
            let last = rows.get(span.len() - 1)?;
            Ok(Pooled { mean: rows.mean(0)?.to_vec1()?, last: last.to_vec1()? })
        })
        .collect()
}

fn pool_rows(rows: &[f32], width: usize) -> Pooled {
    let count = rows.len() / width;
    let mut mean = vec![0f32; width];
    for row in rows.chunks_exact(width) {
        for (mean, x) in mean.iter_mut().zip(row) {
            *mean += x;
        }
    }
    for mean in &mut mean {
        *mean /= count as f32;
    }
    Pooled { mean, last: rows[rows.len() - width..].to_vec() }
}

/// Pools the taps that were asked for, for each of several inputs.
#[derive(Debug)]
pub struct TapCollector<'t> {
    wanted: &'t [TapName],
    pooled: Vec<PooledTaps>,
}

impl<'t> TapCollector<'t> {
    /// For `count` inputs.
    pub fn new(wanted: &'t [TapName], count: usize) -> Self {
        Self { wanted, pooled: vec![PooledTaps::new(); count] }
    }

    /// Whether the tap was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.wanted.iter().any(|t| t.0 == name)
    }

    /// Pools `x` over each input's rows, if the tap was asked for.
    pub fn take(&mut self, name: &str, x: &Tensor, rows: &[Range<usize>]) -> Result<()> {
        if let Some(name) = self.wanted.iter().find(|t| t.0 == name) {
            for (taps, value) in self.pooled.iter_mut().zip(pool(x, rows)?) {
                taps.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    /// What was collected, by input.
    pub fn finish(self) -> Vec<PooledTaps> {
        self.pooled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn pools_each_span() {
        let x = Tensor::from_vec(vec![1f32, 10., 2., 20., 6., 60.], (3, 2), &Device::Cpu).unwrap();
        let pooled = pool(&x, &[0..2, 2..3]).unwrap();
        assert_eq!(pooled[0], Pooled { mean: vec![1.5, 15.], last: vec![2., 20.] });
        assert_eq!(pooled[1], Pooled { mean: vec![6., 60.], last: vec![6., 60.] });
        let half = pool(&x.to_dtype(DType::BF16).unwrap(), &[0..2, 2..3]).unwrap();
        assert_eq!(half, pooled);
    }
}
