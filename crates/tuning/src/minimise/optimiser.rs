//! What a step does to a variable.
//!
//! candle-nn's AdamW makes a dozen tensors of a variable's size in each step, which takes longer than all the
//! rest of it where a reply has few rows; on the CPU this is the same in one pass over the values. Elsewhere
//! it is made of tensor operations.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::error::Result;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// By what rule weights follow their gradient.
///
/// Among settings, which are numbers, it is 0 or 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Optimiser {
    /// 0: AdamW (Loshchilov and Hutter 2019) without decay.
    #[default]
    Adam,
    /// 1: the gradient times the learning rate.
    Sgd,
}

impl TryFrom<u8> for Optimiser {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Adam),
            1 => Ok(Self::Sgd),
            _ => Err(format!("there is no optimiser {number}: 0 is Adam, 1 plain gradient descent")),
        }
    }
}

impl From<Optimiser> for u8 {
    fn from(optimiser: Optimiser) -> Self {
        match optimiser {
            Optimiser::Adam => 0,
            Optimiser::Sgd => 1,
        }
    }
}

/// A variable with what its training remembers.
pub(crate) struct Stepped {
    variable: Var,
    rule: Rule,
}

/// One of which values are remembered, too.
pub(super) struct Trained {
    own: Stepped,
    /// What it was at first, and at the least loss.
    begin: Tensor,
    kept: Tensor,
}

enum Rule {
    Sgd,
    /// First and second moments, value by value.
    AdamOfValues(Vec<f32>, Vec<f32>),
    AdamOfTensors(Tensor, Tensor),
}

impl Stepped {
    pub(crate) fn new(variable: &Var, optimiser: Optimiser) -> Result<Self> {
        let tensor = variable.as_tensor();
        let by_value = tensor.device().is_cpu() && tensor.dtype() == DType::F32 && tensor.is_contiguous();
        let rule = match optimiser {
            Optimiser::Sgd => Rule::Sgd,
            Optimiser::Adam if by_value => {
                let zeros = vec![0.0; tensor.elem_count()];
                Rule::AdamOfValues(zeros.clone(), zeros)
            }
            Optimiser::Adam => {
                let zeros = Tensor::zeros(tensor.shape(), tensor.dtype(), tensor.device())?;
                Rule::AdamOfTensors(zeros.clone(), zeros)
            }
        };
        Ok(Self { variable: variable.clone(), rule })
    }

    #[cfg(test)]
    pub(super) fn value(&self) -> &Tensor {
        self.variable.as_tensor()
    }

    /// What it is trained by among all gradients.
    pub(crate) fn variable(&self) -> &Var {
        &self.variable
    }

    /// Makes a step, the `number`th, from 1.
    pub(crate) fn step(&mut self, gradient: &Tensor, rate: f64, number: usize) -> Result<()> {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let (scale_1, scale_2) = (1.0 / (1.0 - BETA_1.powi(number)), 1.0 / (1.0 - BETA_2.powi(number)));
        match &mut self.rule {
            Rule::Sgd => {
                let next = (self.variable.as_detached_tensor() - (gradient * rate)?)?;
                self.variable.set(&next)?;
            }
            Rule::AdamOfValues(first, second) => {
                let moments = RefCell::new((first, second));
                let step = AdamStep { moments, rate: (rate * scale_1) as f32, scale_2: scale_2 as f32 };
                self.variable.inplace_op2(&gradient.force_contiguous()?, &step)?;
            }
            Rule::AdamOfTensors(first, second) => {
                *first = ((&*first * BETA_1)? + (gradient * (1.0 - BETA_1))?)?;
                *second = ((&*second * BETA_2)? + (gradient.sqr()? * (1.0 - BETA_2))?)?;
                let root = ((&*second * scale_2)?.sqrt()? + EPSILON)?;
                let change = ((&*first * (rate * scale_1))? / root)?;
                self.variable.set(&(self.variable.as_detached_tensor() - change)?)?;
            }
        }
        Ok(())
    }
}

impl Trained {
    pub(super) fn new(variable: &Var, optimiser: Optimiser) -> Result<Self> {
        let begin = variable.as_detached_tensor().copy()?;
        Ok(Self { own: Stepped::new(variable, optimiser)?, kept: begin.clone(), begin })
    }

    /// Remembers what it is now for [`Self::put_back`].
    pub(super) fn keep(&mut self) -> Result<()> {
        self.kept = self.own.variable.as_detached_tensor().copy()?;
        Ok(())
    }

    pub(super) fn put_back(&self) -> Result<()> {
        Ok(self.own.variable.set(&self.kept)?)
    }

    pub(super) fn begin_again(&self) -> Result<()> {
        Ok(self.own.variable.set(&self.begin)?)
    }

    /// See [`Stepped::step`].
    pub(super) fn step(&mut self, gradient: &Tensor, rate: f64, number: usize) -> Result<()> {
        self.own.step(gradient, rate, number)
    }
}

struct AdamStep<'m> {
    moments: RefCell<(&'m mut Vec<f32>, &'m mut Vec<f32>)>,
    /// The learning rate over the first moment's bias.
    rate: f32,
    /// One over the second moment's.
    scale_2: f32,
}

impl InplaceOp2 for AdamStep<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(values), CpuStorage::F32(gradient)) = (variable, gradient) else {
            candle_core::bail!("not f32")
        };
        let (Some((from, to)), Some((gradient_from, gradient_to))) =
            (layout.contiguous_offsets(), gradient_layout.contiguous_offsets())
        else {
            candle_core::bail!("not contiguous")
        };
        let mut moments = self.moments.borrow_mut();
        let (first, second) = &mut *moments;
        let (values, gradient) = (&mut values[from..to], &gradient[gradient_from..gradient_to]);
        if values.len() != gradient.len() || values.len() != first.len() {
            candle_core::bail!("a gradient of {} values for {}", gradient.len(), values.len());
        }
        let (keep_1, take_1) = (BETA_1 as f32, (1.0 - BETA_1) as f32);
        let (keep_2, take_2) = (BETA_2 as f32, (1.0 - BETA_2) as f32);
        let (rate, scale_2, epsilon) = (self.rate, self.scale_2, EPSILON as f32);
        for (((value, g), m), v) in
            values.iter_mut().zip(gradient).zip(first.iter_mut()).zip(second.iter_mut())
        {
            *m = keep_1 * *m + take_1 * g;
            *v = keep_2 * *v + take_2 * g * g;
            *value -= rate * *m / ((*v * scale_2).sqrt() + epsilon);
        }
        Ok(())
    }
}
