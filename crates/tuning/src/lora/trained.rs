//! Low-rank factors as variables, and files of them.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reasonedit_models::{DifferentiableSuffix, LowRankAdapter, LowRankFactors, Projection};

use crate::error::{Result, TuningError};
use crate::method::file;

/// Factors that are being trained.
#[derive(Debug)]
pub(crate) struct TrainedFactors {
    /// Its tensors are the variables.
    adapter: LowRankAdapter,
    variables: Vec<Var>,
}

impl TrainedFactors {
    /// Factors that change nothing yet, beside `targets` in every layer of `suffix`: `a` uniform as PyTorch
    /// begins a linear layer, `b` zero (as PEFT has it).
    pub(crate) fn begin(
        suffix: &DifferentiableSuffix,
        targets: &[Projection],
        rank: usize,
        alpha: f64,
        seed: u64,
    ) -> Result<Self> {
        if rank == 0 || !alpha.is_finite() {
            return Err(TuningError::Setting(format!("rank {rank} with alpha {alpha} adapts nothing")));
        }
        let first = suffix.cut().layer();
        let device = match targets.first() {
            Some(target) => suffix.weight(first, *target)?.device().clone(),
            None => return Err(TuningError::Setting("no projection is to be adapted".into())),
        };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut adapter = LowRankAdapter::default();
        for layer in first..suffix.layers() {
            for &target in targets {
                let (inputs, outputs) = suffix.shape(target);
                let bound = (inputs as f32).sqrt().recip();
                let values = (0..rank * inputs).map(|_| random.random_range(-bound..bound)).collect();
                let a = Tensor::from_vec::<_, f32>(values, (rank, inputs), &device)?;
                let b = Tensor::zeros((outputs, rank), candle_core::DType::F32, &device)?;
                let scale = alpha / rank as f64;
                adapter.0.insert((layer, target), LowRankFactors { a, b, scale });
            }
        }
        Self::copy(&adapter)
    }

    /// Copies of an adapter's factors.
    pub(crate) fn copy(adapter: &LowRankAdapter) -> Result<Self> {
        let mut variables = Vec::with_capacity(2 * adapter.0.len());
        let mut variable = |tensor: &Tensor| -> Result<Tensor> {
            let variable = Var::from_tensor(&tensor.detach())?;
            variables.push(variable.clone());
            Ok(variable.as_tensor().clone())
        };
        let mut copied = LowRankAdapter::default();
        for (place, LowRankFactors { a, b, scale }) in &adapter.0 {
            let factors = LowRankFactors { a: variable(a)?, b: variable(b)?, scale: *scale };
            copied.0.insert(*place, factors);
        }
        Ok(Self { adapter: copied, variables })
    }

    /// What is different with them; gradients lead to the variables.
    pub(crate) fn adapter(&self) -> &LowRankAdapter {
        &self.adapter
    }

    pub(crate) fn variables(&self) -> &[Var] {
        &self.variables
    }

    /// Copies of the factors as they are now; no gradients lead to them.
    pub(crate) fn constant(&self) -> Result<LowRankAdapter> {
        let constant = |(place, factors): (&(usize, Projection), &LowRankFactors)| {
            let LowRankFactors { a, b, scale } = factors;
            Ok((*place, LowRankFactors { a: a.copy()?.detach(), b: b.copy()?.detach(), scale: *scale }))
        };
        Ok(LowRankAdapter(self.adapter.0.iter().map(constant).collect::<Result<_>>()?))
    }
}

fn names(layer: usize, projection: Projection) -> [String; 2] {
    ["lora_A", "lora_B"].map(|factor| format!("layers.{layer}.{}.{factor}.weight", projection.name()))
}

/// Writes the factors of an editor, perhaps none.
pub(super) fn write(adapter: &LowRankAdapter, path: &Path) -> Result<()> {
    let mut named: HashMap<String, Tensor> = HashMap::new();
    for ((layer, projection), factors) in &adapter.0 {
        let [a, b] = names(*layer, *projection);
        named.insert(a, factors.a.clone());
        named.insert(b, factors.b.clone());
    }
    candle_core::safetensors::save(&named, path).map_err(|error| file(path, error))
}

/// Reads what [`write`] wrote, of factors beside the same projections and of the same rank.
pub(super) fn read(
    suffix: &DifferentiableSuffix,
    targets: &[Projection],
    rank: usize,
    alpha: f64,
    path: &Path,
) -> Result<LowRankAdapter> {
    let mut named = candle_core::safetensors::load(path, &Device::Cpu).map_err(|error| file(path, error))?;
    if named.is_empty() {
        return Ok(LowRankAdapter::default());
    }
    let begun = TrainedFactors::begin(suffix, targets, rank, alpha, 0)?;
    let mut adapter = LowRankAdapter::default();
    for ((layer, projection), own) in &begun.adapter.0 {
        let [a, b] = names(*layer, *projection);
        let mut take = |name: &str, like: &Tensor| match named.remove(name) {
            Some(found) if found.dims() == like.dims() => Ok(found.to_device(like.device())?),
            Some(found) => Err(file(path, format!("{name} is {:?}, not {:?}", found.dims(), like.dims()))),
            None => Err(file(path, format!("{name} is missing"))),
        };
        let factors = LowRankFactors { a: take(&a, &own.a)?, b: take(&b, &own.b)?, scale: own.scale };
        adapter.0.insert((*layer, *projection), factors);
    }
    match named.keys().min() {
        None => Ok(adapter),
        Some(other) => Err(file(path, format!("{other} has no place in this model"))),
    }
}
