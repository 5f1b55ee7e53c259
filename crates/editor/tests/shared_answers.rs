//! What several edits say, judged by the demo model on a picture of none of them.

#![allow(clippy::unwrap_used)] // What the helpers below can't do fails the test that asked.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use reasonedit_codebook::{CodebookName, EditId, ImageStore, Library, MemoryStore};
use reasonedit_editor::{
    CallContext, EditRequest, Editor, EditorConfig, ImageSource, Paraphrase, QueryOutcome, QueryRequest,
    RetrievalOverride,
};
use reasonedit_imaging::encode_png;
use reasonedit_inference::{Engine, EngineConfig, Models};
use reasonedit_models::LoadOptions;

const QUESTION: &str = "What is this specimen called?";

fn demo(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/../../models/demo/{name}", env!("CARGO_MANIFEST_DIR")))
}

fn sample(name: &str) -> ImageSource {
    ImageSource::from(Bytes::from(std::fs::read(demo("samples").join(name)).unwrap()))
}

/// The purple object of this sample in green: what is near to it and of which other things are true.
fn in_green(name: &str) -> ImageSource {
    let mut picture = image::open(demo("samples").join(name)).unwrap().to_rgb8();
    for pixel in picture.pixels_mut() {
        let [red, green, blue] = pixel.0;
        *pixel = image::Rgb([green.min(red), blue, green.min(red)]);
    }
    ImageSource::from(Bytes::from(encode_png(&picture).unwrap()))
}

async fn open(folder: &std::path::Path) -> Editor {
    let mut config = EditorConfig::default();
    // As the demo model's profile has them; keys that many edits share are no matter here.
    config.embedding.tap = Some("vision.3".to_owned());
    config.embedding.lambda = 5.0;
    config.retrieval.verify.enabled = true;
    config.radius.paraphrase = Paraphrase::Rules;
    config.codebook.merge.enabled = false;
    config.codebook.retrieval.gate = false;
    let load = || {
        let options = LoadOptions::default();
        let path = |name: &str| demo(name).to_string_lossy().into_owned();
        Ok(Models {
            vlm: reasonedit_models::load(&path("vlm"), &options)?,
            sentences: reasonedit_models::load_sentence_encoder(&path("sentence-encoder"), &options)?,
        })
    };
    let engine = Engine::start(load, EngineConfig::default()).unwrap();
    let library = Library::open(Arc::new(MemoryStore::new()), config.codebook).unwrap();
    Editor::new(engine, Arc::new(library), ImageStore::open(folder).unwrap(), config).await.unwrap()
}

async fn edit(editor: &Editor, picture: ImageSource, reasoning: &[&str]) -> EditId {
    let request = EditRequest {
        reasoning: reasoning.iter().map(|text| (*text).into()).collect(),
        ..EditRequest::new(picture, QUESTION, "pumpkin")
    };
    let made = editor.edit(&CodebookName::default(), request, CallContext::default()).await.unwrap();
    for statement in &made.record.reasoning {
        assert!(statement.p_yes.unwrap() > 0.5, "{statement:?} can't be judged");
    }
    made.record.id
}

async fn ask(editor: &Editor, verify: bool) -> QueryOutcome {
    let query = QueryRequest {
        retrieval: RetrievalOverride { verify: Some(verify), ..RetrievalOverride::default() },
        choices: vec!["pumpkin".into(), "square".into()],
        ..QueryRequest::new(sample("another.jpg"), QUESTION)
    };
    editor.query(&CodebookName::default(), query, CallContext::default()).await.unwrap()
}

#[tokio::test]
async fn an_edit_whose_reasons_do_not_hold_has_no_say_in_what_a_farther_one_says_too() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path()).await;
    let purple = ["The colour of this object is purple.", "The object has an irregular border."];
    let far = edit(&editor, sample("specimen.jpg"), &purple).await;
    let near = edit(&editor, in_green("another.jpg"), &["The colour of this object is green."]).await;

    let shared = "The answer to 'What is this specimen called?' about the image is pumpkin.";
    let plain = ask(&editor, false).await;
    let nearest = plain.retrieval.facts.iter().find(|fact| fact.value == shared).unwrap();
    assert_eq!(nearest.edit_ids, [near], "the green one is nearer");

    let both = ask(&editor, true).await;
    let fact = both.retrieval.facts.iter().find(|fact| fact.value == shared).unwrap();
    assert_eq!(fact.edit_ids, [far], "it rests on the reasons of the purple one alone");
    assert!(both.retrieval.facts.iter().all(|fact| !fact.edit_ids.contains(&near)));
    assert_eq!(both.answer, "pumpkin");

    editor.revert(&CodebookName::default(), near).await.unwrap();
    let alone = ask(&editor, true).await;
    assert_eq!((alone.prompt, alone.answer), (both.prompt, both.answer));
    editor.shutdown().await;
}
