//! The loss that replies are trained by.

use candle_core::{D, Tensor};
use reasonedit_models::{Adaptation, DifferentiableSuffix, HiddenStates};

use crate::error::Result;
use crate::prompt::Example;

/// Mean cross-entropy (nats) of the tokens of all examples' replies, a scalar.
///
/// # Errors
/// Those of the model; examples of another cut.
pub fn cross_entropy(
    suffix: &DifferentiableSuffix,
    examples: &[&Example],
    adaptation: &dyn Adaptation,
) -> Result<Tensor> {
    let states: Vec<&HiddenStates> = examples.iter().map(|example| &example.states).collect();
    let logits = suffix.logits(&states, adaptation)?;
    let targets: Vec<u32> = examples.iter().flat_map(|example| example.targets.iter().copied()).collect();
    let chosen = log_probabilities(&logits, &targets)?;
    Ok(chosen.mean_all()?.neg()?)
}

/// ln softmax(row)\[target\] of every row, (rows, 1).
pub(crate) fn log_probabilities(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let targets = Tensor::from_slice(targets, (targets.len(), 1), logits.device())?;
    Ok(candle_nn::ops::log_softmax(logits, D::Minus1)?.gather(&targets, 1)?)
}
