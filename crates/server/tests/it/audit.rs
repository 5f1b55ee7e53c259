//! The audit trail: a line for every request that reads or changes what people gave, with the ids of what it
//! touched and nothing of what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream;
use reasonedit_access::AccessRole;
use reasonedit_audit::{AuditCaller, AuditConfig, AuditEvent, AuditFilter, AuditOutcome, AuditReader};
use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::access::{Client, Given, operations};
use crate::common::{Answer, get, send};
use crate::jobs::edit;
use crate::model::{Service, picture, service, service_audited};
use crate::receiver::{Receiver, SECRET};

/// Routes that tell nothing of what people gave, and are in the trail only where they refuse.
const NOT_AUDITED: [&str; 6] = [
    "/whoami",
    "/metrics",
    "/integrations/label-studio",
    "/integrations/label-studio/health",
    "/integrations/label-studio/metrics",
    "/integrations/label-studio/versions",
];

/// A service with a trail, and who looks into it.
struct Watched {
    service: Service,
    given: Given,
    admin: String,
    /// Lines that were looked at.
    seen: std::cell::Cell<usize>,
}

impl Watched {
    async fn new() -> Self {
        let given = Given::new();
        let admin = given.token("ops", AccessRole::Admin, &[]);
        let config = AuditConfig::default();
        let (service, _) = service_audited(&given.store, ServerConfig::default(), &config).await;
        let watched = Self { service, given, admin, seen: std::cell::Cell::new(0) };
        watched.news().await;
        watched
    }

    fn client<'a>(&'a self, token: &'a str) -> Client<'a> {
        Client(&self.service.router, token)
    }

    fn admin(&self) -> Client<'_> {
        self.client(&self.admin)
    }

    /// The lines since the last look, the oldest first. The look has a line itself, which is left out.
    async fn news(&self) -> Vec<Value> {
        let file = self.admin().get("/audit?format=jsonl").await;
        assert_eq!((file.code(), file.header("content-type")), (200, "application/x-ndjson"));
        let all: Vec<Value> = file.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let news = all[self.seen.get()..].to_vec();
        self.seen.set(all.len() + 1);
        news
    }

    /// The one line since the last look.
    async fn line(&self) -> Value {
        let news = self.news().await;
        assert_eq!(news.len(), 1, "{news:#?}");
        news[0].clone()
    }

    /// Asks, and looks at the line that this leaves.
    async fn asked(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> (Answer, Value) {
        let answer = self.client(token).ask(method, path, body).await;
        let line = self.line().await;
        assert_eq!(line["method"], method, "{path}");
        assert_eq!(line["status"], answer.code(), "{path}");
        assert_eq!(line["request_id"], answer.header("x-request-id"), "{path}");
        (answer, line)
    }
}

