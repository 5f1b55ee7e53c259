//! Tokens with roles and codebooks: every route, as the contract lists them, and what follows for edits,
//! pictures and jobs.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_access::{AccessRole, CodebookScope, NewToken, TokenStore};
use reasonedit_server::{Server, ServerConfig, contract};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::common::{Answer, get, send};
use crate::jobs::edit;
use crate::model::{Service, picture, service, service_guarded};

/// Tokens in a folder of their own.
pub(crate) struct Given {
    pub(crate) store: Arc<TokenStore>,
    _folder: TempDir,
}

impl Given {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(TokenStore::open(&folder.path().join("tokens.json")).unwrap());
        Self { store, _folder: folder }
    }

    pub(crate) fn token(&self, name: &str, role: AccessRole, codebooks: &[&str]) -> String {
        let codebooks = match codebooks {
            [] => CodebookScope::All,
            names => CodebookScope::Only(names.iter().map(|&name| name.to_owned()).collect()),
        };
        let new = NewToken { name: name.to_owned(), role, codebooks, expires_at: None };
        self.store.issue(new, OffsetDateTime::now_utc()).unwrap().secret
    }
}

/// Someone who asks with a token.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a>(pub(crate) &'a Router, pub(crate) &'a str);

impl Client<'_> {
    pub(crate) async fn ask(self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.1));
        let body = body.map_or_else(Body::empty, |body| {
            request.headers_mut().unwrap().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
            Body::from(body.to_string())
        });
        send(self.0, request.body(body).unwrap()).await
    }

    pub(crate) async fn get(self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    pub(crate) async fn post(self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(body)).await
    }
}

/// An operation of the contract: method, path with something in the place of its parameters, the role that it
/// says is needed, whether it knows the parameter `codebook`.
pub(crate) struct Operation {
    pub(crate) method: String,
    /// As the contract has it.
    pub(crate) template: String,
    pub(crate) path: String,
    pub(crate) role: Option<AccessRole>,
    codebook: bool,
}

