//! Edits that contradict each other.

use reasonedit_api::{EditIdInput, rfc3339};
use reasonedit_editor::{Conflict, ConflictReason, ConflictView, Contradiction, Decision, Resolution};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What two edits disagree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConflictReason)]
pub enum ConflictReasonDto {
    /// They answer the same question otherwise, and what each says holds on the picture of the other.
    Answer,
    /// What they say differs in a side.
    Side,
    /// One denies what the other affirms.
    Negation,
    /// They name other counts or measures.
    Number,
    /// They use words that exclude each other.
    Opposite,
}

impl From<ConflictReason> for ConflictReasonDto {
    fn from(reason: ConflictReason) -> Self {
        match reason {
            ConflictReason::Answer => Self::Answer,
            ConflictReason::Side => Self::Side,
            ConflictReason::Negation => Self::Negation,
            ConflictReason::Number => Self::Number,
            ConflictReason::Opposite => Self::Opposite,
        }
    }
}

/// What is decided about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConflictDecision)]
pub enum DecisionDto {
    /// One of them stands, the other is superseded by a new version of it.
    Keep,
    /// Both stand, each under a condition.
    KeepBoth,
    /// Somebody else is to say; the pair stays open.
    Ask,
    /// It is undecided again. An edit that was superseded comes back when the version that supersedes it is
    /// undone.
    Reopen,
}

/// A decision about a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConflictResolution)]
pub struct ResolutionDto {
    /// What was decided.
    pub decision: DecisionDto,
    /// ULID of the edit that is kept; `null` unless one is.
    pub keep: Option<String>,
    /// Under which condition both hold, or whom to ask.
    pub note: Option<String>,
    /// Who decided, where tokens are given to names.
    pub by: Option<String>,
    /// When, RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
}

impl From<&Resolution> for ResolutionDto {
    fn from(resolution: &Resolution) -> Self {
        let (decision, keep) = match resolution.decision {
            Decision::Keep(edit) => (DecisionDto::Keep, Some(edit.to_string())),
            Decision::KeepBoth => (DecisionDto::KeepBoth, None),
            Decision::Ask => (DecisionDto::Ask, None),
            Decision::Reopen => (DecisionDto::Reopen, None),
        };
        Self {
            decision,
            keep,
            note: resolution.note.clone(),
            by: resolution.by.clone(),
            at: rfc3339(resolution.at),
        }
    }
}

/// Another edit, mostly about the same picture and question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Conflict)]
pub struct ConflictDto {
    /// Its ULID.
    #[schema(example = "01KAEJ5W5M3H5C1T5P2R7Q8Y9Z")]
    pub edit_id: String,
    /// Its answer.
    pub answer: String,
    /// Who made it.
    pub author: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// How the two contradict each other; absent where they were not held against each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub contradiction: Option<ContradictionDto>,
}

/// How an edit and another contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Contradiction)]
pub struct ContradictionDto {
    /// ULID of the pair, for `/conflicts/{id}`; `null` in a dry run.
    pub id: Option<String>,
    /// What they disagree in.
    pub reason: ConflictReasonDto,
    /// What this edit says.
    pub says: String,
    /// What the other says against it.
    pub other_says: String,
    /// What was decided about the pair; `null` where nothing was.
    pub resolution: Option<ResolutionDto>,
}

impl From<&Contradiction> for ContradictionDto {
    fn from(found: &Contradiction) -> Self {
        Self {
            id: found.id.map(|id| id.to_string()),
            reason: found.reason.into(),
            says: found.says.clone(),
            other_says: found.other_says.clone(),
            resolution: found.resolution.as_ref().map(Into::into),
        }
    }
}

impl From<&Conflict> for ConflictDto {
    fn from(conflict: &Conflict) -> Self {
        Self {
            edit_id: conflict.edit_id.to_string(),
            answer: conflict.answer.clone(),
            author: conflict.author.clone(),
            created_at: rfc3339(conflict.created_at),
            contradiction: conflict.found.as_ref().map(Into::into),
        }
    }
}

/// One edit of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConflictingEdit)]
pub struct ConflictingEditDto {
    /// The edit.
    #[serde(flatten)]
    pub edit: ConflictDto,
    /// What it says against the other: a statement, or its answer.
    pub says: String,
}

/// A pair of edits that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConflictPair)]
pub struct ConflictPairDto {
    /// Its ULID.
    pub id: String,
    /// When it was found, RFC 3339.
    #[schema(format = DateTime)]
    pub found_at: String,
    /// Whether both still stand and nothing was decided.
    pub open: bool,
    /// What they disagree in.
    pub reason: ConflictReasonDto,
    /// The one that was there first, and the other.
    #[schema(min_items = 2, max_items = 2)]
    pub edits: Vec<ConflictingEditDto>,
    /// The decision that stands; `null` where there is none.
    pub resolution: Option<ResolutionDto>,
    /// All decisions, oldest first.
    pub history: Vec<ResolutionDto>,
}

impl From<ConflictView> for ConflictPairDto {
    fn from(view: ConflictView) -> Self {
        let ConflictView { pair, edits, says, open } = view;
        let edits = edits.iter().zip(says);
        Self {
            id: pair.id.to_string(),
            found_at: rfc3339(pair.at),
            open,
            reason: pair.reason.into(),
            edits: edits.map(|(edit, says)| ConflictingEditDto { edit: edit.into(), says }).collect(),
            resolution: pair.resolution().map(Into::into),
            history: pair.resolutions.iter().map(Into::into).collect(),
        }
    }
}

/// A page of pairs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ConflictPage)]
pub struct ConflictPageDto {
    /// Newest first.
    pub conflicts: Vec<ConflictPairDto>,
    /// `cursor` of the next page; `null` where this is the last.
    pub next_cursor: Option<String>,
}

/// Parameters of a page of pairs.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConflictParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// Those of which both stand and nothing was decided (`true`), or all others (`false`).
    pub open: Option<bool>,
    /// Those that this edit is one of: its ULID.
    #[param(value_type = Option<String>)]
    pub edit: Option<EditIdInput>,
    /// At most so many, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// What is to be decided about a pair.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConflictResolutionInput)]
pub struct ResolutionInput {
    /// What is decided.
    pub decision: DecisionDto,
    /// ULID of the edit that is kept, where one is.
    #[schema(value_type = Option<String>, example = "01KAEJ5W5M3H5C1T5P2R7Q8Y9Z")]
    pub keep: Option<EditIdInput>,
    /// Under which condition both hold (needed for `keep_both`), or whom to ask.
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}
