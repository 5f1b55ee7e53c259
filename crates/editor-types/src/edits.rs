//! What an edit is asked for, and what is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use reasonedit_codebook::{
    EditId, EditRecord, EntryView, Evidence, GenerationId, ImageInfo, OnConflict, Opinion,
};
use reasonedit_conflicts::{ConflictReason, FoundConflict, Resolution};
use reasonedit_imaging::{DrawnBox, PixelBox};
use reasonedit_text::Warning;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::{BrokenCanary, ImageSource};

/// One statement of a person's reasoning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementInput {
    /// The statement, one sentence.
    pub statement: String,
    /// Boxes the person drew, fitted to the picture when the edit is made; empty: the model looks for the
    /// evidence.
    pub evidence: Vec<DrawnBox>,
}

/// Idempotency key of a request, and the digest of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As sent by the client.
    pub key: String,
    /// BLAKE3 of the canonical body.
    pub body: [u8; 32],
    /// What the same body came to before: an edit that was made under one of these is this request's, too.
    pub former: Vec<[u8; 32]>,
}

/// A correction: what was shown and asked, what is right, and why.
#[derive(Clone, Debug)]
pub struct EditRequest {
    /// The picture.
    pub image: ImageSource,
    /// The question that was answered wrongly.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// Why, statement by statement; may be empty.
    pub reasoning: Vec<StatementInput>,
    /// Answers to choose from, if the question has such.
    pub choices: Vec<String>,
    /// Who says so.
    pub author: Option<String>,
    /// Labels for filtering.
    pub tags: Vec<String>,
    /// Anything the client wants kept: a JSON object.
    pub metadata: serde_json::Value,
    /// Live edits that don't stand for as long as this one is live.
    pub supersedes: Vec<EditId>,
    /// What becomes of older edits about the same picture and question that answer otherwise; by the
    /// configuration where it isn't said.
    pub on_conflict: Option<OnConflict>,
    /// Ask the model before and after.
    pub verify: bool,
    /// Makes repeating the request harmless.
    pub idempotency: Option<IdempotencyKey>,
    /// What was not taken as it came before the editor saw it; what the editor finds is added.
    pub warnings: Vec<Warning>,
}

impl EditRequest {
    /// Only what a correction can't do without; the model is not asked before and after.
    pub fn new(image: ImageSource, question: impl Into<String>, answer: impl Into<String>) -> Self {
        Self {
            image,
            question: question.into(),
            answer: answer.into(),
            reasoning: Vec::new(),
            choices: Vec::new(),
            author: None,
            tags: Vec::new(),
            metadata: serde_json::Value::Null,
            supersedes: Vec::new(),
            on_conflict: None,
            verify: false,
            idempotency: None,
            warnings: Vec::new(),
        }
    }
}

/// What a new version of an edit says otherwise than the one before; what is left out stays.
#[derive(Clone, Debug, Default)]
pub struct Amendment {
    /// The right answer.
    pub answer: Option<String>,
    /// Why, statement by statement.
    pub reasoning: Option<Vec<StatementInput>>,
    /// Labels.
    pub tags: Option<Vec<String>>,
    /// What the client wants kept.
    pub metadata: Option<serde_json::Value>,
    /// Live edits that it takes the place of, besides those of the version before.
    pub supersedes: Vec<EditId>,
    /// Who says so.
    pub author: Option<String>,
    /// Ask the model after it.
    pub verify: bool,
    /// The stored ids of the versions that it is for, if that matters.
    pub expected: Option<Vec<EditId>>,
    /// Makes repeating the request harmless.
    pub idempotency: Option<IdempotencyKey>,
    /// What was not taken as it came before the editor saw it.
    pub warnings: Vec<Warning>,
}

impl From<&str> for StatementInput {
    /// Without boxes: the model looks for the evidence.
    fn from(statement: &str) -> Self {
        Self { statement: statement.to_owned(), evidence: Vec::new() }
    }
}

/// An edit with everything known of it.
#[derive(Clone, Debug)]
pub struct EditView {
    /// What was stored.
    pub record: EditRecord,
    /// Its entries as they stand in the codebook now.
    pub entries: Vec<EntryView>,
    /// The generation of keys that the entries are of: the live one. `record.embedding` is the one that it
    /// was made under.
    pub generation: GenerationId,
    /// The model's answer to the edited question with the codebook, right after the edit.
    pub after: Option<Opinion>,
    /// Why there is no such answer; `None` where there is.
    pub after_absent: Option<Absence>,
    /// Why `record.before` is empty; `None` where it isn't.
    pub before_absent: Option<Absence>,
    /// Live edits about the same picture and question that are older and answer otherwise, newest first.
    pub conflicts: Vec<Conflict>,
    /// The edit that stands in the place of this one, as it names it or answers otherwise about the same:
    /// nothing that this edit alone says is retrieved.
    pub superseded_by: Option<Conflict>,
    /// Edits that it names: they don't stand while it is live.
    pub supersedes: Vec<EditId>,
    /// The first edit that said exactly the same before: its keys stand for both.
    pub duplicate_of: Option<EditId>,
    /// Edits about the same picture and question that give the same answer for other reasons, newest first.
    pub near_duplicates: Vec<Conflict>,
    /// Its versions, oldest first; the last is what is shown.
    pub versions: Vec<EditVersion>,
    /// Milliseconds by stage of the request that made it: queue, patchify, embed, merge, store, total.
    pub timings_ms: BTreeMap<String, f64>,
    /// How often it was used.
    pub fired: Firings,
    /// Canaries that it broke, right after it was made.
    pub broken_canaries: Vec<BrokenCanary>,
    /// Whether this is a replay of an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// Why an answer of the model isn't there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// For programs.
    pub reason: AbsentReason,
    /// For people.
    pub detail: String,
}

