//! What goes over the wire between Label Studio and its backend. Unknown fields are the other side's business
//! and are ignored.

use reasonedit_api::WarningDto;
use reasonedit_editor::ProposalState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// That the backend is there.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LabelStudioHealth)]
pub(super) struct HealthDto {
    /// `UP`, also while the model is being loaded.
    #[schema(example = "UP")]
    pub(super) status: String,
    /// Name of the kind of model.
    #[schema(example = "ReasonEdit")]
    pub(super) model_class: String,
}

/// What Label Studio tells of a project when it connects, and before it asks for predictions.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = LabelStudioSetup)]
pub(super) struct SetupInput {
    /// Id of the project, a full stop, the second it was made in.
    #[schema(example = "1.1763630000")]
    pub(super) project: String,
    /// The labeling configuration.
    pub(super) schema: Option<String>,
    /// The name that Label Studio gives itself; never connected to.
    pub(super) hostname: Option<String>,
    /// A token of the project's owner.
    pub(super) access_token: Option<String>,
    /// `{"codebook": "ward-3"}`, as an object or as its text.
    #[schema(value_type = Option<Object>)]
    pub(super) extra_params: Option<Value>,
}

/// What the backend makes of a project.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LabelStudioSetupAnswer)]
pub(super) struct SetupDto {
    /// Changes with everything that changes answers.
    #[schema(example = "reasonedit-default-12-0f3c9a5e7b21")]
    pub(super) model_version: String,
    /// Codebook of the project.
    #[schema(example = "default")]
    pub(super) codebook: String,
    /// What the labeling configuration or this service's settings lack, in words; what they lack is left out.
    pub(super) missing: Vec<String>,
}

/// A task as it is sent to be predicted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = LabelStudioTask)]
pub(super) struct TaskInput {
    /// Its id.
    #[schema(value_type = Option<i64>)]
    pub(super) id: Option<Value>,
    /// What its project's labeling configuration shows.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) data: Map<String, Value>,
}

/// Tasks to be predicted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = LabelStudioPredict)]
pub(super) struct PredictInput {
    /// The tasks.
    pub(super) tasks: Vec<TaskInput>,
    /// As at setup.
    #[schema(example = "1.1763630000")]
    pub(super) project: Option<String>,
    /// The labeling configuration.
    pub(super) label_config: Option<String>,
}

/// One entry per task, in order.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LabelStudioPredictions)]
pub(super) struct PredictionsDto {
    /// The prediction of each task, as a list: empty for a task that could not be predicted.
    pub(super) results: Vec<Vec<PredictionDto>>,
}

/// A prediction.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LabelStudioPrediction)]
pub(super) struct PredictionDto {
    /// Its regions.
    pub(super) result: Vec<RegionDto>,
    /// Probability of the answer.
    #[schema(minimum = 0, maximum = 1)]
    pub(super) score: f64,
    /// Version that made it.
    pub(super) model_version: String,
}

/// A region of a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LabelStudioRegion)]
pub(super) struct RegionDto {
    /// Unique within the prediction.
    pub(super) id: String,
    /// Name of the tag that makes it.
    pub(super) from_name: String,
    /// Name of the tag that it is on.
    pub(super) to_name: String,
    /// Kind of the tag that makes it, in lower case.
    #[serde(rename = "type")]
    #[schema(example = "choices")]
    pub(super) kind: String,
    /// In the form of its kind; rectangles in percent of the picture.
    #[schema(value_type = Object)]
    pub(super) value: Value,
    /// How sure the model is of it.
    #[schema(minimum = 0, maximum = 1)]
    pub(super) score: f64,
    /// Columns of the picture; with a rectangle.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) original_width: Option<u32>,
    /// Rows of the picture; with a rectangle.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) original_height: Option<u32>,
    /// Degrees that the picture is turned by: none; with a rectangle.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) image_rotation: Option<u32>,
    /// A note on it: the statement that a rectangle is evidence of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, nullable = false)]
    pub(super) meta: Option<Value>,
}

