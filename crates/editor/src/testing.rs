//! An editor on tiny checkpoints (random weights: what is said is noise, what is stored is not), for the
//! tests of this crate.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use reasonedit_codebook::{
    Codebook, CodebookName, Generation, ImageStore, Library, MemoryStore, SledStore, Snapshot,
};
use reasonedit_imaging::{PixelBox, RgbImage, encode_png};
use reasonedit_inference::{CallOptions, Engine, EngineConfig, EngineHandle, Models, Pooling};
use reasonedit_models::LoadOptions;

use crate::editor::Editor;
use crate::entries::EntryMaker;
use crate::types::{CallContext, EditRequest, EditView, EmbeddingChoice, ImageSource, StatementInput};
use crate::{EditorConfig, EditorError, Paraphrase};

/// An engine with this sentence encoder among the golden checkpoints.
pub(crate) fn engine(encoder: &str) -> EngineHandle {
    engine_of("qwen3_vl-1", encoder)
}

/// An engine with this model and this sentence encoder among the golden checkpoints.
pub(crate) fn engine_of(model: &str, encoder: &str) -> EngineHandle {
    let golden = |name: &str| format!("{}/../models/tests/goldens/{name}", env!("CARGO_MANIFEST_DIR"));
    let (model, encoder) = (golden(model), golden(encoder));
    let load = move || {
        let options = LoadOptions::default();
        Ok(Models {
            vlm: reasonedit_models::load(&model, &options)?,
            sentences: reasonedit_models::load_sentence_encoder(&encoder, &options)?,
        })
    };
    Engine::start(load, EngineConfig::default()).unwrap()
}

/// As little as an edit can cost.
pub(crate) fn config() -> EditorConfig {
    let mut config = EditorConfig::default();
    config.patchify.enabled = false;
    config.radius.paraphrase = Paraphrase::Rules;
    config.radius.pairs = 1;
    config
}

/// An editor on a folder.
pub(crate) async fn open(
    folder: &Path,
    engine: &EngineHandle,
    config: EditorConfig,
) -> Result<Editor, EditorError> {
    let store = Arc::new(SledStore::open(&folder.join("codebooks"))?);
    let library = Arc::new(Library::open(store, config.codebook)?);
    let images = ImageStore::open(&folder.join("images"))?;
    Editor::new(engine.clone(), library, images, config).await
}

pub(crate) fn picture(seed: u64) -> ImageSource {
    let (a, b) = ((seed % 251) as u8, (seed / 7 % 251) as u8);
    let image = RgbImage::from_fn(48, 40, |x, y| {
        let inside = (12..30).contains(&x) && (8..28).contains(&y);
        image::Rgb(if inside { [a, b, 255 - a] } else { [230, (x % 7) as u8 * 9, 220] })
    });
    ImageSource::from(Bytes::from(encode_png(&image).unwrap()))
}

pub(crate) fn request(seed: u64) -> EditRequest {
    let statement = |text: &str, evidence: Vec<PixelBox>| StatementInput {
        statement: text.into(),
        evidence: evidence.into_iter().map(Into::into).collect(),
    };
    EditRequest {
        warnings: Vec::new(),
        image: picture(seed),
        question: format!("What is specimen {seed}?"),
        answer: "malignant".into(),
        reasoning: vec![
            statement("The border is irregular.", vec![PixelBox { x: 12, y: 8, width: 18, height: 20 }]),
            statement(&format!("Specimen {seed} has a dark rim."), Vec::new()),
        ],
        choices: Vec::new(),
        author: None,
        tags: Vec::new(),
        metadata: serde_json::json!({ "seed": seed }),
        verify: false,
        supersedes: Vec::new(),
        on_conflict: None,
        idempotency: None,
    }
}

pub(crate) async fn edit(editor: &Editor, seed: u64) -> EditView {
    editor.edit(&CodebookName::default(), request(seed), CallContext::default()).await.unwrap()
}

pub(crate) fn choice(tap: &str, pooling: Pooling, lambda: f64) -> EmbeddingChoice {
    EmbeddingChoice { tap: tap.to_owned(), pooling, lambda }
}

pub(crate) fn book(editor: &Editor) -> Arc<Codebook> {
    editor.library().get(&CodebookName::default()).unwrap()
}

/// The default codebook as it would be had its live edits been made under its live embedding from the start.
pub(crate) async fn made_from_scratch(editor: &Editor) -> Arc<Snapshot> {
    let live = book(editor).snapshot();
    let embedder = editor.core.embedder_for(&live).unwrap();
    let fresh =
        Codebook::open(Arc::new(MemoryStore::new()), CodebookName::default(), Arc::default()).unwrap();
    let generation = Generation { embedding: embedder.embedding.clone(), chosen: live.chosen() };
    let maker = EntryMaker { core: &editor.core, embedder: &embedder, options: CallOptions::default() };
    for record in live.edits() {
        let picture = editor
            .core
            .pictures()
            .resolve(&ImageSource::Known(record.image.id), embedder.pixels())
            .await
            .unwrap();
        let mut record = record.as_ref().clone();
        record.embedding = generation.embedding.id;
        let (members, _) = maker.members(&record, &picture).await.unwrap();
        fresh.apply(record, members, &generation).unwrap();
    }
    fresh.snapshot()
}

/// Asserts that the default codebook is that one to the last bit, in memory and in the store, and answers
/// alike.
pub(crate) async fn assert_made_anew(editor: &Editor) {
    let book = book(editor);
    let report = book.verify().unwrap();
    assert!(report.ok(), "{report:?}");
    let (live, scratch) = (book.snapshot(), made_from_scratch(editor).await);
    assert_eq!(live.canonical(), scratch.canonical());
    assert!(live.members().eq(scratch.members()));
    for member in live.members().take(4) {
        let params = editor.config().codebook.retrieval;
        let (here, there) = (live.retrieve(&member.key, &params), scratch.retrieve(&member.key, &params));
        assert_eq!(here.unwrap(), there.unwrap());
    }
}
