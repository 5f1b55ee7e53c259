//! What requests are held to, and how what is not done here is refused.

use reasonedit_editor::AnswerConfig;
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::problem::{Problem, ProblemKind};
use serde_json::Value;

use super::config::OlderPictures;

/// What requests are held to.
pub(super) struct InputRules<'a> {
    /// Pictures that the model is shown.
    pub(super) pictures: usize,
    /// What becomes of older ones.
    pub(super) older_pictures: OlderPictures,
    /// Characters of all turns together.
    pub(super) characters: usize,
    /// Tokens that the model takes.
    pub(super) positions: usize,
    /// Tokens that the model knows.
    pub(super) vocabulary: usize,
    /// How much a reasoning model thinks; `None` of other models.
    pub(super) thinking: Option<&'a AnswerConfig>,
    pub(super) fetcher: &'a Fetcher,
}

/// Something known that is not done here (400).
pub(super) fn unsupported(pointer: impl Into<String>, what: &str) -> Problem {
    Problem::at(ProblemKind::Unsupported, pointer, format!("{what} by this service."))
}

/// Whether something is asked for: `null`, `false` and what is empty ask for nothing.
pub(super) fn given(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(_) => true,
    }
}
