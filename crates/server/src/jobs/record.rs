//! What is kept of a job.

use reasonedit_codebook::CodebookName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::dto::job::{JobDto, JobKind, JobProgressDto, JobState, time_of};
use crate::dto::rfc3339;
use crate::problem::ProblemBody;

impl JobKind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::Modularity, Self::Reembed, Self::Batch, Self::Import];

    /// Whether a second one is refused while one waits or runs. Others wait for their turn.
    pub(crate) fn exclusive(self) -> bool {
        matches!(self, Self::Modularity | Self::Reembed)
    }

    /// As on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Modularity => "modularity",
            Self::Reembed => "reembed",
            Self::Batch => "batch",
            Self::Import => "import",
        }
    }
}

/// A job as it is kept, whatever its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    pub(crate) id: Ulid,
    pub(crate) kind: JobKind,
    pub(crate) codebook: CodebookName,
    pub(crate) state: JobState,
    /// What was asked for, in the form of its kind.
    pub(crate) input: Value,
    /// Where it goes on after an interruption, in the form of its kind.
    #[serde(default)]
    pub(crate) checkpoint: Option<Value>,
    /// How often it was begun since it last got on.
    #[serde(default)]
    pub(crate) attempts: u32,
    pub(crate) progress: Progress,
    #[serde(default)]
    pub(crate) result: Option<Value>,
    #[serde(default)]
    pub(crate) error: Option<ProblemBody>,
    /// What makes submitting it twice harmless.
    #[serde(default)]
    pub(crate) idempotency: Option<SubmissionKey>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) started_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) ended_at: Option<OffsetDateTime>,
}

/// The key a submission bore, and the digest of what was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubmissionKey {
    pub(crate) key: String,
    /// BLAKE3 of the body and of what else decides.
    pub(crate) digest: String,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) stage: String,
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    /// Of no use after an interruption.
    #[serde(skip)]
    pub(crate) remaining_ms: Option<u64>,
}

impl From<&JobRecord> for JobDto {
    fn from(record: &JobRecord) -> Self {
        let progress = &record.progress;
        Self {
            id: record.id.to_string(),
            kind: record.kind,
            codebook: record.codebook.to_string(),
            state: record.state,
            progress: JobProgressDto {
                stage: progress.stage.clone(),
                done: progress.done,
                total: progress.total,
                remaining_ms: progress.remaining_ms.filter(|_| record.state == JobState::Running),
            },
            result: record.result.clone(),
            error: record.error.clone(),
            created_at: rfc3339(record.created_at),
            started_at: time_of(record.started_at),
            ended_at: time_of(record.ended_at),
        }
    }
}
