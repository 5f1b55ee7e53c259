//! What can be wrong with a head.

use std::path::PathBuf;

use thiserror::Error;

/// Why relevance can't be told.
#[derive(Debug, Error)]
pub enum RelevanceError {
    /// A head's file can't be read.
    #[error("relevance head {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that is no head, or a damaged one.
    #[error("{path} is no relevance head: {what}")]
    Head {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A head of another sentence encoder.
    #[error(
        "the relevance head was trained on another sentence encoder (it has {head}, loaded is {loaded}): train one \
         with `reasonedit heads train`, or set editor.retrieval.relevance.enabled = false"
    )]
    OtherEncoder {
        /// Fingerprint that the head bears.
        head: String,
        /// Fingerprint of the encoder in use.
        loaded: String,
    },
    /// A promise that the head's unrelated questions are too few for.
    #[error(
        "{questions} unrelated questions can't promise a share of {share} with confidence {confidence}: \
         at least {needed} are needed"
    )]
    Promise {
        /// Unrelated questions that the head has.
        questions: usize,
        /// The share.
        share: f64,
        /// The confidence.
        confidence: f64,
        /// How many it takes.
        needed: usize,
    },
}
