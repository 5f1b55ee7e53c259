//! `POST /edits/batch`: one edit after the other, a result for each.

use std::time::Duration;

use reasonedit_editor::{
    CallContext, CodebookError, EditId, EditorError, EngineError, IdempotencyKey, Submitted,
};
use reasonedit_http::audit::AuditRecord;
use reasonedit_http::problem::{Problem, Result};
use reasonedit_jobs::{BackgroundJob, JobContext, JobFailure};
use reasonedit_resilience::{Backoff, blocking, retry};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::dependencies::JobDependencies;
use super::failure::failed;
use super::source::{Format, Line, Source};
use reasonedit_dto::contributor::Contributor;
use reasonedit_dto::job::{BatchLineDto, BatchResultDto, JobKind};

/// Results read at a time when a batch goes on.
const PAGE: usize = 1000;

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// What the upload is made of.
    pub(crate) format: Format,
    /// Comes before what the lines say.
    pub(crate) verify: Option<bool>,
    /// Lines that are not empty.
    pub(crate) lines: u64,
    /// In whose name they are made.
    #[serde(default, skip_serializing_if = "Contributor::is_unnamed_admin")]
    pub(crate) by: Contributor,
}

impl BackgroundJob for Batch {
    const NAME: &'static str = JobKind::Batch.name();
    type Dependencies = JobDependencies;
    type Checkpoint = ();
    type Output = BatchResultDto;

    async fn run(
        self,
        dependencies: JobDependencies,
        context: JobContext<()>,
    ) -> Result<BatchResultDto, JobFailure> {
        Box::pin(work(self, dependencies, context)).await.map_err(failed)
    }
}

/// Makes the edits of an upload. A line whose result is kept is never worked on again; one that was
/// interrupted before that is found by its idempotency key if it had become an edit.
async fn work(
    input: Batch,
    dependencies: JobDependencies,
    context: JobContext<()>,
) -> Result<BatchResultDto> {
    let (mut tally, last) = tally_of(&context).await?;
    let (upload, item_bytes) = (context.upload(), dependencies.item_bytes);
    let mut source = blocking(move || Source::open(&upload, input.format, item_bytes)).await?;
    context.progress("edits", done(&tally), input.lines);
    loop {
        let (back, line) = blocking(move || {
            let line = loop {
                match source.next_line()? {
                    Some(line) if line.number <= last => {}
                    other => break other,
                }
            };
            Ok::<_, Problem>((source, line))
        })
        .await?;
        source = back;
        let Some(line) = line else { break };
        let number = line.number;
        let (back, made) = edit(&dependencies, &context, source, line, &input).await?;
        source = back;
        if let Ok(LineMade::Edit(EditId(id)) | LineMade::Proposal(id)) = &made {
            dependencies.audit.job(AuditRecord {
                codebook: Some(context.codebook().to_string()),
                edits: vec![id.to_string()],
                jobs: vec![context.id().to_string()],
                ..AuditRecord::default()
            });
        }
        let row = match made {
            Ok(LineMade::Edit(edit)) => BatchLineDto { status: 201, edit: Some(edit), ..nothing(number) },
            Ok(LineMade::Proposal(id)) => {
                BatchLineDto { status: 202, proposal: Some(id.to_string()), ..nothing(number) }
            }
            Err(problem) => BatchLineDto {
                status: problem.status().as_u16(),
                problem: Some(problem.body()),
                ..nothing(number)
            },
        };
        context.append(number, &row).await?;
        count(&mut tally, &row);
        context.progress("edits", done(&tally), input.lines);
    }
    Ok(BatchResultDto { lines: done(&tally), ..tally })
}

/// What came of a line.
enum LineMade {
    Edit(EditId),
    /// It waits.
    Proposal(Ulid),
}

fn nothing(line: u64) -> BatchLineDto {
    BatchLineDto { line, status: 0, proposal: None, edit: None, problem: None }
}

