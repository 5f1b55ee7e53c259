//! The editors on a real engine with tiny checkpoints (random weights: what is said is noise, what is kept
//! and put in front is not).

#![allow(clippy::unwrap_used)] // What the helpers below can't do fails the test that asked.

use std::path::Path;

use bytes::Bytes;
use reasonedit_editor::{EditorConfig, ImageSource, Paraphrase, RetrievalOverride, StatementInput};
use reasonedit_evaluation::{
    BaselineEditor, EditorCorrection, EditorFactory, EditorQuestion, EditorRegistry, EditorReply,
    EditorVariant, MemoryFootprint, RetrievalSetting,
};
use reasonedit_imaging::{RgbImage, encode_png};
use reasonedit_inference::{Engine, EngineConfig, EngineHandle, Models};
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

fn registry(engine: &EngineHandle, folder: &Path) -> EditorRegistry {
    let mut config = EditorConfig::default();
    config.radius.paraphrase = Paraphrase::Rules;
    config.radius.pairs = 1;
    config.codebook.retrieval.hubness = true;
    let variant =
        EditorVariant::parse("two-keys:codebook.retrieval.k=2,codebook.retrieval.gate=false").unwrap();
    EditorRegistry::new(engine.clone(), config, folder.to_owned(), vec![variant]).unwrap()
}

fn picture(number: usize) -> ImageSource {
    let shade = (number * 40) as u8;
    let image = RgbImage::from_fn(48, 40, |x, y| {
        let inside = (12..30).contains(&x) && (8..28).contains(&y);
        image::Rgb(if inside { [shade, 90, 255 - shade] } else { [230, (x % 7) as u8 * 9, 220] })
    });
    ImageSource::from(Bytes::from(encode_png(&image).unwrap()))
}

fn correction(number: usize) -> EditorCorrection {
    let statement = |text: String| StatementInput { statement: text, evidence: Vec::new() };
    EditorCorrection {
        image: picture(number),
        question: format!("What is specimen {number}?"),
        answer: "malignant".into(),
        choices: vec!["benign".into(), "malignant".into()],
        reasoning: vec![
            statement("The border is irregular.".into()),
            statement(format!("Specimen {number} has a dark rim.")),
        ],
    }
}

fn question(number: usize, retrieval: RetrievalOverride) -> EditorQuestion {
    let EditorCorrection { image, question, choices, .. } = correction(number);
    EditorQuestion { image, question, choices, of_edit: number, retrieval }
}

/// An editor with three edits, and what each took.
async fn edited(registry: &EditorRegistry, name: &str) -> (Box<dyn BaselineEditor>, Vec<Option<f64>>) {
    let baseline = registry.editor(name, "plain").await.unwrap();
    let mut took = Vec::new();
    for number in 0..3 {
        took.push(baseline.edit(number, &correction(number)).await.unwrap());
    }
    (baseline, took)
}

async fn ask(baseline: &dyn BaselineEditor, number: usize) -> EditorReply {
    baseline.ask(&question(number, RetrievalOverride::default())).await.unwrap()
}

async fn kept(baseline: &dyn BaselineEditor) -> Option<MemoryFootprint> {
    baseline.kept().await.unwrap()
}

#[tokio::test]
async fn editors_whose_keys_are_made_alike_share_them_and_find_them_made_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine();
    let (own, replies, took) = {
        let registry = registry(&engine, folder.path());
        let (reasonedit, took) = edited(&registry, "reasonedit").await;
        let reply = ask(&*reasonedit, 1).await;
        assert_eq!(reply.in_front[0], [1], "the edited question finds its own edit first");
        assert!(took.iter().all(|ms| ms.is_some_and(|ms| ms > 0.0)));

        // The same keys, none of them merged: the bytes are those that merging began with.
        let (unmerged, as_long) = edited(&registry, "no-merging").await;
        assert_eq!(as_long, took);
        let (own, all) = (kept(&*reasonedit).await.unwrap(), kept(&*unmerged).await.unwrap());
        assert_eq!((all.merged, all.unmerged), (own.unmerged, own.unmerged));

        // Other keys with the same boxes: as many entries, but shorter by nothing; how long they took says
        // nothing.
        let (vision, borrowed) = edited(&registry, "single-vision").await;
        assert_eq!(borrowed, [None; 3]);
        assert_eq!(kept(&*vision).await.unwrap().unmerged, own.unmerged);
        assert_eq!(ask(&*vision, 1).await.in_front[0], [1]);

        // No patches: an answer and two statements for each edit, at their own price.
        let (plain, at_own_price) = edited(&registry, "no-patches").await;
        assert!(at_own_price.iter().all(Option::is_some));
        assert!(kept(&*plain).await.unwrap().unmerged < own.unmerged);

        // A variant of one's own.
        let (two, _) = edited(&registry, "two-keys").await;
        assert!(!two.profile().gated && two.profile().retrieval_settings == [RetrievalSetting::K]);
        let sentences = |reply: &EditorReply| reply.in_front.len();
        let wide = two.ask(&question(1, RetrievalSetting::K.set(6.0))).await.unwrap();
        assert!(sentences(&ask(&*two, 1).await) <= 2 && sentences(&wide) > 2);
        (own, reply, took)
    };
    // What was made is found again, with the same figures.
    let registry = registry(&engine, folder.path());
    let (again, as_before) = edited(&registry, "reasonedit").await;
    assert_eq!((kept(&*again).await.unwrap(), as_before), (own, took));
    assert_eq!(ask(&*again, 1).await, replies);
}

#[tokio::test]
async fn baselines_put_in_front_what_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&engine(), folder.path());
    let (unedited, _) = edited(&registry, "unedited").await;
    assert_eq!(ask(&*unedited, 0).await.in_front, Vec::<Vec<usize>>::new());
    assert_eq!(kept(&*unedited).await, None);
    let (oracle, _) = edited(&registry, "oracle").await;
    assert_eq!(ask(&*oracle, 2).await.in_front, [[2], [2], [2]]);
    for name in ["ike", "ike-cot"] {
        let (ike, _) = edited(&registry, name).await;
        assert_eq!(ask(&*ike, 1).await.in_front.len(), 3);
        let one = ike.ask(&question(1, RetrievalSetting::K.set(1.0))).await.unwrap();
        assert_eq!(one.in_front, [[1]], "the question's own words are the nearest");
        assert!(kept(&*ike).await.unwrap().merged > 0);
    }
}

#[tokio::test]
async fn names_are_known_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine();
    let registry = registry(&engine, folder.path());
    for name in registry.names() {
        assert_eq!(registry.editor(&name, "plain").await.unwrap().profile().name, name);
    }
    let unknown = registry.editor("grace-of-god", "plain").await.err().unwrap().to_string();
    assert!(unknown.contains("grace-of-god") && unknown.contains("ike-cot"), "{unknown}");
    let make = |text: &str| {
        let variants = vec![EditorVariant::parse(text).unwrap()];
        EditorRegistry::new(engine.clone(), EditorConfig::default(), folder.path().to_owned(), variants)
    };
    for (text, named) in [
        ("ike:embedding.lambda=1", "an editor of this name"),
        ("no-gate:embedding.lambda=1", "an editor of this name"),
        ("x:embedding.lamda=1", "embedding.lamda"),
    ] {
        let error = make(text).err().unwrap().to_string();
        assert!(error.contains(named), "{error}");
    }
}
