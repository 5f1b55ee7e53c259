//! Input is checked before anything is computed or stored; every fault is named with its place.

pub(crate) mod repair;

use std::collections::HashSet;

use reasonedit_imaging::{DrawnBox, PixelBox};
use reasonedit_inference::Sampling;
use reasonedit_inference::prompt::Role;
use reasonedit_text::{Warning, canonical, is_visible, same, unreadable};

use crate::config::{AnswerConfig, InputLimits, RetrievalConfig};
use crate::error::{EditorError, FieldError};
use crate::types::{ChatPart, ChatRequest, Decoding, EditRequest, QueryRequest, RetrievalOverride};

/// Collects faults.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    fn text(&mut self, pointer: &str, what: &str, value: &str, limit: usize) {
        let length = value.chars().count();
        if !is_visible(value) {
            self.add(pointer, format!("{what} must not be empty"));
        } else if length > limit {
            self.add(pointer, format!("{what} has {length} characters; at most {limit} are taken"));
        }
        if let Some(named) = unreadable(value) {
            self.add(pointer, format!("{what} contains control characters: {named}"));
        }
    }

    fn count(&mut self, pointer: &str, what: &str, count: usize, limit: usize) {
        if count > limit {
            self.add(pointer, format!("{count} {what} were given; at most {limit} are taken"));
        }
    }

    fn choices(&mut self, choices: &[String], limits: &InputLimits) {
        if choices.len() == 1 {
            self.add("/choices", "give at least two choices, or none");
        }
        self.each_choice(choices, limits);
    }

    fn each_choice(&mut self, choices: &[String], limits: &InputLimits) {
        self.count("/choices", "choices", choices.len(), limits.choices);
        let mut earlier = HashSet::new();
        for (index, choice) in choices.iter().enumerate().take(limits.choices) {
            let pointer = format!("/choices/{index}");
            self.text(&pointer, "a choice", choice, limits.answer_chars);
            if !earlier.insert(canonical(choice)) {
                self.add(pointer, "this choice stands here twice");
            }
        }
    }

    fn retrieval(&mut self, wishes: &RetrievalOverride, config: &RetrievalConfig) {
        if let Some(k) = wishes.k
            && !(1..=config.max_k).contains(&k)
        {
            self.add("/retrieval/k", format!("k must be from 1 to {}", config.max_k));
        }
        if let Some(percentile) = wishes.reject_percentile
            && !(0.0..=100.0).contains(&percentile)
        {
            self.add("/retrieval/reject_percentile", "reject_percentile must be from 0 to 100");
        }
        self.count("/retrieval/without", "edits", wishes.without.len(), config.hypothetical.max_without);
        self.count("/retrieval/as_if", "proposals", wishes.as_if.len(), config.hypothetical.max_as_if);
    }

    fn decoding(&mut self, decoding: &Decoding, limits: &InputLimits) {
        if let Sampling::TopP { temperature, top_p, .. } = decoding.sampling {
            if !(temperature.is_finite() && temperature > 0.0) {
                self.add("/temperature", "the temperature must be above 0; 0 is greedy");
            }
            if !(top_p > 0.0 && top_p <= 1.0) {
                self.add("/top_p", "top_p must be above 0 and at most 1");
            }
        }
        self.count("/stop", "stop texts", decoding.stop.len(), limits.choices);
        for (index, stop) in decoding.stop.iter().enumerate().take(limits.choices) {
            let length = stop.chars().count();
            if !(1..=limits.answer_chars).contains(&length) {
                let detail = format!("a stop text has 1 to {} characters", limits.answer_chars);
                self.add(format!("/stop/{index}"), detail);
            }
        }
    }

    fn done(self) -> Result<(), EditorError> {
        if self.0.is_empty() { Ok(()) } else { Err(EditorError::Invalid(self.0)) }
    }
}

