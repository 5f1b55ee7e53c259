//! ms-swift: its standard form.

use serde::Serialize;

use super::row::{IMAGE, Row};

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

/// Question and answer, and for pairs what is rejected.
#[derive(Serialize)]
pub(super) struct Standard<'a> {
    messages: [Message; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_response: Option<&'a str>,
    images: [&'a str; 1],
    edit: &'a str,
}

impl<'a> Standard<'a> {
    pub(super) fn of(row: &'a Row<'a>) -> Self {
        let dialogue = row.dialogue;
        let messages = [
            Message { role: "user", content: format!("{IMAGE}{}", dialogue.question) },
            Message { role: "assistant", content: dialogue.answer.clone() },
        ];
        Self {
            messages,
            rejected_response: dialogue.rejected.as_deref(),
            images: [row.picture],
            edit: &row.edit,
        }
    }
}
