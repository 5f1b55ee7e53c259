//! The last feed-forward of a model, tuned on a copy: what several methods train.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Var;
use reasonedit_models::{DifferentiableSuffix, Projection, VisionLanguageModel};

use crate::error::Result;
use crate::loss::cross_entropy;
use crate::minimise::{Schedule, minimise};
use crate::prompt::Example;
use crate::weights::{WeightPatch, last_feed_forward};

/// The three matrices of a feed-forward.
pub(crate) const MATRICES: [Projection; 3] = [Projection::Gate, Projection::Up, Projection::Down];

/// A model from its last feed-forward on.
///
/// # Errors
/// A model without gradients.
pub(crate) fn last_suffix(model: &dyn VisionLanguageModel) -> Result<DifferentiableSuffix> {
    Ok(model.differentiable(last_feed_forward(model)?)?)
}

/// Weights that [`WeightPatch::write`] wrote of the layer of the suffix's cut.
///
/// # Errors
/// [`crate::TuningError::File`] for a weight that is missing or of another shape.
pub(crate) fn read_weights(path: &Path, suffix: &DifferentiableSuffix) -> Result<WeightPatch> {
    let place = |matrix: Projection| {
        let (inputs, outputs) = suffix.shape(matrix);
        ((suffix.cut().layer(), matrix), (outputs, inputs))
    };
    WeightPatch::read(path, &MATRICES.into_iter().map(place).collect())
}

/// Copies of the model's own weights in the layer of the suffix's cut.
pub(crate) fn own_weights(suffix: &DifferentiableSuffix) -> Result<WeightPatch> {
    let layer = suffix.cut().layer();
    let copies = MATRICES.iter().map(|&matrix| Ok(((layer, matrix), suffix.weight(layer, matrix)?)));
    Ok(WeightPatch(copies.collect::<Result<_>>()?))
}

/// Weights that say an example's reply, trained from `begin`, which stays as it is.
pub(crate) fn trained(
    suffix: &DifferentiableSuffix,
    begin: &WeightPatch,
    example: &Example,
    schedule: &Schedule,
) -> Result<WeightPatch> {
    let variables: BTreeMap<(usize, Projection), Var> = begin
        .0
        .iter()
        .map(|(place, weight)| Ok((*place, Var::from_tensor(&weight.copy()?)?)))
        .collect::<Result<_>>()?;
    let of = |tensor: fn(&Var) -> candle_core::Tensor| {
        WeightPatch(variables.iter().map(|(place, variable)| (*place, tensor(variable))).collect())
    };
    let tracked = of(|variable| variable.as_tensor().clone());
    let all: Vec<Var> = variables.values().cloned().collect();
    minimise(&all, schedule, |_| cross_entropy(suffix, &[example], &tracked))?;
    Ok(of(Var::as_detached_tensor))
}
