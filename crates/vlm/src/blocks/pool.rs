//! Pooling of hidden states.

use candle_core::{DType, Tensor};

use super::{is_fast, with_values};
use crate::model::Pooled;

/// Mean and last row of `x` (rows, width) for each span of rows, accumulated in f32.
pub(crate) fn pool(x: &Tensor, spans: &[std::ops::Range<usize>]) -> candle_core::Result<Vec<Pooled>> {
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
