//! The gradient of a linear map's weights as a sum of rank-one products: at every place what goes in, and the
//! loss's gradient of what comes out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{Tensor, Var};
use reasonedit_models::{Adaptation, DifferentiableSuffix, Projection};

use crate::error::{Result, TuningError};
use crate::feed_forward::MATRICES;
use crate::loss::cross_entropy;
use crate::prompt::Example;
use crate::weights::WeightPatch;

/// Of one matrix: its gradient is Σ δ uᵀ over the places.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    /// u, (places, inputs).
    pub(super) inputs: Tensor,
    /// δ, (places, outputs).
    pub(super) gradients: Tensor,
}

/// Adds a variable of zeros to what the edited projections put out: its gradient is theirs.
struct Probe<'a> {
    weights: &'a WeightPatch,
    layer: usize,
    seen: RefCell<BTreeMap<Projection, (Tensor, Var)>>,
}

impl Adaptation for Probe<'_> {
    fn weight(&self, layer: usize, projection: Projection) -> Option<&Tensor> {
        self.weights.weight(layer, projection)
    }

    fn projects(&self, layer: usize, projection: Projection) -> bool {
        layer == self.layer && MATRICES.contains(&projection)
    }

    fn projected(
        &self,
        _: usize,
        projection: Projection,
        input: &Tensor,
        output: Tensor,
        _: &[Range<usize>],
    ) -> reasonedit_models::NnResult<Tensor> {
        let zeros = Var::from_tensor(&output.zeros_like()?)?;
        let probed = (output + zeros.as_tensor())?;
        self.seen.borrow_mut().insert(projection, (input.detach(), zeros));
        Ok(probed)
    }
}

/// Factors of the gradient of a reply's mean cross-entropy, with `weights` in the place of the model's own.
///
/// # Errors
/// [`TuningError::NonFiniteLoss`]; those of the model.
pub(super) fn factors(
    suffix: &DifferentiableSuffix,
    example: &Example,
    weights: &WeightPatch,
) -> Result<BTreeMap<Projection, Factors>> {
    let probe = Probe { weights, layer: suffix.cut().layer(), seen: RefCell::default() };
    let loss = cross_entropy(suffix, &[example], &probe)?;
    if !loss.to_scalar::<f32>()?.is_finite() {
        return Err(TuningError::NonFiniteLoss { steps: 0 });
    }
    let mut gradients = loss.backward()?;
    let mut found = BTreeMap::new();
    for (projection, (inputs, output)) in probe.seen.into_inner() {
        let gradients = match gradients.remove(&output) {
            Some(gradient) => gradient.detach(),
            None => output.as_tensor().zeros_like()?,
        };
        found.insert(projection, Factors { inputs, gradients });
    }
    Ok(found)
}
