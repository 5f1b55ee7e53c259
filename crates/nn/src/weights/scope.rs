//! Names below a prefix, and the layers that are made of them.

use candle_core::{DType, Tensor};

use super::Weights;
use crate::blocks::linear::{Linear, Weight};
use crate::error::Result;
use crate::precision::{BlockType, Precision};

/// Values of a tied output matrix up to which it is stored a second time, in the order that small products
/// are fast with.
const COPY_HEAD_UP_TO: usize = 1 << 24;

/// Names below a prefix.
#[derive(Clone, Debug)]
pub struct Scope<'w> {
    weights: &'w Weights,
    prefix: String,
    /// Whether matrices are held in blocks, when that is asked for.
    quantisable: bool,
}

impl<'w> Scope<'w> {
    pub(super) fn new(weights: &'w Weights, prefix: String) -> Self {
        Self { weights, prefix, quantisable: false }
    }

    /// A deeper prefix.
    pub fn scope(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: self.full(name), ..self.clone() }
    }

    /// The same names, whose matrices are held in blocks when that is asked for.
    pub fn quantisable(&self) -> Self {
        Self { quantisable: true, ..self.clone() }
    }

    /// Type that is computed in.
    pub fn dtype(&self) -> DType {
        self.weights.dtype()
    }

    fn full(&self, name: impl std::fmt::Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// A tensor in the type that is computed in, on the wanted device.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.weights.tensor(&self.full(name), shape, self.weights.precision.computed)
    }

    /// A tensor's values as f32.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.weights.wide(&self.full(name), shape)
    }

    /// A table of rows that are looked up, perhaps in a narrower type than what is computed in; `tied`: it is
    /// the output matrix too.
    pub fn table(&self, name: &str, shape: &[usize], tied: bool) -> Result<Tensor> {
        let (weights, name) = (self.weights, self.full(name));
        let Precision { computed, held, blocks } = weights.precision;
        let mut dtype = held;
        if weights.device().is_cpu() && computed == DType::F32 && held == computed {
            // Rows are widened exactly when they are looked up. A product needs the whole table wide.
            if let Some(stored @ (DType::BF16 | DType::F16)) = weights.stored(&name)
                && (!tied || blocks.is_some())
            {
                dtype = stored;
            }
        }
        weights.tensor(&name, shape, dtype)
    }

    /// The output matrix that is the embedding table `name`, read as `table`.
    pub fn tied_head(&self, name: &str, table: &Tensor) -> Result<Linear> {
        let weights = self.weights;
        let (_, width) = table.dims2()?;
        let weight = if weights.is_names_only() {
            Weight::Dense(table.t()?)
        } else if let Some(kind) = weights.precision.blocks.and_then(|_| BlockType::Q8_0.of_width(width)) {
            weights.quantised(&[(self.full(name), table.dims().to_vec())], width, kind)?
        } else if table.dtype() != weights.precision.computed {
            Weight::Rows(table.clone())
        } else {
            match (weights.device().is_cpu(), table.elem_count() <= COPY_HEAD_UP_TO) {
                (true, true) => Weight::Dense(table.t()?.contiguous()?),
                (true, false) if table.dtype() == DType::F32 => Weight::Rows(table.clone()),
                _ => Weight::Dense(table.t()?),
            }
        };
        Ok(Linear::new(weight, None))
    }

    /// An output matrix of its own. Quantised models have it in 8 bits: it decides between neighbouring
    /// tokens.
    pub fn head(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        let blocks = self.weights.precision.blocks.map(|_| BlockType::Q8_0);
        let part = (self.full(format_args!("{name}.weight")), vec![outputs, inputs]);
        Ok(Linear::new(self.weights.matrix(&[part], inputs, blocks)?, None))
    }

    /// Linear layers over the same input, one behind the other in the output: (name, outputs) each.
    pub fn linear(&self, parts: &[(&str, usize)], inputs: usize, bias: bool) -> Result<Linear> {
        self.linear_shaped(parts, &[inputs], bias)
    }

    /// As [`Self::linear`], for a weight whose inputs have several dimensions (a convolution over whole
    /// patches).
    pub fn linear_shaped(&self, parts: &[(&str, usize)], inputs: &[usize], bias: bool) -> Result<Linear> {
        let weights = self.weights;
        let named: Vec<(String, Vec<usize>)> = parts
            .iter()
            .map(|(part, outputs)| {
                let shape = std::iter::once(*outputs).chain(inputs.iter().copied()).collect();
                (self.full(format_args!("{part}.weight")), shape)
            })
            .collect();
        let blocks = weights.precision.blocks.filter(|_| self.quantisable);
        let weight = weights.matrix(&named, inputs.iter().product(), blocks)?;
        if !bias {
            return Ok(Linear::new(weight, None));
        }
        let biases = parts
            .iter()
            .map(|(part, outputs)| self.tensor(&format!("{part}.bias"), &[*outputs]))
            .collect::<Result<Vec<_>>>()?;
        let bias = if weights.is_names_only() {
            weights.nothing(&[parts.iter().map(|p| p.1).sum()])?
        } else {
            Tensor::cat(&biases, 0)?
        };
        Ok(Linear::new(weight, Some(bias)))
    }
}
