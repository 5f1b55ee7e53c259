//! Embeddings as rows, and squared distances between them in blocks.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{Result, TopologyError};

/// Rows and columns of the register tile of a block's scalar products, and partial sums of each product.
/// Sixteen sums of four f64 fill the vector registers of an AVX-512 machine without spilling; other shapes
/// were slower there.
const TILE: usize = 4;
const LANES: usize = 4;
/// A squared distance below this share of the two squared norms has lost digits to cancellation and is found
/// again from the differences of the components: what is left has a relative error below 1e-12.
const NEAR: f64 = 1e-3;

/// N embeddings of the same width, checked: row-major f32, N × dimensions.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings<'a> {
    values: &'a [f32],
    dimensions: usize,
    rows: usize,
}

impl<'a> Embeddings<'a> {
    /// Takes `values` as rows of `dimensions` components.
    ///
    /// # Errors
    /// Numbers that are not whole rows, no components at all, a number that is NaN or infinite.
    pub fn new(values: &'a [f32], dimensions: usize) -> Result<Self> {
        if dimensions == 0 || !values.len().is_multiple_of(dimensions) {
            return Err(TopologyError::RaggedRows { values: values.len(), dimensions });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(TopologyError::NotFinite {
                row: at / dimensions,
                component: at % dimensions,
                value: values[at],
            });
        }
        Ok(Self { values, dimensions, rows: values.len() / dimensions })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Components of a row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Row `index`.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dimensions..][..self.dimensions]
    }

    /// Squared Euclidean distance of two rows, by differences, f64. Equal rows are at exactly 0.
    pub fn squared_distance(&self, a: usize, b: usize) -> f64 {
        let (a, b) = (self.row(a), self.row(b));
        let mut sums = [0.0; LANES];
        let (a_blocks, a_rest) = a.as_chunks::<LANES>();
        let (b_blocks, b_rest) = b.as_chunks::<LANES>();
        for (x, y) in a_blocks.iter().zip(b_blocks) {
            for lane in 0..LANES {
                let difference = f64::from(x[lane]) - f64::from(y[lane]);
                sums[lane] = multiply_add(difference, difference, sums[lane]);
            }
        }
        for (x, y) in a_rest.iter().zip(b_rest) {
            let difference = f64::from(*x) - f64::from(*y);
            sums[0] = multiply_add(difference, difference, sums[0]);
        }
        total(&sums)
    }
}

/// a·b + c, in one rounding where the machine has the instruction (where it has not, the library call would
/// be slow).
#[inline]
fn multiply_add(a: f64, b: f64, c: f64) -> f64 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
}

