//! Moves a codebook to another embedding: `POST /modularity/{report}/apply`, `POST /modularity/reembed`, and
//! `POST /modularity/rollback` goes back.

use reasonedit_editor::{Editor, EmbeddingChoice, GenerationId, ReembedProgress};
use reasonedit_http::problem::Result;
use reasonedit_jobs::{BackgroundJob, JobContext, JobFailure};
use serde::{Deserialize, Serialize};

use super::dependencies::JobDependencies;
use super::failure::failed;
use reasonedit_dto::job::JobKind;
use reasonedit_dto::modularity::ReembedResultDto;

/// What a codebook is moved to without measuring. It stands in the job, so that one that is begun again does
/// the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Reembed {
    /// Back to the generation before.
    Back { to: GenerationId },
    /// To what a report chose.
    Chosen { choice: EmbeddingChoice },
    /// To itself, with pictures read by today's rules.
    Renewed { renew: bool },
}

impl BackgroundJob for Reembed {
    const NAME: &'static str = JobKind::Reembed.name();
    const EXCLUSIVE: bool = true;
    type Dependencies = JobDependencies;
    type Checkpoint = ();
    type Output = ReembedResultDto;

    async fn run(
        self,
        dependencies: JobDependencies,
        context: JobContext<()>,
    ) -> Result<ReembedResultDto, JobFailure> {
        work(self, dependencies, context).await.map_err(failed)
    }
}

/// Moves a codebook to another embedding, or back to the one before.
async fn work(
    input: Reembed,
    dependencies: JobDependencies,
    context: JobContext<()>,
) -> Result<ReembedResultDto> {
    let (codebook, told, forever) = (context.codebook(), telling(&context), std::future::pending());
    let _tidy = Tidy { editor: &dependencies.editor, context: &context };
    let generation = match input {
        Reembed::Back { to } => dependencies.editor.rollback(&codebook, Some(to), told, forever).await?,
        Reembed::Chosen { choice } => dependencies.editor.reembed(&codebook, &choice, told, forever).await?,
        Reembed::Renewed { .. } => dependencies.editor.renew(&codebook, told, forever).await?,
    };
    Ok(ReembedResultDto { generation: generation.to_string() })
}

/// Tells the job how far its keys are.
pub(super) fn telling<C: 'static>(context: &JobContext<C>) -> impl FnMut(ReembedProgress) + Send + use<C> {
    let (context, mut kept) = (context.clone(), None);
    move |at| {
        context.progress(at.stage.name(), at.done as u64, at.total as u64);
        // Keys on disk are gone on with at the next start: a move that gets some there is tried without end.
        if kept.replace(at.kept).is_some_and(|before| at.kept > before) {
            let context = context.clone();
            tokio::spawn(async move {
                if let Err(error) = context.got_on().await {
                    tracing::warn!(job = %context.id(), %error, "that a job got on was not kept");
                }
            });
        }
    }
}

/// Clears away half-made keys when the worker is dropped because its job was cancelled; when the service
/// stops they are kept, to be gone on with.
pub(super) struct Tidy<'a, C> {
    pub(super) editor: &'a Editor,
    pub(super) context: &'a JobContext<C>,
}

impl<C> Drop for Tidy<'_, C> {
    fn drop(&mut self) {
        if !self.context.cancelled() {
            return;
        }
        let (editor, codebook) = (self.editor.clone(), self.context.codebook());
        tokio::spawn(async move {
            if let Err(error) = editor.discard_reembedding(&codebook).await {
                tracing::warn!(%codebook, %error, "half-made keys are left until the next re-embedding");
            }
        });
    }
}
