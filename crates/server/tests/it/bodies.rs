//! Bodies as real clients send them: with a byte order mark, compressed, as forms of many habits, with boxes
//! as annotation tools write them.

use async_compression::tokio::bufread::{GzipEncoder, ZlibEncoder, ZstdEncoder};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::common::{Answer, bare, get, post, post_json, send};
use crate::jobs::{edit, followed};
use crate::model::{picture, service};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const FORM: &str = "multipart/form-data; boundary=XX";

async fn encoded(bytes: &[u8], coding: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => GzipEncoder::new(bytes).read_to_end(&mut out).await,
        "zstd" => ZstdEncoder::new(bytes).read_to_end(&mut out).await,
        _ => ZlibEncoder::new(bytes).read_to_end(&mut out).await,
    }
    .unwrap();
    out
}

async fn post_encoded(router: &Router, uri: &str, kind: &str, coding: &str, body: Vec<u8>) -> Answer {
    let request =
        Request::post(uri).header(header::CONTENT_TYPE, kind).header(header::CONTENT_ENCODING, coding);
    send(router, request.body(Body::from(body)).unwrap()).await
}

fn query() -> Value {
    json!({"image": {"data": STANDARD.encode(picture([200, 40, 40]))}, "question": "What is in the corner?", "choices": ["circle", "square"]})
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend(format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_is_no_part_of_any_body() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let marked = |body: &Value| format!("\u{feff}{body}");
    let plain = post_json(router, "/query", &query()).await.json();
    let answer = post(router, "/query", JSON, marked(&query())).await;
    assert_eq!((answer.code(), &answer.json()["answer"]), (200, &plain["answer"]));
    assert_eq!(post(router, "/edits?verify=false", JSON, marked(&edit(1))).await.code(), 201);
    let utf16: Vec<u8> = marked(&query()).encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(post(router, "/query", JSON, utf16).await.code(), 200);
    let chat =
        json!({"model": "qwen3_vl-1", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2.0});
    let model = get(router, "/v1/models").await.json()["data"][0]["id"].clone();
    let mut chat = chat;
    chat["model"] = model;
    assert_eq!(post(router, "/v1/chat/completions", JSON, marked(&chat)).await.code(), 200);
    // Nothing but a mark is nothing.
    assert_ne!(post(router, "/modularity", JSON, "\u{feff}").await.code(), 400);
    post(router, "/query", JSON, "\u{feff}").await.problem(400);

    let lines = format!("\u{feff}{}\n{}\n", edit(2), edit(3));
    let (job, _) =
        followed(&service, &post(router, "/edits/batch?verify=false", LINES, lines.clone()).await).await;
    assert_eq!((&job["result"]["made"], &job["result"]["failed"]), (&json!(2), &json!(0)));
    let utf16: Vec<u8> = lines.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let refused = post(router, "/edits/batch", LINES, utf16).await;
    assert!(refused.problem(400).text().contains("UTF-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_read_by_every_route() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let body = query().to_string().into_bytes();
    for coding in ["gzip", "zstd", "deflate"] {
        let answer = post_encoded(router, "/query", JSON, coding, encoded(&body, coding).await).await;
        assert_eq!(answer.code(), 200, "{coding}: {}", answer.text());
    }
    let twice = encoded(&encoded(&body, "zstd").await, "gzip").await;
    assert_eq!(post_encoded(router, "/query", JSON, "zstd, gzip", twice).await.code(), 200);
    let png = picture([200, 40, 40]);
    let parts = form(&[("name=\"image\"; filename=\"a.png\"", &png), ("name=\"question\"", b"What is it?")]);
    assert_eq!(post_encoded(router, "/query", FORM, "gzip", encoded(&parts, "gzip").await).await.code(), 200);

    let lines = format!("{}\n{}\n{}\n", edit(1), edit(2), edit(3)).into_bytes();
    let accepted =
        post_encoded(router, "/edits/batch?verify=false", LINES, "gzip", encoded(&lines, "gzip").await).await;
    let (job, _) = followed(&service, &accepted).await;
    assert_eq!((&job["result"]["made"], &job["progress"]["total"]), (&json!(3), &json!(3)));
    // Without saying so it is refused at once.
    let silent = post(router, "/edits/batch", LINES, encoded(&lines, "gzip").await).await;
    assert!(silent.problem(400).text().contains("Content-Encoding"));

    let archive = get(router, "/codebook/export").await.body;
    for (uri, coding) in
        [("/codebook/import?codebook=one", "zstd"), ("/codebook/import?codebook=two&background=true", "gzip")]
    {
        let answer =
            post_encoded(router, uri, "application/x-tar", coding, encoded(&archive, coding).await).await;
        if answer.code() == 202 {
            let (job, _) = followed(&service, &answer).await;
            assert_eq!(job["result"]["edits"], 3, "{job}");
        } else {
            assert_eq!((answer.code(), &answer.json()["edits"]), (200, &json!(3)), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn what_is_not_decoded_is_415_and_what_is_damaged_400() {
    let (router, _slot) = bare(|config| config.limits.body_bytes = 100_000);
    let routes = [
        ("/query", JSON),
        ("/edits", FORM),
        ("/evidence", JSON),
        ("/modularity", JSON),
        ("/v1/chat/completions", JSON),
        ("/integrations/label-studio/webhook", JSON),
    ];
    for (uri, kind) in routes {
        let answer = post_encoded(&router, uri, kind, "br", b"{}".to_vec()).await;
        assert_eq!((answer.code(), answer.header("accept-encoding")), (415, "gzip, zstd, deflate"), "{uri}");
        let answer = post_encoded(&router, uri, kind, "gzip", b"{}".to_vec()).await;
        assert_eq!(answer.code(), 400, "{uri}: {}", answer.text());
        // What becomes too large while it is decoded is refused there.
        let bomb = encoded(&vec![b' '; 20_000_000], "gzip").await;
        assert!(bomb.len() < 100_000);
        assert_eq!(post_encoded(&router, uri, kind, "gzip", bomb).await.code(), 413, "{uri}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boxes_are_fitted_to_the_picture_and_it_is_told() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let with = |number: usize, area: Value| {
        let mut body = edit(number);
        body["reasoning"][0]["evidence"] = json!([area]);
        body["verify"] = json!(false);
        body
    };
    let area =
        |x: f64, y: f64, width: f64, height: f64| json!({"x": x, "y": y, "width": width, "height": height});
    // The picture has 96 by 80 pixels.
    for (number, (given, expected, told)) in [
        (area(10.0, 12.0, 30.0, 30.0), [10, 12, 30, 30], false),
        (area(10.5, 12.25, 30.7, 30.1), [11, 12, 30, 30], true),
        (area(60.0, 0.0, 37.0, 50.0), [60, 0, 36, 50], true),
        (area(-2.0, 0.0, 50.0, 50.0), [0, 0, 48, 50], true),
        (area(60.0, 70.0, -50.0, -40.0), [10, 30, 50, 40], true),
    ]
    .into_iter()
    .enumerate()
    {
        let made = post_json(router, "/edits", &with(number, given.clone())).await;
        assert_eq!(made.code(), 201, "{given}: {}", made.text());
        let made = made.json();
        let got = get(router, &format!("/edits/{}", made["id"].as_str().unwrap())).await.json();
        for edit in [&made, &got] {
            let evidence = &edit["reasoning"][0]["evidence"][0];
            let stored = ["x", "y", "width", "height"].map(|name| evidence[name].as_u64().unwrap());
            assert_eq!(stored, expected, "{given}");
            let warnings = edit["warnings"].as_array().unwrap();
            assert_eq!(!warnings.is_empty(), told, "{given}: {warnings:?}");
            if told {
                assert_eq!(warnings[0]["code"], "box_adjusted");
                assert_eq!(warnings[0]["pointer"], "/reasoning/0/evidence/0");
            }
        }
    }
    for (given, pointer) in [
        (area(96.0, 0.0, 10.0, 10.0), "/reasoning/0/evidence/0"),
        (area(10.0, 10.0, 0.0, 10.0), "/reasoning/0/evidence/0"),
        (area(-1e300, 0.0, 2e300, 10.0), "/reasoning/0/evidence/0"),
        (json!([20, 30, 90, 100]), "/reasoning/0/evidence/0"),
        (json!({"x": 1, "y": 2, "width": 3}), "/reasoning/0/evidence/0/height"),
        (json!({"x": "1", "y": 2, "width": 3, "height": 4}), "/reasoning/0/evidence/0/x"),
    ] {
        let refused = post_json(router, "/edits", &with(9, given)).await;
        assert_eq!(refused.problem(422).pointers(), [pointer], "{}", refused.text());
    }
    assert_eq!(get(router, "/codebook").await.json()["edits"], 5, "nothing is left of what was refused");

    // A form's and a batch's boxes alike.
    let boxed = json!({"statement": "The corner has a square.", "evidence": [area(60.4, 0.0, 37.0, 50.0)]})
        .to_string();
    let png = picture([9, 40, 40]);
    let parts = form(&[
        ("name=\"image\"; filename=\"a.png\"", &png),
        ("name=\"question\"", b"What is it?"),
        ("name=\"answer\"", b"square"),
        ("name=\"verify\"", b"0"),
        ("name=\"reasoning\"", boxed.as_bytes()),
    ]);
    let made = post(router, "/edits", FORM, parts).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    assert_eq!(made.json()["warnings"][0]["code"], "box_adjusted");
    let line = with(7, area(60.4, 0.0, 37.0, 50.0)).to_string();
    let (job, _) = followed(&service, &post(router, "/edits/batch", LINES, line).await).await;
    assert_eq!(job["result"]["made"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_as_clients_write_them_are_stored_as_they_were_meant() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let png = picture([200, 40, 40]);
    let text = format!("data:image/png;base64,{}", STANDARD.encode(&png));
    let made = post(
        router,
        "/edits",
        "multipart/form-data; boundary=X/X=1",
        String::from_utf8(form(&[
            ("name=\"image\"; filename=\"blob\"", text.as_bytes()),
            ("name=\"question\"", b"What is it?"),
            ("name=\"answer\"", b"square"),
            ("name=\"choices[]\"", b"circle"),
            ("name=\"choices[]\"", b"square"),
            ("name=\"reasoning\"", br#"["The corner has a square.", "It has four sides. All are equal."]"#),
            ("name=\"tags\"", br#"["ward-3", "demo"]"#),
            ("name=\"metadata[case]\"", b"A-117"),
            ("name=\"verify\"", b"False"),
        ]))
        .unwrap()
        .replace("--XX", "--X/X=1"),
    )
    .await;
    assert_eq!(made.code(), 201, "{}", made.text());
    let made = made.json();
    let statements: Vec<&str> =
        made["reasoning"].as_array().unwrap().iter().map(|s| s["statement"].as_str().unwrap()).collect();
    assert_eq!(statements, ["The corner has a square.", "It has four sides. All are equal."]);
    assert_eq!((&made["tags"], &made["choices"]), (&json!(["ward-3", "demo"]), &json!(["circle", "square"])));
    assert_eq!(made["metadata"], json!({"case": "A-117"}));
    // The same picture, whichever way it came.
    for content in
        [png.clone(), STANDARD.encode(&png).into_bytes(), made["image"]["id"].as_str().unwrap().into()]
    {
        let answer = post(
            router,
            "/query",
            FORM,
            form(&[("name=\"image\"", &content), ("name=\"question\"", b"What is it?")]),
        )
        .await;
        assert_eq!(answer.code(), 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn json_ends_with_a_newline_for_terminals() {
    let (router, _slot) = bare(|_| {});
    let ask = async |accept: Option<&str>, uri: &str| {
        let mut request = Request::get(uri);
        if let Some(accept) = accept {
            request = request.header(header::ACCEPT, accept);
        }
        send(&router, request.body(Body::empty()).unwrap()).await
    };
    for uri in ["/health/live", "/health/ready", "/edits", "/nothing", "/v1/models", "/openapi.json"] {
        for (accept, wanted) in [(Some("*/*"), true), (None, true), (Some("application/json"), false)] {
            let answer = ask(accept, uri).await;
            assert_eq!(answer.body.ends_with(b"}\n"), wanted, "{uri} {accept:?}: {}", answer.text());
            assert!(!answer.body.ends_with(b"\n\n"));
            answer.json();
        }
    }
}
