//! What a question may be answered with, where something else than distance has a say in it: which sentences
//! of which edits bear on it. Retrieval then looks among these alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::ids::EditId;
use crate::member::EntryKind;

/// What a question was held against, where it was asked what bears on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Relevance {
    /// How much the likest question of an edit is like it, −1 to 1; `None` without edits.
    pub question: Option<f64>,
    /// All that an edit says is looked among where its question is above this.
    pub question_threshold: f64,
    /// A statement is looked among where it is itself above this.
    pub statement_threshold: f64,
}

/// Edits and statements that bear on a question, each with how much (higher is more).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Relevant {
    /// What it was held against.
    pub held_against: Relevance,
    /// Edits whose question is alike: all that they say bears on it.
    pub edits: BTreeMap<EditId, f64>,
    /// Statements that bear on it by themselves, whoever says them.
    pub statements: HashMap<String, RelevantStatement>,
}

/// A statement that bears on a question by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RelevantStatement {
    /// How much.
    pub score: f64,
    /// The edits that state it.
    pub edits: BTreeSet<EditId>,
}

impl Relevant {
    /// Whether nothing bears on it.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.statements.is_empty()
    }

    /// How much a sentence bears on the question by the word of an edit; `None` if it does not.
    pub fn score(&self, kind: EntryKind, sentence: &str, edit: EditId) -> Option<f64> {
        let own = match kind {
            EntryKind::Answer => None,
            EntryKind::Statement => {
                self.statements.get(sentence).filter(|s| s.edits.contains(&edit)).map(|s| s.score)
            }
        };
        let of_edit = self.edits.get(&edit).copied();
        own.into_iter().chain(of_edit).max_by(f64::total_cmp)
    }
}
