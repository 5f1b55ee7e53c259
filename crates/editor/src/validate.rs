//! Input is checked before anything is computed or stored; every fault is named with its place.

use reasonedit_imaging::PixelBox;

use crate::config::{AnswerConfig, InputLimits, RetrievalConfig};
use crate::error::{EditorError, FieldError};
use crate::types::{EditRequest, QueryRequest};

/// Collects faults.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    fn text(&mut self, pointer: &str, what: &str, value: &str, limit: usize) {
        let length = value.chars().count();
        if value.trim().is_empty() {
            self.add(pointer, format!("{what} must not be empty"));
        } else if length > limit {
            self.add(pointer, format!("{what} has {length} characters; at most {limit} are taken"));
        }
        if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.add(pointer, format!("{what} contains control characters"));
        }
    }

    fn count(&mut self, pointer: &str, what: &str, count: usize, limit: usize) {
        if count > limit {
            self.add(pointer, format!("{count} {what} were given; at most {limit} are taken"));
        }
    }

    fn choices(&mut self, choices: &[String], limits: &InputLimits) {
        self.count("/choices", "choices", choices.len(), limits.choices);
        if choices.len() == 1 {
            self.add("/choices", "give at least two choices, or none");
        }
        for (index, choice) in choices.iter().enumerate().take(limits.choices) {
            let pointer = format!("/choices/{index}");
            self.text(&pointer, "a choice", choice, limits.answer_chars);
            if choices[..index].iter().any(|earlier| earlier.trim() == choice.trim()) {
                self.add(pointer, "this choice stands here twice");
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
    if !request.choices.is_empty() && !request.choices.iter().any(|c| c.trim() == request.answer.trim()) {
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

/// Checks the boxes of an edit against the picture.
pub(crate) fn boxes(request: &EditRequest, width: u32, height: u32) -> Result<(), EditorError> {
    let mut faults = Faults::default();
    for (s, statement) in request.reasoning.iter().enumerate() {
        for (b, area) in statement.evidence.iter().enumerate() {
            if !inside(area, width, height) {
                let detail =
                    format!("the box is not inside the picture, which is {width} by {height} pixels");
                faults.add(format!("/reasoning/{s}/evidence/{b}"), detail);
            }
        }
    }
    faults.done()
}

/// Whether a box is not empty and lies inside the picture.
pub(crate) fn inside(area: &PixelBox, width: u32, height: u32) -> bool {
    let fits = |start: u32, extent: u32, whole: u32| {
        extent > 0 && start.checked_add(extent).is_some_and(|e| e <= whole)
    };
    fits(area.x, area.width, width) && fits(area.y, area.height, height)
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
    if let Some(k) = request.retrieval.k
        && !(1..=retrieval.max_k).contains(&k)
    {
        faults.add("/retrieval/k", format!("k must be from 1 to {}", retrieval.max_k));
    }
    if let Some(percentile) = request.retrieval.reject_percentile
        && !(0.0..=100.0).contains(&percentile)
    {
        faults.add("/retrieval/reject_percentile", "reject_percentile must be from 0 to 100");
    }
    faults.done()
}
