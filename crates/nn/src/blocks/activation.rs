//! Activation functions named by checkpoints' `hidden_act`.

use candle_core::Tensor;

use super::{for_rows, is_fast, math, with_values};
use crate::error::{NnError, Result};

/// An element-wise activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU by the error function.
    Gelu,
    /// GELU by tanh.
    GeluTanh,
    /// x · σ(1.702·x).
    QuickGelu,
    /// x · σ(x).
    Silu,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// From `hidden_act`.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "gelu" | "gelu_python" => Ok(Self::Gelu),
            "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Ok(Self::GeluTanh),
            "quick_gelu" => Ok(Self::QuickGelu),
            "silu" | "swish" => Ok(Self::Silu),
            "relu" => Ok(Self::Relu),
            other => Err(NnError::load(
                "config.json",
                format!(
                    "hidden_act {other:?} is not known; known are gelu, gelu_pytorch_tanh, quick_gelu, silu, relu"
                ),
            )),
        }
    }

    /// Calls `f` with the scalar function, so that each one is compiled into its own vector loop.
    pub fn with_scalar<R>(self, f: impl ScalarUser<R>) -> R {
        match self {
            Self::Gelu => f.call(math::gelu_erf),
            Self::GeluTanh => f.call(math::gelu_tanh),
            Self::QuickGelu => f.call(|x: f32| math::silu(1.702 * x) / 1.702),
            Self::Silu => f.call(math::silu),
            Self::Relu => f.call(|x: f32| x.max(0.0)),
        }
    }

    /// On a tensor, by plain operations.
    pub fn plain(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::QuickGelu => (x * 1.702)?.silu()? / 1.702,
            Self::Silu => x.silu(),
            Self::Relu => x.relu(),
        }
    }

    /// f(gate) · up, where `x` is (rows, 2·width) with the gate in the first half of each row.
    pub fn gated(self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (rows, double) = x.dims2()?;
        let width = double / 2;
        if !is_fast(x) {
            let gate = self.plain(&x.narrow(1, 0, width)?.contiguous()?)?;
            return gate * x.narrow(1, width, width)?;
        }
        let out = with_values(x, |x| Ok(self.with_scalar(Gated(x, width, vec![0f32; rows * width]))))?;
        Tensor::from_vec(out, (rows, width), x.device())
    }
}

/// Two halves of every row, their width, and room for the result.
struct Gated<'x>(&'x [f32], usize, Vec<f32>);

impl ScalarUser<Vec<f32>> for Gated<'_> {
    fn call(self, f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
        let Self(x, width, mut out) = self;
        for_rows(&mut out, width, &|i, row: &mut [f32]| {
            let (gate, up) = x[2 * i * width..2 * (i + 1) * width].split_at(width);
            for ((y, gate), up) in row.iter_mut().zip(gate).zip(up) {
                *y = f(*gate) * up;
            }
        });
        out
    }
}

/// Something that needs a scalar function, generic over which one.
pub trait ScalarUser<R> {
    /// Uses it.
    fn call(self, f: impl Fn(f32) -> f32 + Sync) -> R;
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn gated_equals_plain_operations() {
        let all = [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Silu,
            Activation::Relu,
        ];
        for activation in all {
            let x = Tensor::randn(0f32, 2.0, (7, 38), &Device::Cpu).unwrap();
            let plain = (activation.plain(&x.narrow(1, 0, 19).unwrap()).unwrap()
                * x.narrow(1, 19, 19).unwrap())
            .unwrap();
            let fused = activation.gated(&x).unwrap();
            let error = (fused - plain).unwrap().abs().unwrap().max_all().unwrap();
            assert!(error.to_scalar::<f32>().unwrap() < 1e-5, "{activation:?}");
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(Activation::parse("mish").unwrap_err().to_string().contains("mish"));
    }
}
