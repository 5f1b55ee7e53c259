//! Gradient descent as all editors here use it.

mod optimiser;
#[cfg(test)]
mod tests;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

pub use self::optimiser::Optimiser;
pub(crate) use self::optimiser::Stepped;
use self::optimiser::Trained;
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
    /// The first loss.
    pub first: f64,
    /// The loss of the weights that are left, the least.
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
    descend(variables, schedule, Optimiser::Adam, |step| {
        let loss = loss(step)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        let gradients = move || {
            let mut all: GradStore = loss.backward()?;
            Ok(variables.iter().map(|variable| all.remove(variable)).collect())
        };
        Ok((value, gradients))
    })
}

/// As [`minimise`], of a loss whose gradients by the variables `evaluate` says itself; they are asked for
/// where another step is made.
pub(crate) fn descend<G: FnOnce() -> Result<Vec<Option<Tensor>>>>(
    variables: &[Var],
    schedule: &Schedule,
    optimiser: Optimiser,
    mut evaluate: impl FnMut(usize) -> Result<(f64, G)>,
) -> Result<Minimised> {
    let mut trained: Vec<Trained> =
        variables.iter().map(|variable| Trained::new(variable, optimiser)).collect::<Result<_>>()?;
    let mut outcome = Minimised { steps: 0, first: f64::NAN, best: f64::INFINITY };
    let mut since_best = 0;
    for step in 0..=schedule.steps {
        let (value, gradients) = evaluate(step)?;
        if !value.is_finite() {
            trained.iter().try_for_each(Trained::begin_again)?;
            return Err(TuningError::NonFiniteLoss { steps: step });
        }
        if step == 0 {
            outcome.first = value;
        }
        let better = value < outcome.best;
        if better {
            outcome.best = value;
            since_best = 0;
        } else {
            since_best += 1;
        }
        if value < schedule.good_enough || since_best > schedule.patience || step == schedule.steps {
            if !better {
                trained.iter().try_for_each(Trained::put_back)?;
            }
            break;
        }
        let rate = schedule.rate_at(step);
        for (variable, gradient) in trained.iter_mut().zip(gradients()?) {
            if better {
                variable.keep()?;
            }
            if let Some(gradient) = gradient {
                variable.step(&gradient, rate, step + 1)?;
            }
        }
        outcome.steps = step + 1;
    }
    Ok(outcome)
}
