//! Low-rank adapters (LoRA; Hu et al. 2022) of a language model's projections, in PEFT's layout:
//! `adapter_config.json` beside `adapter_model.safetensors`.
//!
//! What PEFT can write and is not computed here (other methods, magnitudes, biases, other modules) is refused
//! by its name, never left out.

mod config;
mod modules;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use reasonedit_nn::blocks::decoder::differentiable::{Adaptation, Projection};
use reasonedit_nn::error::Result as NnResult;
use reasonedit_nn::weights::{LowRankUpdate, Weights};

use self::config::AdapterConfig;
use self::modules::{LANGUAGE, Parameter, parameters};
use crate::error::{ModelError, Result};

/// The file of settings.
const CONFIG: &str = "adapter_config.json";
/// The file of weights.
const WEIGHTS: &str = "adapter_model.safetensors";

/// Two factors beside a linear map: `scale · b · a · input` is added to its output.
#[derive(Clone, Debug)]
pub struct LowRankFactors {
    /// (rank, inputs), f32.
    pub a: Tensor,
    /// (outputs, rank), f32.
    pub b: Tensor,
    /// PEFT's α over the rank (over its root with `use_rslora`).
    pub scale: f64,
}

impl LowRankFactors {
    /// Rows of `a`.
    pub fn rank(&self) -> usize {
        self.a.dims().first().copied().unwrap_or_default()
    }
}

/// Factors by layer and projection.
#[derive(Clone, Debug, Default)]
pub struct LowRankAdapter(pub BTreeMap<(usize, Projection), LowRankFactors>);

impl LowRankAdapter {
    /// Bytes of the factors.
    pub fn bytes(&self) -> u64 {
        let of = |tensor: &Tensor| (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64;
        self.0.values().map(|factors| of(&factors.a) + of(&factors.b)).sum()
    }

    /// Reads the adapter in a folder, whatever wrote it; its factors lie on the CPU.
    ///
    /// # Errors
    /// [`ModelError::load`] for a file that is missing or broken, and for what is not computed here, by name.
    pub fn read(folder: &Path) -> Result<Self> {
        let modules = read_modules(folder)?;
        Ok(Self(
            modules.into_iter().map(|module| ((module.layer, module.projection), module.factors)).collect(),
        ))
    }
}

impl Adaptation for LowRankAdapter {
    fn projects(&self, layer: usize, projection: Projection) -> bool {
        self.0.contains_key(&(layer, projection))
    }

    fn projected(
        &self,
        layer: usize,
        projection: Projection,
        input: &Tensor,
        output: Tensor,
        _: &[Range<usize>],
    ) -> NnResult<Tensor> {
        let Some(LowRankFactors { a, b, scale }) = self.0.get(&(layer, projection)) else {
            return Ok(output);
        };
        let low = (input.matmul(&a.t()?)? * *scale)?;
        Ok((output + low.matmul(&b.t()?)?)?)
    }
}

/// An adapted projection, as a file has it.
struct Module {
    layer: usize,
    projection: Projection,
    factors: LowRankFactors,
    /// Full names of both factors.
    names: [String; 2],
}

fn read_modules(folder: &Path) -> Result<Vec<Module>> {
    let config = AdapterConfig::read(folder)?;
    let path = folder.join(WEIGHTS);
    if !path.is_file() {
        let reason = if folder.join("adapter_model.bin").is_file() {
            "there is only adapter_model.bin, a pickle; PEFT's save_pretrained writes safetensors of it"
                .to_owned()
        } else {
            format!("{} has no such file; is it an adapter as PEFT writes it?", folder.display())
        };
        return Err(ModelError::load(WEIGHTS, reason));
    }
    let stored = Weights::open(&[path], DType::F32, Device::Cpu)?;
    let mut found: BTreeMap<(usize, Projection), [Option<Parameter>; 2]> = BTreeMap::new();
    for parameter in parameters(stored.names())? {
        let place = &mut found.entry((parameter.layer, parameter.projection)).or_default()[parameter.factor];
        if let Some(other) = place {
            return Err(ModelError::load(
                parameter.name,
                format!("it stands for the same as {}", other.name),
            ));
        }
        *place = Some(parameter);
    }
    if found.is_empty() {
        return Err(ModelError::load(WEIGHTS, "it has no weights"));
    }
    found
        .into_iter()
        .map(|((layer, projection), pair)| module(&stored, &config, layer, projection, pair))
        .collect()
}

fn module(
    stored: &Weights,
    config: &AdapterConfig,
    layer: usize,
    projection: Projection,
    pair: [Option<Parameter>; 2],
) -> Result<Module> {
    let (a, b) = match pair {
        [Some(a), Some(b)] => (a, b),
        [Some(one), None] => return Err(ModelError::load(one.name, "there is no lora_B beside it")),
        [None, Some(one)] => return Err(ModelError::load(one.name, "there is no lora_A beside it")),
        [None, None] => return Err(ModelError::load(WEIGHTS, "it has no weights")),
    };
    let rank = config.rank(&a.module);
    let dims = |parameter: &Parameter, at: usize| match stored.shape(&parameter.name) {
        Some(shape) if shape.len() == 2 && shape[at] == rank => Ok(shape.to_vec()),
        shape => {
            let reason =
                format!("its shape is {:?}, the rank in {CONFIG} is {rank}", shape.unwrap_or_default());
            Err(ModelError::load(&parameter.name, reason))
        }
    };
    let (a_shape, b_shape) = (dims(&a, 0)?, dims(&b, 1)?);
    let factors = LowRankFactors {
        a: stored.scope("").tensor(&a.name, &a_shape)?,
        b: stored.scope("").tensor(&b.name, &b_shape)?,
        scale: config.scale(&a.module, rank),
    };
    Ok(Module { layer, projection, factors, names: [a.name, b.name] })
}

/// The weights of a checkpoint with the adapter in `folder` merged into them as they are read.
///
/// # Errors
/// As [`LowRankAdapter::read`]; [`ModelError::load`] for the first parameter that does not fit the
/// checkpoint, with its name and shapes.
pub(crate) fn merged(weights: Weights, folder: &Path) -> Result<Weights> {
    let has = |prefix: &&&str| weights.shape(&below(prefix, "embed_tokens.weight")).is_some();
    let prefix = LANGUAGE.iter().find(has).ok_or_else(|| {
        ModelError::load(CONFIG, "the checkpoint has no language model that an adapter could belong to")
    })?;
    let mut updates = BTreeMap::new();
    for module in read_modules(folder)? {
        let Module { layer, projection, factors, names } = module;
        let name = below(prefix, &format!("layers.{layer}.{}.weight", projection.name()));
        let refuse = |at: usize, shape: &[usize], reason: String| {
            let reason = format!("its shape is {shape:?}, {reason}; the adapter is another architecture's");
            Err(ModelError::load(&names[at], reason))
        };
        let Some(shape) = weights.shape(&name) else {
            return refuse(0, factors.a.dims(), format!("the checkpoint has no {name}"));
        };
        for (at, dim, own) in [(0, factors.a.dim(1)?, shape[1]), (1, factors.b.dim(0)?, shape[0])] {
            if dim != own {
                let factor = if at == 0 { &factors.a } else { &factors.b };
                return refuse(at, factor.dims(), format!("that of {name} is {shape:?}"));
            }
        }
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let update = LowRankUpdate::new(
            factors.rank(),
            shape[1],
            values(&factors.a)?,
            values(&(&factors.b * factors.scale)?)?,
        )?;
        updates.insert(name, update);
    }
    Ok(weights.with_updates(updates)?)
}

fn below(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
