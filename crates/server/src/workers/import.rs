//! `POST /codebook/import?background=true`: an import that outlives its request.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use reasonedit_editor::{
    CallContext, CodebookError, EditId, Editor, EditorError, ImportOptions, ImportSummary, ImportWatch,
    KeptMembers,
};
use reasonedit_http::audit::AuditRecord;
use reasonedit_http::problem::Result;
use reasonedit_jobs::{BackgroundJob, JobContext, JobFailure, JobsError, UploadReader};
use reasonedit_resilience::blocking;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::dependencies::JobDependencies;
use super::failure::{failed, unreadable};
use reasonedit_dto::codebook::ImportDto;
use reasonedit_dto::contributor::Contributor;
use reasonedit_dto::job::JobKind;

/// Time between two reports of progress.
const TICK: Duration = Duration::from_millis(250);
/// Rows that an edit's keys are kept in at most.
const ROWS: usize = 256;
/// Edits that are looked for to see whether an import had come in.
const LOOKED_FOR: usize = 16;

/// Counts what is read.
struct Counting {
    file: UploadReader,
    read: Arc<AtomicU64>,
    /// Whether it turned out not to be as it came.
    damaged: Arc<AtomicBool>,
    halted: CancellationToken,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The reading goes on elsewhere when the worker is dropped.
        if self.halted.is_cancelled() {
            return Err(io::Error::other("the import was stopped"));
        }
        let count = self.file.read(buffer).inspect_err(|error| {
            self.damaged.fetch_or(error.kind() == io::ErrorKind::InvalidData, Ordering::Relaxed);
        })?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Where an import is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ImportState {
    /// So many bytes were read, as versions of before counted how far they came.
    Read(u64),
    /// All was checked and was about to come in at once: some of the edits, and what the import comes to.
    Commits { edits: Vec<EditId>, summary: ImportSummary },
}

/// Keeps what an import came to.
struct Watching {
    context: JobContext<ImportState>,
    /// Whether the archive was read to its end.
    was_read: AtomicBool,
    /// Told of pictures that were checked.
    pictures: Notify,
}

/// Removes what lies beside the pictures of an import that is cancelled, which drops its work.
struct Tidy {
    editor: Editor,
    context: JobContext<ImportState>,
}

impl Drop for Tidy {
    fn drop(&mut self) {
        if self.context.cancelled() {
            let (editor, work) = (self.editor.clone(), self.context.id());
            tokio::spawn(async move { end(&editor, work).await });
        }
    }
}

async fn end(editor: &Editor, work: Ulid) {
    if let Err(error) = editor.end_import(work).await {
        tracing::warn!(job = %work, %error, "pictures of an import that is over are removed at the next start");
    }
}

impl Watching {
    fn refused(&self, error: JobsError) -> EditorError {
        match error {
            JobsError::Journal(error) => error.into(),
            error => {
                tracing::error!(%error, job = %self.context.id(), "what an import came to can't be kept");
                EditorError::Storage(io::Error::other("what an import came to can't be kept"))
            }
        }
    }
}

impl ImportWatch for Watching {
    fn picture(&self) {
        self.pictures.notify_one();
    }

    fn progress(&self, done: usize, total: usize) {
        self.was_read.store(true, Ordering::Relaxed);
        self.context.progress("edits", done as u64, total as u64);
    }

    fn kept(&self, edit: EditId) -> BoxFuture<'_, Vec<KeptMembers>> {
        Box::pin(async move {
            let first = KeptMembers::first_row(edit);
            // What can't be read is made again.
            let rows = self.context.kept(first, ROWS).await.unwrap_or_default();
            let own = rows.into_iter().take_while(|(row, _)| row - first < ROWS as u64);
            own.filter_map(|(_, row)| serde_json::from_slice(&row).ok()).collect()
        })
    }

    fn keep(&self, edit: EditId, keys: Vec<KeptMembers>) -> BoxFuture<'_, Result<(), EditorError>> {
        Box::pin(async move {
            for (row, keys) in (KeptMembers::first_row(edit)..).zip(keys).take(ROWS) {
                self.context.keep(row, &keys).await.map_err(|error| self.refused(error))?;
            }
            Ok(())
        })
    }

    fn commits(
        &self,
        mut edits: Vec<EditId>,
        summary: ImportSummary,
    ) -> BoxFuture<'_, Result<(), EditorError>> {
        self.was_read.store(true, Ordering::Relaxed);
        edits.truncate(LOOKED_FOR);
        let state = ImportState::Commits { edits, summary };
        Box::pin(async move {
            // What it had come to before is no progress.
            if self.context.resumed_from().is_ok_and(|before| before.as_ref() == Some(&state)) {
                return Ok(());
            }
            self.context.checkpoint(&state).await.map_err(|error| self.refused(error))
        })
    }
}

