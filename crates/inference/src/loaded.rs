//! The models an engine owns, and what is known of them on the caller's side.

use std::sync::{Arc, OnceLock};

use reasonedit_models::model::{ImagePreprocessor, ModelInfo, SentenceEncoder, VisionLanguageModel};
use reasonedit_models::prompt::PromptTokenizer;
use reasonedit_models::{ModelError, Result as ModelResult};

use crate::constrain::FormCompiler;
use crate::request::SentenceInfo;

/// The models an engine owns.
pub struct Models {
    /// Looks and answers.
    pub vlm: Box<dyn VisionLanguageModel>,
    /// Embeds questions and statements.
    pub sentences: Box<dyn SentenceEncoder>,
}

impl Models {
    /// A model that only writes (rephrases, say), without an encoder: sentences are refused.
    pub fn writer(vlm: Box<dyn VisionLanguageModel>) -> Self {
        Self { vlm, sentences: Box::new(NoEncoder) }
    }
}

/// In place of an encoder that nobody asks.
struct NoEncoder;

impl SentenceEncoder for NoEncoder {
    fn fingerprint(&self) -> &'static str {
        ""
    }

    fn width(&self) -> usize {
        0
    }

    fn encode(&self, _: &[String]) -> ModelResult<Vec<Vec<f32>>> {
        Err(ModelError::unsupported("this engine has no sentence encoder"))
    }
}

/// What the caller's side needs of the loaded models.
pub(super) struct Loaded {
    pub(super) info: Arc<ModelInfo>,
    pub(super) sentences: Arc<SentenceInfo>,
    pub(super) tokenizer: Arc<PromptTokenizer>,
    pub(super) preprocessor: Arc<dyn ImagePreprocessor>,
    /// Made when the first reply is to have a form.
    pub(super) forms: OnceLock<Result<FormCompiler, String>>,
}