/// What happened in Label Studio.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = LabelStudioEvent)]
pub(super) struct WebhookInput {
    /// What happened.
    #[schema(example = "ANNOTATION_CREATED")]
    pub(super) action: String,
    /// The annotation it is about, or a list of them.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(super) annotation: Value,
    /// The annotations that are gone, by their ids.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub(super) annotations: Value,
    /// The annotation's task, or a list of them.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(super) task: Value,
    /// The project.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(super) project: Value,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LabelStudioReceived)]
pub(super) struct ReceivedDto {
    /// `ok`, or `Unknown event`.
    #[schema(example = "ok")]
    pub(super) status: String,
    /// Annotations that wait, durably, to become edits or to take theirs back.
    pub(super) queued: Vec<u64>,
    /// Annotations that nothing follows from.
    pub(super) skipped: Vec<SkippedAnnotationDto>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) note: Option<String>,
}

/// An annotation that nothing follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LabelStudioSkipped)]
pub(super) struct SkippedAnnotationDto {
    /// Its id.
    pub(super) annotation: u64,
    /// Why not.
    #[schema(example = "No reasoning was given.")]
    pub(super) reason: String,
}

/// Versions that can be asked.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LabelStudioVersions)]
pub(super) struct VersionsDto {
    /// The one that there is.
    pub(super) versions: Vec<String>,
}

/// What became of annotations.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LabelStudioAnnotations)]
pub(super) struct AnnotationsDto {
    /// Annotations that wait.
    pub(super) waiting: usize,
    /// The last that were worked on, newest first.
    pub(super) ended: Vec<OutcomeDto>,
}

/// What became of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LabelStudioOutcome)]
pub(super) struct OutcomeDto {
    /// Its id.
    pub(super) annotation: u64,
    /// Its project, as at setup.
    pub(super) project: String,
    /// What became of it.
    pub(super) outcome: OutcomeKind,
    /// Whether it was deleted in Label Studio.
    pub(super) deleted: bool,
    /// When it was changed last, as Label Studio says.
    pub(super) updated_at: Option<String>,
    /// The edit that stands for it now.
    pub(super) edit: Option<String>,
    /// The proposal that it is until somebody has approved of it; present where edits wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) proposal: Option<String>,
    /// What has become of that proposal by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) review: Option<ReviewedDto>,
    /// The edits that were taken back.
    pub(super) reverted: Vec<String>,
    /// Why, where it needs saying.
    pub(super) detail: Option<String>,
    /// What of the annotation was not taken as it was made; pointers are into it.
    #[serde(default)]
    pub(super) warnings: Vec<WarningDto>,
    /// When, RFC 3339 in UTC.
    pub(super) ended_at: String,
}

/// What has become of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LabelStudioReview)]
pub(super) struct ReviewedDto {
    /// Whether it waits.
    pub(super) state: ReviewStateDto,
    /// When something was last done with it, RFC 3339 in UTC.
    pub(super) at: String,
    /// Why it was rejected.
    pub(super) reason: Option<String>,
}

/// What becomes of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LabelStudioReviewState)]
pub(super) enum ReviewStateDto {
    /// Not enough have approved of it.
    Waiting,
    /// It is an edit, or was one.
    Approved,
    /// It is none.
    Rejected,
    /// The annotation was deleted, or says something else by now.
    Withdrawn,
}

impl From<ProposalState> for ReviewStateDto {
    fn from(state: ProposalState) -> Self {
        match state {
            ProposalState::Waiting => Self::Waiting,
            ProposalState::Approved => Self::Approved,
            ProposalState::Rejected => Self::Rejected,
            ProposalState::Withdrawn => Self::Withdrawn,
        }
    }
}

/// What became of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LabelStudioOutcomeKind)]
pub(super) enum OutcomeKind {
    /// An edit was made of it.
    Edited,
    /// It waits until somebody has approved of it.
    Proposed,
    /// It says what its edit says already.
    Unchanged,
    /// Its edits were taken back, or what waited of it.
    Reverted,
    /// Nothing followed from it.
    Skipped,
    /// It could not become an edit.
    Failed,
}
