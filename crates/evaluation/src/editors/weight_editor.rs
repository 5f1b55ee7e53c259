//! Editors that change (copies of) weights: any [`EditingMethod`] as a [`BaselineEditor`].

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use reasonedit_editor::EditorError;
use reasonedit_inference::CallOptions;
use reasonedit_models::VisionLanguageModel;
use reasonedit_tuning::{Correction, EditingMethod, TuningError, reply_with_reasoning};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::definition::EditorParts;
use super::edit_cache::LeasedEditor;
use crate::EvaluationError;
use crate::baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile, SentenceInFront,
};
use crate::picture_cache::PictureCache;

/// Tokens that a call of the model is said to cost.
const CALL_COST: usize = 512;

/// File of the numbers of the edits in a saved state.
const NUMBERS: &str = "numbers.json";

/// What distinguishes an editor that changes weights from the others.
pub(super) struct WeightEditorProfile {
    /// Its name in options, files and tables.
    pub(super) name: &'static str,
    /// A sentence on what it does.
    pub(super) about: String,
    /// Whether it is trained to reply with the reasoning behind the answer (the paper's -COT).
    pub(super) with_reasoning: bool,
    /// Whether it chooses among edits, so that there are hits to count.
    pub(super) retrieves: bool,
}

/// See the module's description.
pub(super) struct WeightEditor<M> {
    profile: Profile,
    editor: LeasedEditor,
    pictures: Arc<PictureCache>,
    with_reasoning: bool,
    fresh: Box<dyn Fn() -> M + Send + Sync>,
    method: Arc<Mutex<M>>,
    /// Numbers of the edits that are made: a method counts those alone, from 0.
    numbers: Mutex<Vec<usize>>,
}

impl<M: EditingMethod + 'static> WeightEditor<M> {
    /// `editor` has the engine; `fresh` makes the method without edits.
    pub(super) fn new(
        profile: WeightEditorProfile,
        editor: LeasedEditor,
        pictures: &Arc<PictureCache>,
        fresh: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        let WeightEditorProfile { name, about, with_reasoning, retrieves } = profile;
        let profile = Profile {
            name: name.to_owned(),
            about,
            retrieves,
            gated: retrieves,
            uses_reasoning: with_reasoning,
            retrieval_settings: Vec::new(),
        };
        let method = Arc::new(Mutex::new(fresh()));
        Self {
            profile,
            editor,
            pictures: Arc::clone(pictures),
            with_reasoning,
            fresh: Box::new(fresh),
            method,
            numbers: Mutex::default(),
        }
    }

    /// The same of a method that may keep all edits back without choosing among them.
    pub(super) fn gated(mut self) -> Self {
        self.profile.gated = true;
        self
    }

    /// What `call` returns, on the engine's thread.
    async fn with_model<T: Send + 'static>(
        &self,
        call: impl Fn(&mut M, &dyn VisionLanguageModel) -> Result<T, TuningError> + Send + Sync + 'static,
    ) -> Result<Result<T, TuningError>, EvaluationError> {
        let method = Arc::clone(&self.method);
        let engine = self.editor.engine();
        let call = move |model: &dyn VisionLanguageModel| Ok(call(&mut method.lock(), model));
        let done = engine.call_model(CALL_COST, call, CallOptions::default()).await;
        Ok(done.map_err(EditorError::from)?.0)
    }
}

/// The settings of a method, of those that are said; what is not said is its default.
///
/// # Errors
/// A setting that it has not, or a value that it can't follow.
pub(super) fn settings_of<S: DeserializeOwned>(parts: &EditorParts<'_>) -> Result<S, EvaluationError> {
    let number = |value: f64| {
        // Counts are whole numbers.
        if value.fract() == 0.0 && value.abs() < 1e9 { Value::from(value as i64) } else { Value::from(value) }
    };
    let named = parts.settings.iter().map(|(name, value)| (name.to_owned(), number(value))).collect();
    serde_json::from_value(Value::Object(named))
        .map_err(|error| EvaluationError::Tuning(TuningError::Setting(error.to_string())))
}

impl<M: EditingMethod + 'static> BaselineEditor for WeightEditor<M> {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome> {
        Box::pin(async move {
            let began = std::time::Instant::now();
            let EditorCorrection { image, question, answer, choices, .. } = correction;
            let reasoning = correction.reasoning.iter().filter(|_| self.with_reasoning);
            let reply = reply_with_reasoning(answer, reasoning.map(|statement| statement.statement.as_str()));
            let correction =
                Correction { question: self.pictures.question(image, question, choices)?, reply };
            match self.with_model(move |method, model| method.edit(model, &correction)).await? {
                Ok(()) => {
                    self.numbers.lock().push(number);
                    Ok(EditOutcome::Made(Some(began.elapsed().as_secs_f64() * 1e3)))
                }
                Err(failed @ TuningError::NonFiniteLoss { .. }) => {
                    Ok(EditOutcome::Failed(failed.to_string()))
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async {
            let question = self.pictures.question(&question.image, &question.question, &question.choices)?;
            let answer = self.with_model(move |method, model| method.answer(model, &question)).await??;
            let numbers = self.numbers.lock();
            let used = answer.used.into_iter().filter_map(|edit| numbers.get(edit).copied());
            let in_front = used.map(|number| SentenceInFront::answer(vec![number])).collect();
            Ok(EditorReply { answer: answer.text, in_front, rejected: answer.rejected })
        })
    }

    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>> {
        Box::pin(async {
            let bytes = self.method.lock().bytes();
            Ok(Some(MemoryFootprint { merged: bytes, unmerged: bytes }))
        })
    }

    fn reset(&self) -> EditorFuture<'_, bool> {
        Box::pin(async {
            *self.method.lock() = (self.fresh)();
            self.numbers.lock().clear();
            Ok(true)
        })
    }

    fn save<'a>(&'a self, folder: &'a Path) -> EditorFuture<'a, bool> {
        Box::pin(async {
            self.method.lock().save(folder)?;
            let file = folder.join(NUMBERS);
            let numbers = serde_json::to_vec(&*self.numbers.lock()).map_err(std::io::Error::from);
            numbers
                .and_then(|numbers| std::fs::write(&file, numbers))
                .map_err(|error| EvaluationError::file(&file, error))?;
            Ok(true)
        })
    }

    fn restore<'a>(&'a self, folder: &'a Path) -> EditorFuture<'a, bool> {
        Box::pin(async {
            // What can't be read is made again.
            let Ok(numbers) = std::fs::read(folder.join(NUMBERS)) else { return Ok(false) };
            let Ok(numbers) = serde_json::from_slice(&numbers) else { return Ok(false) };
            let folder = folder.to_owned();
            let restored = self.with_model(move |method, model| method.restore(model, &folder)).await?;
            if restored.is_ok() {
                *self.numbers.lock() = numbers;
            } else {
                *self.method.lock() = (self.fresh)();
            }
            Ok(restored.is_ok())
        })
    }
}
