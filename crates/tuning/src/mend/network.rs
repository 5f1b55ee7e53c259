//! The network: matrices of one shape share a residual perceptron of low rank, with a scale and an offset for
//! each of them, and every matrix has a learned rate (MEND, section 3.2).

use std::collections::BTreeMap;

use candle_core::{D, Tensor};
use reasonedit_models::{DifferentiableSuffix, Projection};

use super::factors::Factors;
use crate::error::Result;
use crate::feed_forward::MATRICES;
use crate::training_case::{Init, ParameterStore};

/// Layers of the perceptron (one of them hidden).
const LAYERS: usize = 2;
/// Added to standard deviations.
const TINY: f64 = 1e-7;
const RATES: &str = "rates";

/// Matrices of one shape: their perceptron's name, and their places in it.
fn place(projection: Projection) -> (&'static str, usize) {
    match projection {
        Projection::Gate => ("wide", 0),
        Projection::Up => ("wide", 1),
        _ => ("narrow", 0),
    }
}

/// Inputs and outputs of the matrices by perceptron.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shapes {
    wide: (usize, usize),
    narrow: (usize, usize),
}

impl Shapes {
    pub(super) fn of(suffix: &DifferentiableSuffix) -> Self {
        Self { wide: suffix.shape(Projection::Gate), narrow: suffix.shape(Projection::Down) }
    }

    fn all(self) -> [(&'static str, usize, usize); 2] {
        [("wide", self.wide.0 + self.wide.1, 2), ("narrow", self.narrow.0 + self.narrow.1, 1)]
    }
}

/// Mean and standard deviation of the factors that a perceptron is given, (inputs + outputs).
pub(super) type Statistics = BTreeMap<&'static str, (Tensor, Tensor)>;

/// Of every place of every case, so that the network sees numbers of one size.
pub(super) fn statistics<'a>(
    cases: impl Iterator<Item = &'a BTreeMap<Projection, Factors>>,
) -> Result<Statistics> {
    let mut rows: BTreeMap<&'static str, Vec<Tensor>> = BTreeMap::new();
    for factors in cases {
        for (projection, own) in factors {
            let both = Tensor::cat(&[&own.inputs, &own.gradients], 1)?;
            rows.entry(place(*projection).0).or_default().push(both);
        }
    }
    let of = |(name, rows): (&'static str, Vec<Tensor>)| {
        let all = Tensor::cat(&rows, 0)?;
        let mean = all.mean(0)?;
        let spread = all.broadcast_sub(&mean)?.sqr()?.sum(0)?;
        let deviation = (spread / (all.dim(0)?.max(2) - 1) as f64)?.sqrt()?;
        Ok((name, (mean, deviation)))
    };
    rows.into_iter().map(of).collect()
}

/// x + max(0, (U V x + b) · scale + shift).
struct Layer {
    v: Tensor,
    u: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
}

