//! What training data is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditRecord, GenerationId, ImageStore};
use reasonedit_imaging::{DecodeLimits, PixelRules};

use crate::manifest::TrainingModel;

/// In place of a fingerprint that is not known.
const UNKNOWN: &str = "unknown";

/// An edit that may be trained on.
#[derive(Clone, Debug)]
pub struct TrainingEdit {
    /// What is stored of it.
    pub record: Arc<EditRecord>,
    /// Whether a newer edit stands in its place.
    pub superseded: bool,
}

/// One state of a codebook, and where its pictures are.
#[derive(Debug)]
pub struct TrainingSource<'a> {
    /// Its name.
    pub codebook: CodebookName,
    /// How many events of its history led to this state.
    pub revision: u64,
    /// The generation of its keys.
    pub generation: Option<GenerationId>,
    /// The model that is loaded.
    pub model: TrainingModel,
    /// Fingerprints of the models that made the generations of keys that are known: the model that made an
    /// edit's also gave the answer before it.
    pub models: BTreeMap<GenerationId, String>,
    /// Every live edit, oldest first.
    pub edits: Vec<TrainingEdit>,
    /// The uploaded pictures.
    pub images: &'a ImageStore,
    /// What decoding a picture may cost.
    pub limits: &'a DecodeLimits,
    /// How the model saw their samples.
    pub rules: PixelRules,
}

impl TrainingSource<'_> {
    /// How many answers before an edit each model gave, by fingerprint, unless the loaded one gave all.
    pub(crate) fn answers_before(&self) -> Option<BTreeMap<String, u64>> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for edit in self.edits.iter().filter(|edit| edit.record.before.is_some()) {
            let model = self.models.get(&edit.record.embedding);
            *counts.entry(model.map_or(UNKNOWN, String::as_str).to_owned()).or_default() += 1;
        }
        counts.keys().any(|model| *model != self.model.fingerprint).then_some(counts)
    }
}
