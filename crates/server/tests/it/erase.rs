//! Erasing over HTTP: gone from answers, from every file and from exports; and known to have been there.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_access::{AccessRole, CodebookScope, NewToken, TokenStore};
use serde_json::{Value, json};

use crate::common::{Answer, delete, get, post, send};
use crate::model::{picture, server_on, service, service_guarded};

const SECRET: &str = "effusion at the left base";

fn body(colour: [u8; 3]) -> Value {
    json!({
        "image": {"data": STANDARD.encode(picture(colour))}, "question": "What is seen?", "answer": SECRET,
        "reasoning": [format!("There is {SECRET}.")], "verify": false, "metadata": {"note": SECRET},
    })
}

async fn made(router: &axum::Router, codebook: &str, colour: [u8; 3], key: Option<&str>) -> Value {
    let body = body(colour);
    let asked = axum::http::Request::post(format!("/edits?codebook={codebook}"))
        .header("content-type", "application/json");
    let asked = match key {
        Some(key) => asked.header("idempotency-key", key),
        None => asked,
    };
    let answer = send(router, asked.body(body.to_string().into()).unwrap()).await;
    assert_eq!(answer.code(), 201, "{}", answer.text());
    answer.json()
}

fn id(edit: &Value) -> &str {
    edit["id"].as_str().unwrap()
}

