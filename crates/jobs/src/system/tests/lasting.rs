//! What becomes of jobs where the disk refuses, and where what is kept of them decays.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use reasonedit_codebook::store;
use reasonedit_codebook::store::StoreKind;
use reasonedit_keyring::{KeyId, Lifetime};

use super::*;

/// A data folder on a disk; `away` is where it is moved.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn library(&self) -> Library {
        let store = store::open(StoreKind::Sled, &self.data().join("codebooks")).unwrap();
        Library::open(store, CodebookConfig::default()).unwrap()
    }

    fn start(&self, runner: Runner) -> Jobs {
        self.jobs_of(&self.library(), runner)
    }

    fn jobs_of(&self, library: &Library, runner: Runner) -> Jobs {
        let folder = self.data().join("jobs");
        Jobs::open(library, &folder, LIMITS, registry(runner), CancellationToken::new()).unwrap()
    }

    /// Nothing can be stored any more.
    fn refuse(&self) {
        std::fs::rename(self.data(), self.folder.path().join("away")).unwrap();
    }

    fn allow(&self) {
        std::fs::rename(self.folder.path().join("away"), self.data()).unwrap();
    }
}

fn keyed(key: &str) -> Submission {
    let idempotency = Some(SubmissionKey { key: key.to_owned(), digest: "d".to_owned() });
    Submission { idempotency, ..Submission::default() }
}

/// Makes three checkpoints, the second when it is told to; counts how often it is begun.
fn steps(begun: &Arc<AtomicU32>, goes_on: &Arc<tokio::sync::Notify>) -> Runner {
    let (begun, goes_on) = (Arc::clone(begun), Arc::clone(goes_on));
    worker(move |_, context: Context| {
        let (begun, goes_on) = (Arc::clone(&begun), Arc::clone(&goes_on));
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            let done = context.resumed_from()?.and_then(|done| done.as_u64()).unwrap_or(0);
            for step in done..3 {
                context.progress("steps", step, 3);
                if step == 1 {
                    goes_on.notified().await;
                    goes_on.notify_one();
                }
                context.checkpoint(&json!(step + 1)).await?;
            }
            Ok(json!("three"))
        }
    })
}

#[tokio::test]
async fn a_job_waits_while_nothing_can_be_stored_and_goes_on_by_itself() {
    let disk = Disk::new();
    let (begun, goes_on) = (Arc::new(AtomicU32::new(0)), Arc::new(tokio::sync::Notify::new()));
    let jobs = disk.start(steps(&begun, &goes_on));
    let id = jobs.submit(&Batch(json!(1)), keyed("k")).await.unwrap().id;
    until(&jobs, id, |job| job.progress.done == 1).await;
    disk.refuse();
    goes_on.notify_one();
    let waiting = until(&jobs, id, |job| job.progress.stage == "unwritable").await;
    assert_eq!((waiting.state, waiting.error), (JobState::Running, None));
    // More often than a job that doesn't get on is tried.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    assert_eq!(jobs.get(id).unwrap().state, JobState::Running);
    // Whoever asks again is told of it, and nothing else is taken.
    assert_eq!(jobs.submit(&Batch(json!(1)), keyed("k")).await.unwrap().id, id);
    let refused = jobs.submit(&Batch(json!(2)), keyed("other")).await.unwrap_err();
    assert!(refused.is_unwritable(), "{refused}");
    disk.allow();
    let done = ended(&jobs, id).await;
    assert_eq!((done.state, done.result), (JobState::Done, Some(json!("three"))));
    assert_eq!(jobs.submit(&Batch(json!(1)), keyed("k")).await.unwrap().id, id);
    stop(jobs).await;
    assert_eq!(disk.start(endless()).get(id).unwrap().state, JobState::Done);
}

/// One that ends while nothing can be stored has ended once that can be kept; so has one that is cancelled.
#[tokio::test]
async fn an_end_that_cannot_be_kept_is_kept_later() {
    let disk = Disk::new();
    let goes_on = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&goes_on);
    let jobs = disk.start(worker(move |wait: Value, context: Context| {
        let goes_on = Arc::clone(&told);
        async move {
            context.progress("waiting", 0, 1);
            if wait == json!("told") {
                goes_on.notified().await;
            } else {
                std::future::pending::<()>().await;
            }
            Ok(json!("done"))
        }
    }));
    let ends = jobs.submit(&Batch(json!("told")), submission()).await.unwrap().id;
    let cancelled = jobs.submit(&Import(json!("never")), submission()).await.unwrap().id;
    for id in [ends, cancelled] {
        running(&jobs, id).await;
    }
    disk.refuse();
    goes_on.notify_one();
    let asked = jobs.cancel(cancelled).await.unwrap();
    assert_eq!(asked.state, JobState::Running, "it isn't cancelled before that is kept");
    until(&jobs, ends, |job| job.progress.stage == "unwritable").await;
    disk.allow();
    assert_eq!(ended(&jobs, ends).await.result, Some(json!("done")));
    assert_eq!(ended(&jobs, cancelled).await.state, JobState::Cancelled);
    stop(jobs).await;
    let jobs = disk.start(endless());
    assert_eq!(jobs.get(ends).unwrap().result, Some(json!("done")));
    assert_eq!(jobs.get(cancelled).unwrap().state, JobState::Cancelled);
}