impl Layer {
    fn new(store: &mut ParameterStore, name: &str, width: usize, rank: usize, modes: usize) -> Result<Self> {
        let mut own =
            |part: &str, shape: &[usize], init| store.tensor(&format!("{name}.{part}"), shape, init);
        // With U at 0 the network begins as the identity.
        Ok(Self {
            v: own("v", &[rank, width], Init::Normal(1.0))?,
            u: own("u", &[width, rank], Init::Constant(0.0))?,
            bias: own("bias", &[width], Init::Constant(0.0))?,
            scale: own("scale", &[modes, width], Init::Constant(1.0))?,
            shift: own("shift", &[modes, width], Init::Constant(0.0))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: usize) -> Result<Tensor> {
        let inner = x.matmul(&self.v.t()?)?.matmul(&self.u.t()?)?.broadcast_add(&self.bias)?;
        let inner = inner.broadcast_mul(&self.scale.get(mode)?)?.broadcast_add(&self.shift.get(mode)?)?;
        Ok((x + inner.relu()?)?)
    }
}

/// A change of a matrix, Σ δ uᵀ over places, that is taken off it.
pub(super) struct Update {
    /// (places, inputs).
    pub(super) inputs: Tensor,
    /// (places, outputs), times the rate.
    pub(super) outputs: Tensor,
}

impl Update {
    /// (outputs, inputs).
    pub(super) fn matrix(&self) -> Result<Tensor> {
        Ok(self.outputs.t()?.matmul(&self.inputs)?)
    }
}

/// See the module's description.
pub(super) struct Transform {
    layers: BTreeMap<&'static str, Vec<Layer>>,
    statistics: Statistics,
    /// One for each of [`MATRICES`].
    rates: Tensor,
    /// Everything of a trained one by name.
    tensors: BTreeMap<String, Tensor>,
}

impl Transform {
    /// One to be trained; its parameters are in `store`.
    pub(super) fn fresh(
        store: &mut ParameterStore,
        shapes: Shapes,
        rank: usize,
        edit_rate: f64,
        statistics: Statistics,
    ) -> Result<Self> {
        let mut layers = BTreeMap::new();
        for (name, width, modes) in shapes.all() {
            let rank = rank.clamp(1, width);
            let own = (0..LAYERS)
                .map(|layer| Layer::new(store, &format!("{name}.{layer}"), width, rank, modes))
                .collect::<Result<_>>()?;
            layers.insert(name, own);
        }
        let rates = store.tensor(RATES, &[MATRICES.len()], Init::Constant(edit_rate))?;
        Ok(Self { layers, statistics, rates, tensors: BTreeMap::new() })
    }

    /// One that was trained.
    pub(super) fn trained(tensors: BTreeMap<String, Tensor>, shapes: Shapes, rank: usize) -> Result<Self> {
        let mut store = ParameterStore::Trained(tensors.clone());
        let mut statistics = Statistics::new();
        for (name, width, _) in shapes.all() {
            let mut own = |part: &str| store.tensor(&format!("{name}.{part}"), &[width], Init::Constant(0.0));
            statistics.insert(name, (own("mean")?, own("deviation")?));
        }
        Ok(Self { tensors, ..Self::fresh(&mut store, shapes, rank, 0.0, statistics)? })
    }

    /// What it is, once it is trained: its parameters in `store` and its statistics.
    pub(super) fn constant(&self, store: &ParameterStore) -> Result<BTreeMap<String, Tensor>> {
        let mut all = store.constants()?;
        for (name, (mean, deviation)) in &self.statistics {
            all.insert(format!("{name}.mean"), mean.clone());
            all.insert(format!("{name}.deviation"), deviation.clone());
        }
        Ok(all)
    }

    pub(super) fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.tensors.clone()
    }

    /// Bytes of its parameters.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.elem_count() as u64 * 4).sum()
    }

    /// Whether a parameter is one of the rates.
    pub(super) fn is_rate(name: &str) -> bool {
        name == RATES
    }

    /// The changes of weights that it makes of an edit's gradient.
    pub(super) fn updates(
        &self,
        factors: &BTreeMap<Projection, Factors>,
    ) -> Result<BTreeMap<Projection, Update>> {
        let mut updates = BTreeMap::new();
        for (at, projection) in MATRICES.iter().enumerate() {
            let Some(own) = factors.get(projection) else { continue };
            let (name, mode) = place(*projection);
            let (Some(layers), Some((mean, deviation))) = (self.layers.get(name), self.statistics.get(name))
            else {
                continue;
            };
            let inputs = own.inputs.dim(D::Minus1)?;
            let both = Tensor::cat(&[&own.inputs, &own.gradients], 1)?;
            let mut x = both.broadcast_sub(mean)?.broadcast_div(&(deviation + TINY)?)?;
            for layer in layers {
                x = layer.forward(&x, mode)?;
            }
            let outputs = x.narrow(1, inputs, x.dim(1)? - inputs)?;
            let outputs = outputs.broadcast_mul(&self.rates.get(at)?)?;
            updates.insert(*projection, Update { inputs: x.narrow(1, 0, inputs)?, outputs });
        }
        Ok(updates)
    }
}