fn ids(line: &Value, kind: &str) -> Vec<String> {
    let list = line[kind].as_array().cloned().unwrap_or_default();
    list.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_contract_leaves_a_line_or_says_that_it_leaves_none() {
    let watched = Watched::new().await;
    let mut silent = Vec::new();
    for operation in operations() {
        let (method, path) = (&operation.method, &operation.path);
        let answer = watched.admin().ask(method, path, None).await;
        let news = watched.news().await;
        if operation.template == "/sign-in" && method == "POST" {
            // Everyone may ask, and each time leaves a line.
            assert_eq!((news.len(), &news[0]["event"]), (1, &json!("sign_in")), "{news:#?}");
            continue;
        }
        if operation.role.is_none() || NOT_AUDITED.contains(&&*operation.template) {
            assert_eq!(news, Vec::<Value>::new(), "{method} {path}");
            silent.push(operation.template.clone());
            continue;
        }
        assert_eq!(news.len(), 1, "{method} {path}: {news:#?}");
        let line = &news[0];
        assert_eq!(line["route"], json!(operation.template), "the template, not the path");
        assert_eq!((&line["method"], &line["status"]), (&json!(method), &json!(answer.code())), "{path}");
        assert_eq!((&line["caller"]["name"], &line["role"]), (&json!("ops"), &json!("admin")), "{path}");
        assert_eq!(line["caller"]["kind"], "token");
        let failed = answer.code() >= 400;
        assert_eq!(line["outcome"], if failed { "failed" } else { "answered" }, "{method} {path}");
    }
    for path in NOT_AUDITED {
        assert!(silent.iter().any(|template| template == path), "{path}");
    }
    for path in ["/", "/docs", "/nowhere"] {
        watched.admin().get(path).await;
        assert_eq!(watched.news().await, Vec::<Value>::new(), "{path}");
    }
    let report = AuditReader::new(&watched.service.data().join("audit")).verify(None).unwrap();
    assert_eq!(report.faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_have_the_ids_of_what_was_touched() {
    let watched = Watched::new().await;
    let ada = watched.given.token("Ada", AccessRole::Editor, &["ward-3"]);
    let ward = "codebook=ward-3";

    let (made, line) = watched.asked(&ada, "POST", &format!("/edits?{ward}"), Some(edit(1))).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let image = made.json()["image"]["id"].as_str().unwrap().to_owned();
    assert_eq!((ids(&line, "edits"), ids(&line, "images")), (vec![id.clone()], vec![image.clone()]));
    assert_eq!((&line["codebook"], &line["caller"]["name"]), (&json!("ward-3"), &json!("Ada")));
    assert_eq!(line["role"], "editor");

    let question = edit(1)["question"].clone();
    let asked = json!({"image": {"id": image}, "question": question});
    let (answer, line) = watched.asked(&ada, "POST", &format!("/query?{ward}"), Some(asked.clone())).await;
    assert!(!answer.json()["retrieval"]["facts"].as_array().unwrap().is_empty(), "{}", answer.text());
    assert_eq!((ids(&line, "edits"), ids(&line, "images")), (vec![id.clone()], vec![image.clone()]));
    let mut streamed = asked.clone();
    streamed["stream"] = json!(true);
    let (answer, line) = watched.asked(&ada, "POST", &format!("/query?{ward}"), Some(streamed)).await;
    assert!(answer.text().contains("event: done"), "{}", answer.text());
    assert_eq!((ids(&line, "edits"), ids(&line, "images")), (vec![id.clone()], vec![image.clone()]));

    // A picture that was never stored has the id that it would have.
    let other = picture([1, 2, 3]);
    let sent =
        json!({"image": {"data": STANDARD.encode(&other)}, "question": "What?", "statements": ["It is."]});
    let mut searched = sent.clone();
    searched.as_object_mut().unwrap().remove("question");
    let (_, line) = watched.asked(&ada, "POST", &format!("/evidence?{ward}"), Some(searched)).await;
    assert_eq!(ids(&line, "images"), [blake3::hash(&other).to_hex().to_string()]);
    assert_eq!(line["status"], 200);

    for path in [format!("/edits/{id}?{ward}"), format!("/edits?{ward}")] {
        let (_, line) = watched.asked(&ada, "GET", &path, None).await;
        assert_eq!((ids(&line, "edits"), ids(&line, "images")), (vec![id.clone()], vec![image.clone()]));
        assert_eq!(line["codebook"], "ward-3");
    }
    let (entries, line) = watched.asked(&ada, "GET", &format!("/codebook/entries?{ward}"), None).await;
    assert_eq!(ids(&line, "edits"), [id.as_str()]);
    let key = entries.json()["entries"][0]["id"].as_str().unwrap().to_owned();
    let (_, line) = watched.asked(&ada, "GET", &format!("/codebook/entries/{key}?{ward}"), None).await;
    assert_eq!((ids(&line, "edits"), ids(&line, "images")), (vec![id.clone()], vec![image.clone()]));
    let (_, line) = watched.asked(&ada, "GET", &format!("/images/{image}"), None).await;
    assert_eq!((ids(&line, "images"), &line["status"]), (vec![image.clone()], &json!(200)));
    let (_, line) = watched.asked(&ada, "GET", &format!("/codebook?{ward}"), None).await;
    assert_eq!(line["codebook"], "ward-3");
    for path in ["/codebook/export?", "/export?format=trl&"] {
        let (_, line) = watched.asked(&ada, "GET", &format!("{path}{ward}"), None).await;
        assert_eq!((&line["codebook"], &line["whole"]), (&json!("ward-3"), &json!(true)), "{path}");
    }

    // What is refused names what was asked for.
    let (refused, line) = watched.asked(&ada, "GET", "/edits?codebook=ward-4", None).await;
    refused.problem(403);
    assert_eq!((&line["outcome"], &line["codebook"]), (&json!("refused"), &json!("ward-4")));
    let missing = "0".repeat(64);
    let (_, line) = watched.asked(&ada, "GET", &format!("/images/{missing}"), None).await;
    assert_eq!((ids(&line, "images"), &line["outcome"]), (vec![missing], &json!("failed")));

    let (_, line) = watched.asked(&ada, "DELETE", &format!("/edits/{id}?{ward}"), None).await;
    assert_eq!((ids(&line, "edits"), &line["status"]), (vec![id.clone()], &json!(204)));

    // Tokens.
    let admin = watched.admin.clone();
    let (given, line) =
        watched.asked(&admin, "POST", "/tokens", Some(json!({"name": "Eve", "role": "reader"}))).await;
    let token = given.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(ids(&line, "tokens"), [token.as_str()]);
    let (_, line) = watched.asked(&admin, "DELETE", &format!("/tokens/{token}"), None).await;
    assert_eq!(ids(&line, "tokens"), [token.as_str()]);
    let (_, line) = watched.asked(&admin, "GET", "/tokens", None).await;
    assert_eq!(ids(&line, "tokens").len(), 3);

    // A conversation.
    let url = format!("data:image/png;base64,{}", STANDARD.encode(&other));
    let turn = json!({"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"},
    ]});
    let model = watched.admin().get("/v1/models").await.json()["data"][0]["id"].clone();
    watched.news().await;
    for stream in [false, true] {
        let chat = json!({"model": model, "messages": [turn], "stream": stream, "max_tokens": 2});
        let (answer, line) = watched.asked(&admin, "POST", "/v1/chat/completions", Some(chat)).await;
        assert_eq!(answer.code(), 200, "{}", answer.text());
        assert_eq!(ids(&line, "images"), [blake3::hash(&other).to_hex().to_string()]);
        assert_eq!(line["codebook"], "default");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_made_is_in_the_trail_too() {
    let watched = Watched::new().await;
    let admin = watched.admin.clone();
    let body = format!("{}\n{}\n", edit(1), edit(2));
    let request = Request::post("/edits/batch?verify=false")
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .header(header::AUTHORIZATION, format!("Bearer {admin}"));
    let accepted = send(&watched.service.router, request.body(Body::from(body)).unwrap()).await;
    let job = accepted.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/jobs/{job}");
    watched.admin().get(&format!("{path}/events")).await;
    for more in ["", "/results"] {
        watched.admin().get(&format!("{path}{more}")).await;
    }
    watched.admin().ask("DELETE", &path, None).await.problem(409);
    let results = watched.admin().get(&format!("{path}/results")).await;
    let made: Vec<String> = results
        .text()
        .lines()
        .map(|row| serde_json::from_str::<Value>(row).unwrap()["edit"].as_str().unwrap().to_owned())
        .collect();
    let news = watched.news().await;
    assert!(news.iter().all(|line| ids(line, "jobs") == [job.clone()]), "{news:#?}");
    let by: Vec<String> =
        news.iter().filter(|line| line["event"] == "job").flat_map(|line| ids(line, "edits")).collect();
    assert_eq!(by, made);
    assert_eq!(news.iter().filter(|line| line["event"] == "request").count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_of_an_edit_is_in_the_trail_too() {
    let receiver = Receiver::start().await;
    let given = Given::new();
    let admin = given.token("ops", AccessRole::Admin, &[]);
    let endpoint = json!({"url": receiver.url, "secret": SECRET, "allow_private": true});
    let config = json!({"webhooks": {"endpoints": {"records": endpoint}}});
    let config: ServerConfig = serde_json::from_value(config).unwrap();
    let (service, trail) = service_audited(&given.store, config, &AuditConfig::default()).await;
    let client = Client(&service.router, &admin);
    let made = client.post("/edits?verify=false&codebook=ward-3", edit(1)).await.json();
    let delivered = || {
        trail.flush().unwrap();
        let page = AuditReader::new(trail.folder()).page(&AuditFilter::default(), None, 100).unwrap();
        page.lines.into_iter().find(|line| line.record.event == AuditEvent::Delivery)
    };
    let began = std::time::Instant::now();
    let line = loop {
        if let Some(line) = delivered() {
            break line;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "no delivery is told of");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let record = line.record;
    assert_eq!(record.caller, Some(AuditCaller::Service));
    assert_eq!((record.codebook.as_deref(), record.detail.as_deref()), (Some("ward-3"), Some("127.0.0.1")));
    assert_eq!(record.edits, [made["id"].as_str().unwrap()]);
    assert_eq!(record.outcome, Some(AuditOutcome::Answered));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_fails_leaves_a_line() {
    let watched = Watched::new().await;
    let code = json!({"code": "x", "code_verifier": "y", "redirect_uri": "http://127.0.0.1/"});
    let mut request = Request::post("/sign-in");
    request.headers_mut().unwrap().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    send(&watched.service.router, request.body(Body::from(code.to_string())).unwrap()).await.problem(404);
    let line = watched.line().await;
    assert_eq!((&line["event"], &line["route"]), (&json!("sign_in"), &json!("/sign-in")));
    assert_eq!((&line["outcome"], &line["caller"]["kind"]), (&json!("failed"), &json!("anonymous")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_contents_are_in_it() {
    let watched = Watched::new().await;
    let admin = watched.admin.clone();
    let secret = |what: &str| format!("Geheimnis {what} von Erika Mustermann");
    let mut body = edit(1);
    body["question"] = json!(secret("question"));
    body["answer"] = json!(secret("answer"));
    body["reasoning"][0]["statement"] = json!(secret("statement"));
    body["author"] = json!("Erika");
    body["tags"] = json!([secret("tag")]);
    body["metadata"] = json!({"patient": secret("metadata")});
    body["choices"] = json!([secret("answer"), secret("choice")]);
    assert_eq!(watched.admin().post("/edits", body.clone()).await.code(), 201);
    // One that is refused, as a form with a file's name.
    let form = "--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"Mustermann.png\"\r\n\r\nno picture\r\n\
                --x\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\nMustermann?\r\n--x--\r\n";
    let request = Request::post("/query?codebook=Mustermann")
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
        .header(header::USER_AGENT, "Mustermann")
        .header(header::REFERER, "https://hospital.example/Mustermann")
        .header("x-request-id", "Erika Mustermann")
        .header(header::AUTHORIZATION, format!("Bearer {admin}"));
    assert_eq!(send(&watched.service.router, request.body(Body::from(form)).unwrap()).await.code(), 422);
    for path in [
        "/edits?q=Mustermann",
        "/edits?tag=Mustermann&author=Mustermann",
        "/edits/Mustermann",
        "/images/Mustermann",
        "/jobs/Mustermann",
        "/audit?caller=Mustermann",
        "/Mustermann",
    ] {
        watched.admin().get(path).await;
        get(&watched.service.router, path).await.problem(401);
    }
    watched.client("Mustermann").get("/edits/Mustermann").await.problem(401);
    let asked = json!({"image": body["image"], "question": secret("question"), "choices": [secret("choice"), secret("other")]});
    assert_eq!(watched.admin().post("/query", asked).await.code(), 200);
    watched.news().await;
    let folder = watched.service.data().join("audit");
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        // A signing key is no text.
        let bytes_there = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes_there);
        bytes += bytes_there.len();
        for told in ["Mustermann", "Erika", "Geheimnis", "iVBOR", &admin] {
            assert!(!text.contains(told), "{told}: {text}");
        }
    }
    assert!(bytes > 5000, "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_told_and_counted() {
    let watched = Watched::new().await;
    for _ in 0..50 {
        watched.client("wrong").get("/whoami").await.problem(401);
    }
    let news = watched.news().await;
    assert_eq!(news.len(), 10, "the others are counted once the minute is over");
    assert!(news.iter().all(|line| line["outcome"] == "refused" && line["caller"]["kind"] == "anonymous"));
    assert_eq!(news[0]["route"], "/whoami");
    let reader = watched.given.token("Eve", AccessRole::Reader, &[]);
    watched.client(&reader).get("/tokens").await.problem(403);
    let line = watched.line().await;
    assert_eq!((&line["caller"]["name"], &line["role"]), (&json!("Eve"), &json!("reader")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_leaves_a_line() {
    let watched = Watched::new().await;
    let stalled = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/query?codebook=ward-3")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", watched.admin));
    let sending = send(&watched.service.router, request.body(stalled).unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(300), sending).await.is_err());
    let line = watched.line().await;
    assert_eq!((&line["status"], &line["outcome"]), (&json!(499), &json!("aborted")));
    assert_eq!((&line["caller"]["name"], &line["codebook"]), (&json!("ops"), &json!("ward-3")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_looked_into_by_pages_and_filters() {
    let watched = Watched::new().await;
    let ada = watched.given.token("Ada", AccessRole::Contributor, &["ward-3"]);
    let mut made = BTreeMap::new();
    for number in 0..3 {
        let answer = watched.client(&ada).post("/edits?codebook=ward-3&verify=false", edit(number)).await;
        made.insert(answer.json()["id"].as_str().unwrap().to_owned(), answer.json()["image"]["id"].clone());
    }
    watched.client(&ada).get("/audit").await.problem(403);
    let page = async |query: &str| {
        let answer = watched.admin().get(&format!("/audit?{query}")).await;
        assert_eq!(answer.code(), 200, "{query}: {}", answer.text());
        answer.json()
    };
    let count = async |query: &str| page(query).await["lines"].as_array().unwrap().len();
    let (edit, image) = made.first_key_value().unwrap();
    assert_eq!(count(&format!("edit={edit}")).await, 1);
    assert_eq!(count(&format!("image={}", image.as_str().unwrap())).await, 1);
    assert_eq!(count("caller=Ada").await, 4);
    assert_eq!(count("caller=Ada&codebook=ward-3").await, 3);
    assert_eq!(count("caller=Ada&to=2020-01-01").await, 0);
    assert_eq!(count("caller=Ada&from=2020-01-01T00:00:00Z&codebook=ward-3").await, 3);
    let first = page("limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = page(&format!("limit=2&cursor={cursor}")).await;
    let seqs = |page: &Value| -> Vec<u64> {
        page["lines"].as_array().unwrap().iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(&first)[1], seqs(&second)[0] + 1);
    assert!(first["head"]["hash"].as_str().unwrap().len() == 64);
    // Whoever looks into it is in it.
    assert_eq!(page("limit=1").await["lines"][0]["route"], "/audit");
    for bad in
        ["edit=x", "image=x", "codebook=X", "from=x", "to=yesterday", "limit=0", "cursor=x", "format=xml"]
    {
        assert!(matches!(watched.admin().get(&format!("/audit?{bad}")).await.code(), 400 | 422), "{bad}");
    }
    let table = watched.admin().get("/audit?format=csv&caller=Ada").await;
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8");
    assert!(table.header("content-disposition").contains("reasonedit-audit.csv"));
    assert_eq!(table.text().lines().count(), 5);

    let without = service(|_| {}).await;
    get(&without.router, "/audit").await.problem(404);
}
