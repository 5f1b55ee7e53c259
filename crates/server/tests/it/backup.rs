//! The service backs itself up while it serves, and what is restored of it is served as before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{Method, Request, header};
use reasonedit_audit::{AuditConfig, AuditFilter, AuditReader, AuditTrail};
use reasonedit_backup::{BackupRepository, BackupService, RestoreOptions};
use reasonedit_codebook::ImageStore;
use reasonedit_server::{Server, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Answer, delete, get, post_json, request, send};
use crate::jobs::edit;
use crate::model::{editor_on, server_on, service};

/// A service that has a place for backups.
struct BackedUp {
    router: Router,
    place: TempDir,
}

impl BackedUp {
    async fn new(keep: usize) -> Self {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        let editor = editor_on(&data).await;
        let keys = editor.library().keys().unwrap();
        let (server, slot) = Server::new(ServerConfig::default()).unwrap();
        std::fs::write(data.join("tokens.json"), "{}").unwrap();
        slot.audit(AuditTrail::open(&data.join("audit"), &AuditConfig::default()).unwrap());
        slot.back_up(BackupService {
            folder: place.path().join("backups"),
            keep,
            images: ImageStore::open_with(&data.join("images"), keys).unwrap(),
            files: vec![data.join("tokens.json"), data.join("tokens.lock"), data.join("audit")],
            known: data.join("backups.json"),
        });
        assert!(slot.fill(editor, &data.join("jobs")).unwrap());
        Self { router: server.router(), place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// The job of a backup, once it has ended.
    async fn back_up(&self, asked: &Value) -> Value {
        let accepted = post_json(&self.router, "/backup", asked).await;
        assert_eq!(accepted.code(), 202, "{}", accepted.text());
        let location = accepted.header("location").to_owned();
        get(&self.router, &format!("{location}/events")).await;
        get(&self.router, &location).await.json()
    }

    fn restore(&self, name: &str) -> PathBuf {
        let folders = |data: &Path| ["codebook", "images", "keys"].map(|name| data.join(name));
        let go_on = |_| std::ops::ControlFlow::Continue(());
        let repository = BackupRepository::open(&self.path("backups")).unwrap();
        assert!(repository.verify(None, &go_on).unwrap().harmed.is_empty());
        repository.restore(&self.path(name), &folders, RestoreOptions::default(), &go_on).unwrap();
        self.path(name)
    }
}

async fn post_keyed(router: &Router, number: usize) -> Answer {
    let keyed = Request::post("/edits?codebook=ward&verify=false")
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", format!("key-{number}"));
    send(router, keyed.body(edit(number).to_string().into()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_served_as_before() {
    let service = BackedUp::new(0).await;
    assert_eq!(get(&service.router, "/backups").await.json(), json!({"backups": []}));
    let mut made = Vec::new();
    for number in 0..8 {
        let answer = post_keyed(&service.router, number).await;
        assert_eq!(answer.code(), 201, "{}", answer.text());
        made.push(answer.json());
    }
    let id = |edit: &Value| edit["id"].as_str().unwrap().to_owned();
    delete(&service.router, &format!("/edits/{}?codebook=ward", id(&made[3]))).await;

    // Edits go on meanwhile.
    let (stop, router) = (Arc::new(AtomicBool::new(false)), service.router.clone());
    let stopped = Arc::clone(&stop);
    let writing = tokio::spawn(async move {
        let mut number = 100;
        while !stopped.load(Ordering::Relaxed) {
            assert_eq!(post_keyed(&router, number).await.code(), 201);
            number += 1;
        }
    });
    let job = service.back_up(&json!({})).await;
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    assert_eq!((&job["state"], &job["kind"]), (&json!("done"), &json!("backup")), "{job}");
    let result = &job["result"];
    assert!(result["edits"].as_u64() >= Some(7) && result["pictures"].as_u64() >= Some(8), "{job}");
    assert!(result["edits_waited_ms"].as_f64() > Some(0.0) && result["left_out"] == json!([]), "{job}");
    let metrics = get(&service.router, "/metrics").await.text();
    let newest =
        metrics.lines().find_map(|line| line.strip_prefix("reasonedit_backup_newest_timestamp_seconds "));
    let age =
        time::OffsetDateTime::now_utc().unix_timestamp() as f64 - newest.unwrap().parse::<f64>().unwrap();
    assert!((0.0..600.0).contains(&age), "{age}");
    let listed = get(&service.router, "/backups").await.json();
    assert_eq!(listed["backups"][0]["id"], result["id"]);
    assert_eq!(listed["backups"][0]["contents"]["edits"], result["edits"]);

    let restored = service.restore("restored");
    assert!(restored.join("tokens.json").is_file());
    // What was asked before is in the trail that goes along, and is gone on with.
    let reader = AuditReader::new(&restored.join("audit"));
    let report = reader.verify(None).unwrap();
    assert!(report.faults.is_empty() && report.lines > 10, "{report:?}");
    let filter = AuditFilter { edit: Some(id(&made[5])), ..AuditFilter::default() };
    assert_eq!(reader.page(&filter, None, 9).unwrap().lines.len(), 1);
    AuditTrail::open(&restored.join("audit"), &AuditConfig::default()).unwrap().close();
    assert_eq!(reader.verify(None).unwrap().faults, []);
    let (server, _editor) = server_on(&restored, ServerConfig::default()).await;
    let again = server.router();
    for (number, edit) in made.iter().enumerate() {
        let path = format!("/edits/{}?codebook=ward", id(edit));
        if number == 3 {
            get(&again, &path).await.problem(404);
            continue;
        }
        assert_eq!(get(&again, &path).await.json(), get(&service.router, &path).await.json());
        let picture = format!("/images/{}", edit["image"]["id"].as_str().unwrap());
        assert_eq!(get(&again, &picture).await.body, get(&service.router, &picture).await.body);
    }
    // A request that was answered before the backup has the answer that it had.
    let repeated = post_keyed(&again, 5).await;
    assert_eq!((repeated.code(), id(&repeated.json())), (201, id(&made[5])), "{}", repeated.text());
    let undone = delete(&again, &format!("/edits/{}?codebook=ward", id(&made[5]))).await;
    assert_eq!(undone.code(), 204);
    // The backup's own job had not ended in it, and isn't begun again.
    let path = format!("/jobs/{}", job["id"].as_str().unwrap());
    get(&again, &format!("{path}/events")).await;
    let interrupted = get(&again, &path).await.json();
    assert_eq!(interrupted["state"], "failed", "{interrupted}");
    assert!(interrupted["error"]["detail"].as_str().unwrap().contains("ask for another"), "{interrupted}");
    // Nothing is said to be missing.
    assert!(
        get(&again, "/health/ready").await.json().get("faults").is_none_or(|faults| *faults == json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_one_writes_what_is_new_and_old_ones_go() {
    let service = BackedUp::new(2).await;
    for number in 0..3 {
        assert_eq!(post_keyed(&service.router, number).await.code(), 201);
        let result = service.back_up(&json!({"check": number == 2})).await["result"].clone();
        assert_eq!(result["new_pictures"], 1, "{result}");
        assert_eq!(result["removed"], u64::from(number == 2), "{result}");
    }
    let listed = get(&service.router, "/backups").await.json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
    post_json(&service.router, "/backup", &json!({"folder": "/tmp"})).await.problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_picture_is_named_by_the_job() {
    let service = BackedUp::new(0).await;
    let made = post_keyed(&service.router, 1).await.json();
    let id = made["image"]["id"].as_str().unwrap();
    let picture = service.path("data/images").join(&id[..2]).join(id);
    std::fs::write(&picture, b"x").unwrap();
    let job = service.back_up(&json!({})).await;
    assert_eq!((&job["state"], &job["error"]["status"]), (&json!("failed"), &json!(503)), "{job}");
    let detail = job["error"]["detail"].as_str().unwrap();
    assert!(detail.contains(id) && !detail.contains(service.place.path().to_str().unwrap()), "{detail}");
    assert_eq!(get(&service.router, "/backups").await.json(), json!({"backups": []}));
    // Something else lies where backups are to go.
    std::fs::remove_dir_all(service.path("backups")).unwrap();
    std::fs::create_dir(service.path("backups")).unwrap();
    std::fs::write(service.path("backups/letter.txt"), b"x").unwrap();
    let job = service.back_up(&json!({})).await;
    assert_eq!(job["error"]["status"], 409, "{job}");
    assert_eq!(std::fs::read_dir(service.path("backups")).unwrap().count(), 1);
}

/// A request that is sent again finds the backup that it asked for.
#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_makes_one_backup() {
    let service = BackedUp::new(0).await;
    assert_eq!(post_keyed(&service.router, 1).await.code(), 201);
    let asked = async |key: &str, body: &str| {
        let request = Request::post("/backup").header(header::CONTENT_TYPE, "application/json");
        send(&service.router, request.header("idempotency-key", key).body(body.to_owned().into()).unwrap())
            .await
    };
    let first = asked("night", "{}").await;
    assert_eq!(first.code(), 202, "{}", first.text());
    let location = first.header("location").to_owned();
    get(&service.router, &format!("{location}/events")).await;
    let again = asked("night", r#"{"check": false}"#).await;
    assert_eq!((again.code(), again.header("location")), (202, location.as_str()));
    assert_eq!(again.json()["state"], "done");
    asked("night", r#"{"check": true}"#).await.problem(409);
    asked("", "{}").await.problem(400);
    let next = asked("another night", "{}").await;
    assert_ne!(next.header("location"), location);
    get(&service.router, &format!("{}/events", next.header("location"))).await;
    assert_eq!(get(&service.router, "/backups").await.json()["backups"].as_array().unwrap().len(), 2);
}

/// The disk for backups isn't mounted: that is told, and nothing is written into its mount point.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_not_mounted_is_told() {
    let service = BackedUp::new(0).await;
    assert_eq!(post_keyed(&service.router, 1).await.code(), 201);
    assert_eq!(service.back_up(&json!({})).await["state"], "done");
    std::fs::rename(service.path("backups"), service.path("unmounted")).unwrap();
    std::fs::create_dir(service.path("backups")).unwrap();
    let job = service.back_up(&json!({})).await;
    assert_eq!((&job["state"], &job["error"]["status"]), (&json!("failed"), &json!(409)), "{job}");
    let detail = job["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("isn't mounted") && detail.contains("new_repository"), "{detail}");
    assert_eq!(std::fs::read_dir(service.path("backups")).unwrap().count(), 0);
    let job = service.back_up(&json!({"new_repository": true})).await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(service.back_up(&json!({})).await["state"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_folder_the_setting_is_named() {
    let service = service(|_| {}).await;
    let asked = [request(Method::POST, "/backup"), request(Method::GET, "/backups")];
    for asked in asked {
        let refused = send(&service.router, asked).await;
        let detail = refused.problem(409).json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("backup.folder"), "{detail}");
    }
}
