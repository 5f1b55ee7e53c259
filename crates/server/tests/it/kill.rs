//! Processes that are killed. A batch, again and again: at the end every line was made once. An import: all
//! of it is there, or nothing, and it goes on where it was. A backup is begun again.
//!
//! The service is this test binary itself, run again on the ignored test below.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use reasonedit_codebook::{CodebookConfig, Library};
use reasonedit_server::ServerConfig;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::jobs::edit;
use crate::model::{server_backed_up, stores};

const FOLDER: &str = "REASONEDIT_KILL_TEST_FOLDER";
const CONFIG: &str = "REASONEDIT_KILL_TEST_CONFIG";
const EDITS: usize = 64;
const KILLS: u64 = 6;
/// A test that hangs fails.
const PATIENCE: Duration = Duration::from_mins(4);

/// Serves until its standard input is closed, and says where.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the service that the kill test runs and kills"]
async fn serving() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let config: ServerConfig = serde_json::from_str(&std::env::var(CONFIG).unwrap()).unwrap();
    let config = ServerConfig { bind: SocketAddr::from(([127, 0, 0, 1], 0)).into(), ..config };
    let (server, editor) = server_backed_up(Path::new(&folder), config).await;
    let listener = server.bind().await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        drop(stop);
    });
    {
        use std::io::Write as _;
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nserving {address}").unwrap();
        out.flush().unwrap();
    }
    assert!(server.serve(listener, async { drop(stopped.await) }).await, "everything ended in time");
    editor.engine().shutdown().await;
}

/// A service in a process of its own.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    pub(crate) url: String,
}

impl Process {
    /// Starts one on a folder, with settings as JSON.
    pub(crate) fn start(folder: &Path, config: &Value) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::serving", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env(CONFIG, config.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("serving ").map(str::to_owned))
            .expect("a service that starts");
        // What it says later must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { input: child.stdin.take(), child, url: format!("http://{address}") }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).await.bytes().await.unwrap()).unwrap()
    }

    /// Waits until so many lines have results, or the job has ended.
    async fn wait(&self, job: &str, lines: u64) -> Value {
        self.wait_for(job, |at| at["progress"]["done"].as_u64() >= Some(lines)).await
    }

    /// Waits until the job is as wanted, or has ended.
    async fn wait_for(&self, job: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let job = self.json(&format!("/jobs/{job}")).await;
            let ended = !matches!(job["state"].as_str(), Some("queued" | "running"));
            if ended || wanted(&job) {
                return job;
            }
            assert!(began.elapsed() < PATIENCE, "{job}");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Without a word of warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn stop(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success(), "it stops in time and in order");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_outlives_being_killed_and_makes_every_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &serde_json::json!({}));
    let upload = (0..EDITS).fold(String::new(), |text, n| text + &edit(n).to_string() + "\n");
    let accepted = reqwest::Client::new()
        .post(format!("{}/edits/batch?verify=false", process.url))
        .header("content-type", "application/x-ndjson")
        .body(upload)
        .send()
        .await
        .unwrap();
    assert_eq!(accepted.status().as_u16(), 202);
    let accepted: Value = serde_json::from_slice(&accepted.bytes().await.unwrap()).unwrap();
    let job = accepted["id"].as_str().unwrap().to_owned();

    let (mut random, mut at, mut interrupted) = (0x9E37_79B9_7F4A_7C15_u64, 0, 0);
    for round in 0..=KILLS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        at += 1 + random % (EDITS as u64 / KILLS);
        let state = process.wait(&job, at).await;
        interrupted += u64::from(state["state"] == "running");
        if round == KILLS {
            // The last interruption is an orderly one.
            process.stop();
        } else {
            // At a moment of its own within the next line.
            std::thread::sleep(Duration::from_micros(random >> 32 & 0x7FFF));
            process.kill();
        }
        process = Process::start(folder.path(), &serde_json::json!({}));
        let back = process.json(&format!("/jobs/{job}")).await;
        assert_eq!(back["error"], Value::Null, "round {round}");
    }
    assert!(interrupted >= 5, "only {interrupted} rounds met the job at work");

    let ended = process.wait(&job, u64::MAX).await;
    assert_eq!(ended["state"], "done", "{ended}");
    assert_eq!(
        ended["result"],
        serde_json::json!({"lines": EDITS, "made": EDITS, "proposed": 0, "failed": 0})
    );
    let text = process.get(&format!("/jobs/{job}/results")).await.bytes().await.unwrap();
    let rows: Vec<Value> =
        String::from_utf8_lossy(&text).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = rows.iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=EDITS as u64).collect::<Vec<_>>());
    let page = process.json("/edits?limit=200").await;
    let made: Vec<(String, String)> = page["edits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["id"].as_str().unwrap().to_owned(), e["question"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(made.len(), EDITS, "none twice, none left out");
    let questions: BTreeSet<&String> = made.iter().map(|(_, question)| question).collect();
    assert_eq!(questions.len(), EDITS);
    for row in &rows {
        let question = format!("What is in corner {}?", row["line"].as_u64().unwrap() - 1);
        assert!(made.contains(&(row["edit"].as_str().unwrap().to_owned(), question)), "{row}");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("jobs")).unwrap().count(), 0, "no upload is left");
    process.stop();
}

