//! Trained networks on disk: safetensors, with what they are of in the header.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LossCurves;
use crate::error::Result;
use crate::method::file;

/// Key of the origin in the header.
const ORIGIN: &str = "origin";
/// Key of the curves in the header.
const CURVES: &str = "curves";

/// What a network is of: another model's, or one that was trained on something else or otherwise, is not
/// read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkOrigin {
    /// The editor.
    pub editor: String,
    /// The fingerprint of the model that it edits.
    pub model: String,
    /// Names the training records and what is made of them.
    pub training: String,
    /// The settings of editor and training.
    pub settings: Value,
}

/// Writes a network, whole or not at all.
pub(crate) fn write_network(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    origin: &NetworkOrigin,
    curves: &LossCurves,
) -> Result<()> {
    let mut values: BTreeMap<&str, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, tensor) in tensors {
        let numbers: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        values.insert(name, (tensor.dims().to_vec(), bytes));
    }
    let mut views = BTreeMap::new();
    for (name, (shape, bytes)) in &values {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        views.insert(*name, view.map_err(|error| file(path, format!("{error:?}")))?);
    }
    let text = |error: serde_json::Error| file(path, error);
    let header = HashMap::from([
        (ORIGIN.to_owned(), serde_json::to_string(origin).map_err(text)?),
        (CURVES.to_owned(), serde_json::to_string(curves).map_err(text)?),
    ]);
    let bytes =
        safetensors::serialize(views, Some(header)).map_err(|error| file(path, format!("{error:?}")))?;
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes)
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|error| file(path, error))
}

/// Reads a network that is of `origin`, and its curves.
pub(crate) fn read_network(
    path: &Path,
    origin: &NetworkOrigin,
) -> Result<(BTreeMap<String, Tensor>, LossCurves)> {
    let bytes = std::fs::read(path).map_err(|error| file(path, error))?;
    let broken = |error: safetensors::SafeTensorError| file(path, format!("{error:?}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
    let header = header.metadata().clone().unwrap_or_default();
    let own: NetworkOrigin = header
        .get(ORIGIN)
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| file(path, "it does not say which model it is for"))?;
    if own.model != origin.model {
        let what = format!("it edits the model {}, this one is {}", own.model, origin.model);
        return Err(file(path, what));
    }
    if own != *origin {
        return Err(file(path, "it was trained for another editor, on other records or with other settings"));
    }
    let curves = header.get(CURVES).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(&bytes).map_err(broken)?.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(file(path, format!("{name} is {:?}, not F32", view.dtype())));
        }
        let numbers: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name.to_owned(), Tensor::from_vec(numbers, view.shape(), &Device::Cpu)?);
    }
    Ok((tensors, curves))
}
