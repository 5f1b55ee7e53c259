//! The service as it is served, without a network.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use reasonedit_codebook::{ImageStore, Library, MemoryStore};
use reasonedit_editor::{Editor, EditorConfig};
use reasonedit_inference::{Engine, EngineConfig, Models};
use reasonedit_models::LoadOptions;
use reasonedit_server::{EditorSlot, Server, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::scratch;

/// Bytes that an answer may have, beside what it repeats of the request.
const LONGEST: usize = 256 << 10;

/// What all requests run on.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    threads.expect("a runtime")
});

/// A service on folders of its own.
pub(crate) struct Service {
    server: Server,
    slot: EditorSlot,
    data: TempDir,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Service {
    /// One that waits for its model, which takes up what comes until then.
    pub(crate) fn without_model(config: ServerConfig) -> Self {
        let _within = RUNTIME.enter();
        let (server, slot) = Server::new(config).expect("a usable configuration");
        slot.open(&library(&EditorConfig::default())).expect("a library in memory");
        Self { server, slot, data: scratch::folder() }
    }

    /// One that answers by the tiny checkpoints of the models' tests.
    pub(crate) fn with_model(config: ServerConfig) -> Self {
        let service = Self::without_model(config);
        let mut editor = EditorConfig::default();
        (editor.answer.max_tokens, editor.answer.max_tokens_limit) = (3, 6);
        editor.limits.question_chars = 2000;
        editor.image.max_pixels = 40_000;
        let images = ImageStore::open(&service.data.path().join("images")).expect("a folder for pictures");
        let library = library(&editor);
        RUNTIME.block_on(async {
            let engine = Engine::start(models, EngineConfig::default()).expect("an engine");
            let editor = Editor::new(engine, library, images, editor).await.expect("an editor");
            service.slot.fill(editor, &service.data.path().join("jobs")).expect("jobs");
        });
        service
    }

    /// Answers a request.
    ///
    /// # Panics
    /// It fails with a fault of the service's own, or says more than it may.
    pub(crate) fn send(&self, request: Request<Full<Bytes>>, length: usize) -> Answer {
        let what = format!("{} {}", request.method(), request.uri());
        let (status, body) = RUNTIME.block_on(async {
            let response = self.server.router().oneshot(request).await.expect("the router never fails");
            let status = response.status();
            (status, response.into_body().collect().await)
        });
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{what}");
        assert!(body.len() <= LONGEST + 16 * length, "{what}: {} bytes of an answer", body.len());
        Answer { status, body }
    }

    /// Posts JSON.
    pub(crate) fn post(&self, path: &str, body: Vec<u8>) -> Answer {
        let length = body.len();
        let request = Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        self.send(request, length)
    }
}

impl Answer {
    /// The answer as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

fn library(config: &EditorConfig) -> Arc<Library> {
    Arc::new(Library::open(Arc::new(MemoryStore::new()), config.codebook).expect("an empty library"))
}

fn models() -> Result<Models, reasonedit_inference::EngineError> {
    let options = LoadOptions::default();
    let folder =
        |name: &str| scratch::of_workspace("crates/models/tests/goldens").join(name).display().to_string();
    Ok(Models {
        vlm: reasonedit_models::load(&folder("qwen3_vl-1"), &options)?,
        sentences: reasonedit_models::load_sentence_encoder(&folder("mpnet-1"), &options)?,
    })
}

/// A picture of a few pixels, as base64.
pub(crate) fn picture() -> String {
    use base64::Engine as _;
    let path = Path::new("crates/imaging/tests/goldens/alpha.png");
    let bytes =
        std::fs::read(scratch::of_workspace(&path.display().to_string())).expect("a picture of the tests");
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// An edit as a client sends it.
pub(crate) fn edit() -> Value {
    json!({
        "image": {"data": picture()}, "question": "What is in the corner?", "answer": "square", "verify": false,
        "reasoning": [{"statement": "The corner has a square.", "evidence": [{"x": 1, "y": 2, "width": 3, "height": 3}]}],
    })
}
