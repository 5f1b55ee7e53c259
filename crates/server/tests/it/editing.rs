//! Edits, queries, pictures and archives over HTTP, with a real model.

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{Answer, delete, get, post, post_json, send};
use crate::model::{picture, service};

const RED: [u8; 3] = [200, 40, 40];
const BLUE: [u8; 3] = [40, 60, 200];

fn image(colour: [u8; 3]) -> Value {
    json!({"data": STANDARD.encode(picture(colour))})
}

fn edit_of(colour: [u8; 3]) -> Value {
    json!({
        "image": image(colour),
        "question": "What is in the corner?",
        "answer": "square",
        "reasoning": [
            {"statement": "The corner has a square.", "evidence": [{"x": 10, "y": 12, "width": 30, "height": 30}]},
            "A shape with four equal sides is a square.",
        ],
        "choices": ["circle", "square"],
        "author": "tester", "tags": ["demo"], "metadata": {"case": "A-1"},
    })
}

/// The shape of a JSON value: types in place of values, one line a path.
pub(crate) fn shape(value: &Value) -> String {
    fn walk(value: &Value, path: &str, lines: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, inner) in object {
                    walk(inner, &format!("{path}/{name}"), lines);
                }
                if object.is_empty() {
                    lines.push(format!("{path}: object"));
                }
            }
            Value::Array(list) => {
                for inner in list {
                    walk(inner, &format!("{path}/*"), lines);
                }
                if list.is_empty() {
                    lines.push(format!("{path}: array"));
                }
            }
            Value::Null => lines.push(format!("{path}: null")),
            Value::Bool(_) => lines.push(format!("{path}: boolean")),
            Value::Number(_) => lines.push(format!("{path}: number")),
            Value::String(_) => lines.push(format!("{path}: string")),
        }
    }
    let mut lines = Vec::new();
    walk(value, "", &mut lines);
    let mut unique: Vec<String> = Vec::new();
    for line in lines {
        if !unique.contains(&line) {
            unique.push(line);
        }
    }
    unique.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_from_submission_to_reversal() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let ready = get(router, "/health/ready").await;
    assert_eq!((ready.code(), &ready.json()["status"]), (200, &json!("ready")));

    // Nothing is there at first.
    assert_eq!(get(router, "/edits").await.json(), json!({"edits": [], "next_cursor": null}));
    let empty = get(router, "/codebook").await.json();
    assert_eq!((&empty["edits"], &empty["keys"], &empty["embedding"]), (&json!(0), &json!(0), &Value::Null));

    let made = post_json(router, "/edits", &edit_of(RED)).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    let edit = made.json();
    insta::assert_snapshot!("edit_shape", shape(&edit));
    let id = edit["id"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/edits/{id}"));
    assert_eq!(edit["image"]["id"], blake3::hash(&picture(RED)).to_hex().to_string());
    assert_eq!((&edit["image"]["width"], &edit["image"]["height"]), (&json!(96), &json!(80)));
    assert_eq!(edit["reasoning"][0]["evidence"][0]["source"], "user");
    assert_eq!(edit["metadata"], json!({"case": "A-1"}));

    // What is stored is what was answered.
    let stored = get(router, &format!("/edits/{id}")).await;
    assert_eq!(stored.json(), edit);
    assert_eq!(get(router, "/edits").await.json()["edits"], json!([edit]));

    let question = json!({
        "image": {"id": edit["image"]["id"]}, "question": "What is in the corner?", "choices": ["circle", "square"],
        "compare": true, "explain": true,
    });
    let answer = post_json(router, "/query", &question).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    let answer = answer.json();
    insta::assert_snapshot!("answer_shape", shape(&answer));
    assert_eq!(answer["retrieval"]["rejected"], false);
    assert_eq!(answer["retrieval"]["facts"][0]["edit_ids"], json!([id]));
    let total: f64 =
        answer["choices"].as_array().unwrap().iter().map(|c| c["probability"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-9);
    let again = post_json(router, "/query", &question).await.json();
    assert_eq!(
        (&again["choices"], &again["retrieval"]),
        (&answer["choices"], &answer["retrieval"]),
        "deterministic"
    );

    let counts = get(router, "/codebook").await.json();
    assert_eq!(counts["edits"], 1);
    insta::assert_snapshot!("codebook_shape", shape(&counts));
    let keys = get(router, "/codebook/entries?limit=1").await.json();
    assert_eq!(keys["entries"].as_array().unwrap().len(), 1);
    // Keys made within one millisecond come in an order of chance: the shape is that of the answer's, which
    // is of the whole picture.
    let all = get(router, "/codebook/entries").await.json();
    let of_answer = |key: &&Value| key["values"][0]["kind"] == "answer";
    let answer_key = all["entries"].as_array().unwrap().iter().find(of_answer).unwrap();
    let page = json!({"entries": [answer_key], "next_cursor": keys["next_cursor"]});
    insta::assert_snapshot!("entries_shape", shape(&page));
    let metrics = get(router, "/metrics").await.text();
    for line in [
        "reasonedit_ready 1",
        "reasonedit_codebook_edits{codebook=\"default\"} 1",
        "reasonedit_engine_queue_depth 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }

    assert_eq!(delete(router, &format!("/edits/{id}")).await.code(), 204);
    delete(router, &format!("/edits/{id}")).await.problem(404);
    get(router, &format!("/edits/{id}")).await.problem(404);
    // Its picture is known by its id no more.
    post_json(router, "/query", &question).await.problem(404);
    let mut question = question;
    question["image"] = edit_of(RED)["image"].clone();
    let gone = post_json(router, "/query", &question).await.json();
    assert_eq!((&gone["retrieval"]["rejected"], &gone["retrieval"]["facts"]), (&json!(true), &json!([])));
    assert_eq!(gone["answer"], answer["unedited"]["answer"], "as if the edit had never been made");
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

const FORM: &str = "multipart/form-data; boundary=XX";

#[tokio::test(flavor = "multi_thread")]
async fn forms_idempotency_and_codebooks() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let red = picture(RED);
    let parts: Vec<(&str, &[u8])> = vec![
        ("name=\"image\"; filename=\"a.png\"", &red),
        ("name=\"question\"", b"What colour is it?"),
        ("name=\"answer\"", b"red"),
        ("name=\"reasoning\"", b"The square is red. Red is a colour."),
        ("name=\"verify\"", b"false"),
    ];
    let keyed = |content_type: &str, body: Vec<u8>| {
        Request::post("/edits?codebook=forms")
            .header(header::CONTENT_TYPE, content_type)
            .header("idempotency-key", "key-1")
            .body(Body::from(body))
            .unwrap()
    };
    let first = send(router, keyed(FORM, form(&parts))).await;
    assert_eq!(first.code(), 201, "{}", first.text());
    let edit = first.json();
    assert_eq!(edit["reasoning"].as_array().unwrap().len(), 2, "one text is split into sentences");
    assert_eq!((&edit["before"], &edit["after"]), (&Value::Null, &Value::Null), "verify=false");
    let id = edit["id"].as_str().unwrap();
    assert_eq!(first.header("location"), format!("/edits/{id}?codebook=forms"));
    assert_eq!(first.header("idempotent-replayed"), "");

    // The same as JSON is the same request.
    let same = json!({"verify": false, "answer": "red", "question": "What colour is it?", "image": image(RED),
        "reasoning": "The square is red. Red is a colour."});
    let second = send(router, keyed("application/json", same.to_string().into_bytes())).await;
    assert_eq!((second.code(), second.json()), (201, edit.clone()));
    assert_eq!(second.header("idempotent-replayed"), "true");
    let mut other = same.clone();
    other["answer"] = json!("blue");
    send(router, keyed("application/json", other.to_string().into_bytes())).await.problem(409);

    // Codebooks don't see each other.
    assert_eq!(get(router, "/edits").await.json()["edits"], json!([]));
    get(router, &format!("/edits/{id}")).await.problem(404);
    assert_eq!(get(router, &format!("/edits/{id}?codebook=forms")).await.code(), 200);

    // What was reverted doesn't come back by itself, and whoever sends it again is told so.
    let revert = Request::delete(format!("/edits/{id}?codebook=forms")).body(Body::empty()).unwrap();
    assert_eq!(send(router, revert).await.code(), 204);
    let refused = send(router, keyed("application/json", same.to_string().into_bytes())).await;
    let problem = refused.problem(409).json();
    assert_eq!(problem["edit"], id);
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("reverted") && d.contains("another key")));
    send(router, keyed("application/json", other.to_string().into_bytes())).await.problem(409);
    let mut again = keyed("application/json", same.to_string().into_bytes());
    again.headers_mut().insert("idempotency-key", "key-2".parse().unwrap());
    assert_eq!(send(router, again).await.code(), 201);

    let query: Vec<(&str, &[u8])> = vec![
        ("name=\"image\"; filename=\"a.png\"", &red),
        ("name=\"question\"", b"What colour is it?"),
        ("name=\"choices\"", b"red"),
        ("name=\"choices\"", b"blue"),
        ("name=\"retrieval\"", br#"{"k": 2}"#),
    ];
    let answer = post(router, "/query?codebook=forms", FORM, form(&query)).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    assert_eq!(answer.json()["retrieval"]["k"], 2);
    let elsewhere = post(router, "/query", FORM, form(&query)).await.json();
    assert_eq!(elsewhere["retrieval"]["rejected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_and_filtered() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let mut ids = Vec::new();
    for index in 0..5 {
        let body = json!({"image": image([40 * index as u8, 90, 10]), "question": format!("Number {index}?"), "answer": "yes",
            "author": if index % 2 == 0 { "even" } else { "odd" }, "tags": [format!("t{index}")]});
        let made = post_json(router, "/edits?verify=false", &body).await;
        assert_eq!(made.code(), 201, "{}", made.text());
        ids.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    ids.reverse();
    let ids_of = |answer: &Answer| -> Vec<String> {
        let edits = answer.json()["edits"].as_array().unwrap().clone();
        edits.iter().map(|e| e["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut uri = "/edits?limit=2".to_owned();
    loop {
        let page = get(router, &uri).await;
        seen.extend(ids_of(&page));
        match page.json()["next_cursor"].as_str() {
            Some(cursor) => uri = format!("/edits?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids, "newest first, each once");
    assert_eq!(ids_of(&get(router, "/edits?author=odd").await), [ids[1].clone(), ids[3].clone()]);
    assert_eq!(ids_of(&get(router, "/edits?tag=t0").await), [ids[4].clone()]);
    assert_eq!(ids_of(&get(router, "/edits?q=number%203").await), [ids[1].clone()]);
    let mut keys = 0;
    let mut uri = "/codebook/entries?limit=2".to_owned();
    loop {
        let page = get(router, &uri).await.json();
        keys += page["entries"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(cursor) => uri = format!("/codebook/entries?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(json!(keys), get(router, "/codebook").await.json()["keys"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_say_the_same_as_plain_answers() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let mut question = json!({"image": image(BLUE), "question": "What is in the corner?", "max_tokens": 8});
    let plain = post_json(router, "/query", &question).await.json();
    question["stream"] = json!(true);
    let request = Request::post("/query")
        .header(header::CONTENT_TYPE, "application/json")
        .header("accept-encoding", "gzip, zstd")
        .body(Body::from(question.to_string()))
        .unwrap();
    let stream = send(router, request).await;
    assert_eq!((stream.code(), stream.header("content-type")), (200, "text/event-stream"));
    let mut names = Vec::new();
    let mut text = String::new();
    let mut done = Value::Null;
    for block in stream.text().split("\n\n").filter(|b| b.starts_with("event:")) {
        let (event, data) = block.split_once('\n').unwrap();
        let name = event.trim_start_matches("event: ").to_owned();
        let data: Value = serde_json::from_str(data.trim_start_matches("data: ")).unwrap();
        match name.as_str() {
            "token" => text.push_str(data["text"].as_str().unwrap()),
            "done" => done = data,
            _ => {}
        }
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    assert_eq!(names.first().map(String::as_str), Some("retrieval"));
    assert_eq!(names.last().map(String::as_str), Some("done"));
    assert_eq!(done["answer"], plain["answer"]);
    assert_eq!(text.trim(), plain["answer"].as_str().unwrap().trim());
    assert_eq!(done["usage"], plain["usage"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_back_whole_and_in_parts() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let made = post_json(router, "/edits?verify=false", &edit_of(RED)).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    let id = made.json()["image"]["id"].as_str().unwrap().to_owned();
    let whole = get(router, &format!("/images/{id}")).await;
    assert_eq!((whole.code(), whole.header("content-type")), (200, "image/png"));
    assert_eq!(&whole.body[..], &picture(RED)[..]);
    assert!(whole.header("cache-control").contains("immutable"));
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    let tag = whole.header("etag").to_owned();
    let known =
        Request::get(format!("/images/{id}")).header("if-none-match", tag).body(Body::empty()).unwrap();
    let unchanged = send(router, known).await;
    assert_eq!((unchanged.code(), unchanged.body.len()), (304, 0));

    let crop = get(router, &format!("/images/{id}?x=12&y=14&width=5&height=7")).await;
    assert_eq!((crop.code(), crop.header("content-type")), (200, "image/png"));
    let decoded =
        reasonedit_imaging::decode(&crop.body, &reasonedit_imaging::DecodeLimits::default()).unwrap().image;
    assert_eq!(decoded.dimensions(), (5, 7));
    assert!(decoded.pixels().all(|p| p.0 == RED));
    for area in [
        "x=0&y=0&width=97&height=1",
        "x=96&y=0&width=1&height=1",
        "x=4294967295&y=0&width=4294967295&height=1",
    ] {
        get(router, &format!("/images/{id}?{area}")).await.problem(422);
    }
    get(router, &format!("/images/{}", "0f".repeat(32))).await.problem(404);
    get(router, &format!("/images/{}", id.to_uppercase())).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_pictures_have_their_own_statuses() {
    let service = service(|config| config.allowed_image_hosts = vec!["127.0.0.1".to_owned()]).await;
    let router = &service.router;
    let png = picture(RED);
    let with = |image: Value| json!({"image": image, "question": "q?"});
    let data = |bytes: &[u8]| json!({"data": STANDARD.encode(bytes)});
    let mut huge = png.clone();
    // The width of the header; the check sum after it no longer fits, but size comes first.
    huge[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    let cases = [
        (data(b"this is no picture at all, only text"), 415),
        (data(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 415),
        (data(&png[..png.len() / 2]), 422),
        (json!({"data": ""}), 422),
        (json!({"data": "###"}), 422),
        (json!({"id": "0f".repeat(32)}), 404),
        (json!({"id": "nonsense"}), 422),
        (json!({"url": "https://images.example.org/a.png"}), 422),
        (json!({"url": "https://127.0.0.1/a.png"}), 422),
    ];
    for (image, status) in cases {
        let answer = post_json(router, "/query", &with(image.clone())).await;
        answer.problem(status);
        if status != 404 {
            assert!(answer.pointers()[0].starts_with("/image"), "{}", answer.text());
        }
        let mut edit = with(image);
        edit["answer"] = json!("a");
        post_json(router, "/edits", &edit).await.problem(status);
    }
    let answer = post_json(router, "/query", &with(data(&huge))).await;
    assert!(matches!(answer.code(), 413 | 422), "{}", answer.text());
    assert_eq!(get(router, "/codebook").await.json()["edits"], 0, "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_go_out_and_come_in_again() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let mut ids = Vec::new();
    for colour in [RED, BLUE] {
        let made = post_json(router, "/edits?verify=false&codebook=source", &edit_of(colour)).await;
        assert_eq!(made.code(), 201, "{}", made.text());
        ids.push(made.json()["id"].clone());
    }
    let export = get(router, "/codebook/export?codebook=source").await;
    assert_eq!((export.code(), export.header("content-type")), (200, "application/x-tar"));
    assert!(export.header("content-disposition").contains("reasonedit-source.tar"));
    let tar = export.body.clone();
    let compressing = Request::get("/codebook/export?codebook=source")
        .header("accept-encoding", "gzip, zstd")
        .body(Body::empty())
        .unwrap();
    assert_eq!(send(router, compressing).await.body, tar, "whole, and the same bytes again");

    let take =
        |body: axum::body::Bytes| post(router, "/codebook/import?codebook=target", "application/x-tar", body);
    let half = take(tar.slice(..tar.len() / 2)).await;
    half.problem(422);
    let first = take(tar.clone()).await;
    assert_eq!(first.code(), 200, "{}", first.text());
    let again = take(tar.clone()).await.json();
    assert_eq!((&again["edits"], &again["skipped"]), (&json!(0), &json!(2)), "idempotent");
    let listed = get(router, "/edits?codebook=target").await.json();
    assert_eq!(json!([listed["edits"][1]["id"], listed["edits"][0]["id"]]), json!(ids));
    let (mut source, mut target) = (
        get(router, "/codebook?codebook=source").await.json(),
        get(router, "/codebook?codebook=target").await.json(),
    );
    for counts in [&mut source, &mut target] {
        counts.as_object_mut().unwrap().retain(|name, _| name != "name" && name != "embedding");
    }
    assert_eq!(source, target);
    take(axum::body::Bytes::from_static(b"not a tar")).await.problem(422);
    let none = get(router, "/codebook/export?codebook=nothing").await;
    assert!(none.code() == 200 || none.code() == 404, "{}", none.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn input_errors_are_told_with_their_places() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let mut edit = edit_of(RED);
    edit["question"] = json!(" ");
    edit["reasoning"][0]["evidence"][0]["x"] = json!(500);
    edit["choices"] = json!(["circle", "circle"]);
    let answer = post_json(router, "/edits", &edit).await;
    let pointers = answer.problem(422).pointers();
    for pointer in ["/question", "/choices/1"] {
        assert!(pointers.iter().any(|p| p == pointer), "{pointer} in {pointers:?}");
    }
    let mut edit = edit_of(RED);
    edit["reasoning"][0]["evidence"][0]["x"] = json!(500);
    let answer = post_json(router, "/edits", &edit).await;
    assert_eq!(answer.problem(422).pointers(), ["/reasoning/0/evidence/0"]);
    for (field, value) in [
        ("max_tokens", json!(0)),
        ("retrieval", json!({"k": 0})),
        ("retrieval", json!({"k": 100_000})),
        ("retrieval", json!({"reject_percentile": 101})),
        ("choices", json!(["only one"])),
    ] {
        let mut query = json!({"image": image(RED), "question": "q?"});
        query[field] = value;
        let answer = post_json(router, "/query", &query).await;
        assert!(answer.problem(422).pointers()[0].starts_with(&format!("/{field}")), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_frees_the_engine() {
    let service = service(|config| config.timeouts.request_ms = 60_000).await;
    let question =
        json!({"image": image(RED), "question": "Describe everything.", "max_tokens": 200, "stream": true});
    let request = Request::post("/query")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(question.to_string()))
        .unwrap();
    let response = tower::ServiceExt::oneshot(service.router.clone(), request).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    drop(response);
    while service.editor.engine().stats().generations > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let plain = json!({"image": image(RED), "question": "What is it?", "choices": ["a", "b"]});
    assert_eq!(post_json(&service.router, "/query", &plain).await.code(), 200);
}
