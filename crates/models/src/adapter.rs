//! Low-rank adapters (LoRA; Hu et al. 2022) of a language model's projections, in PEFT's layout:
//! `adapter_config.json` beside `adapter_model.safetensors`.
//!
//! What PEFT can write and is not computed here (other methods, magnitudes, biases, other modules) is refused
//! by its name, never left out.

mod config;
mod files;
mod modules;
mod python;
mod targets;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use reasonedit_nn::blocks::decoder::differentiable::{Adaptation, Projection};
use reasonedit_nn::error::Result as NnResult;
use reasonedit_nn::weights::file::WeightFile;
use reasonedit_nn::weights::{LowRankUpdate, Weights};

use self::config::AdapterConfig;
use self::files::{CONFIG, FINGERPRINT, WEIGHTS};
use self::modules::{LANGUAGE, Parameter, parameters};
use crate::error::{ModelError, Result};
use crate::load::checkpoint::Checkpoint;

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
    let (mut all, mut left_out) = (0, None);
    for parameter in parameters(stored.names())? {
        all += 1;
        if !config.includes(&parameter)? {
            left_out = left_out.or(Some(parameter.name));
            continue;
        }
        let place = &mut found.entry((parameter.layer, parameter.projection)).or_default()[parameter.factor];
        if let Some(other) = place {
            return Err(ModelError::load(
                parameter.name,
                format!("it stands for the same as {}", other.name),
            ));
        }
        *place = Some(parameter);
    }
    match (all, left_out) {
        (0, _) => return Err(ModelError::load(WEIGHTS, "it has no weights")),
        (_, Some(_)) if found.is_empty() => return Err(config.names_none()),
        (_, Some(first)) => {
            tracing::warn!(%first, "factors of modules that {CONFIG} does not name are left out, as PEFT does");
        }
        (_, None) => {}
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
    let rank = config.rank(&a.module)?;
    let dims = |parameter: &Parameter, at: usize| match stored.shape(&parameter.name) {
        Some(shape) if shape.len() == 2 && shape[at] == rank => Ok(shape.to_vec()),
        shape => {
            let reason =
                format!("its shape is {:?}, the rank in {CONFIG} is {rank}", shape.unwrap_or_default());
            Err(ModelError::load(&parameter.name, reason))
        }
    };
    let (a_shape, b_shape) = (dims(&a, 0)?, dims(&b, 1)?);
    let read = |parameter: &Parameter, shape: &[usize]| {
        let tensor = stored.scope("").tensor(&parameter.name, shape)?;
        if let Some(value) = not_finite(&tensor)? {
            let reason = format!("one of its values is {value}; the training that wrote it has failed");
            return Err(ModelError::load(&parameter.name, reason));
        }
        Ok(tensor)
    };
    let factors = LowRankFactors {
        a: read(&a, &a_shape)?,
        b: read(&b, &b_shape)?,
        scale: config.scale(&a.module, rank)?,
    };
    if !is_bounded(&factors)? {
        return Err(config.too_large(&a.module)?);
    }
    Ok(Module { layer, projection, factors, names: [a.name, b.name] })
}

/// The first value of a matrix that is no finite number.
fn not_finite(tensor: &Tensor) -> Result<Option<f32>> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().find(|value| !value.is_finite()))
}

/// Whether no entry of the scaled product can be beyond f32: every entry is at most the greatest of each
/// factor times each other, as often as the rank says.
fn is_bounded(factors: &LowRankFactors) -> Result<bool> {
    let greatest = |tensor: &Tensor| -> Result<f64> {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.into_iter().fold(0f64, |most, value| most.max(f64::from(value.abs()))))
    };
    let (a, b) = (greatest(&factors.a)?, greatest(&factors.b)? * factors.scale.abs());
    let bound = b.max(factors.scale.abs()).max(a * b * factors.rank() as f64);
    Ok(bound <= f64::from(f32::MAX))
}

/// Makes sure that an adapter that says which model it was trained on is loaded onto that one.
fn check_fingerprint(folder: &Path, checkpoint: &Checkpoint, weights: &Weights) -> Result<()> {
    let (file, _) = WeightFile::open(&folder.join(WEIGHTS))?;
    let Some(trained_on) = file.notes().get(FINGERPRINT) else { return Ok(()) };
    let own = checkpoint.fingerprint(weights)?;
    if *trained_on == own {
        return Ok(());
    }
    let reason = format!(
        "the adapter was trained on the model with the fingerprint {trained_on}, and this one's is {own}; load \
         it onto the model that it was trained on, or train one for this model (reasonedit adapt)"
    );
    Err(ModelError::load(WEIGHTS, reason))
}

/// The weights of a checkpoint with the adapter in `folder` merged into them as they are read.
///
/// # Errors
/// As [`LowRankAdapter::read`]; [`ModelError::load`] for the first parameter that does not fit the
/// checkpoint, with its name and shapes, and for an adapter that was trained on another model, with both
/// fingerprints.
pub(crate) fn merged(checkpoint: &Checkpoint, weights: Weights, folder: &Path) -> Result<Weights> {
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
    // Last: it reads all of the weights.
    check_fingerprint(folder, checkpoint, &weights)?;
    Ok(weights.with_updates(updates)?)
}

fn below(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
