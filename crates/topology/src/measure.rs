//! The five figures of one draw: three sample modularities and two biases (method section 6, the paper's
//! appendix A).

use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::error::{Result, TopologyError};
use crate::network::Network;

/// What one draw says of one embedding. All figures lie between −1 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Modularity of the crossings grouped by picture: high where pictures decide what lies near.
    pub vision_modularity: f64,
    /// Modularity of the crossings grouped by text.
    pub language_modularity: f64,
    /// Modularity of crossings and augmentations, each anchor grouped with its augmentations.
    pub bimodal_modularity: f64,
    /// Positive where a pair with another text lies nearer than one with a perturbed picture.
    pub vision_bias: f64,
    /// Positive where a pair with another picture lies nearer than one with a paraphrased text.
    pub language_bias: f64,
}

/// Measures a draw. `network` has the nodes of [`Draw::nodes`] in their order.
///
/// # Errors
/// Another number of nodes than the draw has.
pub fn measure(draw: &Draw, network: &Network<'_>) -> Result<Measures> {
    if network.nodes() != draw.all_nodes() {
        return Err(TopologyError::Count {
            what: "nodes of a draw",
            expected: draw.all_nodes(),
            given: network.nodes(),
        });
    }
    let modularities = network.modularities(&[&draw.by_image(), &draw.by_text(), &draw.by_pair()])?;
    let over_pairs = |near: fn(&Draw, usize) -> Vec<usize>, far: fn(&Draw, usize) -> Vec<usize>| {
        let total: f64 = (0..draw.pairs())
            .map(|pair| {
                let anchor = draw.anchor(pair);
                bias(network, anchor, &near(draw, pair), &far(draw, pair))
            })
            .sum();
        total / draw.pairs() as f64
    };
    Ok(Measures {
        vision_modularity: modularities[0],
        language_modularity: modularities[1],
        bimodal_modularity: modularities[2],
        vision_bias: over_pairs(Draw::image_perturbed, Draw::text_mismatched),
        language_bias: over_pairs(Draw::text_perturbed, Draw::image_mismatched),
    })
}

/// (D(perturbed) − D(mismatched)) / (D(perturbed) + D(mismatched)), D the mean distance of those nodes to
/// `anchor`; between −1 and 1, and 0 where all of them coincide with the anchor. For the vision bias
/// `perturbed` are nodes with the picture perturbed and `mismatched` those with another text, for the
/// language bias with the roles exchanged.
pub fn bias(network: &Network<'_>, anchor: usize, perturbed: &[usize], mismatched: &[usize]) -> f64 {
    let mean = |nodes: &[usize]| {
        let total: f64 = nodes.iter().map(|&node| network.distance(anchor, node)).sum();
        total / nodes.len().max(1) as f64
    };
    let (near, far) = (mean(perturbed), mean(mismatched));
    if near + far > 0.0 { (near - far) / (near + far) } else { 0.0 }
}

#[cfg(test)]
mod tests;
