//! Names of the passes: rounds of questions, as the journal has them.

use crate::baseline::RetrievalSetting;
use reasonedit_dataset::NoiseKind;

/// The pass of all edits and all questions.
pub(crate) const STATIC: &str = "static";
/// The pass of each edit alone on the unedited model; also the name of these edits.
pub(crate) const SINGLE: &str = "single";
/// What the passes of the sequential protocol begin with.
pub(crate) const SEQUENTIAL: &str = "sequential:";
/// The edits as they are, one after another, without noise.
pub(crate) const PLAIN: &str = "plain";

/// Name of the pass at a test of the sequential protocol.
pub(crate) fn sequential_pass(edits: usize, sample: usize) -> String {
    format!("{SEQUENTIAL}{sample}:{edits}")
}

/// Name of the pass with the first edits alone.
pub(crate) fn size_pass(edits: usize) -> String {
    format!("{STATIC}:{edits}")
}

/// Name of the pass with noise.
pub(crate) fn noise_pass(kind: NoiseKind, percent: u32) -> String {
    format!("noise:{}:{percent}", kind.name())
}

/// Name of the pass with a setting of retrieval.
pub(crate) fn sweep_pass(setting: RetrievalSetting, value: f64) -> String {
    format!("{}:{value}", setting.name())
}
