//! Edits and queries through a real engine on tiny checkpoints (random weights: what is said is noise, what
//! is stored is not).

#![allow(clippy::unwrap_used)] // What the helpers below can't do fails the test that asked.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use reasonedit_codebook::{CodebookError, CodebookName, EditId, Fact, ImageStore, Library, SledStore};
use reasonedit_editor::{
    CallContext, EditRequest, EditView, Editor, EditorConfig, EditorError, IdempotencyKey, ImageSource,
    ImportOptions, OnMismatch, Pair, Paraphrase, QueryEvent, QueryRequest, RetrievalOverride, StatementInput,
    WithheldReason,
};
use reasonedit_imaging::{PixelBox, RgbImage, encode_png};
use reasonedit_inference::{CallOptions, Engine, EngineConfig, EngineError, EngineHandle, Models};
use reasonedit_models::LoadOptions;

fn engine() -> EngineHandle {
    let golden = |name: &str| format!("{}/../models/tests/goldens/{name}", env!("CARGO_MANIFEST_DIR"));
    let load = move || {
        let options = LoadOptions::default();
        Ok(Models {
            vlm: reasonedit_models::load(&golden("qwen3_vl-1"), &options)?,
            sentences: reasonedit_models::load_sentence_encoder(&golden("mpnet-1"), &options)?,
        })
    };
    Engine::start(load, EngineConfig::default()).unwrap()
}

async fn open(folder: &Path, change: impl FnOnce(&mut EditorConfig)) -> Editor {
    let mut config = EditorConfig::default();
    config.radius.paraphrase = Paraphrase::Rules;
    change(&mut config);
    let store = Arc::new(SledStore::open(&folder.join("codebooks")).unwrap());
    let library = Arc::new(Library::open(store, config.codebook).unwrap());
    let images = ImageStore::open(&folder.join("images")).unwrap();
    Editor::new(engine(), library, images, config).await.unwrap()
}

fn picture(seed: u8) -> ImageSource {
    let image = RgbImage::from_fn(90, 72, |x, y| {
        let inside = (20..60).contains(&x) && (16..50).contains(&y);
        image::Rgb(if inside { [seed, 90, 255 - seed] } else { [230, (x % 7) as u8 * 9, 220] })
    });
    ImageSource::from(Bytes::from(encode_png(&image).unwrap()))
}

fn request(seed: u8) -> EditRequest {
    let statement = |text: &str, boxes: &[PixelBox]| StatementInput {
        statement: text.into(),
        evidence: boxes.iter().map(|&b| b.into()).collect(),
    };
    EditRequest {
        warnings: Vec::new(),
        image: picture(seed),
        question: format!("What is specimen {seed}?"),
        answer: "malignant".into(),
        reasoning: vec![
            statement("The border is irregular.", &[PixelBox { x: 20, y: 16, width: 40, height: 34 }]),
            statement(&format!("Specimen {seed} has a dark rim."), &[]),
        ],
        choices: vec!["benign".into(), "malignant".into()],
        author: Some("dermatology-2".into()),
        tags: vec!["dermoscopy".into()],
        metadata: serde_json::json!({"case": seed}),
        verify: false,
        supersedes: Vec::new(),
        on_conflict: None,
        idempotency: None,
    }
}

async fn edit(editor: &Editor, seed: u8) -> EditView {
    editor.edit(&CodebookName::default(), request(seed), CallContext::default()).await.unwrap()
}

fn canonical(editor: &Editor) -> Vec<u8> {
    editor.library().get(&CodebookName::default()).unwrap().snapshot().canonical()
}

fn query(seed: u8) -> QueryRequest {
    QueryRequest {
        warnings: Vec::new(),
        image: picture(seed),
        question: format!("What is specimen {seed}?"),
        choices: vec!["benign".into(), "malignant".into()],
        max_tokens: None,
        max_thinking_tokens: None,
        retrieval: RetrievalOverride::default(),
        compare: true,
    }
}

