//! What can go wrong in a training.

use reasonedit_inference::EngineError;
use thiserror::Error;

/// Why a head can't be trained.
#[derive(Debug, Error)]
pub enum HeadError {
    /// Records that nothing can be learnt from.
    #[error("a head can't be trained on these records: {0}")]
    Records(String),
    /// Settings out of their range.
    #[error("a head can't be trained so: {0}")]
    Settings(&'static str),
    /// The encoder failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The loss became no finite number.
    #[error("the training diverged at step {step}: a smaller rate may help")]
    Diverged {
        /// The step, from 0.
        step: usize,
    },
    /// What was trained is no head: a defect.
    #[error("the trained head can't be used: {0}")]
    Head(String),
}
