//! What is kept of a job, and what is told of it.

use reasonedit_codebook::CodebookName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use ulid::Ulid;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
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

impl JobState {
    /// Whether nothing more will happen.
    pub fn ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A job as it is kept, whatever its kind. What is written here is read by later versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    pub(crate) id: Ulid,
    pub(crate) kind: String,
    pub(crate) codebook: CodebookName,
    pub(crate) state: JobState,
    /// What was asked for, in the form of its kind.
    pub(crate) input: Value,
    /// Bytes of the upload that it was submitted with, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload_bytes: Option<u64>,
    /// Where it goes on after an interruption, in the form of its kind.
    #[serde(default)]
    pub(crate) checkpoint: Option<Value>,
    /// How often it was begun since it last got on.
    #[serde(default)]
    pub(crate) attempts: u32,
    /// Whether it failed in passing, or was interrupted too often: submitted again under its idempotency key,
    /// it goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) retryable: bool,
    pub(crate) progress: JobProgress,
    #[serde(default)]
    pub(crate) result: Option<Value>,
    /// In the form of whoever runs the jobs.
    #[serde(default)]
    pub(crate) error: Option<Value>,
    /// What makes submitting it twice harmless.
    #[serde(default)]
    pub(crate) idempotency: Option<SubmissionKey>,
    /// By whom, as whoever runs the jobs tells callers apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) started_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) ended_at: Option<OffsetDateTime>,
}

/// The key a submission bore, and the digest of what was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionKey {
    /// What its sender chose.
    pub key: String,
    /// BLAKE3 of the body and of what else decides.
    pub digest: String,
}

/// How far a job is in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// What is being done.
    pub stage: String,
    /// How much of it is done.
    pub done: u64,
    /// Out of how much, if that is known.
    pub total: Option<u64>,
    /// Milliseconds that the rest of the stage takes at the pace of late. Of no use after an interruption.
    #[serde(skip)]
    pub remaining_ms: Option<u64>,
}

/// What is told of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// Its id; later jobs have greater ones.
    pub id: Ulid,
    /// What it does.
    pub kind: String,
    /// The codebook it works on.
    pub codebook: CodebookName,
    /// How far it is.
    pub state: JobState,
    /// How far it is in numbers.
    pub progress: JobProgress,
    /// What came of it, in the form of its kind.
    pub result: Option<Value>,
    /// Why it failed, in the form of whoever runs the jobs.
    pub error: Option<Value>,
    /// When it was submitted.
    pub created_at: OffsetDateTime,
    /// When it was first worked on.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

impl JobRecord {
    /// What it does.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The codebook it works on.
    pub fn codebook(&self) -> &CodebookName {
        &self.codebook
    }

    /// How far it is.
    pub fn state(&self) -> JobState {
        self.state
    }

    /// What is told of it.
    pub fn view(&self) -> JobView {
        let running = self.state == JobState::Running;
        let remaining_ms = self.progress.remaining_ms.filter(|_| running);
        JobView {
            id: self.id,
            kind: self.kind.clone(),
            codebook: self.codebook.clone(),
            state: self.state,
            progress: JobProgress { remaining_ms, ..self.progress.clone() },
            result: self.result.clone(),
            error: self.error.clone(),
            created_at: self.created_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_of_before_is_read_and_written_again_as_it_was() {
        // As the first version wrote a job that failed, byte for byte.
        let before = r#"{"id":"01KAEXAMP1E000000000000000","kind":"batch","codebook":"ward-3","state":"failed","input":{"format":"lines","verify":null,"lines":2},"checkpoint":null,"attempts":1,"progress":{"stage":"edits","done":1,"total":2},"result":null,"error":{"type":"urn:reasonedit:problem:invalid","title":"The input can't be used","status":422,"detail":"There is no edit in the upload.","errors":[{"pointer":"/lines","detail":"none"}]},"idempotency":{"key":"k","digest":"d"},"created_at":"2026-11-20T08:00:00Z","started_at":"2026-11-20T08:00:01.5Z","ended_at":null}"#;
        let record: JobRecord = serde_json::from_str(before).unwrap();
        assert_eq!((record.kind(), record.state()), ("batch", JobState::Failed));
        assert_eq!(record.view().error.unwrap()["errors"][0]["pointer"], "/lines");
        assert_eq!(serde_json::to_string(&record).unwrap(), before);
        // Fields that came later are not missed.
        let mut early: Value = serde_json::from_str(before).unwrap();
        for field in ["checkpoint", "attempts", "result", "error", "idempotency", "started_at", "ended_at"] {
            early.as_object_mut().unwrap().remove(field);
        }
        let record = JobRecord::deserialize(early).unwrap();
        assert_eq!(record.checkpoint, None);
        assert_eq!(record.attempts, 0);
        assert_eq!(json!(record)["progress"], json!({"stage": "edits", "done": 1, "total": 2}));
    }
}
