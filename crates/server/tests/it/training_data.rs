//! Edits that go out as training data.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{Answer, bare, delete, get, post_json, send};
use crate::model::{Service, picture, service};

fn edit_of(colour: [u8; 3], question: &str, answer: &str) -> Value {
    json!({
        "image": {"data": STANDARD.encode(picture(colour))}, "question": question, "answer": answer,
        "reasoning": ["There is a square.", "Its edges are straight."],
    })
}

async fn edited(router: &Router, uri: &str, edit: &Value) -> Value {
    let made = post_json(router, uri, edit).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    made.json()
}

/// The files of an archive.
fn files(answer: &Answer) -> BTreeMap<String, Vec<u8>> {
    assert_eq!(
        (answer.code(), answer.header("content-type")),
        (200, "application/x-tar"),
        "{}",
        answer.text()
    );
    let mut archive = tar::Archive::new(&answer.body[..]);
    let file = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), content)
    };
    archive.entries().unwrap().map(file).collect()
}

fn manifest(files: &BTreeMap<String, Vec<u8>>) -> Value {
    serde_json::from_slice(&files["manifest.json"]).unwrap()
}

fn rows(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&files[name]).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Three edits: one asked before, one not asked, and one in whose place a newer one stands.
async fn three_edits(service: &Service) -> [Value; 3] {
    let router = &service.router;
    let asked =
        edited(router, "/edits", &edit_of([200, 30, 40], "What is in the corner?", "a red square")).await;
    let blue = edit_of([30, 40, 200], "Is it <image> or {{idx}}?", "a circle");
    let older = edited(router, "/edits?verify=false", &blue).await;
    let blue = edit_of([30, 40, 200], "Is it <image> or {{idx}}?", "a blue square");
    let newer = edited(router, "/edits?verify=false", &blue).await;
    [asked, older, newer]
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_go_out_as_training_data() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let [asked, _, newer] = three_edits(&service).await;

    let answer = get(router, "/export?format=ms-swift").await;
    assert!(answer.header("content-disposition").contains("reasonedit-default-ms-swift-sft.tar"));
    let sft = files(&answer);
    assert_eq!(get(router, "/export?format=ms-swift").await.body, answer.body, "the same bytes again");
    let id = asked["image"]["id"].as_str().unwrap();
    let png = get(router, &format!("/images/{id}")).await.body;
    assert_eq!(sft[&format!("images/{id}.png")], png, "an ordinary picture goes out as it came");
    let said = rows(&sft, "train.jsonl");
    assert_eq!(
        said[0],
        json!({
            "messages": [
                {"role": "user", "content": "<image>What is in the corner?"},
                {"role": "assistant", "content":
                    "<think>\nThere is a square.\nIts edges are straight.\n</think>\n\na red square"},
            ],
            "images": [format!("images/{id}.png")],
            "edit": asked["id"],
        })
    );
    assert_eq!((said.len(), &said[1]["edit"]), (2, &newer["id"]));
    assert_eq!(said[1]["messages"][0]["content"], "<image>Is it < image> or { {idx}}?");
    let told = manifest(&sft);
    assert_eq!((&told["codebook"]["name"], &told["codebook"]["revision"]), (&json!("default"), &json!(3)));
    assert_eq!((&told["codebook"]["generation"], &told["escaped"]), (&asked["generation"], &json!(1)));
    assert_eq!(told["model"]["fingerprint"], service.editor.model().await.unwrap().fingerprint);
    assert_eq!(told["left_out"]["superseded"], 1);

    let dpo = files(&get(router, "/export?format=llama-factory&task=dpo&reasoning=answer").await);
    let told = manifest(&dpo);
    assert_eq!(
        (&told["left_out"]["superseded"], &told["left_out"]["answer_before_unknown"]),
        (&json!(1), &json!(1))
    );
    let pairs = rows(&dpo, "train.jsonl");
    assert_eq!(pairs[0]["chosen"]["value"], "a red square\nThere is a square.\nIts edges are straight.");
    assert_eq!(pairs[0]["rejected"]["value"], asked["before"]["answer"]);
    let described: Value = serde_json::from_slice(&dpo["dataset_info.json"]).unwrap();
    assert_eq!(described["reasonedit_dpo"]["ranking"], true);

    // What is reverted is no longer taught, and what stood behind it is again.
    delete(router, &format!("/edits/{}", newer["id"].as_str().unwrap())).await;
    let after = files(&get(router, "/export?format=trl&images=inline&reasoning=none").await);
    assert_eq!(rows(&after, "train.jsonl")[1]["completion"][0]["content"][0]["text"], "a circle");
    assert_eq!(manifest(&after)["codebook"]["revision"], 4);
    assert!(!after.keys().any(|name| name.contains("images/")), "pictures stand in the rows");

    let empty = files(&get(router, "/export?format=trl&codebook=nothing").await);
    assert_eq!((empty.len(), &manifest(&empty)["codebook"]["edits"]), (1, &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_can_not_be_used_are_told() {
    let service = service(|_| {}).await;
    let router = &service.router;
    for (query, pointer, told) in [
        ("", "/format", "missing"),
        ("format=axolotl", "/format", "`trl`, `llama-factory` or `ms-swift`"),
        ("format=trl&task=ppo", "/task", "`sft` or `dpo`"),
        ("format=trl&reasoning=maybe", "/reasoning", "`think`"),
        ("format=trl&images=none", "/images", "`files`"),
        ("format=trl&split=1.1", "/split", "between 0 and 1"),
        ("format=trl&split=-0.1", "/split", "between 0 and 1"),
        ("format=trl&split=half", "/split", "number"),
        ("format=trl&seed=-1", "/seed", ""),
        ("format=llama-factory&images=inline", "/images", "LLaMA-Factory"),
        ("format=trl&codebook=..", "/codebook", ""),
        ("format=trl&shuffle=true", "/shuffle", "not known"),
    ] {
        let answer = get(router, &format!("/export?{query}")).await;
        assert_eq!(answer.problem(422).pointers(), [pointer], "{query}: {}", answer.text());
        assert!(answer.text().contains(told), "{query}: {}", answer.text());
    }
}

#[tokio::test]
async fn exports_are_for_those_with_a_token() {
    let (router, _slot) = bare(|config| config.auth_tokens = vec!["right".to_owned()]);
    get(&router, "/export?format=trl").await.problem(401);
    let request = Request::get("/export?format=trl").header(header::AUTHORIZATION, "Bearer right");
    send(&router, request.body(Body::empty()).unwrap()).await.problem(503);
}

/// Edits that come and go while an export is read don't show in it.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_one_state_of_the_codebook() {
    let service = service(|_| {}).await;
    let router = service.router.clone();
    for n in 0..20u8 {
        let edit = edit_of([n * 12, 90, 200 - n * 9], &format!("What is number {n}?"), "a square");
        edited(&router, "/edits?verify=false", &edit).await;
    }
    let writer = tokio::spawn({
        let router = router.clone();
        async move {
            for n in 0..10u8 {
                let edit = edit_of([250, n * 20, 3], "What is new?", "a square");
                edited(&router, "/edits?verify=false", &edit).await;
            }
        }
    });
    let mut before = 0;
    while !writer.is_finished() {
        let files = files(&get(&router, "/export?format=llama-factory&split=0.4").await);
        let told = manifest(&files);
        let count = |name| files.get(name).map_or(0, |_| rows(&files, name).len() as u64);
        let (train, test) = (count("train.jsonl"), count("test.jsonl"));
        let edits = told["codebook"]["edits"].as_u64().unwrap();
        assert_eq!((train + test, &told["codebook"]["revision"]), (edits, &json!(edits)));
        assert!(edits >= before);
        for row in rows(&files, "train.jsonl").iter().chain(&rows(&files, "test.jsonl")) {
            assert!(files.contains_key(row["images"][0].as_str().unwrap()), "{row}");
        }
        before = edits;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.await.unwrap();
}
