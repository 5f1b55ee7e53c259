//! What is added to matrices while they are read.

use rayon::prelude::*;

use crate::error::{NnError, Result};

/// A matrix of low rank, `b · a`, that is added to a weight of (outputs, inputs).
#[derive(Clone, Debug, PartialEq)]
pub struct LowRankUpdate {
    rank: usize,
    inputs: usize,
    /// (rank, inputs)
    a: Vec<f32>,
    /// (outputs, rank)
    b: Vec<f32>,
}

impl LowRankUpdate {
    /// Of `a`, (rank, inputs), and `b`, (outputs, rank), row by row.
    ///
    /// # Errors
    /// [`NnError::Shape`] for as many values as no such matrices have.
    pub fn new(rank: usize, inputs: usize, a: Vec<f32>, b: Vec<f32>) -> Result<Self> {
        let fits = rank > 0
            && inputs > 0
            && a.len() == rank * inputs
            && !b.is_empty()
            && b.len().is_multiple_of(rank);
        if fits {
            return Ok(Self { rank, inputs, a, b });
        }
        Err(NnError::Shape(format!("rank {rank}, {inputs} inputs, {} and {} values", a.len(), b.len())))
    }

    /// (outputs, inputs) of what it is added to.
    pub fn shape(&self) -> [usize; 2] {
        [self.b.len() / self.rank, self.inputs]
    }

    /// Adds it to whole rows of the weight, from the row `first` on. A row is the same whatever others are
    /// read with it.
    pub(super) fn add_to(&self, first: usize, rows: &mut [f32]) {
        rows.par_chunks_mut(self.inputs).enumerate().for_each_init(
            || vec![0f32; self.inputs],
            |sum, (at, row)| {
                sum.fill(0.0);
                let factors = &self.b[(first + at) * self.rank..][..self.rank];
                for (factor, direction) in factors.iter().zip(self.a.chunks_exact(self.inputs)) {
                    for (sum, direction) in sum.iter_mut().zip(direction) {
                        *sum += factor * direction;
                    }
                }
                for (weight, sum) in row.iter_mut().zip(sum.iter()) {
                    *weight += *sum;
                }
            },
        );
    }

    /// Everything that decides what it is.
    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        for size in [self.rank, self.inputs, self.b.len()] {
            hasher.update(&(size as u64).to_le_bytes());
        }
        for value in self.a.iter().chain(&self.b) {
            hasher.update(&value.to_le_bytes());
        }
    }
}
