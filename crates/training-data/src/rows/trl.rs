//! TRL. Prompt and completion stand apart, so that the loss falls on the answer alone: of `messages` its
//! trainer learns the question and the picture's tokens too, unless the model's template marks replies.

use serde::Serialize;

use super::row::Row;

/// A part of a message: the place of the picture, or a text.
#[derive(Serialize)]
struct Part<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Every message is a list of parts, the ones with a picture and the ones without: a column has one type.
#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Part<'a>>,
}

const PICTURE: Part<'_> = Part { r#type: "image", text: None };

fn text(text: &str) -> Part<'_> {
    Part { r#type: "text", text: Some(text) }
}

/// What follows the prompt.
#[derive(Serialize)]
#[serde(untagged)]
enum Replies<'a> {
    Completion { completion: [Message<'a>; 1] },
    Preference { chosen: [Message<'a>; 1], rejected: [Message<'a>; 1] },
}

#[derive(Serialize)]
struct Conversation<'a> {
    prompt: [Message<'a>; 1],
    #[serde(flatten)]
    replies: Replies<'a>,
    edit: &'a str,
}

impl<'a> Conversation<'a> {
    fn of(row: &'a Row<'a>) -> Self {
        let reply = |said: &'a str| [Message { role: "assistant", content: vec![text(said)] }];
        let dialogue = row.dialogue;
        let replies = match &dialogue.rejected {
            None => Replies::Completion { completion: reply(&dialogue.answer) },
            Some(rejected) => {
                Replies::Preference { chosen: reply(&dialogue.answer), rejected: reply(rejected) }
            }
        };
        let prompt = [Message { role: "user", content: vec![PICTURE, text(&dialogue.question)] }];
        Self { prompt, replies, edit: &row.edit }
    }
}

/// A row beside its picture: `datasets` makes the column `images` of the names.
#[derive(Serialize)]
pub(super) struct InFolder<'a> {
    file_names: [&'a str; 1],
    #[serde(flatten)]
    conversation: Conversation<'a>,
}

impl<'a> InFolder<'a> {
    pub(super) fn of(row: &'a Row<'a>) -> Self {
        Self { file_names: [row.picture], conversation: Conversation::of(row) }
    }
}

/// A row with its picture in it.
#[derive(Serialize)]
pub(super) struct Alone<'a> {
    images: [&'a str; 1],
    #[serde(flatten)]
    conversation: Conversation<'a>,
}

impl<'a> Alone<'a> {
    pub(super) fn of(row: &'a Row<'a>) -> Self {
        Self { images: [row.picture], conversation: Conversation::of(row) }
    }
}
