//! What several baselines ask.

use reasonedit_codebook::CodebookName;
use reasonedit_editor::{Editor, QueryRequest, RetrievalOverride};

use crate::EvaluationError;
use crate::baseline::EditorQuestion;

/// The model's answer to a prompt, without any codebook.
pub(super) async fn answer(
    editor: &Editor,
    question: &EditorQuestion,
    prompt: String,
) -> Result<String, EvaluationError> {
    let request = QueryRequest {
        image: question.image.clone(),
        question: prompt,
        choices: question.choices.clone(),
        max_tokens: None,
        max_thinking_tokens: None,
        retrieval: RetrievalOverride { enabled: Some(false), ..RetrievalOverride::default() },
        compare: false,
        warnings: Vec::new(),
    };
    let outcome =
        editor.query(&CodebookName::default(), request, reasonedit_editor::CallContext::default()).await?;
    Ok(outcome.answer)
}