#[tokio::test]
async fn an_edit_is_found_and_its_revert_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), |_| {}).await;
    edit(&editor, 10).await;
    let without = canonical(&editor);

    let made = edit(&editor, 200).await;
    // An answer entry, and each statement on the whole picture and on each of its patches.
    let patches: usize = made.record.reasoning.iter().map(|s| s.evidence.len()).sum();
    assert_eq!(made.entries.len(), 1 + 2 + patches);
    assert_eq!(made.entries[0].value, "The answer to 'What is specimen 200?' about the image is malignant.");
    assert!(made.entries.iter().all(|e| e.radius > 0.0), "augmented pairs lie apart from their key");

    let found = editor.query(&CodebookName::default(), query(200), CallContext::default()).await.unwrap();
    let first = &found.retrieval.facts[0];
    assert_eq!((first.edit_ids.as_slice(), first.distance < 1e-3), (&[made.record.id][..], true));
    assert!(found.prompt.starts_with("The answer to 'What is specimen 200?'"));
    assert!(found.prompt.ends_with(" What is specimen 200?"));
    assert!(found.unedited.is_some());

    editor.revert(&CodebookName::default(), made.record.id).await.unwrap();
    assert_eq!(canonical(&editor), without);
    let again = editor.revert(&CodebookName::default(), made.record.id).await;
    assert!(matches!(again, Err(EditorError::UnknownEdit(id)) if id == made.record.id));
}

#[tokio::test]
async fn what_the_picture_does_not_bear_out_is_withheld_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let change = |c: &mut EditorConfig| {
        c.codebook.retrieval.gate = false;
        // To random weights all pictures are nearly one.
        c.codebook.merge.enabled = false;
    };
    let editor = open(folder.path(), change).await;
    let name = CodebookName::default();
    let mut statements = std::collections::BTreeSet::new();
    for seed in [10, 60, 120, 200] {
        let made = edit(&editor, seed).await;
        for statement in &made.record.reasoning {
            let whole =
                editor.verify_statement(picture(seed), None, &statement.statement, CallContext::default());
            assert_eq!(statement.p_yes, Some(whole.await.unwrap()), "what the model thinks of it is kept");
            statements.insert(statement.statement.clone());
        }
    }
    let ask = |verify, k| QueryRequest {
        retrieval: RetrievalOverride { verify: Some(verify), k: Some(k), ..RetrievalOverride::default() },
        ..query(90)
    };
    let plain = editor.query(&name, ask(false, 24), CallContext::default()).await.unwrap();
    assert!(plain.verification.is_none());
    let judged = editor.query(&name, ask(true, 24), CallContext::default()).await.unwrap();
    let verification = judged.verification.unwrap();
    let value = |fact: &Fact| fact.value.clone();
    let mut both: Vec<String> = judged.retrieval.facts.iter().map(value).collect();
    for fact in &judged.retrieval.facts {
        assert!(verification.support.get(&fact.value).is_none_or(|p| *p > 0.5));
        assert!(judged.prompt.contains(&fact.value));
    }
    for withheld in &verification.withheld {
        let support = verification.support.get(&withheld.fact.value);
        assert_eq!(withheld.reason == WithheldReason::NotShown, support.is_some_and(|p| *p <= 0.5));
        assert!(!judged.prompt.contains(&withheld.fact.value));
        both.push(value(&withheld.fact));
    }
    both.sort();
    let mut all: Vec<String> = plain.retrieval.facts.iter().map(value).collect();
    all.sort();
    assert_eq!(both, all, "what was retrieved is in front or withheld");
    let one = editor.query(&name, ask(true, 1), CallContext::default()).await.unwrap();
    assert!(one.retrieval.facts.iter().all(|f| f.entry_id == one.retrieval.facts[0].entry_id));

    // On the picture of an edit nothing of it is asked about.
    let own = editor.query(
        &name,
        QueryRequest { retrieval: ask(true, 24).retrieval, ..query(60) },
        CallContext::default(),
    );
    let own = own.await.unwrap();
    let answer = "The answer to 'What is specimen 60?' about the image is malignant.";
    assert!(own.prompt.starts_with(answer), "{}", own.prompt);
    assert!(!own.verification.unwrap().support.contains_key(answer));
}

