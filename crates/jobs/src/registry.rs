//! The kinds of jobs there are.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::context::RunningJob;
use crate::error::JobsError;
use crate::failure::{FailureReport, JobFailure};
use crate::job::BackgroundJob;

/// How a failure of the jobs themselves is told.
pub(crate) type Reporter = fn(JobsError) -> FailureReport;

type Run = dyn Fn(RunningJob) -> BoxFuture<'static, Result<Value, JobFailure>> + Send + Sync;

/// A kind of job, its types forgotten.
#[derive(Clone)]
pub(crate) struct JobKind {
    pub(crate) name: &'static str,
    pub(crate) exclusive: bool,
    pub(crate) run: Arc<Run>,
}

/// The kinds of jobs that are worked on, a line each:
/// `JobRegistry::new(dependencies).with::<Reembed>().with::<Batch>()`.
#[derive(Clone)]
pub struct JobRegistry<D> {
    dependencies: D,
    pub(crate) kinds: Vec<JobKind>,
    pub(crate) reporter: Reporter,
}

impl<D: Clone + Send + Sync + 'static> JobRegistry<D> {
    /// No kinds yet.
    pub fn new(dependencies: D) -> Self {
        Self { dependencies, kinds: Vec::new(), reporter: FailureReport::plain }
    }

    /// Says how failures of the jobs themselves, say a panic, are told and kept in records.
    #[must_use]
    pub fn reporting(self, reporter: fn(JobsError) -> FailureReport) -> Self {
        Self { reporter, ..self }
    }

    /// Adds a kind.
    #[must_use]
    pub fn with<J: BackgroundJob<Dependencies = D>>(mut self) -> Self {
        let dependencies = self.dependencies.clone();
        let run = move |running: RunningJob| -> BoxFuture<'static, Result<Value, JobFailure>> {
            let dependencies = dependencies.clone();
            Box::pin(async move {
                let job = running.input::<J>()?;
                let output = job.run(dependencies, running.context()).await?;
                Ok(serde_json::to_value(output).map_err(JobsError::from)?)
            })
        };
        self.kinds.push(JobKind { name: J::NAME, exclusive: J::EXCLUSIVE, run: Arc::new(run) });
        self
    }

    /// The names of the kinds, in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.iter().map(|kind| kind.name)
    }
}
