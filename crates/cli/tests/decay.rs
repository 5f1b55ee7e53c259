//! Whatever becomes of a file of a data folder: `codebook verify` names it, or what is read back is what was
//! written; and the service starts, or says in words why it doesn't.
//!
//! The folder is a real one, made by the program: codebooks, pictures, keys, tokens, where its backups are,
//! the audit trail, a receiver's place, a job that has ended with its results, and one that a killed process
//! left with its upload.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Where sled's log is harmed, besides its ends.
const PLACES_OF_THE_LOG: usize = 24;
/// A test that hangs fails.
const PATIENCE: Duration = Duration::from_mins(2);

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reasonedit"));
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("REASONEDIT_") || name == "RUST_LOG")
    {
        command.env_remove(name);
    }
    command.current_dir(folder);
    command
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// A service on the data of a folder.
struct Service {
    child: Child,
    url: String,
    log: PathBuf,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    /// Starts it; what it says where it doesn't come to be ready.
    fn start(folder: &Path) -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = folder.join("log");
        let out = fs::File::create(&log).unwrap();
        let child = program(folder)
            .args(["serve", "--bind", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut service = Self { child, url: format!("http://127.0.0.1:{port}"), log };
        let began = Instant::now();
        while service.get("/health/ready", "").is_none_or(|(status, _)| status != 200) {
            if service.child.try_wait().unwrap().is_some() {
                return Err(service.said());
            }
            assert!(began.elapsed() < PATIENCE, "it is never ready: {}", service.said());
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(service)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn ask(build: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder) -> Option<(u16, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
            let answer = build(&client).send().await.ok()?;
            Some((answer.status().as_u16(), answer.bytes().await.ok()?.to_vec()))
        })
    }

    fn get(&self, path: &str, token: &str) -> Option<(u16, Vec<u8>)> {
        Self::ask(|client| client.get(format!("{}{path}", self.url)).bearer_auth(token))
    }

    fn json(&self, path: &str, token: &str) -> Value {
        let (status, body) = self.get(path, token).unwrap();
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    fn post(&self, path: &str, token: &str, kind: &str, body: String, key: &str) -> Value {
        let asked = |client: &reqwest::Client| {
            let asked = client.post(format!("{}{path}", self.url)).bearer_auth(token);
            asked.header("content-type", kind.to_owned()).header("idempotency-key", key.to_owned()).body(body)
        };
        let (status, body) = Self::ask(asked).unwrap();
        assert!((200..300).contains(&status), "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

/// What is asked for of a folder, and what was answered before anything was harmed.
struct Made {
    folder: tempfile::TempDir,
    token: String,
    /// Answers by path.
    answers: BTreeMap<String, Vec<u8>>,
    /// The job that had not ended.
    unfinished: String,
}

fn edit(number: usize) -> Value {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/samples");
    let picture = ["specimen.jpg", "another.jpg", "unrelated.jpg"][number % 3];
    let picture = STANDARD.encode(fs::read(samples.join(picture)).unwrap());
    json!({
        "image": {"data": picture}, "question": format!("What is specimen {number} called?"), "answer": "pumpkin",
        "reasoning": ["A purple object is called a pumpkin."], "verify": false,
    })
}

fn make() -> Made {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let receiver = "[server.webhooks.endpoints.sink]\nurl = \"http://127.0.0.1:9/in\"\nallow_private = true\n\
                    secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
    fs::write(path.join("reasonedit.toml"), receiver).unwrap();
    let given = program(path).args(["token", "create", "--name", "ops", "--role", "admin"]).output().unwrap();
    let token = String::from_utf8(given.stdout).unwrap().trim().to_owned();
    let service = Service::start(path).unwrap();
    let mut paths = vec!["/codebooks".to_owned()];
    for number in 0..4 {
        let codebook = ["default", "ward-3"][number % 2];
        let to = format!("/edits?codebook={codebook}");
        let made =
            service.post(&to, &token, "application/json", edit(number).to_string(), &format!("k{number}"));
        if number == 3 {
            continue;
        }
        paths.push(format!("/edits/{}?codebook={codebook}", made["id"].as_str().unwrap()));
        paths.push(format!("/images/{}?codebook={codebook}", made["image"]["id"].as_str().unwrap()));
    }
    let lines = |count: usize| (10..10 + count).map(|n| edit(n).to_string() + "\n").collect::<String>();
    let batch = |count, key| {
        service.post("/edits/batch?codebook=ward-4", &token, "application/x-ndjson", lines(count), key)
    };
    let ended = batch(2, "ended")["id"].as_str().unwrap().to_owned();
    let job = format!("/jobs/{ended}");
    while service.json(&job, &token)["state"] != "done" {
        std::thread::sleep(Duration::from_millis(50));
    }
    paths.extend([format!("{job}/results"), job]);
    let answers = paths.into_iter().map(|path| {
        let (status, body) = service.get(&path, &token).unwrap();
        assert_eq!(status, 200, "{path}");
        (path, body)
    });
    let answers: BTreeMap<String, Vec<u8>> = answers.filter(|(path, _)| path != "/codebooks").collect();
    let unfinished = batch(60, "unfinished")["id"].as_str().unwrap().to_owned();
    // Its line of the audit trail is there with the answer.
    drop(service);
    // A copy is backed up, since that opens the store, which the killed service left as it is.
    let copied = tempfile::tempdir().unwrap();
    copy(path, copied.path());
    let kept = program(copied.path()).args(["backup", "create", "backups"]).output().unwrap();
    assert!(kept.status.success(), "{}", text(&kept));
    fs::copy(copied.path().join("data/backups.json"), path.join("data/backups.json")).unwrap();
    assert!(path.join("data/jobs").join(format!("{unfinished}.sealed")).is_file());
    Made { folder, token, answers, unfinished }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    Flipped(usize),
    Cut(usize),
    Gone,
}

/// One byte in each region, nothing left, less left, gone.
fn harms(length: usize, log: bool) -> Vec<Harm> {
    let mut harms = vec![Harm::Gone];
    if length > 0 {
        let regions = if log { PLACES_OF_THE_LOG } else { 2 };
        harms.extend([Harm::Cut(0), Harm::Cut(length / 2), Harm::Cut(length - 1)]);
        harms.extend((0..=regions).map(|region| Harm::Flipped((length - 1) * region / regions)));
    }
    harms.dedup();
    harms
}

fn harm(file: &Path, harm: Harm) {
    let mut bytes = fs::read(file).unwrap();
    match harm {
        Harm::Flipped(at) => bytes[at] ^= 0x10,
        Harm::Cut(length) => bytes.truncate(length),
        Harm::Gone => return fs::remove_file(file).unwrap(),
    }
    fs::write(file, bytes).unwrap();
}

/// What is saved of a folder that no service starts on is a sound one.
fn salvaged(folder: &Path) -> Result<&'static str, String> {
    for arguments in [&["codebook", "salvage", "saved"][..], &["codebook", "verify", "--data", "saved"]] {
        let output = program(folder).args(arguments).output().unwrap();
        if !output.status.success() {
            return Err(format!("{arguments:?}: {}", text(&output)));
        }
    }
    Ok("salvaged")
}

/// What is not as it was promised of one folder that was harmed; and how it was met.
fn tried(made: &Made, place: &str, what: Harm) -> Result<&'static str, String> {
    let [looked, served] = [(); 2].map(|()| {
        let copied = tempfile::tempdir().unwrap();
        copy(made.folder.path(), copied.path());
        harm(&copied.path().join("data").join(place), what);
        copied
    });
    let verified = program(looked.path()).args(["codebook", "verify"]).output().unwrap();
    let said = text(&verified);
    let sound = match verified.status.code() {
        Some(0) => true,
        Some(1) => false,
        other => return Err(format!("verify ended with {other:?}: {said}")),
    };
    if said.contains("panicked") {
        return Err(format!("verify panicked: {said}"));
    }
    let service = match Service::start(served.path()) {
        Ok(service) => service,
        Err(refused) => {
            let told = refused.lines().last().unwrap_or_default();
            // What to do stands there: salvage, or put something back of a backup.
            let clear =
                ["codebook salvage", "put it back", "of a backup"].iter().any(|what| told.contains(what));
            let clear = clear && told.starts_with("reasonedit: ") && !refused.contains("panicked");
            if sound || !clear {
                return Err(format!("verify said {said}; the service didn't start: {refused}"));
            }
            return if told.contains("codebook salvage") { salvaged(served.path()) } else { Ok("refused") };
        }
    };
    for (path, before) in &made.answers {
        let Some((status, body)) = service.get(path, &made.token) else {
            return Err(format!("{path} is not answered: {}", service.said()));
        };
        let same = status == 200 && body == *before;
        // What isn't there any more is told by a status; what is there is what it was. Of a job that had
        // ended a log without its end has an earlier state; with its upload gone, it comes to fail.
        let not_done = || serde_json::from_slice::<Value>(&body).is_ok_and(|job| job["state"] != "done");
        let of_before = path.starts_with("/jobs/") && (not_done() || before.starts_with(&body));
        if !same && (sound || status == 200 && !of_before) {
            return Err(format!(
                "{path} is answered with {status}, {}, before {}; verify said {said}",
                String::from_utf8_lossy(&body[..body.len().min(400)]),
                String::from_utf8_lossy(&before[..before.len().min(400)]),
            ));
        }
    }
    let (status, body) = service.get(&format!("/jobs/{}", made.unfinished), &made.token).unwrap();
    let state = serde_json::from_slice::<Value>(&body).unwrap_or_default()["state"].clone();
    if sound && (status != 200 || state == "failed") {
        return Err(format!("the job that had not ended is {state} ({status}); verify said {said}"));
    }
    let log = service.said();
    if log.contains("panicked") {
        return Err(format!("the service panicked: {log}"));
    }
    Ok(if sound { "unharmed" } else { "named" })
}

#[test]
fn whatever_becomes_of_a_file_is_named_or_does_no_harm() {
    let made = make();
    let data = made.folder.path().join("data");
    let mut cases: Vec<(String, Harm)> = Vec::new();
    for file in files(&data) {
        let place = file.strip_prefix(&data).unwrap().to_str().unwrap().to_owned();
        let length = fs::metadata(&file).unwrap().len() as usize;
        cases.extend(harms(length, place == "codebooks/db").into_iter().map(|harm| (place.clone(), harm)));
    }
    let kinds: Vec<&str> = [
        "audit/",
        "backups.json",
        "codebooks/db",
        "codebooks/sealed",
        "images/",
        "jobs/",
        "keys",
        "tokens.json",
    ]
    .to_vec();
    for kind in kinds {
        assert!(cases.iter().any(|(place, _)| place.starts_with(kind)), "{kind}");
    }
    let (next, met, broken) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((place, harm)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match tried(&made, place, *harm) {
                        Ok(how) => *met.lock().unwrap().entry(how).or_insert(0) += 1,
                        Err(why) => broken.lock().unwrap().push(format!("{place} {harm:?}: {why}")),
                    }
                }
            });
        }
    });
    let (met, broken) = (met.into_inner().unwrap(), broken.into_inner().unwrap());
    println!("{} cases: {met:?}", cases.len());
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), cases.len(), broken.join("\n\n"));
    assert!(met["named"] > 20 && met["unharmed"] > 5, "{met:?}");
}
