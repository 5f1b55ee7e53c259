//! Every editor on the demo model and a small world: what is answered with and without choices, and that the
//! model is bit for bit what it was.

#![allow(clippy::unwrap_used)] // What the helpers below can't do fails the test that asked.

use std::path::Path;

use reasonedit_dataset::{Dataset, Record, Sample};
use reasonedit_editor::{EditorConfig, Paraphrase, RetrievalOverride, StatementInput};
use reasonedit_evaluation::{
    BaselineEditor, EditorCorrection, EditorFactory, EditorQuestion, EditorRegistry, EditorSettings,
    TunableFactory, editor_names,
};
use reasonedit_inference::{CallOptions, Engine, EngineConfig, EngineHandle, Models};
use reasonedit_models::{Cut, LoadOptions, LogitsAt, Piece, Projection, Sequence};
use reasonedit_world::writer::write_records;

/// A world that nothing was trained or tuned on.
const SEED: u64 = 1_000_423;
const RECORDS: usize = 10;
/// Another, for editors that are trained before any edit, for so many steps that one can see it is done.
const TRAINING_SEED: u64 = 3_000_423;
const TRAINING_RECORDS: usize = 6;
const STEPS: [(&str, f64); 2] = [("mend", 40.0), ("live-edit", 6.0)];

fn engine() -> EngineHandle {
    let demo = |name: &str| format!("{}/../../models/demo/{name}", env!("CARGO_MANIFEST_DIR"));
    let load = move || {
        let options = LoadOptions::default();
        Ok(Models {
            vlm: reasonedit_models::load(&demo("vlm"), &options)?,
            sentences: reasonedit_models::load_sentence_encoder(&demo("sentence-encoder"), &options)?,
        })
    };
    Engine::start(load, EngineConfig::default()).unwrap()
}

fn registry(engine: &EngineHandle, folder: &Path) -> EditorRegistry {
    let mut config = EditorConfig::default();
    config.radius.paraphrase = Paraphrase::Rules;
    config.radius.pairs = 1;
    let registry = EditorRegistry::new(engine.clone(), config, folder.join("work"), Vec::new()).unwrap();
    let mut registry =
        registry.with_training(world(&folder.join("training"), TRAINING_SEED, TRAINING_RECORDS));
    for (name, steps) in STEPS {
        for name in [name.to_owned(), format!("{name}-cot")] {
            registry = registry.with_settings(&name, EditorSettings::new([("steps", steps)])).unwrap();
        }
    }
    registry
}

fn world(folder: &Path, seed: u64, records: usize) -> Dataset {
    write_records(folder, seed, records, |_, _| {}).unwrap();
    Dataset::open(folder).unwrap()
}

fn correction(data: &Dataset, record: &Record) -> EditorCorrection {
    let Sample { image, question, answer, choices, .. } = record.sample.clone();
    let statement = |text: &String| StatementInput { statement: text.clone(), evidence: Vec::new() };
    let reasoning = record.reasoning.iter().map(statement).collect();
    EditorCorrection { image: data.picture(&image).unwrap(), question, answer, choices, reasoning }
}

async fn ask(
    baseline: &dyn BaselineEditor,
    data: &Dataset,
    of_edit: usize,
    sample: &Sample,
    choices: &[String],
) -> String {
    let question = EditorQuestion {
        image: data.picture(&sample.image).unwrap(),
        question: sample.question.clone(),
        choices: choices.to_vec(),
        of_edit,
        retrieval: RetrievalOverride::default(),
    };
    baseline.ask(&question).await.unwrap().answer
}

/// All weights of the language side's layers, and the logits of a prompt, as a digest.
async fn fingerprint(engine: &EngineHandle) -> String {
    let digest = |model: &dyn reasonedit_models::VisionLanguageModel| {
        let mut hasher = blake3::Hasher::new();
        let mut add = |values: &[f32]| {
            for value in values {
                hasher.update(&value.to_le_bytes());
            }
        };
        let suffix = model.differentiable(Cut::Layer(0))?;
        for layer in 0..suffix.layers() {
            for projection in Projection::ALL {
                add(&suffix.weight(layer, projection)?.flatten_all()?.to_vec1()?);
            }
        }
        let tokens = model.tokenizer().encode_reply("The colour of this object is purple.")?;
        let pieces = vec![Piece::Tokens(tokens)];
        let sequence = Sequence { past: None, pieces, logits: LogitsAt::From(0), keep_cache: false };
        add(&model.run(&[sequence], &[])?[0].logits);
        Ok(hasher.finalize().to_hex().to_string())
    };
    engine.call_model(1, digest, CallOptions::default()).await.unwrap().0
}

#[tokio::test]
async fn no_editor_changes_the_model_and_each_answers_with_and_without_choices() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, data) = (engine(), world(&folder.path().join("edits"), SEED, RECORDS));
    let registry = registry(&engine, folder.path());
    let before = fingerprint(&engine).await;
    for name in &editor_names() {
        let baseline = registry.editor(name, "plain").await.unwrap();
        for (number, record) in data.records.iter().enumerate() {
            baseline.edit(number, &correction(&data, record)).await.unwrap();
        }
        for (number, record) in data.records.iter().enumerate() {
            let (sample, choices) = (&record.sample, &record.sample.choices);
            let chosen = ask(&*baseline, &data, number, sample, choices).await;
            assert!(choices.contains(&chosen), "{name}: {chosen}");
            let generated = ask(&*baseline, &data, number, sample, &[]).await;
            // A network that was hardly trained may well make the model end its turn at once.
            let hardly_trained = STEPS.iter().any(|(own, _)| name.starts_with(own));
            assert!(hardly_trained || !generated.trim().is_empty(), "{name} says nothing");
            assert_eq!(ask(&*baseline, &data, number, sample, &[]).await, generated, "{name}");
        }
        assert_eq!(fingerprint(&engine).await, before, "{name} has changed the model");
    }
}
