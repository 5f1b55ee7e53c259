//! What a service answers, as far as an evaluation reads it.

use std::collections::HashMap;

use reasonedit_codebook::EntryKind;
use serde::Deserialize;

/// The model that a service answers with.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Model {
    pub(in super::super) name: String,
    pub(in super::super) fingerprint: String,
}

/// Whether the service is ready, and with what.
#[derive(Deserialize)]
pub(super) struct Ready {
    pub(super) model: Option<Model>,
}

/// An edit of the service.
#[derive(Deserialize)]
pub(super) struct Edit {
    pub(super) id: String,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(default)]
    pub(super) timings_ms: HashMap<String, f64>,
}

/// Some of them.
#[derive(Deserialize)]
pub(super) struct EditPage {
    pub(super) edits: Vec<Edit>,
    pub(super) next_cursor: Option<String>,
}

/// An answer to a question.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) answer: String,
    pub(super) retrieval: Retrieved,
}

/// What it rests on.
#[derive(Deserialize)]
pub(super) struct Retrieved {
    pub(super) rejected: bool,
    pub(super) facts: Vec<Fact>,
}

/// A statement that was put in front.
#[derive(Deserialize)]
pub(super) struct Fact {
    pub(super) edit_ids: Vec<String>,
    pub(super) kind: EntryKind,
    pub(super) value: String,
}

/// What a codebook takes.
#[derive(Deserialize)]
pub(super) struct Codebook {
    pub(super) edits: usize,
    pub(super) bytes_merged: u64,
    pub(super) bytes_unmerged: u64,
}
