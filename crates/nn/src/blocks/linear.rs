//! Linear layers.

use candle_core::{DType, Device, Tensor};

use super::activation::{Activation, ScalarUser};
use super::product::{RowKind, product};
use super::quantised::QuantisedRows;
use super::{gemv, is_fast, rows, rows_in_place, with_values};

/// How a weight matrix is held.
#[derive(Debug)]
pub enum Weight {
    /// (inputs, outputs), in the type that is computed in. On the CPU in this order in memory, which small
    /// products are several times faster with; elsewhere a view of the checkpoint's (outputs, inputs).
    Dense(Tensor),
    /// (outputs, inputs) on the CPU: in half precision, computed with in f32, or a large table that has
    /// another use too.
    Rows(Tensor),
    /// In blocks of few bits.
    Quantised(QuantisedRows),
}

impl Weight {
    /// x·Wᵀ for x of shape (rows, inputs).
    fn apply(&self, x: &Tensor, kind: RowKind) -> candle_core::Result<Tensor> {
        match self {
            Self::Dense(weight) if kind == RowKind::Step && is_fast(x) && is_fast(weight) => {
                let (rows, inputs) = x.dims2()?;
                let y = with_values(x, |x| {
                    with_values(weight, |weight| Ok(gemv::by_columns(x, inputs, weight)))
                })?;
                Tensor::from_vec(y, (rows, weight.dim(1)?), x.device())
            }
            Self::Dense(weight) => product(x, weight),
            Self::Rows(weight) => rows::matmul(x, weight, kind),
            Self::Quantised(weight) => weight.forward(x, kind),
        }
    }
}

impl From<Tensor> for Weight {
    /// (inputs, outputs).
    fn from(weight: Tensor) -> Self {
        Self::Dense(weight)
    }
}

/// y = x·Wᵀ + b.
#[derive(Debug)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

impl Linear {
    /// `bias` is (outputs).
    pub fn new(weight: impl Into<Weight>, bias: Option<Tensor>) -> Self {
        Self { weight: weight.into(), bias }
    }

    /// The bias, (outputs).
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// A copy of the weights, (outputs, inputs), f32.
    ///
    /// # Errors
    /// Those of the device.
    pub fn matrix(&self) -> candle_core::Result<Tensor> {
        match &self.weight {
            Weight::Dense(weight) => weight.t()?.to_dtype(DType::F32)?.force_contiguous(),
            Weight::Rows(weight) => weight.to_dtype(DType::F32)?.force_contiguous(),
            Weight::Quantised(weight) => weight.dequantised(&Device::Cpu),
        }
    }

    /// x of shape (rows, inputs) to (rows, outputs).
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.forward_as(x, RowKind::Prompt)
    }

    /// The same for rows of this kind.
    pub fn forward_as(&self, x: &Tensor, kind: RowKind) -> candle_core::Result<Tensor> {
        let y = self.weight.apply(x, kind)?;
        let Some(bias) = &self.bias else { return Ok(y) };
        if !is_fast(&y) {
            return y.broadcast_add(bias);
        }
        let width = y.dim(1)?;
        with_values(bias, |bias| {
            rows_in_place(&y, width, |_, row| {
                for (y, b) in row.iter_mut().zip(bias) {
                    *y += b;
                }
            })
        })?;
        Ok(y)
    }

    /// The activation of [`Self::forward`].
    pub fn forward_activated(&self, x: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
        struct BiasThen<'t>(&'t Tensor, &'t Tensor);
        impl ScalarUser<candle_core::Result<()>> for BiasThen<'_> {
            fn call(self, f: impl Fn(f32) -> f32 + Sync) -> candle_core::Result<()> {
                with_values(self.1, |bias| {
                    rows_in_place(self.0, bias.len(), |_, row| {
                        for (y, b) in row.iter_mut().zip(bias) {
                            *y = f(*y + b);
                        }
                    })
                })
            }
        }
        match &self.bias {
            Some(bias) if is_fast(x) => {
                let y = self.weight.apply(x, RowKind::Prompt)?;
                activation.with_scalar(BiasThen(&y, bias))?;
                Ok(y)
            }
            _ => activation.plain(&self.forward(x)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// A matrix held in each way, for every kind of rows: a row has the same bits alone, among some and
        /// among many.
        #[test]
        fn a_row_is_the_same_whatever_stands_beside_it(
            rows in 1usize..90, inputs in 3usize..700, outputs in 65usize..300, at in 0usize..90, with in 0usize..12,
            step in any::<bool>(), held in 0usize..3,
        ) {
            let device = Device::Cpu;
            let x = Tensor::randn(0f32, 1.0, (rows, inputs), &device).unwrap();
            let weight = Tensor::randn(0f32, 1.0, (outputs, inputs), &device).unwrap();
            let weight = match held {
                0 => Weight::Dense(weight.t().unwrap().contiguous().unwrap()),
                1 => Weight::Rows(weight),
                _ => Weight::Rows(weight.to_dtype(candle_core::DType::BF16).unwrap()),
            };
            let linear = Linear::new(weight, None);
            let kind = if step { RowKind::Step } else { RowKind::Prompt };
            let all = linear.forward_as(&x, kind).unwrap();
            let at = at % rows;
            let count = (with + 1).min(rows - at);
            let some = linear.forward_as(&x.narrow(0, at, count).unwrap(), kind).unwrap();
            let bits = |y: &Tensor, row: usize| -> Vec<u32> {
                y.get(row).unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
            };
            for row in 0..count {
                prop_assert_eq!(bits(&some, row), bits(&all, at + row));
            }
        }
    }

    #[test]
    fn bias_and_activation_equal_plain_operations() {
        let device = Device::Cpu;
        let x = Tensor::randn(0f32, 1.0, (5, 8), &device).unwrap();
        let w = Tensor::randn(0f32, 1.0, (8, 21), &device).unwrap();
        let b = Tensor::randn(0f32, 1.0, 21, &device).unwrap();
        let linear = Linear::new(w.clone(), Some(b.clone()));
        let plain = x.matmul(&w).unwrap().broadcast_add(&b).unwrap();
        let error = |a: Tensor, b: &Tensor| {
            (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
        };
        assert!(error(linear.forward(&x).unwrap(), &plain) < 1e-6);
        let activated = linear.forward_activated(&x, Activation::Gelu).unwrap();
        assert!(error(activated, &plain.gelu_erf().unwrap()) < 1e-5);
    }
}
