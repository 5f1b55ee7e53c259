//! Gradient descent as all editors here use it.

use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TuningError};

/// How long and how fast weights are trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps at most.
    pub steps: usize,
    /// Learning rate of the first step; it falls to 0 by half a cosine.
    pub rate: f64,
    /// Steps without a better loss after which no more are made.
    pub patience: usize,
    /// A loss (nats a token) below which no more are made.
    pub good_enough: f64,
}

impl Schedule {
    /// The learning rate of a step, from 0.
    pub fn rate_at(&self, step: usize) -> f64 {
        let share = step as f64 / self.steps.max(1) as f64;
        self.rate * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minimised {
    /// Steps that were made.
    pub steps: usize,
    /// The first loss and the least.
    pub first: f64,
    /// The loss of the weights that are left.
    pub best: f64,
}

/// Trains `variables` by AdamW (Loshchilov and Hutter 2019) without decay; at the end they are what they were
/// at the least loss. `loss` is told the step.
///
/// # Errors
/// [`TuningError::NonFiniteLoss`], with the variables as they were at the beginning; those of `loss`.
pub fn minimise(
    variables: &[Var],
    schedule: &Schedule,
    mut loss: impl FnMut(usize) -> Result<Tensor>,
) -> Result<Minimised> {
    let parameters = ParamsAdamW { lr: schedule.rate, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimiser = AdamW::new(variables.to_vec(), parameters)?;
    let copies = || variables.iter().map(|v| v.as_tensor().copy()).collect::<candle_core::Result<Vec<_>>>();
    let begin = copies()?;
    let mut kept = begin.clone();
    let mut outcome = Minimised { steps: 0, first: f64::NAN, best: f64::INFINITY };
    let mut since_best = 0;
    for step in 0..=schedule.steps {
        let now = loss(step)?;
        let value = f64::from(now.to_scalar::<f32>()?);
        if !value.is_finite() {
            put_back(variables, &begin)?;
            return Err(TuningError::NonFiniteLoss { steps: step });
        }
        if step == 0 {
            outcome.first = value;
        }
        if value < outcome.best {
            outcome.best = value;
            since_best = 0;
            kept = copies()?;
        } else {
            since_best += 1;
        }
        if value < schedule.good_enough || since_best > schedule.patience || step == schedule.steps {
            break;
        }
        optimiser.set_learning_rate(schedule.rate_at(step));
        optimiser.backward_step(&now)?;
        outcome.steps = step + 1;
    }
    put_back(variables, &kept)?;
    Ok(outcome)
}

fn put_back(variables: &[Var], values: &[Tensor]) -> candle_core::Result<()> {
    variables.iter().zip(values).try_for_each(|(variable, value)| variable.set(value))
}
