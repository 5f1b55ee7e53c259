//! What holds of every request, whether the model is loaded or not.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;

use crate::common::{bare, delete, get, post, post_json, request, send};

#[tokio::test]
async fn health_tells_living_from_ready() {
    let (router, slot) = bare(|_| {});
    assert!(slot.get().is_none());
    let live = get(&router, "/health/live").await;
    assert_eq!((live.code(), live.json()), (200, json!({"status": "live"})));
    let ready = get(&router, "/health/ready").await;
    assert_eq!((ready.code(), ready.json()), (503, json!({"status": "loading", "model": null})));
    assert_eq!(ready.header("retry-after"), "2");
}

#[tokio::test]
async fn until_the_model_is_loaded_everything_else_says_when_to_come_back() {
    let (router, _slot) = bare(|_| {});
    let query = json!({"image": {"data": "aGk="}, "question": "q"});
    let edit = json!({"image": {"data": "aGk="}, "question": "q", "answer": "a"});
    let answers = [
        get(&router, "/edits").await,
        get(&router, "/edits/01ARZ3NDEKTSV4RRFFQ69G5FAV").await,
        delete(&router, "/edits/01ARZ3NDEKTSV4RRFFQ69G5FAV").await,
        get(&router, "/codebook").await,
        get(&router, "/codebook/entries").await,
        get(&router, "/codebook/export").await,
        get(&router, "/export?format=trl").await,
        post(&router, "/codebook/import", "application/x-tar", "").await,
        get(&router, &format!("/images/{}", "0f".repeat(32))).await,
        post_json(&router, "/query", &query).await,
        post_json(&router, "/edits", &edit).await,
    ];
    for answer in answers {
        assert_eq!(answer.problem(503).json()["type"], "urn:reasonedit:problem:not-ready");
        assert_eq!(answer.header("retry-after"), "2");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document_too() {
    let (router, _slot) = bare(|_| {});
    get(&router, "/nothing").await.problem(404);
    get(&router, "/edits/").await.problem(404);
    get(&router, "/images/..%2F..%2Fetc%2Fpasswd").await.problem(404);
    get(&router, "/edits/not-a-ulid").await.problem(404);
    get(&router, "/edits/%ff").await.problem(404);
    let wrong = send(&router, request(Method::PUT, "/edits")).await;
    wrong.problem(405);
    assert!(wrong.header("allow").contains("POST"), "{:?}", wrong.headers);
    let made_up = send(&router, request(Method::from_bytes(b"BREW").unwrap(), "/query")).await;
    made_up.problem(405);
}

#[tokio::test]
async fn problems_as_they_are_sent() {
    let (router, _slot) = bare(|_| {});
    let answer = post_json(&router, "/edits", &json!({"image": {"data": ""}, "question": "q"})).await;
    insta::assert_json_snapshot!("missing_field", answer.problem(422).json());
    let answer = post(&router, "/edits", "application/json", "{\"image\":\n nope}").await;
    insta::assert_json_snapshot!("not_json", answer.problem(400).json());
    let answer = get(&router, "/edits?limit=201").await;
    insta::assert_json_snapshot!("limit_out_of_range", answer.problem(422).json());
    let answer = get(&router, "/nothing").await;
    insta::assert_json_snapshot!("nothing_there", answer.problem(404).json());
}

#[tokio::test]
async fn parameters_are_checked() {
    let (router, _slot) = bare(|_| {});
    for (uri, pointer) in [
        ("/edits?limit=0", "/limit"),
        ("/edits?limit=201", "/limit"),
        ("/edits?limit=many", "/limit"),
        ("/edits?cursor=nonsense", "/cursor"),
        ("/edits?codebook=No%20Such", "/codebook"),
        ("/edits?sort=asc", "/sort"),
        ("/codebook?codebook=", "/codebook"),
        ("/codebook/entries?limit=0", "/limit"),
        ("/codebook/entries?cursor=%F0%9F%A6%80", "/cursor"),
        ("/codebook/export?codebook=..", "/codebook"),
        ("/export", "/format"),
        ("/export?format=trl&split=2", "/split"),
        ("/images/0f?x=1", "/y"),
        ("/images/0f?x=1&y=1&width=0&height=1", "/width"),
        ("/images/0f?x=-1&y=1&width=1&height=1", "/x"),
        ("/edits/01ARZ3NDEKTSV4RRFFQ69G5FAV?codebook=A", "/codebook"),
    ] {
        let answer = get(&router, uri).await;
        assert_eq!(answer.problem(422).pointers(), [pointer], "{uri}");
    }
}

#[tokio::test]
async fn bodies_of_other_kinds_are_refused() {
    let (router, _slot) = bare(|_| {});
    for uri in ["/edits", "/query"] {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "image/png"] {
            post(&router, uri, kind, "{}").await.problem(415);
        }
        send(&router, request(Method::POST, uri)).await.problem(415);
        post(&router, uri, "application/json", "").await.problem(400);
        post(&router, uri, "multipart/form-data", "").await.problem(400);
        post(&router, uri, "multipart/form-data; boundary=x", "").await.problem(400);
    }
    post(&router, "/codebook/import", "application/zip", "PK").await.problem(415);
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let (router, _slot) = bare(|config| {
        config.limits.body_bytes = 1000;
        config.limits.import_bytes = 1000;
    });
    let large = format!("{{\"question\": \"{}\"}}", "x".repeat(1000));
    post(&router, "/edits", "application/json", large.clone()).await.problem(413);
    post(&router, "/query", "application/json", Body::from_stream(chunks(&large))).await.problem(413);
}

fn chunks(text: &str) -> impl futures::Stream<Item = Result<Vec<u8>, std::io::Error>> + use<> {
    let pieces: Vec<_> = text.as_bytes().chunks(100).map(|piece| Ok(piece.to_vec())).collect();
    futures::stream::iter(pieces)
}

#[tokio::test]
async fn tokens_are_asked_for_where_they_are_configured() {
    let (router, _slot) = bare(|config| config.auth_tokens = vec!["right".to_owned()]);
    for uri in ["/health/live", "/docs", "/docs/app.js", "/docs/style.css", "/openapi.json"] {
        assert_eq!(get(&router, uri).await.code(), 200, "{uri}");
    }
    for uri in ["/edits", "/codebook", "/metrics", "/nothing", "/codebook/export", "/export?format=trl"] {
        let answer = get(&router, uri).await;
        answer.problem(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{uri}");
    }
    let with = |token: &str| {
        Request::get("/metrics").header(header::AUTHORIZATION, token).body(Body::empty()).unwrap()
    };
    assert_eq!(send(&router, with("Bearer right")).await.code(), 200);
    send(&router, with("Bearer wrong")).await.problem(401);
    send(&router, with("Basic right")).await.problem(401);
}

#[tokio::test]
async fn request_ids_are_returned() {
    let (router, _slot) = bare(|_| {});
    let sent = Request::get("/nothing").header("x-request-id", "abc-1.2_3").body(Body::empty()).unwrap();
    assert_eq!(send(&router, sent).await.header("x-request-id"), "abc-1.2_3");
    let odd = Request::get("/nothing").header("x-request-id", "a b").body(Body::empty()).unwrap();
    assert_eq!(send(&router, odd).await.header("x-request-id").len(), 26);
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let (router, _slot) = bare(|_| {});
    for uri in ["/health/live", "/nothing", "/edits", "/docs", "/openapi.json"] {
        let answer = get(&router, uri).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{uri}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{uri}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{uri}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{uri}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_only_where_configured() {
    let preflight = || {
        Request::options("/edits")
            .header("origin", "https://labels.example.org")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-stainless-lang")
            .body(Body::empty())
            .unwrap()
    };
    let foreign = |origin: &str| {
        Request::post("/query")
            .header("origin", origin)
            .header("host", "127.0.0.1:8080")
            .header("content-type", "application/json")
            .body(Body::from("{}"))
            .unwrap()
    };
    let (closed, _slot) = bare(|_| {});
    assert_eq!(send(&closed, preflight()).await.header("access-control-allow-origin"), "");
    send(&closed, foreign("https://labels.example.org")).await.problem(403);
    send(&closed, foreign("http://127.0.0.1:8080")).await.problem(422);
    let (open, _slot) = bare(|config| {
        config.cors_origins = vec!["https://labels.example.org".to_owned()];
        config.auth_tokens = vec!["t".to_owned()];
    });
    let allowed = send(&open, preflight()).await;
    assert_eq!(allowed.code(), 200, "a preflight carries no token");
    assert_eq!(allowed.header("access-control-allow-origin"), "https://labels.example.org");
    let headers = allowed.header("access-control-allow-headers");
    assert!(headers.contains("x-stainless-lang"), "what a client of theirs sends: {headers}");
    let refused = send(&open, foreign("https://labels.example.org")).await;
    refused.problem(401);
    assert_eq!(refused.header("access-control-allow-origin"), "https://labels.example.org");
    send(&open, foreign("https://evil.example")).await.problem(403);
}

#[tokio::test]
async fn another_sites_name_for_this_machine_opens_nothing() {
    // What a browser sends for a page of a site whose name was made to lead here.
    let rebound = |method: Method, path: &str, host: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header("origin", format!("http://{host}"))
            .header("sec-fetch-site", "same-origin")
            .header("host", host)
            .header("content-type", "application/json")
            .body(Body::from("{}"))
            .unwrap()
    };
    let (router, _slot) = bare(|_| {});
    for (method, path) in [(Method::POST, "/query"), (Method::GET, "/edits"), (Method::GET, "/nothing")] {
        let refused = send(&router, rebound(method, path, "evil.example:8080")).await;
        assert!(refused.problem(403).text().contains("server.hosts"), "{path}");
    }
    send(&router, rebound(Method::POST, "/query", "127.0.0.1:8080")).await.problem(422);
    send(&router, rebound(Method::POST, "/query", "[::1]:8080")).await.problem(422);
    assert_eq!(send(&router, rebound(Method::GET, "/health/live", "pod-7.cluster")).await.code(), 200);
    let (listed, _slot) = bare(|config| config.hosts = vec!["edits.hospital.example".to_owned()]);
    send(&listed, rebound(Method::POST, "/query", "edits.hospital.example")).await.problem(422);
    send(&listed, rebound(Method::POST, "/query", "evil.example")).await.problem(403);
    // No browser sends a token by itself.
    let (closed, _slot) = bare(|config| config.auth_tokens = vec!["t".to_owned()]);
    send(&closed, rebound(Method::POST, "/query", "whatever.example")).await.problem(401);
}

#[tokio::test]
async fn metrics_count_by_template() {
    let (router, _slot) = bare(|_| {});
    get(&router, "/edits/01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
    get(&router, "/edits/secret?codebook=x").await;
    get(&router, "/nothing/here").await;
    let text = get(&router, "/metrics").await.text();
    for line in [
        "reasonedit_http_requests_total{method=\"GET\",route=\"/edits/{id}\",status=\"503\"} 1",
        "reasonedit_http_requests_total{method=\"GET\",route=\"/edits/{id}\",status=\"404\"} 1",
        "reasonedit_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
        "reasonedit_http_requests_in_flight 1",
        "reasonedit_ready 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(!text.contains("secret"));
}

#[tokio::test]
async fn below_a_path_addresses_of_its_own_bear_the_path() {
    let (router, _slot) = bare(|config| config.path_prefix = "/tools/reasonedit".to_owned());
    // Taken off by the proxy, or left in.
    for before in ["", "/tools/reasonedit"] {
        for path in ["/", "/docs", "/assets/main.js", "/docs/app.js", "/health/live"] {
            assert_eq!(get(&router, &format!("{before}{path}")).await.code(), 200, "{before}{path}");
        }
        let spec = get(&router, &format!("{before}/openapi.json")).await.json();
        assert_eq!(spec["servers"], serde_json::json!([{"url": "/tools/reasonedit"}]));
        get(&router, &format!("{before}/nothing")).await.problem(404);
    }
    let bare_path = get(&router, "/tools/reasonedit").await;
    assert_eq!((bare_path.code(), bare_path.header("location")), (308, "/tools/reasonedit/"));
    for path in ["/tools/reasoneditor/", "/tools/", "/tools/reasonedit//evil.example"] {
        get(&router, path).await.problem(404);
    }
    let (plain, _slot) = bare(|_| {});
    let heard =
        Request::get("/openapi.json").header("x-forwarded-prefix", "/evil").body(Body::empty()).unwrap();
    assert_eq!(send(&plain, heard).await.json().get("servers"), None, "nobody is trusted");
}

#[tokio::test]
async fn pages_name_nothing_by_an_address_that_begins_with_a_slash() {
    let (router, _slot) = bare(|_| {});
    for path in ["/", "/docs"] {
        let page = get(&router, path).await.text();
        let named = page.split(['"', '\'']).filter(|piece| piece.starts_with('/'));
        assert_eq!(named.collect::<Vec<_>>(), Vec::<&str>::new(), "{path}");
    }
}

#[tokio::test]
async fn the_contract_and_its_page_need_nothing_from_elsewhere() {
    let (router, _slot) = bare(|_| {});
    let spec = get(&router, "/openapi.json").await.json();
    assert!(spec["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")));
    let mut size = 0;
    for (uri, kind) in
        [("/docs", "text/html"), ("/docs/app.js", "text/javascript"), ("/docs/style.css", "text/css")]
    {
        let answer = get(&router, uri).await;
        assert!(answer.header("content-type").starts_with(kind));
        assert!(
            !answer.text().contains("https://") && !answer.text().contains("http://"),
            "{uri} names another host"
        );
        size += answer.body.len();
    }
    assert!(size < 30_000, "{size} bytes");
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_want_it() {
    let (router, _slot) = bare(|_| {});
    let wanted = Request::get("/openapi.json").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    let answer = send(&router, wanted).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert!(answer.body.starts_with(&[0x1f, 0x8b]));
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn log_lines_bear_the_request_id_and_no_texts_of_users() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (router, _slot) = bare(|_| {});
    // Another test may have come to the same places of the code a moment before, when nobody listened; that
    // is remembered.
    get(&router, "/edits").await.problem(503);
    tracing::callsite::rebuild_interest_cache();
    log.0.lock().unwrap().clear();
    let body = json!({"image": {"data": "U0VDUkVU"}, "question": "SECRET?", "answer": "SECRET"}).to_string();
    let request = Request::post("/edits?verify=false")
        .header("content-type", "application/json")
        .header("x-request-id", "id-4711")
        .header("authorization", "Bearer SECRET")
        .body(Body::from(body))
        .unwrap();
    send(&router, request).await.problem(503);
    get(&router, "/edits?q=SECRET").await.problem(503);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    let first = text.lines().next().unwrap();
    for part in ["request_id=\"id-4711\"", "route=\"/edits\"", "status=503"] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert!(!text.contains("SECRET") && !text.contains("U0VDUkVU"), "{text}");
}