/// Checks an edit, all but its boxes.
pub(crate) fn edit(request: &EditRequest, limits: &InputLimits) -> Result<(), EditorError> {
    let mut faults = Faults::default();
    faults.text("/question", "the question", &request.question, limits.question_chars);
    faults.text("/answer", "the answer", &request.answer, limits.answer_chars);
    faults.choices(&request.choices, limits);
    if !request.choices.is_empty() && !request.choices.iter().any(|choice| same(choice, &request.answer)) {
        faults.add("/answer", "the answer must be one of the choices");
    }
    faults.count("/reasoning", "statements", request.reasoning.len(), limits.statements);
    for (index, statement) in request.reasoning.iter().enumerate().take(limits.statements) {
        let pointer = format!("/reasoning/{index}/statement");
        faults.text(&pointer, "a statement", &statement.statement, limits.statement_chars);
        faults.count(
            &format!("/reasoning/{index}/evidence"),
            "boxes",
            statement.evidence.len(),
            limits.boxes,
        );
    }
    faults.count("/tags", "tags", request.tags.len(), limits.tags);
    for (index, tag) in request.tags.iter().enumerate().take(limits.tags) {
        faults.text(&format!("/tags/{index}"), "a tag", tag, limits.label_chars);
    }
    faults.count("/supersedes", "edits", request.supersedes.len(), limits.supersedes);
    if let Some(author) = &request.author {
        faults.text("/author", "the author", author, limits.label_chars);
    }
    if !(request.metadata.is_object() || request.metadata.is_null()) {
        faults.add("/metadata", "metadata must be a JSON object");
    } else if request.metadata.to_string().len() > limits.metadata_bytes {
        faults.add("/metadata", format!("metadata takes more than {} bytes", limits.metadata_bytes));
    }
    if let Some(key) = &request.idempotency
        && (key.key.is_empty() || key.key.len() > limits.idempotency_chars)
    {
        let detail = format!("an Idempotency-Key has 1 to {} characters", limits.idempotency_chars);
        faults.add("", detail);
    }
    faults.done()
}

/// Checks statements that evidence is looked for.
pub(crate) fn statements(statements: &[String], limits: &InputLimits) -> Result<(), EditorError> {
    let mut faults = Faults::default();
    if statements.is_empty() {
        faults.add("/statements", "give at least one statement");
    }
    faults.count("/statements", "statements", statements.len(), limits.statements);
    for (index, statement) in statements.iter().enumerate().take(limits.statements) {
        faults.text(&format!("/statements/{index}"), "a statement", statement, limits.statement_chars);
    }
    faults.done()
}

/// Fits the boxes of an edit to the picture: those of each statement as whole pixels, and what had to be
/// changed.
///
/// # Errors
/// A box of which nothing is inside the picture.
pub(crate) fn boxes(
    request: &EditRequest,
    width: u32,
    height: u32,
) -> Result<(Vec<Vec<PixelBox>>, Vec<Warning>), EditorError> {
    let (mut faults, mut areas, mut warnings) = (Faults::default(), Vec::new(), Vec::new());
    for (s, statement) in request.reasoning.iter().enumerate() {
        let mut fitted = Vec::with_capacity(statement.evidence.len());
        for (b, drawn) in statement.evidence.iter().enumerate() {
            let pointer = format!("/reasoning/{s}/evidence/{b}");
            if let Some(area) = drawn.to_pixels(width, height) {
                if DrawnBox::from(area) != *drawn {
                    warnings.push(adjusted(pointer, area, width, height));
                }
                fitted.push(area);
            } else {
                let detail =
                    format!("the box is not inside the picture, which is {width} by {height} pixels");
                faults.add(pointer, detail);
            }
        }
        areas.push(fitted);
    }
    faults.done().map(|()| (areas, warnings))
}

