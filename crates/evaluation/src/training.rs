//! What editors are trained on before any edit: cases from records, networks from cases, and where trained
//! networks are kept (method sections 9.3 and 9.6).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_dataset::{Dataset, Record, Sample};
use reasonedit_editor::{Editor, EditorError};
use reasonedit_inference::CallOptions;
use reasonedit_tuning::{
    Correction, EditorNetwork, NetworkOrigin, TrainingCase, TuningError, reply_with_reasoning,
};

use crate::EvaluationError;
use crate::picture_cache::PictureCache;

/// Folder of trained networks, below that of what editors keep.
const NETWORKS: &str = "networks";
/// Tokens that a call of the model is said to cost.
const CALL_COST: usize = 512;
/// What is in a case, so that networks of other cases are not taken for these.
const CASES: &str = "edit, paraphrases, similar pictures, unrelated";

/// Is told which network is trained, how much of it is done, and of how much.
pub type TrainingCallback = Arc<dyn Fn(&str, usize, usize) + Send + Sync>;

/// What networks are trained on, and where they are kept.
pub(crate) struct Training<'a> {
    pub(crate) data: Option<&'a Dataset>,
    pub(crate) pictures: &'a PictureCache,
    pub(crate) folder: &'a Path,
    pub(crate) progress: Option<&'a TrainingCallback>,
}

impl Training<'_> {
    /// The network of an editor of this name: the one that is kept, or one that is trained now and kept.
    /// `editor` decodes pictures as the service does and has the engine.
    ///
    /// # Errors
    /// No records to train on, or too few; a file that can't be read or written, or is another model's.
    pub(crate) async fn network<N: EditorNetwork>(
        &self,
        name: &str,
        editor: &Editor,
        settings: N::Settings,
        with_reasoning: bool,
    ) -> Result<Arc<N>, EvaluationError> {
        let data = self.data.ok_or_else(|| {
            EvaluationError::Data(format!(
                "{name} is trained before any edit, and no records were named for that"
            ))
        })?;
        let info = editor.engine().info().await.map_err(EditorError::from)?;
        let replies = if with_reasoning { "with reasoning" } else { "answers alone" };
        let origin = NetworkOrigin {
            editor: N::EDITOR.to_owned(),
            model: info.fingerprint.clone(),
            training: format!("{}: {CASES}; {replies}", data.digest()),
            settings: serde_json::to_value(&settings)
                .map_err(|error| EvaluationError::Data(error.to_string()))?,
        };
        let path = self.path(name, &origin)?;
        let network: N = if path.is_file() {
            let read = path.clone();
            call(editor, move |model| N::read(model, &read, &origin, &settings)).await?
        } else {
            let cases = cases(data, self.pictures, with_reasoning)?;
            let told = self.progress.cloned();
            let stage = format!("{name}: training");
            let trained: N = call(editor, move |model| {
                let progress = |done: usize, all: usize| {
                    if let Some(told) = &told {
                        told(&stage, done, all);
                    }
                };
                N::train(model, &cases, &settings, &progress)
            })
            .await?;
            trained.write(&path, &origin)?;
            let curves = path.with_extension("json");
            let text = serde_json::to_string_pretty(trained.curves()).unwrap_or_default() + "\n";
            std::fs::write(&curves, text).map_err(|error| EvaluationError::file(curves, error))?;
            trained
        };
        Ok(Arc::new(network))
    }

    /// Where the network of this origin is kept; its folder is made.
    fn path(&self, name: &str, origin: &NetworkOrigin) -> Result<PathBuf, EvaluationError> {
        let folder = self.folder.join(NETWORKS);
        std::fs::create_dir_all(&folder).map_err(|error| EvaluationError::file(&folder, error))?;
        let text = serde_json::to_vec(origin).map_err(|error| EvaluationError::Data(error.to_string()))?;
        let digest = blake3::hash(&text).to_hex();
        Ok(folder.join(format!("{name}-{}.safetensors", &digest[..16])))
    }
}

async fn call<T: Send + 'static>(
    editor: &Editor,
    call: impl Fn(&dyn reasonedit_models::VisionLanguageModel) -> Result<T, TuningError> + Send + Sync + 'static,
) -> Result<T, EvaluationError> {
    let done =
        editor.engine().call_model(CALL_COST, move |model| Ok(call(model)), CallOptions::default()).await;
    Ok(done.map_err(EditorError::from)?.0?)
}

/// What there is to train on in records.
fn cases(
    data: &Dataset,
    pictures: &PictureCache,
    with_reasoning: bool,
) -> Result<Vec<TrainingCase>, EvaluationError> {
    data.records.iter().map(|record| case(data, pictures, record, with_reasoning)).collect()
}

fn case(
    data: &Dataset,
    pictures: &PictureCache,
    record: &Record,
    with_reasoning: bool,
) -> Result<TrainingCase, EvaluationError> {
    let question = |sample: &Sample| pictures.sample(data, sample);
    let own = &record.sample;
    let statements = record.reasoning.iter().map(String::as_str).filter(|_| with_reasoning);
    let reply = reply_with_reasoning(&own.answer, statements);
    let correction = |sample: &Sample| -> Result<Correction, EvaluationError> {
        Ok(Correction { question: question(sample)?, reply: reply.clone() })
    };
    let in_other_words =
        record.paraphrases.iter().map(|text| Sample { question: text.clone(), ..own.clone() });
    let on_other_pictures =
        record.similar_images.iter().map(|image| Sample { image: image.clone(), ..own.clone() });
    Ok(TrainingCase {
        correction: correction(own)?,
        in_other_words: in_other_words.map(|sample| correction(&sample)).collect::<Result<_, _>>()?,
        on_other_pictures: on_other_pictures.map(|sample| correction(&sample)).collect::<Result<_, _>>()?,
        unrelated: record.unrelated.iter().map(question).collect::<Result<_, _>>()?,
    })
}