#[inline]
fn total(sums: &[f64; LANES]) -> f64 {
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

/// Rows made ready for blocks of scalar products: f64, moved so that their mean is 0 (which keeps the digits
/// that ‖a‖² + ‖b‖² − 2ab would lose), padded with zeros to whole tiles and lanes.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    rows: Embeddings<'a>,
    centred: Vec<f64>,
    stride: usize,
    /// Squared norm of each centred row, by the same kernel as the products: equal rows give exactly 0.
    norms: Vec<f64>,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(rows: Embeddings<'a>) -> Self {
        let (count, dimensions) = (rows.len(), rows.dimensions());
        let mut mean = vec![0.0; dimensions];
        for row in rows.values.chunks_exact(dimensions) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        for sum in &mut mean {
            *sum /= count.max(1) as f64;
        }
        let stride = dimensions.next_multiple_of(LANES);
        let mut centred = vec![0.0; count.next_multiple_of(TILE) * stride];
        for (into, row) in centred.chunks_exact_mut(stride).zip(rows.values.chunks_exact(dimensions)) {
            for ((into, value), mean) in into.iter_mut().zip(row).zip(&mean) {
                *into = f64::from(*value) - mean;
            }
        }
        let mut prepared = Self { rows, centred, stride, norms: Vec::new() };
        let mut norms = Vec::with_capacity(count + TILE);
        for first in (0..count).step_by(TILE) {
            let products = prepared.products(first, first);
            norms.extend((0..TILE).map(|i| products[i][i]));
        }
        norms.truncate(count);
        prepared.norms = norms;
        prepared
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn squared_distance(&self, a: usize, b: usize) -> f64 {
        self.rows.squared_distance(a, b)
    }

    /// Scalar products of `TILE` rows from `a` on with `TILE` rows from `b` on; each sum in an order that
    /// does not depend on where the rows stand.
    fn products(&self, a: usize, b: usize) -> [[f64; TILE]; TILE] {
        let steps = self.stride / LANES;
        let rows = |first: usize| -> [&[[f64; LANES]]; TILE] {
            std::array::from_fn(|i| {
                &self.centred[(first + i) * self.stride..][..self.stride].as_chunks::<LANES>().0[..steps]
            })
        };
        let (a, b) = (rows(a), rows(b));
        let mut sums = [[[0.0; LANES]; TILE]; TILE];
        for step in 0..steps {
            for i in 0..TILE {
                for j in 0..TILE {
                    let (x, y) = (a[i][step], b[j][step]);
                    for lane in 0..LANES {
                        sums[i][j][lane] = multiply_add(x[lane], y[lane], sums[i][j][lane]);
                    }
                }
            }
        }
        sums.map(|row| row.map(|sums| total(&sums)))
    }

    /// Writes the squared distances of `rows` to `columns` into `out`, row-major. With `upper`, both ranges
    /// are the same and only what lies above the diagonal is meant; the rest is left as it was or filled, as
    /// tiles fall. The ranges may start anywhere; tiles run beyond their ends into the padding.
    pub(crate) fn block(&self, rows: Range<usize>, columns: Range<usize>, upper: bool, out: &mut [f64]) {
        let width = columns.len();
        let padded = self.norms.len().next_multiple_of(TILE);
        for top in rows.clone().step_by(TILE) {
            // A tile that would leave the padding starts earlier and computes some rows again.
            let tile_top = top.min(padded - TILE);
            for left in columns.clone().step_by(TILE) {
                if upper && left + TILE <= top {
                    continue;
                }
                let tile_left = left.min(padded - TILE);
                let products = self.products(tile_top, tile_left);
                for i in top..(tile_top + TILE).min(rows.end) {
                    let line = &mut out[(i - rows.start) * width..][..width];
                    for j in left..(tile_left + TILE).min(columns.end) {
                        let norms = self.norms[i] + self.norms[j];
                        let mut squared = norms - 2.0 * products[i - tile_top][j - tile_left];
                        if squared <= NEAR * norms {
                            squared = if upper && j <= i { 0.0 } else { self.rows.squared_distance(i, j) };
                        }
                        line[j - columns.start] = squared;
                    }
                }
            }
        }
    }
}

/// Squared distances between all pairs of a few things (the pictures or the texts of a draw), n × n. From
/// these the network of every dual embedding follows without looking at an embedding again.
#[derive(Clone, Debug, PartialEq)]
pub struct SquaredDistances {
    values: Vec<f64>,
    count: usize,
}

impl SquaredDistances {
    /// Of all pairs of rows; parallel over rows, the same bits for every number of threads, symmetric to the
    /// bit.
    pub fn of(rows: Embeddings<'_>) -> Self {
        let prepared = Prepared::new(rows);
        let count = rows.len();
        let mut values = vec![0.0; count * count];
        values.par_chunks_mut((TILE * count).max(1)).enumerate().for_each(|(strip, out)| {
            let first = strip * TILE;
            prepared.block(first..(first + TILE).min(count), 0..count, false, out);
        });
        Self { values, count }
    }

    /// From squared distances that are known, row-major, `count` × `count`.
    ///
    /// # Errors
    /// Another number of values, or one that is negative or not finite.
    pub fn from_values(values: Vec<f64>, count: usize) -> Result<Self> {
        if values.len() != count * count {
            return Err(TopologyError::Count {
                what: "squared distances",
                expected: count * count,
                given: values.len(),
            });
        }
        if let Some(value) = values.iter().find(|value| !(value.is_finite() && **value >= 0.0)) {
            return Err(TopologyError::InvalidWeight(*value));
        }
        Ok(Self { values, count })
    }

    /// Of things that can't be told apart: all at 0. What the texts are to an embedding that does not see
    /// them.
    pub fn zero(count: usize) -> Self {
        Self { values: vec![0.0; count * count], count }
    }

    /// Number of things.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Squared distance of `a` and `b`.
    pub fn get(&self, a: usize, b: usize) -> f64 {
        self.values[a * self.count + b]
    }

    /// Squared distances of `a` to all.
    pub(crate) fn row(&self, a: usize) -> &[f64] {
        &self.values[a * self.count..][..self.count]
    }

    /// All values, row-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}