/// What failed in passing goes on where it was when it is sent again, and what was done isn't done again.
#[tokio::test]
async fn what_failed_in_passing_goes_on_under_its_key() {
    let disk = Disk::new();
    // The first of these is before it gets on, and counts for nothing.
    let busy = Arc::new(AtomicU32::new(4));
    let left = Arc::clone(&busy);
    let jobs = disk.start(worker(move |_, context: Context| {
        let left = Arc::clone(&left);
        async move {
            let mut bytes = Vec::new();
            let mut upload = context.upload().open().unwrap();
            std::io::Read::read_to_end(&mut upload, &mut bytes).unwrap();
            if context.resumed_from()?.is_none() {
                context.checkpoint(&json!("first")).await?;
                context.append(1, &json!("first")).await?;
            }
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                let (after, report) = (Some(Duration::from_millis(1)), report("The engine's queue is full."));
                return Err(JobFailure::Retry { after, report });
            }
            Ok(json!(bytes.len()))
        }
    }));
    let submit = async |key: &str| {
        let mut upload = jobs.spool().receive().await.unwrap();
        upload.write(b"an upload").await.unwrap();
        let upload = Some(upload.finish().await.unwrap());
        jobs.submit(&Batch(json!(1)), Submission { upload, ..keyed(key) }).await.unwrap()
    };
    let id = submit("k").await.id;
    let failed = ended(&jobs, id).await;
    assert_eq!(failed.error, Some(report("The engine's queue is full.").document));
    let again = submit("k").await;
    assert_eq!((again.id, again.error), (id, None));
    assert_eq!(ended(&jobs, id).await.result, Some(json!(9)));
    assert_eq!(jobs.pieces(id, 0, 9).await.unwrap().len(), 1);
    assert_eq!(submit("k").await.state, JobState::Done, "once it is done it is done");
}

/// Puts another key in the place of that of a row: what is sealed can't be read any more.
fn harm(library: &Library, table: &str, id: Ulid) {
    let (keys, key) = (library.keys().unwrap(), KeyId::of("journal", &[table.as_bytes(), &id.to_bytes()]));
    assert!(keys.has(key), "{table}");
    keys.forget(&[key]).unwrap();
    keys.ensure_for(&[key], Lifetime::Passing).unwrap();
}

/// Whatever decays of what is kept of a job: the service starts, the job is told of as long as anything is
/// known of it, and nothing is done again under its key without a word.
#[tokio::test]
async fn a_job_that_has_decayed_is_not_done_again() {
    for lost in [&["jobs"][..], &["job-stubs"], &["jobs", "job-stubs"], &["job-rows"]] {
        let disk = Disk::new();
        let begun = Arc::new(AtomicU32::new(0));
        let counting = || {
            let begun = Arc::clone(&begun);
            worker(move |_, context: Context| {
                begun.fetch_add(1, Ordering::SeqCst);
                async move {
                    context.append(1, &json!("a line")).await?;
                    Ok(json!("done"))
                }
            })
        };
        let library = disk.library();
        let jobs = disk.jobs_of(&library, counting());
        let id = jobs.submit(&Batch(json!(1)), keyed("k")).await.unwrap().id;
        let other = jobs.submit(&Batch(json!(2)), keyed("other")).await.unwrap().id;
        for id in [id, other] {
            ended(&jobs, id).await;
        }
        stop(jobs).await;
        for table in lost {
            harm(&library, table, id);
        }
        drop(library);
        for round in 0..2 {
            let library = disk.library();
            let jobs = disk.jobs_of(&library, counting());
            assert_eq!(jobs.get(other).unwrap().state, JobState::Done, "{lost:?}");
            let again = jobs.submit(&Batch(json!(1)), keyed("k")).await;
            match lost {
                ["jobs"] => {
                    let again = again.unwrap();
                    assert_eq!((again.id, again.state), (id, JobState::Failed), "{round}");
                    assert!(again.error.unwrap()["fault"].as_str().unwrap().contains("is damaged"));
                    assert_eq!(jobs.pieces(id, 0, 9).await.unwrap().len(), 1);
                }
                ["jobs", _] => {
                    assert!(matches!(again, Err(JobsError::Decayed { job }) if job == id), "{again:?}");
                    assert!(matches!(jobs.get(id), Err(JobsError::Unknown(_))));
                }
                ["job-rows"] => {
                    assert_eq!(again.unwrap().state, JobState::Done);
                    assert!(jobs.pieces(id, 0, 9).await.is_err(), "a line that is lost is told");
                }
                _ => assert_eq!(again.unwrap().state, JobState::Done),
            }
            assert_eq!(begun.load(Ordering::SeqCst), 2, "{lost:?}");
            // What was written anew is no damage any more.
            let healed = round > 0 && matches!(lost, ["jobs" | "job-stubs"]);
            assert_eq!(library.store_faults().is_empty(), healed, "{lost:?}: {:?}", library.store_faults());
            stop(jobs).await;
        }
        // They are forgotten in their turn, and then the key is free.
        let jobs = disk.start(counting());
        for n in 0..=LIMITS.kept {
            let id = jobs.submit(&Import(json!(n)), submission()).await.unwrap().id;
            ended(&jobs, id).await;
        }
        stop(jobs).await;
        let library = disk.library();
        assert!(library.store_faults().is_empty(), "{lost:?}: {:?}", library.store_faults());
        let jobs = disk.jobs_of(&library, counting());
        assert_ne!(jobs.submit(&Batch(json!(1)), keyed("k")).await.unwrap().id, id);
        stop(jobs).await;
    }
}
