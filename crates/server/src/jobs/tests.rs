//! The job system without a model: workers are closures of the tests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use reasonedit_codebook::{CodebookConfig, CodebookName, CodebookStore, Library, MemoryStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::record::SubmissionKey;
use super::system::Runner;
use super::{Context, Jobs, Limits, Submission};
use crate::dto::job::{JobDto, JobKind, JobState};
use crate::problem::{Problem, ProblemKind, Result};

const LIMITS: Limits = Limits { queued: 3, kept: 5 };
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
        Jobs::open(&library, self.folder.path(), LIMITS, runner, CancellationToken::new()).unwrap()
    }
}

fn worker<F>(work: impl Fn(JobKind, Context) -> F + Send + Sync + 'static) -> Runner
where
    F: Future<Output = Result<Value>> + Send + 'static,
{
    Arc::new(move |kind, context| Box::pin(work(kind, context)))
}

/// Works until it is stopped.
fn endless() -> Runner {
    worker(|_, context: Context| async move {
        context.progress("waiting", 1, 4);
        std::future::pending().await
    })
}

fn submission(kind: JobKind, input: Value) -> Submission {
    Submission {
        kind,
        codebook: CodebookName::default(),
        input,
        upload: None,
        total: Some(4),
        idempotency: None,
    }
}

async fn submit(jobs: &Jobs, kind: JobKind) -> Ulid {
    let job = jobs.submit(submission(kind, json!({}))).await.unwrap();
    Ulid::from_string(&job.id).unwrap()
}

/// The job once it is as wanted.
async fn until(jobs: &Jobs, id: Ulid, wanted: impl Fn(&JobDto) -> bool) -> JobDto {
    let mut record = jobs.watch(id).unwrap();
    let seen = record.wait_for(|record| wanted(&JobDto::from(record)));
    tokio::time::timeout(PATIENCE, seen).await.expect("in time").unwrap();
    jobs.get(id).unwrap()
}

async fn ended(jobs: &Jobs, id: Ulid) -> JobDto {
    until(jobs, id, |job| job.state.ended()).await
}

async fn running(jobs: &Jobs, id: Ulid) -> JobDto {
    until(jobs, id, |job| job.state == JobState::Running && job.progress.stage != "queued").await
}

/// A job as it is on the wire, but for its id and its times.
fn without_chance(job: &JobDto) -> Value {
    let mut value = json!(job);
    value["id"] = json!("ULID");
    for time in ["created_at", "started_at", "ended_at"] {
        assert!(value[time].as_str().is_some_and(|text| text.ends_with('Z')), "{time}");
        value[time] = json!("RFC 3339");
    }
    value
}

#[tokio::test]
async fn a_job_from_submission_to_result() {
    let data = Data::new();
    let jobs = data.start(worker(|_, context: Context| async move {
        let input: Value = context.input()?;
        for done in 0..=4 {
            context.progress("counting", done, 4);
        }
        context.append(1, &json!({"line": 1})).await?;
        context.append(3, &json!({"line": 3})).await?;
        Ok(json!({"sum": input["a"].as_u64().unwrap_or(0) + 1, "codebook": context.codebook()}))
    }));
    let accepted = jobs.submit(submission(JobKind::Batch, json!({"a": 2}))).await.unwrap();
    assert_eq!((accepted.state, accepted.started_at.clone()), (JobState::Queued, None));
    let id = Ulid::from_string(&accepted.id).unwrap();
    let job = ended(&jobs, id).await;
    insta::assert_json_snapshot!("done", without_chance(&job));
    let rows = jobs.rows(id, 2, 10).await.unwrap();
    assert_eq!(rows, [(3, br#"{"line":3}"#.to_vec())]);
    // The next process knows it too.
    assert_eq!(data.start(endless()).get(id).unwrap(), job);
}

#[tokio::test]
async fn failures_and_panics_are_the_jobs_own() {
    let data = Data::new();
    let jobs = data.start(worker(|_, context: Context| async move {
        match context.input::<String>()?.as_str() {
            "refuse" => Err(Problem::invalid("/samples", "Too few samples: 20 are needed.")),
            "panic later" => {
                tokio::task::yield_now().await;
                panic!("secret")
            }
            _ => Ok(json!("fine")),
        }
    }));
    let submit = async |input: &str| {
        let job = jobs.submit(submission(JobKind::Batch, json!(input))).await.unwrap();
        ended(&jobs, Ulid::from_string(&job.id).unwrap()).await
    };
    let refused = submit("refuse").await;
    insta::assert_json_snapshot!("failed", without_chance(&refused));
    let panicked = submit("panic later").await;
    let error = panicked.error.unwrap();
    assert_eq!((panicked.state, error.status), (JobState::Failed, 500));
    assert!(!error.detail.contains("secret"));
    assert_eq!(submit("else").await.state, JobState::Done, "the system goes on");
    // A runner that panics before its first await is contained too.
    let jobs = data.start(Arc::new(|_, _| panic!("at once")));
    let job = jobs.submit(submission(JobKind::Batch, json!({}))).await.unwrap();
    let job = ended(&jobs, Ulid::from_string(&job.id).unwrap()).await;
    assert_eq!(job.error.unwrap().status, 500);
}

#[tokio::test]
async fn one_of_a_kind_at_a_time_and_exclusive_ones_are_refused() {
    let data = Data::new();
    let jobs = data.start(endless());
    let first = submit(&jobs, JobKind::Batch).await;
    running(&jobs, first).await;
    let second = submit(&jobs, JobKind::Batch).await;
    let other = submit(&jobs, JobKind::Modularity).await;
    running(&jobs, other).await;
    assert_eq!(jobs.get(second).unwrap().state, JobState::Queued, "it waits for the first");
    let refused = jobs.submit(submission(JobKind::Modularity, json!({}))).await.unwrap_err();
    assert_eq!((refused.status().as_u16(), refused.body().job), (409, Some(other.to_string())));

    assert_eq!(jobs.cancel(first).await.unwrap().state, JobState::Cancelled);
    running(&jobs, second).await;
    jobs.cancel(other).await.unwrap();
    let again = submit(&jobs, JobKind::Modularity).await;
    running(&jobs, again).await;
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let data = Data::new();
    let jobs = data.start(endless());
    let first = submit(&jobs, JobKind::Batch).await;
    running(&jobs, first).await;
    for _ in 0..LIMITS.queued {
        submit(&jobs, JobKind::Batch).await;
    }
    let refused = jobs.submit(submission(JobKind::Import, json!({}))).await.unwrap_err();
    assert_eq!(refused.status().as_u16(), 429);
    jobs.cancel(first).await.unwrap();
    assert_eq!(jobs.unfinished().values().sum::<usize>(), LIMITS.queued);
}

#[tokio::test]
async fn cancelling_is_idempotent_and_of_use_only_before_the_end() {
    let data = Data::new();
    let jobs = data.start(worker(|_, context: Context| async move {
        if context.input::<bool>()? {
            context.progress("waiting", 0, 1);
            std::future::pending::<()>().await;
        }
        Ok(Value::Null)
    }));
    let submit = async |wait: bool| {
        let job = jobs.submit(submission(JobKind::Batch, json!(wait))).await.unwrap();
        Ulid::from_string(&job.id).unwrap()
    };
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
    assert_eq!(jobs.cancel(done).await.unwrap_err().status().as_u16(), 409);
    assert_eq!(jobs.cancel(Ulid::new()).await.unwrap_err().status().as_u16(), 404);
    assert_eq!(data.start(endless()).get(run).unwrap().state, JobState::Cancelled);
}

/// Counts to ten from its checkpoint, and is interrupted at every step.
fn stubborn() -> Runner {
    worker(|_, context: Context| async move {
        let done = context.resumed_from::<u64>()?.unwrap_or(0) + 1;
        if done == 10 {
            return Ok(json!(done));
        }
        context.checkpoint(&done).await?;
        context.progress("stopped", done, 10);
        std::future::pending().await
    })
}

#[tokio::test]
async fn a_job_that_gets_on_is_resumed_from_its_checkpoint_without_end() {
    let data = Data::new();
    let first = data.start(stubborn());
    let id = submit(&first, JobKind::Modularity).await;
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
    let id = submit(&first, JobKind::Batch).await;
    running(&first, id).await;
    for _ in 0..2 {
        running(&data.start(endless()), id).await;
    }
    let job = ended(&data.start(endless()), id).await;
    let error = job.error.unwrap();
    assert_eq!((job.state, error.status), (JobState::Failed, 500));
    assert!(error.detail.contains("interrupted 3 times"), "{}", error.detail);
}

#[tokio::test]
async fn stopping_loses_nothing_and_counts_for_nothing() {
    let data = Data::new();
    let first = data.start(endless());
    let (run, waiting) = (submit(&first, JobKind::Batch).await, submit(&first, JobKind::Batch).await);
    for round in 0..5 {
        let jobs = if round == 0 { first.clone() } else { data.start(endless()) };
        running(&jobs, run).await;
        jobs.stopping().cancel();
        tokio::time::timeout(PATIENCE, jobs.stopped()).await.unwrap();
        let refused = jobs.submit(submission(JobKind::Batch, json!({}))).await.unwrap_err();
        assert_eq!(refused.status().as_u16(), 503);
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
    let id = submit(&first, JobKind::Batch).await;
    running(&first, id).await;
    let library = Library::open(Arc::clone(&data.store), CodebookConfig::default()).unwrap();
    let stopped = CancellationToken::new();
    stopped.cancel();
    let never: Runner = Arc::new(|_, _| panic!("begun"));
    let jobs = Jobs::open(&library, data.folder.path(), LIMITS, never, stopped).unwrap();
    tokio::time::timeout(PATIENCE, jobs.stopped()).await.unwrap();
    assert_eq!(jobs.get(id).unwrap().error, None);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let data = Data::new();
    let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let jobs = data.start(worker(move |_, context: Context| {
        let turn = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            let fails: u32 = context.input()?;
            if turn < fails {
                let full = Problem::new(ProblemKind::QueueFull, "The engine's queue is full.");
                return Err(full.retry_after(Duration::from_millis(1)));
            }
            Ok(json!(turn))
        }
    }));
    let submit = async |fails: u32| {
        count.store(0, std::sync::atomic::Ordering::SeqCst);
        let job = jobs.submit(submission(JobKind::Batch, json!(fails))).await.unwrap();
        ended(&jobs, Ulid::from_string(&job.id).unwrap()).await
    };
    assert_eq!(submit(2).await.result, Some(json!(2)));
    assert_eq!(submit(3).await.error.unwrap().status, 429, "three times and no more");
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
        let id = submit(&jobs, JobKind::Import).await;
        ended(&jobs, id).await;
        ids.push(id);
    }
    jobs.stopping().cancel();
    jobs.stopped().await;
    let jobs = data.start(endless());
    let (listed, next) = jobs.list(|_| true, None, 100);
    let listed: Vec<String> = listed.into_iter().map(|job| job.id).collect();
    let newest: Vec<String> = ids[3..].iter().rev().map(ToString::to_string).collect();
    assert_eq!((listed, next), (newest, None));
    assert_eq!(jobs.get(ids[0]).unwrap_err().status().as_u16(), 404);
    let library = Library::open(Arc::clone(&data.store), CodebookConfig::default()).unwrap();
    assert_eq!(library.journal("job-rows").all().unwrap().len(), LIMITS.kept);
}

#[tokio::test]
async fn pages_follow_one_another() {
    let data = Data::new();
    let jobs = data.start(endless());
    let mut ids = Vec::new();
    for kind in [JobKind::Batch, JobKind::Batch, JobKind::Import, JobKind::Batch] {
        ids.push(submit(&jobs, kind).await.to_string());
    }
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let (page, next) = jobs.list(|record| record.kind == JobKind::Batch, cursor, 2);
        seen.extend(page.into_iter().map(|job| job.id));
        let Some(next) = next else { break };
        cursor = Some(next);
    }
    assert_eq!(seen, [&*ids[3], &*ids[1], &*ids[0]]);
}

#[tokio::test]
async fn the_same_submission_again_is_the_same_job() {
    let data = Data::new();
    let jobs = data.start(endless());
    let with = |digest: &str| Submission {
        idempotency: Some(SubmissionKey { key: "k".to_owned(), digest: digest.to_owned() }),
        ..submission(JobKind::Batch, json!({}))
    };
    let first = jobs.submit(with("a")).await.unwrap();
    assert_eq!(jobs.submit(with("a")).await.unwrap().id, first.id);
    assert_eq!(jobs.submit(with("b")).await.unwrap_err().status().as_u16(), 409);
    let other = Submission { codebook: "ward".parse().unwrap(), ..with("b") };
    assert_ne!(jobs.submit(other).await.unwrap().id, first.id);
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_a_failure_that_is_told() {
    let data = Data::new();
    let large = "x".repeat(reasonedit_codebook::MAX_ROW_BYTES);
    let jobs = data.start(worker(move |_, _| {
        let large = large.clone();
        async move { Ok(json!(large)) }
    }));
    let id = submit(&jobs, JobKind::Batch).await;
    assert_eq!(ended(&jobs, id).await.error.unwrap().status, 500);
}
