//! A service with a real editor on tiny checkpoints, on folders of its own.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use reasonedit_access::TokenStore;
use reasonedit_audit::{AuditConfig, AuditTrail};
use reasonedit_backup::BackupService;
use reasonedit_codebook::{ImageStore, Library, SledStore};
use reasonedit_editor::{Editor, EditorConfig, ImageSource, SampleSet};
use reasonedit_imaging::{RgbImage, encode_png};
use reasonedit_inference::{Engine, EngineConfig, EngineError, Models};
use reasonedit_keyring::Keyring;
use reasonedit_models::LoadOptions;
use reasonedit_server::{Server, ServerConfig, Sources};
use tempfile::TempDir;

/// A folder with a tiny checkpoint: random weights, but everything else as in a real one.
pub(crate) fn checkpoint(name: &str) -> String {
    format!("{}/../models/tests/goldens/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A service, and the folder of its data.
pub(crate) struct Service {
    pub(crate) router: Router,
    pub(crate) editor: Editor,
    data: TempDir,
}

impl Service {
    /// The folder of its data.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }
}

/// Starts a service with its own engine and store.
pub(crate) async fn service(change: impl FnOnce(&mut ServerConfig)) -> Service {
    let data = tempfile::tempdir().expect("a folder");
    let mut config = ServerConfig::default();
    change(&mut config);
    let (server, editor) = server_on(data.path(), config).await;
    Service { router: server.router(), editor, data }
}

/// The same with tokens that were given to people.
pub(crate) async fn service_guarded(tokens: &Arc<TokenStore>) -> Service {
    let data = tempfile::tempdir().expect("a folder");
    let editor = editor_on(data.path()).await;
    let server = Server::guarded(ServerConfig::default(), Arc::clone(tokens));
    let (server, slot) = server.expect("a usable configuration");
    slot.offer(sources());
    assert!(slot.fill(editor.clone(), &data.path().join("jobs")).expect("jobs"));
    Service { router: server.router(), editor, data }
}

/// The same with an audit trail in its folder.
pub(crate) async fn service_audited(
    tokens: &Arc<TokenStore>,
    config: ServerConfig,
    audit: &AuditConfig,
) -> (Service, AuditTrail) {
    let data = tempfile::tempdir().expect("a folder");
    let editor = editor_on(data.path()).await;
    let (server, slot) = Server::guarded(config, Arc::clone(tokens)).expect("a usable configuration");
    let trail = AuditTrail::open(&data.path().join("audit"), audit).expect("a trail");
    slot.audit(trail.clone());
    slot.offer(sources());
    assert!(slot.fill(editor.clone(), &data.path().join("jobs")).expect("jobs"));
    (Service { router: server.router(), editor, data }, trail)
}

/// A server on a folder that may have been in use before.
pub(crate) async fn server_on(data: &Path, config: ServerConfig) -> (Server, Editor) {
    server_of(editor_on(data).await, data, config)
}

/// A server of an editor.
pub(crate) fn server_of(editor: Editor, data: &Path, config: ServerConfig) -> (Server, Editor) {
    let (server, slot) = Server::new(config).expect("a usable configuration");
    slot.offer(sources());
    assert!(slot.fill(editor.clone(), &data.join("jobs")).expect("jobs"));
    (server, editor)
}

/// The same, with a folder for backups within that of its data.
pub(crate) async fn server_backed_up(data: &Path, config: ServerConfig) -> (Server, Editor) {
    let editor = editor_on(data).await;
    let (server, slot) = Server::new(config).expect("a usable configuration");
    slot.offer(sources());
    let keys = editor.library().keys().expect("keys");
    slot.back_up(BackupService {
        folder: data.join("backups"),
        keep: 0,
        images: ImageStore::open_with(&data.join("images"), keys).expect("a folder for pictures"),
        files: Vec::new(),
        known: data.join("backups.json"),
    });
    assert!(slot.fill(editor.clone(), &data.join("jobs")).expect("jobs"));
    (server, editor)
}

/// A set that layers can be measured on.
pub(crate) fn sources() -> Sources {
    Sources::default().with("squares", |count, seed| {
        let mut samples = SampleSet::new("squares");
        for at in 0..count {
            let shade = (at * 23 % 200) as u8;
            let image = ImageSource::from(bytes::Bytes::from(picture([shade, seed as u8, 255 - shade])));
            samples.add(image, [format!("Square {at} is in the corner.")]);
        }
        Ok(samples)
    })
}

/// Starts a service with these models.
pub(crate) async fn service_with(
    load: impl FnOnce() -> Result<Models, EngineError> + Send + 'static,
) -> Service {
    let data = tempfile::tempdir().expect("a folder");
    let editor = editor_of(data.path(), EditorConfig::default(), load).await;
    let (server, slot) = Server::new(ServerConfig::default()).expect("a usable configuration");
    assert!(slot.fill(editor.clone(), &data.path().join("jobs")).expect("jobs"));
    Service { router: server.router(), editor, data }
}

pub(crate) async fn editor_on(data: &Path) -> Editor {
    editor_with(data, EditorConfig::default()).await
}

/// As [`editor_on`], with settings of its own.
pub(crate) async fn editor_with(data: &Path, config: EditorConfig) -> Editor {
    editor_of(data, config, || {
        let options = LoadOptions::default();
        Ok(Models {
            vlm: reasonedit_models::load(&checkpoint("qwen3_vl-1"), &options)?,
            sentences: reasonedit_models::load_sentence_encoder(&checkpoint("mpnet-1"), &options)?,
        })
    })
    .await
}

async fn editor_of(
    data: &Path,
    config: EditorConfig,
    load: impl FnOnce() -> Result<Models, EngineError> + Send + 'static,
) -> Editor {
    let (store, images) = stores(data);
    let library = Arc::new(Library::open(store, config.codebook).expect("a library"));
    let engine = Engine::start(load, EngineConfig::default()).expect("an engine");
    Editor::new(engine, library, images, config).await.expect("an editor")
}

/// The stores of a data folder, sealed as those of a service are.
pub(crate) fn stores(data: &Path) -> (Arc<SledStore>, ImageStore) {
    std::fs::create_dir_all(data).expect("a folder");
    let keys = Keyring::open(&data.join("keys"), None).expect("keys");
    let store = SledStore::open_with(&data.join("codebook"), Arc::clone(&keys)).expect("a store");
    let images = ImageStore::open_with(&data.join("images"), keys).expect("a folder for pictures");
    (Arc::new(store), images)
}

/// A picture of one colour with a square of another in a corner, as PNG.
pub(crate) fn picture(colour: [u8; 3]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(96 * 80 * 3);
    for y in 0..80 {
        for x in 0..96 {
            let inside = (10..40).contains(&x) && (12..42).contains(&y);
            pixels.extend_from_slice(if inside { &colour } else { &[230, 228, 220] });
        }
    }
    let image = RgbImage::from_raw(96, 80, pixels).expect("as many bytes as pixels");
    encode_png(&image).expect("a PNG")
}
