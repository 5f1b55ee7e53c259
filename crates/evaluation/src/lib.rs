//! Datasets in, figures out: what edits do to a model's answers, beside what other editors do.
//!
//! [`evaluate`] makes real edits (errors of the unedited model) with every editor and asks everything that
//! tests them; [`EvaluationReport`] makes figures of the outcomes. Editors stand behind one trait,
//! [`BaselineEditor`]; [`EditorRegistry`] makes those that there are.

mod baseline;
mod dataset;
mod editors;
mod estimate;
mod files;
pub mod hit_rates;
mod journal;
mod noise;
mod probes;
mod published;
mod questions;
mod report;
mod run;
mod runner;
mod splits;
#[cfg(test)]
mod testing;
mod vlkeb;

use std::path::PathBuf;

use reasonedit_editor::EditorError;
use thiserror::Error;

pub use baseline::{
    BaselineEditor, EditorCorrection, EditorFactory, EditorQuestion, EditorReply, MemoryFootprint, Profile,
    RetrievalSetting,
};
pub use dataset::{Dataset, Probe, ProbeKind, Record, Sample};
pub use editors::{EditorRegistry, EditorVariant, GraceSettings, REASONEDIT, UNEDITED, editor_names};
pub use estimate::{Bootstrap, Estimate};
pub use journal::{OutcomeJournal, PassEnd, QuestionOutcome};
pub use noise::NoiseKind;
pub use probes::perception;
pub use questions::{EvaluationQuestion, Metric};
pub use report::{
    Course, Drift, EditorFigures, EvaluationReport, MetricFigure, MetricFigures, Named, NoiseFigures,
    Provenance, SweepFigures, Test,
};
pub use run::{EvaluationPlan, Measured, ProgressCallback, Sequential, evaluate};

/// Why an evaluation failed.
#[derive(Debug, Error)]
pub enum EvaluationError {
    /// The data can't be read.
    #[error("the data can't be used: {0}")]
    Data(String),
    /// The editor failed.
    #[error(transparent)]
    Editor(#[from] EditorError),
    /// There is no editor of this name.
    #[error("there is no editor `{name}`; there are: {known}")]
    UnknownEditor {
        /// What was asked for.
        name: String,
        /// What can be.
        known: String,
    },
    /// Settings under a name that can't be used.
    #[error("the variant `{name}` can't be made: {what}")]
    Variant {
        /// Its name, or its text.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The service that is measured failed, or answered what was not asked.
    #[error("{0}")]
    Service(String),
    /// A folder of results that this evaluation can't go on with.
    #[error("{}: {what}; results of other settings belong into another folder", file.display())]
    Resume {
        /// The file that says so.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file that can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's word on it.
        source: std::io::Error,
    },
}

impl EvaluationError {
    fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}
