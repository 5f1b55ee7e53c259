//! `POST /codebook/import?background=true`: an import that outlives its request.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reasonedit_editor::CallContext;
use reasonedit_http::audit::AuditRecord;
use reasonedit_http::problem::Result;
use reasonedit_jobs::{BackgroundJob, JobContext, JobFailure, UploadReader};
use reasonedit_resilience::blocking;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::dependencies::JobDependencies;
use super::failure::{failed, unreadable};
use crate::contributor::Contributor;
use crate::dto::codebook::ImportDto;
use crate::dto::job::JobKind;

/// Time between two reports of progress.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two checkpoints.
const CHECKPOINT_TICKS: u32 = 20;

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
    /// How far it came, in bytes read and edits that got new keys.
    type Checkpoint = u64;
    type Output = ImportDto;

    async fn run(
        self,
        dependencies: JobDependencies,
        context: JobContext<u64>,
    ) -> Result<ImportDto, JobFailure> {
        work(self.0.unwrap_or_default(), dependencies, context).await.map_err(failed)
    }
}

/// Takes in an archive: all of it, or nothing. After an interruption it begins again. The checkpoint is how
/// far it came, in bytes read and edits that got new keys: an import that gets farther each time is tried
/// again without end.
async fn work(by: Contributor, dependencies: JobDependencies, context: JobContext<u64>) -> Result<ImportDto> {
    let upload = context.upload();
    let (file, total) = blocking(move || {
        let opened = upload.open().and_then(|file| file.length().map(|length| (file, length)));
        opened.map_err(|error| unreadable(&error))
    })
    .await?;
    let mut farthest: u64 = context.resumed_from()?.unwrap_or(0);
    let read = Arc::new(AtomicU64::new(0));
    let damaged = Arc::new(AtomicBool::new(false));
    let counting =
        Counting { file, read: Arc::clone(&read), damaged: Arc::clone(&damaged), halted: context.halted() };
    let call = CallContext::job();
    let codebook = context.codebook();
    // What the archive comes to decompressed is bounded as what is uploaded.
    let options = by.import_options(dependencies.import_bytes);
    let embedded = Arc::clone(&options.progress);
    let mut importing = std::pin::pin!(dependencies.editor.import(&codebook, counting, options, call));
    let mut ticks = tokio::time::interval(TICK);
    let mut count = 0;
    let summary = loop {
        tokio::select! {
            // What was wrong with what was kept of the upload explains why the archive looked damaged.
            summary = &mut importing => match summary {
                Err(_) if damaged.load(Ordering::Relaxed) => {
                    return Err(unreadable(&io::ErrorKind::InvalidData.into()));
                }
                summary => break summary?,
            },
            _ = ticks.tick() => {
                let done = read.load(Ordering::Relaxed);
                let edits = embedded.edits();
                match edits {
                    Some((done, total)) => context.progress("edits", done, total),
                    None => context.progress("bytes", done, total),
                }
                count += 1;
                let came = done + edits.map_or(0, |(done, _)| done);
                if count % CHECKPOINT_TICKS == 0 && came > farthest {
                    farthest = came;
                    context.checkpoint(&farthest).await?;
                }
            }
        }
    };
    context.progress("bytes", total, total);
    dependencies.audit.job(AuditRecord {
        codebook: Some(codebook.to_string()),
        whole: true,
        jobs: vec![context.id().to_string()],
        ..AuditRecord::default()
    });
    Ok(ImportDto::from(summary))
}
