//! Whether what a codebook says bears on a question.
//!
//! Distance says which edits are nearest, not whether any is near enough. Here a head on sentence embeddings
//! ([`RelevanceHead`]) says how much an edit's question, or a statement, has to do with what is asked
//! ([`EditTexts`]), and a threshold is calibrated on questions that no edit concerns ([`Calibration`]).

mod calibration;
pub mod conformal;
mod error;
mod head;
#[cfg(test)]
mod tests;
mod texts;

pub use calibration::{Calibration, OpenVerdict};
pub use error::RelevanceError;
pub use head::{LinearMap, RelevanceHead, dot, unit};
pub use texts::{EditTexts, FLOOR};
