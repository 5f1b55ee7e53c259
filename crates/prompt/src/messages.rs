//! Conversations, as they are given.

use serde::Serialize;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions ahead of the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentPart {
    /// The next picture, in the order of the conversation.
    Image,
    /// Text.
    Text(String),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown, in order.
    pub content: Vec<ContentPart>,
}

/// A person's turn that shows `images` pictures and then says `text`.
pub(crate) fn user(images: usize, text: &str) -> ChatMessage {
    let mut content = vec![ContentPart::Image; images];
    content.push(ContentPart::Text(text.to_owned()));
    ChatMessage { role: Role::User, content }
}
