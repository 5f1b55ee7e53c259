//! Datasets in, figures out: what edits do to a model's answers.
//!
//! [`quality`] makes real edits (errors of the unedited model) in one codebook and asks everything that tests them.

mod dataset;
mod published;
mod quality;

use reasonedit_editor::EditorError;
use thiserror::Error;

pub use dataset::{Dataset, Probe, ProbeKind, Record, Sample};
pub use quality::{Figure, QualityOptions, QualityReport, quality};

/// Why an evaluation failed.
#[derive(Debug, Error)]
pub enum EvaluationError {
    /// The data can't be read.
    #[error("the data can't be used: {0}")]
    Data(String),
    /// The editor failed.
    #[error(transparent)]
    Editor(#[from] EditorError),
}