pub(crate) fn operations() -> Vec<Operation> {
    let spec = serde_json::to_value(contract()).unwrap();
    let mut all = Vec::new();
    for (path, item) in spec["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            all.push(Operation {
                method: method.to_uppercase(),
                template: path.clone(),
                path: path.replace(['{', '}'], ""),
                role: operation["x-required-role"].as_str().map(|role| role.parse().unwrap()),
                codebook: parameters.clone().any(|p| p["name"] == "codebook" && p["in"] == "query"),
            });
        }
    }
    assert!(all.len() > 30, "{}", all.len());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_for_the_role_that_the_contract_says_and_those_above() {
    let given = Given::new();
    let tokens = AccessRole::ALL.map(|role| (role, given.token(role.name(), role, &[])));
    let service = service_guarded(&given.store).await;
    let mut open = Vec::new();
    for operation in operations() {
        let Operation { method, path, role, .. } = &operation;
        let Some(needed) = role else {
            open.push(path.clone());
            continue;
        };
        let without = send(
            &service.router,
            Request::builder().method(&**method).uri(path).body(Body::empty()).unwrap(),
        );
        assert_eq!(without.await.code(), 401, "{method} {path} without a token");
        for (role, token) in &tokens {
            let answer = Client(&service.router, token).ask(method, path, None).await;
            let refused = answer.code() == 403;
            assert_eq!(refused, role < needed, "{method} {path} as {role}: {}", answer.text());
            assert_ne!(answer.code(), 401, "{method} {path} as {role}");
        }
    }
    assert_eq!(open, ["/health/live", "/health/ready", "/openapi.json", "/sign-in", "/sign-in"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_leads_from_one_codebook_into_another() {
    let given = Given::new();
    let ward_3 = given.token("Ada", AccessRole::Editor, &["ward-3"]);
    let service = service_guarded(&given.store).await;
    let client = Client(&service.router, &ward_3);
    let mut asked = 0;
    for Operation { method, path, role, codebook, .. } in operations() {
        if !codebook || role > Some(AccessRole::Editor) {
            continue;
        }
        asked += 1;
        for name in ["ward-4", "default"] {
            let answer = client.ask(&method, &format!("{path}?codebook={name}"), Some(json!(null))).await;
            // What reads the body or looks for the thing first has nothing to tell of the codebook.
            let refused = matches!(answer.code(), 403 | 404 | 415 | 422 | 400);
            assert!(refused, "{method} {path} of {name}: {}", answer.text());
            let told = answer.text();
            assert!(
                answer.code() != 200 && !told.contains("\"edits\":"),
                "{method} {path} of {name}: {told}"
            );
        }
    }
    assert!(asked > 20, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ward_sees_its_own_edits_pictures_jobs_and_models() {
    let given = Given::new();
    let admin = given.token("ops", AccessRole::Admin, &[]);
    let ada = given.token("Ada", AccessRole::Editor, &["ward-3"]);
    let bob = given.token("Bob", AccessRole::Editor, &["ward-4"]);
    let both = given.token("Eve", AccessRole::Reader, &["ward-3", "ward-4"]);
    let service = service_guarded(&given.store).await;
    let [admin, ada, bob, both] = [&admin, &ada, &bob, &both].map(|token| Client(&service.router, token));

    let made = ada.post("/edits?codebook=ward-3", edit(1)).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    let image = made.json()["image"]["id"].as_str().unwrap().to_owned();
    let id = made.json()["id"].as_str().unwrap().to_owned();

    // The picture, whole, as a part, and by its id in requests.
    let picture = format!("/images/{image}");
    for (who, name, code) in [(admin, "ops", 200), (ada, "Ada", 200), (both, "Eve", 200), (bob, "Bob", 404)] {
        assert_eq!(who.get(&picture).await.code(), code, "{name}");
    }
    let question = json!({"image": {"id": image}, "question": "What is it?"});
    for (who, codebook, code) in [(ada, "ward-3", 200), (bob, "ward-4", 404), (both, "ward-4", 200)] {
        let answer = who.post(&format!("/query?codebook={codebook}"), question.clone()).await;
        assert_eq!(answer.code(), code, "{codebook}: {}", answer.text());
    }
    let reused = json!({"image": {"id": image}, "question": "What is it?", "answer": "a square"});
    bob.post("/edits?codebook=ward-4", reused).await.problem(404);
    let part = format!("{picture}?x=0&y=0&width=8&height=8");
    ada.get(&part).await.problem(403);
    assert_eq!(ada.get(&format!("{part}&codebook=ward-3")).await.code(), 200);
    bob.get(&format!("{part}&codebook=ward-4")).await.problem(404);

    // Lists.
    let names = |answer: &Answer, list: &str, field: &str| -> Vec<String> {
        let json = answer.json();
        json[list].as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&ada.get("/codebooks").await, "codebooks", "name"), ["ward-3"]);
    assert!(names(&bob.get("/codebooks").await, "codebooks", "name").is_empty());
    assert_eq!(names(&admin.get("/codebooks").await, "codebooks", "name"), ["default", "ward-3"]);
    let models = names(&both.get("/v1/models").await, "data", "id");
    assert!(models.len() == 1 && models[0].ends_with("@ward-3"), "{models:?}");
    let chat =
        |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "What is it?"}]});
    assert_eq!(bob.post("/v1/chat/completions", chat(&models[0])).await.code(), 404);

    // Jobs.
    let line = edit(2).to_string();
    let mut batch =
        Request::post("/edits/batch?codebook=ward-3").header(header::CONTENT_TYPE, "application/x-ndjson");
    batch = batch.header(header::AUTHORIZATION, format!("Bearer {}", ada.1));
    let accepted = send(&service.router, batch.body(Body::from(line)).unwrap()).await;
    assert_eq!(accepted.code(), 202, "{}", accepted.text());
    let job = format!("/jobs/{}", accepted.json()["id"].as_str().unwrap());
    for path in [job.clone(), format!("{job}/events"), format!("{job}/results")] {
        assert_eq!(ada.get(&path).await.code(), 200, "{path}");
        bob.get(&path).await.problem(404);
    }
    bob.ask("DELETE", &job, None).await.problem(404);
    assert_eq!(names(&ada.get("/jobs").await, "jobs", "codebook"), ["ward-3"]);
    assert!(names(&bob.get("/jobs").await, "jobs", "codebook").is_empty());
    let by = names(&ada.get("/edits?codebook=ward-3").await, "edits", "author");
    assert_eq!(by, ["Ada", "Ada"], "a batch's edits are by whoever sent it");

    // What is of all codebooks is for who is.
    ada.get("/metrics").await.problem(403);
    assert_eq!(admin.get("/metrics").await.code(), 200);

    // A reverted edit's picture is nobody's of the ward's any more.
    assert_eq!(ada.ask("DELETE", &format!("/edits/{id}?codebook=ward-3"), None).await.code(), 204);
    ada.get(&picture).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_by_whoever_made_it_and_taken_back_by_them_or_an_editor() {
    let given = Given::new();
    let [ada, bob] = ["Ada", "Bob"].map(|name| given.token(name, AccessRole::Contributor, &[]));
    let editor = given.token("Grace", AccessRole::Editor, &[]);
    let admin = given.token("importer", AccessRole::Admin, &[]);
    let service = service_guarded(&given.store).await;
    let [ada, bob, editor, admin] = [&ada, &bob, &editor, &admin].map(|token| Client(&service.router, token));
    let said = |number: usize, author: &str| {
        let mut body = edit(number);
        body["author"] = json!(author);
        body
    };
    let forged = ada.post("/edits", said(1, "Bob")).await;
    assert_eq!(forged.problem(403).pointers(), ["/author"]);
    let mut ids = Vec::new();
    for (who, body, by) in [
        (ada, edit(1), "Ada"),
        (ada, said(2, "Ada"), "Ada"),
        (bob, edit(3), "Bob"),
        (admin, said(4, "Dr. Old"), "Dr. Old"),
        (admin, edit(5), "importer"),
    ] {
        let made = who.post("/edits", body).await;
        assert_eq!((made.code(), made.json()["author"].as_str()), (201, Some(by)), "{}", made.text());
        ids.push(format!("/edits/{}", made.json()["id"].as_str().unwrap()));
    }
    ada.ask("DELETE", &ids[2], None).await.problem(403);
    ada.ask("DELETE", &ids[3], None).await.problem(403);
    assert_eq!(ada.ask("DELETE", &ids[0], None).await.code(), 204);
    ada.ask("DELETE", &ids[0], None).await.problem(404);
    assert_eq!(editor.ask("DELETE", &ids[2], None).await.code(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_given_listed_and_revoked_over_http() {
    let given = Given::new();
    let admin = given.token("ops", AccessRole::Admin, &[]);
    let config = ServerConfig::default();
    let (server, _slot) = Server::guarded(config, Arc::clone(&given.store)).unwrap();
    let router = server.router();
    let admin = Client(&router, &admin);
    let asked = json!({"name": "Ada", "role": "contributor", "codebooks": ["ward-3"], "expires_at": "2099-01-01T00:00:00+01:00"});
    let made = admin.post("/tokens", asked).await;
    assert_eq!((made.code(), made.header("cache-control")), (201, "no-store"), "{}", made.text());
    let (secret, id) =
        (made.json()["token"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    let ada = Client(&router, &secret);
    assert_eq!(
        ada.get("/whoami").await.json(),
        json!({"tokens_asked_for": true, "name": "Ada", "role": "contributor", "codebooks": ["ward-3"],
            "expires_at": "2098-12-31T23:00:00Z"})
    );
    ada.get("/tokens").await.problem(403);
    ada.post("/tokens", json!({"name": "x", "role": "admin"})).await.problem(403);
    let listed = admin.get("/tokens").await.json();
    let of_ada = &listed["tokens"][1];
    assert_eq!((of_ada["name"].as_str(), of_ada["state"].as_str()), (Some("Ada"), Some("live")));
    assert!(
        of_ada["last_used_at"].is_string() && of_ada.get("token").is_none() && of_ada.get("digest").is_none()
    );
    for (bad, at) in [
        (json!({"name": "", "role": "reader"}), "/name"),
        (json!({"name": "x", "role": "root"}), "/role"),
        (json!({"name": "x", "role": "reader", "codebooks": ["Ward 3"]}), "/codebooks/0"),
        (json!({"name": "x", "role": "reader", "codebooks": []}), "/codebooks"),
        (json!({"name": "x", "role": "admin", "codebooks": ["ward-3"]}), "/codebooks"),
        (json!({"name": "x", "role": "reader", "expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
    ] {
        assert_eq!(admin.post("/tokens", bad.clone()).await.problem(422).pointers(), [at], "{bad}");
    }
    let revoked = admin.ask("DELETE", &format!("/tokens/{id}"), None).await;
    assert_eq!(
        (revoked.code(), revoked.json()["state"].as_str()),
        (200, Some("revoked")),
        "{}",
        revoked.text()
    );
    ada.get("/whoami").await.problem(401);
    admin.ask("DELETE", "/tokens/01ARZ3NDEKTSV4RRFFQ69G5FAV", None).await.problem(404);
    admin.ask("DELETE", "/tokens/Ada", None).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_service_gives_no_first_token_and_closes_when_one_is_given_beside_it() {
    let given = Given::new();
    let (server, _slot) = Server::guarded(ServerConfig::default(), Arc::clone(&given.store)).unwrap();
    let router = server.router();
    let who = get(&router, "/whoami").await;
    assert_eq!(who.json()["tokens_asked_for"], false);
    assert_eq!(who.json()["role"], "admin");
    let nobody = Client(&router, "");
    assert_eq!(nobody.get("/sign-in").await.json(), json!({"issuer": null, "authorization_url": null}));
    nobody.post("/tokens", json!({"name": "first", "role": "admin"})).await.problem(409);
    let admin = given.token("ops", AccessRole::Admin, &[]);
    get(&router, "/whoami").await.problem(401);
    assert_eq!(Client(&router, &admin).get("/whoami").await.json()["name"], "ops");

    // Revoked to the last, it stays closed.
    given.store.revoke("ops", OffsetDateTime::now_utc()).unwrap();
    Client(&router, &admin).get("/whoami").await.problem(401);
    get(&router, "/whoami").await.problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_tokens_stay_admins_beside_given_ones() {
    let given = Given::new();
    let reader = given.token("Eve", AccessRole::Reader, &[]);
    let config = ServerConfig { auth_tokens: vec!["configured".to_owned()], ..ServerConfig::default() };
    let (server, _slot) = Server::guarded(config, Arc::clone(&given.store)).unwrap();
    let router = server.router();
    let admin = Client(&router, "configured").get("/whoami").await.json();
    assert_eq!((&admin["name"], &admin["role"]), (&json!(null), &json!("admin")));
    assert_eq!(Client(&router, &reader).get("/whoami").await.json()["role"], "reader");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_tokens_takes_authors_as_they_are_said() {
    let Service { router, .. } = &service(|_| {}).await;
    let body = json!({
        "image": {"data": STANDARD.encode(picture([1, 2, 3]))}, "question": "What?", "answer": "a square",
        "author": "anyone",
    });
    let made = Client(router, "").post("/edits", body).await;
    assert_eq!(made.json()["author"], "anyone", "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        Client(router, "").ask(Method::DELETE.as_str(), &format!("/edits/{id}"), None).await.code(),
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_without_its_pictures_leads_to_none_of_another_codebook() {
    let given = Given::new();
    let ada = given.token("Ada", AccessRole::Editor, &["ward-3"]);
    let bob = given.token("Bob", AccessRole::Editor, &["ward-4"]);
    let grace = given.token("Grace", AccessRole::Editor, &[]);
    let service = service_guarded(&given.store).await;
    let [ada, bob, grace] = [&ada, &bob, &grace].map(|token| Client(&service.router, token));
    let of_bob = bob.post("/edits?codebook=ward-4", edit(1)).await.json()["image"].clone();
    assert_eq!(ada.post("/edits?codebook=ward-3", edit(2)).await.code(), 201);
    let exported = ada.get("/codebook/export?codebook=ward-3").await.body;
    let mut files = Vec::new();
    for entry in tar::Archive::new(&exported[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (name, mut bytes) = (entry.path().unwrap().display().to_string(), Vec::new());
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        files.push((name, bytes));
    }
    // One edit of their own, said to be of the other's picture, which the archive does not bring.
    let mut packed = tar::Builder::new(Vec::new());
    for (name, mut bytes) in files {
        if name.starts_with("images/") {
            continue;
        }
        if name == "edits.jsonl" {
            let mut line: Value = serde_json::from_slice(&bytes).unwrap();
            line["edit"]["image"] = of_bob.clone();
            line["edit"]["id"] = json!("01ARZ3NDEKTSV4RRFFQ69G5FAV");
            line["members"] = json!([]);
            bytes = line.to_string().into_bytes();
        } else {
            let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
            manifest["embedding"] = json!(null);
            bytes = manifest.to_string().into_bytes();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        packed.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    let packed = packed.into_inner().unwrap();
    let import = async |client: Client<'_>, codebook: &str| {
        let request = Request::post(format!("/codebook/import?codebook={codebook}"))
            .header(header::CONTENT_TYPE, "application/x-tar")
            .header(header::AUTHORIZATION, format!("Bearer {}", client.1));
        send(client.0, request.body(Body::from(packed.clone())).unwrap()).await
    };
    let refused = import(ada, "ward-3").await;
    assert!(refused.problem(422).text().contains("does not hold"), "{}", refused.text());
    ada.get(&format!("/images/{}", of_bob["id"].as_str().unwrap())).await.problem(404);
    // Who sees all codebooks may.
    let taken = import(grace, "ward-3").await;
    assert_eq!(taken.code(), 200, "{}", taken.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_of_label_studio_is_not_taken_into_another_codebook() {
    let given = Given::new();
    let [ada, bob] = [("Ada", "ward-3"), ("Bob", "ward-4")]
        .map(|(name, codebook)| given.token(name, AccessRole::Contributor, &[codebook]));
    let service = service_guarded(&given.store).await;
    let setup = |codebook: &str| json!({"project": "7.1763630000", "schema": "<View/>", "extra_params": {"codebook": codebook}});
    let path = "/integrations/label-studio/setup";
    let [ada, bob] = [&ada, &bob].map(|token| Client(&service.router, token));
    assert_eq!(bob.post(path, setup("ward-4")).await.code(), 200);
    ada.post(path, setup("ward-4")).await.problem(403);
    ada.post(path, setup("ward-3")).await.problem(403);
    assert_eq!(bob.post(path, setup("ward-4")).await.json()["codebook"], "ward-4");

    // Whose it is isn't told, nor whether there is one.
    let predict = |project: &str| json!({"project": project, "tasks": []});
    let mut told = Vec::new();
    for project in ["7.1763630000", "8.1763630000"] {
        let refused = ada.post("/integrations/label-studio/predict", predict(project)).await;
        refused.problem(403);
        told.push(refused.json()["detail"].clone());
    }
    assert!(told[0] == told[1] && !told[0].to_string().contains("ward-4"), "{told:?}");

    // One of which something came in before it was set up is the configured codebook's.
    let studio = given.token("Label Studio", AccessRole::Contributor, &[]);
    let studio = Client(&service.router, &studio);
    let event = json!({
        "action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}],
        "project": {"id": 9, "created_at": "2025-11-20T09:13:20Z", "label_config": "<View/>"},
    });
    assert_eq!(studio.post("/integrations/label-studio/webhook", event).await.code(), 201);
    let setup = |codebook: &str| json!({"project": "9.1763630000", "schema": "<View/>", "extra_params": {"codebook": codebook}});
    ada.post(path, setup("ward-3")).await.problem(403);
    assert_eq!(studio.post(path, setup("ward-3")).await.json()["codebook"], "ward-3");
}
