//! What people say of answers.

use reasonedit_api::{EditIdInput, rfc3339};
use reasonedit_feedback::{Feedback, FeedbackTally, FeedbackVerdict};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Whether a person agrees to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FeedbackVerdict)]
pub enum FeedbackVerdictDto {
    /// It is right.
    Agree,
    /// It is wrong. What would be right is said by an edit.
    Disagree,
}

impl From<FeedbackVerdictDto> for FeedbackVerdict {
    fn from(verdict: FeedbackVerdictDto) -> Self {
        match verdict {
            FeedbackVerdictDto::Agree => Self::Agree,
            FeedbackVerdictDto::Disagree => Self::Disagree,
        }
    }
}

impl From<FeedbackVerdict> for FeedbackVerdictDto {
    fn from(verdict: FeedbackVerdict) -> Self {
        match verdict {
            FeedbackVerdict::Agree => Self::Agree,
            FeedbackVerdict::Disagree => Self::Disagree,
        }
    }
}

/// A person's word on an answer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FeedbackInput)]
pub struct FeedbackInput {
    /// Whether they agree.
    pub verdict: FeedbackVerdictDto,
    /// Which answer: the `X-Request-Id` that it came with.
    #[schema(min_length = 1, max_length = 128, example = "01K5WG1QF9JXSEV9QS0T9T8F6C")]
    pub answer_id: String,
    /// The edits whose statements stood in front of the question: `edit_ids` of the answer's
    /// `retrieval.facts`. None, where the model answered by itself.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 256)]
    pub edits: Vec<EditIdInput>,
}

/// A person's word on an answer, as it is kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Feedback)]
pub struct FeedbackDto {
    /// Its ULID.
    pub id: String,
    /// When it was given last, RFC 3339.
    pub at: String,
    /// The codebook that the question was put to.
    pub codebook: String,
    /// Which answer.
    pub answer_id: String,
    /// The edits whose statements stood in front of the question.
    pub edits: Vec<String>,
    /// Whether they agree.
    pub verdict: FeedbackVerdictDto,
    /// Whose word it is, where tokens are given to names.
    pub by: Option<String>,
}

impl From<Feedback> for FeedbackDto {
    fn from(word: Feedback) -> Self {
        Self {
            id: word.id.to_string(),
            at: rfc3339(word.at),
            codebook: word.codebook.to_string(),
            answer_id: word.answer,
            edits: word.edits.iter().map(ToString::to_string).collect(),
            verdict: word.verdict.into(),
            by: word.by,
        }
    }
}

/// How often people agreed, and disagreed, with answers that an edit stood in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FeedbackTally)]
pub struct FeedbackTallyDto {
    /// Agreed.
    pub agree: u64,
    /// Disagreed.
    pub disagree: u64,
}

impl From<FeedbackTally> for FeedbackTallyDto {
    fn from(tally: FeedbackTally) -> Self {
        Self { agree: tally.agree, disagree: tally.disagree }
    }
}

/// An edit that people said something of.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EditFeedback)]
pub struct EditFeedbackDto {
    /// The edit's ULID. It may have been taken back since.
    pub edit: String,
    /// How often people agreed, and disagreed, with answers that it stood in front of.
    #[serde(flatten)]
    pub tally: FeedbackTallyDto,
}

/// A page of what people said of answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FeedbackPage)]
pub struct FeedbackPageDto {
    /// Newest first.
    pub feedback: Vec<FeedbackDto>,
    /// `cursor` of the next page; `null` where this is the last.
    pub next_cursor: Option<String>,
}

/// The edits of a codebook that people said something of.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EditFeedbackList)]
pub struct EditFeedbackListDto {
    /// Those that were disagreed with most come first.
    pub edits: Vec<EditFeedbackDto>,
}

/// Parameters of a page of what people said.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedbackParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// On answers that this edit stood in front of: its ULID.
    #[param(value_type = Option<String>)]
    pub edit: Option<EditIdInput>,
    /// Those that agree, or those that disagree.
    #[param(inline)]
    pub verdict: Option<FeedbackVerdictDto>,
    /// At most so many, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}
