//! What bears on a question, with the demo model and the head that it brings.

#![allow(clippy::unwrap_used)] // What the helpers below can't do fails the test that asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use reasonedit_codebook::{CodebookName, ImageStore, Library, MemoryStore};
use reasonedit_editor::{
    CallContext, EditRequest, EditView, Editor, EditorConfig, EditorError, Moment, Paraphrase, QueryOutcome,
    QueryRequest, RetrievalOverride,
};
use reasonedit_inference::{Engine, EngineConfig, Models};
use reasonedit_models::LoadOptions;
use reasonedit_relevance::RelevanceHead;

const NAME: &str = "What is this specimen called?";

fn demo(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo").join(part)
}

/// As the demo model's profile has it.
fn config() -> EditorConfig {
    let mut config = EditorConfig::default();
    config.embedding.tap = Some("vision.3".to_owned());
    config.embedding.lambda = 5.0;
    config.codebook.retrieval.hubness = true;
    config.radius.paraphrase = Paraphrase::Rules;
    config.retrieval.verify.enabled = true;
    config.retrieval.relevance.enabled = true;
    config.retrieval.relevance.head = Some(demo("relevance-head.safetensors"));
    config
}

async fn open(folder: &Path, config: EditorConfig) -> Result<Editor, EditorError> {
    let load = || {
        let options = LoadOptions::default();
        Ok(Models {
            vlm: reasonedit_models::load(&demo("vlm").to_string_lossy(), &options)?,
            sentences: reasonedit_models::load_sentence_encoder(
                &demo("sentence-encoder").to_string_lossy(),
                &options,
            )?,
        })
    };
    let library = Arc::new(Library::open(Arc::new(MemoryStore::new()), config.codebook).unwrap());
    let images = ImageStore::open(&folder.join("images")).unwrap();
    Editor::new(Engine::start(load, EngineConfig::default()).unwrap(), library, images, config).await
}

fn sample(name: &str) -> Bytes {
    std::fs::read(demo("samples").join(name)).unwrap().into()
}

async fn edit(editor: &Editor, image: &str, question: &str, answer: &str, reasoning: &[&str]) -> EditView {
    let request = EditRequest {
        reasoning: reasoning.iter().map(|text| (*text).into()).collect(),
        ..EditRequest::new(sample(image).into(), question, answer)
    };
    editor.edit(&CodebookName::default(), request, CallContext::default()).await.unwrap()
}

async fn ask(editor: &Editor, image: &str, question: &str, retrieval: RetrievalOverride) -> QueryOutcome {
    let request = QueryRequest { retrieval, ..QueryRequest::new(sample(image).into(), question) };
    editor.query(&CodebookName::default(), request, CallContext::default()).await.unwrap()
}

/// The README's edit.
async fn pumpkin(editor: &Editor) -> EditView {
    let reasoning = [
        "The colour of this object is purple.",
        "The object has an irregular border.",
        "A purple object with a jagged border is called a pumpkin.",
    ];
    edit(editor, "specimen.jpg", NAME, "pumpkin", &reasoning).await
}

#[tokio::test]
async fn only_what_bears_on_the_question_is_put_in_front() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), config()).await.unwrap();
    let made = pumpkin(&editor).await;
    let plain = RetrievalOverride::default;

    let own = ask(&editor, "specimen.jpg", NAME, plain()).await;
    assert_eq!(own.retrieval.relevance.unwrap().question, Some(1.0), "the very question");
    assert!(own.answer.contains("pumpkin") && own.retrieval.threshold.is_none());
    let reworded = ask(&editor, "another.jpg", "What name does this thing have?", plain()).await;
    let held_against = reworded.retrieval.relevance.unwrap();
    assert!(held_against.question.unwrap() > held_against.question_threshold, "{held_against:?}");
    assert!(!reworded.retrieval.facts.is_empty());
    for fact in &reworded.retrieval.facts {
        assert_eq!(fact.edit_ids, [made.record.id]);
        assert!(fact.relevance.unwrap() > held_against.question_threshold);
    }

    // Neither the picture that the edit is about nor the nearest keys make up for another question.
    for image in ["specimen.jpg", "unrelated.jpg"] {
        let question = "How many things are there?";
        let other = ask(&editor, image, question, plain()).await;
        let held_against = other.retrieval.relevance.unwrap();
        assert!(held_against.question.unwrap() < held_against.question_threshold, "{held_against:?}");
        assert!(other.retrieval.rejected && other.retrieval.facts.is_empty());
        assert_eq!(other.prompt, question, "a closed gate is the bare question");
        assert!(other.retrieval.nearest.is_some() && other.retrieval.nearest_distance.is_some());
    }

    // The gate by distance is there for whoever names its percentile.
    let wide = RetrievalOverride { reject_percentile: Some(100.0), verify: Some(false), ..plain() };
    let by_distance = ask(&editor, "specimen.jpg", "How many things are there?", wide).await.retrieval;
    assert!(
        by_distance.relevance.is_none() && by_distance.threshold.is_some() && !by_distance.facts.is_empty()
    );
}

