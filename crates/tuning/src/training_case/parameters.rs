//! Parameters of a network: made from a seed and trained, or read and constant.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use candle_core::{Device, Tensor, Var};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::error::{Result, TuningError};

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Init {
    /// All of one value.
    Constant(f64),
    /// Normal, with this standard deviation.
    Normal(f64),
    /// Uniform between this and its negative.
    Uniform(f64),
}

/// A stream of random numbers that is the same everywhere.
pub(crate) fn seeded(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// The parameters of a network by name. A network is built of either kind by the same code.
pub(crate) enum ParameterStore {
    /// To be trained, from a seed.
    Fresh {
        /// Where the next parameter's values come from.
        rng: Box<ChaCha8Rng>,
        /// Those that were asked for.
        variables: BTreeMap<String, Var>,
    },
    /// Read, and constant.
    Trained(BTreeMap<String, Tensor>),
}

impl ParameterStore {
    pub(crate) fn fresh(seed: u64) -> Self {
        Self::Fresh { rng: Box::new(seeded(seed, 0)), variables: BTreeMap::new() }
    }

    /// A parameter of this name and shape, f32.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        match self {
            Self::Fresh { rng, variables } => {
                let count = shape.iter().product();
                let values: Vec<f32> = (0..count)
                    .map(|_| match init {
                        Init::Constant(value) => value as f32,
                        Init::Normal(deviation) => (standard_normal(rng) * deviation) as f32,
                        Init::Uniform(most) => rng.random_range(-most..=most) as f32,
                    })
                    .collect();
                let variable = Var::from_vec(values, shape, &Device::Cpu)?;
                let tensor = variable.as_tensor().clone();
                variables.insert(name.to_owned(), variable);
                Ok(tensor)
            }
            Self::Trained(tensors) => {
                let found = tensors.get(name).filter(|tensor| tensor.dims() == shape);
                found.cloned().ok_or_else(|| {
                    let there = tensors.get(name).map_or_else(
                        || "is not there".to_owned(),
                        |tensor| format!("is {:?}", tensor.dims()),
                    );
                    TuningError::Setting(format!("parameter {name} {there}, {shape:?} is wanted"))
                })
            }
        }
    }

    /// The variables whose name fits.
    pub(crate) fn variables(&self, fits: impl Fn(&str) -> bool) -> Vec<Var> {
        match self {
            Self::Fresh { variables, .. } => {
                variables.iter().filter(|(name, _)| fits(name)).map(|(_, own)| own.clone()).collect()
            }
            Self::Trained(_) => Vec::new(),
        }
    }

    /// Everything as it is now, constant.
    pub(crate) fn constants(&self) -> Result<BTreeMap<String, Tensor>> {
        match self {
            Self::Fresh { variables, .. } => {
                let constant =
                    |(name, own): (&String, &Var)| Ok((name.clone(), own.as_detached_tensor().copy()?));
                variables.iter().map(constant).collect()
            }
            Self::Trained(tensors) => Ok(tensors.clone()),
        }
    }
}

/// Box and Muller's transform of two uniform numbers.
fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
}
