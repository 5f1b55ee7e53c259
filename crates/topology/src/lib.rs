//! Which layer embeds pictures and texts well, and how much the text should weigh: embeddings as a similarity
//! network, its modularity by picture, by text and by pair, two biases, and the choice that follows
//! (method section 6, the paper's section 3.3 and appendix A).
//!
//! Pure: no I/O, no clock, no global state. Every random choice follows from a seed that the caller hands in.
//! f32 in, f64 throughout.
//!
//! How well embeddings keep two groups apart:
//!
//! ```
//! use reasonedit_topology::{Embeddings, Network, Partition};
//!
//! # fn main() -> reasonedit_topology::Result<()> {
//! // Two things near (0, 0) and two near (3, 4), one row each.
//! let values = [0.0, 0.1, 0.1, 0.0, 3.0, 4.0, 3.1, 4.0];
//! let network = Network::of_rows(Embeddings::new(&values, 2)?)?;
//! let apart = network.modularity(&Partition::new(&[0, 0, 1, 1]))?;
//! let mixed = network.modularity(&Partition::new(&[0, 1, 0, 1]))?;
//! assert!(apart > 0.0 && mixed < 0.0);
//! # Ok(())
//! # }
//! ```

mod draw;
mod error;
pub mod figure;
mod markdown;
mod measure;
mod network;
mod partition;
mod report;
mod rows;
mod select;
mod statistic;
#[cfg(test)]
mod testing;

pub use draw::{Draw, Item, Node, deal};
pub use error::{Result, TopologyError};
pub use measure::{Measures, bias, measure};
pub use network::{Network, modularity_of_edges};
pub use partition::Partition;
pub use report::{InUse, MeasuredOn, ModularityReport, NetworkSample, Selection};
pub use rows::{Embeddings, SquaredDistances};
pub use select::{
    Choice, ModularityFigures, Pooling, Stage, TapKey, TapMeasures, TapReport, WeightMeasures, WeightReport,
    log_spaced, select_tap, select_weight, summarise_taps, summarise_weights,
};
pub use statistic::{Lead, Statistic, harmonic_mean};
