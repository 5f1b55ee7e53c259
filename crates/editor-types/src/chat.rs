//! Conversations as they are asked: a question with turns before it.

use reasonedit_inference::constrain::ReplyForm;
use reasonedit_inference::prompt::Role;
use reasonedit_inference::{LogitRules, Sampling};
use reasonedit_text::Warning;

use crate::{ImageSource, RetrievalOverride};

/// A part of a turn.
#[derive(Clone, Debug)]
pub enum ChatPart {
    /// Text.
    Text(String),
    /// A picture; in turns of the user.
    Image(ImageSource),
    /// A picture that the model is not shown.
    Omitted,
}

/// What someone said and showed.
#[derive(Clone, Debug)]
pub struct ChatTurn {
    /// Who.
    pub role: Role,
    /// In the order sent. Texts that follow each other are joined by a line break; a picture alone in its
    /// turn stands ahead of the text, as the model is used to and as in a query.
    pub content: Vec<ChatPart>,
}

/// How a reply is made of the model's probabilities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoding {
    /// How tokens are chosen; answers by choice are not sampled.
    pub sampling: Sampling,
    /// What is done to the model's logits before.
    pub rules: LogitRules,
    /// Texts that end the reply; they are no part of it.
    pub stop: Vec<String>,
    /// Tell every token, each with so many of the most probable ones at its place.
    pub alternatives: Option<usize>,
}

/// A form that a reply is to have, and where the request has it, as a JSON pointer.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedForm {
    /// The form.
    pub form: ReplyForm,
    /// What its own pointers are relative to.
    pub place: String,
}

/// A conversation to be replied to.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// Turns, oldest first. The last one of the user's is the question: retrieval is about its text and its
    /// last picture, each else about the last one of the user's before it. Without either nothing is
    /// retrieved.
    pub turns: Vec<ChatTurn>,
    /// The last turn is the model's and is gone on with: the reply is what comes behind it.
    pub continues: bool,
    /// Answers to choose from, one at least; empty: the reply is generated.
    pub choices: Vec<String>,
    /// What a generated reply must look like.
    pub form: Option<AskedForm>,
    /// Most tokens to generate; as many as the configuration allows if more or nothing is said.
    pub max_tokens: Option<usize>,
    /// Most tokens that a reasoning model may think before it answers; 0: it answers at once.
    pub max_thinking_tokens: Option<usize>,
    /// How the reply is made.
    pub decoding: Decoding,
    /// Settings of retrieval.
    pub retrieval: RetrievalOverride,
    /// Reply without the codebook too.
    pub compare: bool,
    /// What was not taken as it came before the editor saw it; what the editor finds is added.
    pub warnings: Vec<Warning>,
}

impl ChatRequest {
    /// Turn and part of the picture that retrieval is about.
    pub fn subject(&self) -> Option<(usize, usize)> {
        let parts = self.turns.iter().enumerate().rev();
        let mut parts = parts
            .flat_map(|(t, turn)| turn.content.iter().enumerate().rev().map(move |(p, part)| (t, p, part)));
        parts.find(|(.., part)| matches!(part, ChatPart::Image(_))).map(|(turn, part, _)| (turn, part))
    }

    /// All of its pictures.
    pub fn images(&self) -> impl Iterator<Item = &ImageSource> {
        self.turns.iter().flat_map(|turn| &turn.content).filter_map(|part| match part {
            ChatPart::Image(image) => Some(image),
            ChatPart::Text(_) | ChatPart::Omitted => None,
        })
    }

    /// The text that retrieval is about; empty if the user has said nothing.
    pub fn question(&self) -> String {
        let asked = self.turns.iter().rev().filter(|turn| turn.role == Role::User).map(ChatTurn::text);
        asked.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default()
    }
}

impl ChatTurn {
    /// Its texts, a line break between any two.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .content
            .iter()
            .filter_map(|part| match part {
                ChatPart::Text(text) => Some(text.as_str()),
                ChatPart::Image(_) | ChatPart::Omitted => None,
            })
            .collect();
        texts.join("\n")
    }
}

#[cfg(test)]
mod tests;
