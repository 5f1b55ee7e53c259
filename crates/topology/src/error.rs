//! What can go wrong, told apart as far as a caller can act on it.

/// Every failure of this crate: always the arguments, never the machine.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// A number that is not finite stands in an embedding.
    #[error(
        "row {row} of the embeddings holds {value} in component {component}: only finite numbers can be compared"
    )]
    NotFinite {
        /// Which row.
        row: usize,
        /// Which component of it.
        component: usize,
        /// What stands there.
        value: f32,
    },
    /// Numbers do not come in whole rows.
    #[error("{values} numbers are not whole rows of {dimensions} components")]
    RaggedRows {
        /// Count of numbers given.
        values: usize,
        /// Components of a row.
        dimensions: usize,
    },
    /// Two things that describe the same nodes, pictures or texts differ in their number.
    #[error("{what}: {expected} expected, {given} given")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        given: usize,
    },
    /// A network needs two nodes at least.
    #[error("a similarity network needs two nodes at least, not {0}")]
    TooFewNodes(usize),
    /// A draw takes more samples than there are.
    #[error("a draw of {needed} pairs needs {needed} samples at least; there are {available}")]
    TooFewSamples {
        /// Samples a draw takes.
        needed: usize,
        /// Samples there are.
        available: usize,
    },
    /// A draw of pairs is too small to be crossed.
    #[error("a draw needs two pairs at least, not {0}")]
    TooFewPairs(usize),
    /// A weight that is negative or not finite.
    #[error("{0} is not a weight: it must be finite and not negative")]
    InvalidWeight(f64),
    /// An edge names a node that does not exist.
    #[error("an edge names node {node}; there are {nodes}")]
    UnknownNode {
        /// The node named.
        node: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// No run was measured, or there is nothing to choose among.
    #[error("nothing to choose among: {0}")]
    NothingMeasured(&'static str),
    /// Runs differ in what they measured, so they can't be averaged.
    #[error("run {run} did not measure the same as run 0: {difference}")]
    RunsDiffer {
        /// Which run, from 0.
        run: usize,
        /// What is different.
        difference: String,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, TopologyError>;
