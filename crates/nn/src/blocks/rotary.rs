//! Rotary position embedding on packed queries and keys.

use candle_core::{DType, Tensor};

use super::attention::HeadLayout;
use super::norm::{RmsNorm, rms_norm_row};
use super::{is_fast, math, rows_in_place, with_values};

/// Cosines and sines per row and rotated pair: (rows, head size / 2) each, f32.
#[derive(Clone, Debug)]
pub struct RotaryTable {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl RotaryTable {
    /// From angles in radians, row by row, `half` to a row.
    pub fn from_angles(angles: &[f32], half: usize) -> Self {
        Self {
            cos: angles.iter().map(|a| a.cos()).collect(),
            sin: angles.iter().map(|a| a.sin()).collect(),
            half,
        }
    }

    fn row(&self, i: usize) -> (&[f32], &[f32]) {
        let range = i * self.half..(i + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }
}

/// θ^(−i/d), rounded to f32 once.
pub fn inverse_frequency(theta: f64, i: usize, d: usize) -> f32 {
    theta.powf(-(i as f64) / d as f64) as f32
}

/// Normalises each head of the queries and keys (when norms are given), then rotates it. `qkv` is packed as
/// `layout` says and changed in place where it can be, so it must not be used elsewhere.
pub fn norm_and_rotate(
    qkv: Tensor,
    layout: HeadLayout,
    norms: Option<(&RmsNorm, &RmsNorm)>,
    table: &RotaryTable,
) -> candle_core::Result<Tensor> {
    if !is_fast(&qkv) {
        return plain(&qkv, layout, norms, table);
    }
    let d = layout.head_dim;
    let rotate = |i: usize, heads: &mut [f32], weight: Option<(&[f32], f32)>, scratch: &mut [f32]| {
        let (cos, sin) = table.row(i);
        for head in heads.chunks_exact_mut(d) {
            match weight {
                Some((weight, epsilon)) => rms_norm_row(head, weight, epsilon, scratch),
                None => scratch.copy_from_slice(head),
            }
            let (x, y) = scratch.split_at(d / 2);
            let (a, b) = head.split_at_mut(d / 2);
            for i in 0..d / 2 {
                a[i] = math::fma(x[i], cos[i], -y[i] * sin[i]);
                b[i] = math::fma(y[i], cos[i], x[i] * sin[i]);
            }
        }
    };
    let width = layout.width();
    let (q_end, k_end) = (layout.heads * d, (layout.heads + layout.kv_heads) * d);
    match norms {
        None => rows_in_place(&qkv, width, |i, row| {
            rotate(i, &mut row[..k_end], None, &mut vec![0f32; d]);
        })?,
        Some((q_norm, k_norm)) => with_values(q_norm.weight(), |q_weight| {
            with_values(k_norm.weight(), |k_weight| {
                rows_in_place(&qkv, width, |i, row| {
                    let mut scratch = vec![0f32; d];
                    let (q, k) = row[..k_end].split_at_mut(q_end);
                    rotate(i, q, Some((q_weight, q_norm.epsilon())), &mut scratch);
                    rotate(i, k, Some((k_weight, k_norm.epsilon())), &mut scratch);
                })
            })
        })?,
    }
    Ok(qkv)
}

fn plain(
    qkv: &Tensor,
    layout: HeadLayout,
    norms: Option<(&RmsNorm, &RmsNorm)>,
    table: &RotaryTable,
) -> candle_core::Result<Tensor> {
    let (rows, d) = (qkv.dim(0)?, layout.head_dim);
    let shape = (rows, 1, d / 2);
    let cos = Tensor::from_slice(&table.cos, shape, qkv.device())?;
    let sin = Tensor::from_slice(&table.sin, shape, qkv.device())?;
    let rotate = |start: usize, heads: usize, norm: Option<&RmsNorm>| -> candle_core::Result<Tensor> {
        let x = qkv.narrow(1, start * d, heads * d)?.reshape((rows, heads, d))?;
        let x = match norm {
            Some(norm) => norm.forward(&x)?,
            None => x,
        };
        let x = x.to_dtype(DType::F32)?;
        let (a, b) = (x.narrow(2, 0, d / 2)?, x.narrow(2, d / 2, d / 2)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, second], 2)?.reshape((rows, heads * d))?.to_dtype(qkv.dtype())
    };
    let q = rotate(0, layout.heads, norms.map(|n| n.0))?;
    let k = rotate(layout.heads, layout.kv_heads, norms.map(|n| n.1))?;
    let v = qkv.narrow(1, (layout.heads + layout.kv_heads) * d, layout.kv_heads * d)?;
    Tensor::cat(&[q, k, v.contiguous()?], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn slice_form_equals_plain_form() {
        let layout = HeadLayout { heads: 3, kv_heads: 1, head_dim: 10 };
        let device = Device::Cpu;
        let qkv = Tensor::randn(0f32, 1.0, (6, layout.width()), &device).unwrap();
        let norm = |seed: f32| {
            let w = Tensor::randn(seed, 0.2, 10, &device).unwrap();
            RmsNorm::new(w, 1e-6)
        };
        let (q_norm, k_norm) = (norm(1.0), norm(0.5));
        let angles: Vec<f32> = (0..6 * 5).map(|i| i as f32 * 0.37).collect();
        let table = RotaryTable::from_angles(&angles, 5);
        for norms in [None, Some((&q_norm, &k_norm))] {
            let want = plain(&qkv, layout, norms, &table).unwrap();
            let got = norm_and_rotate(qkv.copy().unwrap(), layout, norms, &table).unwrap();
            let error = (want - got).unwrap().abs().unwrap().max_all().unwrap();
            assert!(error.to_scalar::<f32>().unwrap() < 1e-5);
        }
    }

    #[test]
    fn rotation_keeps_lengths_and_leaves_values_alone() {
        let layout = HeadLayout { heads: 1, kv_heads: 1, head_dim: 4 };
        let row = [1f32, 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.];
        let qkv = Tensor::from_slice(&row, (1, 12), &Device::Cpu).unwrap();
        let table = RotaryTable::from_angles(&[0.3, 1.2], 2);
        let out = norm_and_rotate(qkv, layout, None, &table).unwrap();
        let out: Vec<f32> = out.flatten_all().unwrap().to_vec1().unwrap();
        let square = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
        assert!((square(&out[..4]) - square(&row[..4])).abs() < 1e-3);
        assert_eq!(out[8..], row[8..]);
        assert!((out[0] - (0.3f32.cos() - 3.0 * 0.3f32.sin())).abs() < 1e-6);
    }
}
