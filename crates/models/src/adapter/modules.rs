//! Names of adapters' parameters: `base_model.model.` + the module's path + `.lora_A.weight`.

use reasonedit_nn::blocks::decoder::differentiable::Projection;

use crate::error::{ModelError, Result};

/// Where the language model lies in the modules of the architectures that are loaded, and below what names in
/// checkpoints: that of transformers 4.52 and later for most, of InstructBLIP and earlier releases, of text
/// models; without an output matrix; and a text model's own.
pub(super) const LANGUAGE: [&str; 5] =
    ["model.language_model", "language_model.model", "model", "language_model", ""];

/// What PEFT puts before every path.
pub(super) const ROOT: &str = "base_model.model.";

/// The factors' names, in the order of [`Parameter::factor`].
pub(super) const FACTORS: [&str; 2] = [".lora_A.weight", ".lora_B.weight"];

/// A parameter of an adapter.
pub(super) struct Parameter {
    /// As the file has it.
    pub(super) name: String,
    /// Path of the adapted module, by which patterns of ranks know it.
    pub(super) module: String,
    pub(super) layer: usize,
    pub(super) projection: Projection,
    /// 0 for `lora_A`, 1 for `lora_B`.
    pub(super) factor: usize,
}

/// What the names of a file stand for.
///
/// # Errors
/// [`ModelError::load`] for the first that is neither factor of a projection of the language model.
pub(super) fn parameters<'n>(names: impl Iterator<Item = &'n str>) -> Result<Vec<Parameter>> {
    names.map(|name| parameter(name).ok_or_else(|| refusal(name))).collect()
}

fn parameter(name: &str) -> Option<Parameter> {
    let path = name.strip_prefix(ROOT)?;
    let (factor, module) =
        FACTORS.iter().enumerate().find_map(|(factor, ending)| Some((factor, path.strip_suffix(ending)?)))?;
    let (prefix, place) = match module.rsplit_once(".layers.") {
        Some(parts) => parts,
        None => ("", module.strip_prefix("layers.")?),
    };
    let (layer, rest) = place.split_once('.')?;
    let projection = Projection::ALL.into_iter().find(|projection| projection.name() == rest)?;
    LANGUAGE.contains(&prefix).then_some(())?;
    let layer = layer.parse().ok()?;
    Some(Parameter { name: name.to_owned(), module: module.to_owned(), layer, projection, factor })
}

fn refusal(name: &str) -> ModelError {
    let known: Vec<&str> = Projection::ALL.into_iter().map(Projection::name).collect();
    let reason = if name.contains("lora_magnitude_vector") {
        "magnitudes (DoRA) are not computed here".to_owned()
    } else {
        format!(
            "it is not a lora_A or lora_B weight of the language model's layers ({}); what else was trained \
             can't be loaded here",
            known.join(", ")
        )
    };
    ModelError::load(name, reason)
}