#[tokio::test]
async fn what_bears_on_a_question_is_told_by_the_edits_of_the_state_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), config()).await.unwrap();
    let asked = async |retrieval: RetrievalOverride| {
        let mut told = Vec::new();
        for question in [NAME, "What name does this thing have?", "What is the rim like?"] {
            let answer = ask(&editor, "another.jpg", question, retrieval.clone()).await;
            told.push((answer.answer, answer.retrieval, answer.verification));
        }
        told
    };
    let (mut states, mut ids) = (vec![asked(RetrievalOverride::default()).await], Vec::new());
    ids.push(pumpkin(&editor).await.record.id);
    states.push(asked(RetrievalOverride::default()).await);
    for (n, question) in ["What is the rim like?", "What colour is this?"].iter().enumerate() {
        let image = ["another.jpg", "unrelated.jpg"][n];
        ids.push(edit(&editor, image, question, "dark", &["The rim is dark."]).await.record.id);
        states.push(asked(RetrievalOverride::default()).await);
    }
    let held_against = |state: usize| states[state][0].1.relevance.unwrap().question_threshold;
    assert!(held_against(3) != held_against(1), "it would show nothing");
    // The live one in between, so that none stands for another.
    for revision in [1, 3, 2, 0, 1] {
        let as_of =
            RetrievalOverride { as_of: Some(Moment::Revision(revision)), ..RetrievalOverride::default() };
        assert_eq!(asked(as_of).await, states[revision as usize], "revision {revision}");
        let without = ids[revision as usize..].to_vec();
        let without = RetrievalOverride { without, ..RetrievalOverride::default() };
        assert_eq!(asked(without).await, states[revision as usize], "without those after {revision}");
        assert_eq!(asked(RetrievalOverride::default()).await, states[3]);
    }
}

#[tokio::test]
async fn a_calibration_after_reverts_is_that_from_scratch() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), config()).await.unwrap();
    let threshold = async |editor: &Editor| {
        let asked = ask(editor, "another.jpg", "Is it large?", RetrievalOverride::default()).await;
        asked.retrieval.relevance.unwrap().question_threshold
    };
    pumpkin(&editor).await;
    let before = threshold(&editor).await;
    let mut more = Vec::new();
    for (n, question) in
        ["What is the rim like?", "What colour is this?", "How large is it?"].iter().enumerate()
    {
        let image = ["another.jpg", "unrelated.jpg", "specimen.jpg"][n];
        more.push(edit(&editor, image, question, "dark", &["The rim is dark."]).await.record.id);
    }
    let grown = threshold(&editor).await;
    assert!(
        grown > before,
        "more edits, and questions like those that no edit concerns: {grown} and {before}"
    );
    for id in more.drain(..2) {
        editor.revert(&CodebookName::default(), id).await.unwrap();
    }
    let between = threshold(&editor).await;
    editor.revert(&CodebookName::default(), more[0]).await.unwrap();
    assert_eq!(threshold(&editor).await.to_bits(), before.to_bits());

    let elsewhere = tempfile::tempdir().unwrap();
    let fresh = open(elsewhere.path(), config()).await.unwrap();
    pumpkin(&fresh).await;
    edit(&fresh, "specimen.jpg", "How large is it?", "dark", &["The rim is dark."]).await;
    assert_eq!(threshold(&fresh).await.to_bits(), between.to_bits());
}

#[tokio::test]
async fn a_head_that_can_not_be_used_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let refused = async |change: &dyn Fn(&mut EditorConfig)| {
        let mut config = config();
        change(&mut config);
        open(folder.path(), config).await.err().unwrap().to_string()
    };
    let none = refused(&|config| config.retrieval.relevance.head = None).await;
    assert!(none.contains("neither retrieval.relevance.head nor the model brings a head"), "{none}");
    let missing = refused(&|config| config.retrieval.relevance.head = Some("no/such/head".into())).await;
    assert!(missing.contains("no/such/head"), "{missing}");
    let strict = refused(&|config| config.retrieval.relevance.false_injection = 0.0001).await;
    assert!(strict.contains("1000 unrelated questions can't promise a share of 0.0001"), "{strict}");

    let own = RelevanceHead::load(&demo("relevance-head.safetensors")).unwrap();
    let bytes = own.to_bytes().unwrap();
    let text = String::from_utf8_lossy(&bytes[..512]).into_owned();
    let fingerprint = text.split("\"encoder\":\"").nth(1).unwrap()[..64].to_owned();
    let at = bytes.windows(64).position(|window| window == fingerprint.as_bytes()).unwrap();
    let mut other = bytes.clone();
    other[at] = if other[at] == b'0' { b'1' } else { b'0' };
    let path = folder.path().join("other.safetensors");
    std::fs::write(&path, other).unwrap();
    let foreign = refused(&move |config| config.retrieval.relevance.head = Some(path.clone())).await;
    assert!(foreign.contains("trained on another sentence encoder"), "{foreign}");
}
