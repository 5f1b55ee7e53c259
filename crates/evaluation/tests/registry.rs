//! The editors on a real engine with tiny checkpoints (random weights: what is said is noise, what is kept
//! and put in front is not).

#![allow(clippy::unwrap_used)] // What the helpers below can't do fails the test that asked.

use std::path::Path;

use bytes::Bytes;
use reasonedit_editor::{EditorConfig, ImageSource, Paraphrase, RetrievalOverride, StatementInput};
use reasonedit_evaluation::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFactory, EditorQuestion, EditorRegistry,
    EditorReply, EditorSettings, EditorVariant, MemoryFootprint, RetrievalSetting, SentenceInFront,
    SentencePart, TunableFactory,
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
        match baseline.edit(number, &correction(number)).await.unwrap() {
            EditOutcome::Made(ms) => took.push(ms),
            EditOutcome::Failed(why) => panic!("{why}"),
        }
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
        assert_eq!(reply.in_front[0].edits, [1], "the edited question finds its own edit first");
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
        assert_eq!(ask(&*vision, 1).await.in_front[0].edits, [1]);

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
    assert_eq!(ask(&*unedited, 0).await.in_front, []);
    assert_eq!(kept(&*unedited).await, None);
    let (oracle, _) = edited(&registry, "oracle").await;
    let said = correction(2).reasoning;
    let statements = said.iter().map(|said| SentenceInFront::statement(vec![2], &said.statement));
    let all: Vec<SentenceInFront> =
        [SentenceInFront::answer(vec![2])].into_iter().chain(statements).collect();
    assert_eq!(ask(&*oracle, 2).await.in_front, all);
    for name in ["ike", "ike-cot"] {
        let (ike, _) = edited(&registry, name).await;
        assert_eq!(ask(&*ike, 1).await.in_front.len(), 3);
        let one = ike.ask(&question(1, RetrievalSetting::K.set(1.0))).await.unwrap();
        assert_eq!(one.in_front[0].edits, [1], "the question's own words are the nearest");
        assert_eq!((one.in_front.len(), &one.in_front[0].says[0]), (1, &SentencePart::Answer));
        assert_eq!(one.in_front[0].says.len(), if name == "ike" { 1 } else { 3 });
        assert!(kept(&*ike).await.unwrap().merged > 0);
    }
}

#[tokio::test]
async fn names_are_known_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine();
    let registry = registry(&engine, folder.path());
    let names = registry.names();
    let trained = registry.trained(&names);
    for name in &names {
        let made = registry.editor(name, "plain").await;
        if trained.contains(&name.as_str()) {
            let error = made.err().unwrap().to_string();
            assert!(error.contains(name) && error.contains("records were named"), "{error}");
        } else {
            assert_eq!(made.unwrap().profile().name, *name);
        }
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

#[tokio::test]
async fn an_editor_has_the_settings_of_its_label_or_of_a_tuning() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine();
    let registry = registry(&engine, folder.path());
    assert!(
        registry.knows("ike@published") && !registry.knows("ike@1") && !registry.knows("oracle@published")
    );
    assert!(!registry.names().contains(&"ike@published".to_owned()), "only beside a tuned one");
    assert_eq!(EditorFactory::settings(&registry, "ike@published").get("facts"), Some(3.0));
    assert!(EditorFactory::settings(&registry, "ike").is_empty());
    let registry = registry.with_settings("ike", EditorSettings::new([("facts", 1.0)])).unwrap();
    let place = registry.names().iter().position(|name| name == "ike").unwrap();
    assert_eq!(registry.names()[place + 1], "ike@published");
    for (name, facts) in [("ike", 1), ("ike@published", 3)] {
        let (ike, _) = edited(&registry, name).await;
        assert_eq!(ask(&*ike, 1).await.in_front.len(), facts, "{name}");
    }
    let switched = EditorSettings::new([("codebook.retrieval.hubness", 0.0), ("codebook.retrieval.k", 2.0)]);
    let registry = registry.with_settings("reasonedit@2", switched).unwrap();
    let about = registry.editor("reasonedit@2", "plain").await.unwrap().profile().about.clone();
    assert!(about.contains("codebook.retrieval.k 2"), "{about}");
    assert!(registry.tunable().contains(&"grace-cot".to_owned()));
    let wrong = registry.with_settings("ike", EditorSettings::new([("radius", 1.0)])).err().unwrap();
    assert!(wrong.to_string().contains("`radius`") && wrong.to_string().contains("facts"), "{wrong}");
}

#[tokio::test]
async fn a_saved_state_answers_as_the_editor_that_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&engine(), folder.path());
    let (grace, _) = edited(&registry, "grace").await;
    let state = folder.path().join("state");
    std::fs::create_dir_all(&state).unwrap();
    assert!(grace.save(&state).await.unwrap());
    let again = registry.editor("grace", "plain").await.unwrap();
    assert!(again.restore(&state).await.unwrap());
    assert_eq!(kept(&*again).await, kept(&*grace).await);
    for number in 0..3 {
        assert_eq!(ask(&*again, number).await, ask(&*grace, number).await);
    }
    assert!(!again.restore(&folder.path().join("nothing")).await.unwrap());
    // One whose edits are kept elsewhere has no state of its own.
    let (reasonedit, _) = edited(&registry, "reasonedit").await;
    assert!(!reasonedit.save(&state).await.unwrap());
}
