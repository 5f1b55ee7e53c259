//! The similarity network of embeddings and its modularity, from sums of distances alone.
//!
//! Between two different nodes stands the weight `w_ij = 1 − (d_ij − d_min) / (d_max − d_min)`, on the
//! diagonal 0 (method section 6, the paper's section 3.3 and appendix A). A weight is affine in its
//! distance, so the strength of a node, the weight inside the groups and the total follow from sums of
//! distances, which one pass over the pairs finds together with `d_min` and `d_max`. No N × N matrix is held.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{Result, TopologyError};
use crate::partition::Partition;
use crate::rows::{Embeddings, Prepared, SquaredDistances};

/// Nodes on a side of a block of pairs: a block's distances (32 KiB) and rows stay in the second cache.
const BLOCK: usize = 64;
/// Distances that differ by less than this share of the largest are equal: what is between them is rounding.
const EQUAL: f64 = 1e-12;

/// Where the nodes of a network lie.
#[derive(Debug)]
pub struct Network<'a> {
    geometry: Geometry<'a>,
}

#[derive(Debug)]
enum Geometry<'a> {
    Rows(Prepared<'a>),
    Factored {
        images: &'a SquaredDistances,
        texts: &'a SquaredDistances,
        nodes: &'a [(u32, u32)],
        weight: f64,
    },
}

impl<'a> Network<'a> {
    /// A node per row: what a layer of the language model yields for every pair.
    ///
    /// # Errors
    /// Fewer than two rows.
    pub fn of_rows(rows: Embeddings<'a>) -> Result<Self> {
        enough(rows.len())?;
        Ok(Self { geometry: Geometry::Rows(Prepared::new(rows)) })
    }

