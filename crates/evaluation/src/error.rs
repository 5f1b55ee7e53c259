//! Why an evaluation fails.

use std::path::PathBuf;

use reasonedit_dataset::DatasetError;
use reasonedit_editor::EditorError;
use reasonedit_tuning::TuningError;
use thiserror::Error;

/// Why an evaluation failed.
#[derive(Debug, Error)]
pub enum EvaluationError {
    /// The data can't be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The data can't be used.
    #[error("the data can't be used: {0}")]
    Data(String),
    /// The editor failed.
    #[error(transparent)]
    Editor(#[from] EditorError),
    /// An editor that changes weights failed.
    #[error(transparent)]
    Tuning(#[from] TuningError),
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
    /// A file of an evaluation that was damaged after it was written.
    #[error("{}: {what}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where, and what to do about it.
        what: String,
    },
    /// A folder that holds what another kind of run has left.
    #[error("--out {}: the folder is that of {holds}; {wanted} needs a folder of its own", folder.display())]
    OtherRun {
        /// The folder.
        folder: PathBuf,
        /// What made it.
        holds: RunKind,
        /// What was to go on there.
        wanted: RunKind,
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

/// What writes into a folder of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// Editors are measured.
    Evaluation,
    /// Settings of editors are tried.
    Tuning,
}

impl std::fmt::Display for RunKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Evaluation => "an evaluation",
            Self::Tuning => "a tuning",
        })
    }
}

impl EvaluationError {
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}
