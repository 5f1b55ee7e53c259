//! Adapters to files.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::path::Path;

use candle_core::DType;
use reasonedit_nn::blocks::decoder::differentiable::Projection;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use super::files::{CONFIG, FINGERPRINT, WEIGHTS};
use super::modules::{FACTORS, ROOT};
use super::{LowRankAdapter, LowRankFactors, below};
use crate::architectures::ARCHITECTURES;
use crate::error::{ModelError, Result};
use crate::model::ModelInfo;

impl LowRankAdapter {
    /// Writes the adapter of a model into a folder as PEFT does, its modules by the names that transformers
    /// from 4.52 on has for them. `notes` go into the header of the weights, beside the model's fingerprint,
    /// which is compared when the adapter is loaded.
    ///
    /// # Errors
    /// [`ModelError::read`] for a folder that can't be written to; [`ModelError::unsupported`] for an adapter
    /// without factors; [`ModelError::load`] for factors that are no numbers.
    pub fn write(&self, folder: &Path, base: &ModelInfo, notes: &[(&str, String)]) -> Result<()> {
        let path = |(layer, projection): (usize, Projection)| module_path(base, layer, projection);
        let mut stored: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
        for (place, LowRankFactors { a, b, .. }) in &self.0 {
            for (factor, ending) in [a, b].into_iter().zip(FACTORS) {
                let name = format!("{ROOT}{}{ending}", path(*place));
                let values: Vec<f32> = factor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(ModelError::load(name, "its values are no numbers any more"));
                }
                let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
                stored.insert(name, (factor.dims().to_vec(), bytes));
            }
        }
        let broken = |what: &'static str| {
            move |error: &dyn Display| ModelError::load(what, format!("it can't be made: {error}"))
        };
        let tensors = stored
            .iter()
            .map(|(name, (shape, bytes))| {
                Ok((
                    name,
                    TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| broken(WEIGHTS)(&e))?,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let config = self.config(base)?;
        // PEFT's own files say that they are PyTorch's.
        let mut header: HashMap<String, String> =
            notes.iter().map(|(name, note)| ((*name).to_owned(), note.clone())).collect();
        header.insert("format".into(), "pt".into());
        header.insert(FINGERPRINT.into(), base.fingerprint.clone());
        let bytes = safetensors::serialize(tensors, Some(header)).map_err(|e| broken(WEIGHTS)(&e))?;
        let mut text = serde_json::to_string_pretty(&config).map_err(|e| broken(CONFIG)(&e))?;
        text.push('\n');
        for (file, bytes) in [(CONFIG, text.as_bytes()), (WEIGHTS, &bytes)] {
            let path = folder.join(file);
            std::fs::write(&path, bytes).map_err(|source| ModelError::read(path, source))?;
        }
        Ok(())
    }

    /// The settings: rank and α of the first module, and what is different in others.
    fn config(&self, base: &ModelInfo) -> Result<Value> {
        let number = |value: f64| {
            // As PEFT has them where they are whole.
            if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
        };
        let alpha = |factors: &LowRankFactors| factors.scale * factors.rank() as f64;
        let first = self.0.values().next();
        let first = first.ok_or_else(|| ModelError::unsupported("an adapter without factors"))?;
        let (mut targets, mut ranks, mut alphas) = (Vec::new(), Map::new(), Map::new());
        for ((layer, projection), factors) in &self.0 {
            let path = module_path(base, *layer, *projection);
            let expression = path.replace('.', r"\.");
            if factors.rank() != first.rank() {
                ranks.insert(expression.clone(), json!(factors.rank()));
            }
            if alpha(factors) != alpha(first) {
                alphas.insert(expression, number(alpha(factors)));
            }
            targets.push(path);
        }
        // In the order of names, as PEFT writes them; what is not said here is as PEFT has it by default.
        Ok(json!({
            "alpha_pattern": alphas,
            "auto_mapping": null,
            "base_model_name_or_path": base.name,
            "bias": "none",
            "exclude_modules": null,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": null,
            "loftq_config": {},
            "lora_alpha": number(alpha(first)),
            "lora_bias": false,
            "lora_dropout": 0.0,
            "megatron_config": null,
            "megatron_core": "megatron.core",
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": first.rank(),
            "rank_pattern": ranks,
            "revision": null,
            // Whole paths: the ends of names would fit layers of some vision towers too.
            "target_modules": targets,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": false,
        }))
    }
}

/// The path of a projection among a model's modules.
fn module_path(base: &ModelInfo, layer: usize, projection: Projection) -> String {
    let known = ARCHITECTURES.iter().find(|architecture| architecture.model_type == base.architecture);
    let language = known.map_or("model", |architecture| architecture.language_modules);
    below(language, &format!("layers.{layer}.{}", projection.name()))
}
