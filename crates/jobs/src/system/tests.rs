use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use reasonedit_codebook::{CodebookConfig, CodebookStore, Library, MemoryStore};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::{JobLimits, Jobs, Submission};
use crate::context::JobContext;
use crate::error::{JobsError, Result};
use crate::failure::{FailureReport, JobFailure};
use crate::job::BackgroundJob;
use crate::record::{JobState, JobView, SubmissionKey};
use crate::registry::JobRegistry;

const LIMITS: JobLimits = JobLimits { queued: 3, queued_of_caller: 2, kept: 5 };
/// Nothing here takes that long; a test that hangs fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// What lasts when a process ends.
struct Data {
    store: Arc<dyn CodebookStore>,
    folder: TempDir,
}

impl Data {
    fn new() -> Self {
        Self { store: Arc::new(MemoryStore::new()), folder: tempfile::tempdir().unwrap() }
    }

    /// As a process finds it that starts.
    fn start(&self, runner: Runner) -> Jobs {
        let library = Library::open(Arc::clone(&self.store), CodebookConfig::default()).unwrap();
        Jobs::open(&library, self.folder.path(), LIMITS, registry(runner), CancellationToken::new()).unwrap()
    }
}

type Context = JobContext<Value>;

/// What toys do.
type Runner = Arc<dyn Fn(Value, Context) -> BoxFuture<'static, Result<Value, JobFailure>> + Send + Sync>;

/// Kinds of jobs that do what a test says.
macro_rules! toy {
    ($kind:ident, $name:literal, $exclusive:literal) => {
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        struct $kind(Value);

        impl BackgroundJob for $kind {
            const NAME: &'static str = $name;
            const EXCLUSIVE: bool = $exclusive;
            type Dependencies = Runner;
            type Checkpoint = Value;
            type Output = Value;

            async fn run(self, runner: Runner, context: Context) -> Result<Value, JobFailure> {
                runner(self.0, context).await
            }
        }
    };
}

toy!(Batch, "batch", false);
toy!(Import, "import", false);
toy!(Modularity, "modularity", true);

fn registry(runner: Runner) -> JobRegistry<Runner> {
    let reporter = |error: JobsError| FailureReport::new("", json!({ "fault": error.to_string() }));
    JobRegistry::new(runner).reporting(reporter).with::<Modularity>().with::<Batch>().with::<Import>()
}

