//! What people say of answers: one word each, counted for the edits that stood in front.

use reasonedit_access::AccessRole;
use reasonedit_server::ServerConfig;
use serde_json::{Value, json};

use crate::access::{Client, Given};
use crate::common::{delete, get, post_json};
use crate::model::{server_on, service, service_guarded};

const A: &str = "01K5WG1QF9JXSEV9QS0T9T8F6C";
const B: &str = "01K5WG1QF9JXSEV9QS0T9T8F6D";

fn word(verdict: &str, answer: &str, edits: &[&str]) -> Value {
    json!({"verdict": verdict, "answer_id": answer, "edits": edits})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_is_given_changed_counted_and_taken_back() {
    let service = service(|_| ()).await;
    let router = &service.router;
    let made = post_json(router, "/feedback", &word("agree", "one", &[A, B, A])).await;
    assert_eq!(made.code(), 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((&made.json()["edits"], &made.json()["by"]), (&json!([A, B]), &Value::Null));
    let changed = post_json(router, "/feedback", &word("disagree", "one", &[B])).await;
    assert_eq!((changed.code(), changed.json()["id"].as_str()), (200, Some(id.as_str())));
    assert_eq!(post_json(router, "/feedback", &word("agree", "two", &[A, B])).await.code(), 201);

    let edits = get(router, "/feedback/edits").await.json();
    let expected = json!([
        {"edit": B, "agree": 1, "disagree": 1}, {"edit": A, "agree": 1, "disagree": 0},
    ]);
    assert_eq!(edits["edits"], expected);
    let listed = async |query: &str| -> Vec<String> {
        let page = get(router, &format!("/feedback{query}")).await.json();
        let words = page["feedback"].as_array().unwrap();
        words.iter().map(|word| word["answer_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed("").await, ["two", "one"]);
    assert_eq!(listed("?verdict=disagree").await, ["one"]);
    assert_eq!(listed(&format!("?edit={A}")).await, ["two"]);
    assert!(listed("?codebook=other").await.is_empty());
    let first = get(router, "/feedback?limit=1").await.json();
    let next = first["next_cursor"].as_str().unwrap();
    assert_eq!(listed(&format!("?limit=1&cursor={next}")).await, ["one"]);

    assert_eq!(delete(router, &format!("/feedback/{id}")).await.code(), 204);
    delete(router, &format!("/feedback/{id}")).await.problem(404);
    delete(router, "/feedback/nonsense").await.problem(404);
    assert_eq!(listed("").await, ["two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_nothing_is_refused_with_its_place() {
    let service = service(|_| ()).await;
    let refused = [
        (word("agree", "", &[]), "/answer_id"),
        (word("agree", "one", &[A, "nonsense"]), "/edits/1"),
        (json!({"verdict": "perhaps", "answer_id": "one"}), "/verdict"),
        (json!({"verdict": "agree"}), "/answer_id"),
    ];
    for (body, place) in refused {
        let answer = post_json(&service.router, "/feedback", &body).await;
        assert_eq!(answer.problem(422).pointers(), [place], "{body}");
    }
    get(&service.router, "/feedback?edit=nonsense").await.problem(422);
    assert_eq!(get(&service.router, "/feedback").await.json()["feedback"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_is_of_whose_token_it_is() {
    let given = Given::new();
    let service = service_guarded(&given.store).await;
    let ada = given.token("Ada", AccessRole::Contributor, &["ward-3"]);
    let bob = given.token("Bob", AccessRole::Contributor, &["ward-3", "ward-4"]);
    let eve = given.token("Eve", AccessRole::Contributor, &["ward-4"]);
    let grace = given.token("Grace", AccessRole::Editor, &["ward-3"]);
    let [ada, bob, eve, grace] = [&ada, &bob, &eve, &grace].map(|token| Client(&service.router, token));
    let path = "/feedback?codebook=ward-3";
    let of_ada = ada.ask("POST", path, Some(word("agree", "one", &[A]))).await.json();
    assert_eq!(of_ada["by"], "Ada");
    assert_eq!(bob.ask("POST", path, Some(word("disagree", "one", &[A]))).await.code(), 201);
    assert_eq!(eve.ask("POST", path, Some(word("agree", "one", &[A]))).await.code(), 403);
    let id = format!("/feedback/{}", of_ada["id"].as_str().unwrap());
    assert_eq!(bob.ask("DELETE", &id, None).await.code(), 403);
    // As one that isn't there.
    assert_eq!(eve.ask("DELETE", &id, None).await.code(), 404);
    assert_eq!(grace.ask("DELETE", &id, None).await.code(), 204);
    let left = grace.ask("GET", path, None).await.json();
    assert_eq!(left["feedback"].as_array().unwrap().len(), 1);
    assert_eq!(left["feedback"][0]["by"], "Bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let (server, editor) = server_on(folder.path(), ServerConfig::default()).await;
    let said = post_json(&server.router(), "/feedback", &word("disagree", "one", &[A])).await;
    assert_eq!(said.code(), 201);
    drop(server);
    editor.shutdown().await;
    drop(editor);
    let (server, _editor) = server_on(folder.path(), ServerConfig::default()).await;
    let router = server.router();
    assert_eq!(get(&router, "/feedback").await.json()["feedback"], json!([said.json()]));
    let edits = get(&router, "/feedback/edits").await.json();
    assert_eq!(edits["edits"], json!([{"edit": A, "agree": 0, "disagree": 1}]));
}
