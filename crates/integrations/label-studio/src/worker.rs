//! Makes edits of annotations that wait, one after the other, and takes them back.
//!
//! Which edits are of an annotation stands in the edits themselves: a tag finds them, their metadata says of
//! which project. Nothing else is kept, so nothing can disagree. An update makes a new version of the edit.
//! One about another picture or question makes the new edit first and takes the earlier one back then;
//! whatever fails in between, both hold until it is tried again, and trying again finds the new edit by its
//! idempotency key and goes on with the reverts.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use reasonedit_api::rfc3339;
use reasonedit_editor::{
    Amendment, CallContext, CodebookName, EditFilter, EditId, EditRecord, EditRequest, Editor, EditorError,
    IdempotencyKey, Proposal, ProposalError, ProposalState, Reviewer, StatementInput, Submitted, Submitter,
    Warning,
};
use reasonedit_http::audit::AuditRecord;
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use reasonedit_resilience::{blocking, panic_message};
use reasonedit_text::same as same_text;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::annotation::Reason;
use super::dto::{OutcomeDto, OutcomeKind};
use super::events::{Change, Event, SubmittedCorrection, parse_time};
use super::queue::{Next, Queue};
use super::studio::LabelStudio;

/// Queries of people go first.
const CALL: CallContext = CallContext::job();
/// What may pass (a full queue, Label Studio away, a refused token) is tried again for this long.
const PATIENCE: Duration = Duration::from_hours(24);
/// A fault of the service is tried again this often.
const FAULTS: u32 = 4;
/// Field of an edit's metadata.
const METADATA: &str = "label_studio";

/// What came of an event.
struct SyncOutcome {
    outcome: OutcomeKind,
    edit: Option<EditId>,
    proposal: Option<Ulid>,
    reverted: Vec<EditId>,
    detail: Option<String>,
    warnings: Vec<Warning>,
}

impl SyncOutcome {
    fn to(outcome: OutcomeKind) -> Self {
        Self { outcome, edit: None, proposal: None, reverted: Vec::new(), detail: None, warnings: Vec::new() }
    }

