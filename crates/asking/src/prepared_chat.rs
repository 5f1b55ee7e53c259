//! Conversations as they are put to the model: what the codebook knows in front of the last turn's text, the
//! turns before as they were said.

use reasonedit_inference::prompt::{
    ChatMessage, ContentPart, PromptError, PromptPiece, PromptTokenizer, Role,
};
use reasonedit_inference::{Conversation, EngineError};

use crate::error::{EditorError, FieldError};
use crate::pictures::DecodedPicture;
use crate::prompts::with_facts;
use crate::types::{ChatPart, ChatTurn};

/// Turns with their pictures at hand; facts go in front of the text of the user's last one.
#[derive(Clone, Debug)]
pub struct PreparedChat {
    /// In order of appearance; the last is what retrieval is about.
    pictures: Vec<DecodedPicture>,
    before: Vec<ChatMessage>,
    last: Vec<ContentPart>,
    /// What the model has said since.
    after: Vec<ChatMessage>,
    /// How the reply begins.
    pub begun: String,
}

/// The text of the user's last turn as it is put to the model.
pub fn asked_text(conversation: &Conversation) -> String {
    let asked = conversation.messages.iter().rfind(|message| message.role == Role::User);
    asked.and_then(|message| message.content.iter().find_map(text_of)).unwrap_or_default().to_owned()
}

impl PreparedChat {
    /// One question about one picture.
    pub fn question(picture: DecodedPicture, question: &str) -> Self {
        let last = vec![ContentPart::Image, ContentPart::Text(question.to_owned())];
        Self { pictures: vec![picture], before: Vec::new(), last, after: Vec::new(), begun: String::new() }
    }

    /// Of turns; `continues` says whether the last one is the reply's beginning.
    ///
    /// # Errors
    /// Turns of which none is the user's: that is seen to before.
    pub fn new(
        turns: &[ChatTurn],
        continues: bool,
        pictures: Vec<DecodedPicture>,
    ) -> Result<Self, EditorError> {
        let (turns, begun) = match turns.split_last() {
            Some((last, before)) if continues => (before, last.text()),
            _ => (turns, String::new()),
        };
        let mut before = messages(turns);
        let asked = before.iter().rposition(|message| message.role == Role::User);
        let asked = asked.ok_or(EditorError::Internal("a conversation without the user"))?;
        let after = before.split_off(asked + 1);
        let last = before.pop().map(|message| message.content).unwrap_or_default();
        Ok(Self { pictures, before, last, after, begun })
    }

    /// Picture and text that retrieval is about: the last picture, and the last that the user has said. A key
    /// is of both: without either there is nothing to look for.
    pub fn subject(&self) -> Option<(&DecodedPicture, String)> {
        let users = self.before.iter().filter(|message| message.role == Role::User);
        let said = users.map(|message| &message.content).chain([&self.last]).rev();
        let mut texts = said.map(|content| content.iter().filter_map(text_of).collect::<Vec<_>>().join("\n"));
        let question = texts.find(|text| !text.trim().is_empty())?;
        Some((self.pictures.last()?, question))
    }

    /// What is put to the model.
    pub fn with<'f>(&self, facts: impl IntoIterator<Item = &'f str> + Clone) -> Conversation {
        let mut content = self.last.clone();
        let text = content.iter_mut().find_map(|part| match part {
            ContentPart::Text(text) => Some(text),
            ContentPart::Image => None,
        });
        if let Some(text) = text {
            *text = with_facts(facts, text);
        } else {
            let facts = with_facts(facts, "");
            if !facts.is_empty() {
                content.push(ContentPart::Text(facts.trim().to_owned()));
            }
        }
        let mut messages = self.before.clone();
        messages.push(ChatMessage { role: Role::User, content });
        messages.extend(self.after.iter().cloned());
        let images = self.pictures.iter().map(|picture| picture.input(None)).collect();
        Conversation { images, messages, begun: self.begun.clone(), ..Conversation::default() }
    }
}

fn text_of(part: &ContentPart) -> Option<&str> {
    match part {
        ContentPart::Text(text) => Some(text),
        ContentPart::Image => None,
    }
}

/// Turns as the model's template takes them. Instructions at the beginning become one: templates know one.
fn messages(turns: &[ChatTurn]) -> Vec<ChatMessage> {
    let mut messages: Vec<ChatMessage> = Vec::with_capacity(turns.len());
    for turn in turns {
        let content = parts(&turn.content);
        match messages.as_mut_slice() {
            [system] if system.role == Role::System && turn.role == Role::System => {
                let texts: Vec<&str> = system.content.iter().chain(&content).filter_map(text_of).collect();
                system.content = vec![ContentPart::Text(texts.join("\n\n"))];
            }
            _ => messages.push(ChatMessage { role: turn.role, content }),
        }
    }
    messages
}

fn parts(content: &[ChatPart]) -> Vec<ContentPart> {
    let mut parts: Vec<ContentPart> = Vec::with_capacity(content.len());
    for part in content {
        match (part, parts.last_mut()) {
            (ChatPart::Text(text), Some(ContentPart::Text(before))) => {
                before.push('\n');
                before.push_str(text);
            }
            (ChatPart::Text(text), _) => parts.push(ContentPart::Text(text.clone())),
            (ChatPart::Image(_), _) => parts.push(ContentPart::Image),
            (ChatPart::Omitted, _) => {}
        }
    }
    let pictures = parts.iter().filter(|part| **part == ContentPart::Image).count();
    if pictures == 1 {
        let texts: Vec<&str> = parts.iter().filter_map(text_of).collect();
        let texts = texts.join("\n");
        parts = vec![ContentPart::Image];
        if !texts.is_empty() {
            parts.push(ContentPart::Text(texts));
        }
    }
    parts
}

/// Refuses what the model can't be told: pictures that it can't see, turns that its chat template refuses or
/// leaves out, and more text than the `limit` of its positions, so that it is told before an answer is begun.
///
/// # Errors
/// `Invalid`, or that it is too long.
pub fn check_template(
    conversation: &Conversation,
    tokenizer: &PromptTokenizer,
    limit: usize,
) -> Result<(), EditorError> {
    let refuse =
        |detail: &str| Err(EditorError::Invalid(vec![FieldError::new("/messages", detail.to_owned())]));
    if !conversation.images.is_empty() && tokenizer.image_token().is_none() {
        return refuse("this model reads text only; it can't look at pictures");
    }
    let transcript = match tokenizer.transcript(&conversation.messages) {
        Ok(transcript) => transcript,
        Err(PromptError::Template(reason)) => {
            return refuse(&format!("the model's chat template doesn't take these turns: {reason}"));
        }
        Err(other) => return Err(other.into()),
    };
    let mut rest = transcript.as_str();
    for text in conversation.messages.iter().flat_map(|m| &m.content).filter_map(text_of) {
        let text = text.trim();
        match rest.find(text) {
            Some(at) => rest = &rest[at + text.len()..],
            None => {
                return refuse(
                    "the model's chat template leaves a turn out: instructions go at the beginning",
                );
            }
        }
    }
    let rendered = tokenizer.render_messages(&conversation.messages)?;
    let prefix = rendered.prefix.iter().map(|piece| match piece {
        PromptPiece::Tokens(tokens) => tokens.len(),
        // At least; how many follows from its size.
        PromptPiece::Image(_) => 1,
    });
    let tokens = prefix.sum::<usize>() + rendered.suffix.len();
    if tokens > limit {
        return Err(EngineError::TooLong { tokens, limit }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