/// Keys that are made anew take most of an import's time: those that were made stay made, however often the
/// process dies, and what the import comes to is what it would have come to at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_outlives_being_killed_and_goes_on_where_it_was() {
    let (config, edits) = (serde_json::json!({}), EDITS as u64);
    let archive = with_other_keys(&exported(EDITS).await);
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &config);
    let job = import(&process.url, archive.clone(), true).await.unwrap()["id"].as_str().unwrap().to_owned();
    let (mut farthest, mut interrupted) = (0, 0);
    // More often than a job is begun that doesn't get on.
    for round in 1..=KILLS {
        let state = process.wait_for(&job, |at| {
            at["progress"]["stage"] == "edits" && at["progress"]["done"].as_u64() > Some(farthest + 1)
        });
        let state = state.await;
        interrupted += u64::from(state["state"] == "running");
        farthest = state["progress"]["done"].as_u64().unwrap();
        process.kill();
        process = Process::start(folder.path(), &config);
        let back = process.wait_for(&job, |at| at["progress"]["done"].as_u64() >= Some(farthest)).await;
        assert_eq!(back["error"], Value::Null, "round {round}: {back}");
        if back["state"] == "done" {
            break;
        }
    }
    assert!(interrupted >= 4, "only {interrupted} rounds met the job at work");
    let ended = process.wait(&job, u64::MAX).await;
    assert_eq!(ended["state"], "done", "{ended}");
    let came = serde_json::json!({"edits": edits, "images": edits, "skipped": 0, "reembedded": edits});
    assert_eq!(ended["result"], came);
    assert_eq!(process.json("/codebook?codebook=copy").await["edits"], edits);
    let lines = process.get(&format!("/jobs/{job}/results?from=0")).await.bytes().await.unwrap();
    assert!(lines.is_empty(), "keys are nobody's to read");
    process.stop();
    assert_eq!(std::fs::read_dir(folder.path().join("jobs")).unwrap().count(), 0, "no upload is left");
}

/// An import that dies while it reads, each time after a few pictures more, is not given up.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_while_it_reads_goes_on() {
    const MADE: usize = 200;
    let (config, archive) = (serde_json::json!({}), exported(MADE).await);
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    let mut process = Process::start(folder.path(), &config);
    let job = import(&process.url, archive.clone(), true).await.unwrap()["id"].as_str().unwrap().to_owned();
    let checked = || {
        let mut staged = std::fs::read_dir(&images).unwrap().flatten().map(|entry| entry.path());
        let of_job = staged.find(|path| path.to_string_lossy().ends_with(&format!("-for-{job}")));
        of_job.map_or(0, |path| {
            std::fs::read_to_string(path.join("checked")).unwrap_or_default().lines().count()
        })
    };
    let (mut before, mut interrupted) = (0, 0);
    for round in 1..=6 {
        let began = Instant::now();
        while checked() < before + 8 && process.json(&format!("/jobs/{job}")).await["state"] == "running" {
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let state = process.json(&format!("/jobs/{job}")).await;
        process.kill();
        assert_eq!(state["error"], Value::Null, "round {round}: {state}");
        interrupted += u32::from(state["state"] == "running" && checked() >= before);
        before = checked();
        process = Process::start(folder.path(), &config);
    }
    assert!(interrupted >= 4, "only {interrupted} rounds met the job at work");
    let ended = process.wait_for(&job, |_| false).await;
    let came = serde_json::json!({"edits": MADE, "images": MADE, "skipped": 0, "reembedded": 0});
    assert_eq!((&ended["state"], &ended["result"]), (&"done".into(), &came), "{ended}");
    assert_eq!(kept(&images), (MADE, 0));
    process.stop();
}

