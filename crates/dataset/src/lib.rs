//! Records of edits with everything that tests them: native ones, and those that others publish.
//!
//! Which records a folder or file holds is told by what they hold ([`Dataset::open`]); whatever the form,
//! they come out as [`Record`]s with their pictures.

mod dataset;
mod error;
mod files;
mod published;
mod record;
mod splits;
mod vlkeb;

pub use dataset::Dataset;
pub use error::DatasetError;
pub use record::{Probe, ProbeKind, Record, Sample};