fn shown(folder: &Path, secret: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return shown(&path, secret);
        }
        std::fs::read(path).unwrap().windows(secret.len()).any(|part| part == secret)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_erased_with_its_picture_and_stays_so() {
    let data = tempfile::tempdir().unwrap();
    let (server, editor) = server_on(data.path(), reasonedit_server::ServerConfig::default()).await;
    let router = server.router();
    let edit = made(&router, "ward", [200, 10, 10], Some("key-1")).await;
    let other = made(&router, "ward", [10, 200, 10], None).await;
    let image = edit["image"]["id"].as_str().unwrap().to_owned();
    let erased = delete(&router, &format!("/edits/{}?codebook=ward&erase=true", id(&edit))).await;
    assert_eq!(erased.code(), 200, "{}", erased.text());
    let said = erased.json();
    assert_eq!(said["edits"], json!([{"codebook": "ward", "id": id(&edit)}]));
    assert_eq!((&said["picture"], &said["kept_picture"]), (&json!(image), &Value::Null));
    assert_eq!(said["unsealed_copies"], json!([]));

    let uri = format!("/edits/{}?codebook=ward", id(&edit));
    for router in [&router] {
        assert_eq!(get(router, &uri).await.problem(410).json()["type"], "urn:reasonedit:problem:erased");
        delete(router, &uri).await.problem(410);
        get(router, &format!("/images/{image}")).await.problem(404);
        let listed = get(router, "/edits?codebook=ward").await.json();
        assert_eq!(listed["edits"].as_array().unwrap().len(), 1);
        let entries = get(router, "/codebook/entries?codebook=ward").await.json();
        assert!(!entries.to_string().contains(id(&edit)));
    }
    let again = delete(&router, &format!("{uri}&erase=true")).await;
    assert_eq!((again.code(), &again.json()["erased_at"]), (200, &said["erased_at"]));
    for uri in ["/codebook/export?codebook=ward", "/export?codebook=ward&format=trl"] {
        assert!(!get(&router, uri).await.text().contains(id(&edit)), "{uri}");
    }
    // Whoever repeats the request doesn't bring it back; another one does, and its picture is served.
    let repeated = axum::http::Request::post("/edits?codebook=ward")
        .header("content-type", "application/json")
        .header("idempotency-key", "key-1")
        .body(body([200, 10, 10]).to_string().into());
    send(&router, repeated.unwrap()).await.problem(410);
    let anew = made(&router, "ward", [200, 10, 10], Some("key-2")).await;
    assert_ne!(id(&anew), id(&edit));
    assert_eq!(get(&router, &format!("/images/{image}")).await.code(), 200);
    delete(&router, &format!("/edits/{}?codebook=ward&erase=true", id(&anew))).await;
    delete(&router, "/edits/01ARZ3NDEKTSV4RRFFQ69G5FAV?codebook=ward&erase=true").await.problem(404);
    drop((router, server, editor));

    assert!(!shown(data.path(), SECRET.as_bytes()) && !shown(data.path(), &picture([200, 10, 10])));
    let (server, _editor) = server_on(data.path(), reasonedit_server::ServerConfig::default()).await;
    let router = server.router();
    get(&router, &uri).await.problem(410);
    get(&router, &format!("/images/{image}")).await.problem(404);
    assert_eq!(get(&router, &format!("/edits/{}?codebook=ward", id(&other))).await.code(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_erased_with_all_edits_about_it_and_kept_while_others_are() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let red = [200, 10, 10];
    let (first, second) = (made(router, "ward", red, None).await, made(router, "lab", red, None).await);
    let third = made(router, "ward", red, None).await;
    let apart = made(router, "ward", [1, 2, 3], None).await;
    let image = first["image"]["id"].as_str().unwrap();
    assert_eq!(delete(router, &format!("/edits/{}?codebook=ward", id(&third))).await.code(), 204);
    let said = delete(router, &format!("/edits/{}?codebook=ward&erase=true", id(&first))).await.json();
    assert_eq!((&said["picture"], &said["kept_picture"]), (&Value::Null, &json!(image)));
    assert_eq!(get(router, &format!("/images/{image}")).await.code(), 200);
    delete(router, &format!("/edits/{}?codebook=lab", id(&second))).await;
    get(router, &format!("/images/{image}")).await.problem(404);

    let said = delete(router, &format!("/images/{image}")).await;
    assert_eq!(said.code(), 200, "{}", said.text());
    let mut edits: Vec<String> =
        said.json()["edits"].as_array().unwrap().iter().map(Value::to_string).collect();
    edits.sort();
    let expected = [("lab", &second), ("ward", &third)]
        .map(|(codebook, edit)| json!({"codebook": codebook, "id": id(edit)}).to_string());
    assert_eq!(edits, expected);
    delete(router, &format!("/images/{image}")).await.problem(404);
    delete(router, "/images/abc").await.problem(404);
    assert_eq!(get(router, &format!("/edits/{}?codebook=ward", id(&apart))).await.code(), 200);
}

/// What is sent to be worked on in the background lies sealed while it waits, and when it has ended or was
/// cancelled nothing is left that could be read.
/// An archive of before brings in neither what was erased nor its picture, into whichever codebook.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_brings_back_nothing_that_was_erased() {
    let data = tempfile::tempdir().unwrap();
    let (server, _editor) = server_on(data.path(), reasonedit_server::ServerConfig::default()).await;
    let router = server.router();
    let [edit, other, third] = [[200, 10, 10], [10, 200, 10], [10, 10, 200]];
    let [edit, other, third] = [
        made(&router, "ward", edit, None).await,
        made(&router, "ward", other, None).await,
        made(&router, "ward", third, None).await,
    ];
    let image = |edit: &Value| edit["image"]["id"].as_str().unwrap().to_owned();
    let archive = get(&router, "/codebook/export?codebook=ward").await.body;
    delete(&router, &format!("/edits/{}?codebook=ward&erase=true", id(&edit))).await;
    delete(&router, &format!("/images/{}", image(&other))).await;
    let lies = |edit: &Value| {
        let image = image(edit);
        data.path().join("images").join(&image[..2]).join(&image).exists()
    };
    assert!(!lies(&edit) && !lies(&other) && lies(&third));
    for (codebook, edits) in [("ward", 0), ("other", 1), ("third", 1), ("other", 0)] {
        let uri = format!("/codebook/import?codebook={codebook}");
        let came = post(&router, &uri, "application/x-tar", archive.clone()).await;
        assert_eq!(came.code(), 200, "{}", came.text());
        assert_eq!(came.json()["edits"], edits, "{codebook}: {}", came.text());
        assert_eq!((&came.json()["skipped"], &came.json()["images"]), (&json!(3 - edits), &json!(1)));
        assert!(!lies(&edit) && !lies(&other) && lies(&third), "{codebook}");
        for edit in [&edit, &other] {
            get(&router, &format!("/edits/{}?codebook=other", id(edit))).await.problem(404);
            get(&router, &format!("/images/{}", image(edit))).await.problem(404);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_jobs_lie_sealed_and_go_with_the_job() {
    let data = tempfile::tempdir().unwrap();
    let (server, editor) = server_on(data.path(), reasonedit_server::ServerConfig::default()).await;
    let router = server.router();
    let red = picture([200, 10, 10]);
    let lines: String = (0..400).map(|_| body([200, 10, 10]).to_string() + "\n").collect();
    let uploads = || {
        let files = std::fs::read_dir(data.path().join("jobs")).unwrap();
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    let lies_open = || {
        let encoded = STANDARD.encode(&red);
        [SECRET.as_bytes(), &red, &encoded.as_bytes()[..60]].iter().any(|part| shown(data.path(), part))
    };
    let batch = post(&router, "/edits/batch?codebook=ward", "application/x-ndjson", lines).await;
    assert_eq!(batch.code(), 202, "{}", batch.text());
    let id = batch.json()["id"].as_str().unwrap().to_owned();
    // One line at least is made.
    while get(&router, &format!("/jobs/{id}")).await.json()["progress"]["done"].as_u64() < Some(1) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let archive = get(&router, "/codebook/export?codebook=ward").await;
    assert!(archive.text().contains(SECRET));
    let import = "/codebook/import?codebook=other&background=true";
    let waiting = post(&router, import, "application/x-tar", archive.body).await;
    assert_eq!(waiting.code(), 202, "{}", waiting.text());
    let kept = uploads();
    assert!(!kept.is_empty() && !lies_open(), "{kept:?}");
    let copies: Vec<Vec<u8>> = kept.iter().map(|file| std::fs::read(file).unwrap()).collect();

    let imported = waiting.json()["id"].as_str().unwrap().to_owned();
    get(&router, &format!("/jobs/{imported}/events")).await;
    assert_eq!(get(&router, &format!("/jobs/{imported}")).await.json()["state"], "done");
    delete(&router, &format!("/jobs/{id}")).await;
    get(&router, &format!("/jobs/{id}/events")).await;
    assert_eq!(get(&router, &format!("/jobs/{id}")).await.json()["state"], "cancelled");
    for _ in 0..200 {
        if uploads().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(uploads(), Vec::<std::path::PathBuf>::new());
    // Their keys are gone: what a disk or a copy still has of them is nobody's.
    let keys = editor.library().keys().unwrap();
    for copy in copies {
        let key = reasonedit_keyring::KeyId::of("upload", &[&copy[..16]]);
        assert!(!keys.has(key));
    }
    assert!(!lies_open());
    let results = get(&router, &format!("/jobs/{id}/results?limit=1")).await;
    assert_eq!(results.json()["status"], 201, "{}", results.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_erases() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = std::sync::Arc::new(TokenStore::open(&folder.path().join("tokens.json")).unwrap());
    let token = |name: &str, role, codebooks| {
        let codebooks: CodebookScope = codebooks;
        let new = NewToken { name: name.to_owned(), role, codebooks, expires_at: None };
        tokens.issue(new, time::OffsetDateTime::now_utc()).unwrap().secret
    };
    let (editor, admin) = (
        token("Ed", AccessRole::Editor, CodebookScope::All),
        token("Dr. Ada", AccessRole::Admin, CodebookScope::All),
    );
    let service = service_guarded(&tokens).await;
    let router = &service.router;
    let by = |token: &str, method: &str, uri: &str, body: Option<Value>| {
        let asked = axum::http::Request::builder().method(method).uri(uri);
        let asked = asked
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        asked.body(body.map(|body| body.to_string()).unwrap_or_default().into()).unwrap()
    };
    let body = json!({
        "image": {"data": STANDARD.encode(picture([9, 9, 200]))}, "question": "q?", "answer": SECRET, "verify": false,
    });
    let edit = send(router, by(&editor, "POST", "/edits?codebook=ward", Some(body))).await.json();
    let uri = format!("/edits/{}?codebook=ward&erase=true", id(&edit));
    let image = format!("/images/{}", edit["image"]["id"].as_str().unwrap());
    send(router, by(&editor, "DELETE", &uri, None)).await.problem(403);
    send(router, by(&editor, "DELETE", &image, None)).await.problem(403);
    let answer: Answer = send(router, by(&admin, "DELETE", &uri, None)).await;
    assert_eq!((answer.code(), &answer.json()["erased_by"]), (200, &json!("Dr. Ada")));
    send(router, by(&admin, "DELETE", &image, None)).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_long_ago_is_erased() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let (back, live) =
        (made(router, "ward", [200, 10, 10], None).await, made(router, "ward", [10, 200, 10], None).await);
    delete(router, &format!("/edits/{}?codebook=ward", id(&back))).await;
    let now = time::OffsetDateTime::now_utc();
    assert_eq!(service.editor.erase_reverted_before(now - time::Duration::days(1), |_| {}).await.unwrap(), 0);
    get(router, &format!("/edits/{}?codebook=ward", id(&back))).await.problem(404);
    assert_eq!(service.editor.erase_reverted_before(now + time::Duration::days(1), |_| {}).await.unwrap(), 1);
    assert_eq!(service.editor.erase_reverted_before(now + time::Duration::days(1), |_| {}).await.unwrap(), 0);
    let gone = get(router, &format!("/edits/{}?codebook=ward", id(&back))).await;
    assert!(gone.problem(410).text().contains("by retention"), "{}", gone.text());
    assert_eq!(get(router, &format!("/edits/{}?codebook=ward", id(&live))).await.code(), 200);
}

/// The process died, or the disk refused, between the edit and its picture.
#[tokio::test(flavor = "multi_thread")]
async fn half_an_erasure_is_ended_by_who_asks_again_and_by_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let config = reasonedit_server::ServerConfig::default;
    let images = |editor: &reasonedit_editor::Editor| {
        let keys = editor.library().keys().unwrap();
        reasonedit_codebook::ImageStore::open_with(&data.path().join("images"), keys).unwrap()
    };
    let half = |editor: &reasonedit_editor::Editor, edit: &Value| {
        let image = edit["image"]["id"].as_str().unwrap().parse().unwrap();
        images(editor).intend_erasing(image).unwrap();
        let book = editor.library().get(&"ward".parse().unwrap()).unwrap();
        book.erase(id(edit).parse().unwrap(), Some("Dr. Ada")).unwrap();
        image
    };
    let (server, editor) = server_on(data.path(), config()).await;
    let router = server.router();
    let (first, second, kept) = (
        made(&router, "ward", [200, 10, 10], None).await,
        made(&router, "ward", [10, 200, 10], None).await,
        made(&router, "ward", [10, 10, 200], None).await,
    );
    let image = half(&editor, &first);
    assert!(images(&editor).contains(image));
    let said = delete(&router, &format!("/edits/{}?codebook=ward&erase=true", id(&first))).await.json();
    assert_eq!((&said["picture"], &said["erased_by"]), (&first["image"]["id"], &json!("Dr. Ada")));
    assert!(!images(&editor).contains(image) && images(&editor).intended().unwrap().is_empty());

    let image = half(&editor, &second);
    // One that was begun and came to nothing, since an edit is about the picture.
    let standing = kept["image"]["id"].as_str().unwrap().parse().unwrap();
    images(&editor).intend_erasing(standing).unwrap();
    drop((router, server, editor));
    let (_server, editor) = server_on(data.path(), config()).await;
    assert!(!images(&editor).contains(image) && images(&editor).contains(standing));
    assert!(images(&editor).intended().unwrap().is_empty());
}