    /// Nodes that are pairs (image, text) under the dual embedding [h(x); λ·S(t)]: d² = images + λ²·texts.
    /// `nodes` index `images` and `texts`; `weight` is λ. A layer that sees pictures alone is this with λ =
    /// 0.
    ///
    /// # Errors
    /// Fewer than two nodes, an index that does not exist, λ negative or not finite.
    pub fn of_pairs(
        images: &'a SquaredDistances,
        texts: &'a SquaredDistances,
        nodes: &'a [(u32, u32)],
        weight: f64,
    ) -> Result<Self> {
        enough(nodes.len())?;
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(TopologyError::InvalidWeight(weight));
        }
        for &(image, text) in nodes {
            for (index, count) in [(image as usize, images.len()), (text as usize, texts.len())] {
                if index >= count {
                    return Err(TopologyError::UnknownNode { node: index, nodes: count });
                }
            }
        }
        Ok(Self { geometry: Geometry::Factored { images, texts, nodes, weight } })
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        match &self.geometry {
            Geometry::Rows(rows) => rows.len(),
            Geometry::Factored { nodes, .. } => nodes.len(),
        }
    }

    /// Euclidean distance of two nodes.
    pub fn distance(&self, a: usize, b: usize) -> f64 {
        match &self.geometry {
            Geometry::Rows(rows) => rows.squared_distance(a, b),
            Geometry::Factored { images, texts, nodes, weight } => {
                let ((image, text), (other_image, other_text)) = (nodes[a], nodes[b]);
                images.get(image as usize, other_image as usize)
                    + weight * weight * texts.get(text as usize, other_text as usize)
            }
        }
        .sqrt()
    }

    /// Modularity of each partition; a partition of fewer nodes than the network has is one of the network
    /// among its first nodes (with the least and the largest distance among those). One pass serves all
    /// partitions; parallel over blocks of pairs, and the same bits for every number of threads.
    ///
    /// Defined for every geometry: with all distances equal (within rounding) every weight is 1, the complete
    /// graph; one group gives 0. The total weight is never 0, because the nearest pair has weight 1.
    ///
    /// # Errors
    /// A partition of fewer than two nodes, or of more than there are.
    pub fn modularities(&self, partitions: &[&Partition]) -> Result<Vec<f64>> {
        for partition in partitions {
            enough(partition.nodes())?;
            if partition.nodes() > self.nodes() {
                return Err(TopologyError::Count {
                    what: "nodes of a partition",
                    expected: self.nodes(),
                    given: partition.nodes(),
                });
            }
        }
        let mut ends: Vec<usize> = partitions.iter().map(|partition| partition.nodes()).collect();
        ends.sort_unstable();
        ends.dedup();
        let mut sums = Sums::new(ends.last().copied().unwrap_or(0), partitions.len());
        let mut found = vec![0.0; partitions.len()];
        // Segment by segment, so that the sums among the first nodes are complete before later nodes come in.
        let mut blocks: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for end in ends {
            let fresh: Vec<Range<usize>> =
                (start..end).step_by(BLOCK).map(|from| from..(from + BLOCK).min(end)).collect();
            let known = blocks.len();
            blocks.extend(fresh);
            let pairs: Vec<(usize, usize)> =
                (known..blocks.len()).flat_map(|right| (0..=right).map(move |left| (left, right))).collect();
            let parts: Vec<BlockSums> = pairs
                .par_iter()
                .map(|&(left, right)| {
                    self.sum_block(blocks[left].clone(), blocks[right].clone(), left == right, partitions)
                })
                .collect();
            for (&(left, right), part) in pairs.iter().zip(&parts) {
                sums.add(blocks[left].clone(), blocks[right].clone(), part);
            }
            for (at, partition) in partitions.iter().enumerate().filter(|(_, p)| p.nodes() == end) {
                found[at] = sums.modularity(partition, sums.within[at]);
            }
            start = end;
        }
        Ok(found)
    }

    /// Modularity of one partition; see [`Network::modularities`].
    ///
    /// # Errors
    /// A partition of fewer than two nodes, or of more than there are.
    pub fn modularity(&self, partition: &Partition) -> Result<f64> {
        Ok(self.modularities(&[partition])?[0])
    }

    /// Squared distances of a block of pairs, row-major; with `upper` only those above the diagonal are
    /// meant.
    fn squared_block(&self, rows: Range<usize>, columns: Range<usize>, upper: bool, out: &mut [f64]) {
        match &self.geometry {
            Geometry::Rows(prepared) => prepared.block(rows, columns, upper, out),
            Geometry::Factored { images, texts, nodes, weight } => {
                let squared_weight = weight * weight;
                let others = &nodes[columns];
                for (line, &(image, text)) in out.chunks_exact_mut(others.len()).zip(&nodes[rows]) {
                    let (images, texts) = (images.row(image as usize), texts.row(text as usize));
                    for (squared, &(image, text)) in line.iter_mut().zip(others) {
                        *squared = images[image as usize] + squared_weight * texts[text as usize];
                    }
                }
            }
        }
    }

    fn sum_block(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        diagonal: bool,
        partitions: &[&Partition],
    ) -> BlockSums {
        let width = columns.len();
        let mut distances = vec![0.0; rows.len() * width];
        self.squared_block(rows.clone(), columns.clone(), diagonal, &mut distances);
        for distance in &mut distances {
            *distance = distance.sqrt();
        }
        let mut sums = BlockSums {
            rows: vec![0.0; rows.len()],
            columns: vec![0.0; width],
            within: vec![0.0; partitions.len()],
            least: f64::INFINITY,
            largest: 0.0,
        };
        for (at, line) in distances.chunks_exact(width).enumerate() {
            let from = if diagonal { at + 1 } else { 0 };
            let line = &line[from..];
            let mut strength = 0.0;
            for (distance, column) in line.iter().zip(&mut sums.columns[from..]) {
                strength += distance;
                *column += distance;
                sums.least = sums.least.min(*distance);
                sums.largest = sums.largest.max(*distance);
            }
            sums.rows[at] = strength;
            for (within, partition) in sums.within.iter_mut().zip(partitions) {
                let groups = partition.of_nodes();
                // Nodes that this partition does not cover count for others only.
                if columns.end > groups.len() {
                    continue;
                }
                let own = groups[rows.start + at];
                for (distance, group) in line.iter().zip(&groups[columns.start + from..columns.end]) {
                    *within += if *group == own { *distance } else { 0.0 };
                }
            }
        }
        sums
    }
}

