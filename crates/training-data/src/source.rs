//! What training data is made of.

use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditRecord, GenerationId, ImageStore};
use reasonedit_imaging::{DecodeLimits, PixelRules};

use crate::manifest::TrainingModel;

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
    /// The model that the corrections are about.
    pub model: TrainingModel,
    /// Every live edit, oldest first.
    pub edits: Vec<TrainingEdit>,
    /// The uploaded pictures.
    pub images: &'a ImageStore,
    /// What decoding a picture may cost.
    pub limits: &'a DecodeLimits,
    /// How the model saw their samples.
    pub rules: PixelRules,
}
