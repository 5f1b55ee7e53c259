//! `POST /modularity`: measures layers and weights, and moves the codebook to what is chosen.

use futures::future::BoxFuture;
use reasonedit_editor::{EditorError, EmbeddingChoice, ModularityState, ModularityWatch, SampleSet};
use reasonedit_http::problem::{Problem, Result};
use reasonedit_jobs::{BackgroundJob, JobContext, JobFailure, JobsError};
use reasonedit_resilience::blocking;
use reasonedit_topology::ModularityReport;
use serde::{Deserialize, Serialize};

use super::dependencies::JobDependencies;
use super::failure::failed;
use super::reembed::{Tidy, telling};
use reasonedit_dto::job::JobKind;
use reasonedit_dto::modularity::{Apply, ModularityRequestDto, ModularityResultDto};

/// Number of the piece that holds the report.
pub(crate) const REPORT: u64 = 0;
/// The source that is the codebook itself.
pub(crate) const CODEBOOK: &str = "codebook";

/// Tells the job how far the measuring is.
struct Telling<'a>(&'a JobContext<ModularityState>);

impl ModularityWatch for Telling<'_> {
    fn progress(&self, stage: &'static str, done: u64, total: u64) {
        self.0.progress(stage, done, total);
    }

    fn checkpoint<'a>(&'a self, state: &'a ModularityState) -> BoxFuture<'a, Result<(), EditorError>> {
        Box::pin(async move {
            let kept = self.0.checkpoint(state).await;
            kept.map_err(|error| match error {
                JobsError::Journal(error) => error.into(),
                error => {
                    tracing::error!(%error, job = %self.0.id(), "a checkpoint can't be kept");
                    EditorError::Storage(std::io::Error::other("a checkpoint can't be kept"))
                }
            })
        })
    }
}

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Modularity(pub(crate) ModularityRequestDto);

impl BackgroundJob for Modularity {
    const NAME: &'static str = JobKind::Modularity.name();
    const EXCLUSIVE: bool = true;
    type Dependencies = JobDependencies;
    /// The runs that are finished.
    type Checkpoint = ModularityState;
    type Output = ModularityResultDto;

    async fn run(
        self,
        dependencies: JobDependencies,
        context: JobContext<ModularityState>,
    ) -> Result<ModularityResultDto, JobFailure> {
        work(&self.0, dependencies, context).await.map_err(failed)
    }
}

/// Measures, keeps the report, and applies it if that was asked for. A finished run is not measured again; a
/// finished report is not made again; a re-embedding goes on where it was.
async fn work(
    asked: &ModularityRequestDto,
    dependencies: JobDependencies,
    context: JobContext<ModularityState>,
) -> Result<ModularityResultDto> {
    let codebook = context.codebook();
    let report = if let Some(report) = report_of(&context.pieces(REPORT, 1).await?)? {
        report
    } else {
        let report = measured(&dependencies, &context, asked).await?;
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
    Ok(ModularityResultDto {
        report: format!("/modularity/{}", context.id()),
        tap: tap.tap.clone(),
        lambda: weight,
        better,
        applied: apply,
        generation: generation.map(|id| id.to_string()),
    })
}

/// The report, from the runs that were finished before and those that are left.
async fn measured(
    dependencies: &JobDependencies,
    context: &JobContext<ModularityState>,
    asked: &ModularityRequestDto,
) -> Result<ModularityReport> {
    let finished: ModularityState = context.resumed_from()?.unwrap_or_default();
    let samples = samples(dependencies, context, asked).await?;
    let (codebook, request, telling) = (context.codebook(), asked.request(), Telling(context));
    let measuring = dependencies.editor.measure_modularity(&codebook, &samples, &request, finished, &telling);
    Ok(measuring.await?)
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
    context: &JobContext<ModularityState>,
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
