//! Codebooks whose keys were made by another model, adapter or embedding than those that are loaded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_editor::EditorConfig;
use reasonedit_server::ServerConfig;
use serde_json::json;

use crate::common::{get, post_json};
use crate::model::{editor_with, picture, server_of, server_on};

#[tokio::test(flavor = "multi_thread")]
async fn a_codebook_of_another_embedding_is_told_with_its_remedy() {
    const REMEDY: &str = "--set editor.embedding.on_mismatch=reembed";
    let folder = tempfile::tempdir().unwrap();
    let image = json!({"data": STANDARD.encode(picture([200, 40, 40]))});
    let edit = json!({
        "image": image, "question": "What is in the corner?", "answer": "a square",
        "reasoning": ["The corner has a square."],
    });
    let query = json!({"image": image, "question": "What is in the corner?"});
    {
        let (server, editor) = server_on(folder.path(), ServerConfig::default()).await;
        assert_eq!(post_json(&server.router(), "/edits?codebook=ward-3", &edit).await.code(), 201);
        assert!(get(&server.router(), "/health/ready").await.json().get("unusable").is_none());
        drop(server);
        editor.shutdown().await;
    }
    let mut config = EditorConfig::default();
    config.embedding.lambda = 2.0;
    let editor = editor_with(folder.path(), config.clone()).await;
    let (server, editor) = server_of(editor, folder.path(), ServerConfig::default());
    let router = server.router();
    for (uri, body) in [("/edits?codebook=ward-3", &edit), ("/query?codebook=ward-3", &query)] {
        let refused = post_json(&router, uri, body).await;
        let detail = refused.problem(409).json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("λ 30") && detail.contains("λ 2") && detail.contains(REMEDY), "{detail}");
    }
    // Other codebooks are served, so that the service is ready; anyone may ask, so that no name is told.
    let ready = get(&router, "/health/ready").await;
    assert_eq!((ready.code(), &ready.json()["unusable"]["codebooks"]), (200, &json!(1)));
    assert!(ready.text().contains(REMEDY) && !ready.text().contains("ward-3"), "{}", ready.text());
    assert_eq!(post_json(&router, "/edits", &edit).await.code(), 201);
    drop((server, router));
    editor.shutdown().await;
    drop(editor);

    config.embedding.on_mismatch = reasonedit_editor::OnMismatch::Reembed;
    let editor = editor_with(folder.path(), config).await;
    let (server, editor) = server_of(editor, folder.path(), ServerConfig::default());
    assert!(get(&server.router(), "/health/ready").await.json().get("unusable").is_none());
    assert_eq!(post_json(&server.router(), "/query?codebook=ward-3", &query).await.code(), 200);
    editor.shutdown().await;
}
