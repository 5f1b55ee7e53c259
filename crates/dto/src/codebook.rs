//! Codebooks: counts, keys, archives.

use reasonedit_editor::Seeds;
use reasonedit_editor::{CodebookSummary, Embedding, ImportSummary, Key, Sentence, Stats};
use reasonedit_imaging::PixelRules;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use reasonedit_api::{BoxDto, KindDto};

/// Which codebooks are listed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CodebooksParams {
    /// Most codebooks of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[a-z0-9-]{1,64}$")]
    pub cursor: Option<String>,
}

/// A codebook in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CodebookSummary)]
pub struct CodebookSummaryDto {
    /// Its name.
    #[schema(example = "default")]
    pub name: String,
    /// Live edits.
    pub edits: usize,
    /// Keys after merging.
    pub keys: usize,
    /// What is wrong with it; absent unless it is damaged and set aside, so that nothing can be asked of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub damaged: Option<String>,
}

/// A page of codebooks.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CodebookPage)]
pub struct CodebookPageDto {
    /// The codebooks, in order of their names.
    pub codebooks: Vec<CodebookSummaryDto>,
    /// Where the next page begins; `null` after the last.
    pub next_cursor: Option<String>,
}

impl From<CodebookSummary> for CodebookSummaryDto {
    fn from(summary: CodebookSummary) -> Self {
        Self {
            name: summary.name.to_string(),
            edits: summary.edits,
            keys: summary.keys,
            damaged: summary.damaged,
        }
    }
}

/// Counts and settings of a codebook.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Codebook)]
pub struct CodebookDto {
    /// Its name.
    pub name: String,
    /// Live edits.
    pub edits: usize,
    /// Entries of all live edits.
    pub members: usize,
    /// Keys after merging.
    pub keys: usize,
    /// Bytes of keys and values as merged.
    pub bytes_merged: u64,
    /// Bytes of keys and values had nothing been merged.
    pub bytes_unmerged: u64,
    /// Distance beyond which a query retrieves nothing; `null` without keys.
    pub gate_threshold: Option<f64>,
    /// What the keys are made with; `null` before the first edit.
    pub embedding: Option<EmbeddingDto>,
}

/// What the keys of a codebook are made with.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Embedding)]
pub struct EmbeddingDto {
    /// Its ULID.
    pub id: String,
    /// Fingerprint of the model.
    pub model_fingerprint: String,
    /// Fingerprint of the sentence encoder.
    pub encoder_fingerprint: String,
    /// Layer whose output embeds pictures.
    #[schema(example = "vision.7")]
    pub tap: String,
    /// How its tokens become one vector.
    #[schema(example = "mean")]
    pub pooling: String,
    /// Weight of the sentence embedding.
    pub lambda: f64,
    /// Dimensions of the picture's part.
    pub vision_dim: u32,
    /// Dimensions of the sentence's part.
    pub sentence_dim: u32,
    /// How the samples of pictures are read: `declared_range`, or `first` for a codebook of before there was
    /// that. `POST /modularity/reembed` moves one over.
    #[schema(value_type = String, example = "declared_range")]
    pub pixels: PixelRules,
    /// What radii and the gate's sample are drawn by: `content`, so that the same edits in the same order are
    /// the same codebook everywhere, or `ids` for a codebook of before there was that.
    #[schema(value_type = String, example = "content")]
    pub seeds: Seeds,
}

/// Parameters of an import.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// `true` answers 202 with a job as soon as the archive is kept.
    #[param(default = false)]
    pub background: Option<bool>,
}

/// Which keys are listed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EntriesParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// Most keys of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9A-HJKMNP-TV-Z]{26}$")]
    pub cursor: Option<String>,
}

/// A key of the codebook and its values.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyDto {
    /// Its ULID: that of its first member.
    pub id: String,
    /// What its first member stands for.
    pub kind: KindDto,
    /// Radius of its ball, in units of the embedding space.
    #[schema(minimum = 0)]
    pub radius: f32,
    /// Ids of the entries that merged into it, in order; one alone if none did.
    pub members: Vec<String>,
    /// Its sentences, in order.
    pub values: Vec<ValueDto>,
}

/// A sentence of a key, and where it comes from.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Value)]
pub struct ValueDto {
    /// The sentence.
    pub value: String,
    /// What it stands for.
    pub kind: KindDto,
    /// The edits it comes from.
    pub edit_ids: Vec<String>,
    /// The picture it was said about.
    pub image_id: String,
    /// The part of that picture; `null` for the whole.
    pub evidence: Option<BoxDto>,
}

/// A page of keys.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = KeyPage)]
pub struct KeyPageDto {
    /// The keys.
    pub entries: Vec<KeyDto>,
    /// Where the next page begins; `null` after the last.
    pub next_cursor: Option<String>,
}

/// What an import did.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ImportSummary)]
pub struct ImportDto {
    /// Edits taken in.
    pub edits: usize,
    /// Pictures taken in.
    pub images: usize,
    /// Edits that were there already.
    pub skipped: usize,
    /// Edits whose keys were made anew, because the archive's were made with another embedding.
    pub reembedded: usize,
}

impl From<ImportSummary> for ImportDto {
    fn from(summary: ImportSummary) -> Self {
        Self {
            edits: summary.edits,
            images: summary.images,
            skipped: summary.skipped,
            reembedded: summary.reembedded,
        }
    }
}

impl CodebookDto {
    /// The statistics of the codebook of this name.
    pub fn new(name: String, stats: &Stats) -> Self {
        Self {
            name,
            edits: stats.edits,
            members: stats.members,
            keys: stats.keys,
            bytes_merged: stats.bytes_merged,
            bytes_unmerged: stats.bytes_unmerged,
            gate_threshold: stats.threshold,
            embedding: stats.embedding.as_ref().map(Into::into),
        }
    }
}

impl From<&Embedding> for EmbeddingDto {
    fn from(embedding: &Embedding) -> Self {
        Self {
            id: embedding.id.to_string(),
            model_fingerprint: embedding.model_fingerprint.clone(),
            encoder_fingerprint: embedding.encoder_fingerprint.clone(),
            tap: embedding.tap.clone(),
            pooling: embedding.pooling.clone(),
            lambda: embedding.lambda,
            vision_dim: embedding.vision_dim,
            sentence_dim: embedding.sentence_dim,
            pixels: embedding.pixels,
            seeds: embedding.seeds,
        }
    }
}

impl From<&Key> for KeyDto {
    fn from(key: &Key) -> Self {
        Self {
            id: key.id.to_string(),
            kind: key.kind.into(),
            radius: key.radius,
            members: key.members.iter().map(ToString::to_string).collect(),
            values: key.sentences.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Sentence> for ValueDto {
    fn from(sentence: &Sentence) -> Self {
        Self {
            value: sentence.value.clone(),
            kind: sentence.kind.into(),
            edit_ids: sentence.edit_ids.iter().map(ToString::to_string).collect(),
            image_id: sentence.image_id.to_string(),
            evidence: sentence.evidence.map(Into::into),
        }
    }
}