    fn because(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Works on the queue until the service stops.
pub(super) async fn run(studio: LabelStudio, queue: Arc<Queue>, editor: Editor, stopping: CancellationToken) {
    let worker = Worker { studio, queue, editor };
    // Dropping the work midway does no harm: it is taken up again at the next start.
    stopping.run_until_cancelled(Box::pin(worker.work())).await;
}

struct Worker {
    studio: LabelStudio,
    queue: Arc<Queue>,
    editor: Editor,
}

impl Worker {
    async fn work(&self) {
        loop {
            let (id, outdated) = match self.queue.next(Instant::now()) {
                Next::Work { id, outdated } => (id, outdated),
                Next::Idle(until) => {
                    self.queue.wait(until).await;
                    continue;
                }
            };
            let done = if outdated { self.end(id, None).await } else { self.one(id).await };
            if let Err(problem) = done {
                // Others need not wait for one that can't be read.
                self.queue.put_off(id, Instant::now());
                tracing::error!(event = %id, detail = %problem.body().detail, "the queue of annotations can't be worked on");
            }
        }
    }

    /// Works on one event, ends it or puts it off. Errors are those of the queue itself.
    async fn one(&self, id: Ulid) -> Result<()> {
        let queue = Arc::clone(&self.queue);
        let event = blocking(move || queue.read(id)).await?;
        let came = AssertUnwindSafe(self.follow(&event)).catch_unwind().await;
        let came = came.unwrap_or_else(|panic| Err(Problem::internal(&panic_message(panic.as_ref()))));
        let came = match came {
            Ok(came) => came,
            Err(problem) => {
                let detail = problem.body().detail;
                if self.may_pass(id, &problem) {
                    let wait = self.queue.put_off(id, Instant::now());
                    tracing::warn!(annotation = event.annotation, project = %event.project, %detail, seconds = wait.as_secs(), "an annotation is tried again");
                    return Ok(());
                }
                tracing::error!(annotation = event.annotation, project = %event.project, %detail, "an annotation can't become an edit");
                SyncOutcome::to(OutcomeKind::Failed).because(detail)
            }
        };
        let outcome = OutcomeDto {
            annotation: event.annotation,
            project: event.project.clone(),
            outcome: came.outcome,
            deleted: event.change == Change::Deleted,
            updated_at: event.change.updated_at().map(str::to_owned),
            edit: came.edit.map(|edit| edit.to_string()),
            proposal: came.proposal.map(|proposal| proposal.to_string()),
            review: None,
            reverted: came.reverted.iter().map(ToString::to_string).collect(),
            detail: came.detail,
            warnings: came.warnings.iter().map(Into::into).collect(),
            ended_at: rfc3339(OffsetDateTime::now_utc()),
        };
        tracing::info!(
            annotation = outcome.annotation, project = %outcome.project, outcome = ?outcome.outcome,
            edit = outcome.edit.as_deref(), reverted = outcome.reverted.len(), "an annotation was worked on"
        );
        self.audit(&event, &outcome);
        self.end(id, Some(outcome)).await
    }

    /// Tells the audit trail which edits came of an event.
    fn audit(&self, event: &Event, outcome: &OutcomeDto) {
        let edits: Vec<String> =
            outcome.edit.iter().chain(&outcome.proposal).chain(&outcome.reverted).cloned().collect();
        if edits.is_empty() {
            return;
        }
        let codebook = self.studio.codebook(&self.studio.project(&event.project));
        let detail = Some("an annotation of Label Studio".to_owned());
        let codebook = Some(codebook.to_string());
        self.studio.service().audit.job(AuditRecord { codebook, edits, detail, ..AuditRecord::default() });
    }

    async fn end(&self, id: Ulid, outcome: Option<OutcomeDto>) -> Result<()> {
        let queue = Arc::clone(&self.queue);
        blocking(move || queue.end(id, outcome)).await
    }

    /// Whether the same may succeed later.
    fn may_pass(&self, id: Ulid, problem: &Problem) -> bool {
        let Some(patience) = self.queue.patience(id) else { return false };
        let waited = OffsetDateTime::now_utc() - patience.received_at;
        match problem.kind() {
            ProblemKind::Internal => patience.tries < FAULTS,
            // What has decayed may be restored, a disk gets room again, and the annotation is not to be lost
            // over it.
            ProblemKind::Upstream
            | ProblemKind::Damaged
            | ProblemKind::StorageFull
            | ProblemKind::Unwritable => waited < PATIENCE,
            _ => problem.passing() && waited < PATIENCE,
        }
    }

    async fn follow(&self, event: &Event) -> Result<SyncOutcome> {
        let mut withdrawn = None;
        let ends = match event.change {
            Change::Says(_) => false,
            Change::Withdrawn { .. } => !self.queue.heard_more(event),
            Change::Deleted => true,
        };
        if ends {
            let waiting = waiting_of(&self.editor, &event.project, event.annotation);
            withdrawn = waiting.last().map(|one| one.id);
            self.withdraw(waiting, None).await?;
        }
        let live = edits_of(&self.editor, &event.project, event.annotation).await?;
        match &event.change {
            Change::Says(said) => {
                let came = self.learn(event, said, live).await?;
                // What was told of the edit when it was made, or of the annotation if there is none.
                let warnings =
                    if came.warnings.is_empty() { said.correction.warnings.clone() } else { came.warnings };
                Ok(SyncOutcome { warnings, ..came })
            }
            Change::Deleted | Change::Withdrawn { .. } if live.is_empty() && withdrawn.is_some() => {
                Ok(SyncOutcome { proposal: withdrawn, ..SyncOutcome::to(OutcomeKind::Reverted) })
            }
            Change::Deleted | Change::Withdrawn { .. } if live.is_empty() => {
                let reason = match &event.change {
                    Change::Withdrawn { reason, .. } => reason,
                    _ => "No edit came of it.",
                };
                Ok(SyncOutcome::to(OutcomeKind::Skipped).because(reason))
            }
            Change::Withdrawn { .. } if self.queue.heard_more(event) => Ok(overtaken()),
            Change::Withdrawn { reason, .. } => Ok(SyncOutcome {
                reverted: self.revert(live, None).await?,
                ..SyncOutcome::to(OutcomeKind::Reverted)
            }
            .because(reason)),
            Change::Deleted => Ok(SyncOutcome {
                reverted: self.revert(live, None).await?,
                ..SyncOutcome::to(OutcomeKind::Reverted)
            }),
        }
    }

    /// Makes the edit of a correction unless it was made, then takes the earlier ones of its annotation back.
    async fn learn(
        &self,
        event: &Event,
        said: &SubmittedCorrection,
        live: Vec<(CodebookName, Arc<EditRecord>)>,
    ) -> Result<SyncOutcome> {
        let digest = said.correction.digest();
        let stamp = if said.updated_at.is_empty() { &digest } else { &said.updated_at };
        let key = format!("label-studio/{}/{}/{stamp}", event.project, event.annotation);
        let known = self.studio.project(&event.project);
        let codebook = self.studio.codebook(&known);

        let made = self.editor.edit_under_key_anywhere(&key).await?;
        if let Some(edit) = made {
            // Made before an interruption, or sent again.
            let made = live.iter().find(|(_, record)| record.id == edit);
            let (stands, known_as) = (made.is_some(), made.map(|(_, record)| record.known_as()));
            let reverted = if stands { self.revert(live, Some(edit)).await? } else { Vec::new() };
            let came = SyncOutcome { edit: known_as, reverted, ..SyncOutcome::to(OutcomeKind::Edited) };
            return Ok(if stands {
                came
            } else {
                came.because("Its edit was made before and taken back since.")
            });
        }
        let newer =
            |record: &EditRecord| parse_time(text_of(record, "updated_at")) > parse_time(&said.updated_at);
        if self.queue.heard_more(event) || live.iter().any(|(_, record)| newer(record)) {
            return Ok(overtaken());
        }
        let waiting = waiting_of(&self.editor, &event.project, event.annotation);
        let told = |proposal: &Proposal| SyncOutcome {
            proposal: Some(proposal.id),
            warnings: proposal.newest.content.warnings.clone(),
            ..SyncOutcome::to(OutcomeKind::Proposed)
        };
        let same = |one: &&Arc<Proposal>| {
            one.codebook == codebook && text_in(&one.newest.content.metadata, "digest") == digest
        };
        if let Some(same) = waiting.iter().find(same) {
            self.withdraw(waiting.clone(), Some(same.id)).await?;
            return Ok(told(same));
        }
        // The same words again, say because the annotation was starred.
        let same = |(book, record): &&(CodebookName, Arc<EditRecord>)| {
            *book == codebook && text_of(record, "digest") == digest
        };
        if let Some((edit, known_as)) =
            live.iter().find(same).map(|(_, record)| (record.id, record.known_as()))
        {
            let reverted = self.revert(live, Some(edit)).await?;
            let edit = Some(known_as);
            return Ok(SyncOutcome { edit, reverted, ..SyncOutcome::to(OutcomeKind::Unchanged) });
        }

        let origin = LabelStudio::origin(known);
        let image = self.studio.pictures().get(&said.correction.picture, &origin).await?;
        let info = self.editor.image_info(&codebook, &image).await?;
        let mut warnings = said.correction.warnings.clone();
        let mut evidence = |reason: &Reason| {
            let boxes = reason.boxes.iter().map(|area| area.to_pixels(info.width, info.height));
            let inside: Vec<_> = boxes.flatten().collect();
            if inside.len() < reason.boxes.len() {
                let detail = "what was drawn outside of the picture was left out".to_owned();
                let (code, pointer) = ("region_unused".to_owned(), "/result".to_owned());
                warnings.push(Warning { code, pointer, detail });
            }
            inside.into_iter().map(Into::into).collect()
        };
        let reasoning: Vec<StatementInput> = said
            .correction
            .reasoning
            .iter()
            .map(|reason| StatementInput { statement: reason.statement.clone(), evidence: evidence(reason) })
            .collect();
        let author = said.by.map(|user| format!("label-studio:{user}"));
        let metadata = json!({METADATA: {
            "url": self.studio.config().url,
            "project": event.project,
            "task": said.task,
            "annotation": event.annotation,
            "completed_by": said.by,
            "updated_at": said.updated_at,
            "digest": digest,
        }});
        let body = *blake3::hash(digest.as_bytes()).as_bytes();
        let idempotency = Some(IdempotencyKey { key, body, former: Vec::new() });
        // About the same picture and question it is the same edit, said otherwise.
        let correction = &said.correction;
        let amended = live.iter().find(|(book, record)| {
            *book == codebook
                && record.image == info
                && same_text(&record.question, &correction.question)
                && record.choices == correction.choices
        });
        let submitter = Submitter { name: author.clone(), contributor: said.contributor };
        let waits = self.editor.waits(&codebook, &submitter);
        let own = |one: &&Arc<Proposal>| {
            let content = &one.newest.content;
            one.codebook == codebook
                && content.image == info.id
                && same_text(&content.question, &correction.question)
                && content.choices == correction.choices
        };
        if let Some(reworded) = waiting.iter().find(own).filter(|_| waits) {
            let change = Amendment {
                answer: Some(correction.answer.clone()),
                reasoning: Some(reasoning),
                metadata: Some(metadata),
                warnings,
                ..Amendment::default()
            };
            let place = (&codebook, reworded.id);
            let by = Reviewer { name: submitter.name, seen: None };
            let proposal = self.editor.amend_proposal(place, change, &by, CALL).await?;
            self.withdraw(waiting.clone(), Some(proposal.id)).await?;
            return Ok(told(&proposal));
        }
        let submitted = if let Some((_, before)) = amended {
            let amendment = Amendment {
                answer: Some(correction.answer.clone()),
                reasoning: Some(reasoning),
                tags: None,
                metadata: Some(metadata),
                supersedes: Vec::new(),
                author,
                verify: true,
                expected: None,
                idempotency,
                warnings,
            };
            self.editor.submit_amendment(&codebook, before.id, amendment, &submitter, CALL).await?
        } else {
            // What waits takes their place when it is made; else they are taken back here.
            let earlier = live.iter().filter(|(book, _)| waits && *book == codebook);
            let request = EditRequest {
                warnings,
                image,
                question: correction.question.clone(),
                answer: correction.answer.clone(),
                reasoning,
                choices: correction.choices.clone(),
                author,
                tags: vec!["label-studio".to_owned(), tag(event.annotation)],
                metadata,
                verify: true,
                supersedes: earlier.map(|(_, record)| record.known_as()).collect(),
                on_conflict: None,
                idempotency,
            };
            self.editor.submit(&codebook, request, &submitter, CALL).await?
        };
        let record = match submitted {
            Submitted::Made(view) => view.record,
            Submitted::Proposed { proposal, .. } => {
                self.withdraw(waiting, Some(proposal.id)).await?;
                return Ok(told(&proposal));
            }
        };
        self.withdraw(waiting, None).await?;
        let earlier = live.into_iter().filter(|(_, before)| before.known_as() != record.known_as()).collect();
        let reverted = self.revert(earlier, None).await?;
        let (edit, warnings) = (Some(record.known_as()), record.warnings);
        Ok(SyncOutcome { edit, reverted, warnings, ..SyncOutcome::to(OutcomeKind::Edited) })
    }

    /// Takes proposals back, all but one.
    async fn withdraw(&self, waiting: Vec<Arc<Proposal>>, but: Option<Ulid>) -> Result<()> {
        for one in waiting.into_iter().filter(|one| Some(one.id) != but) {
            let by = Reviewer { name: one.by.clone(), seen: None };
            match self.editor.close_proposal((&one.codebook, one.id), None, &by).await {
                // Decided meanwhile: as an edit it is found by its tag.
                Ok(_) | Err(EditorError::Proposal(ProposalError::Closed { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes edits back, all but one.
    async fn revert(
        &self,
        edits: Vec<(CodebookName, Arc<EditRecord>)>,
        but: Option<EditId>,
    ) -> Result<Vec<EditId>> {
        let mut reverted = Vec::new();
        for (book, record) in edits.into_iter().filter(|(_, record)| Some(record.id) != but) {
            match self.editor.revert(&book, record.id).await {
                Ok(()) => reverted.push(record.known_as()),
                // By someone else, meanwhile.
                Err(EditorError::UnknownEdit(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(reverted)
    }
}

fn overtaken() -> SyncOutcome {
    SyncOutcome::to(OutcomeKind::Skipped).because("More was heard of the annotation already.")
}

/// The tag that the edits of an annotation bear.
fn tag(annotation: u64) -> String {
    format!("label-studio:annotation:{annotation}")
}

/// A text of an edit's metadata.
fn text_of<'a>(record: &'a EditRecord, field: &str) -> &'a str {
    text_in(&record.metadata, field)
}

fn text_in<'a>(metadata: &'a Value, field: &str) -> &'a str {
    metadata.get(METADATA).and_then(|of| of.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// The proposals of an annotation that wait, in whatever codebook.
fn waiting_of(editor: &Editor, project: &str, annotation: u64) -> Vec<Arc<Proposal>> {
    let tag = tag(annotation);
    editor.find_proposals(|one| {
        one.state == ProposalState::Waiting
            && one.newest.content.tags.contains(&tag)
            && text_in(&one.newest.content.metadata, "project") == project
    })
}

/// The live edits of an annotation, in whatever codebook: its project's may have been another.
async fn edits_of(
    editor: &Editor,
    project: &str,
    annotation: u64,
) -> Result<Vec<(CodebookName, Arc<EditRecord>)>> {
    let filter = EditFilter { tag: Some(tag(annotation)), ..EditFilter::default() };
    let mut found = editor.find_records(filter).await?;
    found.retain(|(_, record)| text_of(record, "project") == project);
    Ok(found)
}
