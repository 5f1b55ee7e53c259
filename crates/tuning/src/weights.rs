//! Weights in the place of a model's own.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use reasonedit_models::{Adaptation, Cut, Projection, VisionLanguageModel};

use crate::error::Result;
use crate::method::file;

/// Weights that stand in the place of a model's own, by layer and projection.
#[derive(Clone, Debug, Default)]
pub struct WeightPatch(pub BTreeMap<(usize, Projection), Tensor>);

impl WeightPatch {
    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        let of = |tensor: &Tensor| tensor.elem_count() as u64 * tensor.dtype().size_in_bytes() as u64;
        self.0.values().map(of).sum()
    }

    /// Writes them as safetensors, named as in checkpoints (`layers.5.mlp.down_proj.weight`).
    ///
    /// # Errors
    /// [`crate::TuningError::File`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let named: HashMap<String, Tensor> =
            self.0.iter().map(|((layer, projection), t)| (name(*layer, *projection), t.clone())).collect();
        candle_core::safetensors::save(&named, path).map_err(|error| file(path, error))
    }

    /// Reads what [`Self::write`] wrote: as many weights as there are `places`, of the same shapes.
    ///
    /// # Errors
    /// [`crate::TuningError::File`] for a weight that is missing or of another shape.
    pub fn read(path: &Path, places: &BTreeMap<(usize, Projection), (usize, usize)>) -> Result<Self> {
        let mut named =
            candle_core::safetensors::load(path, &Device::Cpu).map_err(|error| file(path, error))?;
        let mut found = BTreeMap::new();
        for ((layer, projection), shape) in places {
            let name = name(*layer, *projection);
            let tensor = named.remove(&name).ok_or_else(|| file(path, format!("{name} is missing")))?;
            if tensor.dims2().ok() != Some(*shape) {
                return Err(file(path, format!("{name} is {:?}, not {shape:?}", tensor.dims())));
            }
            found.insert((*layer, *projection), tensor);
        }
        Ok(Self(found))
    }
}

fn name(layer: usize, projection: Projection) -> String {
    format!("layers.{layer}.{}.weight", projection.name())
}

impl Adaptation for WeightPatch {
    fn weight(&self, layer: usize, projection: Projection) -> Option<&Tensor> {
        self.0.get(&(layer, projection))
    }

    fn is_row_wise(&self) -> bool {
        true
    }
}

/// The cut before the last feed-forward of a model: what most editors of weights change (paper, appendix
/// D.3).
///
/// # Errors
/// A model without gradients.
pub fn last_feed_forward(model: &dyn VisionLanguageModel) -> Result<Cut> {
    Ok(Cut::FeedForward(model.differentiable(Cut::Layer(0))?.layers() - 1))
}
