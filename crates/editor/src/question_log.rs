//! The log of what was asked, where the configuration wants one: questions with their pictures, for dry runs.
//! It is no record of anybody's: who asked is not in it, and the oldest go.

mod writing;

use std::ops::Deref;
use std::sync::Arc;

use reasonedit_codebook::{CodebookName, GenerationId, Library};
use reasonedit_questions::{KeptQuestion, KeptQuestions};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::config::QuestionLogConfig;
use crate::error::EditorError;
use crate::pictures::DecodedPicture;

/// Questions that wait to be written at a time; more are left out, so that a flood costs no memory.
const WAITING: usize = 64;
/// See the module's description.
pub(crate) struct QuestionLog {
    config: QuestionLogConfig,
    kept: KeptQuestions,
    places: Arc<Semaphore>,
}

impl Deref for QuestionLog {
    type Target = KeptQuestions;

    fn deref(&self) -> &KeptQuestions {
        &self.kept
    }
}

/// A question as it was asked.
pub(crate) struct LoggedQuestion {
    pub(crate) codebook: CodebookName,
    pub(crate) picture: DecodedPicture,
    pub(crate) question: String,
    pub(crate) choices: Vec<String>,
    pub(crate) key: Option<(GenerationId, Arc<[f32]>)>,
}

impl QuestionLog {
    /// # Errors
    /// Failing storage.
    pub(crate) fn open(library: &Library, config: &QuestionLogConfig) -> Result<Self, EditorError> {
        let kept = KeptQuestions::open(library, "question-log", config.most)?;
        Ok(Self { config: config.clone(), kept, places: Arc::new(Semaphore::new(WAITING)) })
    }

    /// Whether a question is to go: it is too old, or nothing is logged any more.
    fn is_over(&self, question: &KeptQuestion, now: OffsetDateTime) -> bool {
        let kept = time::Duration::days(self.config.keep_days.into());
        !self.config.enabled || question.at + kept <= now
    }
}