#[tokio::test]
async fn the_same_request_sent_at_once_makes_one_edit() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), |_| {}).await;
    let keyed = |body: u8| EditRequest {
        idempotency: Some(IdempotencyKey {
            key: "k-1".into(),
            body: [body; 32],
            former: vec![[body - 1; 32]],
        }),
        ..request(5)
    };
    let name = CodebookName::default();
    let send = || editor.edit(&name, keyed(1), CallContext::default());
    let (a, b, c) = tokio::join!(send(), send(), send());
    let views = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(views.iter().filter(|v| v.replayed).count(), 2);
    assert!(views.iter().all(|v| v.record.id == views[0].record.id));
    assert_eq!(editor.codebook(&name).await.unwrap().edits, 1);
    // Its body came to the stored digest before.
    assert!(editor.edit(&name, keyed(2), CallContext::default()).await.unwrap().replayed);
    let other = editor.edit(&name, keyed(3), CallContext::default()).await;
    assert!(matches!(other, Err(EditorError::IdempotencyConflict)));
}

#[tokio::test]
async fn bad_input_is_named_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), |_| {}).await;
    let mut bad = request(7);
    bad.question = " ".into();
    bad.choices = vec!["benign".into(), "benign".into()];
    let Err(EditorError::Invalid(faults)) =
        editor.edit(&CodebookName::default(), bad, CallContext::default()).await
    else {
        panic!("taken");
    };
    let pointers: Vec<_> = faults.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(pointers, ["/question", "/choices/1", "/answer"]);

    let mut unseen = request(7);
    unseen.question = "\u{200b}\u{3164}\u{2800}\u{fe0f}".into();
    unseen.choices = vec!["na\u{ef}ve".into(), "nai\u{308}ve\u{a0}".into()];
    unseen.reasoning[0].statement = "The border\u{7} is ragged.".into();
    let Err(EditorError::Invalid(faults)) =
        editor.edit(&CodebookName::default(), unseen, CallContext::default()).await
    else {
        panic!("taken");
    };
    let said: Vec<_> = faults.iter().map(|f| (f.pointer.as_str(), f.detail.as_str())).collect();
    assert_eq!(said[0], ("/question", "the question must not be empty"));
    assert_eq!(said[1], ("/choices/1", "this choice stands here twice"));
    assert_eq!(said[2], ("/answer", "the answer must be one of the choices"));
    let control = "a statement contains control characters: U+0007 at character 11";
    assert_eq!(said[3], ("/reasoning/0/statement", control));

    let mut outside = request(7);
    outside.reasoning[0].evidence[0].x = 500.0;
    let refused = editor.edit(&CodebookName::default(), outside, CallContext::default()).await;
    assert!(matches!(refused, Err(EditorError::Invalid(f)) if f[0].pointer == "/reasoning/0/evidence/0"));
    assert_eq!(editor.codebook(&CodebookName::default()).await.unwrap().edits, 0);
    let files = std::fs::read_dir(folder.path().join("images")).unwrap().count();
    assert_eq!(files, 0, "a refused picture is not kept");
}

#[tokio::test]
async fn an_export_imports_to_the_same_codebook_once() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = CodebookName::default();
    let editor = open(here.path(), |_| {}).await;
    for seed in [1, 2, 3] {
        edit(&editor, seed).await;
    }
    let path = here.path().join("book.tar");
    let file = std::fs::File::create(&path).unwrap();
    assert_eq!(editor.export(&name, file).await.unwrap().edits, 3);

    let other = open(there.path(), |_| {}).await;
    let options = || ImportOptions::new(1 << 30);
    let import = || async {
        let file = std::fs::File::open(&path).unwrap();
        other.import(&name, file, options(), CallContext::default()).await.unwrap()
    };
    let first = import().await;
    assert_eq!((first.edits, first.images, first.skipped, first.reembedded), (3, 3, 0, 0));
    assert_eq!(canonical(&other), canonical(&editor));
    let second = import().await;
    assert_eq!((second.edits, second.skipped), (0, 3));
    assert_eq!(canonical(&other), canonical(&editor));

    let mut cut = std::fs::read(&path).unwrap();
    cut.truncate(cut.len() / 2);
    let damaged = other.import(&name, std::io::Cursor::new(cut), options(), CallContext::default()).await;
    assert!(matches!(damaged, Err(EditorError::Archive(_))), "{damaged:?}");
}

