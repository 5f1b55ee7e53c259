//! What was written, from what, and what was left out.

use std::collections::BTreeMap;

use reasonedit_codebook::{CodebookName, GenerationId};
use serde::Serialize;

use crate::options::TrainingOptions;

/// `manifest.json`, the last entry of an archive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingManifest {
    /// Version of what this file and the archive look like.
    pub version: u32,
    /// What was asked for.
    #[serde(flatten)]
    pub options: TrainingOptions,
    /// Of which codebook, and of which state.
    pub codebook: TrainingCodebook,
    /// The model that is loaded.
    pub model: TrainingModel,
    /// Where another model than this one had given answers before an edit: how many answers each gave, by its
    /// fingerprint; `unknown` counts those of generations of keys that are kept no longer, or of another
    /// codebook's. Left out where all are by the loaded model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers_before: Option<BTreeMap<String, u64>>,
    /// Where the rows are, and how many; a side without any has no file.
    pub sides: BTreeMap<&'static str, TrainingSide>,
    /// What became of the pictures.
    pub pictures: TrainingPictures,
    /// Live edits that no row was made of.
    pub left_out: LeftOut,
    /// Rows in whose texts something that looked like a mark of a trainer or a model was broken up.
    pub escaped: u64,
    /// Rows of edits that have no reasoning.
    pub without_reasoning: u64,
}

/// The state of a codebook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainingCodebook {
    /// Its name.
    pub name: CodebookName,
    /// How many events of its history led here.
    pub revision: u64,
    /// The generation of its keys.
    pub generation: Option<GenerationId>,
    /// Live edits.
    pub edits: u64,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainingModel {
    /// `model_type` of its configuration.
    pub architecture: String,
    /// Hash over configuration, tokenizer and weights.
    pub fingerprint: String,
}

/// One side of a split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainingSide {
    /// Path of the rows in the archive; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Rows.
    pub rows: u64,
}

/// What became of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainingPictures {
    /// Written; inside of rows, once for each row.
    pub written: u64,
    /// Of these, made into PNG because programs show the uploaded file each in their own way.
    pub converted: u64,
}

/// Live edits that no row was made of, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// A newer edit of the same picture and question has another answer.
    pub superseded: u64,
    /// It is not known what the model had said before.
    pub answer_before_unknown: u64,
    /// The model had given the right answer before.
    pub answer_before_right: u64,
    /// The picture is lost or damaged.
    pub picture_unreadable: u64,
}

impl LeftOut {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.superseded + self.answer_before_unknown + self.answer_before_right + self.picture_unreadable
    }
}
