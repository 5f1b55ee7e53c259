//! Background jobs.

use reasonedit_editor::EditId;
use reasonedit_http::problem::ProblemBody;
use reasonedit_jobs::{JobState, JobView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::backup::BackupResultDto;
use crate::codebook::ImportDto;
use crate::modularity::{ModularityResultDto, ReembedResultDto};
use reasonedit_api::rfc3339;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Chooses layer and weight.
    Modularity,
    /// Makes the keys of a codebook anew.
    Reembed,
    /// Makes the edits of an upload.
    Batch,
    /// Takes in an exported codebook.
    Import,
    /// Backs everything up.
    Backup,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Modularity, Self::Reembed, Self::Batch, Self::Import, Self::Backup];

    /// As on the wire, and as the types of jobs are called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modularity => "modularity",
            Self::Reembed => "reembed",
            Self::Batch => "batch",
            Self::Import => "import",
            Self::Backup => "backup",
        }
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobState)]
pub enum JobStateDto {
    /// Waits for its turn.
    Queued,
    /// Is worked on, or goes on when the service is started again.
    Running,
    /// Has a result.
    Done,
    /// Has an error.
    Failed,
    /// Was cancelled. What it had done stays done.
    Cancelled,
}

impl From<JobState> for JobStateDto {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Done => Self::Done,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

/// A background job.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobDto {
    /// Its ULID; later jobs have greater ones.
    #[schema(pattern = "^[0-9A-HJKMNP-TV-Z]{26}$")]
    pub id: String,
    /// What it does.
    #[schema(value_type = JobKind)]
    pub kind: String,
    /// The codebook it works on.
    #[schema(example = "default")]
    pub codebook: String,
    /// How far it is.
    pub state: JobStateDto,
    /// How far it is in numbers.
    pub progress: JobProgressDto,
    /// What came of it, by kind; `null` until it is done.
    #[schema(value_type = Option<JobResult>)]
    pub result: Option<Value>,
    /// Why it failed; `null` unless it did.
    #[schema(value_type = Option<ProblemBody>)]
    pub error: Option<Value>,
    /// When it was submitted.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was first worked on.
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
}

impl From<JobView> for JobDto {
    fn from(job: JobView) -> Self {
        let progress = job.progress;
        Self {
            id: job.id.to_string(),
            kind: job.kind,
            codebook: job.codebook.to_string(),
            state: job.state.into(),
            progress: JobProgressDto {
                stage: progress.stage,
                done: progress.done,
                total: progress.total,
                remaining_ms: progress.remaining_ms,
            },
            result: job.result,
            error: job.error,
            created_at: rfc3339(job.created_at),
            started_at: time_of(job.started_at),
            ended_at: time_of(job.ended_at),
        }
    }
}

/// What came of a job, by its kind.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes `JobDto::result` in the contract")]
pub enum JobResult {
    /// Of a `batch`.
    Batch(BatchResultDto),
    /// Of an `import`.
    Import(ImportDto),
    /// Of a `modularity`.
    Modularity(ModularityResultDto),
    /// Of a `reembed`.
    Reembed(ReembedResultDto),
    /// Of a `backup`.
    Backup(BackupResultDto),
}

/// How far a job is in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = JobProgress)]
pub struct JobProgressDto {
    /// What is being done.
    #[schema(example = "edits")]
    pub stage: String,
    /// How much of it is done.
    pub done: u64,
    /// Out of how much; `null` if that is not known.
    pub total: Option<u64>,
    /// Milliseconds that the rest of the stage takes at the pace of late; `null` until there is a pace.
    pub remaining_ms: Option<u64>,
}

/// A page of jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JobPage)]
pub struct JobPageDto {
    /// Newest first.
    pub jobs: Vec<JobDto>,
    /// `cursor` of the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

/// Which jobs are listed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobListParams {
    /// Only of this codebook; all if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$")]
    pub codebook: Option<String>,
    /// Only in this state.
    pub state: Option<JobStateDto>,
    /// Only of this kind.
    pub kind: Option<JobKind>,
    /// Most jobs of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9A-HJKMNP-TV-Z]{26}$")]
    pub cursor: Option<String>,
}

/// Parameters of one job.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobParams {
    /// Name of a codebook; ids of jobs are the same in all, so any will do.
    #[param(pattern = "^[a-z0-9-]{1,64}$")]
    pub codebook: Option<String>,
}

/// Which results are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ResultsParams {
    /// Name of a codebook; ids of jobs are the same in all, so any will do.
    #[param(pattern = "^[a-z0-9-]{1,64}$")]
    pub codebook: Option<String>,
    /// Number of the first line wanted.
    #[param(minimum = 1, default = 1)]
    pub from: Option<u64>,
    /// Most results; all if not given.
    #[param(minimum = 1)]
    pub limit: Option<u64>,
}

/// Parameters of `POST /edits/batch`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BatchParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// `false` skips `before` and `after` of every edit.
    pub verify: Option<bool>,
}

/// What became of one line of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = BatchLine)]
pub struct BatchLineDto {
    /// Its number in the upload, from 1.
    #[schema(minimum = 1)]
    pub line: u64,
    /// The status that `POST /edits` would have answered with: 201 if the edit was made, 202 if it waits.
    #[schema(example = 201)]
    pub status: u16,
    /// The proposal, if it waits (202).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub proposal: Option<String>,
    /// The edit, if it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    pub edit: Option<EditId>,
    /// Why not, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub problem: Option<ProblemBody>,
}

/// `result` of a job of the kind `batch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BatchResult)]
pub struct BatchResultDto {
    /// Lines of the upload, empty ones left out.
    pub lines: u64,
    /// Edits made.
    pub made: u64,
    /// Proposals made, which wait.
    #[serde(default)]
    pub proposed: u64,
    /// Lines that made none; `GET /jobs/{id}/results` says why.
    pub failed: u64,
}

/// Times of a job on the wire.
fn time_of(time: Option<OffsetDateTime>) -> Option<String> {
    time.map(rfc3339)
}
