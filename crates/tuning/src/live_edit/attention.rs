//! Attention of a few learned vectors to rows of hidden states, with gradients.

use candle_core::{D, Tensor};

use crate::error::Result;
use crate::training_case::{Init, ParameterStore};

/// y = x Wᵀ + b over the last dimension.
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    fn new(store: &mut ParameterStore, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let init = Init::Uniform((inputs as f64).powf(-0.5));
        Ok(Self {
            weight: store.tensor(&format!("{name}.weight"), &[outputs, inputs], init)?,
            bias: store.tensor(&format!("{name}.bias"), &[outputs], init)?,
        })
    }

    /// (batch, rows, inputs) to (batch, rows, outputs).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, rows, inputs) = x.dims3()?;
        let y = x.reshape((batch * rows, inputs))?.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?;
        Ok(y.reshape((batch, rows, self.weight.dim(0)?))?)
    }
}

/// Layer norm with gradients; candle's own fused one has none.
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    pub(super) fn new(store: &mut ParameterStore, name: &str, width: usize) -> Result<Self> {
        Ok(Self {
            weight: store.tensor(&format!("{name}.weight"), &[width], Init::Constant(1.0))?,
            bias: store.tensor(&format!("{name}.bias"), &[width], Init::Constant(0.0))?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(candle_nn::ops::layer_norm_slow(x, &self.weight, &self.bias, 1e-5)?)
    }
}

/// Rows of several sequences, one behind the other and filled up to the longest.
#[derive(Clone)]
pub(super) struct Padded {
    /// (sequences, rows, width).
    pub(super) rows: Tensor,
    /// Added to scores: 0, or far below 0 where a row fills up; (sequences, 1, 1, rows). None: all are whole.
    mask: Option<Tensor>,
}

impl Padded {
    pub(super) fn new(sequences: &[Tensor]) -> Result<Self> {
        const FAR: f32 = -1e9;
        let lengths = sequences.iter().map(|own| own.dim(0)).collect::<candle_core::Result<Vec<_>>>()?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let filled = sequences.iter().zip(&lengths).map(|(own, len)| own.pad_with_zeros(0, 0, longest - len));
        let rows = Tensor::stack(&filled.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let mask = if lengths.iter().all(|len| *len == longest) {
            None
        } else {
            let of =
                |len: &usize| (0..longest).map(|at| if at < *len { 0.0 } else { FAR }).collect::<Vec<_>>();
            let values: Vec<f32> = lengths.iter().flat_map(of).collect();
            Some(Tensor::from_vec(values, (lengths.len(), 1, 1, longest), rows.device())?)
        };
        Ok(Self { rows, mask })
    }

    /// One row set for all of `sequences`.
    pub(super) fn repeated(rows: &Tensor, sequences: usize) -> Result<Self> {
        let (_, len, width) = rows.dims3()?;
        Ok(Self { rows: rows.broadcast_as((sequences, len, width))?.contiguous()?, mask: None })
    }

    pub(super) fn normalised(&self, norm: &Norm) -> Result<Self> {
        Ok(Self { rows: norm.forward(&self.rows)?, mask: self.mask.clone() })
    }
}

/// Attention by heads.
pub(super) struct Attention {
    query: Affine,
    key: Affine,
    value: Affine,
    heads: usize,
}

impl Attention {
    /// Of rows of a width of `asking` to rows of a width of `asked`; `module` is the width of keys, `outputs`
    /// that of values.
    pub(super) fn new(
        store: &mut ParameterStore,
        name: &str,
        (asking, asked): (usize, usize),
        (module, outputs): (usize, usize),
        heads: usize,
    ) -> Result<Self> {
        Ok(Self {
            query: Affine::new(store, &format!("{name}.query"), asking, module)?,
            key: Affine::new(store, &format!("{name}.key"), asked, module)?,
            value: Affine::new(store, &format!("{name}.value"), asked, outputs)?,
            heads,
        })
    }

    /// (1 or sequences, queries, asking) to (sequences, queries, outputs).
    pub(super) fn forward(&self, asking: &Tensor, asked: &Padded) -> Result<Tensor> {
        let (sequences, _, _) = asked.rows.dims3()?;
        let (asking, key) = (self.query.forward(asking)?, self.key.forward(&asked.rows)?);
        let value = self.value.forward(&asked.rows)?;
        let (one, queries, module) = asking.dims3()?;
        let asking =
            if one == sequences { asking } else { asking.broadcast_as((sequences, queries, module))? };
        let split = |x: &Tensor| -> Result<Tensor> {
            let (batch, rows, width) = x.dims3()?;
            let heads = x.contiguous()?.reshape((batch, rows, self.heads, width / self.heads))?;
            Ok(heads.transpose(1, 2)?.contiguous()?)
        };
        let (asking, key, value) = (split(&asking)?, split(&key)?, split(&value)?);
        let scale = ((module / self.heads) as f64).powf(-0.5);
        let mut scores = (asking.matmul(&key.t()?.contiguous()?)? * scale)?;
        if let Some(mask) = &asked.mask {
            scores = scores.broadcast_add(mask)?;
        }
        let mixed = softmax(&scores)?.matmul(&value)?;
        let outputs = mixed.dim(D::Minus1)? * self.heads;
        Ok(mixed.transpose(1, 2)?.contiguous()?.reshape((sequences, queries, outputs))?)
    }
}

/// Softmax over the last dimension, with gradients.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    // The greatest is constant: softmax does not depend on it.
    let top = x.detach().max_keepdim(D::Minus1)?;
    let exp = x.broadcast_sub(&top)?.exp()?;
    Ok(exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?)
}
