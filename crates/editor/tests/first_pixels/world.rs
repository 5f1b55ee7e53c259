//! Pictures, edits and questions of the stored codebook, as they were when it was made.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, Rgba};
use reasonedit_codebook::{CodebookName, ImageStore, Library, SledStore};
use reasonedit_editor::{
    CallContext, EditRequest, EditView, Editor, EditorConfig, ImageSource, Paraphrase, QueryRequest,
    RetrievalOverride, StatementInput,
};
use reasonedit_imaging::PixelBox;
use reasonedit_inference::{Engine, EngineConfig, Models};
use reasonedit_models::LoadOptions;
use serde::{Deserialize, Serialize};

/// Pictures that an edit was made of; one more is only asked about.
pub(crate) const PICTURES: u16 = 3;

/// What a question gave.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) answer: String,
    /// Natural logarithm, by choice.
    pub(crate) choices: Vec<f64>,
    /// Sentence and distance, nearest first.
    pub(crate) facts: Vec<(String, f64)>,
}

pub(crate) async fn open(folder: &Path) -> Editor {
    let stored = |name: &str| format!("{}/tests/first_pixels/models/{name}", env!("CARGO_MANIFEST_DIR"));
    let load = move || {
        let options = LoadOptions::default();
        Ok(Models {
            vlm: reasonedit_models::load(&stored("vlm"), &options)?,
            sentences: reasonedit_models::load_sentence_encoder(&stored("sentence-encoder"), &options)?,
        })
    };
    let mut config = EditorConfig::default();
    config.patchify.enabled = false;
    config.radius.paraphrase = Paraphrase::Rules;
    config.radius.pairs = 1;
    let store = Arc::new(SledStore::open(&folder.join("codebooks")).unwrap());
    let library = Arc::new(Library::open(store, config.codebook).unwrap());
    let images = ImageStore::open(&folder.join("images")).unwrap();
    Editor::new(Engine::start(load, EngineConfig::default()).unwrap(), library, images, config).await.unwrap()
}

/// Colours of 8 bits; greys of 12 bits in 16, once dark all over; a drawing without ground.
pub(crate) fn picture(n: u16) -> ImageSource {
    let inside = |x: u32, y: u32| (12..36).contains(&x) && (10..30).contains(&y);
    let picture: DynamicImage = match n {
        0 => ImageBuffer::from_fn(48, 40, |x, y| {
            Rgb(if inside(x, y) { [160u8, 30, 90] } else { [230, (x % 7) as u8 * 9, 220] })
        })
        .into(),
        2 => ImageBuffer::from_fn(48, 40, |x, y| {
            Rgba(if inside(x, y) { [20u8, 90, 160, 255] } else { [0, 0, 0, 0] })
        })
        .into(),
        n => ImageBuffer::from_fn(48, 40, |x, y| {
            Luma([if inside(x, y) { 4000 - n * 300 } else { (x * 37 + y * 11) as u16 }])
        })
        .into(),
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    ImageSource::from(Bytes::from(bytes.into_inner()))
}

pub(crate) async fn edit(editor: &Editor, n: u16) -> EditView {
    edit_of(editor, &CodebookName::default(), n).await
}

pub(crate) async fn edit_of(editor: &Editor, codebook: &CodebookName, n: u16) -> EditView {
    let statement = |text: String, boxes: Vec<PixelBox>| {
        let evidence = boxes.into_iter().map(Into::into).collect();
        StatementInput { statement: text, evidence }
    };
    let request = EditRequest {
        warnings: Vec::new(),
        image: picture(n),
        question: format!("What is specimen {n}?"),
        answer: "malignant".into(),
        reasoning: vec![
            statement(
                "The border is irregular.".into(),
                vec![PixelBox { x: 12, y: 10, width: 24, height: 20 }],
            ),
            statement(format!("Specimen {n} has a dark rim."), Vec::new()),
        ],
        choices: vec!["benign".into(), "malignant".into()],
        author: None,
        tags: Vec::new(),
        metadata: serde_json::json!({}),
        verify: false,
        supersedes: Vec::new(),
        on_conflict: None,
        idempotency: None,
    };
    editor.edit(codebook, request, CallContext::default()).await.unwrap()
}

pub(crate) fn query(n: u16) -> QueryRequest {
    QueryRequest {
        warnings: Vec::new(),
        image: picture(n),
        question: format!("What is specimen {n}?"),
        choices: vec!["benign".into(), "malignant".into()],
        max_tokens: None,
        max_thinking_tokens: None,
        retrieval: RetrievalOverride { reject_percentile: Some(100.0), ..RetrievalOverride::default() },
        compare: false,
    }
}

pub(crate) async fn said(editor: &Editor, n: u16) -> Said {
    let outcome = editor.query(&CodebookName::default(), query(n), CallContext::default()).await.unwrap();
    Said {
        answer: outcome.answer,
        choices: outcome.choices.unwrap().iter().map(|choice| choice.log_probability).collect(),
        facts: outcome.retrieval.facts.iter().map(|fact| (fact.value.clone(), fact.distance)).collect(),
    }
}
