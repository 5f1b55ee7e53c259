//! What is known of an edit.

use std::collections::BTreeMap;

use reasonedit_editor::{
    Absence, AbsentReason, EditRecord, EditView, EntryView, Evidence, EvidenceSource, ImageInfo,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::canary::BrokenCanaryDto;
use crate::conflict::ConflictDto;
use reasonedit_api::{KindDto, Metadata, OpinionDto, WarningDto, rfc3339, rounded};

use crate::standing::{EditVersionDto, OnConflictDto};

/// An edit with everything known of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Edit)]
pub struct EditDto {
    /// Its ULID.
    #[schema(example = "01KAEJ5W5M3H5C1T5P2R7Q8Y9Z")]
    pub id: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Number of its newest version, which is shown.
    #[schema(minimum = 1)]
    pub version: u32,
    /// Its versions, oldest first.
    pub versions: Vec<EditVersionDto>,
    /// The picture.
    pub image: ImageDto,
    /// The question.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// Answers to choose from; empty if the question has none.
    pub choices: Vec<String>,
    /// Why, statement by statement.
    pub reasoning: Vec<StatementDto>,
    /// What it put into the codebook; empty where the keys of another edit stand for it (`duplicate_of`).
    pub entries: Vec<EntryDto>,
    /// The model's own answer before the edit; `null` where there is none, and `before_absent` says why.
    pub before: Option<OpinionDto>,
    /// Why there is no answer before the edit; absent where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub before_absent: Option<AbsenceDto>,
    /// The answer right after the edit; `null` where there is none, and `after_absent` says why.
    pub after: Option<OpinionDto>,
    /// Why there is no answer after the edit; absent where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub after_absent: Option<AbsenceDto>,
    /// Live edits about the same picture and question that are older and answer otherwise, newest first: they
    /// stand back for this one. Behind them those that contradict it on other pictures, with
    /// `contradiction`: both stand until somebody decides (`POST /conflicts/{id}/resolve`).
    pub conflicts: Vec<ConflictDto>,
    /// The edit that stands in the place of this one, as it names it or answers otherwise about the same
    /// picture and question: what this edit alone says is not put in front of questions until that one is
    /// reverted. `null` while this edit stands.
    pub superseded_by: Option<ConflictDto>,
    /// ULIDs of the edits that this one names: they don't stand while it is live.
    pub supersedes: Vec<String>,
    /// What became of edits that it contradicted.
    pub on_conflict: OnConflictDto,
    /// ULID of the first edit that said exactly the same before: one fact, put in front of questions until
    /// the last edit that says it is taken back. `null` for an edit that says something of its own.
    pub duplicate_of: Option<String>,
    /// Other edits about the same picture and question that give the same answer for other reasons, newest
    /// first.
    pub near_duplicates: Vec<ConflictDto>,
    /// Canaries that it broke; present in the answer that it was made with, if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub broken_canaries: Vec<BrokenCanaryDto>,
    /// Who says so.
    pub author: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// What the client wanted kept.
    #[schema(value_type = Metadata)]
    pub metadata: Value,
    /// ULID of the generation of keys that it was made under.
    pub embedding: String,
    /// ULID of the generation of keys that `entries` are of: the live one.
    pub generation: String,
    /// How often it was used.
    pub fired: FiringsDto,
    /// Milliseconds by stage: queue, patchify, embed, merge, store, total.
    pub timings_ms: BTreeMap<String, f64>,
    /// What of the request was not taken as it came, such as a picture whose greys were scaled.
    pub warnings: Vec<WarningDto>,
}

/// Why an answer of the model isn't there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Absence)]
pub struct AbsenceDto {
    /// For programs.
    pub reason: AbsentReasonDto,
    /// For people.
    pub detail: String,
}

/// Why an answer of the model isn't there, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AbsentReason)]
pub enum AbsentReasonDto {
    /// The edit was to be made without asking the model.
    NotAsked,
    /// The model was asked and gave none.
    Failed,
    /// It was given, perhaps, and not remembered: the edit came from an archive, or the service stopped right
    /// after it was stored.
    NotKept,
}

impl From<&Absence> for AbsenceDto {
    fn from(absence: &Absence) -> Self {
        let reason = match absence.reason {
            AbsentReason::NotAsked => AbsentReasonDto::NotAsked,
            AbsentReason::Failed => AbsentReasonDto::Failed,
            AbsentReason::NotKept => AbsentReasonDto::NotKept,
        };
        Self { reason, detail: absence.detail.clone() }
    }
}

/// How often an edit was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Firings)]
pub struct FiringsDto {
    /// Answers that a statement of the edit was put in front of.
    pub queries: u64,
    /// When that was last; `null` if never.
    #[schema(format = DateTime)]
    pub last_at: Option<String>,
}

/// A picture of an edit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ImageInfo)]
pub struct ImageDto {
    /// BLAKE3 of the uploaded bytes in hex.
    pub id: String,
    /// Columns of the upright picture.
    pub width: u32,
    /// Rows of the upright picture.
    pub height: u32,
}

/// A statement and where the picture shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
pub struct StatementDto {
    /// The statement.
    pub statement: String,
    /// Where the picture shows it.
    pub evidence: Vec<EvidenceDto>,
    /// Probability, by the unedited model, that the whole picture shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub p_yes: Option<f64>,
}

/// A part of the picture that shows a statement.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Evidence)]
pub struct EvidenceDto {
    /// Column of the leftmost pixel.
    pub x: u32,
    /// Row of the topmost pixel.
    pub y: u32,
    /// Columns covered.
    pub width: u32,
    /// Rows covered.
    pub height: u32,
    /// Who found it.
    pub source: EvidenceSourceDto,
    /// Probability that it shows the statement; of boxes that the model found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_yes: Option<f64>,
    /// Per-token log-likelihood of the statement as its description; of boxes that the model found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_likelihood: Option<f64>,
}

/// Who found the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EvidenceSource)]
pub enum EvidenceSourceDto {
    /// The person.
    User,
    /// The model.
    Model,
}

/// An entry that an edit made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Entry)]
pub struct EntryDto {
    /// Its ULID.
    pub id: String,
    /// What it stands for.
    pub kind: KindDto,
    /// Its sentence.
    pub value: String,
    /// Radius of its ball, in units of the embedding space.
    #[schema(minimum = 0)]
    pub radius: f32,
    /// The key it was merged into; `null` if it is a key of its own.
    pub merged_into: Option<String>,
}

/// A page of edits, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EditPage)]
pub struct EditPageDto {
    /// The edits.
    pub edits: Vec<EditDto>,
    /// Where the next page begins; `null` after the last.
    pub next_cursor: Option<String>,
}

impl From<&EditView> for EditDto {
    fn from(view: &EditView) -> Self {
        let EditRecord {
            created_at,
            image,
            question,
            answer,
            choices,
            reasoning,
            author,
            tags,
            metadata,
            embedding,
            before,
            warnings,
            relations,
            ..
        } = &view.record;
        Self {
            id: view.record.known_as().to_string(),
            // The first version is when it was made.
            created_at: view
                .versions
                .first()
                .map_or_else(|| rfc3339(*created_at), |first| rfc3339(first.created_at)),
            version: view.record.version(),
            versions: view.versions.iter().map(Into::into).collect(),
            image: image.into(),
            question: question.clone(),
            answer: answer.clone(),
            choices: choices.clone(),
            reasoning: reasoning
                .iter()
                .map(|s| StatementDto {
                    statement: s.statement.clone(),
                    evidence: s.evidence.iter().map(Into::into).collect(),
                    p_yes: s.p_yes,
                })
                .collect(),
            entries: view.entries.iter().map(Into::into).collect(),
            before: before.as_ref().map(Into::into),
            before_absent: view.before_absent.as_ref().map(Into::into),
            after: view.after.as_ref().map(Into::into),
            after_absent: view.after_absent.as_ref().map(Into::into),
            conflicts: view.conflicts.iter().map(Into::into).collect(),
            superseded_by: view.superseded_by.as_ref().map(Into::into),
            supersedes: view.supersedes.iter().map(ToString::to_string).collect(),
            on_conflict: relations.on_conflict.into(),
            duplicate_of: view.duplicate_of.map(|edit| edit.to_string()),
            near_duplicates: view.near_duplicates.iter().map(Into::into).collect(),
            broken_canaries: view.broken_canaries.iter().map(Into::into).collect(),
            author: author.clone(),
            tags: tags.clone(),
            metadata: if metadata.is_null() { Value::Object(Map::new()) } else { metadata.clone() },
            embedding: embedding.to_string(),
            generation: view.generation.to_string(),
            fired: FiringsDto { queries: view.fired.queries, last_at: view.fired.last.map(rfc3339) },
            timings_ms: rounded(&view.timings_ms),
            warnings: warnings.iter().map(Into::into).collect(),
        }
    }
}

impl From<&ImageInfo> for ImageDto {
    fn from(image: &ImageInfo) -> Self {
        Self { id: image.id.to_string(), width: image.width, height: image.height }
    }
}

impl From<&Evidence> for EvidenceDto {
    fn from(evidence: &Evidence) -> Self {
        Self {
            x: evidence.area.x,
            y: evidence.area.y,
            width: evidence.area.width,
            height: evidence.area.height,
            source: match evidence.source {
                EvidenceSource::User => EvidenceSourceDto::User,
                EvidenceSource::Model => EvidenceSourceDto::Model,
            },
            p_yes: evidence.p_yes,
            log_likelihood: evidence.log_likelihood,
        }
    }
}

impl From<&EntryView> for EntryDto {
    fn from(entry: &EntryView) -> Self {
        Self {
            id: entry.id.to_string(),
            kind: entry.kind.into(),
            value: entry.value.clone(),
            radius: entry.radius,
            merged_into: entry.merged_into.map(|id| id.to_string()),
        }
    }
}