/// What is asked for: the upload, and for whom; nobody stands for who may do everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Import(Option<Contributor>);

impl Import {
    /// An import of theirs.
    pub(crate) fn by(contributor: Contributor) -> Self {
        Self(Some(contributor).filter(|contributor| !contributor.is_unnamed_admin()))
    }
}

impl BackgroundJob for Import {
    const NAME: &'static str = JobKind::Import.name();
    type Dependencies = JobDependencies;
    type Checkpoint = ImportState;
    type Output = ImportDto;

    async fn run(
        self,
        dependencies: JobDependencies,
        context: JobContext<ImportState>,
    ) -> Result<ImportDto, JobFailure> {
        let tidy = Tidy { editor: dependencies.editor.clone(), context: context.clone() };
        let outcome = work(self.0.unwrap_or_default(), dependencies, context).await.map_err(failed);
        // Another one may be begun again.
        if matches!(outcome, Ok(_) | Err(JobFailure::Failed(_))) {
            end(&tidy.editor, tidy.context.id()).await;
        }
        outcome
    }
}

/// Whether an import that was about to come in had done so when the process was killed: all of its edits come
/// in at once, and stay known when they are taken back.
async fn came_in(editor: &Editor, context: &JobContext<ImportState>, edits: &[EditId]) -> Result<bool> {
    let (library, codebook, edits) = (Arc::clone(editor.library()), context.codebook(), edits.to_vec());
    blocking(move || {
        let book = match library.get(&codebook) {
            Err(CodebookError::UnknownCodebook(_)) => return Ok(false),
            book => book?,
        };
        for edit in edits {
            match book.record(edit) {
                Ok(_) => return Ok(true),
                Err(CodebookError::UnknownEdit(_) | CodebookError::Erased { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    })
    .await
}

/// Takes in an archive: all of it, or nothing. After an interruption it is read again, but pictures that were
/// checked aren't decoded again, and keys that were made anew aren't made again: an import that gets on with
/// either each time is tried again without end. One whose edits had come in has come to what was kept of it
/// before.
async fn work(
    by: Contributor,
    dependencies: JobDependencies,
    context: JobContext<ImportState>,
) -> Result<ImportDto> {
    let (editor, codebook) = (&dependencies.editor, context.codebook());
    let summary = match context.resumed_from()? {
        Some(ImportState::Commits { edits, summary }) if came_in(editor, &context, &edits).await? => summary,
        _ => taken_in(&by, &dependencies, &context).await?,
    };
    dependencies.audit.job(AuditRecord {
        codebook: Some(codebook.to_string()),
        whole: true,
        jobs: vec![context.id().to_string()],
        ..AuditRecord::default()
    });
    Ok(ImportDto::from(summary))
}

/// Reads the archive and takes it in.
async fn taken_in(
    by: &Contributor,
    dependencies: &JobDependencies,
    context: &JobContext<ImportState>,
) -> Result<ImportSummary> {
    let upload = context.upload();
    let (file, total) = blocking(move || {
        let opened = upload.open().and_then(|file| file.length().map(|length| (file, length)));
        opened.map_err(|error| unreadable(&error))
    })
    .await?;
    let read = Arc::new(AtomicU64::new(0));
    let damaged = Arc::new(AtomicBool::new(false));
    let counting =
        Counting { file, read: Arc::clone(&read), damaged: Arc::clone(&damaged), halted: context.halted() };
    let watching = Arc::new(Watching {
        context: context.clone(),
        was_read: AtomicBool::new(false),
        pictures: Notify::new(),
    });
    // What the archive comes to decompressed is bounded as what is uploaded.
    let watch: Arc<dyn ImportWatch> = Arc::clone(&watching) as Arc<dyn ImportWatch>;
    let options = by.import_options(dependencies.import_bytes);
    let options = ImportOptions { watch, work: Some(context.id()), ..options };
    let codebook = context.codebook();
    let importing = dependencies.editor.import(&codebook, counting, options, CallContext::job());
    let mut importing = std::pin::pin!(importing);
    let mut ticks = tokio::time::interval(TICK);
    let summary = loop {
        tokio::select! {
            // What was wrong with what was kept of the upload explains why the archive looked damaged.
            summary = &mut importing => match summary {
                Err(_) if damaged.load(Ordering::Relaxed) => {
                    return Err(unreadable(&io::ErrorKind::InvalidData.into()));
                }
                summary => break summary?,
            },
            () = watching.pictures.notified() => context.got_on().await?,
            _ = ticks.tick() => {
                if !watching.was_read.load(Ordering::Relaxed) {
                    context.progress("bytes", read.load(Ordering::Relaxed), total);
                }
            }
        }
    };
    context.progress("bytes", total, total);
    Ok(summary)
}
