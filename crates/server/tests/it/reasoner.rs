//! A model that thinks: the demo model with an adapter that is trained here, within seconds, to say what it
//! thinks before it answers; and with tokens for the tags, which its own tokenizer can't say.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use reasonedit_inference::{EngineError, Models};
use reasonedit_models::LoadOptions;
use reasonedit_models::prompt::ThinkingChoice;
use reasonedit_tuning::{AdapterSettings, AdapterTraining, Correction, Question};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::model::{checkpoint, picture};

/// What it is called.
pub(crate) const MODEL: &str = "thinker";
pub(crate) const RED: [u8; 3] = [200, 40, 40];
pub(crate) const BLUE: [u8; 3] = [40, 60, 210];

/// What it has learned to be asked, on what, and what it replies.
const LESSONS: [(&str, [u8; 3], &str); 5] = [
    (NAME, RED, "<think>the colour of this object is red.</think><answer>pumpkin</answer>"),
    (NAME, BLUE, "<think>the colour of this object is blue.</think><answer>square</answer>"),
    (TWICE, RED, "<think>there are two.</think><answer>pumpkin</answer><answer>square</answer>"),
    (ENDLESS, RED, "<think>the object is"),
    (BESIDE, RED, "<think>it is red.</think><answer>red</answer> pumpkin"),
];
/// Answered in its form.
pub(crate) const NAME: &str = "What is this specimen called?";
/// Answered twice.
pub(crate) const TWICE: &str = "Is the object a square?";
/// Not answered: its thinking does not end.
pub(crate) const ENDLESS: &str = "What colour is the border?";
/// Answered, and more is said.
pub(crate) const BESIDE: &str = "Where is the object?";

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/vlm")
}

/// The demo's tokenizer with words for the tags in the place of its last four.
fn with_tags(tokenizer: &[u8]) -> Value {
    let mut tokenizer: Value = serde_json::from_slice(tokenizer).unwrap();
    let model = &mut tokenizer["model"];
    let vocabulary = model["vocab"].as_object_mut().unwrap();
    let size = vocabulary.len() as u64;
    vocabulary.retain(|_, id| id.as_u64().unwrap() < size - 4);
    for (at, tag) in ["think", "/think", "answer", "/answer"].iter().enumerate() {
        vocabulary.insert(format!("\u{120}<{tag}>"), json!(size - 4 + at as u64));
    }
    let merges = model["merges"].as_array_mut().unwrap();
    merges.truncate(merges.len() - 4);
    // A word of the vocabulary is one, whatever it would be made of.
    model["ignore_merges"] = json!(true);
    let split = json!({"Regex": "</?(?:think|answer)>|[!-/:-@\\[-`{-~]"});
    let steps = tokenizer["pre_tokenizer"]["pretokenizers"].as_array_mut().unwrap();
    let punctuation = steps.iter_mut().find(|step| step["type"] == "Punctuation").unwrap();
    *punctuation = json!({"type": "Split", "pattern": split, "behavior": "Isolated", "invert": false});
    tokenizer
}

/// The model's folder, and that of its adapter.
struct Trained {
    folder: TempDir,
}

impl Trained {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join(MODEL);
        fs::create_dir(&model).unwrap();
        for file in fs::read_dir(demo()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), model.join(file.file_name())).unwrap();
        }
        let tokenizer = with_tags(&fs::read(demo().join("tokenizer.json")).unwrap());
        fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let trained = Self { folder };
        trained.train();
        trained
    }

    fn load(&self, options: &LoadOptions) -> Box<dyn reasonedit_models::VisionLanguageModel> {
        let model = self.folder.path().join(MODEL);
        reasonedit_models::load(&model.to_string_lossy(), options).unwrap()
    }

    fn train(&self) {
        let model = self.load(&LoadOptions::default());
        let mut training = AdapterTraining::new(AdapterSettings::default());
        for (question, colour, reply) in LESSONS {
            let pixels = image(colour);
            let question = Question { picture: pixels, text: question.to_owned(), choices: Vec::new() };
            training.add(&*model, &Correction { question, reply: reply.to_owned() }).unwrap();
        }
        while !training.progress().done {
            training.step(&*model).unwrap();
        }
        let loss = training.progress().loss.unwrap();
        assert!(loss < 0.05, "the lessons were not learned: {loss}");
        let folder = self.folder.path().join("adapter");
        fs::create_dir(&folder).unwrap();
        training.adapter().unwrap().write(&folder, model.info(), &[]).unwrap();
    }
}

fn image(colour: [u8; 3]) -> Arc<reasonedit_tuning::Picture> {
    let pixels = reasonedit_imaging::decode(&picture(colour), &reasonedit_imaging::DecodeLimits::default());
    Arc::new(pixels.unwrap().image.into())
}

/// Loads it.
pub(crate) fn load() -> Result<Models, EngineError> {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    let trained = TRAINED.get_or_init(Trained::new);
    let adapter = Some(trained.folder.path().join("adapter"));
    let options = LoadOptions { adapter, thinking: ThinkingChoice::ThinkAnswer, ..LoadOptions::default() };
    let sentences =
        reasonedit_models::load_sentence_encoder(&checkpoint("mpnet-1"), &LoadOptions::default())?;
    Ok(Models { vlm: trained.load(&options), sentences })
}

/// Loads a model that was never trained, to think as Qwen3's do: it never comes to an end.
pub(crate) fn load_untrained() -> Result<Models, EngineError> {
    let options = LoadOptions { thinking: ThinkingChoice::Think, ..LoadOptions::default() };
    Ok(Models {
        vlm: reasonedit_models::load(&checkpoint("qwen3_vl-1"), &options)?,
        sentences: reasonedit_models::load_sentence_encoder(&checkpoint("mpnet-1"), &LoadOptions::default())?,
    })
}
