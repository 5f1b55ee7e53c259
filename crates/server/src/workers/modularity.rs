//! `POST /modularity`: measures layers and weights, and moves the codebook to what is chosen;
//! `POST /modularity/rollback` goes back.

use futures::future::BoxFuture;
use reasonedit_editor::{
    Editor, EditorError, EmbeddingChoice, GenerationId, ModularityState, ModularityWatch, ReembedProgress,
    SampleSet,
};
use reasonedit_topology::ModularityReport;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dependencies::JobDependencies;
use crate::dto::modularity::{Apply, ModularityRequestDto, ModularityResultDto, ReembedResultDto};
use crate::jobs::{Context, blocking};
use crate::problem::{Problem, Result};

/// Number of the piece that holds the report.
pub(crate) const REPORT: u64 = 0;
/// The source that is the codebook itself.
pub(crate) const CODEBOOK: &str = "codebook";

/// Tells the job how far the measuring is.
struct Telling<'a>(&'a Context);

impl ModularityWatch for Telling<'_> {
    fn progress(&self, stage: &'static str, done: u64, total: u64) {
        self.0.progress(stage, done, total);
    }

    fn checkpoint<'a>(&'a self, state: &'a ModularityState) -> BoxFuture<'a, Result<(), EditorError>> {
        Box::pin(async move {
            let kept = self.0.checkpoint(state).await;
            // What refused is in the log.
            kept.map_err(|_| EditorError::Storage(std::io::Error::other("a checkpoint can't be kept")))
        })
    }
}

/// Clears away half-made keys when the worker is dropped because its job was cancelled; when the service
/// stops they are kept, to be gone on with.
struct Tidy<'a> {
    editor: &'a Editor,
    context: &'a Context,
}

impl Drop for Tidy<'_> {
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

/// Measures, keeps the report, and applies it if that was asked for. A finished run is not measured again; a
/// finished report is not made again; a re-embedding goes on where it was.
pub(super) async fn work(dependencies: JobDependencies, context: Context) -> Result<Value> {
    let asked: ModularityRequestDto = context.input()?;
    let codebook = context.codebook();
    let report = if let Some(report) = report_of(&context.pieces(REPORT, 1).await?)? {
        report
    } else {
        let report = measured(&dependencies, &context, &asked).await?;
        context.append(REPORT, &report).await?;
        report
    };
    let better = report.is_better();
    let (tap, weight) = (&report.selection.tap.chosen, report.selection.weight.chosen);
    let wanted = match asked.apply {
        Apply::Never => false,
        Apply::IfBetter => better,
        Apply::Always => true,
    };
    // A codebook without keys has nothing to move.
    let apply = wanted && dependencies.editor.has_keys(&codebook)?;
    let generation = if apply {
        let choice = EmbeddingChoice::from(&report.selection);
        let told = telling(&context);
        let _tidy = Tidy { editor: &dependencies.editor, context: &context };
        // This worker is dropped when its job is halted.
        Some(dependencies.editor.reembed(&codebook, &choice, told, std::future::pending()).await?)
    } else {
        dependencies.editor.active_embedding(&codebook).ok().map(|active| active.embedding.id)
    };
    let result = ModularityResultDto {
        report: format!("/modularity/{}", context.id()),
        tap: tap.tap.clone(),
        lambda: weight,
        better,
        applied: apply,
        generation: generation.map(|id| id.to_string()),
    };
    serde_json::to_value(result).map_err(|error| Problem::internal(&error))
}

/// The report, from the runs that were finished before and those that are left.
async fn measured(
    dependencies: &JobDependencies,
    context: &Context,
    asked: &ModularityRequestDto,
) -> Result<ModularityReport> {
    let finished: ModularityState = context.resumed_from()?.unwrap_or_default();
    let samples = samples(dependencies, context, asked).await?;
    let (codebook, request, telling) = (context.codebook(), asked.request(), Telling(context));
    let measuring = dependencies.editor.measure_modularity(&codebook, &samples, &request, finished, &telling);
    Ok(measuring.await?)
}

/// What a codebook is moved to without measuring. It stands in the job, so that one that is begun again does
/// the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ReembedInput {
    /// Back to the generation before.
    Back { to: GenerationId },
    /// To what a report chose.
    Chosen { choice: EmbeddingChoice },
    /// To itself, with pictures read by today's rules.
    Renewed { renew: bool },
}

/// Moves a codebook to another embedding, or back to the one before.
pub(super) async fn reembed(dependencies: JobDependencies, context: Context) -> Result<Value> {
    let (codebook, told, forever) = (context.codebook(), telling(&context), std::future::pending());
    let _tidy = Tidy { editor: &dependencies.editor, context: &context };
    let generation = match context.input()? {
        ReembedInput::Back { to } => dependencies.editor.rollback(&codebook, Some(to), told, forever).await?,
        ReembedInput::Chosen { choice } => {
            dependencies.editor.reembed(&codebook, &choice, told, forever).await?
        }
        ReembedInput::Renewed { .. } => dependencies.editor.renew(&codebook, told, forever).await?,
    };
    let result = ReembedResultDto { generation: generation.to_string() };
    serde_json::to_value(result).map_err(|error| Problem::internal(&error))
}

fn telling(context: &Context) -> impl FnMut(ReembedProgress) + Send + use<> {
    let context = context.clone();
    move |at| {
        context.progress(at.stage.name(), at.done as u64, at.total as u64);
    }
}

/// The report among the pieces of a job.
pub(crate) fn report_of(pieces: &[(u64, Vec<u8>)]) -> Result<Option<ModularityReport>> {
    let report = pieces.iter().find(|(number, _)| *number == REPORT);
    report
        .map(|(_, bytes)| serde_json::from_slice(bytes))
        .transpose()
        .map_err(|error| Problem::internal(&error))
}

async fn samples(
    dependencies: &JobDependencies,
    context: &Context,
    asked: &ModularityRequestDto,
) -> Result<SampleSet> {
    let name = asked.source.clone().unwrap_or_else(|| CODEBOOK.to_owned());
    if name == CODEBOOK {
        return Ok(dependencies.editor.codebook_samples(&context.codebook())?);
    }
    let Some(open) = dependencies.sources.get(&name) else {
        return Err(Problem::invalid("/source", format!("There is no source named {name:?}.")));
    };
    let request = asked.request();
    // Enough for every draw to have samples of its own.
    let wanted = request.samples_wanted();
    blocking(move || open(wanted, request.seed).map_err(|error| Problem::invalid("/source", error))).await
}
