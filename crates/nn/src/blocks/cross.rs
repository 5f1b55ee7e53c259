//! Attention of some rows to others: a pooling head's probe, a Q-Former's queries.

use candle_core::{DType, Tensor};

/// softmax(q·kᵀ/√d)·v by heads: `q` is (inputs, queries, width), `k` and `v` are (inputs, keys, width); gives
/// (inputs, queries, width). By plain tensor operations, softmax in f32.
pub fn cross_attend(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (inputs, queries, width) = q.dims3()?;
    let keys = k.dim(1)?;
    let d = width / heads;
    let split = |x: &Tensor, rows: usize| {
        x.reshape((inputs, rows, heads, d))?.transpose(1, 2)?.contiguous()?.reshape((inputs * heads, rows, d))
    };
    let (q, k, v) = (split(q, queries)?, split(k, keys)?, split(v, keys)?);
    let scores = q.matmul(&k.t()?.contiguous()?)?.to_dtype(DType::F32)?;
    let weights = candle_nn::ops::softmax_last_dim(&(scores * (d as f64).powf(-0.5))?)?;
    weights
        .to_dtype(v.dtype())?
        .matmul(&v)?
        .reshape((inputs, heads, queries, d))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((inputs, queries, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::attention::{HeadLayout, Span, attend};
    use candle_core::Device;

    #[test]
    fn attending_to_oneself_is_self_attention() {
        let (inputs, len, heads, d) = (3, 7, 2, 6);
        let width = heads * d;
        let qkv = Tensor::randn(0f32, 1.0, (inputs * len, 3 * width), &Device::Cpu).unwrap();
        let part = |i: usize| {
            qkv.narrow(1, i * width, width)
                .unwrap()
                .contiguous()
                .unwrap()
                .reshape((inputs, len, width))
                .unwrap()
        };
        let got = cross_attend(&part(0), &part(1), &part(2), heads).unwrap();
        let layout = HeadLayout { heads, kv_heads: heads, head_dim: d };
        let spans: Vec<_> = (0..inputs).map(|i| Span::alone(i * len, len)).collect();
        let want = attend(&qkv, layout, &spans, false, None).unwrap();
        let error = (got.reshape((inputs * len, width)).unwrap() - want).unwrap().abs().unwrap();
        assert!(error.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-5);
    }
}
