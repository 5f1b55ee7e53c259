//! What a job is known by where its record has decayed: a second, smaller row. Without it a request that is
//! sent again under its idempotency key would be done again, and nobody would know.

use std::collections::BTreeMap;

use reasonedit_codebook::{CodebookError, CodebookName, Journal, RowKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::error::{JobsError, Result};
use crate::failure::FailureReport;
use crate::record::{JobProgress, JobRecord, JobState, SubmissionKey};

/// What is kept of a job beside its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct JobStub {
    kind: String,
    codebook: CodebookName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency: Option<SubmissionKey>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// The idempotency key of a submission in 64 bits. It is the number of the stub's row, so that it is known
/// though the row can't be read.
pub(crate) fn number(record: &JobRecord) -> u64 {
    let Some(given) = &record.idempotency else { return 0 };
    let mut hasher = blake3::Hasher::new();
    for part in [record.kind.as_str(), record.codebook.as_str(), given.key.as_str()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().unwrap_or(&[0; 8]))
}

/// Keeps the stub of a job, durably. Blocks.
pub(crate) fn keep(stubs: &Journal, record: &JobRecord) -> Result<()> {
    let JobRecord { kind, codebook, idempotency, created_at, .. } = record.clone();
    let stub = JobStub { kind, codebook, idempotency, created_at };
    Ok(stubs.put(record.id, number(record), &serde_json::to_vec(&stub)?)?)
}

/// What stubs tell of jobs whose records are lost.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// Records of what is known: that they failed, since nobody knows how far they had come.
    pub(crate) records: Vec<JobRecord>,
    /// Jobs of which nothing is known, or under which idempotency key they were submitted at most, in short.
    pub(crate) others: BTreeMap<Ulid, Option<u64>>,
}

/// Compares stubs with the records that can be read: `known` has the jobs of these, and of those that are of
/// another version, whose records stay where they are. Stubs that are missing are written anew.
///
/// # Errors
/// The journal can't be read.
pub(crate) fn compare(
    stubs: &Journal,
    known: &BTreeMap<Ulid, Option<JobRecord>>,
    kinds: &[&str],
    reporter: fn(JobsError) -> FailureReport,
) -> Result<Lost, CodebookError> {
    let (rows, damaged) = stubs.all_and_damaged()?;
    let mut there: BTreeMap<Ulid, u64> = BTreeMap::new();
    let mut lost = Lost::default();
    for (RowKey { id, number }, bytes) in rows {
        there.insert(id, number);
        if known.contains_key(&id) {
            continue;
        }
        match serde_json::from_slice::<JobStub>(&bytes) {
            Ok(stub) if kinds.contains(&stub.kind.as_str()) => {
                tracing::error!(job = %id, kind = stub.kind, "the record of a job is lost; it counts as failed");
                lost.records.push(record_of(id, stub, reporter));
            }
            Ok(_) => {}
            Err(error) => tracing::error!(job = %id, %error, "what a job is known by can't be read"),
        }
    }
    for (RowKey { id, number }, error) in damaged {
        if !known.contains_key(&id) {
            tracing::error!(job = %id, %error, "nothing is known of a job but that it was submitted");
            lost.others.insert(id, Some(number));
        }
    }
    for record in known.values().flatten().filter(|record| there.get(&record.id) != Some(&number(record))) {
        // Where nothing can be written at present, it is at the next start.
        if let Err(error) = keep(stubs, record) {
            tracing::warn!(job = %record.id, %error, "what a job is known by was not kept");
        }
    }
    Ok(lost)
}

fn record_of(id: Ulid, stub: JobStub, reporter: fn(JobsError) -> FailureReport) -> JobRecord {
    let JobStub { kind, codebook, idempotency, created_at } = stub;
    let progress = JobProgress { stage: "lost".to_owned(), done: 0, total: None, remaining_ms: None };
    JobRecord {
        id,
        kind,
        codebook,
        state: JobState::Failed,
        input: Value::Null,
        upload_bytes: None,
        checkpoint: None,
        attempts: 0,
        retryable: false,
        progress,
        result: None,
        error: Some(reporter(JobsError::Decayed { job: id }).document),
        idempotency,
        caller: None,
        created_at,
        started_at: None,
        ended_at: Some(OffsetDateTime::now_utc()),
    }
}
