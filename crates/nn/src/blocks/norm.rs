//! Normalisation over the last dimension, always computed in f32.

use candle_core::{DType, Tensor};

use super::{for_rows, is_fast, math, with_values};

/// x / √(mean x² + ε) · w.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    epsilon: f64,
}

impl RmsNorm {
    /// Of a weight of the rows' width.
    pub fn new(weight: Tensor, epsilon: f64) -> Self {
        Self { weight, epsilon }
    }

    /// The weights, for fusing with what follows.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// ε.
    pub fn epsilon(&self) -> f32 {
        self.epsilon as f32
    }

    /// x of shape (…, width), any leading dimensions.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        if is_fast(x) {
            return with_values(&self.weight, |weight| {
                mapped_rows(x, weight.len(), |from, to| rms_norm_row(from, weight, self.epsilon(), to))
            });
        }
        let wide = x.to_dtype(DType::F32)?;
        let variance = wide.sqr()?.mean_keepdim(candle_core::D::Minus1)?;
        let normed = wide.broadcast_div(&(variance + self.epsilon)?.sqrt()?)?;
        normed.to_dtype(x.dtype())?.broadcast_mul(&self.weight)
    }
}

/// One row of an [`RmsNorm`].
#[inline]
pub fn rms_norm_row(from: &[f32], weight: &[f32], epsilon: f32, to: &mut [f32]) {
    let scale = 1.0 / (math::dot(from, from) / from.len() as f32 + epsilon).sqrt();
    for ((to, from), weight) in to.iter_mut().zip(from).zip(weight) {
        *to = from * scale * weight;
    }
}

/// (x − mean) / √(variance + ε) · w + b.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// Of weight and bias of the rows' width.
    pub fn new(weight: Tensor, bias: Tensor, epsilon: f64) -> Self {
        Self { weight, bias, epsilon }
    }

    /// x of shape (…, width), any leading dimensions.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        if is_fast(x) {
            return with_values(&self.weight, |weight| {
                with_values(&self.bias, |bias| {
                    mapped_rows(x, weight.len(), |from, to| {
                        let n = from.len() as f32;
                        let mean = math::sum(from) / n;
                        for (to, from) in to.iter_mut().zip(from) {
                            *to = from - mean;
                        }
                        let scale = 1.0 / (math::dot(to, to) / n + self.epsilon as f32).sqrt();
                        for ((to, weight), bias) in to.iter_mut().zip(weight).zip(bias) {
                            *to = math::fma(*to * scale, *weight, *bias);
                        }
                    })
                })
            });
        }
        let wide = x.to_dtype(DType::F32)?;
        let centred = wide.broadcast_sub(&wide.mean_keepdim(candle_core::D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(candle_core::D::Minus1)?;
        let normed = centred.broadcast_div(&(variance + self.epsilon)?.sqrt()?)?;
        normed.to_dtype(x.dtype())?.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }
}

/// A new tensor of the same shape, row by row.
fn mapped_rows(
    x: &Tensor,
    width: usize,
    f: impl Fn(&[f32], &mut [f32]) + Sync,
) -> candle_core::Result<Tensor> {
    let out = with_values(x, |x| {
        let mut out = vec![0f32; x.len()];
        for_rows(&mut out, width, &|i, to: &mut [f32]| f(&x[i * width..(i + 1) * width], to));
        Ok(out)
    })?;
    Tensor::from_vec(out, x.dims(), x.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn error(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn slice_form_equals_candle() {
        let device = Device::Cpu;
        // 70 wide: not a multiple of the vector width.
        let x = Tensor::randn(0.5f32, 3.0, (9, 70), &device).unwrap();
        let w = Tensor::randn(1f32, 0.3, 70, &device).unwrap();
        let b = Tensor::randn(0f32, 0.3, 70, &device).unwrap();
        let rms = RmsNorm::new(w.clone(), 1e-6).forward(&x).unwrap();
        assert!(error(&rms, &candle_nn::ops::rms_norm(&x, &w, 1e-6).unwrap()) < 1e-5);
        let layer = LayerNorm::new(w.clone(), b.clone(), 1e-6).forward(&x).unwrap();
        assert!(error(&layer, &candle_nn::ops::layer_norm(&x, &w, &b, 1e-6).unwrap()) < 1e-5);
    }

    #[test]
    fn plain_form_equals_slice_form() {
        let device = Device::Cpu;
        // A transposed view is not contiguous and takes the plain form.
        let x = Tensor::randn(0.5f32, 3.0, (32, 9), &device).unwrap().t().unwrap();
        let w = Tensor::randn(1f32, 0.3, 32, &device).unwrap();
        let b = Tensor::randn(0f32, 0.3, 32, &device).unwrap();
        let copy = x.contiguous().unwrap();
        let rms = RmsNorm::new(w.clone(), 1e-6);
        assert!(error(&rms.forward(&x).unwrap(), &rms.forward(&copy).unwrap()) < 1e-5);
        let layer = LayerNorm::new(w, b, 1e-6);
        assert!(error(&layer.forward(&x).unwrap(), &layer.forward(&copy).unwrap()) < 1e-5);
    }
}
