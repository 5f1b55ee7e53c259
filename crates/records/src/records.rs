//! What is stored of an edit, besides its keys: what the person said, where the evidence lies, and what the
//! model said before.

use std::collections::BTreeMap;
use std::fmt;

use reasonedit_imaging::{PixelBox, PixelRules};
use reasonedit_text::Warning;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::CodebookError;
use crate::ids::{EditId, GenerationId, ImageId};
use crate::relations::Relations;
use crate::seeds::Seeds;

/// Who pointed at an evidence box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceSource {
    /// The person who made the edit drew it.
    User,
    /// The model found it (patchification, paper section 3.2 and appendix C).
    Model,
}

/// A box of the image that shows what a statement says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Pixels of the upright image.
    #[serde(flatten)]
    pub area: PixelBox,
    /// Who pointed at it.
    pub source: EvidenceSource,
    /// Probability in `0..=1` that the patch shows the statement; present where the model was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_yes: Option<f64>,
    /// Log-likelihood per token of the statement given the patch; present where the model was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_likelihood: Option<f64>,
}

/// One statement of the reasoning with the boxes that show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The sentence.
    pub statement: String,
    /// Its evidence; empty if no patch shows it.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// Probability in `0..=1`, by the unedited model, that the whole picture shows it; absent where the model
    /// was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_yes: Option<f64>,
    /// The same of a picture without content: what the model thinks of it whatever the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<f64>,
}

/// The image of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Hash of the uploaded bytes.
    pub id: ImageId,
    /// Columns of the upright image.
    pub width: u32,
    /// Rows of the upright image.
    pub height: u32,
}

/// An answer of the model and how sure it was of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// The answer.
    pub answer: String,
    /// Probability in `0..=1`.
    pub probability: f64,
}

/// The idempotency key under which an edit was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// What the client sent as `Idempotency-Key`.
    pub key: String,
    /// BLAKE3 of the request's body, to tell a repetition from another request under the same key.
    pub body: [u8; 32],
}

/// One edit as it is stored. Append-only: an edit is never rewritten, only reverted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EditRecord {
    /// Its id; the fold orders edits by it.
    pub id: EditId,
    /// When it was made, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The image it is about.
    pub image: ImageInfo,
    /// The question that was answered wrongly.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// The possible answers, if the question has such.
    pub choices: Vec<String>,
    /// Why the answer is right, statement by statement.
    pub reasoning: Vec<Statement>,
    /// Who made the edit.
    pub author: Option<String>,
    /// Labels to find it by.
    pub tags: Vec<String>,
    /// Whatever the caller wants kept beside it.
    pub metadata: serde_json::Value,
    /// The generation that its keys were made by when it was made.
    pub embedding: GenerationId,
    /// The unedited model's answer.
    pub before: Option<Opinion>,
    /// How long each stage took up to the commit, milliseconds.
    pub timings_ms: BTreeMap<String, f64>,
    /// Under which idempotency key it came.
    pub idempotency: Option<Idempotency>,
    /// What of the request was not taken as it came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// How it stands to other edits. Left out where it says nothing, as in records of before there was any.
    #[serde(default, skip_serializing_if = "Relations::say_nothing")]
    pub relations: Relations,
}

impl EditRecord {
    /// The id that people know the edit by, which is that of its first version.
    pub fn known_as(&self) -> EditId {
        self.relations.version.map_or(self.id, |version| version.of)
    }

    /// Which version of the edit it is, from 1.
    pub fn version(&self) -> u32 {
        self.relations.version.map_or(1, |version| version.number)
    }

    /// What it says otherwise than an earlier version: some of `answer`, `reasoning`, `evidence` (boxes that
    /// were drawn), `tags` and `metadata`.
    pub fn changed_since(&self, before: &Self) -> Vec<&'static str> {
        let texts = |record: &Self| -> Vec<String> {
            record.reasoning.iter().map(|said| said.statement.clone()).collect()
        };
        let boxes = |record: &Self| -> Vec<Vec<PixelBox>> {
            let drawn = |evidence: &&Evidence| evidence.source == EvidenceSource::User;
            let of = record.reasoning.iter().map(|said| said.evidence.iter().filter(drawn));
            of.map(|drawn| drawn.map(|evidence| evidence.area).collect()).collect()
        };
        let differing = [
            ("answer", before.answer != self.answer),
            ("reasoning", texts(before) != texts(self)),
            ("evidence", boxes(before) != boxes(self)),
            ("tags", before.tags != self.tags),
            ("metadata", before.metadata != self.metadata),
        ];
        differing.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
    }

    /// Since when the edit answers as it does.
    pub fn said_at(&self) -> OffsetDateTime {
        self.relations.version.map_or(self.created_at, |version| version.said_at)
    }
}

/// An edit that was taken back and not erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevertedEdit {
    /// Which.
    pub edit: EditId,
    /// The edit that it is a version of; itself for the first.
    pub known_as: EditId,
    /// The picture that it is about.
    pub image: ImageId,
}

impl From<&EditRecord> for RevertedEdit {
    fn from(record: &EditRecord) -> Self {
        Self { edit: record.id, known_as: record.known_as(), image: record.image.id }
    }
}

/// What keys are made by. It stands with the keys: distances between keys of two embeddings mean nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Its id; every swap of keys has a new one.
    pub id: GenerationId,
    /// Fingerprint of the vision-language model's weights and configuration.
    pub model_fingerprint: String,
    /// The layer whose output is taken (l* in the paper), as `vision.7`.
    pub tap: String,
    /// How tokens are pooled, `mean` or `last`.
    pub pooling: String,
    /// Weight λ of the sentence part.
    pub lambda: f64,
    /// Fingerprint of the sentence encoder.
    pub encoder_fingerprint: String,
    /// Dimensions of the vision part.
    pub vision_dim: u32,
    /// Dimensions of the sentence part.
    pub sentence_dim: u32,
    /// How the samples of pictures were read. Left out for the first rules: what was stored before there were
    /// others reads back, and is written, as it was.
    #[serde(default, skip_serializing_if = "are_first")]
    pub pixels: PixelRules,
    /// What random choices are seeded by. Left out for ids, as what was stored before there was a choice.
    #[serde(default, skip_serializing_if = "are_ids")]
    pub seeds: Seeds,
}

