//! Label Studio's protocol over HTTP: with a real model where one is asked, without one where none may be
//! needed.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use reasonedit_codebook::{CodebookConfig, Library};
use reasonedit_server::{Server, ServerConfig};
use serde_json::{Value, json};

use crate::common::{Answer, bare, delete, get, post, post_json, request, send};
use crate::fuzz::any_json;
use crate::model::{picture, server_on, service, stores};

pub(crate) const CONFIG: &str = r#"<View><Image name="image" value="$image"/><Header value="$question"/>
  <Choices name="answer" toName="image"><Choice value="circle"/><Choice value="a square" alias="square"/></Choices>
  <TextArea name="rationale" toName="image"/>
  <RectangleLabels name="evidence" toName="image"><Label value="1"/><Label value="2"/></RectangleLabels></View>"#;
pub(crate) const RED: [u8; 3] = [200, 40, 40];
const BLUE: [u8; 3] = [40, 60, 200];
pub(crate) const PROJECT: &str = "3.1795218600";

pub(crate) fn at(path: &str) -> String {
    format!("/integrations/label-studio/{path}")
}

pub(crate) fn data_url(colour: [u8; 3]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(picture(colour)))
}

pub(crate) fn task(id: u64, image: &str) -> Value {
    json!({"id": id, "data": {"image": image, "question": "What is in the corner?"}, "project": 3})
}

pub(crate) fn predict(tasks: &[Value]) -> Value {
    json!({"tasks": tasks, "project": PROJECT, "label_config": CONFIG, "params": {"login": null, "password": null, "context": null}})
}

/// What Label Studio sends when an annotation was made or changed, `minute` being when.
pub(crate) fn annotated(action: &str, id: u64, minute: u32, image: &str, reasoning: &[&str]) -> Value {
    let mut result = vec![
        json!({"id": "a", "from_name": "answer", "to_name": "image", "type": "choices", "origin": "manual", "value": {"choices": ["square"]}}),
        json!({"id": "e", "from_name": "evidence", "to_name": "image", "type": "rectanglelabels", "origin": "manual",
            "original_width": 96, "original_height": 80, "image_rotation": 0,
            "value": {"x": 12.5, "y": 15, "width": 31.25, "height": 37.5, "rotation": 0, "rectanglelabels": ["1"]}}),
    ];
    if !reasoning.is_empty() {
        result.push(json!({"id": "r", "from_name": "rationale", "to_name": "image", "type": "textarea", "value": {"text": reasoning}}));
    }
    json!({
        "action": action, "project": project(), "task": task(5, image),
        "annotation": {"id": id, "task": 5, "project": 3, "completed_by": 1, "was_cancelled": false, "ground_truth": false, "result": result,
            "created_at": "2026-11-20T10:00:00Z", "updated_at": format!("2026-11-20T10:{minute:02}:00.25Z"), "lead_time": 3.5, "prediction": {}},
    })
}

fn project() -> Value {
    json!({"id": 3, "title": "p", "created_at": "2026-11-20T23:50:00.123456Z", "label_config": CONFIG})
}