fn worker<F>(work: impl Fn(Value, Context) -> F + Send + Sync + 'static) -> Runner
where
    F: Future<Output = Result<Value, JobFailure>> + Send + 'static,
{
    Arc::new(move |input, context| Box::pin(work(input, context)))
}

/// Works until it is stopped.
fn endless() -> Runner {
    worker(|_, context: Context| async move {
        context.progress("waiting", 1, 4);
        std::future::pending().await
    })
}

fn submission() -> Submission {
    Submission { total: Some(4), ..Submission::default() }
}

async fn submit<J: BackgroundJob>(jobs: &Jobs, job: J) -> Ulid {
    jobs.submit(&job, submission()).await.unwrap().id
}

/// A report as a service might keep it.
fn report(detail: &str) -> FailureReport {
    FailureReport::new(detail, json!({"title": "The input can't be used", "detail": detail}))
}

/// The job once it is as wanted.
async fn until(jobs: &Jobs, id: Ulid, wanted: impl Fn(&JobView) -> bool) -> JobView {
    let mut record = jobs.watch(id).unwrap();
    let seen = record.wait_for(|record| wanted(&record.view()));
    tokio::time::timeout(PATIENCE, seen).await.expect("in time").unwrap();
    jobs.get(id).unwrap()
}

async fn ended(jobs: &Jobs, id: Ulid) -> JobView {
    until(jobs, id, |job| job.state.ended()).await
}

async fn running(jobs: &Jobs, id: Ulid) -> JobView {
    until(jobs, id, |job| job.state == JobState::Running && job.progress.stage != "queued").await
}

/// A job as it is on the wire, but for its id and its times.
fn without_chance(job: &JobView) -> Value {
    assert!(job.started_at.is_some_and(|at| at >= job.created_at) && job.ended_at >= job.started_at);
    let JobView { kind, codebook, state, progress, result, error, .. } = job;
    let remaining = progress.remaining_ms;
    let mut value = json!({
        "kind": kind, "codebook": codebook, "state": state, "progress": progress, "result": result, "error": error,
    });
    value["progress"]["remaining_ms"] = json!(remaining);
    value
}

#[tokio::test]
async fn a_job_from_submission_to_result() {
    let data = Data::new();
    let jobs = data.start(worker(|input: Value, context: Context| async move {
        for done in 0..=4 {
            context.progress("counting", done, 4);
        }
        context.append(1, &json!({"line": 1})).await?;
        context.append(3, &json!({"line": 3})).await?;
        Ok(json!({"sum": input["a"].as_u64().unwrap_or(0) + 1, "codebook": context.codebook()}))
    }));
    let accepted = jobs.submit(&Batch(json!({"a": 2})), submission()).await.unwrap();
    assert_eq!((accepted.state, accepted.started_at), (JobState::Queued, None));
    let id = accepted.id;
    let job = ended(&jobs, id).await;
    insta::assert_json_snapshot!("done", without_chance(&job));
    let rows = jobs.pieces(id, 2, 10).await.unwrap();
    assert_eq!(rows, [(3, br#"{"line":3}"#.to_vec())]);
    // The next process knows it too.
    assert_eq!(data.start(endless()).get(id).unwrap(), job);
}

#[tokio::test]
async fn failures_and_panics_are_the_jobs_own() {
    let data = Data::new();
    let jobs = data.start(worker(|input: Value, _| async move {
        match input.as_str().unwrap_or_default() {
            "refuse" => Err(JobFailure::Failed(report("Too few samples: 20 are needed."))),
            "panic later" => {
                tokio::task::yield_now().await;
                panic!("secret")
            }
            _ => Ok(json!("fine")),
        }
    }));
    let submit = async |input: &str| {
        let job = jobs.submit(&Batch(json!(input)), submission()).await.unwrap();
        ended(&jobs, job.id).await
    };
    let refused = submit("refuse").await;
    insta::assert_json_snapshot!("failed", without_chance(&refused));
    let panicked = submit("panic later").await;
    assert_eq!(panicked.state, JobState::Failed);
    assert_eq!(panicked.error, Some(json!({"fault": format!("job {} panicked: secret", panicked.id)})));
    assert_eq!(submit("else").await.state, JobState::Done, "the system goes on");
    // A runner that panics before its first await is contained too.
    let jobs = data.start(Arc::new(|_, _| panic!("at once")));
    let job = jobs.submit(&Batch(json!({})), submission()).await.unwrap();
    let job = ended(&jobs, job.id).await;
    assert_eq!(job.error, Some(json!({"fault": format!("job {} panicked: at once", job.id)})));
}

#[tokio::test]
async fn one_of_a_kind_at_a_time_and_exclusive_ones_are_refused() {
    let data = Data::new();
    let jobs = data.start(endless());
    let first = submit(&jobs, Batch(json!({}))).await;
    running(&jobs, first).await;
    let second = submit(&jobs, Batch(json!({}))).await;
    let other = submit(&jobs, Modularity(json!({}))).await;
    running(&jobs, other).await;
    assert_eq!(jobs.get(second).unwrap().state, JobState::Queued, "it waits for the first");
    let refused = jobs.submit(&Modularity(json!({})), submission()).await.unwrap_err();
    assert!(matches!(refused, JobsError::Exclusive { kind: "modularity", job } if job == other), "{refused}");

    assert_eq!(jobs.cancel(first).await.unwrap().state, JobState::Cancelled);
    running(&jobs, second).await;
    jobs.cancel(other).await.unwrap();
    let again = submit(&jobs, Modularity(json!({}))).await;
    running(&jobs, again).await;
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let data = Data::new();
    let jobs = data.start(endless());
    let first = submit(&jobs, Batch(json!({}))).await;
    running(&jobs, first).await;
    for _ in 0..LIMITS.queued {
        submit(&jobs, Batch(json!({}))).await;
    }
    let refused = jobs.submit(&Import(json!({})), submission()).await.unwrap_err();
    assert!(matches!(refused, JobsError::QueueFull { .. }), "{refused}");
    jobs.cancel(first).await.unwrap();
    assert_eq!(jobs.unfinished().values().sum::<usize>(), LIMITS.queued);
}

#[tokio::test]
async fn cancelling_is_idempotent_and_of_use_only_before_the_end() {
    let data = Data::new();
    let jobs = data.start(worker(|wait: Value, context: Context| async move {
        if wait == json!(true) {
            context.progress("waiting", 0, 1);
            std::future::pending::<()>().await;
        }
        Ok(Value::Null)
    }));
    let submit = async |wait: bool| jobs.submit(&Batch(json!(wait)), submission()).await.unwrap().id;
    let run = submit(true).await;
    running(&jobs, run).await;
    let waiting = submit(true).await;
    for id in [waiting, run, run, waiting] {
        let job = jobs.cancel(id).await.unwrap();
        assert_eq!(job.state, JobState::Cancelled);
        assert!(job.ended_at.is_some() && job.result.is_none() && job.error.is_none());
    }
    let done = submit(false).await;
    ended(&jobs, done).await;
    assert!(matches!(jobs.cancel(done).await, Err(JobsError::Ended)));
    assert!(matches!(jobs.cancel(Ulid::new()).await, Err(JobsError::Unknown(_))));
    assert_eq!(data.start(endless()).get(run).unwrap().state, JobState::Cancelled);
}

/// Counts to ten from its checkpoint, and is interrupted at every step.
fn stubborn() -> Runner {
    worker(|_, context: Context| async move {
        let done = context.resumed_from()?.and_then(|done| done.as_u64()).unwrap_or(0) + 1;
        if done == 10 {
            return Ok(json!(done));
        }
        context.checkpoint(&json!(done)).await?;
        context.progress("stopped", done, 10);
        std::future::pending().await
    })
}

#[tokio::test]
async fn a_job_that_gets_on_is_resumed_from_its_checkpoint_without_end() {
    let data = Data::new();
    let first = data.start(stubborn());
    let id = submit(&first, Modularity(json!({}))).await;
    running(&first, id).await;
    // Each of these processes dies without a word: nobody stops its jobs.
    for round in 2..10 {
        let jobs = data.start(stubborn());
        let job = until(&jobs, id, |job| job.progress.done == round).await;
        assert_eq!(job.state, JobState::Running);
    }
    let job = ended(&data.start(stubborn()), id).await;
    assert_eq!((job.state, job.result), (JobState::Done, Some(json!(10))));
}

#[tokio::test]
async fn a_job_that_never_gets_on_is_given_up() {
    let data = Data::new();
    let first = data.start(endless());
    let id = submit(&first, Batch(json!({}))).await;
    running(&first, id).await;
    for _ in 0..2 {
        running(&data.start(endless()), id).await;
    }
    let job = ended(&data.start(endless()), id).await;
    assert_eq!(job.state, JobState::Failed);
    let error = job.error.unwrap();
    assert!(error["fault"].as_str().unwrap().contains("interrupted 3 times"), "{error}");
}

/// Makes one of ten pieces more than there are, and is interrupted; what it has is kept by itself.
fn keeper() -> Runner {
    worker(|_, context: Context| async move {
        let done = context.kept(0, 100).await?;
        assert!(done.iter().all(|(number, work)| *work == number.to_string().as_bytes()), "{done:?}");
        let done = done.len() as u64;
        if done == 10 {
            return Ok(json!(done));
        }
        context.keep(done, &done).await?;
        context.progress("stopped", done + 1, 10);
        std::future::pending().await
    })
}

#[tokio::test]
async fn a_job_goes_on_with_what_it_kept_which_goes_with_it() {
    let data = Data::new();
    let first = data.start(keeper());
    let id = submit(&first, Import(json!({}))).await;
    until(&first, id, |job| job.progress.done == 1).await;
    for round in 2..=10 {
        until(&data.start(keeper()), id, |job| job.progress.done == round).await;
    }
    let jobs = data.start(keeper());
    assert_eq!(ended(&jobs, id).await.result, Some(json!(10)));
    assert_eq!(jobs.pieces(id, 0, 100).await.unwrap(), [], "nobody else is given it");
    stop(jobs).await;
    let library = Library::open(Arc::clone(&data.store), CodebookConfig::default()).unwrap();
    let work = library.journal("job-work");
    assert_eq!(work.all().unwrap(), []);
    // A process that dies as it tidies up leaves it to the next one.
    work.put(id, 0, b"0").unwrap();
    stop(data.start(endless())).await;
    assert_eq!(work.all().unwrap(), []);
}

/// What stops the process before anything more is kept isn't tried for ever.
#[tokio::test]
async fn a_job_that_keeps_nothing_more_is_given_up() {
    let data = Data::new();
    let stuck = || {
        worker(|_, context: Context| async move {
            for done in context.kept(0, 9).await?.len() as u64..4 {
                context.keep(done, &done).await?;
            }
            context.progress("stuck", 4, 10);
            std::future::pending().await
        })
    };
    let first = data.start(stuck());
    let keyed = || Submission {
        idempotency: Some(SubmissionKey { key: "k".to_owned(), digest: "d".to_owned() }),
        ..submission()
    };
    let id = first.submit(&Import(json!({})), keyed()).await.unwrap().id;
    until(&first, id, |job| job.progress.done == 4).await;
    for _ in 0..3 {
        until(&data.start(stuck()), id, |job| job.progress.done == 4 || job.state.ended()).await;
    }
    let jobs = data.start(stuck());
    let error = ended(&jobs, id).await.error.unwrap();
    assert!(error["fault"].as_str().unwrap().contains("interrupted 3 times"), "{error}");
    stop(jobs).await;
    // Whoever sends it again has it begun again.
    let jobs =
        data.start(worker(|_, context: Context| async move { Ok(json!(context.kept(0, 9).await?.len())) }));
    assert_eq!(jobs.submit(&Import(json!({})), keyed()).await.unwrap().id, id);
    assert_eq!(
        ended(&jobs, id).await.result,
        Some(json!(0)),
        "nothing lies there longer than it is worked on"
    );
}

async fn stop(jobs: Jobs) {
    jobs.stopping().cancel();
    tokio::time::timeout(PATIENCE, jobs.stopped()).await.unwrap();
}

#[tokio::test]
async fn one_caller_leaves_places_for_others() {
    let data = Data::new();
    let jobs = data.start(endless());
    let by = |caller: &str| Submission { caller: Some(caller.to_owned()), ..submission() };
    // The first one is worked on and waits for nothing.
    let first = jobs.submit(&Batch(json!(0)), by("night shift")).await.unwrap();
    running(&jobs, first.id).await;
    for n in 1..=LIMITS.queued_of_caller {
        jobs.submit(&Batch(json!(n)), by("night shift")).await.unwrap();
    }
    let refused = jobs.submit(&Batch(json!(9)), by("night shift")).await.unwrap_err();
    let JobsError::CallerQueueFull { retry_after } = refused else { panic!("{refused}") };
    assert!(retry_after > Duration::ZERO && refused.to_string().contains("caller_percent"), "{refused}");
    // It is so after a restart, too.
    stop(jobs).await;
    let jobs = data.start(endless());
    running(&jobs, first.id).await;
    let refused = jobs.submit(&Import(json!(9)), by("night shift")).await.unwrap_err();
    assert!(matches!(refused, JobsError::CallerQueueFull { .. }), "{refused}");
    let theirs = jobs.submit(&Batch(json!(10)), by("ward 3")).await.unwrap();
    let refused = jobs.submit(&Batch(json!(11)), by("ward 4")).await.unwrap_err();
    assert!(matches!(refused, JobsError::QueueFull { .. }), "{refused}");
    jobs.cancel(theirs.id).await.unwrap();
    jobs.submit(&Batch(json!(11)), submission()).await.unwrap();
}

#[tokio::test]
async fn stopping_loses_nothing_and_counts_for_nothing() {
    let data = Data::new();
    let first = data.start(endless());
    let (run, waiting) = (submit(&first, Batch(json!({}))).await, submit(&first, Batch(json!({}))).await);
    for round in 0..5 {
        let jobs = if round == 0 { first.clone() } else { data.start(endless()) };
        running(&jobs, run).await;
        jobs.stopping().cancel();
        tokio::time::timeout(PATIENCE, jobs.stopped()).await.unwrap();
        let refused = jobs.submit(&Batch(json!({})), submission()).await.unwrap_err();
        assert!(matches!(refused, JobsError::Stopping), "{refused}");
    }
    let jobs = data.start(worker(|_, _| async { Ok(Value::Null) }));
    for id in [run, waiting] {
        assert_eq!(ended(&jobs, id).await.state, JobState::Done);
    }
}

#[tokio::test]
async fn nothing_is_begun_by_a_service_that_stops() {
    let data = Data::new();
    let first = data.start(endless());
    let id = submit(&first, Batch(json!({}))).await;
    running(&first, id).await;
    let library = Library::open(Arc::clone(&data.store), CodebookConfig::default()).unwrap();
    let stopped = CancellationToken::new();
    stopped.cancel();
    let never: Runner = Arc::new(|_, _| panic!("begun"));
    let jobs = Jobs::open(&library, data.folder.path(), LIMITS, registry(never), stopped).unwrap();
    tokio::time::timeout(PATIENCE, jobs.stopped()).await.unwrap();
    assert_eq!(jobs.get(id).unwrap().error, None);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let data = Data::new();
    let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let jobs = data.start(worker(move |fails: Value, _| {
        let turn = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            if u64::from(turn) < fails.as_u64().unwrap_or_default() {
                let (after, report) = (Some(Duration::from_millis(1)), report("The engine's queue is full."));
                return Err(JobFailure::Retry { after, report });
            }
            Ok(json!(turn))
        }
    }));
    let submit = async |fails: u32| {
        count.store(0, std::sync::atomic::Ordering::SeqCst);
        let job = jobs.submit(&Batch(json!(fails)), submission()).await.unwrap();
        ended(&jobs, job.id).await
    };
    assert_eq!(submit(2).await.result, Some(json!(2)));
    let error = submit(3).await.error;
    assert_eq!(error, Some(report("The engine's queue is full.").document), "three times and no more");
}

#[tokio::test]
async fn old_jobs_are_forgotten_with_all_that_is_theirs() {
    let data = Data::new();
    let jobs = data.start(worker(|_, context: Context| async move {
        context.append(1, &json!({})).await?;
        Ok(Value::Null)
    }));
    let mut ids = Vec::new();
    for _ in 0..LIMITS.kept + 3 {
        let id = submit(&jobs, Import(json!({}))).await;
        ended(&jobs, id).await;
        ids.push(id);
    }
    jobs.stopping().cancel();
    jobs.stopped().await;
    let jobs = data.start(endless());
    let (listed, next) = jobs.list(|_| true, None, 100);
    let listed: Vec<Ulid> = listed.into_iter().map(|job| job.id).collect();
    let newest: Vec<Ulid> = ids[3..].iter().rev().copied().collect();
    assert_eq!((listed, next), (newest, None));
    assert!(matches!(jobs.get(ids[0]), Err(JobsError::Unknown(id)) if id == ids[0]));
    let library = Library::open(Arc::clone(&data.store), CodebookConfig::default()).unwrap();
    assert_eq!(library.journal("job-rows").all().unwrap().len(), LIMITS.kept);
}

#[tokio::test]
async fn pages_follow_one_another() {
    let data = Data::new();
    let jobs = data.start(endless());
    let mut ids = Vec::new();
    for import in [false, false, true, false] {
        let id = if import {
            submit(&jobs, Import(json!({}))).await
        } else {
            submit(&jobs, Batch(json!({}))).await
        };
        ids.push(id);
    }
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let (page, next) = jobs.list(|record| record.kind() == Batch::NAME, cursor, 2);
        seen.extend(page.into_iter().map(|job| job.id));
        let Some(next) = next else { break };
        cursor = Some(next);
    }
    assert_eq!(seen, [ids[3], ids[1], ids[0]]);
}

#[tokio::test]
async fn the_same_submission_again_is_the_same_job() {
    let data = Data::new();
    let jobs = data.start(endless());
    let with = |digest: &str| Submission {
        idempotency: Some(SubmissionKey { key: "k".to_owned(), digest: digest.to_owned() }),
        ..submission()
    };
    let job = Batch(json!({}));
    let first = jobs.submit(&job, with("a")).await.unwrap();
    assert_eq!(jobs.submit(&job, with("a")).await.unwrap().id, first.id);
    let refused = jobs.submit(&job, with("b")).await.unwrap_err();
    assert!(matches!(refused, JobsError::KeyUsed { job } if job == first.id), "{refused}");
    let other = Submission { codebook: "ward".parse().unwrap(), ..with("b") };
    assert_ne!(jobs.submit(&job, other).await.unwrap().id, first.id);
}

/// Knows no job.
#[derive(Serialize, Deserialize)]
struct Unregistered;

impl BackgroundJob for Unregistered {
    const NAME: &'static str = "unregistered";
    type Dependencies = ();
    type Checkpoint = ();
    type Output = ();

    async fn run(self, (): (), _: JobContext<()>) -> Result<(), JobFailure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_kind_that_is_not_known_is_refused_and_what_is_kept_of_one_stays() {
    let data = Data::new();
    let jobs = data.start(endless());
    let refused = jobs.submit(&Unregistered, submission()).await.unwrap_err();
    assert!(matches!(refused, JobsError::UnknownKind(_)), "{refused}");
    let library = Library::open(Arc::clone(&data.store), CodebookConfig::default()).unwrap();
    let later = Jobs::open(
        &library,
        data.folder.path(),
        LIMITS,
        JobRegistry::new(()).with::<Unregistered>(),
        CancellationToken::new(),
    );
    let later = later.unwrap();
    let id = submit(&later, Unregistered).await;
    assert_eq!(later.wait(id).await.unwrap().state, JobState::Done);
    let jobs = data.start(endless());
    assert!(matches!(jobs.get(id), Err(JobsError::Unknown(_))));
    assert!(library.journal("jobs").get(id, 0).unwrap().is_some());
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_a_failure_that_is_told() {
    let data = Data::new();
    let large = "x".repeat(reasonedit_codebook::MAX_ROW_BYTES);
    let jobs = data.start(worker(move |_, _| {
        let large = large.clone();
        async move { Ok(json!(large)) }
    }));
    let id = submit(&jobs, Batch(json!({}))).await;
    let error = ended(&jobs, id).await.error.unwrap();
    assert!(error["fault"].as_str().unwrap().contains("too large"), "{error}");
}

mod lasting;