/// Whether these are ids.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn are_ids(seeds: &Seeds) -> bool {
    *seeds == Seeds::Ids
}

/// Whether these are the rules of the first releases.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn are_first(rules: &PixelRules) -> bool {
    *rules == PixelRules::First
}

impl Embedding {
    /// Dimensions of a key: vision part, then sentence part.
    pub fn dim(&self) -> usize {
        self.vision_dim as usize + self.sentence_dim as usize
    }

    /// Whether keys made by the other may stand beside keys made by this one: all but the id agree.
    pub fn same_space(&self, other: &Self) -> bool {
        Self { id: other.id, ..self.clone() } == *other
    }
}

/// A generation of keys: what they were made by, and who decided on that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// What the keys are made by.
    pub embedding: Embedding,
    /// Whether tap, pooling and λ were chosen for this codebook; else they are what the configuration said.
    pub chosen: bool,
}

/// A generation that is being made beside the live one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// What it will be.
    pub generation: Generation,
    /// Hash of all else that decides its keys (how radii are found, say): only what was made by the same
    /// recipe is gone on with after a restart.
    pub recipe: [u8; 32],
}

impl Draft {
    /// The draft that stands when `wanted` is begun where `self` was left: `self` goes on if the same keys
    /// are wanted, `chosen` or not as it is asked for now.
    ///
    /// # Errors
    /// `Conflict` if other keys are wanted under the same id.
    pub fn followed_by(self, wanted: &Self) -> Result<Self, CodebookError> {
        let (old, new) = (&self.generation.embedding, &wanted.generation.embedding);
        let mut draft = wanted.clone();
        if self.recipe == wanted.recipe && old.same_space(new) {
            draft.generation.embedding.id = old.id;
        } else if old.id == new.id {
            return Err(CodebookError::Conflict("the new generation needs an id of its own".to_owned()));
        }
        Ok(draft)
    }
}

/// Whether the value reads back from JSON as it is. What does not would make a whole codebook unreadable
/// later: JSON has no NaN, and its parser stops at a depth of 128.
pub fn survives_json<T: Serialize + serde::de::DeserializeOwned + PartialEq>(value: &T) -> bool {
    serde_json::to_vec(value)
        .and_then(|bytes| serde_json::from_slice::<T>(&bytes))
        .is_ok_and(|back| back == *value)
}

/// What is wrong with a stored image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageHarm {
    /// Its bytes are others than those it was stored with, or fewer, or more.
    Changed,
    /// Nothing of it is left but its name.
    Empty,
    /// It is gone.
    Missing,
    /// The disk doesn't give it.
    Unreadable,
}

impl ImageHarm {
    /// What is wrong with these bytes under this id, if anything is.
    pub fn of(id: ImageId, bytes: &[u8]) -> Option<Self> {
        match bytes {
            _ if ImageId::of(bytes) == id => None,
            [] => Some(Self::Empty),
            _ => Some(Self::Changed),
        }
    }
}

impl fmt::Display for ImageHarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::Empty => "empty",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        })
    }
}

/// A stored image that can't be had as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct HarmedImage {
    /// Which.
    pub id: ImageId,
    /// What is wrong with it.
    pub harm: ImageHarm,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_pixels_are_part_of_an_embedding_and_the_first_leave_no_trace() {
        let first = Embedding {
            id: GenerationId(ulid::Ulid::from_parts(1, 1)),
            model_fingerprint: "model".to_owned(),
            tap: "vision.3".to_owned(),
            pooling: "mean".to_owned(),
            lambda: 30.0,
            encoder_fingerprint: "encoder".to_owned(),
            vision_dim: 1,
            sentence_dim: 1,
            pixels: PixelRules::First,
            seeds: Seeds::Ids,
        };
        let text = serde_json::to_string(&first).unwrap();
        assert!(!text.contains("pixels"), "{text}");
        assert_eq!(serde_json::from_str::<Embedding>(&text).unwrap(), first);

        let later = Embedding { pixels: PixelRules::DeclaredRange, seeds: Seeds::Content, ..first.clone() };
        let text = serde_json::to_string(&later).unwrap();
        assert!(text.contains(r#""pixels":"declared_range""#), "{text}");
        assert_eq!(serde_json::from_str::<Embedding>(&text).unwrap(), later);
        assert!(!first.same_space(&later), "keys of other pixels don't stand beside each other");
    }

    #[test]
    fn evidence_is_flat_and_floats_come_back_exactly() {
        let evidence = Evidence {
            area: PixelBox { x: 1, y: 2, width: 3, height: 4 },
            source: EvidenceSource::Model,
            p_yes: Some(0.1 + 0.2),
            log_likelihood: Some(-1.1 * 1.1),
        };
        let json = serde_json::to_value(&evidence).unwrap();
        assert_eq!(json["x"], 1);
        assert_eq!(json["source"], "model");
        let text = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);

        let drawn: Evidence =
            serde_json::from_str(r#"{"x":0,"y":0,"width":9,"height":9,"source":"user"}"#).unwrap();
        assert_eq!(drawn.p_yes, None);
        assert_eq!(
            serde_json::to_string(&drawn).unwrap(),
            r#"{"x":0,"y":0,"width":9,"height":9,"source":"user"}"#
        );
    }
}
