//! `POST /backup`: a backup that outlives its request.

use std::ops::ControlFlow;
use std::sync::Arc;

use reasonedit_backup::BackupProgress;
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use reasonedit_jobs::{BackgroundJob, JobContext, JobFailure};
use reasonedit_resilience::blocking;
use serde::{Deserialize, Serialize};

use super::dependencies::JobDependencies;
use super::failure::failed;
use reasonedit_dto::backup::{BackupRequestDto, BackupResultDto};
use reasonedit_dto::job::JobKind;

/// A backup of everything. Where it goes stands in the configuration, and not here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Backup {
    #[serde(flatten)]
    asked: BackupRequestDto,
}

impl From<BackupRequestDto> for Backup {
    fn from(asked: BackupRequestDto) -> Self {
        Self { asked }
    }
}

impl BackgroundJob for Backup {
    const NAME: &'static str = JobKind::Backup.name();
    const EXCLUSIVE: bool = true;
    type Dependencies = JobDependencies;
    type Checkpoint = ();
    type Output = BackupResultDto;

    async fn run(
        self,
        dependencies: JobDependencies,
        context: JobContext<()>,
    ) -> Result<BackupResultDto, JobFailure> {
        // The job stands in the backup itself, and goes on wherever that is restored; its upload, which is
        // empty, is in the folder alone that the backup was asked for in.
        if !context.upload().is_there() {
            return Err(failed(restored()));
        }
        // A disk for backups that is full isn't waited for: whoever looks after it is told.
        work(self.asked, dependencies, context).await.map_err(|problem| match failed(problem) {
            JobFailure::Unwritable(report) => JobFailure::Failed(report),
            other => other,
        })
    }
}

/// What is told where nobody said where backups go.
pub(crate) fn no_backups() -> Problem {
    let detail = "No folder for backups is configured: set backup.folder (REASONEDIT_BACKUP__FOLDER).";
    Problem::new(ProblemKind::Conflict, detail)
}

/// A job that goes on in a folder which was restored would make a backup that nobody asked for.
fn restored() -> Problem {
    let detail = "The backup was asked for in another data folder, of which this one was restored; ask for another one.";
    Problem::new(ProblemKind::Conflict, detail)
}

async fn work(
    asked: BackupRequestDto,
    dependencies: JobDependencies,
    context: JobContext<()>,
) -> Result<BackupResultDto> {
    let service = dependencies.backups.ok_or_else(no_backups)?;
    let library = Arc::clone(dependencies.editor.library());
    let made = blocking(move || {
        let halted = context.halted();
        let told = |at: BackupProgress| {
            context.progress(at.stage, at.done, at.total);
            if halted.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        service.create(&library, asked.check, asked.new_repository, &told).map_err(Problem::from)
    })
    .await?;
    tracing::info!(
        backup = %made.id, edits = made.edits, pictures = made.pictures, bytes = made.bytes,
        new_bytes = made.new_bytes, edits_waited_ms = made.edits_waited_ms, ms = made.ms, "backed up"
    );
    Ok(made.into())
}
