//! What fits into the model's context: counted by the model's own template, tokenizer and picture sizes,
//! never guessed.
//!
//! A question that doesn't fit by itself is refused. What was retrieved is put in front of it nearest first,
//! as far as it fits and room is left for the answer; the rest is told as omitted.

use reasonedit_codebook::Fact;
use reasonedit_inference::{Conversation, EngineHandle};
use reasonedit_text::Warning;

use crate::error::EditorError;
use crate::prepared_chat::PreparedChat;

/// Most tokens that a byte of text becomes: no compatibility character decomposes (NFKC) into more than
/// eleven times its bytes, and tokenizers make at most a token of a byte. What is this short for sure is not
/// counted.
pub const TOKENS_PER_BYTE: usize = 11;

/// What comes behind a prompt.
#[derive(Clone, Copy, Debug)]
pub enum ReplyLength<'a> {
    /// At most so many tokens are generated: fewer where the context ends before.
    Generated(usize),
    /// One of these, which has to fit.
    Choices(&'a [String]),
}

impl<'a> ReplyLength<'a> {
    /// One of the choices, if there are any.
    pub fn new(choices: &'a [String], max_tokens: usize) -> Self {
        if choices.is_empty() { Self::Generated(max_tokens) } else { Self::Choices(choices) }
    }
}

/// What a question leaves of the model's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBudget {
    /// Tokens of the question with its picture, or of the whole conversation.
    question: usize,
    /// Tokens that may stand in front of the answer.
    most: usize,
}

impl TokenBudget {
    /// Measures a question. `place` is where the request has it.
    ///
    /// # Errors
    /// [`EditorError::TooLong`] if it doesn't fit, or the longest choice behind it doesn't.
    pub async fn of(
        engine: &EngineHandle,
        chat: &PreparedChat,
        reply: ReplyLength<'_>,
        place: &'static str,
    ) -> Result<Self, EditorError> {
        let limit = engine.info().await?.max_positions;
        let asked = chat.with([]);
        let begun = asked.begun.clone();
        let question = tokens(engine, asked).await?;
        if question > limit {
            let what = "the question and its picture";
            return Err(EditorError::TooLong { pointer: place, what, tokens: question, limit });
        }
        let answer = match reply {
            // Neither takes everything: where little is left, the answer has half of it.
            ReplyLength::Generated(most) => most.min((limit - question) / 2),
            ReplyLength::Choices(choices) => {
                let tokenizer = engine.tokenizer().await?;
                let mut longest = 0;
                for choice in choices {
                    let tokens = match begun.as_str() {
                        "" => tokenizer.encode_answer(choice.trim())?,
                        begun => tokenizer.encode_behind(begun, choice.trim())?,
                    };
                    longest = longest.max(tokens.len());
                }
                if question + longest > limit {
                    let (what, tokens) =
                        ("the question, its picture and the longest choice", question + longest);
                    return Err(EditorError::TooLong { pointer: "/choices", what, tokens, limit });
                }
                longest
            }
        };
        Ok(Self { question, most: limit - answer })
    }

    /// As much of it as leaves room for so many tokens of thinking before the answer, or for half of what the
    /// question leaves.
    pub fn beside(self, thinking: usize) -> Self {
        let left = self.most.saturating_sub(self.question);
        Self { most: self.most - thinking.min(left / 2), ..self }
    }

    /// Splits facts, nearest first, into those that are put in front of the question and those for which no
    /// room is left: a fact that doesn't fit leaves its place to the ones behind it.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub async fn split(
        self,
        engine: &EngineHandle,
        chat: &PreparedChat,
        facts: Vec<Fact>,
    ) -> Result<(Vec<Fact>, Vec<Fact>), EditorError> {
        let texts: Vec<&str> = facts.iter().map(|fact| fact.value.trim()).collect();
        if texts.is_empty() || self.takes(engine, chat, &texts).await? {
            return Ok((facts, Vec::new()));
        }
        let tokenizer = engine.tokenizer().await?;
        let (mut used, mut fitting) = (self.question, Vec::new());
        for (at, text) in texts.iter().enumerate() {
            // About as many as it adds; the whole is counted below.
            let own = tokenizer.encode_plain(&format!(" {text}"))?.len();
            if used + own <= self.most {
                used += own;
                fitting.push(at);
            }
        }
        loop {
            let chosen: Vec<&str> = fitting.iter().map(|at| texts[*at]).collect();
            if chosen.is_empty() || self.takes(engine, chat, &chosen).await? {
                break;
            }
            fitting.pop();
        }
        let (mut front, mut omitted) = (Vec::new(), Vec::new());
        for (at, fact) in facts.into_iter().enumerate() {
            if fitting.contains(&at) { front.push(fact) } else { omitted.push(fact) }
        }
        Ok((front, omitted))
    }

    /// Whether these facts fit in front of the question together.
    async fn takes(
        self,
        engine: &EngineHandle,
        chat: &PreparedChat,
        facts: &[&str],
    ) -> Result<bool, EditorError> {
        let bytes: usize = facts.iter().map(|fact| fact.len() + 1).sum();
        if self.question + bytes * TOKENS_PER_BYTE <= self.most {
            return Ok(true);
        }
        Ok(tokens(engine, chat.with(facts.iter().copied())).await? <= self.most)
    }

    /// Warnings for the sentences of an edit that can't stand in front of its own question, whatever else
    /// does. They come with their places in the request.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub async fn warnings(
        self,
        engine: &EngineHandle,
        chat: &PreparedChat,
        sentences: Vec<(String, &str)>,
    ) -> Result<Vec<Warning>, EditorError> {
        let mut warnings = Vec::new();
        for (pointer, sentence) in sentences {
            if !self.takes(engine, chat, &[sentence]).await? {
                let detail = "It is kept, but too long to be put in front of this question: the model's context has no room for it. Shorter \
                              statements are.";
                warnings.push(Warning::new("context_full", pointer, detail));
            }
        }
        Ok(warnings)
    }
}

async fn tokens(engine: &EngineHandle, prompt: Conversation) -> Result<usize, EditorError> {
    Ok(engine.prompt_tokens(vec![prompt]).await?.into_iter().sum())
}
