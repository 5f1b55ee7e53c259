//! Pictures that lie in Label Studio, with the tokens that it takes: a stand-in gives them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reasonedit_server::{Server, ServerConfig};
use serde_json::{Value, json};

use crate::common::post_json;
use crate::label_studio::{CONFIG, PROJECT, RED, at, predict, setup, task};
use crate::model::{editor_on, picture};

/// A stand-in for Label Studio that gives a picture to whoever has the right token, and writes down what it
/// was asked.
struct Studio {
    url: String,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

const LEGACY: &str = "0123456789abcdef0123456789abcdef01234567";

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "HS256"})), part(claims))
}

async fn studio() -> Studio {
    let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let answer = move |uri: Uri, headers: HeaderMap, body: String| {
        let token =
            headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let mut asked = seen.lock().unwrap();
        asked.push((uri.to_string(), token.clone()));
        let times = asked.len();
        drop(asked);
        let answer: Response = match uri.path() {
            // As Label Studio's framework negotiates.
            _ if headers.get(header::ACCEPT).is_some_and(|accept| accept != "*/*") => {
                StatusCode::NOT_ACCEPTABLE.into_response()
            }
            "/api/token/refresh/" => {
                assert!(body.contains("refresh"));
                // Lasts an hour, as it says.
                Json(json!({"access": jwt(&json!({"iat": 1, "exp": 3601, "n": times}))})).into_response()
            }
            "/data/upload/3/a.png" => match token.as_str() {
                "" => StatusCode::UNAUTHORIZED.into_response(),
                token if token.starts_with("Token ") && token != format!("Token {LEGACY}") => {
                    StatusCode::UNAUTHORIZED.into_response()
                }
                _ => picture(RED).into_response(),
            },
            "/data/upload/3/expired.png" if times < 3 => StatusCode::UNAUTHORIZED.into_response(),
            "/data/upload/3/expired.png" => picture(RED).into_response(),
            "/data/upload/3/moved.png" => {
                (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:9/")]).into_response()
            }
            "/data/upload/3/huge.png" => vec![0_u8; 3 << 20].into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        };
        std::future::ready(answer)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    Studio { url, asked }
}

impl Studio {
    /// What it was asked since the last time.
    fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn service_with(studio: &Studio, token: Option<String>, data: &Path) -> Router {
    let mut config = ServerConfig::default();
    config.label_studio.url = Some(studio.url.clone());
    config.label_studio.token = token;
    config.limits.fetched_image_bytes = 1 << 20;
    let (server, slot) = Server::new(config).unwrap();
    assert!(slot.fill(editor_on(data).await, &data.join("jobs")).unwrap());
    server.router()
}

async fn detail(router: &Router, image: &str) -> (u16, String) {
    let answer = post_json(router, &at("predict"), &predict(&[task(1, image)])).await;
    (answer.code(), answer.json()["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_from_label_studio_with_the_token_of_setup() {
    let (studio, data) = (studio().await, tempfile::tempdir().unwrap());
    let router = service_with(&studio, None, data.path()).await;
    // Nobody has handed over a token.
    assert_eq!(detail(&router, "/data/upload/3/a.png").await.0, 502);
    let hand_over = |token: &str| {
        let body = json!({"project": PROJECT, "schema": CONFIG, "hostname": "https://studio.example", "access_token": token});
        let router = router.clone();
        async move { assert_eq!(post_json(&router, &at("setup"), &body).await.code(), 200) }
    };
    hand_over("feedfeedfeedfeedfeed").await;
    let (status, why) = detail(&router, "/data/upload/3/a.png").await;
    assert_eq!(status, 502);
    assert!(why.contains("refuses the token") && !why.contains("feed"), "{why}");
    hand_over(LEGACY).await;
    studio.asked();
    for image in [
        "/data/upload/3/a.png",
        "https://studio.example/data/upload/3/a.png",
        &format!("{}/data/upload/3/a.png", studio.url),
    ] {
        assert_eq!(detail(&router, image).await, (200, String::new()), "{image}");
    }
    let asked = studio.asked();
    assert!(
        asked
            .iter()
            .all(|(path, token)| path == "/data/upload/3/a.png" && *token == format!("Token {LEGACY}")),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 3);
    for (image, status, part) in [
        ("/data/upload/3/moved.png", 422, "elsewhere"),
        ("/data/upload/3/huge.png", 413, "larger"),
        ("/data/upload/3/none.png", 422, "no such picture"),
        ("/api/users", 422, "keeps no pictures"),
        ("http://127.0.0.1:9/data/upload/3/a.png", 422, ""),
    ] {
        let (found, why) = detail(&router, image).await;
        assert!(found == status && why.contains(part), "{image}: {found} {why}");
    }
    assert!(
        studio.asked().iter().all(|(path, _)| path.starts_with("/data/upload/")),
        "nothing else is asked for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_personal_access_token_is_exchanged_and_kept_as_long_as_it_lasts() {
    let (studio, data) = (studio().await, tempfile::tempdir().unwrap());
    let personal = jwt(&json!({"token_type": "refresh"}));
    let router = service_with(&studio, Some(personal.clone()), data.path()).await;
    for _ in 0..2 {
        assert_eq!(detail(&router, "/data/upload/3/a.png").await.0, 200);
    }
    let paths: Vec<String> = studio.asked().iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(paths, ["/api/token/refresh/", "/data/upload/3/a.png", "/data/upload/3/a.png"]);
    // Refused before its time: one other is asked for.
    assert_eq!(detail(&router, "/data/upload/3/expired.png").await.0, 200);
    let asked = studio.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[1].0, "/api/token/refresh/");
    assert!(
        asked[0].1.starts_with("Bearer ") && asked[2].1.starts_with("Bearer ") && asked[0].1 != asked[2].1
    );
    assert!(asked.iter().all(|(_, token)| !token.contains(&personal)));
    // The token that setup hands over is of no use and not kept.
    setup(&router, Value::Null).await;
    assert_eq!(detail(&router, "/data/upload/3/a.png").await.0, 200);
    assert!(studio.asked().iter().all(|(_, token)| token.starts_with("Bearer ")));
}