fn adjusted(pointer: String, area: PixelBox, width: u32, height: u32) -> Warning {
    let detail = format!(
        "The box was fitted to the picture of {width} by {height} pixels: x {}, y {}, width {}, height {}.",
        area.x, area.y, area.width, area.height
    );
    Warning { code: "box_adjusted".to_owned(), pointer, detail }
}

/// Checks a query.
pub(crate) fn query(
    request: &QueryRequest,
    limits: &InputLimits,
    answer: &AnswerConfig,
    retrieval: &RetrievalConfig,
) -> Result<(), EditorError> {
    let mut faults = Faults::default();
    faults.text("/question", "the question", &request.question, limits.question_chars);
    faults.choices(&request.choices, limits);
    if let Some(tokens) = request.max_tokens
        && !(1..=answer.max_tokens_limit).contains(&tokens)
    {
        faults.add("/max_tokens", format!("max_tokens must be from 1 to {}", answer.max_tokens_limit));
    }
    let limit = answer.max_thinking_tokens_limit;
    if request.max_thinking_tokens.is_some_and(|tokens| tokens > limit) {
        faults.add("/max_thinking_tokens", format!("max_thinking_tokens must be from 0 to {limit}"));
    }
    faults.retrieval(&request.retrieval, retrieval);
    faults.done()
}

/// Where a part of a turn stands.
pub(crate) fn part(turn: usize, part: usize) -> String {
    format!("/messages/{turn}/content/{part}")
}

/// Checks a conversation, all but its pictures.
pub(crate) fn chat(
    request: &ChatRequest,
    limits: &InputLimits,
    retrieval: &RetrievalConfig,
) -> Result<(), EditorError> {
    let mut faults = Faults::default();
    let turns = &request.turns;
    faults.count("/messages", "messages", turns.len(), limits.turns);
    match turns.iter().rposition(|turn| turn.role == Role::User) {
        None if turns.is_empty() => faults.add("/messages", "give at least one message"),
        None => faults.add("/messages", "give at least one message of the user's"),
        Some(asked) => {
            let (turn, pointer) = (&turns[asked], format!("/messages/{asked}/content"));
            let text = turn.text();
            // A picture may stand by itself.
            if !text.trim().is_empty() || !turn.content.iter().any(|part| matches!(part, ChatPart::Image(_)))
            {
                faults.text(&pointer, "the question", &text, limits.question_chars);
            }
        }
    }
    if let Some(last) = turns.len().checked_sub(1)
        && turns[last].role == Role::System
    {
        faults
            .add(format!("/messages/{last}/role"), "the last message must be the user's or the assistant's");
    }
    let (mut pictures, mut characters) = (0, 0);
    for (t, turn) in turns.iter().enumerate() {
        for (p, content) in turn.content.iter().enumerate() {
            match content {
                ChatPart::Text(text) => characters += text.chars().count(),
                ChatPart::Omitted => {}
                ChatPart::Image(_) => {
                    pictures += 1;
                    if turn.role != Role::User {
                        faults.add(part(t, p), "pictures are shown by the user alone");
                    }
                }
            }
        }
    }
    faults.count("/messages", "pictures", pictures, limits.pictures);
    if characters > limits.conversation_chars {
        let limit = limits.conversation_chars;
        faults.add(
            "/messages",
            format!("the messages have {characters} characters; at most {limit} are taken"),
        );
    }
    if request.max_tokens == Some(0) {
        faults.add("/max_tokens", "max_tokens must be at least 1");
    }
    faults.each_choice(&request.choices, limits);
    faults.retrieval(&request.retrieval, retrieval);
    faults.decoding(&request.decoding, limits);
    if !request.choices.is_empty() {
        let unused = [
            (!request.decoding.stop.is_empty(), "/stop"),
            (request.decoding.alternatives.is_some(), "/logprobs"),
        ];
        for (_, pointer) in unused.into_iter().filter(|(given, _)| *given) {
            faults.add(pointer, "an answer by choice is not generated; this needs one that is");
        }
    }
    faults.done()
}