/// A move to another embedding that gets some keys onto the disk each time is not given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_another_embedding_outlives_being_killed() {
    const MADE: usize = 160;
    let (folder, config) = (tempfile::tempdir().unwrap(), serde_json::json!({}));
    let process = Process::start(folder.path(), &config);
    make(&process, MADE).await;
    let before = process.json("/modularity").await["active"]["embedding"].clone();
    process.stop();
    let id = ulid::Ulid::new();
    {
        let (tap, pooling) = (&before["tap"], &before["pooling"]);
        let choice = serde_json::json!({"tap": tap, "pooling": pooling, "lambda": 3.0});
        let record = serde_json::json!({
            "id": id, "kind": "reembed", "codebook": "default", "state": "queued", "input": {"choice": choice},
            "progress": {"stage": "queued", "done": 0, "total": MADE}, "created_at": "2026-11-30T12:00:00Z",
        });
        let (store, _) = stores(folder.path());
        let library = Library::open(store, CodebookConfig::default()).unwrap();
        library.journal("jobs").put(id, 0, record.to_string().as_bytes()).unwrap();
    }
    let (job, mut interrupted) = (id.to_string(), 0);
    let mut process = Process::start(folder.path(), &config);
    for round in 1..=6 {
        // Sixteen are written at a time.
        let farther = |at: &Value| {
            at["progress"]["stage"] == "embedding" && at["progress"]["done"].as_u64() >= Some(16 * round + 6)
        };
        let state = process.wait_for(&job, farther).await;
        assert_eq!(state["error"], Value::Null, "round {round}: {state}");
        interrupted += u32::from(state["state"] == "running");
        process.kill();
        process = Process::start(folder.path(), &config);
    }
    assert!(interrupted >= 4, "only {interrupted} rounds met the job at work");
    let ended = process.wait_for(&job, |_| false).await;
    assert_eq!(ended["state"], "done", "{ended}");
    let after = process.json("/modularity").await["active"]["embedding"].clone();
    assert_eq!((&after["lambda"], &after["id"]), (&3.0.into(), &ended["result"]["generation"]));
    assert_eq!(process.json("/codebook").await["edits"], MADE as u64);
    process.stop();
}

/// The process dies when all has come in and before that is kept: what is told then is what came in, and not
/// that all of it was there; also where some of it was taken back meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_had_come_in_says_what_came_in() {
    for reverted in [false, true] {
        let archive = exported(4).await;
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({});
        let process = Process::start(folder.path(), &config);
        // Another came before, so that some are there already.
        make(&process, 1).await;
        let job =
            import(&process.url, archive.clone(), true).await.unwrap()["id"].as_str().unwrap().to_owned();
        let ended = process.wait(&job, u64::MAX).await;
        let came = serde_json::json!({"edits": 4, "images": 4, "skipped": 0, "reembedded": 0});
        assert_eq!((&ended["state"], &ended["result"]), (&"done".into(), &came), "{ended}");
        if reverted {
            let edits = process.json("/edits?codebook=copy").await;
            let first = edits["edits"][3]["id"].as_str().unwrap().to_owned();
            let taken = reqwest::Client::new().delete(format!("{}/edits/{first}?codebook=copy", process.url));
            assert_eq!(taken.send().await.unwrap().status().as_u16(), 204);
        }
        process.stop();
        back_to_its_last_checkpoint(folder.path(), &job);
        let process = Process::start(folder.path(), &config);
        let again = process.wait_for(&job, |_| false).await;
        assert_eq!((&again["state"], &again["result"]), (&"done".into(), &came), "{reverted}: {again}");
        assert_eq!(process.json("/codebook?codebook=copy").await["edits"], if reverted { 3 } else { 4 });
        process.stop();
    }
}

/// Makes of a job that has ended one whose process died just before.
fn back_to_its_last_checkpoint(folder: &Path, job: &str) {
    let (store, _) = stores(folder);
    let library = Library::open(store, CodebookConfig::default()).unwrap();
    let (journal, id) = (library.journal("jobs"), job.parse().unwrap());
    let mut record: Value = serde_json::from_slice(&journal.get(id, 0).unwrap().unwrap()).unwrap();
    assert!(record["checkpoint"]["edits"].is_array(), "{record}");
    record["state"] = "running".into();
    record["attempts"] = 1.into();
    record["result"] = Value::Null;
    record["ended_at"] = Value::Null;
    journal.put(id, 0, record.to_string().as_bytes()).unwrap();
}

/// A backup that is killed is begun again under its id and its key, and what it had copied stays copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_killed_is_begun_again() {
    let config = serde_json::json!({});
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &config);
    make(&process, EDITS).await;
    let mut interrupted = 0;
    for round in 0..8_u32 {
        let ask = async |url: &str| -> Value {
            let asked = reqwest::Client::new().post(format!("{url}/backup"));
            let answer = asked.header("idempotency-key", format!("night {round}")).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 202);
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
        };
        let job = ask(&process.url).await["id"].as_str().unwrap().to_owned();
        for kill in 0..2 {
            tokio::time::sleep(Duration::from_millis(u64::from(round * 5 + kill * 3))).await;
            let at = process.json(&format!("/jobs/{job}")).await;
            interrupted += u32::from(at["state"] == "running");
            process.kill();
            process = Process::start(folder.path(), &config);
        }
        let ended = process.wait_for(&job, |_| false).await;
        assert_eq!(
            (&ended["state"], &ended["error"]),
            (&"done".into(), &Value::Null),
            "round {round}: {ended}"
        );
        assert_eq!(ended["result"]["edits"], EDITS as u64);
        assert_eq!(ask(&process.url).await, ended, "the same key is the same backup");
        let made = process.json("/backups").await["backups"].as_array().unwrap().len();
        assert!(made > round as usize, "{made} backups after {round} rounds");
    }
    assert!(interrupted > 2, "only {interrupted} kills met the job at work");
    assert_eq!(std::fs::read_dir(folder.path().join("jobs")).unwrap().count(), 0, "no upload is left");
    process.stop();
}