/// Lines that have a result.
fn done(tally: &BatchResultDto) -> u64 {
    tally.made + tally.proposed + tally.failed
}

fn count(tally: &mut BatchResultDto, row: &BatchLineDto) {
    if row.edit.is_some() {
        tally.made += 1;
    } else if row.proposal.is_some() {
        tally.proposed += 1;
    } else {
        tally.failed += 1;
    }
}

/// What was made before an interruption, and the last line that has a result.
async fn tally_of(context: &JobContext<()>) -> Result<(BatchResultDto, u64)> {
    let (mut tally, mut last) = (BatchResultDto::default(), 0);
    loop {
        let rows = context.pieces(last + 1, PAGE).await?;
        for (number, row) in &rows {
            count(&mut tally, &serde_json::from_slice(row).map_err(|error| Problem::internal(&error))?);
            last = *number;
        }
        if rows.len() < PAGE {
            return Ok((tally, last));
        }
    }
}

/// Makes the edit of one line. The inner result is the line's; the outer one ends the work.
async fn edit(
    dependencies: &JobDependencies,
    context: &JobContext<()>,
    mut source: Source,
    line: Line,
    input: &Batch,
) -> Result<(Source, Result<LineMade>)> {
    let name = context.codebook();
    let key = IdempotencyKey {
        key: format!("job/{}/{}", context.id(), line.number),
        body: *blake3::hash(&line.bytes).as_bytes(),
        former: Vec::new(),
    };
    let (editor, asked, before) = (dependencies.editor.clone(), key.key.clone(), name.clone());
    let (source, parsed, made) = blocking(move || {
        // Before anything else: a picture that could be fetched then may be gone now, and the edit may have
        // been reverted.
        let made = editor.edit_under_key(&before, &asked)?;
        let parsed = if made.is_none() { Some(source.parse(&line.bytes)) } else { None };
        Ok::<_, Problem>((source, parsed, made))
    })
    .await?;
    if let Some(edit) = made {
        return Ok((source, Ok(LineMade::Edit(edit))));
    }
    let request = match parsed {
        Some(Ok(parsed)) => {
            let (fetcher, editor) = (&dependencies.fetcher, &dependencies.editor);
            parsed.into_request(fetcher, &input.by, editor, input.verify).await
        }
        Some(Err(problem)) => Err(problem),
        None => return Err(Problem::internal(&"a line was neither made nor read")),
    };
    let mut request = match request {
        Ok(request) => request,
        Err(problem) => return Ok((source, Err(problem))),
    };
    request.idempotency = Some(key);
    let by = input.by.submitter();
    let call = || dependencies.editor.submit(&name, request.clone(), &by, CallContext::job());
    // There is time: people who wait have the queue's places.
    let made = match retry(Backoff::constant(Duration::ZERO), call, queue_full).await {
        Ok(Submitted::Made(view)) => Ok(LineMade::Edit(view.record.id)),
        Ok(Submitted::Proposed { proposal, .. }) => Ok(LineMade::Proposal(proposal.id)),
        Err(error) if ends_the_work(&error) => return Err(error.into()),
        Err(error) => Err(error.into()),
    };
    Ok((source, made))
}

/// How long the engine's queue wants to be left alone, if it is full.
fn queue_full(error: &EditorError) -> Option<Duration> {
    match error {
        EditorError::Engine(EngineError::QueueFull { retry_after }) => Some(*retry_after),
        _ => None,
    }
}

/// Whether the next line would fare no better, whatever it holds.
fn ends_the_work(error: &EditorError) -> bool {
    matches!(
        error,
        EditorError::Cancelled
            | EditorError::Storage(_)
            | EditorError::Engine(EngineError::Closed)
            | EditorError::Codebook(
                CodebookError::Store { .. }
                    | CodebookError::Unwritable(_)
                    | CodebookError::Corrupt { .. }
                    | CodebookError::Damaged { .. }
                    | CodebookError::Locked
            )
    )
}
