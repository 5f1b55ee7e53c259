//! Records of edits with everything that tests them: native ones, and those that others publish.
//!
//! Which records a folder or file holds is told by what they hold ([`Dataset::open`]); whatever the form,
//! they come out as [`Record`]s with their pictures.

mod dataset;
mod error;
mod files;
mod noise;
mod overlap;
mod published;
mod record;
mod splits;
mod truth;
mod vlkeb;

pub use dataset::Dataset;
pub use error::DatasetError;
pub use noise::{NoiseKind, disturb};
pub use overlap::DataDigests;
pub use record::{Probe, ProbeKind, Record, Sample};
pub use truth::{Properties, QuestionTruth, StatementMeaning};
