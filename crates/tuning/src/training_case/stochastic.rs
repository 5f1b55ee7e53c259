//! Training of a network on one small batch after another.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TuningError};
use crate::minimise::{Optimiser, Schedule, Stepped};

/// Is told how many of how many steps are done.
pub type TrainingProgress<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

/// Points of a loss curve.
const POINTS: usize = 100;

/// Mean losses of stretches of a training, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossCurves {
    /// Steps that a point is the mean of.
    pub stretch: usize,
    /// One value for each stretch.
    pub curves: BTreeMap<String, Vec<f64>>,
}

impl LossCurves {
    /// The last point of a curve.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.curves.get(name)?.last().copied()
    }
}

/// Variables with the learning rate that they begin with.
pub(crate) struct Group {
    pub(crate) variables: Vec<Var>,
    pub(crate) rate: f64,
}

/// Losses of a step by name; the first is what is minimised.
pub(crate) type StepLosses = Vec<(&'static str, Tensor)>;

/// Adam without decay (AdamW's of Loshchilov and Hutter 2019), rates falling to 0 by half a cosine, gradients
/// cut to a length of `longest`. `losses` are told the step.
///
/// # Errors
/// [`TuningError::NonFiniteLoss`]; those of `losses`.
pub(crate) fn optimise(
    groups: &[Group],
    steps: usize,
    longest: f64,
    progress: TrainingProgress<'_>,
    mut losses: impl FnMut(usize) -> Result<StepLosses>,
) -> Result<LossCurves> {
    let mut trained: Vec<(Stepped, f64)> = Vec::new();
    for Group { variables, rate } in groups {
        for variable in variables {
            trained.push((Stepped::new(variable, Optimiser::Adam)?, *rate));
        }
    }
    let stretch = steps.div_ceil(POINTS).max(1);
    let mut curves: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
    for step in 0..steps {
        progress(step, steps);
        let losses = losses(step)?;
        let Some((_, loss)) = losses.first() else { break };
        for (name, loss) in &losses {
            *sums.entry(name).or_default() += f64::from(loss.to_scalar::<f32>()?);
        }
        if !loss.to_scalar::<f32>()?.is_finite() {
            return Err(TuningError::NonFiniteLoss { steps: step });
        }
        let mut gradients = loss.backward()?;
        let mut square = 0f64;
        for (own, _) in &trained {
            if let Some(gradient) = gradients.get(own.variable()) {
                square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        if !square.is_finite() {
            return Err(TuningError::NonFiniteLoss { steps: step });
        }
        let shorter = longest / square.sqrt();
        for (own, rate) in &mut trained {
            let Some(mut gradient) = gradients.remove(own.variable()) else { continue };
            if shorter < 1.0 {
                gradient = (gradient * shorter)?;
            }
            let schedule = Schedule { steps, rate: *rate, patience: usize::MAX, good_enough: 0.0 };
            own.step(&gradient, schedule.rate_at(step), step + 1)?;
        }
        if (step + 1).is_multiple_of(stretch) || step + 1 == steps {
            let count = step % stretch + 1;
            for (name, sum) in std::mem::take(&mut sums) {
                curves.entry(name.to_owned()).or_default().push(sum / count as f64);
            }
        }
    }
    progress(steps, steps);
    Ok(LossCurves { stretch, curves })
}