/// Files of pictures below a folder, and of what is beside them.
fn kept(images: &Path) -> (usize, usize) {
    let (mut stored, mut beside) = (0, 0);
    for entry in std::fs::read_dir(images).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().len() == 2 {
            stored += std::fs::read_dir(entry.path()).unwrap().count();
        } else {
            beside += 1;
        }
    }
    (stored, beside)
}

/// Sends an archive and comes back when it is answered, or when the service is gone.
async fn import(url: &str, archive: bytes::Bytes, background: bool) -> Option<Value> {
    let address = format!("{url}/codebook/import?codebook=copy&background={background}");
    let request = reqwest::Client::new().post(address).header("content-type", "application/x-tar");
    let answer = request.body(archive).send().await.ok()?;
    serde_json::from_slice(&answer.bytes().await.ok()?).ok()
}

/// Has a service make so many edits.
async fn make(process: &Process, edits: usize) {
    let upload = (0..edits).fold(String::new(), |text, n| text + &edit(n).to_string() + "\n");
    let made = reqwest::Client::new().post(format!("{}/edits/batch?verify=false", process.url));
    let made = made.header("content-type", "application/x-ndjson").body(upload).send().await.unwrap();
    let job: Value = serde_json::from_slice(&made.bytes().await.unwrap()).unwrap();
    assert_eq!(process.wait(job["id"].as_str().unwrap(), u64::MAX).await["state"], "done");
}

/// An archive of so many edits.
async fn exported(edits: usize) -> bytes::Bytes {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &serde_json::json!({}));
    make(&process, edits).await;
    let archive = process.get("/codebook/export").await.bytes().await.unwrap();
    process.stop();
    archive
}

/// The archive as if its keys had been made with another weight.
fn with_other_keys(archive: &[u8]) -> bytes::Bytes {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if entry.path_bytes().as_ref() == b"manifest.json" {
            let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
            manifest["embedding"]["lambda"] = 1.25.into();
            bytes = manifest.to_string().into_bytes();
        }
        let mut header = entry.header().clone();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_is_there_whole_or_not_at_all() {
    const EDITS: u64 = 48;
    const ROUNDS: u32 = 12;
    let archive = exported(EDITS as usize).await;
    let config = serde_json::json!({});
    // Keys that are made anew are what most of the time goes into.
    for archive in [archive.clone(), with_other_keys(&archive)] {
        let mut interrupted = 0;
        let mut duration = Duration::ZERO;
        for round in 0..=ROUNDS {
            let folder = tempfile::tempdir().unwrap();
            let images = folder.path().join("images");
            let process = Process::start(folder.path(), &config);
            let background = round % 2 == 1;
            let importing = tokio::spawn({
                let (url, archive) = (process.url.clone(), archive.clone());
                async move { import(&url, archive, background).await }
            });
            if round == 0 {
                let began = Instant::now();
                assert_eq!(importing.await.unwrap().unwrap()["edits"], EDITS);
                duration = began.elapsed();
                process.stop();
                continue;
            }
            tokio::time::sleep(duration * round / ROUNDS).await;
            process.kill();
            let accepted = importing.await.unwrap();

            let process = Process::start(folder.path(), &config);
            if background {
                // The job has been taken up, and there is none unless it was accepted.
                let jobs = process.json("/jobs").await["jobs"].clone();
                if let Some(job) = jobs.as_array().unwrap().first() {
                    let ended = process.wait(job["id"].as_str().unwrap(), u64::MAX).await;
                    assert_eq!(ended["state"], "done", "round {round}: {ended}");
                } else {
                    assert_eq!(accepted, None);
                }
            }
            let there = process.json("/codebook?codebook=copy").await["edits"].as_u64().unwrap();
            assert!([0, EDITS].contains(&there), "round {round}: {there} edits of {EDITS}");
            interrupted += u32::from(there == 0);
            let stored = if there == 0 { 0 } else { EDITS as usize };
            assert_eq!(kept(&images), (stored, 0), "round {round}: pictures, and what is beside them");
            let again = import(&process.url, archive.clone(), false).await.unwrap();
            assert_eq!((&again["edits"], &again["skipped"]), (&(EDITS - there).into(), &there.into()));
            process.stop();
        }
        assert!(interrupted > 0, "no round met the import at work");
    }
}
