//! Side memories: what is added to the down projection of one layer, and which one a question goes through.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use candle_core::{D, Device, Tensor};
use reasonedit_models::{Adaptation, NnResult, Projection};
use serde::{Deserialize, Serialize};

use super::merging::ties;
use super::settings::WiseSettings;
use crate::error::Result;
use crate::method::file;

const WEIGHTS: &str = "side_memories.safetensors";
const STATE: &str = "side_memories.json";
/// Under a square root whose derivative would be infinite.
const TINY: f64 = 1e-12;

/// A side memory, or a shard of one.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// What it adds to the weights, (inner, width).
    pub(super) delta: Tensor,
    /// The least activation of its edits (ε).
    pub(super) least: f64,
    /// How many they are.
    pub(super) edits: usize,
}

/// All of them, in the order in which they were begun.
#[derive(Debug, Default)]
pub(super) struct Memories {
    merged: Vec<Memory>,
    /// Full, not merged.
    full: Vec<Memory>,
    /// The one that edits are put into.
    current: Option<Memory>,
    /// Shards that there have been before it.
    started: usize,
}

/// What a side memory changes, (rows, width): mean length of the rows.
pub(super) fn activation(change: &Tensor) -> Result<Tensor> {
    Ok((change.sqr()?.sum(D::Minus1)? + TINY)?.sqrt()?.mean_all()?)
}

impl Memories {
    pub(super) fn edits(&self) -> usize {
        self.all().map(|memory| memory.edits).sum()
    }

    /// The number of the shard that edits are put into.
    pub(super) fn started(&self) -> usize {
        self.started
    }

    /// Merged ones, then shards.
    pub(super) fn all(&self) -> impl Iterator<Item = &Memory> {
        self.merged.iter().chain(&self.full).chain(&self.current)
    }

    pub(super) fn current(&self, shape: (usize, usize)) -> Result<Memory> {
        if let Some(memory) = &self.current {
            return Ok(memory.clone());
        }
        let delta = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)?;
        Ok(Memory { delta, least: f64::INFINITY, edits: 0 })
    }

    /// Puts the current shard back with another edit in it; merges when enough are full.
    pub(super) fn put(&mut self, memory: Memory, settings: &WiseSettings) -> Result<()> {
        if memory.edits < settings.shard_edits {
            self.current = Some(memory);
            return Ok(());
        }
        if self.full.len() + 1 < settings.shards {
            self.full.push(memory);
        } else {
            let shards: Vec<Memory> = self.full.iter().cloned().chain([memory]).collect();
            self.merged.push(merged(&shards, settings.density)?);
            self.full.clear();
        }
        self.current = None;
        self.started += 1;
        Ok(())
    }

    /// Of the memories that a prompt's activation in is at least `threshold` of their edits' least, the one
    /// with the largest. `inner` are the inputs of the down projection.
    pub(super) fn route(&self, inner: &Tensor, threshold: f64) -> Result<Option<&Memory>> {
        let mut best: Option<(&Memory, f64)> = None;
        for memory in self.all() {
            let own = f64::from(activation(&inner.matmul(&memory.delta)?)?.to_scalar::<f32>()?);
            if own >= threshold * memory.least && best.is_none_or(|(_, most)| own > most) {
                best = Some((memory, own));
            }
        }
        Ok(best.map(|(memory, _)| memory))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.all().map(|memory| (memory.delta.elem_count() * size_of::<f32>()) as u64).sum()
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let named: HashMap<String, Tensor> =
            self.all().enumerate().map(|(at, memory)| (name(at), memory.delta.clone())).collect();
        let path = folder.join(WEIGHTS);
        candle_core::safetensors::save(&named, &path).map_err(|error| file(&path, error))?;
        let state = State {
            memories: self.all().map(|memory| (memory.least, memory.edits)).collect(),
            full: self.full.len(),
            current: self.current.is_some(),
            started: self.started,
        };
        let path = folder.join(STATE);
        let json = serde_json::to_vec(&state).map_err(|error| file(&path, error))?;
        std::fs::write(&path, json).map_err(|error| file(&path, error))
    }

    pub(super) fn read(folder: &Path, shape: (usize, usize)) -> Result<Self> {
        let path = folder.join(STATE);
        let json = std::fs::read(&path).map_err(|error| file(&path, error))?;
        let state: State = serde_json::from_slice(&json).map_err(|error| file(&path, error))?;
        let path = folder.join(WEIGHTS);
        let mut named =
            candle_core::safetensors::load(&path, &Device::Cpu).map_err(|error| file(&path, error))?;
        let mut all = Vec::with_capacity(state.memories.len());
        for (at, (least, edits)) in state.memories.into_iter().enumerate() {
            let delta =
                named.remove(&name(at)).ok_or_else(|| file(&path, format!("{} is missing", name(at))))?;
            if delta.dims2().ok() != Some(shape) {
                return Err(file(&path, format!("{} is {:?}, not {shape:?}", name(at), delta.dims())));
            }
            all.push(Memory { delta, least, edits });
        }
        let current = if state.current { all.pop() } else { None };
        let full = all.split_off(all.len().saturating_sub(state.full));
        Ok(Self { merged: all, full, current, started: state.started })
    }
}

fn name(at: usize) -> String {
    format!("memory.{at}")
}

/// What goes with the weights.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Least activation and number of edits.
    memories: Vec<(f64, usize)>,
    /// How many of them are full and not merged, before the current one.
    full: usize,
    /// Whether the last of them is the one that edits are put into.
    current: bool,
    started: usize,
}

/// One side memory of several shards.
fn merged(shards: &[Memory], density: f64) -> Result<Memory> {
    let changes: Vec<Vec<f32>> = shards
        .iter()
        .map(|shard| shard.delta.flatten_all()?.to_vec1())
        .collect::<candle_core::Result<_>>()?;
    let shape = shards.first().map_or((0, 0), |shard| shard.delta.dims2().unwrap_or_default());
    Ok(Memory {
        delta: Tensor::from_vec(ties(&changes, density), shape, &Device::Cpu)?,
        least: shards.iter().map(|shard| shard.least).fold(f64::INFINITY, f64::min),
        edits: shards.iter().map(|shard| shard.edits).sum(),
    })
}

/// A side memory in the place of the model's own weights.
pub(super) struct SideMemory<'m> {
    pub(super) layer: usize,
    pub(super) delta: &'m Tensor,
}

impl Adaptation for SideMemory<'_> {
    fn projects(&self, layer: usize, projection: Projection) -> bool {
        layer == self.layer && projection == Projection::Down
    }

    fn projected(
        &self,
        _: usize,
        _: Projection,
        input: &Tensor,
        output: Tensor,
        _: &[Range<usize>],
    ) -> NnResult<Tensor> {
        Ok((output + input.matmul(self.delta)?)?)
    }

    fn is_row_wise(&self) -> bool {
        true
    }
}