/// Why an answer of the model isn't there, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentReason {
    /// The edit was to be made without asking the model.
    NotAsked,
    /// The model was asked and gave none.
    Failed,
    /// It was given, perhaps, and not remembered: the edit came from an archive, or the service stopped right
    /// after it was stored.
    NotKept,
}

impl Absence {
    /// Nobody asked the model.
    pub fn not_asked() -> Self {
        Self::new(AbsentReason::NotAsked, "The edit was made without asking the model.")
    }

    /// What it said is not remembered.
    pub fn not_kept() -> Self {
        let detail = "It was not kept: the edit came from an archive, or the service stopped right after it was stored.";
        Self::new(AbsentReason::NotKept, detail)
    }

    /// It gave no answer, and this is why, for people.
    pub fn failed(detail: &str) -> Self {
        Self::new(AbsentReason::Failed, detail)
    }

    fn new(reason: AbsentReason, detail: &str) -> Self {
        Self { reason, detail: detail.to_owned() }
    }
}

/// One version of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditVersion {
    /// Its number, from 1.
    pub number: u32,
    /// The id that it is stored under.
    pub stored_as: EditId,
    /// When it was made, UTC.
    pub created_at: OffsetDateTime,
    /// Who made it.
    pub author: Option<String>,
    /// What differs from the one before: `answer`, `reasoning`, `evidence`, `tags`, `metadata`; of
    /// the first nothing.
    pub changed: Vec<&'static str>,
}

impl EditVersion {
    /// Versions of one edit, oldest first.
    pub fn all(records: &[&Arc<EditRecord>]) -> Vec<Self> {
        let before = std::iter::once(None).chain(records.iter().map(Some));
        let versions = records.iter().zip(before).map(|(record, before)| Self {
            number: record.version(),
            stored_as: record.id,
            created_at: record.created_at,
            author: record.author.clone(),
            changed: before.map(|before| record.changed_since(before)).unwrap_or_default(),
        });
        versions.collect()
    }
}

/// Another edit about the same picture and question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The edit, as it is known.
    pub edit_id: EditId,
    /// Its answer.
    pub answer: String,
    /// Who made it.
    pub author: Option<String>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// How the two contradict each other, where they were held against each other.
    pub found: Option<Contradiction>,
}

/// How an edit and another contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// The pair, if it is kept.
    pub id: Option<Ulid>,
    /// What they disagree in.
    pub reason: ConflictReason,
    /// What the edit says.
    pub says: String,
    /// What the other says against it.
    pub other_says: String,
    /// What was decided about the pair.
    pub resolution: Option<Resolution>,
}

/// A pair of edits that contradict each other.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictView {
    /// The pair.
    pub pair: FoundConflict,
    /// The edits as they are now, the one that was there first.
    pub edits: [Conflict; 2],
    /// What each says against the other.
    pub says: [String; 2],
    /// Whether both stand and nothing was decided, or somebody is to be asked.
    pub open: bool,
}

impl From<&EditRecord> for Conflict {
    fn from(record: &EditRecord) -> Self {
        Self {
            edit_id: record.known_as(),
            answer: record.answer.clone(),
            author: record.author.clone(),
            created_at: record.created_at,
            found: None,
        }
    }
}

/// How often an edit was used. For people to look at: what was counted in the last seconds before a crash is
/// lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firings {
    /// Answers that a sentence of the edit was put in front of.
    pub queries: u64,
    /// The last of them.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last: Option<OffsetDateTime>,
}

impl Firings {
    /// With these as well.
    pub fn and(self, other: Self) -> Self {
        Self { queries: self.queries + other.queries, last: self.last.max(other.last) }
    }
}

/// Candidate evidence that was looked at for a statement.
#[derive(Clone, Debug)]
pub struct PatchOpinion {
    /// The candidate.
    pub area: PixelBox,
    /// Probability that it shows the statement.
    pub p_yes: f64,
    /// Per-token log-likelihood of the statement as its description; only for kept patches.
    pub log_likelihood: Option<f64>,
}

/// Where a picture shows some statements, by the model.
#[derive(Clone, Debug)]
pub struct EvidenceFound {
    /// The picture.
    pub image: ImageInfo,
    /// What was found for each statement.
    pub searches: Vec<PatchSearch>,
    /// Probability that the whole picture shows each statement.
    pub p_yes: Vec<f64>,
    /// What of the picture was not taken as it came.
    pub warnings: Vec<Warning>,
    /// Milliseconds spent waiting for the engine.
    pub queue_ms: f64,
    /// Milliseconds of everything.
    pub total_ms: f64,
}

/// Evidence found for one statement, and everything that was looked at.
#[derive(Clone, Debug, Default)]
pub struct PatchSearch {
    /// What was chosen: at most one best patch and the best among the smallest.
    pub evidence: Vec<Evidence>,
    /// Every candidate.
    pub candidates: Vec<PatchOpinion>,
}