fn enough(nodes: usize) -> Result<()> {
    if nodes < 2 { Err(TopologyError::TooFewNodes(nodes)) } else { Ok(()) }
}

/// Sums over the pairs of one block.
struct BlockSums {
    rows: Vec<f64>,
    columns: Vec<f64>,
    within: Vec<f64>,
    least: f64,
    largest: f64,
}

/// Sums of distances over all pairs seen so far.
struct Sums {
    /// Per node: sum of its distances to the others.
    of_node: Vec<f64>,
    /// Per partition: sum over unordered pairs in one group.
    within: Vec<f64>,
    least: f64,
    largest: f64,
}

impl Sums {
    fn new(nodes: usize, partitions: usize) -> Self {
        Self { of_node: vec![0.0; nodes], within: vec![0.0; partitions], least: f64::INFINITY, largest: 0.0 }
    }

    fn add(&mut self, rows: Range<usize>, columns: Range<usize>, part: &BlockSums) {
        for (sum, distance) in self.of_node[rows].iter_mut().zip(&part.rows) {
            *sum += distance;
        }
        for (sum, distance) in self.of_node[columns].iter_mut().zip(&part.columns) {
            *sum += distance;
        }
        for (sum, distance) in self.within.iter_mut().zip(&part.within) {
            *sum += distance;
        }
        self.least = self.least.min(part.least);
        self.largest = self.largest.max(part.largest);
    }

    /// Modularity of `partition`, given the sum of distances inside its groups; all nodes seen are its nodes.
    fn modularity(&self, partition: &Partition, within: f64) -> f64 {
        let nodes = partition.nodes();
        let mut sizes = vec![0usize; partition.groups()];
        let mut strengths = vec![0.0; partition.groups()];
        // From distances to weights: w = (d_max − d) / (d_max − d_min), each sum so; all equal: w = 1.
        let range = self.largest - self.least;
        let weight = |pairs: f64, distances: f64| {
            if range <= EQUAL * self.largest { pairs } else { (pairs * self.largest - distances) / range }
        };
        let others = (nodes - 1) as f64;
        for (node, &group) in partition.of_nodes().iter().enumerate() {
            sizes[group as usize] += 1;
            strengths[group as usize] += weight(others, self.of_node[node]);
        }
        let pairs: f64 = sizes.iter().map(|&size| (size * (size - 1) / 2) as f64).sum();
        newman(weight(pairs, within), &strengths)
    }
}

/// Q = within/m − Σ (S/2m)² over the groups, from the weight inside the groups (each pair once) and the
/// strength of each group. 0 where there is no weight at all.
fn newman(within: f64, group_strengths: &[f64]) -> f64 {
    let doubled: f64 = group_strengths.iter().sum();
    if doubled <= 0.0 {
        return 0.0;
    }
    if let [_] = group_strengths {
        return 0.0;
    }
    let expected: f64 = group_strengths.iter().map(|strength| (strength / doubled).powi(2)).sum();
    2.0 * within / doubled - expected
}

/// Modularity of any undirected weighted graph, its edges given as (node, node, weight). An edge from a node
/// to itself adds twice its weight to the node's strength, as in Newman 2004 and networkx; edges given twice
/// add up. Without any weight the modularity is 0.
///
/// # Errors
/// An edge to a node that does not exist; a weight that is negative or not finite.
pub fn modularity_of_edges(edges: &[(usize, usize, f64)], partition: &Partition) -> Result<f64> {
    let mut strengths = vec![0.0; partition.groups()];
    let mut within = 0.0;
    for &(a, b, weight) in edges {
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(TopologyError::InvalidWeight(weight));
        }
        let group = |node: usize| {
            let unknown = TopologyError::UnknownNode { node, nodes: partition.nodes() };
            partition.of_nodes().get(node).copied().ok_or(unknown)
        };
        let (own, other) = (group(a)?, group(b)?);
        strengths[own as usize] += weight;
        strengths[other as usize] += weight;
        if own == other {
            within += weight;
        }
    }
    Ok(newman(within, &strengths))
}

#[cfg(test)]
mod tests;