#[tokio::test]
async fn keys_of_another_embedding_are_refused_or_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let name = CodebookName::default();
    let id: EditId = {
        let editor = open(folder.path(), |_| {}).await;
        let id = edit(&editor, 9).await.record.id;
        editor.engine().shutdown().await;
        id
    };
    {
        let editor = open(folder.path(), |c| c.embedding.lambda = 2.0).await;
        let refused = editor.query(&name, query(9), CallContext::default()).await;
        assert!(
            matches!(refused, Err(EditorError::Codebook(CodebookError::EmbeddingMismatch { .. }))),
            "keys of two embeddings are never compared"
        );
        editor.engine().shutdown().await;
    }
    let change = |c: &mut EditorConfig| {
        c.embedding.lambda = 2.0;
        c.embedding.on_mismatch = OnMismatch::Reembed;
        // What is stored is embedded anew, not what today's settings would store.
        c.entries.pair = Pair::Image;
    };
    let editor = open(folder.path(), change).await;
    let found = editor.query(&name, query(9), CallContext::default()).await.unwrap();
    assert_eq!(found.retrieval.facts[0].edit_ids, [id]);
    assert!(found.retrieval.facts[0].distance < 1e-3);
}

#[tokio::test]
async fn a_streamed_answer_is_the_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), |_| {}).await;
    edit(&editor, 30).await;
    let name = CodebookName::default();
    let request = QueryRequest { choices: Vec::new(), max_tokens: Some(6), ..query(30) };
    let plain = editor.query(&name, request.clone(), CallContext::default()).await.unwrap();
    let mut stream = editor.query_stream(&name, request, CallContext::default()).unwrap();
    let Some(Ok(QueryEvent::Retrieval(report, None))) = stream.recv().await else {
        panic!("retrieval comes first")
    };
    assert_eq!(report.facts, plain.retrieval.facts);
    let (mut text, mut likelihood) = (String::new(), 1.0);
    let done = loop {
        match stream.recv().await.unwrap().unwrap() {
            QueryEvent::Token { text: piece, probability, .. } => {
                text.push_str(&piece);
                likelihood *= probability;
            }
            QueryEvent::Done(outcome) => break outcome,
            QueryEvent::Retrieval(..) => panic!("retrieval comes once"),
            QueryEvent::Thinking(text) => panic!("this model doesn't think: {text}"),
        }
    };
    assert_eq!(done.answer, plain.answer);
    assert_eq!(text.trim(), plain.answer);
    assert_eq!(done.probability, plain.probability);
    // The end of the turn, if it was reached, is in the answer's probability and in none of the pieces'.
    assert!(0.0 < done.probability && done.probability <= likelihood * (1.0 + 1e-9) && likelihood < 1.0);
    assert!(stream.recv().await.is_none());
}

#[tokio::test]
async fn another_model_rephrases() {
    let folder = tempfile::tempdir().unwrap();
    let editor = open(folder.path(), |config| config.radius.paraphrase = Paraphrase::Model).await;
    let load = || {
        let golden = format!("{}/../models/tests/goldens/qwen2-1", env!("CARGO_MANIFEST_DIR"));
        Ok(Models::writer(reasonedit_models::load(&golden, &LoadOptions::default())?))
    };
    let writer = Engine::start(load, EngineConfig::default()).unwrap();
    writer.wait_ready().await.unwrap();
    let editor = editor.with_paraphraser(writer.clone());
    edit(&editor, 1).await;
    let texts = 3; // The question and two statements.
    assert_eq!(writer.stats().answered, texts * editor.config().radius.pairs as u64);
    let refused = writer.embed_sentences(vec!["a".to_owned()], CallOptions::default()).await;
    assert!(matches!(refused, Err(EngineError::Unsupported(_))), "{refused:?}");
    editor.shutdown().await;
    assert!(matches!(writer.info().await, Err(EngineError::Closed)));
}