pub(crate) fn deleted(id: u64) -> Value {
    json!({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": id}], "project": project()})
}

pub(crate) const WHY: &[&str] = &["The corner has a square.", "A shape with four equal sides is a square."];

/// Sends an event that something follows from, and waits until it has; what became of it.
async fn followed(router: &Router, event: &Value) -> Value {
    let answer = post_json(router, &at("webhook"), event).await;
    assert_eq!(answer.code(), 201, "{}", answer.text());
    assert_eq!(answer.json()["queued"].as_array().map(Vec::len), Some(1), "{}", answer.text());
    settled(router).await[0].clone()
}

/// What became of annotations, newest first, once none waits.
async fn settled(router: &Router) -> Vec<Value> {
    for _ in 0..6000 {
        let found = get(router, &at("annotations")).await.json();
        if found["waiting"] == 0 {
            return found["ended"].as_array().cloned().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("annotations still wait");
}

async fn edits(router: &Router, codebook: &str) -> Vec<Value> {
    get(router, &format!("/edits?codebook={codebook}")).await.json()["edits"].as_array().cloned().unwrap()
}

pub(crate) async fn setup(router: &Router, extra: Value) -> Answer {
    let body = json!({"project": PROJECT, "schema": CONFIG, "hostname": "http://studio.example", "access_token": "0123abcd", "extra_params": extra});
    post_json(router, &at("setup"), &body).await
}

async fn version(router: &Router) -> String {
    setup(router, Value::Null).await.json()["model_version"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_is_there_before_the_model_is() {
    let (router, _) = bare(|_| {});
    for path in ["/integrations/label-studio".to_owned(), at("health")] {
        assert_eq!(get(&router, &path).await.json(), json!({"status": "UP", "model_class": "ReasonEdit"}));
    }
    assert_eq!(get(&router, &at("metrics")).await.json(), json!({}));
    let told = setup(&router, json!("{\"codebook\": \"ward-3\"}")).await;
    assert_eq!(told.code(), 200, "{}", told.text());
    let told = told.json();
    assert_eq!((&told["model_version"], &told["codebook"]), (&json!("reasonedit-loading"), &json!("ward-3")));
    assert!(told["missing"][0].as_str().unwrap().contains("server.label_studio.url"));
    // As Label Studio reads a failure: the status, and why.
    let failed = post_json(&router, &at("predict"), &predict(&[task(1, "x")])).await;
    assert_eq!(failed.problem(503).json()["status"], 503);
    post_json(&router, &at("webhook"), &annotated("ANNOTATION_CREATED", 1, 0, "x", WHY)).await.problem(503);
}

#[tokio::test]
async fn unusable_requests_are_refused_by_name() {
    let (router, _) = bare(|_| {});
    let refused = |body: Value| {
        let router = router.clone();
        async move { post_json(&router, &at("setup"), &body).await.problem(422).pointers() }
    };
    assert_eq!(refused(json!({"project": "x"})).await, ["/project"]);
    assert_eq!(refused(json!({"project": "1", "extra_params": "ward"})).await, ["/extra_params"]);
    assert_eq!(
        refused(json!({"project": "1", "extra_params": {"codebook": "A B"}})).await,
        ["/extra_params/codebook"]
    );
    assert_eq!(refused(json!({})).await, ["/project"]);
    let schema = json!({"project": "1", "schema": "<!DOCTYPE v [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><View>&a;</View>"});
    post_json(&router, &at("setup"), &schema).await.problem(422);
    post(&router, &at("webhook"), "application/json", "{").await.problem(400);
}

#[tokio::test]
async fn a_token_is_the_password() {
    let (router, _) = bare(|config| config.auth_tokens = vec!["secret".to_owned()]);
    let with = |uri: String, value: Option<String>| {
        let mut asked = request(axum::http::Method::GET, &uri);
        if let Some(value) = value {
            asked.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let router = router.clone();
        async move { send(&router, asked).await }
    };
    let refused = with(at("health"), None).await;
    assert!(refused.problem(401).header("www-authenticate").starts_with("Basic "));
    let basic = |password: &str| Some(format!("Basic {}", STANDARD.encode(format!("anyone:{password}"))));
    with(at("health"), basic("wrong")).await.problem(401);
    assert_eq!(with(at("health"), basic("secret")).await.code(), 200);
    assert_eq!(with(at("health"), Some("Bearer secret".to_owned())).await.code(), 200);
    let elsewhere = with("/edits".to_owned(), basic("secret")).await;
    assert!(elsewhere.problem(401).header("www-authenticate").starts_with("Bearer "));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_predicted_one_by_one() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let empty = json!({"id": 2, "data": {}});
    let answer = post_json(
        router,
        &at("predict"),
        &predict(&[task(1, &data_url(RED)), empty.clone(), task(3, &data_url(BLUE))]),
    )
    .await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    let results = answer.json()["results"].as_array().cloned().unwrap();
    assert_eq!(results.iter().map(|r| r.as_array().unwrap().len()).collect::<Vec<_>>(), [1, 0, 1]);
    let prediction = &results[0][0];
    assert_eq!(prediction["model_version"], version(router).await.as_str());
    let score = prediction["score"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&score));
    let region = &prediction["result"][0];
    assert_eq!(
        (&region["from_name"], &region["to_name"], &region["type"]),
        (&json!("answer"), &json!("image"), &json!("choices"))
    );
    assert!(
        ["circle", "square"].contains(&region["value"]["choices"][0].as_str().unwrap()),
        "the alias stands for the choice: {region}"
    );
    // The same question, the same prediction.
    let again = post_json(router, &at("predict"), &predict(&[task(1, &data_url(RED))])).await.json();
    assert_eq!(again["results"][0][0], *prediction);
    // None at all: why not.
    let failed = post_json(router, &at("predict"), &predict(&[empty])).await;
    assert!(failed.problem(422).json()["detail"].as_str().unwrap().contains("`question`"));
    let unreadable = post_json(router, &at("predict"), &predict(&[task(1, "/data/upload/3/a.png")])).await;
    assert!(unreadable.problem(422).json()["detail"].as_str().unwrap().contains("server.label_studio.url"));
    assert_eq!(post_json(router, &at("predict"), &predict(&[])).await.json(), json!({"results": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_becomes_an_edit_and_follows_it() {
    let service = service(|_| {}).await;
    let router = &service.router;
    let before = version(router).await;

    // Without reasoning nothing follows.
    let silent =
        post_json(router, &at("webhook"), &annotated("ANNOTATION_CREATED", 17, 0, &data_url(RED), &[])).await;
    assert_eq!(
        silent.json(),
        json!({"status": "ok", "queued": [], "skipped": [{"annotation": 17, "reason": "No reasoning was given."}]})
    );

    let created = annotated("ANNOTATION_CREATED", 17, 1, &data_url(RED), WHY);
    let came = followed(router, &created).await;
    let made = edits(router, "default").await;
    assert_eq!((made.len(), &came["outcome"]), (1, &json!("edited")), "{came}");
    let edit = &made[0];
    assert_eq!((&edit["answer"], &edit["choices"]), (&json!("a square"), &json!(["circle", "a square"])));
    assert_eq!(edit["question"], "What is in the corner?");
    let evidence = &edit["reasoning"][0]["evidence"][0];
    assert_eq!(*evidence, json!({"x": 12, "y": 12, "width": 30, "height": 30, "source": "user"}));
    assert_eq!(
        (&edit["author"], &edit["tags"]),
        (&json!("label-studio:1"), &json!(["label-studio", "label-studio:annotation:17"]))
    );
    let about = &edit["metadata"]["label_studio"];
    assert_eq!(
        (&about["project"], &about["task"], &about["annotation"]),
        (&json!(PROJECT), &json!(5), &json!(17))
    );
    let after = version(router).await;
    assert_ne!(before, after);
    let rectangles = post_json(router, &at("predict"), &predict(&[task(5, &data_url(RED))])).await.json();
    let regions = rectangles["results"][0][0]["result"].as_array().cloned().unwrap();
    for region in regions.iter().filter(|region| region["type"] == "rectanglelabels") {
        assert_eq!((&region["original_width"], &region["original_height"]), (&json!(96), &json!(80)));
        assert!(region["value"]["width"].as_f64().is_some_and(|width| width > 0.0 && width <= 100.0));
    }

    // The same message again, and the same words at another time.
    assert_eq!(followed(router, &created).await["edit"], edit["id"]);
    let starred = annotated("ANNOTATION_UPDATED", 17, 2, &data_url(RED), WHY);
    assert_eq!(followed(router, &starred).await["outcome"], "unchanged");
    let still = edits(router, "default").await;
    assert_eq!((still.len(), &still[0]["id"]), (1, &edit["id"]));

    // Other words: a new version of the same edit.
    let mut updated = annotated("ANNOTATION_UPDATED", 17, 4, &data_url(RED), &WHY[..1]);
    let results = updated["annotation"]["result"].as_array_mut().unwrap();
    results[1]["image_rotation"] = json!(90);
    results.push(json!({"id": "b", "from_name": "evidence", "to_name": "image", "type": "brushlabels", "value": {"format": "rle", "rle": [0]}}));
    let came = followed(router, &updated).await;
    // Drawn on a screen that was turned, the rectangle is where it was; what can't be used is told.
    assert_eq!(
        (&came["warnings"][0]["code"], &came["warnings"][0]["pointer"]),
        (&json!("region_unused"), &json!("/result/3"))
    );
    assert_eq!(
        (&came["outcome"], &came["edit"], &came["reverted"]),
        (&json!("edited"), &edit["id"], &json!([]))
    );
    let made = edits(router, "default").await;
    assert_eq!((made.len(), &made[0]["id"], &made[0]["version"]), (1, &came["edit"], &json!(2)));
    assert_eq!(made[0]["reasoning"][0]["evidence"][0], *evidence);
    assert_eq!(made[0]["warnings"], came["warnings"]);
    assert_ne!(version(router).await, after);
    // What was overtaken changes nothing.
    let late = annotated("ANNOTATION_UPDATED", 17, 3, &data_url(RED), WHY);
    assert_eq!(followed(router, &late).await["outcome"], "skipped");
    // Another project's annotation of the same number is another one.
    let mut other = annotated("ANNOTATION_CREATED", 17, 5, &data_url(BLUE), WHY);
    other["project"]["id"] = json!(4);
    assert_eq!(followed(router, &other).await["reverted"], json!([]));
    assert_eq!(edits(router, "default").await.len(), 2);

    let came = followed(router, &deleted(17)).await;
    assert_eq!(
        (&came["outcome"], &came["deleted"], &came["reverted"]),
        (&json!("reverted"), &json!(true), &json!([made[0]["id"]]))
    );
    // What is gone does not come back.
    assert_eq!(
        followed(router, &annotated("ANNOTATION_UPDATED", 17, 9, &data_url(RED), WHY)).await["outcome"],
        "skipped"
    );
    assert_eq!(followed(router, &deleted(99)).await["outcome"], "skipped");
    let mut other = deleted(17);
    other["project"]["id"] = json!(4);
    followed(router, &other).await;
    assert_eq!(edits(router, "default").await, Vec::<Value>::new());
    assert_eq!(version(router).await, before, "the codebook is what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_back_reasoning_codebooks_and_events_that_change_nothing() {
    let service = service(|_| {}).await;
    let router = &service.router;
    assert_eq!(setup(router, json!({"codebook": "ward-3"})).await.json()["codebook"], "ward-3");
    followed(router, &annotated("ANNOTATION_CREATED", 1, 1, &data_url(RED), WHY)).await;
    let made = edits(router, "ward-3").await;
    assert_eq!((made.len(), edits(router, "default").await.len()), (1, 0));
    for action in ["TASKS_DELETED", "PROJECT_UPDATED", "START_TRAINING"] {
        let answer = post_json(
            router,
            &at("webhook"),
            &json!({"action": action, "tasks": [{"id": 5}], "project": project()}),
        )
        .await;
        assert_eq!((answer.code(), &answer.json()["queued"]), (201, &json!([])));
    }
    let unknown = post_json(router, &at("webhook"), &json!({"action": "SOMETHING"})).await;
    assert_eq!((unknown.code(), &unknown.json()["status"]), (200, &json!("Unknown event")));
    assert_eq!(edits(router, "ward-3").await[0]["id"], made[0]["id"]);

    // The project moves to another codebook: so does the annotation with its next change.
    setup(router, Value::Null).await;
    let came = followed(router, &annotated("ANNOTATION_UPDATED", 1, 2, &data_url(RED), WHY)).await;
    assert_eq!(came["reverted"], json!([made[0]["id"]]));
    assert_eq!((edits(router, "ward-3").await.len(), edits(router, "default").await.len()), (0, 1));
    let came = followed(router, &annotated("ANNOTATION_UPDATED", 1, 3, &data_url(RED), &[])).await;
    assert_eq!((&came["outcome"], &came["detail"]), (&json!("reverted"), &json!("No reasoning was given.")));
    assert_eq!(edits(router, "default").await.len(), 0);

    // One that was taken back by hand stays back when its message comes again.
    let again = annotated("ANNOTATION_UPDATED", 1, 4, &data_url(RED), WHY);
    let came = followed(router, &again).await;
    delete(router, &format!("/edits/{}", came["edit"].as_str().unwrap())).await;
    assert_eq!(followed(router, &again).await["edit"], Value::Null);
    assert_eq!(edits(router, "default").await.len(), 0);

    // What can't become an edit says why.
    let came =
        followed(router, &annotated("ANNOTATION_CREATED", 2, 1, "data:image/png;base64,AAAA", WHY)).await;
    assert_eq!(came["outcome"], "failed");
    assert!(came["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_are_taken_up_while_the_model_is_loaded_and_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    {
        // Opened, taken up, and ended before there was a model.
        let (store, _images) = stores(data.path());
        let library = Arc::new(Library::open(store, CodebookConfig::default()).unwrap());
        let (server, slot) = Server::new(ServerConfig::default()).unwrap();
        slot.open(&library).unwrap();
        let router = server.router();
        assert_eq!(setup(&router, json!({"codebook": "ward-3"})).await.code(), 200);
        for (id, minute) in [(1, 1), (1, 2), (2, 1)] {
            let event = annotated("ANNOTATION_CREATED", id, minute, &data_url(RED), WHY);
            assert_eq!(post_json(&router, &at("webhook"), &event).await.code(), 201);
        }
        assert_eq!(get(&router, &at("annotations")).await.json()["waiting"], 3);
    }
    let (server, editor) = server_on(data.path(), ServerConfig::default()).await;
    let router = server.router();
    let ended = settled(&router).await;
    // Of the first annotation only the last word was made an edit, in the codebook that setup had named.
    assert_eq!(ended.len(), 2, "{ended:?}");
    let made = edits(&router, "ward-3").await;
    assert_eq!(
        made.iter().map(|edit| &edit["metadata"]["label_studio"]["annotation"]).collect::<Vec<_>>(),
        [&json!(2), &json!(1)]
    );
    editor.engine().shutdown().await;
}

#[tokio::test]
async fn whatever_comes_is_answered() {
    let (router, _) = bare(|_| {});
    let mut runner = TestRunner::deterministic();
    let mut any = || any_json().new_tree(&mut runner).expect("a value").current();
    let places = [
        "/action",
        "/project",
        "/project/id",
        "/project/created_at",
        "/project/label_config",
        "/task",
        "/task/id",
        "/task/data",
        "/task/data/image",
        "/annotation",
        "/annotation/id",
        "/annotation/result",
        "/annotation/result/0",
        "/annotation/result/0/value",
        "/annotation/result/1/value/x",
        "/annotation/result/2/value/text",
        "/annotation/updated_at",
        "/annotation/completed_by",
    ];
    for round in 0..100 {
        let mut bodies = vec![any()];
        let mut nearly = annotated("ANNOTATION_UPDATED", 1, 1, "x", WHY);
        *nearly.pointer_mut(places[round % places.len()]).expect("a place") = any();
        bodies.push(nearly);
        let mut nearly = predict(&[task(1, "x")]);
        nearly["tasks"] = any();
        nearly["label_config"] = if round % 2 == 0 { json!(CONFIG) } else { any() };
        bodies.push(nearly);
        bodies.push(json!({"project": if round % 2 == 0 { json!("1") } else { any() }, "schema": CONFIG, "extra_params": any(), "hostname": any()}));
        for body in bodies {
            for path in ["setup", "predict", "webhook"] {
                let answer = post_json(&router, &at(path), &body).await;
                assert!(answer.code() < 500 || answer.code() == 503, "{path} {body}: {}", answer.text());
            }
        }
    }
}
